"""Files that the page hands out of runs: a zip, a bundle, a report, numbers; made where Gradio may serve them from.

Knows one widget: the hidden button whose file the browser saves.
"""

from __future__ import annotations

import html
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.exchange.bundle import write_bundle
from gptlab.exchange.metrics import save_metrics
from gptlab.runs import archive
from gptlab.runs.disk import readable
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.ui import words_runs
from gptlab.ui.lab import SPEAKS, Lab, guarded

FOLDER = "file-"
NAME_LENGTH = 80  # characters of a file that is named after several runs
ONE_AT_A_TIME = {**SPEAKS, "concurrency_limit": 1, "concurrency_id": "run-files"}  # the disk is the same
SAVE = "() => document.querySelector('#zip-file a, #zip-file')?.click()"


def _report(lab: Lab, runs: Sequence[RunDir], path: Path) -> None:
    from gptlab.exchange.report import save_report  # here, because what draws takes long to import

    save_report(runs, path)


KINDS: dict[str, tuple[str, Callable[[Lab, Sequence[RunDir], Path], Any]]] = {  # how the file's name ends, who writes it
    "download": (".zip", lambda lab, runs, path: archive.zip_run(runs[0], path)),
    "bundle": ("-bundle.zip", lambda lab, runs, path: write_bundle(lab.workspace, runs[0], path)),
    "report": ("-report.html", _report),
    "steps": ("-steps.csv", lambda lab, runs, path: save_metrics(runs[0], "steps", path)),
    "evaluations": ("-evaluations.csv", lambda lab, runs, path: save_metrics(runs[0], "evaluations", path)),
}


def make_file(lab: Lab, kind: str, runs: Sequence[RunDir]) -> Path:
    """A file of KINDS on one run (a report: on several) in a private folder, cleared away after a day; one from before goes.

    Each has a folder, thus an address, of its own: what a browser remembers under the old one is out of date. Raises
    RunError and DataError.
    """
    end, write = KINDS[kind]
    folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=os.environ.get("GRADIO_TEMP_DIR")))
    name = runs[0].id if len(runs) == 1 else "-and-".join(clean_name(run.name) for run in runs)[:NAME_LENGTH]
    path = folder / f"{name}{end}"
    try:
        write(lab, runs, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for other in folder.parent.glob(f"{FOLDER}*"):
        if other != folder and (other / path.name).exists():
            shutil.rmtree(other, ignore_errors=True)
    return path


def connect(lab: Lab, trigger: Callable, wanted: Callable[[gr.EventData], tuple[str, list[RunDir]]],
            file: gr.DownloadButton, message: gr.HTML) -> None:
    """When `trigger` comes, make the file that `wanted` tells of it, then let the browser save it."""
    @guarded
    def on_file(event: gr.EventData):
        yield from handing_out(lab, *wanted(event))

    trigger(on_file, None, [file, message], **ONE_AT_A_TIME).success(None, None, None, js=SAVE)


def handing_out(lab: Lab, kind: str, runs: list[RunDir]) -> Iterator[tuple]:
    """What the button and the message become: while it is made, and when it is there; nothing is said any more where it fails."""
    if kind not in KINDS:
        raise ValueError(words_runs.NO_SUCH_FILE)
    making, ready = words_runs.FILES[kind]
    name = ", ".join(run.name for run in runs)
    yield gr.skip(), said(making.format(name=name))
    try:
        path = make_file(lab, kind, runs)
    except Exception:
        yield gr.skip(), ""
        raise
    yield gr.DownloadButton(value=str(path)), said(ready.format(name=name, size=readable(path.stat().st_size)))


def said(text: str) -> str:
    """A line of news, as HTML."""
    return f'<p class="message" role="status" aria-live="polite">{html.escape(text)}</p>'
