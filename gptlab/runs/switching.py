"""From the plain training step to the compiled one, in the middle of a run and without anybody waiting for it.

Lives between the updates of a run: decides whether compiling can pay, has a process of its own fill the compiler's cache,
then times both in turn and leaves the faster one in place. What is compiled, and how, `gptlab.train.compiling` knows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator
from concurrent.futures import Future

import torch

from gptlab.runs.beside import Work
from gptlab.train.compiling import CompiledLoss, CompilingError, can_pay, fill_cache, in_a_clause
from gptlab.train.trainer import Trainer

PACE_SECONDS = 5.0       # of updates from which it is known how long the run will take
ROUNDS = 7               # stretches of updates that are timed of each of the two, in turn; the first does not count
WORTH = 1.02             # times as fast as the plain step, and the compiled one is kept


class Switching:
    """What `trainer` computes its losses with, over one stretch of work: `poll` after every update."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._fetched = False   # whether no losses are on the device, so that the seconds so far are all of them
        self._work: Work | None = None
        self._course = self._follow()

    def poll(self, fetched: bool) -> str:
        """Looks whether there is anything to do (next to nothing, mostly), and gives a sentence where there is something to say.
        `fetched`: the losses of all updates so far have been."""
        self._fetched = fetched
        return next(self._course, "")

    @property
    def compiling(self) -> bool:
        """Whether a process of its own is at work."""
        return self._work is not None

    def stand_still(self) -> None:
        """Ends the process that compiles, if there is one; it begins anew when the run goes on."""
        if self.compiling:
            self._course.close()
            self._course = self._follow()

    def close(self) -> None:
        """Ends it for good."""
        self._course.close()
        self._trainer.loss = self._trainer.model.loss

    def _follow(self) -> Generator[str, None, None]:
        """What happens, a step of it for each poll; gives what there is to say."""
        trainer = self._trainer
        train = trainer.config.train
        if train.compile == "off":
            return
        yield from self._pace()  # the first update is slow
        seconds_per_step = yield from self._pace(PACE_SECONDS)
        while trainer.total_steps is None:
            yield ""
        seconds_left = (trainer.total_steps - trainer.step) * seconds_per_step
        if train.compile == "auto" and not can_pay(trainer.device, seconds_left):
            return
        try:
            yield from self._compile()
        except Exception as problem:  # of whatever kind: a gain that is not to be had ends no run
            trainer.loss = trainer.model.loss
            yield f"Training goes on without compiling: {in_a_clause(problem)}."

    def _compile(self) -> Generator[str, None, None]:
        """Tries it, and leaves the faster one in place, as long as batches are computed in the parts that it was compiled for."""
        trainer, started = self._trainer, time.monotonic()
        size = trainer.micro_batch_size
        yield from self._fill_cache(size)
        compiled = CompiledLoss(trainer.model, size)
        compiled.prepare(trainer.device, trainer.precision)
        seconds = time.monotonic() - started
        gain, step = (yield from self._compare(compiled, size)), trainer.step
        if gain < WORTH:
            trainer.loss = trainer.model.loss
            yield f"Compiled after {seconds:.0f} s, which gained nothing here: training goes on as before."
            return
        trainer.loss = compiled
        yield f"Compiled after {seconds:.0f} s: {gain:.2f} times as fast from step {step:,} on."
        while True:
            self._check_size(size)
            yield ""

    def _check_size(self, size: int) -> None:
        """Raises CompilingError where a loss compiled for so many sequences would never be used any more."""
        if (now := self._trainer.micro_batch_size) != size:
            raise CompilingError(f"memory ran out, and since then {now} sequences are computed at a time instead of {size}")

    def _pace(self, least_seconds: float = 0.0) -> Generator[str, None, float]:
        """Seconds an update takes, over at least so many seconds of them. By the host's clock where nothing is under way."""
        trainer = self._trainer
        step, seconds = trainer.step, trainer.stepping_seconds
        while not (self._fetched and trainer.step > step and trainer.stepping_seconds - seconds >= least_seconds):
            yield ""
        return (trainer.stepping_seconds - seconds) / (trainer.step - step)

    def _fill_cache(self, size: int) -> Generator[str, None, None]:
        """Until a process of its own has compiled the loss of so many sequences. Raises CompilingError."""
        trainer, over = self._trainer, Future()
        self._work = Work("Compiling", fill_cache, trainer.config.model, trainer.model.checkpointing, trainer.model.vocab_size, size,
                          trainer.device, trainer.precision, torch.get_num_threads(), told=lambda _: None, ended=over.set_result)
        try:
            while not (over.done() and self._fetched):
                yield ""
                self._check_size(size)
        finally:
            self._work.end()
            self._work = None
        if problem := over.result():
            raise CompilingError(problem)

    def _compare(self, compiled: CompiledLoss, size: int) -> Generator[str, None, float]:
        """How many times as fast the compiled step is as the plain one; both in turn, so that a busier moment slows both.
        Raises CompilingError."""
        paces = []
        for _ in range(ROUNDS):
            for loss in (self._trainer.model.loss, compiled):
                self._trainer.loss = loss
                paces.append((yield from self._pace()))
                self._check_size(size)
        plain, fast = statistics.median(paces[2::2]), statistics.median(paces[3::2])
        return plain / fast
