"""Losses of guessing and counting, against sums done by hand."""

from math import log

import numpy as np
import pytest

from gptlab.data import baselines

TRAIN = np.array([0, 1, 0, 1, 0, 2], dtype=np.uint16)  # of a vocabulary of 4, where 2 ends a text and 3 never occurs


def test_uniform():
    assert baselines.uniform(4) == log(4)


def test_unigram_adds_one_to_every_count():
    # counts 3 2 1 0, with one added 4 3 2 1 of 10
    assert baselines.unigram(TRAIN, np.array([0, 3], dtype=np.uint16), 4) == pytest.approx(-(log(0.4) + log(0.1)) / 2)


def test_bigram_by_hand():
    # Pairs of train, the first after end-of-text: 20 01 10 01 10 02. After 0: 1 twice and 2 once, so n = 3, t = 2.
    after_end = -log((1 + 1 * 0.4) / (1 + 1))    # 0 after 2: n = 1, t = 1
    seen = -log((2 + 2 * 0.3) / (3 + 2))         # 1 after 0
    unseen = -log((0 + 1 * 0.1) / (2 + 1))       # 3 after 1: n = 2, t = 1
    never_before = -log(0.4)                     # 0 after 3, which train never shows
    val = np.array([0, 1, 3, 0], dtype=np.uint16)
    expected = (after_end + seen + unseen + never_before) / 4
    assert baselines.bigram(TRAIN, val, 4, end_of_text=2) == pytest.approx(expected, rel=1e-12)


def test_bigram_probabilities_sum_to_one():
    train = np.random.default_rng(0).integers(0, 5, 200).astype(np.uint16)
    for before in range(6):  # 5 is never seen
        pairs = [np.array([before, b], dtype=np.uint16) for b in range(6)]
        first = baselines.bigram(train, np.array([before], dtype=np.uint16), 6, end_of_text=0)
        total = sum(np.exp(first - 2 * baselines.bigram(train, pair, 6, end_of_text=0)) for pair in pairs)
        assert total == pytest.approx(1)


def test_a_large_vocabulary_and_many_chunks(monkeypatch):
    """A table of all pairs would take 80 GB here; and counting in parts changes nothing."""
    random = np.random.default_rng(1)
    train, val = (random.zipf(1.3, n).clip(max=99_999).astype(np.uint32) for n in (5000, 500))
    whole = baselines.bigram(train, val, 100_000, end_of_text=0)
    assert np.isfinite(whole)
    monkeypatch.setattr(baselines, "CHUNK_TOKENS", 700)
    assert baselines.bigram(train, val, 100_000, end_of_text=0) == pytest.approx(whole, rel=1e-12)


def test_table_and_sorting_count_alike(monkeypatch):
    train, val = (np.random.default_rng(n).integers(0, 20, 1000).astype(np.uint16) for n in (1, 2))
    by_table = baselines.bigram(train, val, 20, end_of_text=0)
    monkeypatch.setattr(baselines, "CHUNK_TOKENS", 399)
    assert baselines.bigram(train, val, 20, end_of_text=0) == pytest.approx(by_table, rel=1e-12)


def test_pairs_help_where_text_has_order():
    train = np.tile(np.array([0, 1, 2, 3], dtype=np.uint16), 500)
    assert baselines.bigram(train, train[:100], 4, end_of_text=3) < 0.02 < baselines.unigram(train, train[:100], 4)
