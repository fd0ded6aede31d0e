"""Diseases of learning itself: losses, gradients and rates that go wrong on the training text already.

The rule for every threshold: a healthy run, however noisy its batches, must not be alarmed.
"""

from __future__ import annotations

import math
from collections import deque

from gptlab.events import Alert, Evaluation, Status, Step
from gptlab.train.case import BETTER, JUDGED_AFTER, Case, alert, both_rates, fork, rounded, set_rate, too_high

FIRST_LOSS_OFF = 0.15      # of ln V: the model's own start keeps within 5 %, and a wrong one is off by far more
FAST_STEPS = 10            # updates whose median is "the loss now": enough to see a jump, with a third of a batch's noise
JUMP_NATS = 0.25           # less of a rise is not worth anybody's attention …
JUMP_NOISES = 10.0         # … nor what chance does: of thousands of medians the lowest and highest are 7 errors apart
LASTING_STEPS = 50         # a spike is over by then; what is still high has diverged
KNOWS_MORE = 0.97          # of the loss of counting single tokens: what still is above knows no more than that
STALLED_EVALUATIONS = 4    # without a better train loss: fewer can be an unlucky wobble
ALIVE_RATE = 0.5           # of the highest learning rate: below it a run comes to rest because the schedule says so
CLIPPED_STEPS = 300        # looked at after warm-up; and at least JUDGED_AFTER of the run
CLIPPED_SHARE = 0.98
CLIPPED_NORM = 5.0         # mean norm over the limit: AdamW and Muon hardly feel a steady 2 or 3, and learn well with it


class FirstLoss:
    """Before the first update a model knows nothing: its loss is that of guessing among all tokens, ln V."""

    looks_at = (Evaluation,)

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if event.step > 0 or not case.from_scratch:
            return None
        off = event.train_loss - case.guessing
        if abs(off) <= FIRST_LOSS_OFF * case.guessing:
            return None
        means = ("starts out sure of things that are wrong" if off > 0 else
                 "already knows something: it began from trained weights, or sees what it should predict")
        return alert(event, "first_loss", "warning", f"The model {means}.",
                     f"The loss before the first update is {event.train_loss:.2f}; pure guessing is {case.guessing:.2f}.",
                     "Start a new run, which draws its weights afresh, unless this one was meant to go on from others.",
                     {"action": "new", "changes": {}})


class NotANumber:
    """The loss, or the gradient where the run then fails (fp16 alone may skip an update over that)."""

    looks_at = (Step, Status)

    def __init__(self):
        self.gradient_broke = False

    def see(self, event: Step | Status, case: Case) -> Alert | None:
        if isinstance(event, Step):
            self.gradient_broke = not math.isfinite(event.grad_norm)
        broke = (isinstance(event, Step) and not math.isfinite(event.loss)) or (
            isinstance(event, Status) and event.state == "failed" and self.gradient_broke)
        if not broke:
            return None
        what = "loss" if isinstance(event, Step) else "gradient"
        rate, warmup = rounded(case.highest_rate / 3), max(100, 2 * case.train.warmup_steps)
        return alert(event, "not_a_number", "error", f"Training broke: the {what} is not a number any more. The numbers "
                     "inside the model grew too large to hold.",
                     f"At step {event.step:,}, with a learning rate of {case.learning_rate:.2g}.",
                     f"Go on from the last checkpoint with train.max_learning_rate at {rate:g} and train.warmup_steps at "
                     f"{warmup:,}.", fork({"train.max_learning_rate": rate, "train.warmup_steps": warmup}, rate))


