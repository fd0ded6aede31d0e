"""A disease of models with experts: the router forgets one of them.

The rule for every threshold: a healthy run, however unlike its experts, must not be alarmed.
"""

from __future__ import annotations

from collections import Counter

from gptlab.events import Alert, Experts
from gptlab.train.case import Case, alert, fork, rounded

STARVES = 0.05             # of its even share: balanced runs gave every expert 0.15 or more, those without balance often nothing
LEAST_CHOICES = 100        # in an even share, to judge by: by chance nobody then gets so few who usually gets an eighth
STARVED_MEASUREMENTS = 3   # … so often in a row
NAMED = 4                  # experts that the evidence lists
BALANCE = 0.01             # where there was none; else so many times what there was …
MORE_BALANCE = 5
MOST_BALANCE = 0.2         # … up to here: beyond, the router serves balance more than the text


class ExpertStarves:
    """An expert that next to no token is sent to, once the learning rate has risen: without tokens it gets no gradients, so that
    it does not become worth choosing either."""

    looks_at = (Experts,)

    def __init__(self):
        self.starved: Counter[tuple[int, int]] = Counter()  # by layer and expert, measurements in a row

    def see(self, event: Experts, case: Case) -> Alert | None:
        model = case.model
        if event.step <= case.train.warmup_steps or model.n_expert is None:  # the events may be from elsewhere
            return None
        shares = {(layer, expert): share for layer, row in enumerate(event.loads) for expert, share in enumerate(row)}
        even = 1 / model.n_expert
        self.starved = Counter({at: self.starved[at] + 1 for at, share in shares.items() if share < STARVES * even})
        found = [at for at, times in self.starved.items() if times >= STARVED_MEASUREMENTS]
        enough = event.tokens * model.n_expert_active * even >= 0.9 * LEAST_CHOICES  # windows are seldom just as long
        if not found or not enough or not case.judged(event.step):
            return None
        named = ", ".join(f"layer {layer + 1} expert {expert + 1} {shares[layer, expert]:.2%}"
                          for layer, expert in found[:NAMED])
        return alert(event, "expert_starves", "warning",
                     "Some experts get next to nothing to do: they take memory and learn nothing.",
                     f"At step {event.step:,}, {len(found)} of {len(shares)} got less than a twentieth of an even share ({even:.1%} of "
                     f"the choices), as in the measurements before: {named}.", *_remedy(case))


def _remedy(case: Case) -> tuple:
    """What to do, in words, and as actions."""
    model = case.model
    fewer = max(2, model.n_expert_active, model.n_expert // 2)
    new = {"action": "new", "changes": {"model.n_expert": fewer}}
    if model.expert_balance >= MOST_BALANCE:
        return f"For the next run try fewer experts: model.n_expert at {fewer}.", new
    balance = min(MOST_BALANCE, rounded(max(BALANCE, MORE_BALANCE * model.expert_balance)))
    more = {"model.expert_balance": balance}
    return (f"Raise model.expert_balance from {model.expert_balance:g} to {balance:g}, which sends them tokens again; or for the "
            "next run try fewer experts (model.n_expert).", fork(more), {"action": "new", "changes": more})
