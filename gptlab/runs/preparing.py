"""Preparing data sets beside the app: each in a process of its own, so that neither a page nor a running training waits.

Knows data sets and the workspace; what watches it is not its business. Imports no torch, for the process starts with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.config import DataConfig
from gptlab.data.dataset import made_from, prepare, remove_leftovers
from gptlab.data.errors import DataError
from gptlab.data.progress import Progress
from gptlab.presets import DEFAULT_PRESET, preset
from gptlab.runs.beside import OneAtATime
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


class Preparations(OneAtATime):
    """The data sets of a workspace and the one being prepared, if any. What a cancelled one had written is removed."""

    title, cancelled = "Preparing", CANCELLED

    def __init__(self, workspace: Workspace):
        super().__init__()
        self.workspace = workspace
        self._failed: list[DataConfig] = []    # not tried again by itself
        self._manifests: dict[str, dict] = {}  # data sets never change
        self.begun: set[str] = set()           # names, since the app was started

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
            self.begun.add(name)
            self._begin(Preparation(name, config), _prepare, config, str(self.workspace.dataset_path(name)))
            return self.current

    def _told(self, current: Preparation, said: Progress) -> None:
        current.progress = said

    def _over(self, current: Preparation) -> None:
        remove_leftovers(self.workspace.datasets)
        if current.problem:
            self._failed.append(current.config)


def _prepare(config: DataConfig, directory: str, tell: Callable[[Progress], None]) -> None:
    """In the spawned process."""
    prepare(config, Path(directory), progress=tell)
