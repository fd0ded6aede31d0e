"""The Doctor at a run's bedside: the worker's events go through here, and come back with its alerts among them.

An error in here must not end a training run: it goes to the log, and the Doctor says no more.

Adds what needs the run's data and model, and so is no business of the Doctor's: how much of a sample is copied from the
training text, how much of the unseen text stands in it, how strong each attention head is, how experts share the work.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable

from torch import Tensor

from gptlab.data import ngrams
from gptlab.events import Evaluation, Event, Experts, Sample, Status
from gptlab.train.batches import IGNORED, EvaluationWindows
from gptlab.train.doctor import Doctor
from gptlab.train.expert_loads import expert_loads
from gptlab.train.heads import head_strengths
from gptlab.train.routing import LEAST_CHOICES
from gptlab.train.trainer import Trainer

HEAD_WINDOWS = 8  # windows of unseen text that heads are judged on: a forward pass, next to an evaluation of many
LOAD_TOKENS = 4096  # about, of unseen text, that the loads of experts are measured on; more where these make too few choices

logger = logging.getLogger(__name__)


class Diagnosis:
    """Watches one stretch of work on a run. `earlier` are the events that count so far: they are not told again; a fork does
    not begin `from_scratch`."""

    def __init__(self, trainer: Trainer, earlier: Iterable[Event], from_scratch: bool = True):
        dataset = trainer.dataset
        self._trainer = trainer
        self._length = ngrams.stretch_length(dataset.manifest["train_tokens"], dataset.manifest["train_bytes"])
        self._copied: ngrams.Stretches | None = None  # made for the first sample
        self._routed_text: tuple[Tensor, Tensor] | None = None  # and which of it counts; made for the first loads
        self._doctor: Doctor | None = Doctor(trainer.config, dataset.manifest, val_overlap=lambda: ngrams.overlap(
            dataset.val, dataset.train, 4 * self._length, dataset.tokenizer.end_of_text), from_scratch=from_scratch)
        self._unless_it_fails(lambda: [self._doctor.see(event) for event in earlier])

    def told(self, events: list[Event]) -> list[Event]:
        """The same events, finished samples with their `copied_share`, each followed by its alerts (a status is last)."""
        answer = self._unless_it_fails(lambda: [one for event in events for one in self._told(event)])
        return events if answer is None else answer

    def _unless_it_fails(self, work: Callable[[], list]) -> list | None:
        if self._doctor is None:
            return None
        try:
            return work()
        except Exception:
            logger.exception("The Doctor had to give up on this run; training goes on")
            self._doctor = None
            return None

    def _told(self, event: Event) -> list[Event]:
        if isinstance(event, Evaluation) and self._trainer.config.model.n_expert is not None:
            measured = self._expert_loads(event)
            return [*self._with_alerts(event), measured, *self._doctor.see(measured)]
        return self._with_alerts(event)

    def _with_alerts(self, event: Event) -> list[Event]:
        if isinstance(event, Sample) and event.done and event.copied_share is None:
            if self._copied is None:
                self._copied = ngrams.Stretches(self._trainer.dataset.train, self._length)
            event = dataclasses.replace(event, copied_share=self._copied.share(event.token_ids))
        alerts = self._doctor.see(event)
        if isinstance(event, Evaluation) and self._doctor.asks_for_heads(event):
            ids = next(self._trainer.val_windows.batches(HEAD_WINDOWS))[0].to(self._trainer.device)
            alerts += self._doctor.examine_heads(event, head_strengths(self._trainer.model, ids))
        return [*alerts, event] if isinstance(event, Status) else [event, *alerts]

    def _expert_loads(self, event: Evaluation) -> Experts:
        """Of the model as it is now, on the same windows each time, evenly spaced over the unseen text."""
        trainer = self._trainer
        if self._routed_text is None:
            self._routed_text = _text_to_route(trainer)
        ids, counted = self._routed_text
        return Experts(step=event.step, time_seconds=event.time_seconds, tokens=int(counted.sum()),
                       loads=expert_loads(trainer.model, ids, counted, trainer.precision))


def _text_to_route(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """Windows of unseen text (B, T), on the trainer's device, and where they are text and not padding."""
    dataset, model, unseen = trainer.dataset, trainer.config.model, trainer.val_windows
    tokens = max(LOAD_TOKENS, LEAST_CHOICES * model.n_expert // model.n_expert_active)
    windows = EvaluationWindows(dataset.val, model.context_length, dataset.tokenizer.end_of_text,
                                max(1, tokens * len(unseen) // unseen.n_targets), by_document=unseen.by_document)
    ids, targets = next(windows.batches(len(windows)))
    return ids.to(trainer.device), (targets != IGNORED).to(trainer.device)
