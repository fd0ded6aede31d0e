"""Diseases that show between the training text and unseen text: learnt by heart, too different, too alike, or copied from
where the answer stands.

The rule for every threshold: a healthy run, however little unseen text it has, must not be alarmed.
"""

from __future__ import annotations

import math
from collections import deque

from gptlab.events import Alert, Evaluation, Sample, Step
from gptlab.train.case import BETTER, Case, alert, other_split

OVERFIT_NATS = 0.1         # val above its best by this, and by OVERFIT_SHARE of it: chance and late wobbles stay below
OVERFIT_SHARE = 0.05
OVERFIT_EVALUATIONS = 3    # … so often in a row
APART = 0.3                # a gap of this share of the train loss, and still growing, is more than a healthy end of a run has
LEARNT_SINCE = 0.95        # the train loss against what it was when val last got better: it goes on falling
UNSEEN_EPOCHS = 1.25       # up to here most text was read once at most: a gap cannot come from memorising
UNLIKE_SHARE = 0.35        # of the train loss: the tail of one book is at 4 % at most, pages held out at chance at 10 %, a few
                           # modules of Python's source at 22 %; stories in capitals at 180 %
OVERLAP_EPOCHS = 2         # once so much was read, looking for copies costs little next to what was spent
EASIER = 0.1               # val below train by this share of it, as often in a row as for overfitting; chance picks of
                           # documents differ by up to 8 % (26 pages of Python's documentation)
LEAK_OVERLAP = 0.5         # share of val's long stretches that stand in train word for word; unrelated text has under 0.1
TOO_GOOD = 0.95            # of the best possible loss: below it chance alone does not go
FAR_BELOW_PAIRS = 0.5      # … or of counting pairs, where the best possible is not known, or still far off so many steps later
PATIENT_STEPS = 50
SEEING_STEPS = 10          # in the mean of whose losses that shows
COPIED_SAMPLES = 4         # in a row, half of which stands in the training text …
COPIED_SHARE = 0.5
COPIED_GAP = 0.15          # … while unseen text is this much harder, or the text itself repeats (stories do)


class SeesTheAnswer:
    """Without the causal mask a model looks up the token that it is to predict. Told by the losses of single updates, for they
    collapse within a hundred, long before an evaluation may come."""

    looks_at = (Step,)

    def __init__(self):
        self.losses: deque[float] = deque(maxlen=SEEING_STEPS)
        self.since: int | None = None  # the step since which counting pairs is far behind

    def see(self, event: Step, case: Case) -> Alert | None:
        if case.causal:
            return None
        self.losses.append(event.loss)
        loss, floor, pairs = sum(self.losses) / len(self.losses), case.baselines["entropy_floor"], case.baselines["bigram"]
        if len(self.losses) < SEEING_STEPS or not loss < FAR_BELOW_PAIRS * pairs:
            return None
        self.since = event.step if self.since is None else self.since
        if loss > TOO_GOOD * floor and event.step < self.since + PATIENT_STEPS:  # nothing is above a floor nobody knows
            return None
        best = "" if math.isnan(floor) else f" and the best possible without seeing the answer is {floor:.2f}"
        return alert(event, "sees_the_answer", "warning", "The model sees the answer: without the causal mask each token looks "
                     "at the very token it is to predict, and copies it. So its loss falls to nothing, and says nothing; and "
                     "what it writes is noise, for there no next token stands yet that it could copy.",
                     f"By step {event.step:,} the loss has fallen to {loss:.2f}. Counting pairs gives {pairs:.2f}{best}. "
                     "model.causal is off.",
                     "For the next run turn model.causal on: each token then sees only what stands before it, and the model "
                     "has to learn what comes next.", {"action": "new", "changes": {"model.causal": True}})


class Overfitting:
    """Unseen text gets harder while the training text gets easier; or, at a rate that comes to rest, no easier for long."""

    looks_at = (Evaluation,)

    def __init__(self):
        self.best: Evaluation | None = None
        self.better: Evaluation | None = None  # the last that was better by more than a trifle
        self.worse = 0

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if self.best is None or event.val_loss < self.best.val_loss:
            self.best, self.worse = event, 0
            if self.better is None or event.val_loss < self.better.val_loss * (1 - BETTER):
                self.better = event
        if event.epoch <= 1 or "val_unlike_train" in case.said or not case.causal:
            return None
        rise = max(OVERFIT_NATS, OVERFIT_SHARE * self.best.val_loss, case.chance / 2)
        bad = event.val_loss > self.best.val_loss + rise and event.train_loss < self.best.train_loss
        self.worse = self.worse + 1 if bad else 0
        if self.worse >= OVERFIT_EVALUATIONS:
            return self._tell(event, self.best, "The model is learning its training text by heart, and gets worse on text it "
                              "has not seen.", f"rose from {self.best.val_loss:.2f} to {event.val_loss:.2f}")
        gap = event.val_loss - event.train_loss
        apart = gap > max(APART * event.train_loss, case.chance) and event.train_loss < LEARNT_SINCE * self.better.train_loss
        if apart and event.epoch > 2 and not bad and case.judged(event.step, self.better.step):
            return self._tell(event, self.better, "What the model still learns, it learns by heart: it gets no better any more "
                              "on text it has not seen.", f"hardly moved ({self.better.val_loss:.3f}, {event.val_loss:.3f})")
        return None

    def _tell(self, event: Evaluation, since: Evaluation, message: str, val: str) -> Alert:
        best = self.best
        return alert(event, "overfitting", "warning", message,
                     f"Since step {since.step:,} (epoch {since.epoch:.1f}) the loss on unseen text {val}, while on training "
                     f"text it fell from {since.train_loss:.2f} to {event.train_loss:.2f}: a gap of "
                     f"{event.val_loss - event.train_loss:.2f}.",
                     f"Stop, and use the checkpoint of step {best.step:,}, which is kept as the best. For the next run: more "
                     "text, or model.dropout at 0.2, or a smaller model.",
                     {"action": "stop"}, {"action": "restore_best", "step": best.step},
                     {"action": "new", "changes": {"model.dropout": 0.2, "train.patience": 5}})


