"""Measure a run on any text: the dialog in which one is pasted or a file chosen, that says how well the run foretells it.

It stands once in the page, beside the tabs; any tab's script opens it with `window.gptlab.evaluate(id)`. Questions only read, and
come from anybody's browser: every argument is checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from gptlab.cli.spelling import spelled
from gptlab.runs import checkpoint
from gptlab.runs.measuring import Measurements
from gptlab.ui import form, words_export
from gptlab.ui.export_view import answer_to, which
from gptlab.ui.lab import EACH, QUIET, Lab, guarded
from gptlab.ui.model_facts import workspace_option
from gptlab.ui.steering_panel import begins_with
from gptlab.ui.which_run import run_by_id, run_or_none

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "work_dialog.js", "evaluate_view.js")  # in this order, as one function


class EvaluateView:
    """What pages ask for and are told. Works on one text at a time, whoever asks."""

    def __init__(self, lab: Lab):
        self.lab, self.measurements = lab, Measurements()

    def offered(self, run_id: Any) -> dict:
        """A run's `name`, its `checkpoints` and the `command` for a file; or the `problem` with it."""
        try:
            run = run_by_id(self.lab, run_id)
            listed = begins_with(checkpoint.list_checkpoints(run))
        except (ValueError, OSError) as problem:
            return {"name": "", "problem": str(problem)}
        if not listed:
            return {"name": run.name, "problem": words_export.EVALUATE["nothing"]}
        command = spelled(["evaluate", run.id, "--text", "FILE", *workspace_option(self.lab)])
        return {"name": run.name, "checkpoints": [{name: one[name] for name in ("value", "label")} for one in listed],
                "command": command}

    def now(self, question: Any) -> dict:
        """How far the measurement that is under way is: `going`, `percent`, whether it is the run's `own`, else whose `name`.
        Where none is: what was found with the run at last, `said` in a sentence and as `rows`; or its `problem`; or nothing."""
        run = run_or_none(self.lab, question.get("run") if isinstance(question, dict) else None)
        current = self.measurements.current
        if self.measurements.busy:
            return {"going": current.doing or words_export.EVALUATE["starting"], "percent": round(100 * current.share),
                    "own": current.run == run, "name": current.run.name}
        if current is None or current.run != run:
            return {}
        if current.problem:
            return {"problem": form.page_names(current.problem)}
        return {} if current.told is None else words_export.measured(current.told)

    def start(self, question: dict) -> None:
        """Begins. Raises ValueError with what is in the way."""
        run, text, file = run_by_id(self.lab, question.get("run")), question.get("text"), question.get("file")
        if isinstance(file, str) and file:
            text = uploaded(file)
        elif not isinstance(text, str) or not text.strip():
            raise ValueError(words_export.EVALUATE["empty"])
        self.measurements.start(run, which(question.get("checkpoint")), text)

    def cancel(self, run_id: Any) -> None:
        """Ends the measurement with that run, and with no other."""
        current = self.measurements.current
        if current is not None and current.run == run_or_none(self.lab, run_id):
            self.measurements.cancel()


def uploaded(path: str) -> Path:
    """A file that was uploaded to this app. Raises ValueError for any other: a page names files, but may not choose them."""
    file, folder = Path(path).resolve(), Path(get_upload_folder()).resolve()
    if folder not in file.parents or not file.is_file():
        raise ValueError(words_export.EVALUATE["empty"])
    return file


def build(lab: Lab) -> None:
    """The dialog, closed."""
    view = EvaluateView(lab)

    def offered(run_id):  # plain functions, because gradio marks the ones a page may call
        return view.offered(run_id)

    def now(question):
        return view.now(question)

    card = gr.HTML(elem_id="evaluate-card", html_template=(HERE / "evaluate_view.html").read_text(encoding="utf-8"),
                   js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), apply_default_css=False,
                   server_functions=[offered, now], words=words_export.EVALUATE, elem_classes="card-place")

    def on_evaluate(event: gr.EventData):
        return answer_to(view.start, event._data)

    @guarded
    def on_cancel(event: gr.EventData):
        view.cancel(event.run)

    card.evaluate(on_evaluate, None, card, **EACH)
    card.cancel_evaluate(on_cancel, None, None, **QUIET)
