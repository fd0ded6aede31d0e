"""A run's events in, alerts out: what is wrong, how one can tell, and what to do about it.

`Doctor.see(event)` is told everything a run says, in order, and answers with an `Alert` where a disease shows. It works
on numbers alone, in bounded memory and microseconds an event; the same events give the same alerts, so a resumed run
replays its own. The diseases stand in `learning.py`, `unseen.py` and `routing.py`, a class each that looks at one or two types
of events. Knows no files, no page, no model.
"""

from __future__ import annotations

from collections.abc import Callable

from gptlab.config import RunConfig
from gptlab.events import Alert, Evaluation, Event, Experts, Sample, Status, Step
from gptlab.train import learning, routing, unseen
from gptlab.train.case import Case, alert

DEAD_HEAD = 1e-3           # of the middle head of its layer; the weakest seen in healthy runs is at 0.2

# In the order of telling where one evaluation shows several: a cause before what follows from it.
DISEASES = (learning.FirstLoss, learning.NotANumber, learning.Jumps, learning.WrongRate, learning.Stalled, learning.Clipped,
            unseen.SeesTheAnswer, unseen.ValUnlikeTrain, unseen.ValTooGood, unseen.Overfitting, unseen.Memorised,
            routing.ExpertStarves, learning.Underfitting)


class Doctor:
    """Feed it every event of a run in order; each code is told once a run.

    `manifest` is the data set's. `val_overlap`, called at most once and only when unseen text looks too easy, gives the share
    of it that stands in the training text. A resumed run is replayed into a new Doctor: its alerts, too, are events.
    """

    def __init__(self, config: RunConfig, manifest: dict, *, val_overlap: Callable[[], float] | None = None,
                 from_scratch: bool = True):
        self._case = Case(config, manifest, val_overlap, from_scratch)
        self._diseases = [disease() for disease in DISEASES]
        self._of_type = {kind: [disease for disease in self._diseases if kind in disease.looks_at]
                         for kind in (Step, Evaluation, Experts, Sample, Status)}

    def see(self, event: Event) -> list[Alert]:
        """What `event` shows that was not told before."""
        self._case.note(event)
        if isinstance(event, Alert):
            self._case.said.setdefault(event.code, event)
            return []
        return [found for disease in self._of_type.get(type(event), ())
                for found in self._new(disease.see(event, self._case))]

    def asks_for_heads(self, event: Evaluation) -> bool:
        """Whether `examine_heads` would say anything: not before they had time to learn, and once a run."""
        return self._case.judged(event.step) and "dead_heads" not in self._case.said

    def examine_heads(self, event: Evaluation, strengths: list[list[float]]) -> list[Alert]:
        """Heads that add next to nothing, from `head_strengths` at an evaluation that `asks_for_heads`."""
        dead = [(layer, head) for layer, row in enumerate(strengths) for head, strength in enumerate(row)
                if strength < DEAD_HEAD * _middle(row)]
        if not dead or not self.asks_for_heads(event):
            return []
        names = ", ".join(f"layer {layer + 1} head {head + 1}" for layer, head in dead[:8])
        return self._new(alert(
            event, "dead_heads", "info", "Some attention heads do nothing: they take time and memory only.",
            f"At step {event.step:,}, {len(dead)} of {sum(map(len, strengths))} add less than a thousandth of what their "
            f"neighbours add: {names}.", "For the next run try fewer heads (model.n_head), or a lower train.weight_decay."))

    def _new(self, found: Alert | None) -> list[Alert]:
        if found is None or found.code in self._case.said:
            return []
        self._case.said[found.code] = found
        return [found]


def _middle(values: list[float]) -> float:
    """The median; of two the larger, so that one of a pair can be found dead."""
    return sorted(values)[len(values) // 2]
