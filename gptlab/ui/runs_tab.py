"""The Runs tab: every run, what became of it, and what can be done with it: open, resume, compare, hand out, delete, restore."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.exchange import bundle
from gptlab.runs import archive
from gptlab.runs.compare import FEWEST, MOST
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import MAX_NAME_LENGTH, RunDir
from gptlab.runs.status import EMPTY
from gptlab.ui import compare_view, run_files, words_runs
from gptlab.ui.lab import SPEAKS, Lab, Page, guarded
from gptlab.ui.live import OPEN
from gptlab.ui.people import check_may
from gptlab.ui.run_files import said
from gptlab.ui.which_run import run_by_id, status_here

HERE = Path(__file__).parent
SHOWN = 200  # runs
RESUMABLE = ("stopped", "failed", "interrupted")
MOST_STEPS = 10**12  # of a run it was forked from: anything beyond is no number of a step


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do. The table asks for its list itself, while it is seen (runs.js)."""
    def news(mark):  # a plain function, because gradio marks the ones a page may call
        return news_since(lab, mark)

    table = gr.HTML(elem_id="runs", html_template=(HERE / "runs.html").read_text(encoding="utf-8"),
                    words={**words_runs.RUNS, "fewest": FEWEST, "most": MOST}, apply_default_css=False,
                    js_on_load=(HERE / "runs.js").read_text(encoding="utf-8"), server_functions=[news])
    with gr.Row(elem_classes="tight"):
        upload = gr.UploadButton(words_runs.IMPORT_RUN, file_types=[".zip"], elem_id="import-run", size="md", scale=0, min_width=330)
        file = gr.DownloadButton(elem_id="zip-file", visible="hidden")
    message = gr.HTML(elem_id="runs-message")
    comparison = compare_view.component()
    _connect_opening(lab, page, table)
    _connect_changes(lab, page, table, upload, message)
    run_files.connect(lab, table.run_file, lambda event: (event.kind, [run_by_id(lab, event.run)]), file, message)
    compare_view.connect(lab, table, comparison, file, message)


def _connect_opening(lab: Lab, page: Page, table: gr.HTML) -> None:
    """Open and Resume: the run on view is another, and the Train tab shows it."""
    @guarded
    def on_open(event: gr.EventData):
        return run_by_id(lab, event.run).id, gr.Tabs(selected="train")

    @guarded
    def on_resume(event: gr.EventData):
        run = run_by_id(lab, event.run)
        lab.jobs.resume(run)
        return run.id, gr.Tabs(selected="train")

    for trigger, handler in ((table.run_open, on_open), (table.run_resume, on_resume)):
        trigger(handler, None, [page.shown, page.tabs], **SPEAKS).success(None, page.shown, None, js=OPEN)


def _connect_changes(lab: Lab, page: Page, table: gr.HTML, upload: gr.UploadButton, message: gr.HTML) -> None:
    """Delete, Restore and adding a downloaded run or bundle: the list is another."""
    @guarded
    def on_delete(who, event: gr.EventData):
        run = run_by_id(lab, event.run)
        check_may(run, who, event.sure)
        if run in lab.jobs.queue:
            lab.jobs.stop(run)
        archive.move_to_trash(lab.workspace, run)
        return listing(lab), said(words_runs.DELETED.format(name=run.name))

    @guarded
    def on_restore(event: gr.EventData):
        run = archive.restore_from_trash(lab.workspace, str(event.run))
        return listing(lab), said(words_runs.RESTORED.format(name=run.name))

    @guarded
    def on_import(path):
        yield from adding(lab, Path(path))

    table.run_delete(on_delete, page.who, [table, message], **SPEAKS)
    table.run_restore(on_restore, None, [table, message], **SPEAKS)
    upload.upload(on_import, upload, [table, message, page.tick], **SPEAKS)  # a tick: the Data tab lists data sets


def adding(lab: Lab, path: Path) -> Iterator[tuple]:
    """What the table, the message and the page's timer become: while a zip is added, and when what is in it is there."""
    yield gr.skip(), said(words_runs.ADDING.format(file=path.name)), gr.skip()
    try:
        told = add(lab, path)
    except Exception:
        yield gr.skip(), "", gr.skip()
        raise
    yield listing(lab), said(told), gr.Timer(active=True)


