"""What of one text stands word for word in another, held against Python's own sets of slices."""

import numpy as np
import pytest

from gptlab.data import ngrams
from gptlab.data.ngrams import Stretches, hashes, overlap, stretch_length

RANDOM = np.random.default_rng(0)
TEXT = RANDOM.integers(0, 4, 5000).astype(np.uint16)  # few tokens, so that some short stretches recur


def stretches(tokens: np.ndarray, length: int) -> list[tuple]:
    return [tuple(tokens[i:i + length].tolist()) for i in range(len(tokens) - length + 1)]


@pytest.mark.parametrize("length", [1, 2, 8, 16])
def test_the_share_is_that_of_comparing_slices(length):
    asked = np.concatenate([TEXT[100:160], RANDOM.integers(0, 4, 60).astype(np.uint16), TEXT[900:930]])
    known = set(stretches(TEXT, length))
    expected = np.mean([stretch in known for stretch in stretches(asked, length)])
    assert Stretches(TEXT, length).share(asked) == expected
    assert len(set(hashes(TEXT, length).tolist())) == len(known)


NONE = 60_000  # no id of these texts


def test_pieces_overlap_so_that_no_stretch_is_lost_between_them(monkeypatch):
    monkeypatch.setattr(ngrams, "CHUNK_TOKENS", 700)
    assert Stretches(TEXT, 16).share(TEXT) == 1.0
    assert overlap(TEXT[3000:4000], TEXT, 16, NONE) == 1.0


def test_of_a_long_text_a_fair_sample_answers(monkeypatch):
    half = np.concatenate([TEXT[:1500], RANDOM.integers(10, 14, 1500).astype(np.uint16)])
    monkeypatch.setattr(ngrams, "MOST_HASHES", 700)
    sampled = Stretches(TEXT, 16)
    assert 300 < len(sampled._known) < 1000
    assert sampled.share(half) == pytest.approx(0.5, abs=0.12)
    assert sampled.share(TEXT) == 1.0


def test_too_little_to_look_at():
    assert Stretches(TEXT, 8).share([1, 2, 3]) is None
    assert Stretches(TEXT[:5], 8).share(TEXT) == 0.0
    assert overlap(TEXT[:5], TEXT, 8, NONE) == 0.0 and overlap(TEXT, TEXT[:5], 8, NONE) == 0.0


def test_overlap_is_the_share_that_stands_in_the_other():
    other = RANDOM.integers(10, 14, 3000).astype(np.uint16)
    assert overlap(TEXT, other, 32, NONE) == 0.0
    assert overlap(np.concatenate([TEXT[:2000], other[:2000]]), TEXT, 32, NONE) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("bytes_per_token, length", [(1.0, 16), (1.9, 16), (2.5, 8), (4.5, 8), (0.5, 32)])
def test_a_stretch_is_a_few_words_whatever_the_tokens(bytes_per_token, length):
    assert stretch_length(1000, int(1000 * bytes_per_token)) == length
