"""What can be done with the run on view, what that would come to, and its command: the steering panel's read-only questions.

Commands are composed here alone, so that the page shows what the command line takes. Nothing is done here: that is
gptlab.ui.remedies. Questions come from anybody's browser: every argument is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gptlab.cli.spelling import spelled
from gptlab.config import ConfigError, field_type, read_value
from gptlab.runs import checkpoint, steering
from gptlab.runs.changes import LIMITS, LIVE, live_config, value_of
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir, check_name, clean_name
from gptlab.ui import form, words
from gptlab.ui.lab import Lab
from gptlab.ui.model_facts import workspace_option
from gptlab.ui.which_run import run_by_id, run_or_none, status_here
from gptlab.ui.words_train import NOT_A_REMEDY, STEER, value_said

WORKING, AT_REST = ("set", "sample", "save"), ("resume", "extend", "set")
POSSIBLE = {  # in each state; a fork and the way back where there are checkpoints for them
    "running": (*WORKING, "pause", "stop"), "paused": ("resume", *WORKING, "stop"), "queued": ("set", "stop"),
    "stopped": AT_REST, "interrupted": AT_REST, "failed": AT_REST, "finished": ("extend",)}
ACTIONS = tuple(STEER["actions"])
WITH_SETTINGS = ("set", "extend", "fork")
LONGEST_VALUE = 10_000  # characters


@dataclass(frozen=True)
class Asked:
    """What a page wants done: `changes` as settings have them, `which` checkpoint to begin with, the `name` of a new run."""

    run: RunDir
    action: str
    changes: dict[str, Any]
    which: str | int
    name: str


class SteeringPanel:
    """Answers the page's questions about one run."""

    def __init__(self, lab: Lab):
        self.lab = lab

    def options(self, question: Any) -> dict:
        """What can be done with a run (`run`, an id) as it stands: `actions`; `checkpoints` to begin a new one with; the
        `settings` that go with each action; and `about` each of them. Nothing for one that is not there, or damaged."""
        nothing = {"actions": [], "checkpoints": [], "settings": {}, "about": {}, "name": ""}
        run = run_or_none(self.lab, question.get("run") if isinstance(question, dict) else None)
        try:
            return nothing if run is None else {**nothing, **self._options(run)}
        except (ValueError, OSError, KeyError, TypeError):  # files of it are missing, cut off or not whole
            return nothing

    def _options(self, run: RunDir) -> dict:
        state, config, there = status_here(self.lab, run)["state"], live_config(run), checkpoint.list_checkpoints(run)
        listed = begins_with(there)
        actions = [*POSSIBLE.get(state, ()), *["fork"] * bool(listed)]
        if state not in ("running", "paused", "queued") and can_go_back(run):
            actions.append("rollback")
        settings = {"set": LIVE, "extend": LIMITS, "fork": common_first(steering.fork_settings(config))}
        settings = {action: list(settings[action]) for action in actions if action in settings}
        about = {name: about_setting(name, value_of(config, name)) for names in settings.values() for name in names}
        return {"actions": actions, "checkpoints": listed, "settings": settings, "about": about, "name": fork_name(run)}

    def foresee(self, question: Any) -> dict:
        """What doing something would come to, `said` in a sentence, or the `problem` with it; its `command`; whether nothing
        is missing (`ready`)."""
        answer = {"command": "", "said": "", "problem": "", "ready": False}
        try:
            asked = read(self.lab, question)
            if asked.action in STEER["which_setting"] and not asked.changes:
                return {**answer, "said": STEER["which_setting"][asked.action]}
            state = status_here(self.lab, asked.run)["state"]
            waits = asked.action == "stop" and state == "queued"  # in this app, where no command reaches
            said = self._foreseen(asked, state)
            return {**answer, "said": said, "ready": True, "command": "" if waits else command(self.lab, asked)}
        except ConfigError as problem:
            return {**answer, "problem": form.in_words(problem)}
        except ValueError as problem:
            return {**answer, "problem": str(problem)}
        except (OSError, KeyError, TypeError):
            return {**answer, "problem": words.NO_SUCH_RUN}

    def _foreseen(self, asked: Asked, state: str) -> str:
        run, said = asked.run, STEER["will"].get(asked.action)
        match asked.action:
            case "set":
                wanted, before = steering.live_change(run, asked.changes)
                moved = ", ".join(STEER["from_to"].format(label=form.label(name), before=value_said(before[name]),
                                                          after=value_said(wanted[name])) for name in wanted)
                return said["working" if state in ("running", "paused") else "at_rest"].format(changes=moved)
            case "extend":
                return form.page_names(steering.extension(run, run.status(), within_limit(self.lab, run, asked.changes)).reason)
            case "fork":
                check_name(asked.name)
                begins = steering.beginning(run, asked.which, within_limit(self.lab, run, asked.changes))
                return said.format(name=run.name, step=f"{begins.saved.step:,}", about=begins.about)
            case "rollback":
                best = steering.way_back(run, run.status())
                return said.format(step=f"{best.step:,}", loss=f"{best.val_loss:.3f}")
            case "resume":
                return said["paused" if state == "paused" else "at_rest"]
            case "stop":
                return said["queued" if state == "queued" else "working"]
        return said


