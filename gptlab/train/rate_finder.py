"""A range test: which learning rate a training could use, by updates of a throw-away model at ever higher ones.

After Smith (arXiv:1506.01186): the rate rises exponentially, a little with each update, until the loss blows up. Draws from
generators of its own, so that a run training meanwhile stays the same run. Knows no disk and no page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gptlab.config import RunConfig, SampleConfig
from gptlab.data.dataset import Dataset
from gptlab.events import Step
from gptlab.model import estimate
from gptlab.train.choosing import EFFICIENCY, choose
from gptlab.train.device import explain_out_of_memory, matrix_rate, pick_device, pick_precision, using_threads
from gptlab.train.plan import Plan
from gptlab.train.trainer import Trainer

LOWEST, HIGHEST = 1e-5, 1.0   # below, nothing moves in so few updates
UPDATES, FEWEST_UPDATES = 100, 40
MOST_SECONDS = 300.0          # for all updates; where that is too little there are fewer of them, or none
ROUGHLY = 3                   # times as long as reckoned: not refused before it was timed
FURTHER = 0.8                 # of its neighbour's weight has a loss one update further off, in means
BLOWN_UP = 1.1                # times the loss it began with
LEARNT = 0.02                 # of the loss it began with, at least, it must fall for anything to be suggested
MOST_OF_THE_WAY = 0.9         # of the whole fall


@dataclass(frozen=True)
class RangeTest:
    """How far a test is, or what it found.

    `losses` (nats a token) are those of the batch after the update at each of `rates`; there are to be `updates` at most.
    `ended` is "" while it goes on, then "blown up", or "highest" where every rate was tried.
    """

    updates: int
    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0  # that an update takes
    ended: str = ""

    @property
    def seconds_left(self) -> float:
        """At most."""
        return (self.updates - len(self.rates)) * self.seconds

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses evened out: means with weights that fall to both sides alike. A mean of what came before would lag, and
        show everything at too high a rate."""
        places = np.arange(len(self.losses))
        weights = FURTHER ** np.abs(np.subtract.outer(places, places))  # (n, n)
        return tuple((weights @ np.array(self.losses) / weights.sum(axis=1)).tolist())

    @property
    def lowest_at(self) -> float | None:
        """The rate with the lowest smoothed loss. None where the loss hardly fell."""
        return self._first_below(1.0)

    @property
    def suggested_learning_rate(self) -> float | None:
        """Where the smoothed loss had first fallen nine tenths of its way, to one digit; None where it hardly fell.

        Tried against trainings of 300 updates at rates a factor of two apart, it found the best one (AdamW on Tiny Shakespeare:
        0.002), the one next to it (Muon on stories: 0.01, best 0.012), and one on the safe side (Muon on Tiny Shakespeare: 0.003,
        best 0.012, 0.07 nats off). It moves little with the seed or with fewer updates, where the steepest place moves by a
        factor of four, and, unlike a part of the rate with the lowest loss, is not drawn away by a plateau (AdamW on stories).
        """
        rate = self._first_below(MOST_OF_THE_WAY)
        return None if rate is None else float(f"{rate:.0e}")

    def did_as_well(self, rate: float) -> bool:
        """Whether the smoothed loss was no higher at `rate`, one of those that were tried, than at the suggested one."""
        if self.suggested_learning_rate is None or not self.rates[0] <= rate <= self.rates[-1]:
            return False
        at, suggested = np.interp(np.log([rate, self.suggested_learning_rate]), np.log(self.rates), self.smoothed)
        return bool(at <= suggested)

    def _first_below(self, share: float) -> float | None:
        """The first rate at which so much of the fall was done."""
        smoothed = self.smoothed
        fall = smoothed[0] - min(smoothed) if smoothed else 0.0
        if not smoothed or fall < LEARNT * smoothed[0]:
            return None
        return next(rate for rate, loss in zip(self.rates, smoothed) if smoothed[0] - loss >= share * fall)

    @property
    def told(self) -> str:
        """What it found, in words."""
        if self.suggested_learning_rate is None:
            return ("The loss hardly fell at any learning rate, so none is suggested: look at the text, or choose a model that "
                    "can learn from it.")
        found = f"Suggested: {self.suggested_learning_rate:g}. By then the loss had fallen nine tenths of its way"
        rose = self.smoothed[-1] - min(self.smoothed) > (1 - MOST_OF_THE_WAY) * (self.smoothed[0] - min(self.smoothed))
        found += f"; beyond {self.lowest_at:.1g} it rose again, because the steps were too large." if rose else "."
        if self.updates < UPDATES:
            found += (f" Only {self.updates} updates were tried, because each takes {self.seconds:.1f} s here: take it as a "
                      "rough guess.")
        return found


