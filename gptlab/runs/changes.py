"""Which settings of a run may change once it has begun, and what they have become. Needs no torch.

`config.json` stays what the run was started with, but for the limits that an extension moves. What is changed while it
goes on stands in its events: going back to an older step takes it back, and nothing else has to be kept in step.
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

LARGEST = 1e15  # of the values of LIVE
CHUNK_BYTES = 2**20
OF_INTEREST = (b'{"type":"setting"', b'{"type":"status"')


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
    """Whether `values`, of an event, hold what a setting of LIVE can be: a number, or None for off."""
    if name not in LIVE or not isinstance(values, dict) or name not in values:
        return False
    value = values[name]
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST)


def live_config(run: RunDir, until_step: int | None = None) -> RunConfig:
    """The settings that a run goes on with, or those it had after `until_step` updates. Raises RunError, ConfigError.

    Reads the few events that matter of however many there are.
    """
    found, offset = [], 0
    while content := (chunk := run.read_events(offset, CHUNK_BYTES))[0]:
        offset = chunk[1]
        found += [line for line in content.splitlines() if line.startswith(OF_INTEREST)]
    events = eventlog.effective_events(eventlog.parse_lines(b"\n".join(found))[0])
    return run.config().replace(live_changes(event for event in events if until_step is None or event.step <= until_step))


def value_of(config: RunConfig, name: str) -> Any:
    """The value of "train.max_learning_rate"."""
    section, _, short = name.partition(".")
    return getattr(getattr(config, section), short)
