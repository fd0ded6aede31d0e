"""How many threads share out an operation of torch. Knows torch and nothing of ours.

Each thread has a number of its own, but to set it also notes it, process-wide, for threads that have not computed yet. So
whoever changes one and puts the other right does it here, one at a time.
"""

from __future__ import annotations

import threading

import torch

_one_at_a_time = threading.Lock()


def compute_with(count: int) -> None:
    """The calling thread's operations are shared out among `count` threads, and so are those of threads made later."""
    with _one_at_a_time:
        torch.set_num_threads(count)


def keep_to_one_core() -> None:
    """The calling thread's operations are not shared out; for all other threads, made before or later, nothing changes.

    For a thread that has not called `compute_with` itself: the first thing it does.
    """
    with _one_at_a_time:
        noted = torch.get_num_threads()  # also has torch settle this thread's number, which its first operation would overwrite
        torch.set_num_threads(1)
        putting_back = threading.Thread(target=torch.set_num_threads, args=(noted,))
        putting_back.start()
        putting_back.join()
