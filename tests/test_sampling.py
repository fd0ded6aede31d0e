"""Drawing tokens: against Hugging Face's warpers and the odds themselves."""

import math

import pytest
import torch
from transformers import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                          TopPLogitsWarper)

from gptlab.config import SampleConfig
from gptlab.generate.sampling import choose, next_token_probabilities


def logits(n=40, seed=0):
    return 3 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 7, 1000])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("min_p", [None, 0.02, 0.3])
@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_probabilities_equal_hugging_faces(temperature, top_k, top_p, min_p, penalty):
    text = torch.tensor([[3, 5, 3, 39, 0]])
    expected = RepetitionPenaltyLogitsProcessor(penalty)(text, logits()[None])
    expected = TemperatureLogitsWarper(temperature)(None, expected)
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p is not None:
        expected = TopPLogitsWarper(top_p)(None, expected)
    if min_p is not None:
        expected = MinPLogitsWarper(min_p)(None, expected)
    settings = SampleConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty)
    probabilities = next_token_probabilities(logits(), settings, text[0].bincount(minlength=40))
    torch.testing.assert_close(probabilities, expected[0].softmax(0), atol=1e-6, rtol=1e-5)


def test_greedy_and_temperature_zero_take_the_likeliest():
    for settings in (dict(greedy=True, temperature=2.0, top_k=3), dict(temperature=0.0), dict(temperature=1.0, top_k=1)):
        assert next_token_probabilities(logits(), SampleConfig(**settings)).tolist() == [
            float(i == int(logits().argmax())) for i in range(40)]


def test_equals_are_not_all_kept():
    """Five equal tokens and room for two: two are kept, the first two."""
    assert next_token_probabilities(torch.zeros(5), SampleConfig(top_k=2)).tolist() == [0.5, 0.5, 0, 0, 0]
    assert next_token_probabilities(torch.zeros(5), SampleConfig(top_p=0.35)).tolist() == [0.5, 0.5, 0, 0, 0]


def test_extreme_logits_do_not_overflow():
    probabilities = next_token_probabilities(torch.tensor([3e4, -3e4, 3e4, -torch.inf]), SampleConfig(temperature=1e-6))
    assert probabilities.tolist() == [0.5, 0, 0.5, 0]


ODDS = torch.tensor([0.5, 0.3, 0.15, 0.05])
SEEN = torch.tensor([2, 0, 1, 0])


@pytest.mark.parametrize("settings, expected", [
    (dict(), ODDS), (dict(temperature=0.5), ODDS**2), (dict(temperature=2.0), ODDS**0.5),
    (dict(top_k=3), [0.5, 0.3, 0.15, 0]), (dict(top_p=0.6), [0.5, 0.3, 0, 0]), (dict(min_p=0.2), [0.5, 0.3, 0.15, 0]),
    (dict(frequency_penalty=math.log(2)), [0.5 / 4, 0.3, 0.15 / 2, 0.05]),
    (dict(repetition_penalty=2.0), [0.5**2, 0.3, 0.15**2, 0.05])], ids=str)  # of logits below 0, their double
def test_draws_follow_the_odds(settings, expected):
    """Ten thousand draws of four tokens: a chi-squared test at one in a thousand, three degrees of freedom."""
    expected, generator = torch.as_tensor(expected), torch.Generator().manual_seed(0)
    expected = 10_000 * expected / expected.sum()
    settings = SampleConfig(**{"temperature": 1.0} | settings)
    drawn = [choose(ODDS.log(), settings, generator, seen=SEEN).id for _ in range(10_000)]
    counts, possible = torch.bincount(torch.tensor(drawn), minlength=4), expected > 0
    assert counts[~possible].sum() == 0
    assert float(((counts - expected)[possible] ** 2 / expected[possible]).sum()) < 16.27


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9])
def test_top_p_keeps_exactly_the_smallest_set(seed, top_p):
    odds = logits(12, seed).softmax(0).double()
    kept = next_token_probabilities(logits(12, seed), SampleConfig(temperature=1.0, top_p=top_p)) > 0
    largest_sum_of_fewer = odds.sort(descending=True).values[:int(kept.sum()) - 1].sum()
    assert odds[kept].sum() >= top_p > largest_sum_of_fewer and odds[kept].min() > odds[~kept].max()


def test_penalties_hold_for_the_likeliest_too():
    settings = SampleConfig(greedy=True, frequency_penalty=1.0)
    assert choose(ODDS.log(), settings, torch.Generator(), seen=SEEN).id == 1


def test_logprob_is_the_models_own_whatever_the_settings():
    expected = logits().log_softmax(0)
    for settings in (SampleConfig(temperature=0.1), SampleConfig(temperature=2.0, top_k=5), SampleConfig(greedy=True)):
        drawn = choose(logits(), settings, torch.Generator().manual_seed(0), alternatives=10)
        assert drawn.logprob == pytest.approx(float(expected[drawn.id]), abs=1e-5)
        best = expected.topk(10)
        assert [id for id, _ in drawn.alternatives] == best.indices.tolist()
        assert [logprob for _, logprob in drawn.alternatives] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_padding_is_never_drawn_but_counts_as_the_models_belief():
    padded = torch.tensor([0.0, 0.0, 50.0])
    for settings in (SampleConfig(greedy=True), SampleConfig(temperature=2.0), SampleConfig(top_k=1)):
        drawn = choose(padded, settings, torch.Generator().manual_seed(0), vocab_size=2, alternatives=10)
        assert drawn.id < 2 and drawn.logprob == pytest.approx(-50) and len(drawn.alternatives) == 2


def test_same_seed_same_draws_and_global_randomness_untouched():
    before = torch.get_rng_state()
    draws = [[choose(logits(seed=i), SampleConfig(temperature=2.0), generator).id for i in range(50)]
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
