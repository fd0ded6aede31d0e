"""Work time: what a run's events are dated by, pauses left out."""

from __future__ import annotations

import time


class Clock:
    """Work time in seconds: starts when made, stands still between pause() and resume(), continues a saved value."""

    def __init__(self, time_seconds: float = 0.0):
        self._before, self._since = time_seconds, time.perf_counter()

    @property
    def time_seconds(self) -> float:
        return self._before + (time.perf_counter() - self._since if self._since is not None else 0.0)

    def pause(self) -> None:
        self._before, self._since = self.time_seconds, None

    def resume(self) -> None:
        if self._since is None:
            self._since = time.perf_counter()
