"""How fast a run will be here, before it starts: a few real updates of a model that is then thrown away.

Draws from generators of its own, so that a run training meanwhile stays the same run (slower, though, for that second).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.model import estimate
from gptlab.train.amounts import in_time
from gptlab.train.batches import EvaluationWindows
from gptlab.train.choosing import EFFICIENCY, Choice, choose
from gptlab.train.device import explain_out_of_memory, matrix_rate, using_threads
from gptlab.train.evaluation import evaluation_sets, mean_loss
from gptlab.train.plan import Plan
from gptlab.train.room import Room, room
from gptlab.train.trainer import Trainer

STEPPING_SECONDS = 0.6  # of updates that are timed
BATCH_SECONDS = 0.3     # what one batch may take; where it would take longer, fewer sequences are tried


@dataclass(frozen=True)
class Preflight:
    """What a run will take, on this machine as busy as it is now, with what it would choose there.

    Where even one sequence would take too long to try, or memory would run out, `measured` is False: the numbers are then the
    model's operations over half this machine's matrix rate. `total_seconds` is training and evaluation, without samples and
    saving.
    """

    choice: Choice
    measured: bool
    tokens_per_second: float
    seconds_per_step: float
    seconds_per_evaluation: float
    total_steps: int
    total_seconds: float
    peak_memory_bytes: int | None  # on an NVIDIA GPU
    timed_updates: int             # 0 where none was tried
    room: Room                     # what it needs of this machine's memory, as free as it is now

    @property
    def told(self) -> str:
        """Whether it fits and how long it takes, in words."""
        if not self.room.fits:
            return self.room.told
        how = (f"timed on {self.timed_updates} real {'step' if self.timed_updates == 1 else 'steps'}" if self.measured
               else "worked out: a step would take long to time")
        return f"{self.room.told}; about {in_time(self.total_seconds)} here ({how})."


def measure(config: RunConfig, dataset: Dataset) -> Preflight:
    """Time `config` on `dataset` for about a second. Dropout is left out: it would draw from the global random state.

    Raises ValueError where the text is too short or the device is not there, TrainingError where memory runs out.
    """
    choice = choose(config, dataset)
    config = config.replace({"train.batch_size": choice.batch_size})
    space = room(config, dataset.tokenizer.vocab_size, choice.device, choice.threads, choice.precision)
    with using_threads(choice.threads):
        return _measure(config, dataset, choice, space)


def _measure(config: RunConfig, dataset: Dataset, choice: Choice, space: Room) -> Preflight:
    train, plan = config.train, Plan(config, len(dataset.train))
    val, of_train = evaluation_sets(config, dataset)
    flops_per_token = estimate.flops_per_token(config.model, dataset.tokenizer.vocab_size)
    expected = EFFICIENCY * matrix_rate(choice.device, choice.precision) / flops_per_token  # tokens a second
    batch_size = min(train.batch_size, int(BATCH_SECONDS * expected / config.model.context_length))
    if not space.fits:
        batch_size = 0  # to try it could take the machine down
    timed_updates = 0
    if batch_size > 0:
        with explain_out_of_memory():
            tokens_per_second, seconds_per_window, peak_memory, timed_updates = _try(config, dataset, batch_size, choice)
        seconds_per_evaluation = seconds_per_window * (len(val) + len(of_train))
    else:
        tokens_per_second, peak_memory = expected, None
        seconds_per_evaluation = (val.n_targets + of_train.n_targets) / (3 * expected)  # no backward pass: a third
    seconds_per_step = plan.tokens_per_update / tokens_per_second
    minutes_as_steps = None if train.max_minutes is None else max(1, round(train.max_minutes * 60 / seconds_per_step))
    total_steps = plan.last_step(minutes_as_steps)
    return Preflight(choice=choice, measured=batch_size > 0, tokens_per_second=tokens_per_second,
                     seconds_per_step=seconds_per_step, seconds_per_evaluation=seconds_per_evaluation,
                     total_steps=total_steps, peak_memory_bytes=peak_memory, timed_updates=timed_updates, room=space,
                     total_seconds=total_steps * seconds_per_step + plan.evaluations(total_steps) * seconds_per_evaluation)


def _try(config: RunConfig, dataset: Dataset, batch_size: int, choice: Choice) -> tuple[float, float, int | None, int]:
    """(tokens a second of updates, seconds to evaluate a window, bytes of GPU memory at the peak, updates timed)."""
    trial = config.replace({"model.dropout": 0.0, "train.batch_size": batch_size, "train.tokens_per_update": None})
    if on_gpu := choice.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        memory_before = torch.cuda.memory_allocated()
    trainer = Trainer(trial, dataset, device=choice.device, precision=choice.precision,
                      generator=torch.Generator().manual_seed(config.train.seed))
    trainer.update()  # the first one is slow
    trainer.flush()
    first_seconds = trainer.stepping_seconds
    while trainer.stepping_seconds - first_seconds < STEPPING_SECONDS:
        trainer.update()
        trainer.flush()
    tokens_per_second = (trainer.step - 1) * trainer.plan.tokens_per_update / (trainer.stepping_seconds - first_seconds)
    # A batch made smaller to be quick says nothing about memory.
    peak = torch.cuda.max_memory_allocated() - memory_before if on_gpu and batch_size == config.train.batch_size else None

    windows = EvaluationWindows(dataset.val, config.model.context_length, dataset.tokenizer.end_of_text, 2 * batch_size)
    started = time.perf_counter()
    mean_loss(trainer.model, windows, trainer.precision)
    return tokens_per_second, (time.perf_counter() - started) / len(windows), peak, trainer.step - 1
