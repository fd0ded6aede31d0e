"""Memory of the processor that nobody uses: given back to the system. Knows nothing of what used it."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Have the C library return what it holds free. Sampling, measuring and saving take and leave pieces of all sizes, from many
    threads, and glibc keeps the holes: an app that trained for an hour held 70 MB more (benchmarks/soak.py). Elsewhere a no-op.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # musl has none
        trim(0)
