"""How the C library keeps memory for a program of many threads, and gives it back. Imports nothing."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's malloc.h
HEAPS = 4
LARGE_BYTES, LARGEST_BYTES = 2**18, 2**25


def few_heaps() -> None:
    """Have all threads share HEAPS heaps; to be called before there are many. By default glibc gives each core eight, and every
    one keeps the holes that sampling, measuring and saving leave behind, in pieces of all sizes. Elsewhere a no-op."""
    if (libc := _glibc()) is not None:
        libc.mallopt(M_ARENA_MAX, HEAPS)


def spare(wanted: bool) -> None:
    """Whether every large piece that is freed goes back at once: else the heap keeps holes, of which the next tensor rarely fits
    one, and gradient checkpointing saves hardly anything. It costs an update about a sixth more time, so it is for
    runs that ask for less memory. Elsewhere a no-op."""
    if (libc := _glibc()) is not None:
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES if wanted else LARGEST_BYTES)


def give_back() -> None:
    """Have the C library return what it holds free: in an hour of training that came to 70 MB (benchmarks/soak.py). Elsewhere a
    no-op."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
