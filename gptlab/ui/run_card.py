"""The dialog in which people name a run and write on it: whose it is, tags, what they expected, what they saw.

It stands once in the page, beside the tabs; any tab's script opens it with `window.gptlab.editLabel(id)`. Asking what is
there only reads; saving answers with a sentence where it is refused, so that the dialog stays open with what was typed.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.runs.label import LENGTHS, Label
from gptlab.ui import words_train
from gptlab.ui.lab import QUIET, Lab, guarded
from gptlab.ui.which_run import run_by_id

HERE = Path(__file__).parent
BETWEEN_TAGS = ", "


def build(lab: Lab) -> None:
    """The dialog, closed."""
    def label_of(run_id):  # a plain function, because gradio marks the ones a page may call
        return what_is_there(lab, run_id)

    card = gr.HTML(elem_id="run-card", html_template=(HERE / "run_card.html").read_text(encoding="utf-8"), apply_default_css=False,
                   js_on_load=(HERE / "run_card.js").read_text(encoding="utf-8"), server_functions=[label_of],
                   words=words_train.NOTES, lengths=LENGTHS)

    def on_save(event: gr.EventData):
        return answer_to(lab, event._data)

    card.save(on_save, None, card, **QUIET)


def what_is_there(lab: Lab, run_id: Any) -> dict:
    """A run's label as the dialog shows it: `name` as it is called now, `made_as` as its id says; or the `problem`."""
    try:
        run = run_by_id(lab, run_id)
    except ValueError as problem:
        return {"problem": str(problem)}
    label = run.label()
    return {"name": label.name or run.first_name, "made_as": run.first_name,
            "label": {**label.to_dict(), "tags": BETWEEN_TAGS.join(label.tags)}}


def answer_to(lab: Lab, question: Any) -> dict:
    """Saves, and says so with the `number` of the question; `problem` has the sentence where it was refused."""
    question = question if isinstance(question, dict) else {}
    try:
        guarded(save)(lab, question.get("run"), question.get("changes"))
    except gr.Error as refused:  # behind a dialog nobody would see it; what is HTML in a message is text there
        return {"number": question.get("number"), "problem": html.unescape(str(refused.message))}
    return {"number": question.get("number"), "problem": ""}


def save(lab: Lab, run_id: Any, changes: Any) -> Label:
    """Changes what people say of a run, as a page sends it: fields of its label, tags as one line.

    Raises ValueError for a text that is too long, or where there is no such run (any more). A damaged run has a label too.
    """
    run = run_by_id(lab, run_id)
    if not isinstance(changes, dict) or not changes.keys() <= {*LENGTHS, "tags"} \
            or not all(isinstance(text, str) for text in changes.values()):
        raise ValueError(words_train.NOT_A_NOTE)
    if "tags" in changes:
        changes = {**changes, "tags": changes["tags"].split(BETWEEN_TAGS.strip())}
    return run.relabel(**changes)
