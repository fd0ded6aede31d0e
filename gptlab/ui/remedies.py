"""What the page does to a run that is there: its buttons, the remedies of the Doctor's alerts, the steering
panel.

Plain functions from what a page sends to a sentence; it is checked like anything a person types. Knows no widget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gptlab.config import ConfigError
from gptlab.runs import steering
from gptlab.runs.rundir import RunDir
from gptlab.ui import form, words, words_train
from gptlab.ui.lab import Lab, change_draft, draft_changes, read_draft
from gptlab.ui.people import check_may, person
from gptlab.ui.steering_panel import Asked, fork_name, read, within_limit
from gptlab.ui.which_run import run_by_id, run_or_none

AT_WORK = ("running", "paused", "queued")  # states in which a run can be stopped


def pause_run(lab: Lab, shown: Any) -> str:
    """Pauses what trains: the run on view, or else the one that is at it."""
    return _told(working(lab, shown), "pause", words_train.NOTHING_TO_PAUSE)


def sample_now(lab: Lab, shown: Any) -> str:
    """Asks the run on view, while it trains, for a text of every prompt."""
    return _told(run_or_none(lab, shown), "sample", words_train.NOTHING_TO_SAMPLE)


def _told(run: RunDir | None, kind: str, otherwise: str) -> str:
    """Tells a run; a sentence where there is none."""
    if run is None:
        return otherwise
    run.command(kind)
    return ""


def resume_run(lab: Lab, shown: Any) -> str:
    """Goes on with the run on view: at once if it is paused, else from its last checkpoint, after those that wait."""
    run = run_or_none(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_RESUME
    if run.state() == "paused":
        run.command("resume")
        return ""
    return go_on(lab, run)


def go_on(lab: Lab, run: RunDir) -> str:
    """Goes on with a run from its last checkpoint, for no longer than this app allows, whoever began it and where; a sentence
    if it has to wait. Raises RunError for one that has trained so long already."""
    if not run.is_alive() and run not in lab.jobs.queue and (limit := within_limit(lab, run, {})):
        steering.extend(run, limit)
    return in_queue(lab, run)


def in_queue(lab: Lab, run: RunDir) -> str:
    """Hands a run to the queue; a sentence if it has to wait."""
    before = lab.jobs.current
    lab.jobs.submit(run)
    if (others := len(lab.jobs.queue) - 1) > 0:
        return words_train.QUEUED_BEHIND.format(name=run.name, others=f"{others} {words.plural('other', others)}")
    return words_train.QUEUED.format(name=run.name, training=before.name) if before and before != run else ""


def stop_run(lab: Lab, shown: Any, who: Any = "", sure: Any = None) -> str:
    """Stops the run that somebody is `sure` of, by its id, and no other; without one, the run on view if it trains or waits,
    else the one that trains. Any number of times.

    Raises ValueError for somebody else's of which nobody is sure.
    """
    run = run_by_id(lab, sure) if sure else working(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_STOP
    check_may(run, who, sure)
    if run.state() not in AT_WORK and run != lab.jobs.current:
        return words_train.ENDED_ALREADY.format(name=run.name)
    return _stop(lab, run)


def _stop(lab: Lab, run: RunDir) -> str:
    waiting = run.state() == "queued"
    lab.jobs.stop(run)
    return (words_train.TAKEN_BACK if waiting else words_train.STOPPING).format(name=run.name)


def working(lab: Lab, shown: Any) -> RunDir | None:
    """The run a button means: the one on view while it works or waits, else the one that trains."""
    run = run_or_none(lab, shown)
    return run if run is not None and run.state() in AT_WORK else lab.jobs.current


@dataclass(frozen=True)
class Done:
    """What came of a remedy: the run it was done to, or the one it made; a sentence; the draft and the tab where they
    change."""

    run: RunDir
    note: str
    draft: dict | None = None
    tab: str | None = None


def do_remedy(lab: Lab, draft: Any, shown: Any, remedy: Any, who: Any = "", sure: Any = None) -> Done:
    """Does one of an alert's actions (`gptlab.events.Alert`) to the run it is about. Raises ValueError with what is in the way.

    What a page sends is checked like anything a person types: by the settings' own bounds, and by `steering`.
    """
    run, (kind, changes, step) = run_by_id(lab, shown), read_remedy(remedy)
    said = words_train.settings_said({form.label(name): value for name, value in changes.items()})
    try:
        match kind:
            case "new":
                changed = change_draft(draft, words_train.FROM_THE_DOCTOR, changes={**read_draft(draft)["changes"], **changes})
                draft_changes(changed)  # raises where they do not go together
                return Done(run, words_train.FOR_NEXT_RUN.format(changes=said), draft=changed)
            case "prepare":
                return Done(run, words_train.PREPARE_WITH.format(changes=said) if said else words_train.PREPARE_AGAIN, tab="data")
            case "restore_best":
                do(lab, Asked(run, "rollback", {}, "best", ""), who, sure)
                return Done(run, go_on(lab, run) or words_train.GOES_BACK.format(name=run.name))
            case "stop" | "set" | "extend" | "fork":
                return do(lab, Asked(run, kind, changes, "last" if step is None else step, fork_name(run)), who, sure)
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None
    raise ValueError(words_train.NOT_A_REMEDY)


def steer(lab: Lab, question: Any, who: Any = "", sure: Any = None) -> Done:
    """Does what somebody chose in the steering panel (`gptlab.ui.steering_panel.read`). Raises ValueError likewise."""
    try:
        return do(lab, read(lab, question), who, sure)
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None


def do(lab: Lab, asked: Asked, who: Any, sure: Any) -> Done:
    """Does one of the panel's actions. Raises ValueError where that cannot be, ConfigError among them."""
    run, changes = asked.run, asked.changes
    said = words_train.settings_said({form.label(name): value for name, value in changes.items()})
    if asked.action in words_train.STEER["may"]:
        check_may(run, who, sure)
    match asked.action:
        case "stop" if run.state() in AT_WORK:
            return Done(run, _stop(lab, run))
        case "resume":
            return Done(run, resume_run(lab, run.id))
        case "pause" | "sample" | "save" as kind:
            run.command("checkpoint" if kind == "save" else kind)
            return Done(run, words_train.STEERED[kind].format(name=run.name))
        case "set":
            steering.set_live(run, changes)
            return Done(run, words_train.CHANGED_NOW.format(name=run.name, changes=said))
        case "rollback":
            steering.roll_back(run)
            return Done(run, words_train.STEERED["rollback"].format(name=run.name))
        case "fork":
            forked = steering.fork(lab.workspace, run, asked.which, within_limit(lab, run, changes), asked.name, person(who))
            begun = words_train.FORK_BEGINS.format(name=forked.name, changes=said or words_train.SAME_SETTINGS)
            return Done(forked, in_queue(lab, forked) or begun)
        case "extend":
            steering.extend(run, within_limit(lab, run, changes))
            return Done(run, in_queue(lab, run) or words_train.EXTENDED.format(name=run.name, changes=said))
    raise ValueError(words_train.NOT_A_REMEDY)


def read_remedy(remedy: Any) -> tuple[str, dict[str, Any], int | None]:
    """An action's kind, its changes, its step. Raises ValueError for what is none."""
    remedy = remedy if isinstance(remedy, dict) else {}
    kind, changes, step = remedy.get("action"), remedy.get("changes") or {}, remedy.get("step")
    if not isinstance(kind, str) or not isinstance(changes, dict) or not (step is None or type(step) is int):
        raise ValueError(words_train.NOT_A_REMEDY)
    if not changes.keys() <= form.FIELDS.keys():
        raise ValueError(words_train.NOT_A_REMEDY)
    return kind, changes, step
