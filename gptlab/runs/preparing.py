"""Preparing data sets beside the app: each in a process of its own, so that neither a page nor a running training waits.

Knows data sets and the workspace; what watches it is not its business. Imports no torch, for the process starts with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from gptlab.config import DataConfig
from gptlab.data.dataset import made_from, prepare, remove_leftovers
from gptlab.data.errors import DataError
from gptlab.data.progress import Progress
from gptlab.presets import DEFAULT_PRESET, preset
from gptlab.runs.workspace import Workspace

CANCELLED = "Cancelled: nothing was changed."


@dataclass
class Preparation:
    """One data set in the making, as any page may look at it."""

    name: str
    config: DataConfig
    progress: Progress = Progress(0.0, "Starting")
    problem: str = ""       # why it failed, in a sentence
    finished: bool = False  # whole, failed or cancelled


class Preparations:
    """The data sets of a workspace and the one being prepared, if any."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.current: Preparation | None = None
        self._process: BaseProcess | None = None
        self._thread: threading.Thread | None = None
        self._failed: list[DataConfig] = []    # not tried again by itself
        self._manifests: dict[str, dict] = {}  # data sets never change
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self.current is not None and not self.current.finished

    def manifest(self, name: str) -> dict:
        """What is known of a prepared data set. Raises DataError."""
        if name not in self._manifests:
            self._manifests[name] = self.workspace.open_dataset(name).manifest
        return self._manifests[name]

    def find(self, config: DataConfig) -> str | None:
        """The name of the data set that was prepared with exactly these settings."""
        for name in self.workspace.dataset_names():
            with contextlib.suppress(DataError):  # one that is cut off is passed over, and said so where it is listed
                if made_from(self.manifest(name), config):
                    return name
        return None

    def ensure_builtin(self, preset_name: str = DEFAULT_PRESET) -> None:
        """Begin to prepare the built-in data set a preset goes with, unless it is there, another is at it, or it failed."""
        wanted = preset(preset_name)
        if wanted.dataset is None or self.busy or wanted.config.data in self._failed:
            return
        if self.find(wanted.config.data) is None:
            self.start(wanted.config.data, wanted.dataset)

    def start(self, config: DataConfig, wanted_name: str) -> Preparation:
        """Prepare in a process of its own, under a free name. Raises RunError for a bad name, ValueError while one is at it."""
        with self._lock:
            if self.busy:
                raise ValueError(f"'{self.current.name}' is still being prepared: wait for it, or cancel it.")
            name = self.workspace.free_dataset_name(wanted_name)
            context = multiprocessing.get_context("spawn")
            inbox, outbox = context.Pipe(duplex=False)
            process = context.Process(target=_prepare, args=(config, str(self.workspace.dataset_path(name)), outbox), daemon=True)
            process.start()
            outbox.close()
            self.current, self._process = Preparation(name, config), process
            self._thread = threading.Thread(target=self._follow, args=(self.current, process, inbox), daemon=True)
            self._thread.start()
            return self.current

    def cancel(self) -> None:
        """Stop the one under way. What it had written so far lies under a temporary name and is nobody's data set."""
        with self._lock:
            if self.busy:
                self.current.problem = CANCELLED
                self._process.terminate()

    def close(self) -> None:
        """Cancel, and wait until it is over: for the end of the app."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _follow(self, preparation: Preparation, process: BaseProcess, inbox: Connection) -> None:
        """In a thread: take progress from the process until it ends."""
        try:
            while True:
                preparation.progress, problem = inbox.recv()
                preparation.problem = preparation.problem or problem
        except (EOFError, OSError):
            process.join()
            remove_leftovers(self.workspace.datasets)
        if process.exitcode and not preparation.problem:
            preparation.problem = f"Preparing was ended from outside (exit code {process.exitcode}): try again, or a smaller text."
        if preparation.problem:
            self._failed.append(preparation.config)
        preparation.finished = True


def _prepare(config: DataConfig, directory: str, outbox: Connection) -> None:
    """In the spawned process: prepare, sending (how far it is, problem)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches it too; the app decides
    try:
        prepare(config, Path(directory), progress=lambda progress: outbox.send((progress, "")))
    except (ValueError, OSError) as problem:
        outbox.send((Progress(0.0, ""), str(problem)))
    except Exception:
        traceback.print_exc()
        outbox.send((Progress(0.0, ""), "Preparing failed inside GPT Lab; the details stand in the terminal window."))
