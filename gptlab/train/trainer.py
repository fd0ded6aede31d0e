"""The training loop: a data set and settings in, a trained model and a stream of events out.

No disk, no printing, no page, no sampling: whoever runs the loop (the worker) does these between updates. Losses stay
on the device and are fetched a few times a second, so that no update waits for the host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.events import Alert, Evaluation, Event, Step
from gptlab.model.gpt import GPT
from gptlab.threads import compute_with
from gptlab.train import cores, optim
from gptlab.train.batches import Batches
from gptlab.train.clock import Clock
from gptlab.train.device import (LOWER_MODEL, TooLittleMemory, autocast, available_threads, explain_out_of_memory,
                                 is_out_of_memory, pick_device, pick_precision, random_states, release_memory, set_random_states,
                                 threads_by_environment)
from gptlab.train.evaluation import evaluation_sets, mean_loss
from gptlab.train.plan import Plan

FETCH_SECONDS = 0.25  # how long losses may stay on the device


@dataclass
class Update:
    """An update whose loss and gradient norm (float32 scalars) are still on the device."""

    step: int
    epoch: float
    tokens: int
    learning_rate: float
    time_seconds: float
    loss: Tensor
    grad_norm: Tensor


class Trainer:
    """Trains a model on `dataset` as `config` says. `run()` is the loop; between its lists of events a worker may act.

    Sets torch's global seed, so it must be made and run on one thread, the only one that draws from the global random
    state. With a CPU `generator` for the initial weights it leaves that state alone (the model must have no dropout).
    Raises ValueError where the text is too short or the device is not there, TrainingError where memory runs out.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, *, device: str | None = None,
                 precision: str | None = None, generator: torch.Generator | None = None):
        train, context_length = config.train, config.model.context_length
        self.config, self.dataset = config, dataset
        self.device = pick_device(device or train.device)
        self.use_precision(precision or pick_precision(train.precision, self.device))
        self.batches = Batches(dataset.train, context_length, train.sequences(context_length), train.order, train.seed)
        self.plan = Plan(config, len(dataset.train))
        self.val_windows, self.train_windows = evaluation_sets(config, dataset)
        self._val_bytes = self.val_windows.n_bytes(dataset.tokenizer.byte_lengths())

        if self.device == "cuda":
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        if generator is None:
            torch.manual_seed(train.seed)
        with explain_out_of_memory():
            self.model = GPT(config.model, dataset.tokenizer.vocab_size, generator).to(self.device)
        self.model.checkpointing = train.gradient_checkpointing
        self.loss = self.model.loss  # of an update's batches; a compiled one may take its place
        self._parameters = list(self.model.parameters())
        self.optimizer = optim.build_optimizer(self.model, train)

        self.micro_batch_size = self.batches.batch_size  # sequences computed at once: fewer once memory has run out

        self.step = 0  # updates done
        self.clock = Clock()
        self.stepping_seconds = 0.0  # in updates alone: evaluation, sampling and saving left out
        self.best_val_loss: float | None = None
        self.best_step: int | None = None
        self.evaluated_step: int | None = None  # the last one with an evaluation
        self.finish_reason = ""
        self.diverged = False
        self._bad = torch.zeros((), device=self.device)  # 1 from the first loss or gradient on that is not finite
        self._evaluations_since_best = 0
        self._minutes_as_steps: int | None = None  # what max_minutes turned out to be
        self._timed_from: tuple[int, float] | None = None  # (step, stepping_seconds) once the first update is over
        self._pending: list[Update] = []
        self._alerts: list[Alert] = []  # to be told with the updates they are about
        self._fetched = (0, 0.0, time.perf_counter())  # (step, stepping_seconds, when) at the last fetch

    def run(self, should_halt: Callable[[], bool] | None = None) -> Iterator[list[Event]]:
        """Train to the end: yields after the step-0 evaluation and after each update what there is to tell, if anything.

        Where `should_halt` turns true in an evaluation, that is cut: nothing is told of it, and it begins anew when the
        loop goes on, or a resumed run does.
        """
        with explain_out_of_memory():
            while self._evaluation_owed() or not self._finished():
                events: list[Event] = []
                if not self._evaluation_owed():
                    self.update()
                    if self._evaluation_owed() or self._fetch_due():
                        events += self.flush()
                if self._evaluation_owed():
                    events += self._evaluate(should_halt)
                yield events

    def update(self) -> None:
        """One update of the weights: gradients over all its batches, clipped, then the optimizer. Waits for no device.

        From the first loss or gradient norm on that is not finite, weights and optimizer stay as they were, and the
        next flush() finds out. (In fp16, gradients that overflow for their scaling only skip the update.)
        """
        started = time.perf_counter()
        if not self.model.training:  # a sample was written meanwhile
            self.model.train()
        learning_rate = optim.learning_rate(self.step, self._last_step(), self.config.train)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss = self._compute_gradients()
        with explain_out_of_memory(LOWER_MODEL):  # by now, the batch has no part in it
            self.scaler.unscale_(self.optimizer)
            grad_norm = self._clip_gradients()
            finite = torch.isfinite(loss if self.scaler.is_enabled() else loss + grad_norm)
            self._bad = torch.maximum(self._bad, (~finite).float())
            optim.step_unless(torch.maximum(self._bad, (~torch.isfinite(grad_norm)).float()), self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.stepping_seconds += time.perf_counter() - started
        self._pending.append(Update(self.step, self.epoch, self.tokens, learning_rate, self.clock.time_seconds, loss,
                                    grad_norm))

    def flush(self) -> list[Event]:
        """Fetch the losses still on the device: one Step event for each update since the last time, in order, after what else
        there is to tell of it."""
        if not self._pending:
            return []
        started = time.perf_counter()
        pending, self._pending = self._pending, []
        values = torch.stack([value for update in pending for value in (update.loss, update.grad_norm)]).tolist()
        now = time.perf_counter()
        self.stepping_seconds += now - started  # the wait for a GPU to finish these updates
        seconds = self.stepping_seconds - self._fetched[1]
        tokens_per_second = (self.step - self._fetched[0]) * self.plan.tokens_per_update / seconds
        self._fetched = (self.step, self.stepping_seconds, now)
        self._turn_minutes_into_steps()

        events: list[Event] = []
        for update, loss, grad_norm in zip(pending, values[::2], values[1::2]):
            events.append(Step(step=update.step, time_seconds=update.time_seconds, epoch=update.epoch,
                               tokens=update.tokens, loss=loss, learning_rate=update.learning_rate, grad_norm=grad_norm,
                               tokens_per_second=tokens_per_second))
            if not math.isfinite(loss if self.scaler.is_enabled() else loss + grad_norm):
                self._stop_before(update, "loss" if not math.isfinite(loss) else "gradient")
                break
        alerts, self._alerts = self._alerts, []
        return sorted(alerts + events, key=lambda event: event.step)

    def change(self, changes: dict[str, Any]) -> None:
        """Goes on with other settings from the next update on: learning rates (the schedule keeps its shape), how often to
        evaluate, patience. Not what a model, an optimizer or batches are made with. Raises ConfigError."""
        self.config = self.config.replace(changes)
        self.plan = Plan(self.config, len(self.dataset.train))

    @property
    def epoch(self) -> float:
        """How often the training text has been read."""
        return self.batches.epoch

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return self.step * self.plan.tokens_per_update

    @property
    def total_steps(self) -> int | None:
        """How many updates the run will have; None until `max_minutes` has become a number of steps."""
        unknown = self.config.train.max_minutes is not None and self._minutes_as_steps is None
        return None if unknown else self._last_step()

    def use_precision(self, precision: str) -> None:
        """Compute in "fp32", "bf16" or "fp16" from the next update on."""
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self.device, enabled=precision == "fp16")

    def state_dict(self) -> dict:
        """All that a run needs to go on exactly, but the weights: JSON values, and tensors under "optimizer".

        Call flush() first. The tensors are the optimizer's own, not copies.
        """
        if self._pending:
            raise RuntimeError("flush() before state_dict(): losses are still on the device")
        return {
            "step": self.step, "batches": self.batches.state_dict(), "time_seconds": self.clock.time_seconds,
            "stepping_seconds": self.stepping_seconds, "best_val_loss": self.best_val_loss, "best_step": self.best_step,
            "evaluated_step": self.evaluated_step, "evaluations_since_best": self._evaluations_since_best,
            "minutes_as_steps": self._minutes_as_steps, "max_minutes": self.config.train.max_minutes,
            "random": random_states(self.device), "scaler": self.scaler.state_dict(),
            "micro_batch_size": self.micro_batch_size, "device": self.device, "precision": self.precision,
            "threads": torch.get_num_threads(),
            "optimizer": optim.state_tensors(self.model, self.optimizer),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state`; the caller loads the weights of the same moment into `model`.

        Sets torch's global random state, and for this thread how many threads compute: as many as before, where there are.
        Raises ValueError where the optimizer's tensors are not this model's.
        """
        optim.load_state_tensors(self.model, self.optimizer, state["optimizer"])
        if state.get("device") == self.device:
            if self.config.train.precision == "auto" and self.precision != state["precision"]:
                self.use_precision(state["precision"])
            if self.device == "cpu" and threads_by_environment() is None:
                compute_with(min(state["threads"], available_threads()))
        if state["scaler"]:  # empty where the run had none so far, such as on a processor
            self.scaler.load_state_dict(state["scaler"])
        self.batches.load_state_dict(state["batches"])
        self.micro_batch_size = state.get("micro_batch_size", self.micro_batch_size)
        self.step, self.stepping_seconds = state["step"], state["stepping_seconds"]
        self.clock = Clock(state["time_seconds"])
        self.best_val_loss, self.best_step = state["best_val_loss"], state["best_step"]
        self.evaluated_step = state["evaluated_step"]
        self._evaluations_since_best = state["evaluations_since_best"]
        minutes = self.config.train.max_minutes
        if state.get("max_minutes", minutes) != minutes:  # made longer: by the pace so far, so that the schedule knows its end
            self._minutes_as_steps = self.plan.minutes_as_steps(self.step, self.stepping_seconds)
        else:
            self._minutes_as_steps = state["minutes_as_steps"] if minutes is not None else None
        self._fetched = (self.step, self.stepping_seconds, time.perf_counter())
        set_random_states(self.device, state["random"])

    def _compute_gradients(self) -> Tensor:
        """Leave the update's gradients, times the loss scale, with the parameters; gives its mean loss, on the device.

        Where memory runs out, the same windows are computed again in parts half as large, and so is all that follows.
        Raises TooLittleMemory where not even one sequence fits.
        """
        position, before, lack = self.batches.state_dict(), self.micro_batch_size, ""
        states = random_states(self.device) if self.config.model.dropout else {}  # a try that fails has drawn some masks already
        while True:
            try:
                loss = self._accumulate_gradients()
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                lack = str(error).partition("\n")[0]
            self.optimizer.zero_grad(set_to_none=True)
            self.batches.load_state_dict(position)
            set_random_states(self.device, states)
            release_memory(self.device)
            if self.micro_batch_size == 1:
                self.micro_batch_size = before
                raise TooLittleMemory(f"Memory ran out at step {self.step + 1:,} with one sequence at a time: {LOWER_MODEL}")
            self.micro_batch_size = (self.micro_batch_size + 1) // 2
        if lack:
            self._alerts.append(self._memory_alert(lack))
        return loss

    def _accumulate_gradients(self) -> Tensor:
        """The gradients of the mean over all sequences of the update, `micro_batch_size` of them at a time; its mean loss."""
        loss = torch.zeros((), device=self.device)
        for _ in range(self.plan.batches_per_update):
            ids, targets = self._next_batch()
            sequences = len(ids) * self.plan.batches_per_update
            for part_ids, part_targets in zip(ids.split(self.micro_batch_size), targets.split(self.micro_batch_size)):
                loss += self._add_gradients(part_ids, part_targets, len(part_ids) / sequences)
        return loss

    def _add_gradients(self, ids: Tensor, targets: Tensor, share: float) -> Tensor:
        """Adds the gradients of `share` times the mean loss over these sequences to those there are; gives that loss."""
        def loss(part_ids: Tensor, part_targets: Tensor) -> Tensor:
            with autocast(self.device, self.precision):
                return self.loss(part_ids, part_targets) * share

        if (side_by_side := self._cores_for(len(ids))) is not None:
            return cores.add_gradients(side_by_side, loss, self._parameters, ids, targets)
        part = loss(ids, targets)
        self.scaler.scale(part).backward()
        return part.detach()

    def _cores_for(self, sequences: int) -> cores.Cores | None:
        """The cores of a processor that each compute some of these sequences, if they do. Not with dropout, whose random numbers
        would come in no order, nor with a compiled loss, which has few operations to share."""
        if self.device != "cpu" or self.config.model.dropout or self.loss != self.model.loss:
            return None
        mine = cores.mine()
        return mine if mine is not None and mine.count <= sequences and cores.fits(mine.count, self._parameters) else None

    def _memory_alert(self, evidence: str) -> Alert:
        step, batch_size = self.step + 1, self.batches.batch_size
        same = "the same but for dropout's draws" if self.config.model.dropout else "the same"
        return Alert(step=step, time_seconds=self.clock.time_seconds, code="out_of_memory", severity="info", evidence=evidence,
                     message=f"Memory ran out at step {step:,}: from here on, batches of {batch_size} are computed in parts of "
                             f"{self.micro_batch_size}; the result is {same}.",
                     remedy="Nothing has to be done. If training has become slow, close what else uses this machine's memory; "
                            "for the next run, lower model.context_length, model.n_embd or model.n_layer.")

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        ids, targets = self.batches.next()
        if self.device != "cuda":
            return ids.to(self.device), targets.to(self.device)
        return (ids.pin_memory().to(self.device, non_blocking=True),
                targets.pin_memory().to(self.device, non_blocking=True))

    def _clip_gradients(self) -> Tensor:
        """Scale the gradients down to `grad_clip`; gives their norm before that."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if self.config.train.grad_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.train.grad_clip, norm)
        return norm

    def _evaluation_owed(self) -> bool:
        """Whether the model as it is now is to be evaluated, and was not."""
        return (self.evaluated_step != self.step and not self.diverged
                and (self.plan.evaluation_due(self.step) or self.step == self._last_step()))

    def _evaluate(self, should_halt: Callable[[], bool] | None) -> list[Evaluation]:
        """One event; none where it was cut."""
        val_loss = mean_loss(self.model, self.val_windows, self.precision, should_halt)
        train_loss = None if val_loss is None else mean_loss(self.model, self.train_windows, self.precision, should_halt)
        if train_loss is None:
            return []
        self.evaluated_step = self.step
        self._evaluations_since_best += 1
        if self.best_val_loss is None or val_loss < self.best_val_loss:
            self.best_val_loss, self.best_step, self._evaluations_since_best = val_loss, self.step, 0
        bits = val_loss * self.val_windows.n_targets / math.log(2)
        return [Evaluation(step=self.step, time_seconds=self.clock.time_seconds, epoch=self.epoch, train_loss=train_loss,
                           val_loss=val_loss, val_perplexity=math.exp(val_loss) if val_loss < 700 else math.inf,
                           val_bits_per_byte=bits / max(1, self._val_bytes))]

    def _fetch_due(self) -> bool:
        return time.perf_counter() - self._fetched[2] > FETCH_SECONDS

    def _last_step(self) -> int | None:
        return self.plan.last_step(self._minutes_as_steps)

    def _finished(self) -> bool:
        limits, patience = self.plan.limits(self._minutes_as_steps), self.config.train.patience
        if self.diverged:
            return True
        if self.step >= min(limits.values(), default=math.inf):
            self.finish_reason = min(limits, key=limits.get)
        elif patience is not None and self._evaluations_since_best >= patience:
            self.finish_reason = f"No better loss on unseen text in {patience} evaluations (patience)"
        return bool(self.finish_reason)

    def _turn_minutes_into_steps(self) -> None:
        """Once a twentieth of `max_minutes` has been timed (half a minute at most, three updates at least, the slow
        first one left out), fix how many updates fit, so that the schedule has an end and a resumed run the same.
        Where updates are too slow for that, the run ends with the one in which the time ran out."""
        minutes = self.config.train.max_minutes
        if minutes is None or self._minutes_as_steps is not None:
            return
        if self.stepping_seconds >= minutes * 60:
            self._minutes_as_steps = self.step
            return
        if self._timed_from is None:
            self._timed_from = (self.step, self.stepping_seconds)
        steps, seconds = self.step - self._timed_from[0], self.stepping_seconds - self._timed_from[1]
        if steps >= 3 and seconds >= min(30.0, minutes * 60 / 20):
            left = (minutes * 60 - self.stepping_seconds) / (seconds / steps)
            self._minutes_as_steps = self.step + max(1, round(left))

    def _stop_before(self, update: Update, what: str) -> None:
        """The run is over: go back to just before `update`, which moved no weight, nor did those after it."""
        self.diverged = True
        self.step = update.step - 1
        self.batches.skip_to(self.step * self.plan.batches_per_update)
        self.finish_reason = (f"The {what} was not a finite number at step {update.step:,}, so training stopped before "
                              "it. Lower train.max_learning_rate, or raise train.warmup_steps.")
