"""Downloading beside the app: in a process of its own, so that neither a page nor a training waits, and Cancel is at once.

What is downloaded stays in the workspace's `downloads/`, so that a second use fetches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.data.catalog import Entry
from gptlab.data.download import Arriving, fetch
from gptlab.data.errors import DataError
from gptlab.runs.beside import OneAtATime
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


class Downloads(OneAtATime):
    """The one download of the app that is under way, if any. What came of a cancelled one is gone on with the next time."""

    title, cancelled = "Downloading", CANCELLED

    def __init__(self, workspace: Workspace):
        super().__init__()
        self.workspace = workspace

    def start(self, entry: Entry) -> Download:
        """Begin to download, or go on. Raises ValueError while another one is under way."""
        with self._lock:
            if self.busy and self.current.entry.name == entry.name:
                return self.current
            if self.busy:
                raise ValueError(f"{self.current.entry.title} is still being downloaded: wait for it, or cancel it.")
            self._begin(Download(entry), _download, str(self.workspace.path), entry)
            return self.current

    def _told(self, current: Download, said: Arriving) -> None:
        current.arriving = said

    def _over(self, current: Download) -> None:
        if downloaded(self.workspace, current.entry):
            current.problem = ""  # cancelled a moment too late


def _download(workspace: str, entry: Entry, tell: Callable[[Arriving], None]) -> None:
    """In the spawned process."""
    download(Workspace(workspace), entry, tell=tell)
