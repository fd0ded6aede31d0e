"""Arithmetic on one core, whatever the rest of the process does. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gptlab.threads import keep_to_one_core

Result = TypeVar("Result")


class OneCore:
    """Runs functions, one after the other, on a thread of its own whose arithmetic is not split among cores.

    For work of many small pieces: at the end of each the cores would wait for one another, which takes far longer than
    the piece itself as soon as anything else, such as a training, wants a core too. The thread goes with this object.
    """

    def __init__(self):
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="one-core", initializer=keep_to_one_core)

    def run(self, function: Callable[..., Result], *arguments) -> Result:
        """What the function gives, or raises."""
        return self._thread.submit(function, *arguments).result()
