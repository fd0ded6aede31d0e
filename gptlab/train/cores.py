"""A processor's cores side by side: each works on a part of its own, instead of all of them sharing every operation.

A small model's operations take microseconds, and to share each one costs as much again: threads wait for each other some
hundred times an update, and as soon as anything else wants a core, all wait for the one it holds up. Side by side they meet
once an update (benchmarks/throughput.py). Knows nothing of models.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from torch import Tensor, nn

from gptlab.threads import keep_to_one_core

MOST_COPIED = 2**28  # numbers in the gradients of all cores but one: a gigabyte


class Cores:
    """`count` threads, each of which computes on one core. They end when nobody holds this any more."""

    def __init__(self, count: int):
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="gptlab-core")
        together = threading.Barrier(count)

        def begin(_: int) -> None:
            together.wait()  # so that each thread takes one of these
            keep_to_one_core()

        try:
            self.map(begin, range(count))
        except BaseException:
            together.abort()  # none may wait for a thread that could not be made
            raise

    def map(self, function: Callable, *items: Iterable) -> list:
        """What `function` gives for each of the items, in their order, when all cores are done; raises what the first raised.

        Each core takes its share of the items, one after the other; to hand them out singly would cost more than small ones do.
        """
        items = list(zip(*items, strict=True))
        results = [None] * len(items)

        def work(first: int) -> None:
            for number in range(first, len(items), self.count):
                results[number] = function(*items[number])

        tasks = [self._pool.submit(work, first) for first in range(min(self.count, len(items)))]
        wait(tasks)  # also where one has failed: none may go on behind the caller's back
        failed = [task.exception() for task in tasks if task.exception() is not None]
        tasks.clear()  # a failure that knew of them would hold what it failed on in memory, going round in a circle
        if failed:
            raise failed.pop(0)
        return results


def mine() -> Cores | None:
    """As many cores as the calling thread computes with; None where that is one. They are the thread's own, and end with it."""
    count = torch.get_num_threads()
    if count == 1:
        return None
    if count not in _of_thread.cores:
        _of_thread.cores[count] = Cores(count)
    return _of_thread.cores[count]


class _OfThread(threading.local):
    def __init__(self):
        self.cores: dict[int, Cores] = {}


_of_thread = _OfThread()


def fits(count: int, parameters: Sequence[nn.Parameter]) -> bool:
    """Whether the gradients that all of `count` cores but one hold besides stay small. Not whether there is room for them: what
    is free differs from one moment to the next, and the same run would not be the same."""
    return (count - 1) * sum(parameter.numel() for parameter in parameters) <= MOST_COPIED


def add_gradients(cores: Cores, loss: Callable[[Tensor, Tensor], Tensor], parameters: Sequence[nn.Parameter], ids: Tensor,
                  targets: Tensor) -> Tensor:
    """Adds the gradients of `loss` over ids and targets, both (B, T), to those the parameters have; gives the loss.

    `loss` gives a part's mean. The sequences are shared out as evenly as can be, and the parts' gradients added up in their
    order, so that the same batch always gives the same sums.
    """
    def part(part_ids: Tensor, part_targets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        with torch.enable_grad():
            value = loss(part_ids, part_targets) * (len(part_ids) / len(ids))
        return value.detach(), torch.autograd.grad(value, parameters)

    losses, gradients = zip(*cores.map(part, ids.tensor_split(cores.count), targets.tensor_split(cores.count)))
    if parameters[0].grad is not None:
        gradients = ([parameter.grad for parameter in parameters], *gradients)
    for more in gradients[1:]:
        torch._foreach_add_(gradients[0], more)
    for parameter, gradient in zip(parameters, gradients[0]):
        parameter.grad = gradient
    return torch.stack(losses).sum()
