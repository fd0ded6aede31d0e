"""How long a run is and when it is evaluated: from its settings and the length of its text alone, without a model."""

from __future__ import annotations

import math

from gptlab.config import RunConfig
from gptlab.train.batches import tokens_per_epoch


class Plan:
    """The arithmetic of a run over a training text of `n_tokens`."""

    def __init__(self, config: RunConfig, n_tokens: int):
        train, context_length = config.train, config.model.context_length
        tokens_per_batch = train.sequences(context_length) * context_length
        self.train = train
        self.batches_per_update = (train.tokens_per_update or tokens_per_batch) // tokens_per_batch
        self.tokens_per_update = self.batches_per_update * tokens_per_batch
        self.tokens_per_epoch = tokens_per_epoch(n_tokens, context_length, train.order)
        # Epochs much shorter than `eval_every` are not all evaluated: about ten between two regular evaluations.
        self.epochs_per_evaluation = math.ceil(train.eval_every / 10 * self.tokens_per_update / self.tokens_per_epoch)

    def limits(self, minutes_as_steps: int | None = None) -> dict[str, int]:
        """What can end the run -> after how many updates. An epoch's last update may reach into the next.

        `minutes_as_steps` is what `max_minutes` has turned out to be; without it minutes are left out.
        """
        train, limits = self.train, {}
        if train.epochs is not None:
            steps = math.ceil(train.epochs * self.tokens_per_epoch / self.tokens_per_update)
            limits[f"{train.epochs:,} epoch{'s' if train.epochs > 1 else ''} done"] = steps
        if train.max_steps is not None:
            limits[f"{train.max_steps:,} steps done"] = train.max_steps
        if minutes_as_steps is not None:
            limits[f"{train.max_minutes:g} minutes of training done"] = minutes_as_steps
        return limits

    def minutes_as_steps(self, step: int, seconds: float) -> int | None:
        """About how many updates fit into `max_minutes`, where the first `step` took `seconds`; None if that says nothing."""
        if self.train.max_minutes is None or not step or not seconds:
            return None
        return step + max(0, round((self.train.max_minutes * 60 - seconds) * step / seconds))

    def last_step(self, minutes_as_steps: int | None = None) -> int | None:
        """The update after which the first of the limits ends the run; None where there is none yet."""
        return min(self.limits(minutes_as_steps).values(), default=None)

    def evaluation_due(self, step: int) -> bool:
        """Whether there is an evaluation after `step` updates: every `eval_every` of them, 0 included, and where an epoch
        (or `epochs_per_evaluation` of them) ended in the last one."""
        between = self.epochs_per_evaluation * self.tokens_per_epoch
        ends, ends_before = (n * self.tokens_per_update // between for n in (step, step - 1))
        return step % self.train.eval_every == 0 or ends > ends_before

    def evaluations(self, steps: int) -> int:
        """About how many evaluations there are in `steps` updates, the one at step 0 and the last one included."""
        epochs = steps * self.tokens_per_update // self.tokens_per_epoch
        return 2 + steps // self.train.eval_every + epochs // self.epochs_per_evaluation
