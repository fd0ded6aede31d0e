"""Downloading beside the app: in a process of its own, so that neither a page nor a training waits, and Cancel is at once.

What is downloaded stays in the workspace's `downloads/`, so that a second use fetches nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.data.catalog import Entry
from gptlab.data.download import Arriving, fetch
from gptlab.data.errors import DataError
from gptlab.runs.beside import Work
from gptlab.runs.lock import FileLock
from gptlab.runs.workspace import Workspace

CANCELLED = "Cancelled. What came so far is kept: the next download goes on from there."


def folder(workspace: Workspace) -> Path:
    """Where what is downloaded lies."""
    return workspace.path / "downloads"


def downloaded(workspace: Workspace, entry: Entry) -> list[Path]:
    """The files of a text that is downloaded as a whole; none of them where one is missing."""
    paths = entry.paths(folder(workspace))
    return paths if all(path.is_file() for path in paths) else []


def download(workspace: Workspace, entry: Entry, tell: Callable[[Arriving], None] = lambda arriving: None) -> list[Path]:
    """The files of a text, fetched unless they are there. Raises DataError, also where somebody else is fetching it."""
    if paths := downloaded(workspace, entry):
        return paths
    try:
        (folder(workspace) / entry.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{workspace.path} cannot be written to ({error.strerror}): choose another workspace.") from error
    lock = FileLock(folder(workspace) / entry.name / ".lock")
    if not lock.acquire():
        raise DataError(f"{entry.title} is being downloaded already, by another window or command: wait for that.")
    try:
        return fetch(entry, folder(workspace), tell)
    finally:
        lock.release()


@dataclass
class Download:
    """One text on its way, as any page may look at it."""

    entry: Entry
    arriving: Arriving | None = None  # None until the server has answered
    problem: str = ""                 # why it failed, in a sentence
    finished: bool = False            # whole, failed or cancelled


class Downloads:
    """The one download of the app that is under way, if any, and how the last one ended."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.current: Download | None = None
        self._work: Work | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self.current is not None and not self.current.finished

    def start(self, entry: Entry) -> Download:
        """Begin to download, or go on. Raises ValueError while another one is under way."""
        with self._lock:
            if self.busy and self.current.entry.name == entry.name:
                return self.current
            if self.busy:
                raise ValueError(f"{self.current.entry.title} is still being downloaded: wait for it, or cancel it.")
            self.current = current = Download(entry)
            self._work = Work("Downloading", _download, str(self.workspace.path), entry,
                              told=lambda arriving: self._told(current, arriving), ended=lambda problem: self._ended(current, problem))
            return current

    def cancel(self) -> None:
        """Stop the one under way; what came of it is gone on with the next time."""
        with self._lock:
            if self.busy:
                self.current.problem = CANCELLED
                self._work.end()

    def close(self) -> None:
        """Cancel, and wait until it is over: for the end of the app."""
        self.cancel()
        if self._work is not None:
            self._work.wait(5)

    def _told(self, current: Download, arriving: Arriving) -> None:
        current.arriving = arriving

    def _ended(self, current: Download, problem: str) -> None:
        current.problem = current.problem or problem
        if downloaded(self.workspace, current.entry):
            current.problem = ""  # cancelled a moment too late
        current.finished = True


def _download(workspace: str, entry: Entry, tell: Callable[[Arriving], None]) -> None:
    """In the spawned process."""
    download(Workspace(workspace), entry, tell=tell)
