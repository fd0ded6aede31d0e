"""Counting for the figures of data sets beside the app: in a process of its own, one data set at a time, so that neither a page
nor a running training waits. What was counted is kept while the app runs, for data sets never change.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from gptlab.data.figures import count

KEPT = 8          # data sets; about 40 KB each
NICENESS = 10     # gives way to what trains
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
        context = multiprocessing.get_context("spawn")
        inbox, outbox = context.Pipe(duplex=False)
        process = context.Process(target=_count, args=(str(directory), outbox), daemon=True)
        process.start()
        outbox.close()
        threading.Thread(target=_follow, args=(told, process, inbox), name="figures", daemon=True).start()


def _follow(told: Count, process: BaseProcess, inbox: Connection) -> None:
    """In a thread: take from the process what it sends until it ends."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            told.share_done, told.figures, told.problem = inbox.recv()
    process.join()
    if not told.finished:
        told.problem = f"Counting was ended from outside (exit code {process.exitcode}): reload the page to try again."


def _count(directory: str, outbox: Connection) -> None:
    """In the spawned process: count, sending (share done, figures, problem)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches it too; the app decides
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    told = 0.0

    def progress(share: float) -> None:
        nonlocal told
        if share - told >= TOLD_EVERY:
            told = share
            outbox.send((share, None, ""))

    try:
        outbox.send((1.0, count(Path(directory), progress), ""))
    except (ValueError, OSError) as problem:
        outbox.send((0.0, None, str(problem)))
    except Exception:
        traceback.print_exc()
        outbox.send((0.0, None, "Counting failed inside GPT Lab; the details stand in the terminal window."))
