"""The workspace: one directory with all data sets and runs, and how runs are made and found. Needs no torch."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset, open_dataset
from gptlab.data.sources import DataError
from gptlab.events import Status
from gptlab.runs.disk import RunError, replace, temporary_sibling
from gptlab.runs.rundir import MAX_NAME_LENGTH, RunDir, check_name

SHOWN_CHOICES = 8
LENGTH_OF_SECOND = len("20260131-235959")
MAX_ID_LENGTH = LENGTH_OF_SECOND + len("-") + MAX_NAME_LENGTH


def default_workspace_path() -> Path:
    """Where the workspace is unless somebody says otherwise: $GPTLAB_WORKSPACE, else ./workspace."""
    return Path(os.environ.get("GPTLAB_WORKSPACE") or "workspace")


class Workspace:
    """`datasets/`, `runs/` and `trash/` in one directory, which is made when it is not there."""

    def __init__(self, path: Path | str):
        self.path = Path(path).resolve()
        self.datasets = self.path / "datasets"
        self.runs = self.path / "runs"
        self.trash = self.path / "trash"
        for directory in (self.datasets, self.runs, self.trash):
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunError(f"The workspace {self.path} cannot be used ({error.strerror}): choose another directory "
                               "with --workspace.") from error

    # data sets

    def dataset_names(self) -> list[str]:
        """Prepared data sets, in alphabetical order."""
        return sorted(path.parent.name for path in self.datasets.glob("*/manifest.json")
                      if not path.parent.name.startswith("."))

    def dataset_path(self, name: str) -> Path:
        """Where the data set of that name lies or would lie. Raises RunError for names that cannot be one's."""
        return self.datasets / check_name(name, "data set")

    def free_dataset_name(self, name: str) -> str:
        """`name`, or `name-2`, … : data sets never change, so the same name again is a new one."""
        return _free_name(check_name(name, "data set"), lambda candidate: (self.datasets / candidate).exists())

    def open_dataset(self, name: str) -> Dataset:
        """The prepared data set of that name. Raises DataError, naming the ones there are."""
        if name not in self.dataset_names():
            names = ", ".join(self.dataset_names()[:SHOWN_CHOICES]) or "none yet"
            raise DataError(f"There is no data set '{name}' in {self.datasets}. Prepared: {names}.")
        return open_dataset(self.dataset_path(name))

    def dataset_of(self, run: RunDir) -> Path:
        """The directory of exactly the data a run was made with, under whatever name. Raises DataError.

        Looked for here, then beside the run, which may lie in another workspace.
        """
        try:
            return find_dataset(self.datasets, run)
        except DataError:
            return find_dataset(run.path.parent.parent / "datasets", run)

    # runs

    def list_runs(self) -> list[RunDir]:
        """All runs, newest first; damaged ones too, whose state says so."""
        return [RunDir(path) for path in sorted(self.runs.iterdir(), key=lambda path: path.name, reverse=True)
                if path.is_dir() and not path.name.startswith(".")]

    def find_run(self, text: str) -> RunDir:
        """The run with that id, name or unique part of an id, or at that path. Raises RunError with the choices."""
        if text and (Path(text) / "config.json").is_file():
            return RunDir(Path(text).resolve())
        runs = self.list_runs()
        for matches in ([run for run in runs if run.id == text], [run for run in runs if run.name == text],
                        [run for run in runs if text and text in run.id]):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise RunError(f"'{text}' fits several runs, name one: {_choices(matches)}.")
        there = f"There are: {_choices(runs)}." if runs else "There are none yet: train one first."
        raise RunError(f"There is no run '{text}' in {self.runs}. {there}")


def create_run(workspace: Workspace, config: RunConfig, dataset: Dataset, name: str, *, reason: str = "", owner: str = "",
               add: Callable[[RunDir], None] | None = None) -> RunDir:
    """A new run, queued, as a whole directory that carries its settings, tokenizer and manifest. RunError for bad names.

    `reason` is what its first status says, `owner` who begins it; `add` puts more into the directory before anybody sees it.
    """
    check_name(name)
    temporary = temporary_sibling(workspace.runs / "run")
    temporary.mkdir()
    try:
        RunDir(temporary).write_config(config)
        for file in ("tokenizer.json", "manifest.json"):
            shutil.copyfile(dataset.directory / file, temporary / file)
        RunDir(temporary).append(Status(step=0, time_seconds=0.0, state="queued", reason=reason))
        if owner:
            RunDir(temporary).relabel(owner=owner)
        if add is not None:
            add(RunDir(temporary))
        return RunDir(move_in(temporary, workspace.runs, f"{_own_second(workspace)}-{name}"))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _own_second(workspace: Workspace) -> str:
    """This second, or the first after it that no run began in: so the order of their ids is the order they were made in."""
    taken = {path.name[:LENGTH_OF_SECOND] for path in workspace.runs.iterdir()}
    seconds = (time.strftime("%Y%m%d-%H%M%S", time.localtime(time.time() + later)) for later in itertools.count())
    return next(second for second in seconds if second not in taken)


def find_dataset(datasets: Path, run: RunDir) -> Path:
    """The data set in `datasets` whose hash is that of the run's data, wherever the run came from. Raises DataError."""
    manifest = run.manifest()
    for name in [manifest.get("name"), *sorted(path.name for path in datasets.glob("*"))]:
        try:
            found = json.loads((datasets / str(name) / "manifest.json").read_text(encoding="utf-8"))
            if found["hash"] == manifest["hash"]:
                return datasets / str(name)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a data set that can be used, so not this one
    raise DataError(f"The data set '{manifest.get('name')}' of run {run.id} is missing or changed: prepare it again with "
                    "the same settings, then resume.")


def move_in(source: Path, directory: Path, name: str) -> Path:
    """Moves a whole directory to `directory / name`, or `name-2`, …; the path it got."""
    while True:
        target = directory / _free_name(name, lambda candidate: (directory / candidate).exists(), MAX_ID_LENGTH)
        try:
            replace(source, target)
            return target
        except OSError:
            if not target.exists():
                raise  # else another process was faster by a moment: the next name


def _free_name(name: str, taken: Callable[[str], bool], longest: int = MAX_NAME_LENGTH) -> str:
    """`name`, or `name-2`, …, of which no more than `longest` characters are left: its end goes first."""
    candidate, number = name, 1
    while taken(candidate):
        number += 1
        suffix = f"-{number}"
        candidate = name[:longest - len(suffix)] + suffix
    return candidate


def _choices(runs: list[RunDir]) -> str:
    return ", ".join(run.id for run in runs[:SHOWN_CHOICES]) + (", …" if len(runs) > SHOWN_CHOICES else "")
