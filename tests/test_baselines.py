"""Losses of guessing and counting, against sums done by hand."""

import lzma
import random
import tracemalloc
from math import log

import numpy as np
import pytest

from gptlab.data import baselines
from gptlab.data.documents import Documents

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
    monkeypatch.setattr(baselines, "PASS_TOKENS", 1000)
    assert baselines.bigram(train, val, 100_000, end_of_text=0) == pytest.approx(whole, rel=1e-12)


def test_table_and_sorting_count_alike(monkeypatch):
    train, val = (np.random.default_rng(n).integers(0, 20, 1000).astype(np.uint16) for n in (1, 2))
    by_table = baselines.bigram(train, val, 20, end_of_text=0)
    monkeypatch.setattr(baselines, "TABLE_PAIRS", 399)
    assert baselines.bigram(train, val, 20, end_of_text=0) == pytest.approx(by_table, rel=1e-12)


def test_pairs_help_where_text_has_order():
    train = np.tile(np.array([0, 1, 2, 3], dtype=np.uint16), 500)
    assert baselines.bigram(train, train[:100], 4, end_of_text=3) < 0.02 < baselines.unigram(train, train[:100], 4)


class Tokens:
    """Ids made anew whenever they are read, of a vocabulary of 65,536; only slices can be had, as of a file."""

    def __init__(self, count, seed):
        self.count, self.seed = count, seed

    def __len__(self):
        return self.count

    def __getitem__(self, part):
        chunk, first = divmod(part.start, 50_000)
        chance = np.random.default_rng([self.seed, chunk])
        return chance.zipf(1.2, 50_000).clip(max=65_535).astype(np.uint16)[first:first + min(part.stop, self.count) - part.start]


def test_many_tokens_are_counted_a_chunk_at_a_time(monkeypatch):
    """Each pair took 16 bytes, and again as much when more were added: of 300 million tokens some gigabytes."""
    monkeypatch.setattr(baselines, "CHUNK_TOKENS", 50_000)
    monkeypatch.setattr(baselines, "PASS_TOKENS", 300_000)
    train, val = Tokens(1_000_000, 0), Tokens(100_000, 1)
    parts = [np.concatenate([tokens[i:i + 50_000] for i in range(0, len(tokens), 50_000)]) for tokens in (train, val)]
    pairs = len(np.unique(parts[0][:-1].astype(np.int64) << 16 | parts[0][1:], return_counts=True)[0])
    expected = baselines.bigram(*parts, 2**16, end_of_text=0)
    tracemalloc.start()
    assert baselines.bigram(train, val, 2**16, end_of_text=0) == pytest.approx(expected, rel=1e-12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs > 250_000 and peak < 8_000_000


def test_xz_is_what_xz_makes_of_the_held_out_text_alone():
    texts = ["Friends, Romans, countrymen, lend me your ears; ", "I come to bury Caesar, not to praise him. " * 20, "", "né à"]
    raw = "".join(texts).encode()
    measured = baselines.xz_size(Documents.of(texts))
    assert measured == {"preset": 6, "bytes": len(raw), "compressed_bytes": len(lzma.compress(raw, preset=6))}
    assert len(lzma.compress(raw, preset=6)) == len(lzma.compress(raw, preset=9))


@pytest.mark.parametrize("size", [3200, 3201, 12_345])
def test_of_a_long_text_pieces_spread_evenly_are_compressed(monkeypatch, size):
    monkeypatch.setattr(baselines, "XZ_PIECE_BYTES", 100)
    chance = random.Random(1)
    raw = "".join(chance.choices("abcdefgh \n", k=size))
    cuts = [0, *sorted(chance.sample(range(size), 40)), size]
    taken = b"".join(baselines._spread(Documents.of(raw[a:b] for a, b in zip(cuts, cuts[1:]))))
    starts = [n * (size // 32) for n in range(32)]
    assert taken.decode() == "".join(raw[start:start + 100] for start in starts) and len(taken) == 3200


def test_all_of_them_in_both_units():
    text = Documents.of(["abbc" * 50])
    val = np.array([0, 1, 1, 2] * 50 + [3], dtype=np.uint16)
    found = baselines.all_of(val, val, 4, 3, 200, text, entropy_floor=None)
    bits = 8 * len(lzma.compress(b"abbc" * 50, preset=6)) / 200
    assert found["xz"]["bytes"] == 200 and found["baselines_bits_per_byte"]["xz"] == pytest.approx(bits)
    assert found["baselines"] == {"uniform": log(4), "unigram": baselines.unigram(val, val, 4),
                                  "bigram": baselines.bigram(val, val, 4, 3), "xz": pytest.approx(bits * log(2) * 200 / 201),
                                  "entropy_floor": None}
    assert found["baselines_bits_per_byte"]["uniform"] == pytest.approx(2 * 201 / 200)  # two bits a token, 200 bytes
    assert found["baselines_bits_per_byte"]["entropy_floor"] is None
    floored = baselines.all_of(val, val, 4, 3, 200, text, entropy_floor=0.5)["baselines_bits_per_byte"]["entropy_floor"]
    assert floored == pytest.approx(0.5 / log(2) * 201 / 200)


def test_tokens_that_hold_no_bytes_have_no_bits_per_byte():
    found = baselines.all_of(TRAIN, TRAIN, 4, 2, 0, Documents.of(["", ""]), entropy_floor=None)
    assert found["baselines"]["xz"] is None and set(found["baselines_bits_per_byte"].values()) == {None}
