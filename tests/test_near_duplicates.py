"""Planted pairs are found, pairs that are not alike are not, and neither the number nor the length of texts counts in memory."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from gptlab.data import near_duplicates as near
from gptlab.data.near_duplicates import groups, near_duplicates

WORDS = [f"word{i}" for i in range(5000)]


def texts(count, words, seed=1):
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=words)) for _ in range(count)]


def changed(text, similarity, seed=2):
    """A text that goes on otherwise, so that so much (Jaccard) of its stretches of five words is the same."""
    words = text.split()
    stretches = len(words) - 4
    new = round(stretches * (1 - similarity) / (1 + similarity))
    return " ".join([*words[:-new], *(f"other{n}" for n in random.Random(seed).sample(range(10**6), new))])


def jaccard(one, other):
    one, other = ({tuple(text.split()[i:i + 5]) for i in range(len(text.split()) - 4)} for text in (one, other))
    return len(one & other) / len(one | other)


def test_a_planted_pair_is_together_and_what_is_unlike_is_alone():
    documents = texts(60, 200)
    documents += [changed(documents[7], 0.9), documents[11], changed(documents[20], 0.5)]
    assert groups(documents, 0.8).tolist() == [*range(60), 7, 11, 62]
    assert list(near_duplicates(documents, 0.8)) == [False] * 60 + [True, True, False]


def test_what_is_like_one_that_is_like_another_is_of_one_group_but_no_repeat_of_the_first():
    first = texts(1, 400)[0]
    second = changed(first, 0.85, seed=3)
    third = " ".join(["new"] * 40 + second.split()[40:])
    assert jaccard(first, second) > 0.8 and jaccard(second, third) > 0.8 > 0.75 > jaccard(first, third)
    for documents in ([first, *texts(5, 400, seed=5), second, third], [first, *texts(5, 400, seed=5), third, second]):
        assert groups(documents, 0.8).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert list(near_duplicates([first, third, second], 0.8)) == [False, False, True]
    assert list(near_duplicates([first, second, third], 0.8)) == [False, True, False]  # the second is gone


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_of_pairs_as_alike_as_the_threshold_hardly_one_is_missed(threshold):
    documents = texts(200, 250)
    numbers = groups([*documents, *(changed(text, threshold + 0.01, seed) for seed, text in enumerate(documents))], threshold)
    assert (numbers[200:] == np.arange(200)).mean() >= 0.93
    far = groups([*documents, *(changed(text, threshold - 0.2, seed) for seed, text in enumerate(documents))], threshold)
    assert (far == np.arange(400)).mean() >= 0.98


def test_a_copy_is_found_among_pages_that_are_half_the_same():
    """They share thousands of bands, and the partner need not stand beside it in each."""
    chance, head = random.Random(1), texts(1, 200)[0]
    pages = [f"{head} {body}" for body in texts(3000, 100, seed=4)]
    copied = chance.sample(range(3000), 100)
    documents = [*pages, *(changed(pages[i], 0.9, seed=i) for i in copied)]
    numbers = groups(documents, 0.8)
    assert (numbers[3000:] == copied).mean() >= 0.97 and (numbers[:3000] == np.arange(3000)).all()
    assert np.mean(list(near_duplicates(documents, 0.8))[3000:]) >= 0.97


@pytest.mark.parametrize("one, other, alike", [
    ("Fox.", "fox.", True), ("Fox.", "Dog.", False), ("", "  \n", True), ("Friends, Romans", "friends,\nRomans", True),
    ("Romans, friends", "friends, Romans", False),
    ("天地玄黄\n宇宙洪荒日月盈昃", "天地玄黄  宇宙洪荒日月盈昃", True),
    ("天地玄黄，宇宙洪荒。日月盈昃", "辰宿列张，寒来暑往。秋收冬藏", False), ("\ud83d", "?", True)])
def test_short_texts_are_compared_whole(one, other, alike):
    assert (groups([one, other], 0.5).tolist() == [0, 0]) == (list(near_duplicates([one, other], 0.5)) == [False, True]) == alike


def test_long_texts_are_hashed_in_pieces_and_compared_by_a_sample(monkeypatch):
    documents = [text + " and so on" for text in texts(4, 2000)]
    documents += [changed(documents[3], 0.9), changed(documents[1], 0.6)]
    expected = groups(documents, 0.8).tolist()
    assert expected == [0, 1, 2, 3, 3, 5]
    monkeypatch.setattr(near, "PIECE_CHARACTERS", 1000)
    monkeypatch.setattr(near, "MOST_STRETCHES", 500)
    assert groups(documents, 0.8).tolist() == expected
    assert list(near_duplicates(documents, 0.8)) == [False, False, False, False, True, False]
    a, b = (near._shingle_set(documents[i]) for i in (3, 4))
    assert len(a) == 500 and near._jaccard(a, b) == pytest.approx(0.9, abs=0.05)


def test_nothing_and_one_text():
    assert groups([], 0.8).tolist() == list(near_duplicates([], 0.8)) == []
    assert groups(["x"], 0.8).tolist() == [0] and list(near_duplicates(["x"], 0.8)) == [False]


def test_a_document_costs_less_than_400_bytes():
    """It cost some 4,000 when each had an object and its places in 20 tables."""
    assert near._signatures(texts(3, 50)).nbytes == 3 * 120
    signatures = np.random.default_rng(0).integers(256, size=(60_000, 120)).astype(np.uint8)
    signatures[30_000:45_000] = signatures[:15_000]
    signatures[45_000:, :115] = signatures[15_000:30_000, :115]
    tracemalloc.start()
    later, earlier = near._alike_pairs(signatures, 0.8, 0.7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(later, np.arange(30_000, 60_000)) and np.array_equal(earlier, np.arange(30_000))
    assert signatures.nbytes + peak < 400 * len(signatures)


def test_texts_are_read_once_and_not_kept():
    """Only what may be a repeat is read again, by its number."""
    class Read(list):
        again = []

        def __getitem__(self, i):
            self.again.append(i)
            return super().__getitem__(i)

    documents = Read([*texts(50, 100), texts(50, 100)[9]])
    assert groups(documents, 0.8)[50] == 9 and documents.again == []
    assert list(near_duplicates(documents, 0.8))[50] and sorted(documents.again) == [9, 50]
