"""A run in one small dictionary: what lists, headers and progress bars show. A cache; the events are the truth.

Keys: state reason step total_steps epoch tokens best_val_loss best_step best_bits_per_byte val_loss tokens_per_second
eta_seconds training_seconds (stepping only) time_seconds (work time) updated (seconds since 1970), and events_bytes: how much of
`events.jsonl` it reflects. Unknown values are None.
"""

from __future__ import annotations

import time

from gptlab.config import RunConfig
from gptlab.events import Evaluation, Event, Status, Step

EMPTY = dict(state="queued", reason="", step=0, total_steps=None, epoch=0.0, tokens=0, best_val_loss=None, best_step=None,
             best_bits_per_byte=None, val_loss=None, tokens_per_second=None, eta_seconds=None, training_seconds=0.0,
             time_seconds=0.0, updated=None, events_bytes=0)


def from_events(events: list[Event], config: RunConfig) -> dict:
    """The summary of the events that count (`effective_events`).

    `training_seconds` is pieced together from the steps' speeds; `total_steps` is known where only steps are limited.
    """
    status = {**EMPTY, "updated": time.time()}
    train = config.train
    if train.epochs is None and train.max_minutes is None:
        status["total_steps"] = train.max_steps
    for event in events:
        status["time_seconds"] = event.time_seconds
        if isinstance(event, Status):
            status.update(state=event.state, reason=event.reason)
            continue
        status["step"] = max(status["step"], event.step)
        if isinstance(event, Step):
            if event.tokens_per_second:
                status["training_seconds"] += (event.tokens - status["tokens"]) / event.tokens_per_second
            status.update(epoch=event.epoch, tokens=event.tokens, tokens_per_second=event.tokens_per_second)
        elif isinstance(event, Evaluation):
            status["val_loss"] = event.val_loss
            if status["best_val_loss"] is None or event.val_loss < status["best_val_loss"]:
                status.update(best_val_loss=event.val_loss, best_step=event.step,
                              best_bits_per_byte=event.val_bits_per_byte)
    return status
