"""About when the runs that wait will start, guessed from what the run that trains gets done in a second.

Nothing can be measured while something trains, so a waiting run's work is taken from its settings: its tokens times the
operations that one costs. That is rough, easily wrong by half: a small model gets less out of a processor than a large one,
and evaluating, writing samples and saving are not counted, nor `patience`, which may end a run early. Good enough to
know whether to wait or to have lunch.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlab.model.estimate import flops_per_token
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.train.plan import Plan


@dataclass(frozen=True)
class Work:
    """What a run that waits has before it. `operations` are None where nothing but minutes ends it, `seconds_at_most` where
    minutes do not."""

    operations: float | None
    seconds_at_most: float | None

    def seconds(self, operations_per_second: float | None) -> float | None:
        """How long it takes; None if unknown."""
        if self.operations is None:
            return self.seconds_at_most
        if not operations_per_second:
            return None
        seconds = self.operations / operations_per_second
        return seconds if self.seconds_at_most is None else min(seconds, self.seconds_at_most)


class Expected:
    """Answers for one queue. What does not change about a run is read once: pages ask several times a second."""

    def __init__(self) -> None:
        self._operations_per_token: dict[str, float | None] = {}
        self._work: dict[RunDir, tuple[int, Work | None]] = {}  # by how many bytes its events had

    def starts_in_seconds(self, current: RunDir | None, status: dict | None, waiting: list[RunDir]) -> list[float | None]:
        """For each run that waits, in their order: about how long until it starts, None where nobody can tell.

        `current` is the run that trains, `status` its status. While it is paused, nothing behind it has a time.
        """
        known = status is not None and status["state"] == "running" and status["eta_seconds"] is not None
        before = status["eta_seconds"] if known else None
        rate, starts = self._rate(current, status) if known else None, []
        self._work = {run: one for run, one in self._work.items() if run in waiting}
        for run in waiting:
            starts.append(before)
            work = None if before is None else self._left(run)
            took = work.seconds(rate) if work else None
            before = None if took is None else before + took
        return starts

    def _rate(self, current: RunDir, status: dict) -> float | None:
        """Operations that the machine gets done in a second, now."""
        if current.id not in self._operations_per_token:
            self._operations_per_token = {current.id: _operations_per_token(current)}
        one, tokens_per_second = self._operations_per_token[current.id], status["tokens_per_second"]
        return one * tokens_per_second if one and tokens_per_second else None

    def _left(self, run: RunDir) -> Work | None:
        try:
            size = run.events_path.stat().st_size  # another one, when it has waited, trained and waits again
        except OSError:
            return None
        if run not in self._work or self._work[run][0] != size:
            self._work[run] = size, work_left(run)
        return self._work[run][1]


def work_left(run: RunDir) -> Work | None:
    """What a run that does not train at this moment still has to do; None where its files do not tell."""
    try:
        config, manifest, status = run.config(), run.manifest(), run.status()
        plan = Plan(config, manifest["train_tokens"])
        last, minutes = plan.last_step(), config.train.max_minutes
        seconds = None if minutes is None else max(0.0, minutes * 60 - status["training_seconds"])
        if last is None:
            return Work(None, seconds)
        tokens = max(0, last * plan.tokens_per_update - status["tokens"])
        return Work(tokens * flops_per_token(config.model, manifest["vocab_size"]), seconds)
    except (RunError, KeyError, TypeError, ValueError):  # files may come from elsewhere, or be gone
        return None


def _operations_per_token(run: RunDir) -> float | None:
    try:
        return flops_per_token(run.config().model, run.manifest()["vocab_size"])
    except (RunError, KeyError, TypeError):
        return None
