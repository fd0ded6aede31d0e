"""Files that are whole or not there: atomic writes, renames that retry, room checked first. Knows nothing of runs.

Windows refuses to rename or delete what a reader (or a virus scanner) holds open for a moment, so renames retry.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gptlab.data.room import SPARE_BYTES

RETRY_SECONDS = 2.0
TEMPORARY = ".tmp-"  # what every unfinished file's or directory's name begins with

T = TypeVar("T")


class RunError(ValueError):
    """Something about a run or the workspace that the user can mend: one sentence, with the remedy."""


def write_atomic(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replaces `path` by `content` as a whole. `durable` waits for the disk; a cache need not. RunError when full."""
    path = Path(path)
    temporary = temporary_sibling(path)
    with explained(path, f"write {path.name}"):
        try:
            with open(temporary, "wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync(path.parent)


def temporary_sibling(path: Path) -> Path:
    """A name beside `path` that nobody uses."""
    return path.parent / f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}"


def replace(source: Path, target: Path) -> None:
    """os.replace, tried again for a moment where Windows refuses because somebody is reading."""
    retry(lambda: os.replace(source, target))


def remove_tree(path: Path) -> None:
    """Deletes a directory: renamed first, so that nobody ever sees half of it. What is not there is fine."""
    if path.exists():
        doomed = temporary_sibling(path)
        replace(path, doomed)
        retry(lambda: shutil.rmtree(doomed))


def remove_file(path: Path) -> None:
    """Deletes a file; one that is not there is fine."""
    retry(lambda: path.unlink(missing_ok=True))


def remove_temporaries(directory: Path) -> None:
    """Deletes what a killed process left half-written in `directory`; only for who holds the run's lock."""
    for path in directory.glob(f"{TEMPORARY}*") if directory.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file's content, or a directory's list of names, is on the disk."""
    if path.is_dir():
        if os.name == "nt":
            return  # Windows has no such thing for directories
        descriptor = os.open(path, os.O_RDONLY)
    else:
        descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_space(directory: Path, needed_bytes: int, purpose: str) -> None:
    """Raises RunError unless `needed_bytes` fit on the disk of `directory`, with a little to spare."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes + SPARE_BYTES:
        raise RunError(f"The disk is too full to {purpose}: {readable(needed_bytes + SPARE_BYTES)} needed, "
                       f"{readable(free)} free in {directory}. Free some space, then resume.")


@contextmanager
def explained(path: Path, purpose: str) -> Iterator[None]:
    """Turns "no space left on device" into a RunError that says what to do; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise RunError(f"The disk became full, so it was not possible to {purpose} ({path.parent}). "
                           "Free some space, then resume.") from error
        raise


def readable(n_bytes: float) -> str:
    """1536 -> "1.5 KB"."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if n_bytes < 1024:
            break
        n_bytes /= 1024
    else:
        unit = "TB"
    return f"{n_bytes:.0f} bytes" if unit == "bytes" else f"{n_bytes:.1f} {unit}"


def retry(action: Callable[[], T]) -> T:
    """What `action` returns, tried again for a moment where Windows refuses because somebody else has the file."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return action()
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
