"""A run and its data in one zip that opens on another machine without a network: how a lesson is handed out, and work in.

    <run's id>/                what `runs.archive` packs: settings, prompts, events, tokenizer, best and last checkpoint
    datasets/<name>/           manifest.json  tokenizer.json  train.bin  val.bin

So `archive.import_zip` finds the run in it. What comes from elsewhere is data: `members.py` says what it may hold, and
all of that is checked before anything is shown in the workspace.
"""

from __future__ import annotations

import errno
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gptlab.data.dataset import open_dataset
from gptlab.data.sources import DataError
from gptlab.exchange import members
from gptlab.exchange.foreign_events import BadBundle
from gptlab.exchange.members import DATASET_FILES
from gptlab.runs import archive
from gptlab.runs.disk import (RunError, check_space, explained, remove_file, remove_tree, replace, temporary_sibling,
                              write_atomic)
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace

CHUNK_BYTES = 2**20
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)  # what zips raise


@dataclass(frozen=True)
class Opened:
    """What came out of a bundle. `shared`: this workspace had the same data already, under this name."""

    run: RunDir
    dataset: str
    shared: bool


def write_bundle(workspace: Workspace, run: RunDir, target: Path) -> Path:
    """Writes `target`, whole or not at all. Raises RunError for a run that is being trained or a full disk, DataError
    where its data is not to be found."""
    if run.is_alive():
        raise RunError(f"Run {run.id} is being trained: stop it first, or wait until it is done.")
    if not run.events_path.exists():
        raise RunError(f"{run.path} is not a whole run: events.jsonl is missing. Restore it, or delete the run.")
    dataset = workspace.dataset_of(run)
    paths = [dataset / name for name in DATASET_FILES]
    check_space(target.parent, sum(path.stat().st_size for path in paths), f"bundle {run.id}")
    temporary = temporary_sibling(target)
    try:
        archive.zip_run(run, temporary)
        with explained(target, f"bundle {run.id}"), zipfile.ZipFile(temporary, "a", zipfile.ZIP_DEFLATED) as file:
            for path in paths:
                file.write(path, f"datasets/{dataset.name}/{path.name}")
        replace(temporary, target)
    finally:
        remove_file(temporary)
    return target


def open_bundle(workspace: Workspace, path: Path) -> Opened:
    """The run and the data set of a bundle, both or neither. Nothing that is there is changed: a taken id or name gets a
    number, and data with the same hash is shared. Raises RunError, with what is wrong, for anything but a whole bundle.
    """
    staged = temporary_sibling(workspace.datasets / "bundle")
    try:
        with _explained(path):
            contents = _unpack(workspace, path, staged)
            _check_dataset(staged)
        run = archive.import_zip(workspace, path)
        try:
            there = _same_data(workspace, contents.manifest["hash"])
            return Opened(run, there or _place(workspace, staged, contents), shared=there is not None)
        except BaseException:
            remove_tree(run.path)  # its data did not follow
            raise
    finally:
        remove_tree(staged)


def open_run_zip(workspace: Workspace, path: Path) -> RunDir:
    """The run of a zip without data, as `archive.zip_run` writes it; held to what a bundle's run is. Raises RunError."""
    with _explained(path, "zip of a run"):
        with zipfile.ZipFile(path) as file:
            members.check_run(file, path)
    return archive.import_zip(workspace, path)


@contextmanager
def _explained(path: Path, what: str = "bundle") -> Iterator[None]:
    """Turns whatever a bad bundle raises into one sentence; trouble with this machine's disk passes."""
    try:
        yield
    except RunError:
        raise
    except BadBundle as error:
        raise RunError(f"{path.name} cannot be opened: {error}") from error
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that one is a seek to nowhere
            raise
        raise RunError(f"{path.name} cannot be opened: it is not a whole {what} ({error}). Get it anew.") from error


def _unpack(workspace: Workspace, path: Path, staged: Path) -> members.Contents:
    """Checks the zip, and writes its data set to the directory `staged`."""
    with zipfile.ZipFile(path) as file:
        contents = members.check(file, path)
        check_space(workspace.path, sum(member.file_size for member in file.infolist()), f"open {path.name}")
        staged.mkdir()
        for name in DATASET_FILES:
            _extract(file, contents.dataset_members[name], staged / name)
    return contents


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with explained(target, "open the bundle"), file.open(member) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy, CHUNK_BYTES)


def _check_dataset(staged: Path) -> None:
    """Raises BadBundle unless the data set's files are what its manifest says."""
    try:
        dataset = open_dataset(staged)
    except DataError as error:
        raise BadBundle(f"its data set is damaged ({error}).") from error
    if members.content_hash(staged) != dataset.hash:
        raise BadBundle("its data set is not the one that its manifest names: the hash is another. Get it anew.")
    for tokens in (dataset.train, dataset.val):
        for begin in range(0, len(tokens), CHUNK_BYTES):
            if int(tokens[begin:begin + CHUNK_BYTES].max()) >= dataset.tokenizer.vocab_size:
                raise BadBundle("its data set holds tokens that its tokenizer does not know.")


def _same_data(workspace: Workspace, hash: str) -> str | None:
    """The name under which the same tokens lie in this workspace, whole."""
    for name in workspace.dataset_names():
        with suppress(DataError):  # one that is cut off cannot be shared
            if workspace.open_dataset(name).hash == hash:
                return name
    return None


def _place(workspace: Workspace, staged: Path, contents: members.Contents) -> str:
    """Moves the staged data set in under a free name, which its manifest then says too; that name."""
    while True:
        free = workspace.free_dataset_name(contents.dataset_name)
        text = json.dumps({**contents.manifest, "name": free}, indent=2, ensure_ascii=False)
        write_atomic(staged / "manifest.json", text + "\n")
        try:
            replace(staged, workspace.datasets / free)
            return free
        except OSError:
            if not (workspace.datasets / free).exists():
                raise  # else another process was faster by a moment: the next name
