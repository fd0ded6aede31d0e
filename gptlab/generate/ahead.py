"""Work a turn ahead of whoever takes it, on one core, whatever the rest of the process does. Knows nothing of models."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from gptlab.threads import keep_to_one_core

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, or what is raised in their place, made on a thread of their own whose arithmetic is not split among cores.

    For work of many small pieces: at the end of each the cores would wait for one another, which takes far longer than
    the piece itself as soon as anything else, such as a training, wants a core too. The next item is made while the last is
    used, so nobody waits for a thread to wake up either; two more than were taken are made at most, and none any more once
    this iterator is closed.
    """
    made: queue.Queue[tuple[list[Item], BaseException | None]] = queue.Queue(maxsize=1)
    halted = threading.Event()

    def make() -> None:
        error: BaseException | None = None
        try:
            keep_to_one_core()
            for item in items:
                made.put(([item], None))
                if halted.is_set():
                    return
        except BaseException as one:  # whatever it is, it is the taker's
            error = one
        made.put(([], error))

    thread = threading.Thread(target=make, name="one-core", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if not item:
                return
            yield item[0]
    finally:
        halted.set()
        with suppress(queue.Empty):
            made.get_nowait()  # the thread may wait for room
        thread.join()  # a thread inside torch must outlive neither the model's use nor the program
