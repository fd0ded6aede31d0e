"""A lock that dies with its holder: how everybody knows, without asking, whether a run is alive.

The operating system keeps it for an open file, so it ends with the process however that ends (kill -9 included),
and one process's two holders exclude each other as two processes do.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

if os.name == "nt":
    import msvcrt
else:
    import fcntl

_probing = threading.Lock()  # on Windows, where a probe is exclusive, two of one process would see each other


class FileLock:
    """An exclusive lock on a small file, which is created when needed and never deleted."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, timeout_seconds: float = 0.5) -> bool:
        """True when the lock is ours. Waits a moment, because `is_held` of somebody else may be holding it briefly."""
        deadline = time.monotonic() + timeout_seconds
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        while not _try_lock(descriptor, shared=False):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return False
            time.sleep(0.01)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets go; harmless when not held."""
        if self._descriptor is not None:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether anybody, in this process or another, holds the lock on `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        with _probing:
            if not _try_lock(descriptor, shared=True):
                return True
            _unlock(descriptor)
            return False
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, shared: bool) -> bool:
    try:
        if os.name == "nt":
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(descriptor: int) -> None:
    if os.name == "nt":
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
