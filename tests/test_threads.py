"""How many threads share out an operation: what one thread changes for itself changes nothing for others."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gptlab.generate.ahead import ahead
from gptlab.threads import compute_with


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    compute_with(2)
    yield
    compute_with(before)


def in_a_new_thread(function):
    with ThreadPoolExecutor(1) as new:
        return new.submit(function).result()


def test_several_that_begin_at_once_leave_the_number_for_threads_to_come(monkeypatch):
    """Each notes 1 for a moment; another one that began in that moment once put 1 back."""
    set_threads = torch.set_num_threads

    def slowly(count):
        set_threads(count)
        time.sleep(0.02)
    monkeypatch.setattr(torch, "set_num_threads", slowly)
    together, numbers = threading.Barrier(4), []

    def begin():
        together.wait()
        numbers.append(next(ahead(torch.get_num_threads() for _ in range(1))))
    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [1, 1, 1, 1] and in_a_new_thread(torch.get_num_threads) == torch.get_num_threads() == 2


def test_a_number_set_holds_for_this_thread_and_those_to_come():
    compute_with(3)
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 3
