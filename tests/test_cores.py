"""Cores side by side: the same gradients as all together, always in the same order, and nobody else is disturbed."""

import contextlib
import gc
import threading
import weakref

import pytest
import torch
from test_trainer import config, dataset

from gptlab.config import ModelConfig
from gptlab.model.gpt import GPT
from gptlab.train import cores as cores_module
from gptlab.train.cores import Cores, add_gradients, fits, mine
from gptlab.train.trainer import Trainer

MODEL = ModelConfig(n_layer=2, n_head=2, n_embd=16, context_length=8, positions="rope", qk_norm=True)


def model_and_batch(sequences: int) -> tuple[GPT, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    model = GPT(MODEL, vocab_size=11, generator=generator)
    ids, targets = (torch.randint(0, 11, (sequences, 8), generator=generator) for _ in range(2))
    return model, ids, targets


@pytest.mark.parametrize("sequences", [3, 4, 7])  # also where some cores have one more than others
def test_gradients_are_those_of_the_whole_batch_and_add_to_what_is_there(sequences):
    model, ids, targets = model_and_batch(sequences)
    plain = model.loss(ids, targets)
    plain.backward()
    expected = [2 * parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    cores, parameters = Cores(3), list(model.parameters())
    for _ in range(2):
        loss = add_gradients(cores, model.loss, parameters, ids, targets)
    torch.testing.assert_close(loss, plain.detach())
    torch.testing.assert_close([parameter.grad for parameter in parameters], expected)


def test_the_same_batch_gives_the_same_bits_every_time():
    model, ids, targets = model_and_batch(9)
    cores, parameters, seen = Cores(3), list(model.parameters()), []
    for _ in range(10):
        model.zero_grad()
        loss = add_gradients(cores, model.loss, parameters, ids, targets)
        seen.append([loss, *(parameter.grad for parameter in parameters)])
    assert all(torch.equal(a, b) for other in seen[1:] for a, b in zip(seen[0], other, strict=True))


def test_each_computes_with_one_thread_and_whoever_made_them_with_as_many_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        cores = Cores(2)
        assert cores.map(lambda _: torch.get_num_threads(), range(2)) == [1, 1]
        assert torch.get_num_threads() == 3
        assert in_a_new_thread(torch.get_num_threads) == 3
    finally:
        torch.set_num_threads(before)


def in_a_new_thread(function):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join()
    return answers[0]


def test_what_fails_in_one_is_raised_when_all_are_done():
    done = []

    def work(number):
        if number == 0:
            raise torch.OutOfMemoryError("out of memory")
        done.append(number)

    cores = Cores(2)
    with pytest.raises(torch.OutOfMemoryError):
        cores.map(work, range(4))
    assert done == [1, 3]  # the other core's


def test_a_failure_that_is_over_holds_nothing_in_memory():
    """Where memory ran out, the same is tried again in smaller parts: what the failed try held must be free by then."""
    cores, seen = Cores(2), []

    def work(number):
        held = torch.zeros(1)
        seen.append(weakref.ref(held))
        raise torch.OutOfMemoryError("out of memory")

    gc.disable()
    try:
        with contextlib.suppress(torch.OutOfMemoryError):
            cores.map(work, range(2))
        assert [reference() for reference in seen] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("changes, used", [({}, True), ({"dropout": 0.1}, False), ({"batch_size": 1}, False)])
def test_training_uses_them_where_it_can(monkeypatch, changes, used):
    calls, before = [], torch.get_num_threads()
    monkeypatch.setattr(cores_module, "add_gradients", lambda *arguments: calls.append(1) or add_gradients(*arguments))
    torch.set_num_threads(2)
    try:
        trainer = Trainer(config(**changes), dataset())
        trainer.update()
        assert bool(calls) == used
        calls.clear()
        trainer.loss = lambda ids, targets: trainer.model.loss(ids, targets)  # a compiled one, say
        trainer.update()
        assert not calls
    finally:
        torch.set_num_threads(before)


def test_they_end_with_whoever_held_them():
    def threads():
        return {thread for thread in threading.enumerate() if thread.name.startswith("gptlab-core")}

    others = threads()
    cores = Cores(2)
    ours = threads() - others
    assert len(ours) == 2
    del cores
    gc.collect()
    for thread in ours:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_gradients_that_would_fill_the_memory_do_not_fit():
    large = [torch.nn.Parameter(torch.empty(2**27, device="meta"))]
    assert fits(3, large) and not fits(4, large)


def test_a_thread_has_as_many_as_it_computes_with_and_keeps_them():
    def look() -> tuple:
        torch.set_num_threads(2)
        first, again = mine(), mine()
        torch.set_num_threads(3)
        more = mine()
        torch.set_num_threads(1)
        return first.count, first is again, more.count, mine()

    before = torch.get_num_threads()
    try:
        assert in_a_new_thread(look) == (2, True, 3, None)
    finally:
        torch.set_num_threads(before)
