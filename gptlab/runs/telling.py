"""What a worker puts on the disk of a run while it works on it: events, the status, a long run's curves.

Knows the trainer as something to look at; when and what to train, to sample and to save is the worker's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gptlab.events import Checkpoint, Evaluation, Event, Status, Step
from gptlab.runs import curves, status
from gptlab.runs.diagnosis import Diagnosis
from gptlab.runs.disk import RunError
from gptlab.runs.eventlog import EventLog
from gptlab.runs.rundir import RunDir
from gptlab.train.trainer import Trainer

STATUS_SECONDS = 1.0     # between two writings of status.json
CURVES_SECONDS = 10.0    # … and of a long run's curves
CURVES_SHARE = 50        # … which may take one part in so many of the time

logger = logging.getLogger(__name__)


class Telling:
    """One stretch of work on a run, as everybody else sees it. `trainer` is set once there is one that stands where the run
    does: before, the status only gets another state."""

    def __init__(self, run: RunDir):
        self.run = run
        self.log = EventLog(run.events_path)
        self.trainer: Trainer | None = None
        self.state, self.reason = "queued", ""
        self.val_loss: float | None = None
        self._diagnosis: Diagnosis | None = None
        self._curves: curves.Curves | None = None  # until `remember`: what lies on the disk holds earlier stretches too
        self._curves_due = 0.0
        self._evaluated_step: int | None = None  # by the events
        self._best_epoch = 0.0
        self._best_bits_per_byte: float | None = None
        self._tokens_per_second: float | None = None
        self._status_at = 0.0
        self._paced_from: tuple[int, float] | None = None  # (step, time_seconds) from which the pace is measured

    def close(self) -> None:
        """Lets go of the file, and of the trainer and what the Doctor holds of it."""
        self.trainer = self._diagnosis = None
        self.log.close()

    def remember(self, counting: list[Event]) -> None:
        """Takes up what counts of the events that there are, of this stretch and of earlier ones."""
        self._curves = curves.Curves()
        self._curves.add(counting)
        self._diagnosis = Diagnosis(self.trainer, counting, from_scratch=self.run.parent() is None)
        for event in counting:
            if isinstance(event, Evaluation):
                self._note(event)
        self.write_status()

    def record(self, events: list[Event]) -> None:
        """Appends events, and keeps what the status shows of them. An evaluation that the log has already is left out: it
        was cut once, so the checkpoint of its step does not know it, and a run that resumes from there makes it again."""
        events = [event for event in events if not (isinstance(event, Evaluation) and event.step == self._evaluated_step)]
        told = self._diagnosis.told(events) if self._diagnosis else events
        self.log.append(told)
        if self._curves is not None:
            self._curves.add(told)
        for event in events:
            if isinstance(event, Step):
                self._tokens_per_second = event.tokens_per_second or self._tokens_per_second
            elif isinstance(event, Evaluation):
                self._note(event)

    def _note(self, evaluation: Evaluation) -> None:
        """Keeps what an evaluation, of this stretch or an earlier one, says of where the run stands."""
        self.val_loss, self._evaluated_step = evaluation.val_loss, evaluation.step
        if evaluation.step == self.trainer.best_step:
            self._best_epoch, self._best_bits_per_byte = evaluation.epoch, evaluation.val_bits_per_byte

    def tell(self, state: str, reason: str = "", resumed_from_step: int | None = None, then: Sequence[Event] = ()) -> str:
        """A new state: an event that is on the disk when this returns, with those that come `then`, and status.json."""
        known = self.run.status(at_rest=True) if self.trainer is None else None
        self.state, self.reason = state, reason
        self.record([Status(step=known["step"] if known else self.trainer.step,
                            time_seconds=known["time_seconds"] if known else self.trainer.clock.time_seconds,
                            state=state, reason=reason, resumed_from_step=resumed_from_step), *then])
        self.log.sync()
        if known and known["state"] == "damaged":
            return state  # which it stays: there is nothing to say in its status but that
        if known:
            with if_possible("write status.json"):
                self.run.write_status({**known, "state": state, "reason": reason, "events_bytes": self.log.size()})
        else:
            self.write_status()
            if state != "running":  # it may stay so for long
                self._write_curves()
        return state

    def keep_pace(self) -> None:
        """After each update: from where the time left is measured, and the status, where it is due."""
        if self._paced_from is None:
            self._paced_from = (self.trainer.step, self.trainer.clock.time_seconds)
        self.write_status_if_due()

    def write_status_if_due(self) -> None:
        """Brings status.json up to date once a second."""
        if time.monotonic() - self._status_at > STATUS_SECONDS:
            self.write_status()

    def write_status(self) -> None:
        """Brings status.json up to date."""
        trainer = self.trainer
        values = dict(state=self.state, reason=self.reason, step=trainer.step, total_steps=trainer.total_steps,
                      epoch=trainer.epoch, tokens=trainer.tokens, best_val_loss=trainer.best_val_loss,
                      best_step=trainer.best_step, best_bits_per_byte=self._best_bits_per_byte, val_loss=self.val_loss,
                      tokens_per_second=self._tokens_per_second, eta_seconds=self._eta_seconds(),
                      training_seconds=trainer.stepping_seconds, time_seconds=trainer.clock.time_seconds,
                      updated=time.time(), events_bytes=self.log.size())
        assert values.keys() == status.EMPTY.keys()
        with if_possible("write status.json"):
            self.run.write_status(values)
        self._status_at = time.monotonic()
        if self._status_at > self._curves_due:
            self._write_curves()

    def _write_curves(self) -> None:
        """Keeps a long run's curves, unless the ones kept last are of the same events."""
        size = self.log.size()
        if self._curves is None or size == self._curves.events_bytes or size <= curves.LONG_BYTES:
            return
        started, self._curves.events_bytes = time.monotonic(), size
        with if_possible("write curves.json"):
            curves.save(self.run, self._curves)
        ended = time.monotonic()
        self._curves_due = ended + max(CURVES_SECONDS, CURVES_SHARE * (ended - started))

    def _eta_seconds(self) -> float | None:
        """Work time left, at the pace of this stretch (evaluations, samples and saving included); None if unknown."""
        trainer, minutes = self.trainer, self.trainer.config.train.max_minutes
        if self.state not in ("running", "paused"):
            return None
        if trainer.total_steps is None:
            return None if minutes is None else max(0.0, minutes * 60 - trainer.stepping_seconds)
        if self._paced_from is None or trainer.step <= self._paced_from[0]:
            return None
        steps, seconds = trainer.step - self._paced_from[0], trainer.clock.time_seconds - self._paced_from[1]
        return (trainer.total_steps - trainer.step) * seconds / steps

    def kept(self, saved: Checkpoint | None) -> str:
        """What there is to write with, and to go on from."""
        trainer = self.trainer
        if trainer.best_step is None:
            return ""
        last = saved.step if saved else trainer.best_step
        also = f", and step {last:,}, the last" if last != trainer.best_step else ""
        epoch = math.floor(self._best_epoch)
        ended = epoch >= 1 and (self._best_epoch - epoch) * trainer.best_step < self._best_epoch  # by that very step
        best = f"epoch {epoch} (step {trainer.best_step:,})" if ended else f"step {trainer.best_step:,}"
        return f"Kept {best}, the best (val {trainer.best_val_loss:.3f}){also}."


@contextmanager
def if_possible(what: str) -> Iterator[None]:
    """For what can be done another time: on Windows somebody who reads a file is in the way, which must not end a run."""
    try:
        yield
    except (OSError, RunError) as error:
        logger.warning("It was not possible to %s (%s): the next time will do.", what, error)
