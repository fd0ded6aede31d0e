"""How far a preparation is: what it does, how fast, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

TOLD_EVERY_SECONDS = 0.2
FORETOLD_AFTER_SECONDS, FORETOLD_AFTER_SHARE = 3.0, 0.03  # before, the time left would be a guess


@dataclass(frozen=True)
class Progress:
    """`share_done` of all (0 to 1); `doing` names the phase; the rest is None where it is not known."""

    share_done: float
    doing: str
    bytes_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def detail(self) -> str:
        """"85 MB/s, about 12 s left", as far as it is known."""
        left, rate = self.seconds_left, self.bytes_per_second
        parts = [f"{rate / 1e6:.3g} MB/s"] if rate else []
        if left is not None:
            parts.append(f"about {round(left)} s left" if left < 90 else f"about {round(left / 60)} min left")
        return ", ".join(parts)


class Meter:
    """Tells `progress` of phases, each with the share of the whole that it takes; no more often than anybody can read."""

    def __init__(self, progress: Callable[[Progress], None], weights: dict[str, float], clock: Callable[[], float] = time.monotonic):
        self._progress, self._clock = progress, clock
        self._weights = {doing: weight / sum(weights.values()) for doing, weight in weights.items()}
        self._began = clock()
        self._done = 0.0       # of all, before this phase
        self._doing, self._bytes, self._phase_began, self._told = "", 0, self._began, -1.0

    def begin(self, doing: str, n_bytes: int = 0) -> None:
        """A phase, one of `weights`, which goes through so many bytes; 0 where that says nothing."""
        self._done += self._weights.get(self._doing, 0.0)
        self._doing, self._bytes, self._phase_began, self._told = doing, n_bytes, self._clock(), -1.0
        self.tell(0.0)

    def tell(self, share: float) -> None:
        """How much of the phase is done (0 to 1)."""
        now = self._clock()
        if now - self._told < TOLD_EVERY_SECONDS and self._told >= 0:
            return
        self._told = now
        done, took, all_took = self._done + self._weights[self._doing] * min(1.0, share), now - self._phase_began, now - self._began
        rate = self._bytes * share / took if self._bytes and share and took > TOLD_EVERY_SECONDS else None
        foretold = all_took > FORETOLD_AFTER_SECONDS and done > FORETOLD_AFTER_SHARE
        self._progress(Progress(done, self._doing, rate, all_took * (1 - done) / done if foretold else None))

    def end(self) -> None:
        """All is done."""
        self._progress(Progress(1.0, "Done"))