def trial(config: RunConfig) -> RunConfig:
    """What is tried for `config`, and all that a test depends on: its model, optimizer and batches, at a rate that no schedule
    moves, without dropout, which would draw from the global random state."""
    usual = {f"train.{name}": getattr(RunConfig().train, name) for name in (
        "compile", "eval_every", "sample_every", "checkpoint_every", "keep_checkpoints", "patience")}
    return dataclasses.replace(config, sample=SampleConfig()).replace({
        **usual, "model.dropout": 0.0, "train.max_learning_rate": LOWEST, "train.min_learning_rate": 0.0, "train.warmup_steps": 0,
        "train.schedule": "constant", "train.epochs": None, "train.max_steps": UPDATES, "train.max_minutes": None,
        "train.eval_batches": 1})


def with_rate(config: RunConfig, rate: float) -> dict[str, float]:
    """The settings that make `rate` the learning rate of `config`: the final one comes along where it would be above."""
    lower = {"train.min_learning_rate": float(f"{rate / 10:.6g}")} if config.train.min_learning_rate > rate else {}
    return {"train.max_learning_rate": rate, **lower}


def range_test(config: RunConfig, dataset: Dataset) -> Iterator[RangeTest]:
    """The test as far as it is: before the first rate, and after each; the last one has `ended`. Not to ask on is to cancel.

    Raises ValueError where the text is too short, the device is not there or all would take too long; TrainingError where
    memory runs out.
    """
    tried = trial(config)
    _refuse_if_hopeless(tried, dataset)
    with explain_out_of_memory():
        choice = choose(tried, dataset)
        trainer = Trainer(tried.replace({"train.batch_size": choice.batch_size}), dataset, device=choice.device,
                          precision=choice.precision, generator=torch.Generator().manual_seed(config.train.seed))

        def update(rate: float) -> float:
            with using_threads(choice.threads):  # no longer than this: who asks for more has a number of their own
                return _update(trainer, rate)
        update(LOWEST)  # the first one is slow
        seconds = -trainer.stepping_seconds
        update(LOWEST)
        seconds += trainer.stepping_seconds
        if (updates := min(UPDATES, int(MOST_SECONDS / seconds))) < FEWEST_UPDATES:
            raise ValueError(_too_slow(seconds))
        rates = np.geomspace(LOWEST, HIGHEST, updates).tolist()
        update(rates[0])
        began = trainer.stepping_seconds
        test = RangeTest(updates, seconds=seconds)
        yield test
        for following in [*rates[1:], HIGHEST]:
            loss = update(following)  # of the batch before the weights move: what the rate before led to
            test = _with(test, rates[len(test.rates)], loss, trainer.diverged)
            test = dataclasses.replace(test, seconds=(trainer.stepping_seconds - began) / max(1, len(test.rates)))
            yield test
            if test.ended:
                return


def _with(test: RangeTest, rate: float, loss: float, diverged: bool) -> RangeTest:
    """The test with what a rate led to."""
    if diverged:
        return dataclasses.replace(test, ended="blown up")
    losses, rates = (*test.losses, loss), (*test.rates, rate)
    weights = FURTHER ** np.arange(len(losses))[::-1]
    blown_up = np.average(losses, weights=weights) > BLOWN_UP * losses[0]
    ended = "blown up" if blown_up else "highest" if len(rates) == test.updates else ""
    return dataclasses.replace(test, rates=rates, losses=losses, ended=ended)


def _update(trainer: Trainer, rate: float) -> float:
    """One update at that rate; the loss of its batch before it."""
    trainer.change({"train.max_learning_rate": rate})
    trainer.update()
    return next(event.loss for event in trainer.flush() if isinstance(event, Step))


def _refuse_if_hopeless(config: RunConfig, dataset: Dataset) -> None:
    """By its operations alone, before a model is made that the machine may have no memory for."""
    device = pick_device(config.train.device)
    operations = (Plan(config, len(dataset.train)).tokens_per_update
                  * estimate.flops_per_token(config.model, dataset.tokenizer.vocab_size))
    seconds = operations / (EFFICIENCY * matrix_rate(device, pick_precision(config.train.precision, device)))
    if seconds > ROUGHLY * MOST_SECONDS / FEWEST_UPDATES:
        raise ValueError(_too_slow(seconds))


def _too_slow(seconds: float) -> str:
    return (f"One update takes about {seconds:,.0f} s here, so that the {FEWEST_UPDATES} a test needs would take "
            f"{FEWEST_UPDATES * seconds / 60:,.0f} minutes: lower train.batch_size, model.n_layer or model.n_embd for the test.")
