"""Downloading beside the app: in a process of its own, so that neither a page nor a training waits, and Cancel is at once.

What is downloaded stays in the workspace's `downloads/`, so that a second use fetches nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from gptlab.data.catalog import Entry
from gptlab.data.download import Arriving, fetch
from gptlab.data.errors import DataError
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
        self._process: BaseProcess | None = None
        self._thread: threading.Thread | None = None
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
            context = multiprocessing.get_context("spawn")
            inbox, outbox = context.Pipe(duplex=False)
            process = context.Process(target=_download, args=(str(self.workspace.path), entry, outbox), daemon=True)
            process.start()
            outbox.close()
            self.current, self._process = Download(entry), process
            self._thread = threading.Thread(target=self._follow, args=(self.current, process, inbox), daemon=True)
            self._thread.start()
            return self.current

    def cancel(self) -> None:
        """Stop the one under way; what came of it is gone on with the next time."""
        with self._lock:
            if self.busy:
                self.current.problem = CANCELLED
                self._process.terminate()

    def close(self) -> None:
        """Cancel, and wait until it is over: for the end of the app."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _follow(self, current: Download, process: BaseProcess, inbox: Connection) -> None:
        """In a thread: take from the process how far it is, until it ends."""
        try:
            while True:
                arriving, problem = inbox.recv()
                current.arriving = arriving or current.arriving
                current.problem = current.problem or problem
        except (EOFError, OSError):
            process.join()
        if process.exitcode and not current.problem:
            current.problem = f"The download was ended from outside (exit code {process.exitcode}): start it again, it goes on."
        if downloaded(self.workspace, current.entry):
            current.problem = ""  # cancelled a moment too late
        current.finished = True


def _download(workspace: str, entry: Entry, outbox: Connection) -> None:
    """In the spawned process: download, sending (how far it is, problem)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches it too; the app decides
    try:
        download(Workspace(workspace), entry, tell=lambda arriving: outbox.send((arriving, "")))
    except (ValueError, OSError) as problem:
        outbox.send((None, str(problem)))
    except Exception:
        traceback.print_exc()
        outbox.send((None, "Downloading failed inside GPT Lab; the details stand in the terminal window."))
