"""Runs that leave the workspace and come back: a trash with a way out, and one zip that opens on another machine."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from pathlib import Path

from gptlab.runs import curves
from gptlab.runs.checkpoint import best_of, list_checkpoints
from gptlab.runs.disk import RunError, check_space, explained, remove_file, remove_tree, replace, temporary_sibling
from gptlab.runs.eventlog import read_lines
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, move_in

FILES = ("config.json", "parent.json", "label.json", "status.json", "tokenizer.json", "manifest.json", "traceback.txt")
CHECKPOINT_FILE = re.compile(r"checkpoints/step_\d{8,}/(?:model\.safetensors|optimizer\.safetensors|state\.json)")
CHUNK_BYTES = 2**20
BAD_ZIPS = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError,  # RuntimeError: encrypted
            TypeError, OverflowError)  # a long run's events that say what no event says
TRIES = 5  # at a zip of a run that drops files meanwhile


# trash

def move_to_trash(workspace: Workspace, run: RunDir) -> RunDir:
    """Takes a run out of the list; `restore_from_trash` brings it back. Raises RunError for one that is being trained."""
    if run.is_alive():
        raise RunError(f"Run {run.id} is being trained: stop it first, then delete it.")
    return RunDir(move_in(run.path, workspace.trash, run.id))


def list_trash(workspace: Workspace) -> list[RunDir]:
    """What lies in the trash, newest run first."""
    return [RunDir(path) for path in sorted(workspace.trash.iterdir(), key=lambda path: path.name, reverse=True)
            if path.is_dir() and not path.name.startswith(".")]


def restore_from_trash(workspace: Workspace, run_id: str) -> RunDir:
    """Brings a run back. Raises RunError where the trash does not hold it."""
    return RunDir(move_in(_in_trash(workspace, run_id).path, workspace.runs, run_id))


def delete_from_trash(workspace: Workspace, run_id: str) -> None:
    """Deletes for good. Raises RunError where the trash does not hold it."""
    remove_tree(_in_trash(workspace, run_id).path)


def _in_trash(workspace: Workspace, run_id: str) -> RunDir:
    for run in list_trash(workspace):
        if run.id == run_id:
            return run
    raise RunError(f"There is no run '{run_id}' in the trash.")


# one file to carry away

def zip_run(run: RunDir, target: Path) -> Path:
    """Writes `target`: everything to look at the run, to write with it and to go on (where its data set is), with its
    best and last checkpoints. May be called while it trains. Raises RunError for a full disk."""
    for attempt in range(1, TRIES + 1):
        try:
            return _zip(run, _contents(run), target)
        except FileNotFoundError as error:  # its training dropped a checkpoint meanwhile: begin anew with what there is
            if attempt == TRIES:
                raise RunError(f"Run {run.id} cannot be zipped: {Path(error.filename or target).name} is not there any "
                               "more. Try again, or pause the run first.") from error


def _contents(run: RunDir) -> list[Path]:
    """The files to carry away but for the events, each there at this moment."""
    checkpoints = [saved for saved in list_checkpoints(run) if saved.problem is None]
    chosen = {saved.path for saved in (best_of(checkpoints), checkpoints[-1] if checkpoints else None) if saved}
    paths = [path for name in FILES if (path := run.path / name).exists()]
    return paths + [path for directory in sorted(chosen) for path in sorted(directory.iterdir())]


def _zip(run: RunDir, paths: list[Path], target: Path) -> Path:
    """Writes `target` whole or not at all. Raises FileNotFoundError when one of `paths` is gone."""
    check_space(target.parent, sum(path.stat().st_size for path in [*paths, run.events_path]), f"zip {run.id}")
    temporary = temporary_sibling(target)
    try:
        with explained(target, f"zip {run.id}"), zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                name = f"{run.id}/{path.relative_to(run.path).as_posix()}"
                weights = path.suffix == ".safetensors"  # noise to a compressor
                archive.write(path, name, zipfile.ZIP_STORED if weights else zipfile.ZIP_DEFLATED)
            with archive.open(f"{run.id}/events.jsonl", "w", force_zip64=True) as file:
                offset = 0
                while content := (chunk := read_lines(run.events_path, offset, CHUNK_BYTES))[0]:
                    file.write(content)
                    offset = chunk[1]
        replace(temporary, target)
    finally:
        remove_file(temporary)
    return target


def import_zip(workspace: Workspace, path: Path) -> RunDir:
    """A run from a zip that `zip_run` wrote. Nothing in it is executed or used as a path. Raises RunError if it is no run.

    What its files say is believed: of a zip from elsewhere, `gptlab.exchange` looks at that first.
    """
    temporary = temporary_sibling(workspace.runs / "import")
    try:
        with zipfile.ZipFile(path) as archive:
            run_id, members = members_of(archive, path.name)
            check_space(workspace.runs, sum(member.file_size for member, _ in members), f"open {path.name}")
            for member, name in members:
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with explained(target, f"open {path.name}"), archive.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, CHUNK_BYTES)
        RunDir(temporary).config()
        curves.keep(RunDir(temporary))
        return RunDir(move_in(temporary, workspace.runs, run_id))
    except BAD_ZIPS as error:
        raise RunError(f"{path.name} is not a whole zip of a run ({error}): download it again.") from error
    finally:
        remove_tree(temporary)


def members_of(archive: zipfile.ZipFile, filename: str) -> tuple[str, list[tuple[zipfile.ZipInfo, str]]]:
    """(the run's id, [(member, its path inside the run)]): only names that a run has, so none can lead elsewhere. Raises
    RunError for the zip of anything else."""
    found, ids = [], set()
    for member in archive.infolist():
        run_id, _, name = member.filename.partition("/")
        known = name in (*FILES, "events.jsonl") or CHECKPOINT_FILE.fullmatch(name)
        if known and re.fullmatch(r"[A-Za-z0-9_-]+", run_id):
            found.append((member, name))
            ids.add(run_id)
    names = [name for _, name in found]
    if len(ids) != 1 or len(set(names)) != len(names) or not {"config.json", "events.jsonl", "tokenizer.json"} <= set(names):
        raise RunError(f"{filename} is not the zip of a run: choose one that was downloaded under Runs.")
    return ids.pop(), found