def read(lab: Lab, question: Any) -> Asked:
    """A page's wish, checked: `run`, `action`, `changes` {setting: value or text}, `step` (best, last or a number), `name`.

    Raises ValueError, ConfigError for values that settings cannot have.
    """
    question = question if isinstance(question, dict) else {}
    run, action, which = run_by_id(lab, question.get("run")), question.get("action"), question.get("step")
    changes, name = question.get("changes") or {}, question.get("name") or ""
    if action not in ACTIONS or not (which in (None, "best", "last") or type(which) is int) or not isinstance(name, str):
        raise ValueError(NOT_A_REMEDY)
    if not isinstance(changes, dict) or not changes.keys() <= form.FIELDS.keys() or len(str(changes)) > LONGEST_VALUE:
        raise ValueError(NOT_A_REMEDY)
    values, problems = {}, []
    for setting, value in changes.items() if action in WITH_SETTINGS else ():
        try:
            values[setting] = read_value(setting, value)
        except ValueError as problem:
            problems.append(f"{setting}: {problem}")
    if problems:
        raise ConfigError(problems)
    return Asked(run, action, values, "best" if which is None else which, name.strip() or fork_name(run))


def command(lab: Lab, asked: Asked) -> str:
    """The command that does the same."""
    parts, changes = [asked.action, asked.run.id], asked.changes
    if asked.action == "fork":
        parts += ["--checkpoint", str(asked.which), "--name", asked.name]
    if asked.action in ("fork", "extend"):
        changes = within_limit(lab, asked.run, changes)
    for setting, value in changes.items():
        parts += ["--set", f"{setting}={form.value_text(setting, value)}"]
    return spelled(parts + workspace_option(lab))


def within_limit(lab: Lab, run: RunDir, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, such that the run trains no longer than this app allows."""
    if lab.max_minutes is None:
        return changes
    minutes = changes.get("train.max_minutes", run.config().train.max_minutes)
    allowed = minutes is not None and minutes <= lab.max_minutes
    return changes if allowed else {**changes, "train.max_minutes": lab.max_minutes}


def fork_name(run: RunDir) -> str:
    """What a fork is called that nobody named."""
    return clean_name(f"{run.name[:50]}-fork")


def can_go_back(run: RunDir) -> bool:
    """Whether there is a better checkpoint than where the run stands, to go on from."""
    try:
        steering.way_back(run, run.status())
    except RunError:
        return False
    return True


def begins_with(there: list[checkpoint.Saved]) -> list[dict]:
    """The checkpoints a new run can begin with, for a list: the best, the last, and each step, newest first."""
    whole = [saved for saved in there if saved.problem is None]
    best = checkpoint.best_of(whole)
    named = [("best", best)] * bool(best) + [("last", saved) for saved in whole[-1:]]
    return [{"value": saved.step if kind == "step" else kind, "resumable": saved.resumable,
             "label": words.checkpoint_label(kind, saved.step, saved.val_loss)}
            for kind, saved in [*named, *(("step", saved) for saved in reversed(whole))]]


def common_first(names: list[str]) -> list[str]:
    """The learning rate, what a form shows open, the rest: each part in its order."""
    return sorted(names, key=lambda name: (name != LIVE[0], not form.FIELDS[name].metadata["common"]))


def about_setting(name: str, value: Any) -> dict:
    """What the panel needs to ask for a setting: its label, help and unit, what it is now, and how it is chosen.

    There an empty field means "as it is", so what the help says of empty ones is left out, and None is written "none".
    """
    (kind, optional), meta = field_type(name), form.FIELDS[name].metadata
    choices = [("none" if one is None else str(one), form.empty(name) if one is None else str(one))
               for one in meta["choices"] or ()]
    if kind is bool:
        choices = [("true", STEER["yes"]), ("false", STEER["no"])]
    return {"label": meta["label"], "help": re.sub(r"\s*Empty:[^.]*\.", "", meta["help"]), "unit": meta["unit"] or "", "choices": choices,
            "kind": "choice" if choices else "lines" if kind is tuple else "text" if kind is str else "number",
            "now": form.empty(name) if value is None else value_said(value),
            "none": form.empty(name) if optional and not choices else ""}
