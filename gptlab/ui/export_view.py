"""Export a run: the dialog in which a format is chosen, that says how far it is and what was checked, and hands out the zip.

It stands once in the page, beside the tabs; any tab's script opens it with `window.gptlab.export(id)`. Questions only read, and
come from anybody's browser: every argument is checked.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.cli.spelling import spelled
from gptlab.config import ModelConfig
from gptlab.exchange.exporting import Exports, Wanted
from gptlab.exchange.families import NoFamily, family_of
from gptlab.exchange.formats import FORMATS, NUMBER_FORMATS
from gptlab.runs import checkpoint
from gptlab.runs.disk import readable
from gptlab.ui import form, words_export
from gptlab.ui.lab import EACH, QUIET, Lab, guarded
from gptlab.ui.model_facts import workspace_option
from gptlab.ui.steering_panel import begins_with
from gptlab.ui.which_run import run_by_id, run_or_none

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "work_dialog.js", "export_view.js")  # in this order, as one function
FOLDER = "export-"
SAVE = "() => document.querySelector('#export-file a, #export-file')?.click()"


class ExportView:
    """What pages ask for and are told. Works on one export at a time, whoever asks."""

    def __init__(self, lab: Lab):
        self.lab, self.exports = lab, Exports()

    def offered(self, run_id: Any) -> dict:
        """A run's `name`, its `checkpoints`, and why formats are `refused`; or the `problem` with it."""
        try:
            run = run_by_id(self.lab, run_id)
            listed = begins_with(checkpoint.list_checkpoints(run))
            refused = refusals(run.config().model)
        except (ValueError, OSError) as problem:
            return {"name": "", "problem": str(problem)}
        if not listed:
            return {"name": run.name, "problem": words_export.EXPORT["nothing"]}
        return {"name": run.name, "checkpoints": [{name: one[name] for name in ("value", "label")} for one in listed],
                "refused": refused}

    def command(self, question: Any) -> str:
        """The command that does the same; "" for what is not offered."""
        try:
            wanted = read(self.lab, question)
        except ValueError:
            return ""
        parts = ["export", wanted.run.id, "--format", wanted.format, "--checkpoint", str(wanted.checkpoint), "--out", wanted.name]
        numbers = ["--number-format", wanted.number_format] if wanted.format == "gguf" else []
        return spelled([*parts, *numbers, *workspace_option(self.lab)])

    def now(self, question: Any) -> dict:
        """How far the export that is under way is: `going`, `percent`, whether it is the run's `own`, else whose `name`. Where
        none is: what came of the run's latest, `said`, its `id` and `size`; or its `problem`; or nothing."""
        run = run_or_none(self.lab, question.get("run") if isinstance(question, dict) else None)
        if self.exports.busy:
            current = self.exports.current
            return {"going": current.doing or words_export.EXPORT["starting"], "percent": round(100 * current.share),
                    "own": current.wanted.run == run, "name": current.wanted.run.name}
        known = self.exports.of(run) if run is not None else None
        if known is None:
            return {}
        if known.problem:
            return {"problem": form.page_names(known.problem)}
        size = known.file.stat().st_size if known.file.exists() else None
        return {} if size is None else {"id": known.folder.name, "said": known.checked, "size": readable(size)}

    def start(self, question: Any) -> None:
        """Begins. Raises ValueError with what is in the way."""
        wanted = read(self.lab, question)
        if problem := refusals(wanted.run.config().model).get(wanted.format):
            raise ValueError(problem)
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=os.environ.get("GRADIO_TEMP_DIR")))
        try:
            self.exports.start(wanted, folder)
        except ValueError:
            folder.rmdir()
            raise

    def cancel(self, run_id: Any) -> None:
        """Ends the export of that run, and of no other."""
        current = self.exports.current
        if current is not None and current.wanted.run == run_or_none(self.lab, run_id):
            self.exports.cancel()

    def file(self, run_id: Any, id: Any) -> Path:
        """The zip that the page saw. Raises ValueError where it is gone."""
        known = self.exports.of(run_by_id(self.lab, run_id))
        if known is None or known.folder.name != id or known.problem or not known.file.exists():
            raise ValueError(words_export.EXPORT_GONE)
        return known.file


def build(lab: Lab) -> None:
    """The dialog, closed."""
    view = ExportView(lab)

    def offered(run_id):  # plain functions, because gradio marks the ones a page may call
        return view.offered(run_id)

    def now(question):
        return view.now(question)

    def command(question):
        return view.command(question)

    card = gr.HTML(elem_id="export-card", html_template=(HERE / "export_view.html").read_text(encoding="utf-8"),
                   js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), apply_default_css=False,
                   server_functions=[offered, now, command], words=words_export.EXPORT, elem_classes="card-place")
    file = gr.DownloadButton(elem_id="export-file", visible="hidden")

    @guarded
    def on_download(event: gr.EventData):
        return gr.DownloadButton(value=str(view.file(event.run, event.id)))

    def on_export(event: gr.EventData):
        return answer_to(view.start, event._data)

    @guarded
    def on_cancel(event: gr.EventData):
        view.cancel(event.run)

    card.export(on_export, None, card, **EACH)
    card.cancel_export(on_cancel, None, None, **QUIET)
    card.download(on_download, None, file, **EACH).success(None, None, None, js=SAVE)


def answer_to(start: Callable[[dict], None], question: Any) -> dict:
    """Begins what a page asks for in a dialog; with the `number` of the question, and the `problem` where it was refused."""
    question = question if isinstance(question, dict) else {}
    try:
        guarded(start)(question)
    except gr.Error as refused:  # behind a dialog nobody would see it; what is HTML in a message is text there
        return {"number": question.get("number"), "problem": html.unescape(str(refused.message))}
    return {"number": question.get("number"), "problem": ""}


def read(lab: Lab, question: Any) -> Wanted:
    """A page's wish, checked: `run`, `format`, `checkpoint`, `number_format`. Raises ValueError."""
    question = question if isinstance(question, dict) else {}
    run, format, numbers = run_by_id(lab, question.get("run")), question.get("format"), question.get("number_format")
    if format not in FORMATS or numbers not in NUMBER_FORMATS:
        raise ValueError(words_export.NOT_OFFERED)
    return Wanted(run, format, which(question.get("checkpoint")), numbers)


def which(value: Any) -> str | int:
    """A checkpoint as a page's list has it: best, last, or a step. Raises ValueError."""
    if value in ("best", "last"):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    raise ValueError(words_export.NOT_OFFERED)


def refusals(model: ModelConfig) -> dict[str, str]:
    """Why formats cannot be had of such a model, by format."""
    try:
        family_of(model)
    except NoFamily as problem:
        return dict.fromkeys(("hf", "gguf"), form.page_names(str(problem)))
    return {}
