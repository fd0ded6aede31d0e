"""What a run says, one event a line of `events.jsonl`: the only language between training and everything that looks on.

Every event has `step` (updates done) and `time_seconds` (work time: pauses left out, continued on resume). Losses are
in nats per token. Imports nothing of ours.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

STATES = ("queued", "running", "paused", "finished", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class Event:
    """What all events have."""

    type: ClassVar[str]
    step: int
    time_seconds: float


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """One update. `step` counts from 1; `loss` is the mean over the update, before it; `epoch` may be fractional."""

    type = "step"
    epoch: float
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation(Event):
    """Losses on the fixed evaluation windows after `step` updates."""

    type = "evaluation"
    epoch: float
    train_loss: float
    val_loss: float
    val_perplexity: float
    val_bits_per_byte: float


@dataclass(frozen=True, kw_only=True)
class Experts(Event):
    """How the experts of each layer shared `tokens` of unseen text, measured beside an evaluation of `step`: `loads` holds for
    each layer every expert's share of the choices. They sum to 1; each token makes as many choices as it goes through experts."""

    type = "experts"
    tokens: int
    loads: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class Sample(Event):
    """A text the model wrote. Events with one `sample_id` grow (each holds the whole text so far) until `done`.

    `copied_share`, once `done`, is the share of its stretches of eight tokens (16 characters) that stand word for word in the
    training text; None where nobody looked.
    """

    type = "sample"
    sample_id: str
    epoch: float
    prompt: str
    text: str
    token_ids: list[int]
    logprobs: list[float]
    done: bool
    copied_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Event):
    """A checkpoint that is whole on disk; `path` is relative to the run directory."""

    type = "checkpoint"
    path: str
    kept_as: list[str]


@dataclass(frozen=True, kw_only=True)
class Alert(Event):
    """Something a person should know, with its evidence and what to do. `severity`: info, warning or error.

    `actions` says the remedy to a machine, the best first, each {"action": …} with `changes` {"train.batch_size": 32} and
    `step` where they apply: stop (the run), set (on the live run), restore_best (go back to `step`), fork (from the last
    checkpoint, or that of `step`), new (a run from the start), extend (a finished run), prepare (the data again).
    """

    type = "alert"
    code: str
    severity: str
    message: str
    evidence: str
    remedy: str
    actions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Status(Event):
    """The run's life. `resumed_from_step` S supersedes earlier-written non-status events with `step` > S."""

    type = "status"
    state: str
    reason: str = ""
    resumed_from_step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Setting(Event):
    """Settings that somebody changed after `step` updates: `changes` {"train.max_learning_rate": 3e-4}, and what they were
    `before`. They hold for the updates that follow; those of an extended run's limits stand in its config.json too."""

    type = "setting"
    changes: dict[str, Any]
    before: dict[str, Any]


EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls for cls in (Step, Evaluation, Experts, Sample, Checkpoint, Alert, Status, Setting)}


def to_json(event: Event) -> str:
    """One line of JSON, `type` first, without the newline. Numbers that are not finite become null (JSON has none)."""
    values: dict[str, Any] = {"type": event.type, **dataclasses.asdict(event)}
    return json.dumps(_finite(values), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(line: str) -> Event:
    """The event on a line; fields that this version does not know are ignored. Raises ValueError on anything else."""
    try:
        values = json.loads(line)
    except RecursionError:
        raise ValueError(f"not an event, nested too deeply: {line[:80]!r}") from None
    kind = values.get("type") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise ValueError(f"not an event: {line[:80]!r}")
    cls = EVENT_TYPES[kind]
    names = {item.name: item for item in dataclasses.fields(cls)}
    try:
        return cls(**{name: (math.nan if v is None and names[name].type == "float" else v)
                      for name, v in values.items() if name in names})
    except TypeError as error:
        raise ValueError(f"not a whole event: {line[:80]!r} ({error})") from None
