"""What of one text stands word for word in another: stretches of tokens, compared by 64-bit hashes.

Memory stays bounded for any length of text. Knows ids, nothing of tokenizers or models.
"""

from __future__ import annotations

import numpy as np

CHUNK_TOKENS = 2**17       # hashed at a time: what a processor keeps at hand, three times as fast as from memory
MOST_HASHES = 4_000_000    # kept of a training text, 32 MB
STRETCH_BYTES = 16         # a few words: of unseen text 2 to 8 % of such stretches recur, of eight letters half
SIEVE_BITS = np.uint64(18)  # of a hash, by which most stretches are told to be none of those
MOST_STRETCHES = 4096      # looked for in `overlap`


def stretch_length(tokens: int, n_bytes: int) -> int:
    """How many of a text's `tokens`, which stand for `n_bytes`, make a stretch: 8, or where they are short a larger power
    of two that holds about STRETCH_BYTES: 16 for characters, also where ends of text, which have no bytes, are among them."""
    length = 8
    while 1.05 * length < STRETCH_BYTES * tokens / max(1, n_bytes):
        length *= 2
    return length


def hashes(tokens: np.ndarray, length: int) -> np.ndarray:
    """uint64 of every stretch of `length` (a power of two) tokens: (len(tokens) - length + 1,), or empty."""
    mixed = (np.asarray(tokens).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    half = 1
    while half < length and len(mixed) > half:  # a stretch from its two halves
        mixed = mixed[:-half] * np.uint64(0xBF58476D1CE4E5B9) + mixed[half:]
        mixed ^= mixed >> np.uint64(31)
        half *= 2
    return mixed if half == length else np.empty(0, np.uint64)


class Stretches:
    """All stretches of `length` tokens of a text: how much of another is copied from it?

    Keeps the hashes that are 0 modulo a power of two, chosen so that at most about MOST_HASHES remain: of a longer text
    a fair sample answers. Takes about 0.2 s a million tokens to make.
    """

    def __init__(self, tokens: np.ndarray, length: int):
        self.length, every = length, 1
        while len(tokens) > MOST_HASHES * every:
            every *= 2
        self._mask = np.uint64(every - 1)
        parts = [np.empty(0, np.uint64)]
        for start in range(0, len(tokens), CHUNK_TOKENS):
            found = hashes(tokens[start:start + CHUNK_TOKENS + length - 1], length)
            parts.append(found[found & self._mask == 0])
        self._known = np.concatenate(parts)
        self._known.sort()  # doubles may stay: they cost memory that is bounded, and finding them four times the sort

    def share(self, tokens: np.ndarray | list[int]) -> float | None:
        """Of the stretches of `tokens`, the share that stands in the text; None where there are none to look at."""
        asked = hashes(np.asarray(tokens), self.length)
        asked = asked[asked & self._mask == 0]
        if len(asked) == 0 or len(self._known) == 0:
            return None if len(asked) == 0 else 0.0
        at = np.minimum(np.searchsorted(self._known, asked), len(self._known) - 1)
        return float(np.mean(self._known[at] == asked))


def overlap(tokens: np.ndarray, other: np.ndarray, length: int, end_of_text: int) -> float:
    """The share of MOST_STRETCHES stretches of `tokens`, evenly spaced and each within a document, that stand in `other`, which is
    read once."""
    starts = range(0, len(tokens) - length + 1, max(1, len(tokens) // MOST_STRETCHES))
    stretches = (tokens[start:start + length] for start in starts)
    asked = np.unique([hashes(stretch, length)[0] for stretch in stretches if not (stretch == end_of_text).any()])
    if len(asked) == 0:
        return 0.0
    found, maybe = np.zeros(len(asked), bool), np.zeros(2**int(SIEVE_BITS), bool)
    maybe[asked >> (np.uint64(64) - SIEVE_BITS)] = True
    for start in range(0, len(other), CHUNK_TOKENS):
        chunk = hashes(other[start:start + CHUNK_TOKENS + length - 1], length)
        chunk = chunk[maybe[chunk >> (np.uint64(64) - SIEVE_BITS)]]  # hardly any is left to be looked for
        at = np.minimum(np.searchsorted(asked, chunk), len(asked) - 1)
        found[at[asked[at] == chunk]] = True
    return float(found.mean())
