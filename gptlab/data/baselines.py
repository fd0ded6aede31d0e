"""What a model must beat: losses of guessing, of counting tokens and of counting pairs. Nats per token.

Counts come from train, losses from val, both as 1-D arrays of ids. Knows nothing of text or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

CHUNK_TOKENS = 8_000_000  # counted at a time, to bound memory


def uniform(vocab_size: int) -> float:
    """Guessing among all tokens alike: ln V."""
    return math.log(vocab_size)


def unigram(train: np.ndarray, val: np.ndarray, vocab_size: int) -> float:
    """Cross-entropy of val under the token frequencies of train, one added to every count."""
    val_counts = token_counts(val, vocab_size)
    return float(-(val_counts @ np.log(_unigram_probabilities(train, vocab_size))) / len(val))


def bigram(train: np.ndarray, val: np.ndarray, vocab_size: int, end_of_text: int) -> float:
    """Cross-entropy of val when each token is guessed from the one before; the first follows end-of-text.

    Witten-Bell smoothing (1991): after token a, seen n(a) times with t(a) different followers,
    p(b | a) = (n(a, b) + t(a) p(b)) / (n(a) + t(a)), with p(b) as in `unigram`. Always finite.
    """
    train_pairs, train_counts = _pair_counts(train, vocab_size, end_of_text)
    val_pairs, val_counts = _pair_counts(val, vocab_size, end_of_text)
    first = train_pairs // vocab_size
    seen = np.bincount(first, weights=train_counts, minlength=vocab_size)
    followers = np.bincount(first, minlength=vocab_size)

    at = np.minimum(np.searchsorted(train_pairs, val_pairs), len(train_pairs) - 1)
    together = np.where(train_pairs[at] == val_pairs, train_counts[at], 0)
    before, after = np.divmod(val_pairs, vocab_size)
    unigrams = _unigram_probabilities(train, vocab_size)[after]
    # A token that train never shows leaves only the frequencies.
    weight = np.where(seen[before] > 0, followers[before], 1)
    probabilities = (together + weight * unigrams) / (seen[before] + weight)
    return float(-(val_counts @ np.log(probabilities)) / val_counts.sum())


def token_counts(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each id occurs: (vocab_size,) int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), CHUNK_TOKENS):
        counts += np.bincount(tokens[start:start + CHUNK_TOKENS], minlength=vocab_size)
    return counts


def _unigram_probabilities(train: np.ndarray, vocab_size: int) -> np.ndarray:
    counts = token_counts(train, vocab_size) + 1.0
    return counts / counts.sum()


def _pair_counts(tokens: np.ndarray, vocab_size: int, end_of_text: int) -> tuple[np.ndarray, np.ndarray]:
    """(pairs a·V + b in rising order, how often each occurs): only pairs that occur, so any vocabulary fits.

    A small vocabulary is counted in a table of all pairs, ten times faster than by sorting.
    """
    if vocab_size**2 <= CHUNK_TOKENS:
        table = np.zeros(vocab_size**2, dtype=np.int64)
        for codes in _pair_codes(tokens, vocab_size, end_of_text):
            table += np.bincount(codes, minlength=len(table))
        pairs = np.flatnonzero(table)
        return pairs, table[pairs]
    pairs, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for codes in _pair_codes(tokens, vocab_size, end_of_text):
        new_pairs, new_counts = np.unique(codes, return_counts=True)
        pairs, where = np.unique(np.concatenate([pairs, new_pairs]), return_inverse=True)
        counts = np.bincount(where, weights=np.concatenate([counts, new_counts])).astype(np.int64)
    return pairs, counts


def _pair_codes(tokens: np.ndarray, vocab_size: int, end_of_text: int) -> Iterator[np.ndarray]:
    """a·V + b of every token b and the one before it, a; a chunk at a time."""
    previous = end_of_text
    for start in range(0, len(tokens), CHUNK_TOKENS):
        after = np.asarray(tokens[start:start + CHUNK_TOKENS], dtype=np.int64)
        yield np.concatenate([[previous], after[:-1]]) * vocab_size + after
        previous = after[-1]
