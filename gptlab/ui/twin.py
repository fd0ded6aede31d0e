"""Train a twin: the dialog in which a run is begun once more with one thing different, which then stands beside it.

It stands once in the page, beside the tabs; any tab's script opens it with `window.gptlab.twin(id)`. Asking what would come of
it only reads, and comes from anybody's browser: every argument is checked.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, RunConfig, read_value
from gptlab.runs import chosen
from gptlab.runs.changes import value_of
from gptlab.runs.disk import RunError
from gptlab.runs.label import NAME_CHARACTERS
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.runs.twin import SWITCHES, make_twin, twin_config
from gptlab.ui import form, model_facts, words_export
from gptlab.ui.lab import EACH, NEW_DRAFT, Lab, Page, guarded, read_draft
from gptlab.ui.next_run import again
from gptlab.ui.people import person
from gptlab.ui.remedies import in_queue
from gptlab.ui.steering_panel import LONGEST_VALUE, about_setting, common_first, within_limit
from gptlab.ui.which_run import run_by_id
from gptlab.ui.words_train import value_said

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "twin.js")  # in this order, as one function
OTHER = [name for name in form.FIELDS if name.startswith(("model.", "train."))]


def build(lab: Lab, page: Page) -> None:
    """The dialog, closed."""
    def offered(run_id):  # plain functions, because gradio marks the ones a page may call
        return offer(lab, run_id)

    def foreseen(question):
        return foresee(lab, question)

    card = gr.HTML(elem_id="twin-card", html_template=(HERE / "twin.html").read_text(encoding="utf-8"), apply_default_css=False,
                   js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
                   server_functions=[offered, foreseen], words=words_export.TWIN, elem_classes="card-place")

    def on_twin(who, event: gr.EventData):
        answer = answer_to(lab, event._data, who)
        done = "runs" in answer
        return answer, gr.Tabs(selected="runs") if done else gr.skip(), answer.get("who") or gr.skip()

    card.twin(on_twin, page.who, [card, page.tabs, page.who], **EACH)


def offer(lab: Lab, run_id: Any) -> dict:
    """What can be different in a twin: `switches`, each with its `problem` where it cannot be, and `others`, settings with all
    that is needed to ask for them; or the `problem` with making any."""
    try:
        run = run_by_id(lab, run_id)
        config = run.config()
        if problem := _problem(run, {"train.seed": (config.train.seed + 1) % 2**31}):  # one that always can be
            return {"name": run.name, "problem": problem}
    except (ValueError, OSError) as problem:
        return {"name": "", "problem": str(problem)}
    switches = []
    for setting, switch in SWITCHES.items():
        label, help = words_export.SWITCHES[setting][switch.is_out(config)]
        try:
            problem = _problem(run, switch.changes(config))
        except RunError as already:
            problem = str(already)
        switches.append({"setting": setting, "label": label, "help": help, "problem": problem})
    others = {name: about_setting(name, value_of(config, name)) for name in common_first(OTHER)}
    return {"name": run.name, "switches": switches, "others": others}


def _problem(run: RunDir, changes: dict[str, Any]) -> str:
    """What is in the way of a twin with these changes, in a sentence."""
    try:
        twin_config(run, changes)
    except ConfigError as problem:
        return form.in_words(problem)
    except RunError as problem:
        return str(problem)
    return ""


def foresee(lab: Lab, question: Any) -> dict:
    """What making a twin would come to, `said` in a sentence, with the `command`; or the `problem` with it."""
    try:
        run, changes, name = read(lab, question)
        twin_config(run, changes)
        training = lab.jobs.current
        said = words_export.TWIN_STARTS if training is None else words_export.TWIN_WAITS
        return {"said": said.format(name=name, training=training and training.name), "command": command(lab, run, changes, name)}
    except ConfigError as problem:
        return {"problem": form.in_words(problem)}
    except (ValueError, OSError) as problem:
        return {"problem": str(problem)}


def read(lab: Lab, question: Any) -> tuple[RunDir, dict[str, Any], str]:
    """A page's wish, checked: `run`, `setting`, and its `value` as text where it is no switch: (the run, what its twin
    changes, what that is called). Raises ValueError, ConfigError among them."""
    question = question if isinstance(question, dict) else {}
    run, setting, value = run_by_id(lab, question.get("run")), question.get("setting"), question.get("value")
    config = run.config()
    if value is None and setting in SWITCHES:
        changes, ending = SWITCHES[setting].changes(config), SWITCHES[setting].ending(config)
    elif setting in OTHER and isinstance(value, str) and len(value) <= LONGEST_VALUE:
        if not value.strip():
            raise ValueError(words_export.TWIN["choose"])
        try:
            changes = {setting: read_value(setting, value)}
        except ValueError as problem:
            raise ConfigError([f"{setting}: {problem}"]) from None
        ending = f"{form.label(setting).lower()} {value_said(changes[setting])}"
    else:
        raise ValueError(words_export.TWIN["choose"])
    room = NAME_CHARACTERS - len(words_export.TWIN_NAME.format(name="", ending=ending))
    return run, within_limit(lab, run, changes), words_export.TWIN_NAME.format(name=run.name[:max(8, room)], ending=ending)


def command(lab: Lab, run: RunDir, changes: dict[str, Any], name: str) -> str:
    """The command that trains the same; the number format that was chosen by timing is given as a setting."""
    drafted = read_draft(again(lab, NEW_DRAFT, run))
    wanted = {**drafted["changes"], **_pinned(run, run.config()), **changes}
    return f"{model_facts.command(lab, {**drafted, 'changes': wanted})} --name {clean_name(name)}"


def _pinned(run: RunDir, config: RunConfig) -> dict[str, Any]:
    choice = chosen.kept(run, config.train)
    return {"train.precision": choice.precision} if choice is not None and config.train.precision == "auto" else {}


def answer_to(lab: Lab, question: Any, who: Any = "") -> dict:
    """Makes the twin and hands it to the queue: the `runs` to compare and a `note`, with the `number` of the question; or the
    `problem`."""
    question = question if isinstance(question, dict) else {}
    number, owner = question.get("number"), question.get("who") or who
    try:
        twin, run, note = guarded(train)(lab, question, person(owner))
    except gr.Error as refused:  # behind a dialog nobody would see it; what is HTML in a message is text there
        return {"number": number, "problem": html.unescape(str(refused.message))}
    return {"number": number, "runs": [run.id, twin.id], "note": note, "who": person(question.get("who"))}


def train(lab: Lab, question: Any, owner: str) -> tuple[RunDir, RunDir, str]:
    """(the twin, the run, what to say of it). Raises ValueError where it cannot be."""
    try:
        run, changes, name = read(lab, question)
        twin = make_twin(lab.workspace, run, changes, name, owner)
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None
    return twin, run, in_queue(lab, twin) or words_export.TWIN_BEGINS.format(name=twin.name)
