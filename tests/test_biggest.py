"""The biggest model for a machine: which are tried, which is found, and what is said of it."""

from types import SimpleNamespace

import pytest
from test_trainer import config, dataset

from gptlab.config import check
from gptlab.model import estimate
from gptlab.presets import presets
from gptlab.train import biggest
from gptlab.train.biggest import candidates, search
from gptlab.train.room import Room


@pytest.mark.parametrize("name", ["first-minute", "llama-small-cpu", "moe-small-cpu", "shakespeare-char-cpu-fast"])
def test_candidates_are_of_the_same_kind_and_can_be_set(name):
    given = presets()[name].config
    ladder = candidates(given, 96)
    sizes = [estimate.total_parameters(one.model, 96) for one in ladder]
    assert sizes == sorted(set(sizes)) and sizes[0] < 100_000 * (given.model.n_expert or 1) and sizes[-1] > 1e9
    for one in ladder[::100]:
        assert check(one) == []
        kept = {"n_layer", "n_head", "n_kv_head", "n_embd", "mlp_hidden"}
        assert {k: v for k, v in vars(one.model).items() if k not in kept} == {
            k: v for k, v in vars(given.model).items() if k not in kept}
        assert one.model.head_size == given.model.head_size
        assert one.model.n_head * given.model.kv_heads == one.model.kv_heads * given.model.n_head
        assert one.model.hidden / one.model.n_embd == pytest.approx(given.model.hidden / given.model.n_embd, rel=0.15)


@pytest.fixture
def machine(monkeypatch):
    """A machine that computes `rate` operations a second, is thought to compute `thought` before anything is measured, and has
    `free` bytes; `measured` are the configurations that were."""
    pretended = SimpleNamespace(rate=1e11, free=10**9, thought=1e11, measured=[])

    def measure(config, data):
        pretended.measured.append(config)
        vocab_size = data.tokenizer.vocab_size
        tokens = config.train.max_steps * config.train.batch_size * config.model.context_length
        needed = sum(estimate.training_memory_bytes(config.model, config.train, vocab_size).values())
        return SimpleNamespace(total_seconds=tokens * estimate.flops_per_token(config.model, vocab_size) / pretended.rate,
                               room=Room(needed, pretended.free, {}))

    monkeypatch.setattr(biggest, "measure", measure)
    monkeypatch.setattr(biggest, "matrix_rate", lambda *_: pretended.thought / biggest.EFFICIENCY)
    monkeypatch.setattr(biggest, "free_bytes", lambda device: pretended.free)
    return pretended


def found_in(minutes, **settings):
    *_, last = search(config(**settings), dataset(n_train=200_000), minutes)
    return last.found


@pytest.mark.parametrize("thought", [1e10, 1e11, 2e12])
def test_the_biggest_that_is_in_time_is_found_however_fast_the_machine_was_thought(machine, thought):
    machine.thought = thought
    found = found_in(2.0)
    ladder = candidates(config(), 12)
    at = [estimate.total_parameters(one.model, 12) for one in ladder].index(found.parameters)
    assert found.seconds <= 120 and found.limit == "minutes" and len(machine.measured) <= biggest.MOST_TRIED
    larger = ladder[at + 1].model
    operations = 20 * estimate.active_parameters(larger, 12) * estimate.flops_per_token(larger, 12)
    assert operations / machine.rate > 0.99 * 120
    assert found.tokens == pytest.approx(20 * found.parameters, rel=0.01)
    assert f"{found.settings['model.n_layer']} layer" in found.told and "20 for each parameter" in found.told


def test_memory_can_be_the_limit(machine):
    machine.free = 10**7
    found = found_in(1000.0)
    assert found.limit == "memory" and found.needed_bytes <= machine.free and "would not fit" in found.told
    machine.free = 1000
    with pytest.raises(ValueError, match="Not even a model of . layers? of width .* fits"):
        found_in(1000.0)


def test_too_little_time_for_anything_says_so(machine):
    with pytest.raises(ValueError, match="give it more minutes"):
        found_in(0.001)


@pytest.mark.parametrize("tokens, words", [(10**9, ""), (1000, "too small for it")])
def test_a_text_that_is_too_small_is_said_to_be(machine, tokens, words):
    *_, last = search(config(), dataset(n_train=1000), 2.0)
    found = biggest.dataclasses.replace(last.found, train_tokens=tokens)
    assert (words in found.warned) if words else found.warned == ""
    fine = biggest.dataclasses.replace(found, train_tokens=found.tokens // 3)
    assert "reads it 3.0 times. That is fine" in fine.warned


def test_its_length_is_reckoned_with_the_batch_it_trains_with(machine):
    """Left to the machine, a batch would be chosen anew, and as many steps would read more or less."""
    found = found_in(2.0, batch_size=None)
    assert found.settings["train.batch_size"] == 16
    assert found.tokens == found.settings["train.max_steps"] * 16 * 8
