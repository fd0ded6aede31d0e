"""Whether a training fits the memory there is, and what to lower where it does not."""

import pytest

from gptlab.config import RunConfig
from gptlab.model import estimate
from gptlab.train import cores
from gptlab.train.room import MEMORY_SHARE, needed_bytes, room

CONFIG = RunConfig().replace({"train.batch_size": 64, "model.n_layer": 8})


def needed(changes=(), threads=1):
    return sum(needed_bytes(CONFIG.replace(dict(changes)), 96, "cpu", threads, "fp32").values())


def look(free, config=CONFIG):
    return room(config, 96, "cpu", 1, free=int(free))


def test_what_fits_says_how_much_of_how_much():
    found = look(20e9)
    assert found.fits and not found.is_tight and found.lower == {}
    assert found.told == f"Needs about {needed() / 1e6:.0f} MB of the 20 GB of memory that are free"
    tight = look(1.1 * needed())
    assert tight.fits and tight.is_tight and tight.told.endswith("leaves little for others")


@pytest.mark.parametrize("share, settings, words", [
    (0.9, {"train.batch_size": 32}, "Lower train.batch_size to 32."),
    (0.1, {"train.batch_size": 2}, "Lower train.batch_size to 2."),
    (0.04, {}, "Lower model.n_embd, model.n_layer or model.context_length.")])
def test_what_does_not_fit_says_what_to_lower(share, settings, words):
    """And with that it fits, with room for others."""
    found = look(share * needed())
    assert not found.fits and found.lower == settings
    assert found.told.startswith("Will not fit: it needs about ") and found.told.endswith(words)
    if settings:
        assert needed(settings.items()) <= MEMORY_SHARE * share * needed()


def test_one_long_sequence_is_left_to_gradient_checkpointing():
    config = CONFIG.replace({"train.batch_size": 1, "model.context_length": 4096})
    found = look(0.6 * room(config, 96, "cpu", 1, free=0).needed_bytes, config)
    assert found.lower == {"train.gradient_checkpointing": True}
    assert found.told.endswith("Switch on train.gradient_checkpointing.")


def test_cores_side_by_side_are_counted_where_they_compute(monkeypatch):
    """Not with dropout, nor for fewer sequences than cores, nor where the gradients of all would be too much."""
    gradients = 4 * estimate.total_parameters(CONFIG.model, 96)
    assert needed(threads=2) - needed() == pytest.approx(gradients, abs=1)
    for changes in ({"model.dropout": 0.1}, {"train.batch_size": 1}):
        assert needed(changes.items(), threads=2) == needed(changes.items())
    monkeypatch.setattr(cores, "MOST_COPIED", gradients // 4 - 1)
    assert needed(threads=2) == needed()
