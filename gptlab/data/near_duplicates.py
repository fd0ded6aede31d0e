"""Which documents are nearly one before them: found by MinHash (Broder 1997), then compared word for word."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

SHINGLE_WORDS = 5
SHINGLE_CHARACTERS = 5     # where words are not set apart by spaces, as in Chinese:
LONG_WORD_CHARACTERS = 12  # on average longer than in any language that sets them apart
PERMUTATIONS, HASH_SEED = 120, 7     # of MinHash
BANDS = (10, 12, 15, 20, 24, 30, 40)  # each divides them
SURE = 0.98                          # to find a pair that is just as alike as the threshold asks
MOST_COMPARED = 5                    # of the most alike documents, word for word
SHINGLES_AT_ONCE = 100_000


def near_duplicates(documents: Sequence[str], threshold: float) -> Iterator[bool]:
    """Of each document, in order, whether it is as alike (Jaccard) as `threshold` to one before it that is not itself such a
    repeat, in their stretches of five words. Only candidates are read a second time, by their number."""
    import rensa

    index = rensa.RMinHashLSH(threshold, PERMUTATIONS, _bands(threshold))
    hashes: dict[int, Any] = {}
    for i, text in enumerate(documents):
        one = rensa.RMinHash(PERMUTATIONS, HASH_SEED)
        stretches = _stretches(text)
        while some := list(itertools.islice(stretches, SHINGLES_AT_ONCE)):
            one.update(some)
        near = sorted(index.query(one), key=lambda other: -hashes[other].jaccard(one))[:MOST_COMPARED]
        repeat = bool(near) and any(_alike(text, documents[other]) >= threshold for other in near)
        yield repeat
        if not repeat:
            hashes[i] = one
            index.insert(i, one)


def _bands(threshold: float) -> int:
    """The fewest bands by which a pair that is as alike as `threshold` shares one, with SURE probability."""
    return next((bands for bands in BANDS if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= SURE), BANDS[-1])


def _alike(text: str, other: str) -> float:
    stretches, others = set(_stretches(text)), set(_stretches(other))
    return len(stretches & others) / len(stretches | others)


def _stretches(text: str) -> Iterator[str]:
    """Every five words that follow each other; every five characters, in a script that does not set words apart."""
    text = text.lower().encode("utf-8", "replace").decode("utf-8")
    words = text.split()
    if len(text) > LONG_WORD_CHARACTERS * len(words):
        joined = " ".join(words)
        return (joined[j:j + SHINGLE_CHARACTERS] for j in range(max(1, len(joined) - SHINGLE_CHARACTERS + 1)))
    return (" ".join(words[j:j + SHINGLE_WORDS]) for j in range(max(1, len(words) - SHINGLE_WORDS + 1)))
