"""How the C library keeps memory for a program of many threads, and gives it back. Imports nothing."""

from __future__ import annotations

import ctypes
import sys

M_ARENA_MAX = -8  # of glibc's malloc.h
HEAPS = 4


def few_heaps() -> None:
    """Have all threads share HEAPS heaps; to be called before there are many. By default glibc gives each core eight, and every
    one keeps the holes that sampling, measuring and saving leave behind, in pieces of all sizes. Elsewhere a no-op."""
    if (libc := _glibc()) is not None:
        libc.mallopt(M_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Have the C library return what it holds free: in an hour of training that came to 70 MB (benchmarks/soak.py). Elsewhere a
    no-op."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