def add(lab: Lab, path: Path) -> str:
    """Takes in a run, or a bundle with its data set; a sentence that says what was added. Raises RunError."""
    if not _holds_data(path):
        return words_runs.IMPORTED.format(name=archive.import_zip(lab.workspace, path).name)
    opened = bundle.open_bundle(lab.workspace, path)
    told = words_runs.IMPORTED_SHARED if opened.shared else words_runs.IMPORTED_BUNDLE
    return told.format(name=opened.run.name, dataset=opened.dataset)


def _holds_data(path: Path) -> bool:
    """Whether a zip wants to be a bundle. One that cannot be read is none: who opens it says so."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.startswith("datasets/") for name in file.namelist())
    except (*bundle.DAMAGED, OSError):
        return False


def news_since(lab: Lab, mark: Any) -> dict | None:
    """The list, or None where the page's, of that `mark`, still holds."""
    return None if mark == mark_of(lab) else listing(lab)


def mark_of(lab: Lab) -> str:
    """Another one once a run was made or moved, or began, paused or ended here. Cheap: open pages ask every few seconds."""
    current = lab.jobs.current
    moved = [folder.stat().st_mtime_ns for folder in (lab.workspace.runs, lab.workspace.trash)]
    return json.dumps([moved, current and [current.id, current.state()], [run.id for run in lab.jobs.queue]])


def listing(lab: Lab) -> dict:
    """What the table shows: `runs` and `trash`, the newest first and no more than SHOWN; `more`, which says so; `mark`."""
    mark = mark_of(lab)  # before it is read: what changes meanwhile is news
    runs, trash = lab.workspace.list_runs(), archive.list_trash(lab.workspace)
    return {"mark": mark, "runs": [row(lab, run) for run in runs[:SHOWN]],
            "trash": [{"run": run.id, "name": run.name, "made": made(run)} for run in trash[:SHOWN]],
            "more": words_runs.runs_left_out(SHOWN, len(runs), len(trash))}


def row(lab: Lab, run: RunDir) -> dict:
    """One run for the table; a damaged one says what is wrong. Its files may come from elsewhere: each value is checked."""
    status, dataset = status_here(lab, run), "–"
    alive = status["state"] in ("running", "paused")
    try:
        dataset = _dataset(run)
        if not _believable(status):
            raise RunError(words_runs.DAMAGED.format(file="status.json"))
    except RunError as problem:
        reason = status["reason"] if status["state"] == "damaged" else str(problem)
        status = {**EMPTY, "state": "damaged", "reason": reason}
    state, best = status["state"], status["best_val_loss"]
    return {"run": run.id, "name": run.name, "owner": run.label().owner, "made": made(run), "state": state, "data": dataset,
            "best": best if best is not None and math.isfinite(best) else None,
            "step": status["step"], "total_steps": status["total_steps"], "seconds": status["time_seconds"],
            "reason": status["reason"] if state in ("failed", "damaged") else "",
            "origin": _origin(run), "resumable": state in RESUMABLE, "alive": alive}


def _origin(run: RunDir) -> str:
    """Which run's checkpoint a fork began with; "" for a run of its own. What a parent.json says may come from elsewhere."""
    try:
        parent = run.parent()
    except OverflowError:  # 1e999
        return ""
    if parent is None or not 0 <= parent["step"] < MOST_STEPS or not (name := RunDir(Path(parent["run"])).name):
        return ""
    return words_runs.FORKED.format(name=name[:MAX_NAME_LENGTH], step=parent["step"])


def _dataset(run: RunDir) -> str:
    """The name of a run's data set. Raises RunError where its manifest lacks what the page tells of it."""
    manifest = run.manifest()
    if not manifest.keys() >= {"name", "tokenizer", "vocab_size", "baselines"} or not isinstance(manifest["name"], str):
        raise RunError(words_runs.DAMAGED.format(file="manifest.json"))
    return manifest["name"]


def _believable(status: dict) -> bool:
    """Whether the values the table shows are of their kinds."""
    def number(value):
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    return (isinstance(status["state"], str) and status["state"] in words_runs.RUNS["states"] and isinstance(status["reason"], str)
            and all(number(status[name]) and math.isfinite(status[name]) for name in ("step", "time_seconds"))
            and all(status[name] is None or number(status[name]) for name in ("best_val_loss", "total_steps")))


def made(run: RunDir) -> str:
    """When a run was made, from its id: "2026-11-21 02:03"."""
    date, _, rest = run.id.partition("-")
    if len(date) != 8 or not (date + rest[:6]).isdigit():
        return ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {rest[:2]}:{rest[2:4]}"
