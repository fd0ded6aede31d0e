"""Counting for the figures of data sets beside the app: in a process of its own, one data set at a time, so that neither a page
nor a running training waits. What was counted is kept while the app runs, for data sets never change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.data.figures import count
from gptlab.runs.beside import Work

KEPT = 8          # data sets; about 40 KB each
TOLD_EVERY = 0.02  # of the whole


@dataclass
class Count:
    """One data set's, as any page may look at it: `figures` (see gptlab.data.figures.count) or `problem` once it is done."""

    share_done: float = 0.0
    figures: dict | None = None
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.figures is not None or bool(self.problem)


class Counts:
    """Of the data sets somebody asked about."""

    def __init__(self):
        self._counts: dict[tuple, Count] = {}  # the latest asked for last
        self._lock = threading.Lock()

    def of(self, directory: Path) -> Count:
        """How far a data set is counted; begins with it where nobody is at another. Raises OSError where there is none."""
        key = str(directory), (directory / "manifest.json").stat().st_mtime_ns
        with self._lock:
            if (known := self._counts.pop(key, None)) is not None:
                if not known.problem:  # which is told once, then tried again
                    self._counts[key] = known
                return known
            if not all(one.finished for one in self._counts.values()):
                return Count()
            while len(self._counts) >= KEPT:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = Count()
            self._begin(directory, self._counts[key])
            return self._counts[key]

    def _begin(self, directory: Path, told: Count) -> None:
        def take(said: tuple[float, dict | None]) -> None:
            told.share_done, told.figures = said

        def end(problem: str) -> None:
            told.problem = problem
        Work("Counting", _count, str(directory), told=take, ended=end)


def _count(directory: str, tell: Callable[[tuple[float, dict | None]], None]) -> None:
    """In the spawned process: count, telling (share done, figures)."""
    told = 0.0

    def progress(share: float) -> None:
        nonlocal told
        if share - told >= TOLD_EVERY:
            told = share
            tell((share, None))

    tell((1.0, count(Path(directory), progress)))
