"""How threads of the processor wait for each other. For programs to call before torch is imported; imports nothing."""

from __future__ import annotations

import os

SPINS = "1000"  # some microseconds; with 0 a quiet machine is a fifth slower


def share_processors() -> None:
    """Have OpenMP's threads sleep soon where they wait for one another, unless the environment says otherwise.

    By default GNU's OpenMP spins long. As soon as anything else wants the cores (a browser that draws, a second program), a
    thread that spins keeps out the one it waits for, and a small model trains several times slower. With SPINS it costs next
    to nothing on a quiet machine (benchmarks/spinning.py). Has no effect on other OpenMPs, such as Intel's.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