class ValUnlikeTrain:
    """A gap before any text was read twice: nothing can be learnt by heart yet, so the texts differ."""

    looks_at = (Evaluation,)

    def __init__(self):
        self.seen = 0

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if event.epoch > UNSEEN_EPOCHS or not case.causal:
            return None
        gap = event.val_loss - event.train_loss
        unlike = gap > max(UNLIKE_SHARE * event.train_loss, case.chance)
        self.seen = self.seen + 1 if unlike else 0
        if self.seen < 2 and not (unlike and gap > 2 * UNLIKE_SHARE * event.train_loss):
            return None
        return alert(event, "val_unlike_train", "warning", "The held-out text is of another kind than the training text, so "
                     "the loss on unseen text says little about how well the model learns.",
                     f"At step {event.step:,}, after only {event.epoch:.2f} epochs, it is {event.val_loss:.2f} against "
                     f"{event.train_loss:.2f} on training text.",
                     *other_split(case))


class ValTooGood:
    """Unseen text that stands in the training text; or is easier. Both losses are measured without dropout, so that is never
    the reason. Whether there is a leak is looked up: a copy may be as hard as any text that was read but once an epoch."""

    looks_at = (Evaluation,)

    def __init__(self):
        self.below = 0
        self.overlap: float | None = None

    def see(self, event: Evaluation, case: Case) -> Alert | None:
        if event.step == 0 or not case.causal:
            return None
        gap = event.val_loss - event.train_loss
        self.below = self.below + 1 if -gap > max(EASIER * event.train_loss, case.chance) else 0
        below = self.below >= OVERFIT_EVALUATIONS
        impossible = event.val_loss < 0.95 * case.baselines["entropy_floor"] - case.chance
        if not (below or impossible or event.epoch >= OVERLAP_EPOCHS):
            return None
        if self.overlap is None:
            self.overlap = case.val_overlap() if case.val_overlap else 0.0
        losses = f"At step {event.step:,} it is {event.val_loss:.2f} against {event.train_loss:.2f} on training text."
        if impossible or self.overlap >= LEAK_OVERLAP:
            return alert(event, "leakage", "warning", "The held-out text also stands in the training text, so the loss on "
                         "unseen text flatters: it does not show what the model can do with new text.",
                         f"{losses} {self.overlap:.0%} of the longer stretches of held-out text stand word for word in the "
                         "training text.", "Remove the copies from the text and prepare it again.", {"action": "prepare"})
        if not below:
            return None
        return alert(event, "val_below_train", "info", "The held-out text is easier than the training text. Dropout is not "
                     "the reason: both are measured without it.",
                     f"{losses} {self.overlap:.0%} of its longer stretches stand in the training text.",
                     *other_split(case))


class Memorised:
    """What the model writes stands word for word in the training text. Overfitting says the same, so not after it."""

    looks_at = (Sample,)

    def __init__(self):
        self.shares: deque[float] = deque(maxlen=COPIED_SAMPLES)

    def see(self, event: Sample, case: Case) -> Alert | None:
        if not event.done or event.copied_share is None:
            return None
        self.shares.append(event.copied_share)
        share, last = sum(self.shares) / len(self.shares), case.evaluation
        if (len(self.shares) < COPIED_SAMPLES or share < COPIED_SHARE or last is None or "overfitting" in case.said
                or last.val_loss - last.train_loss < COPIED_GAP * last.val_loss):
            return None
        return alert(event, "memorisation", "warning", "The model recites: much of what it writes stands word for word in its "
                     "training text.",
                     f"{share:.0%} of the last {COPIED_SAMPLES} samples (step {event.step:,}) is copied. Its loss is "
                     f"{last.train_loss:.2f} on training text and {last.val_loss:.2f} on unseen text.",
                     "Use an earlier checkpoint, more text, or model.dropout at 0.2.",
                     {"action": "stop"}, {"action": "new", "changes": {"model.dropout": 0.2}})
