"""What a run did and what it did it with, as far as a script must know to do the same: from its settings, events and checkpoints.

Knows nothing of the script's text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.events import Alert, Setting, Step
from gptlab.exchange.export import ExportError, Source
from gptlab.runs import checkpoint, eventlog
from gptlab.runs.changes import LIMITS, config_at, course, value_of
from gptlab.train.optim import learning_rate
from gptlab.train.plan import Plan

FIRST_LOSSES = 20
# What may change while a run goes on and a script has, too.
CHANGING = ("train.max_learning_rate", "train.min_learning_rate", "train.eval_every", "train.patience")


@dataclass(frozen=True)
class Done:
    """What a run did. `config` is what it began with, `steps` how many updates it has or was to have.

    `end` is where its schedule ended as far as was known at first, None where it was not; `changes` what was changed later:
    {after how many updates: {"train.eval_every" or "end": value}}. `losses` are those of its first updates, and
    `inexact` the reasons why no script can give exactly these.
    """

    config: RunConfig
    device: str
    precision: str
    threads: int
    steps: int
    end: int | None
    changes: dict[int, dict[str, Any]]
    losses: list[float]
    inexact: list[str]

    @property
    def schedule(self) -> str:
        """That of the learning rate: constant where no end, towards which it would fall, was ever known."""
        known = self.end is not None or any("end" in changes for changes in self.changes.values())
        return self.config.train.schedule if known else "constant"


def done_by(source: Source, dataset: Dataset) -> Done:
    """Raises ExportError for a run whose beginning no script can repeat, RunError for a damaged one."""
    run = source.run
    if run.parent() is not None:
        raise ExportError(f"{run.name} is a fork: it began with the weights of run {run.parent()['run']}, and a train.py begins "
                          "with random ones. Export the run that it was forked from, or train a new one with these settings.")
    states = _states(source)
    first, last = states[min(states)], states[max(states)]
    if first["batches"].get("draws") != "torch":
        raise ExportError(f"{run.name} was begun with an older version, which shuffled its text in a way that a train.py cannot "
                          "repeat: train it anew with the same settings, and export that run.")
    settings = eventlog.read_kinds(run.events_path, Setting)
    steps = eventlog.read_kinds(run.events_path, Step)
    began = config_at(source.config, settings, 0)
    ends = _ends(source.config, settings, steps, states, len(dataset.train))
    changes = _changes(source.config, settings)
    for step, end in list(ends.items())[1:]:
        changes.setdefault(step, {})["end"] = end
    alerts = [event for event in eventlog.read_kinds(run.events_path, Alert) if event.step <= FIRST_LOSSES]
    return Done(config=began, device=first["device"], precision=first["precision"], threads=first["threads"],
                steps=list(ends.values())[-1] or max(last["step"], 1), end=ends[0], changes=dict(sorted(changes.items())),
                losses=_first_losses(steps), inexact=_inexact(began, first, alerts))


def _states(source: Source) -> dict[int, dict]:
    """What the trainer noted down at each whole checkpoint, oldest first."""
    saved = [one for one in checkpoint.list_checkpoints(source.run) if one.problem is None]
    states = {one.step: state for one in saved if "threads" in (state := checkpoint.noted(one))}  # not where a fork begins
    if not states:
        raise ExportError(f"{source.run.name} has not been trained yet: train it a little first.")
    return states


def _changes(config: RunConfig, settings: list[Setting]) -> dict[int, dict[str, Any]]:
    changes: dict[int, dict[str, Any]] = {}
    for name in CHANGING:
        for step, value in course(settings, name, value_of(config, name))[1]:
            changes.setdefault(step, {})[name] = value
    return changes


def _ends(config: RunConfig, settings: list[Setting], steps: list[Step], states: dict[int, dict],
          n_tokens: int) -> dict[int, int | None]:
    """{from which update on: after how many the schedule ends}, 0 first."""
    def end_at(step: int) -> int | None:
        return Plan(config_at(config, settings, step + 1), n_tokens).last_step(_minutes_as_steps(states, step))

    moved = {one.step for one in settings if one.step > 0 and isinstance(one.changes, dict) and set(one.changes) & set(LIMITS)}
    ends = {step: end_at(step) for step in sorted({0} | moved)}
    until_timed = Plan(config_at(config, settings, 0), n_tokens).last_step()
    if ends[0] != until_timed and config.train.schedule != "constant":
        if (known := _known_from(config, settings, steps, until_timed, end_at)) > 0:
            ends = {0: until_timed, known: ends[0]} | {step: end for step, end in ends.items() if step > known}
    befores = [..., *ends.values()]  # the first is told in any case
    return {step: end for before, (step, end) in zip(befores, ends.items()) if end != before}


def _minutes_as_steps(states: dict[int, dict], step: int) -> int | None:
    """What `train.max_minutes` turned out to be, as the run knew it after `step` updates or soon after."""
    known = [(at, state["minutes_as_steps"]) for at, state in states.items() if state["minutes_as_steps"] is not None]
    return next((minutes for at, minutes in known if at > step), known[-1][1] if known else None)


def _known_from(config: RunConfig, settings: list[Setting], steps: list[Step], until_timed: int | None,
                end_at: Callable[[int], int | None]) -> int:
    """The first update whose learning rate knew of the end that minutes had turned into."""
    end, known = end_at(0), 0
    for event in steps:
        train = config_at(config, settings, event.step - 1).train if settings else config.train
        now, then = (learning_rate(event.step - 1, one, train) for one in (until_timed, end))
        if now != then and event.learning_rate == then:
            break
        known = event.step if now != then else known
    return known


def _first_losses(steps: list[Step]) -> list[float]:
    """Those of the first updates, as far as there are all of them and they are numbers."""
    losses = []
    for number, event in enumerate(steps[:FIRST_LOSSES], start=1):
        if event.step != number or event.loss is None or not math.isfinite(event.loss):
            break
        losses.append(event.loss)
    return losses


def _inexact(config: RunConfig, state: dict, alerts: list[Alert]) -> list[str]:
    """Why no script can give exactly the run's losses, each a clause."""
    reasons = []
    if state["device"] != "cpu":
        reasons.append("the run was trained on a GPU")
    if state["precision"] != "fp32":
        reasons.append(f"the run computed in {state['precision']}")
    if config.train.compile == "on":
        reasons.append("the run was compiled")
    if any(alert.code == "out_of_memory" for alert in alerts):
        reasons.append("memory ran out in the run's first updates, which were then computed in smaller parts")
    return reasons
