"""Which settings of a run may change once it has begun, and what they have become. Needs no torch.

`config.json` stays what the run was started with, but for the limits that an extension moves, and a batch size that the
machine was to choose. What is changed while it goes on stands in its events: going back to an older step takes it back, and
nothing else has to be kept in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gptlab.config import RunConfig
from gptlab.events import Event, Setting
from gptlab.runs import eventlog
from gptlab.runs.rundir import RunDir

# What the next update, or the worker between two, reads anew. The rest is built into a model, its optimizer or its data.
LIVE = ("train.max_learning_rate", "train.min_learning_rate", "train.eval_every", "train.sample_every",
        "train.checkpoint_every", "train.keep_checkpoints", "train.patience")
LIMITS = ("train.max_steps", "train.epochs", "train.max_minutes", "train.patience")  # what can end a run

LARGEST = 1e15  # of the values of these


def live_changes(events: Iterable[Event]) -> dict[str, Any]:
    """What `events`, those that count, have changed while the run went on."""
    return {name: value for event in events if isinstance(event, Setting) and isinstance(event.changes, dict)
            for name, value in event.changes.items() if name in LIVE}


def course(settings: Iterable[Setting], name: str, value: Any) -> tuple[Any, list[tuple[int, Any]]]:
    """(what a setting was when the run began, [(after how many updates, what it became)]); `value` is that of config.json,
    `settings` are those of the run that count. An event may come from elsewhere: one that says no number is passed over.
    """
    first, later, told = value, [], False
    for one in settings:
        if not _says(one.changes, name):
            continue
        if not told and _says(one.before, name):
            first = one.before[name]  # of an extended run, config.json has what it became
        told, new = True, one.changes[name]
        if later and later[-1][0] == one.step:
            later.pop()
        if one.step <= 0:
            first = new
        elif new != (later[-1][1] if later else first):
            later.append((one.step, new))
    return first, later


def _says(values: Any, name: str) -> bool:
    """Whether `values`, of an event, hold what a setting of LIVE or LIMITS can be: a number, or None for off."""
    if name not in LIVE + LIMITS or not isinstance(values, dict) or name not in values:
        return False
    value = values[name]
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST)


def live_config(run: RunDir, until_step: int | None = None) -> RunConfig:
    """The settings that a run goes on with, or those it had after `until_step` updates. Raises RunError, ConfigError.

    Reads the few events that matter of however many there are.
    """
    config, settings = run.config(), settings_of(run)
    return config.replace(live_changes(settings)) if until_step is None else config_at(config, settings, until_step)


def settings_of(run: RunDir) -> list[Setting]:
    """The changes of settings that count."""
    return eventlog.read_kinds(run.events_path, Setting)


def config_at(config: RunConfig, settings: list[Setting], step: int) -> RunConfig:
    """What the settings of a run were after `step` updates, by its `config.json` and what changed them. Raises ConfigError.

    A run is extended where it ended, so an extension at that very step came after all that was done by then.
    """
    changes = {}
    for name in dict.fromkeys(LIVE + LIMITS):
        value, later = course(settings, name, now := value_of(config, name))
        reached = step if name in LIVE else step - 1
        value = next((new for at, new in reversed(later) if at <= reached), value)
        if value != now:
            changes[name] = value
    return config.replace(changes)


def value_of(config: RunConfig, name: str) -> Any:
    """The value of "train.max_learning_rate"."""
    section, _, short = name.partition(".")
    return getattr(getattr(config, section), short)