class Jumps:
    """The median of the last few losses rises well above the lowest it was: a spike if it comes back, else divergence.

    A single batch of odd text, however hard, does not move a median; weights gone wrong make every batch harder.
    """

    looks_at = (Step,)

    def __init__(self):
        self.recent, self.previous, self.noise = deque(maxlen=FAST_STEPS), None, None
        self.best, self.best_step, self.since, self.peak = math.inf, 0, None, 0.0

    def see(self, event: Step, case: Case) -> Alert | None:
        if not math.isfinite(event.loss):
            return None
        self.recent.append(event.loss)
        limit = max(JUMP_NATS, JUMP_NOISES * self._noise_of_median(event.loss))
        if len(self.recent) < FAST_STEPS:
            return None
        now = sorted(self.recent)[FAST_STEPS // 2]
        if self.since is None:
            if now < self.best:
                self.best, self.best_step = now, event.step
            if now <= self.best + limit:
                return None
            self.since, self.peak = event.step, now
        self.peak = max(self.peak, now)
        lasting, over = event.step - self.since >= LASTING_STEPS, now < self.best + limit / 2
        told = case.said.keys() & {"divergence", "learning_rate_too_high"}
        if not over and (told or not lasting):
            return None
        begun, self.since = self.since, None if over else self.since
        return self._tell(event, case, begun, over)

    def _noise_of_median(self, loss: float) -> float:
        """Standard error of the median of FAST_STEPS losses, from how far neighbours are apart; a jump hardly moves it."""
        change = abs(loss - self.previous) if self.previous is not None else None
        self.previous = loss
        if change is not None:
            before = change if self.noise is None else self.noise
            self.noise = before + 0.02 * (min(change, 4 * before + 1e-3) - before)
        return 1.25 * 0.886 * (self.noise or 0.0) / math.sqrt(FAST_STEPS)

    def _tell(self, event: Step, case: Case, begun: int, over: bool) -> Alert:
        rate = case.gentler_rate()
        evidence = (f"Around step {begun:,} the loss rose from {self.best:.2f} (step {self.best_step:,}) to {self.peak:.2f}"
                    + (f", and was back by step {event.step:,}." if over else
                       f", and {event.step - begun:,} steps later it had not come back."))
        remedy = f"Set train.max_learning_rate to {rate:g} (it is {case.highest_rate:.2g})."
        if case.rate_is_high:
            return too_high(event, case, evidence)
        if over:
            return alert(event, "spike", "info", "The loss jumped up and came back: a few updates were too large. Once is "
                         "harmless.", evidence, f"If it happens again: {remedy[0].lower()}{remedy[1:]}", set_rate(rate))
        saved = case.best_saved  # the last one is of a model that has gone wrong already
        return alert(event, "divergence", "error", "The model is getting worse: the loss jumped up and stays up.", evidence,
                     f"{remedy} {'Begin again with it' if saved is None else 'Go on with it from the best checkpoint'}.",
                     {"action": "new", "changes": both_rates(rate)} if saved is None else fork({}, rate, saved))


class Stalled:
    """No better loss on the training text itself for long, while the learning rate would still allow it."""

    looks_at = (Evaluation,)

    def __init__(self):
        self.best: Evaluation | None = None
        self.since_best = 0

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if not math.isfinite(event.train_loss):
            return None
        if self.best is None or event.train_loss < self.best.train_loss * (1 - BETTER):
            self.best, self.since_best = event, 0
            return None
        self.since_best += 1
        evidence = (f"Its loss on training text was {self.best.train_loss:.3f} at step {self.best.step:,} and is "
                    f"{event.train_loss:.3f} at step {event.step:,}.")
        if case.rate_is_high and event.train_loss > self.best.train_loss + JUMP_NATS:  # the same windows: no chance in it
            return too_high(event, case, evidence)
        floor, pairs, single = (case.baselines[name] for name in ("entropy_floor", "bigram", "unigram"))
        at_rest = (case.learning_rate < ALIVE_RATE * case.highest_rate or event.train_loss < 1.05 * floor
                   or event.train_loss < 0.1 * case.guessing or case.rate_is_low)
        if at_rest or self.since_best < STALLED_EVALUATIONS or not case.judged(event.step, self.best.step):
            return None
        if case.rate_is_high:
            return too_high(event, case, evidence)
        if pairs > 0.97 * single:
            return alert(event, "plateau", "warning", "The model has stopped learning, and there may be nothing to learn: in "
                         "this text a token says nothing about the next one.", f"{evidence} Counting single tokens gives "
                         f"{single:.3f}, counting pairs {pairs:.3f}.", "Look at the text, and stop this run.",
                         {"action": "stop"})
        rate = rounded(case.highest_rate / 3)  # of the top of the schedule: now it may be lower
        return alert(event, "plateau", "info", "The model has stopped getting better.", evidence,
                     f"Lower the learning rate to {rate:g}: that usually brings the last improvement. After that only a larger "
                     "model (model.n_layer, model.n_embd) or more text helps.", set_rate(rate))


class WrongRate:
    """A good part of the run is over, and the model hardly knows more than how frequent each token is. The learning rate,
    where it is far from what is usual, is the reason."""

    looks_at = (Evaluation,)

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if (not case.judged(event.step, case.train.warmup_steps)
                or not min(event.train_loss, event.val_loss) > KNOWS_MORE * case.baselines["unigram"]):
            return None
        evidence = (f"At step {event.step:,} its loss on training text is {event.train_loss:.2f}; counting single tokens gives "
                    f"{case.baselines['unigram']:.2f}.")
        if case.rate_is_high:
            return too_high(event, case, evidence)
        if not case.rate_is_low:
            return None
        usual = rounded(case.factor * case.usual_rate)
        return alert(event, "learning_rate_too_low", "warning", "The model learns far too slowly: its steps are tiny.",
                     f"{evidence} The learning rate is {case.highest_rate:.2g}; for a model of this size {usual:g} is usual.",
                     f"Set train.max_learning_rate to {usual:g}.", set_rate(usual), fork({}, usual))


class Clipped:
    """Gradients cut down at nearly every update, and by much: clipping is meant for the rare large one."""

    looks_at = (Step,)

    def __init__(self):
        self.count = self.clipped = 0
        self.norms = 0.0

    def see(self, event: Step, case: Case) -> Alert | None:
        limit = case.train.grad_clip
        if limit is None or event.step <= case.train.warmup_steps:
            return None
        if case.evaluation is not None and case.evaluation.train_loss > case.baselines["unigram"]:
            return None  # the beginning, where gradients are large anyway
        if math.isfinite(event.grad_norm):
            self.count, self.clipped = self.count + 1, self.clipped + (event.grad_norm > limit)
            self.norms += event.grad_norm
        if self.count < max(CLIPPED_STEPS, JUDGED_AFTER * (case.total_steps or 0)):
            return None
        count, share, norm = self.count, self.clipped / self.count, self.norms / self.count
        self.count = self.clipped = 0
        self.norms = 0.0
        if share < CLIPPED_SHARE or norm < CLIPPED_NORM * limit:
            return None
        wider, (name, larger) = min(1000.0, rounded(2 * norm)), self._larger_batch(case)
        return alert(event, "clipped", "info", "Nearly every update is cut down, so calm batches count no more than wild ones. "
                     "Often the batch is too small and its gradient mostly noise.",
                     f"{share:.0%} of the {count:,} updates up to step {event.step:,} had a gradient norm over "
                     f"{limit:g}; the mean was {norm:.1f}.",
                     f"Set {name} to {larger:,}; or train.grad_clip to {wider:g}.",
                     {"action": "new", "changes": {name: larger}}, fork({"train.grad_clip": wider}))

    def _larger_batch(self, case: Case) -> tuple[str, int]:
        """The setting that decides how many tokens an update learns from, and twice what it is."""
        if case.train.tokens_per_update is not None:
            return "train.tokens_per_update", 2 * case.train.tokens_per_update
        return "train.batch_size", min(4096, max(8, 2 * case.batch_size))


class Underfitting:
    """The end, and the model has not even learnt which token follows which, for no reason that was told before."""

    looks_at = (Status,)

    def see(self, event: Status, case: Case) -> Alert | None:
        last, pairs, single = case.evaluation, case.baselines["bigram"], case.baselines["unigram"]
        causes = {"learning_rate_too_low", "learning_rate_too_high", "divergence", "plateau", "val_unlike_train",
                  "overfitting", "first_loss"}
        if (event.state != "finished" or last is None or not min(last.train_loss, last.val_loss) > pairs
                or pairs > 0.97 * single or causes & case.said.keys()):
            return None
        usual = case.factor * case.usual_rate
        if case.highest_rate < usual / 3:
            return alert(event, "underfitting", "warning", "The run ended before the model had learnt much: counting which "
                         "token follows which does better. It learns slowly.",
                         f"Its loss is {last.train_loss:.2f} on training text; counting pairs gives {pairs:.2f}. The learning "
                         f"rate is {case.highest_rate:.2g}; for a model of this size {rounded(usual):g} is usual.",
                         f"Set train.max_learning_rate to {rounded(usual):g}.",
                         {"action": "new", "changes": both_rates(rounded(usual))})
        steps = 4 * max(1, event.step)
        return alert(event, "underfitting", "warning", "The run ended before the model had learnt much: counting which token "
                     "follows which does better.",
                     f"Its loss is {last.train_loss:.2f} on training text and {last.val_loss:.2f} on unseen text after "
                     f"{event.step:,} steps; counting pairs gives {pairs:.2f}.",
                     f"Train longer: train.max_steps at {steps:,}. If that was long already, a larger model.",
                     {"action": "extend", "changes": {"train.max_steps": steps, "train.epochs": None,
                                                      "train.max_minutes": None}})
