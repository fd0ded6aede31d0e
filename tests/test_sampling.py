"""Drawing tokens: against Hugging Face's warpers and the odds themselves."""

import math

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gptlab.config import SampleConfig
from gptlab.generate.sampling import choose, next_token_probabilities


def logits(n=40, seed=0):
    return 3 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 7, 1000])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.95, 1.0])
def test_probabilities_equal_hugging_faces(temperature, top_k, top_p):
    expected = TemperatureLogitsWarper(temperature)(None, logits()[None])
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p is not None:
        expected = TopPLogitsWarper(top_p)(None, expected)
    probabilities = next_token_probabilities(logits(), temperature, top_k, top_p)
    torch.testing.assert_close(probabilities, expected[0].softmax(0), atol=1e-6, rtol=1e-5)


def test_greedy_and_temperature_zero_take_the_likeliest():
    for settings in (dict(greedy=True, temperature=2.0, top_k=3), dict(temperature=0.0), dict(temperature=1.0, top_k=1)):
        assert next_token_probabilities(logits(), **settings).tolist() == [
            float(i == int(logits().argmax())) for i in range(40)]


def test_equals_are_not_all_kept():
    """Five equal tokens and room for two: two are kept, the first two."""
    assert next_token_probabilities(torch.zeros(5), top_k=2).tolist() == [0.5, 0.5, 0, 0, 0]
    assert next_token_probabilities(torch.zeros(5), top_p=0.35).tolist() == [0.5, 0.5, 0, 0, 0]


def test_extreme_logits_do_not_overflow():
    probabilities = next_token_probabilities(torch.tensor([3e4, -3e4, 3e4, -torch.inf]), temperature=1e-6)
    assert probabilities.tolist() == [0.5, 0, 0.5, 0]


def test_draws_follow_the_odds():
    """Ten thousand draws of four tokens: a chi-squared test at one in a thousand, three degrees of freedom."""
    odds, generator = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.Generator().manual_seed(0)
    drawn = [choose(odds.log(), SampleConfig(temperature=1.0), generator)[0] for _ in range(10_000)]
    counts = torch.bincount(torch.tensor(drawn), minlength=4)
    assert float(((counts - 10_000 * odds) ** 2 / (10_000 * odds)).sum()) < 16.27


def test_logprob_is_the_models_own_whatever_the_settings():
    expected = logits().log_softmax(0)
    for settings in (SampleConfig(temperature=0.1), SampleConfig(temperature=2.0, top_k=5), SampleConfig(greedy=True)):
        token, logprob = choose(logits(), settings, torch.Generator().manual_seed(0))
        assert logprob == pytest.approx(float(expected[token]), abs=1e-5)


def test_padding_is_never_drawn_but_counts_as_the_models_belief():
    padded = torch.tensor([0.0, 0.0, 50.0])
    for settings in (SampleConfig(greedy=True), SampleConfig(temperature=2.0), SampleConfig(top_k=1)):
        token, logprob = choose(padded, settings, torch.Generator().manual_seed(0), vocab_size=2)
        assert token < 2 and logprob == pytest.approx(-50)


def test_same_seed_same_draws_and_global_randomness_untouched():
    before = torch.get_rng_state()
    draws = [[choose(logits(seed=i), SampleConfig(temperature=2.0), generator)[0] for i in range(50)]
             for generator in (torch.Generator().manual_seed(s) for s in (1, 1, 2))]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("greedy", [True, False])
def test_a_broken_model_is_named(value, greedy):
    broken = logits()
    broken[3] = value
    with pytest.raises(ValueError, match="not a number.*earlier checkpoint"):
        choose(broken, SampleConfig(greedy=greedy), torch.Generator())
