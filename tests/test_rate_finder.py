"""The range test: rates that rise exponentially, a sensible suggestion, and nothing else moved."""

import math

import numpy as np
import pytest
import torch
from test_trainer import config, dataset

from gptlab.train import rate_finder
from gptlab.train.choosing import Choice
from gptlab.train.device import using_threads
from gptlab.train.rate_finder import HIGHEST, LOWEST, RangeTest, range_test, trial, with_rate
from gptlab.train.trainer import Trainer


def ended(settings, data) -> RangeTest:
    *_, last = range_test(settings, data)
    return last


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_rates_rise_exponentially_until_the_loss_has_risen_again(optimizer):
    tests = list(range_test(config(optimizer=optimizer), dataset()))
    last = tests[-1]
    assert [len(one.rates) for one in tests] == list(range(len(tests))) and not any(one.ended for one in tests[:-1])
    assert last.rates[0] == LOWEST and np.diff(np.log(last.rates)) == pytest.approx(math.log(HIGHEST / LOWEST) / 99)
    assert last.ended == "blown up" or optimizer == "muon" and last.ended == "highest"  # no step of Muon's is ever large
    assert 50 < len(last.rates) <= 100 and last.smoothed[-1] > 1.5 * min(last.smoothed)
    assert len(last.losses) == len(last.rates) and all(map(math.isfinite, last.losses))
    assert 1e-3 <= last.suggested_learning_rate <= 1e-1


def test_nothing_else_is_moved():
    """Not the global random state, not a model that is being trained meanwhile: both go on as they would have."""
    trainer = Trainer(config(dropout=0.3), dataset())
    trainer.update()
    weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    before = torch.get_rng_state()
    settings = config(dropout=0.3)
    tests = range_test(settings, dataset())
    for _ in range(4):
        next(tests)
    tests.close()  # cancelled
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in trainer.model.state_dict().items())
    assert settings == config(dropout=0.3)


def test_the_same_settings_give_the_same_curve():
    assert ended(config(), dataset()).losses == ended(config(max_learning_rate=0.5, dropout=0.1, eval_every=3, compile="off"),
                                                         dataset()).losses
    assert ended(config(), dataset()).losses != ended(config(seed=5), dataset()).losses


def curve(losses_by_rate, **more) -> RangeTest:
    """A whole test whose loss is a function of the rate."""
    rates = np.geomspace(LOWEST, HIGHEST, 100)
    return RangeTest(100, tuple(rates), tuple(losses_by_rate(rates)), ended="highest", **more)


def valley(rates):
    """A loss that falls from 6 to 2 around 0.003, and rises beyond 0.03."""
    return 2 + 4 / (1 + (rates / 0.001) ** 2) + np.maximum(0, np.log(rates / 0.03)) ** 2


def test_where_nine_tenths_of_the_fall_are_done_is_suggested():
    """By the formula at 0.003, whatever the noise; a plateau beyond, lowest anywhere by chance, does not draw it away."""
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(0, 0.1, 100)
        found = curve(lambda rates: valley(rates) + noise)
        assert found.suggested_learning_rate in (0.003, 0.004), seed
        assert 0.005 < found.lowest_at < 0.05
        assert f"Suggested: {found.suggested_learning_rate:g}" in found.told and "rose again" in found.told
    assert "rose again" not in curve(lambda rates: 2 + 4 / (1 + (rates / 0.001) ** 2)).told


def test_where_nothing_was_learnt_nothing_is_suggested():
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    found = curve(lambda rates: 4 + rates + noise)
    assert found.suggested_learning_rate is None and "none is suggested" in found.told
    assert RangeTest(100, ended="blown up").suggested_learning_rate is None


def test_a_slow_machine_tries_fewer_rates_and_says_so(monkeypatch):
    monkeypatch.setattr(rate_finder, "_update", fake_update := FakeUpdate(seconds=6.0))
    found = ended(config(), dataset())
    assert found.updates == 50 and fake_update.rates[3:] == pytest.approx([*np.geomspace(LOWEST, HIGHEST, 50)[1:], HIGHEST])
    assert "Only 50 updates" in found.told and "6.0 s" in found.told


class FakeUpdate:
    """Stands in for an update; each takes so long."""

    def __init__(self, seconds: float):
        self.seconds, self.rates = seconds, []

    def __call__(self, trainer: Trainer, rate: float) -> float:
        trainer.stepping_seconds += self.seconds
        self.rates.append(rate)
        return 4.0 - min(1.0, 100 * rate)


def test_what_would_take_too_long_is_refused_with_what_to_lower(monkeypatch):
    monkeypatch.setattr(rate_finder, "_update", FakeUpdate(seconds=8.0))
    with pytest.raises(ValueError, match="about 8 s here.*5 minutes.*train.batch_size"):
        list(range_test(config(), dataset()))
    monkeypatch.setattr(rate_finder, "matrix_rate", lambda *_: 1000.0)
    monkeypatch.setattr(rate_finder, "Trainer", None)  # not even made
    with pytest.raises(ValueError, match="train.batch_size"):
        list(range_test(config(), dataset()))


def test_a_batch_size_left_to_the_machine_is_the_one_a_run_would_choose(monkeypatch):
    monkeypatch.setattr(rate_finder, "choose", lambda *_: Choice("cpu", None, "fp32", 4, "Chosen."))
    assert ended(config(batch_size=None), dataset()).losses == ended(config(batch_size=4), dataset()).losses


def test_threads_and_format_are_those_a_run_would_choose(monkeypatch):
    """For the updates alone: whoever shows the test goes on with as many threads as before."""
    used, sound = [], Trainer.update

    def update(trainer):
        used.append((torch.get_num_threads(), trainer.precision))
        sound(trainer)
    monkeypatch.setattr(Trainer, "update", update)
    monkeypatch.setattr(rate_finder, "choose", lambda *_: Choice("cpu", 3, "bf16", 4, "Chosen."))
    with using_threads(2):
        tests = range_test(config(), dataset())
        next(tests)
        next(tests)
        assert torch.get_num_threads() == 2 and len(used) == 4 and set(used) == {(3, "bf16")}


def test_a_text_that_is_too_short_is_refused_in_plain_words():
    with pytest.raises(ValueError, match="only 10 tokens"):
        list(range_test(config(), dataset(n_train=10)))


def test_the_final_rate_comes_along_where_it_would_be_above():
    settings = config(max_learning_rate=0.01, min_learning_rate=0.001)
    assert with_rate(settings, 0.003) == {"train.max_learning_rate": 0.003}
    lower = with_rate(settings, 0.0004)
    assert lower == {"train.max_learning_rate": 0.0004, "train.min_learning_rate": 0.00004}
    assert settings.replace(lower).train.max_learning_rate == 0.0004


def test_a_rate_in_the_valley_did_as_well_as_the_suggested_one_before_it():
    found = curve(valley)
    assert found.did_as_well(0.01) and not found.did_as_well(0.0005) and not found.did_as_well(0.9)
    assert not found.did_as_well(5.0) and not RangeTest(100, ended="blown up").did_as_well(0.01)
