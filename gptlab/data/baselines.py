"""What a model must beat: losses of guessing, of counting tokens, of counting pairs, and of a compressor. Nats per token.

Counts come from train, losses from val, both of them 1-D ids of which slices are read, so that memory stays bounded however many
there are. Knows nothing of files.
"""

from __future__ import annotations

import itertools
import lzma
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gptlab.data.documents import Documents

CHUNK_TOKENS = 2_000_000   # counted at a time
TABLE_PAIRS = 4_000_000    # of all pairs, counted in a table; of a larger vocabulary only those that occur are kept,
PASS_TOKENS = 30_000_000   # those that begin with some of its tokens at a time, so that there are no more than so many,
PARTS = 16                 # in parts, to add to them without copying all
XZ_PRESET = 6              # what `xz` does by itself; a higher one has a window beyond 8 MiB, which is more than it is given:
XZ_PIECES, XZ_PIECE_BYTES = 32, 2**17  # of a text longer than these together, which take a second or two, pieces spread evenly



def all_of(train: np.ndarray, val: np.ndarray, vocab_size: int, end_of_text: int, val_bytes: int, text: Documents,
           entropy_floor: float | None) -> dict[str, Any]:
    """What a manifest keeps of them: `baselines` in nats per token, `baselines_bits_per_byte`, and what `xz` made of how much.

    `text` is what is held out, `val_bytes` how many of its bytes the tokens hold. None where something cannot be known.
    """
    xz = xz_size(text)
    bits = 8 * xz["compressed_bytes"] / xz["bytes"] if xz["bytes"] else None
    nats = dict(uniform=uniform(vocab_size), unigram=unigram(train, val, vocab_size),
                bigram=bigram(train, val, vocab_size, end_of_text),
                xz=None if bits is None else bits * math.log(2) * val_bytes / len(val), entropy_floor=entropy_floor)
    per_byte = {name: None if value is None or not val_bytes else value * len(val) / math.log(2) / val_bytes
                for name, value in nats.items()}
    return dict(baselines=nats, baselines_bits_per_byte=per_byte | dict(xz=bits), xz=xz)


def uniform(vocab_size: int) -> float:
    """Guessing among all tokens alike: ln V."""
    return math.log(vocab_size)


def unigram(train: np.ndarray, val: np.ndarray, vocab_size: int) -> float:
    """Cross-entropy of val under the token frequencies of train, one added to every count."""
    val_counts = token_counts(val, vocab_size)
    return float(-(val_counts @ np.log(_one_added(token_counts(train, vocab_size)))) / len(val))


def bigram(train: np.ndarray, val: np.ndarray, vocab_size: int, end_of_text: int) -> float:
    """Cross-entropy of val when each token is guessed from the one before; the first follows end-of-text.

    Witten-Bell smoothing (1991): after token a, seen n(a) times with t(a) different followers,
    p(b | a) = (n(a, b) + t(a) p(b)) / (n(a) + t(a)), with p(b) as in `unigram`. Always finite.
    """
    seen = token_counts(train, vocab_size)
    unigrams = _one_added(seen)
    seen[end_of_text] += 1  # before the first,
    seen[int(train[len(train) - 1:len(train)][0])] -= 1  # and nothing comes after the last
    passes = max(1, round(len(train) / PASS_TOKENS)) if vocab_size**2 > TABLE_PAIRS else 1
    edges = [0, *np.searchsorted(np.cumsum(seen), np.arange(1, passes) * (len(train) / passes)).tolist(), vocab_size]
    return sum(_pass(train, val, vocab_size, end_of_text, seen, unigrams, *some) for some in itertools.pairwise(edges)) / len(val)


def _pass(train: np.ndarray, val: np.ndarray, vocab_size: int, end_of_text: int, seen: np.ndarray, unigrams: np.ndarray,
          low: int, high: int) -> float:
    """What `bigram` sums over the pairs of val whose first token is from `low` to below `high`."""
    count = _PairTable if vocab_size**2 <= TABLE_PAIRS else _PairList
    pairs = count(vocab_size, low, high, _pair_codes(val, vocab_size, end_of_text, low, high))
    for codes in _pair_codes(train, vocab_size, end_of_text, low, high):
        pairs.add(codes)
    followers, loss = pairs.followers(), 0.0
    for codes in _pair_codes(val, vocab_size, end_of_text, low, high):
        codes, times = np.unique(codes, return_counts=True)
        before, after = np.divmod(codes, vocab_size)
        # A token that train never shows leaves only the frequencies.
        weight = np.where(seen[before] > 0, followers[before], 1)
        loss -= float(times @ np.log((pairs.counts(codes) + weight * unigrams[after]) / (seen[before] + weight)))
    return loss


def token_counts(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each id occurs: (vocab_size,) int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), CHUNK_TOKENS):
        counts += np.bincount(tokens[start:start + CHUNK_TOKENS], minlength=vocab_size)
    return counts


def _one_added(counts: np.ndarray) -> np.ndarray:
    """Probabilities: (V,) float64."""
    return (counts + 1) / (counts + 1).sum()


# --- pairs ---

def _pair_codes(tokens: np.ndarray, vocab_size: int, end_of_text: int, low: int, high: int) -> Iterator[np.ndarray]:
    """a·V + b of every token b and the one before it, a, from `low` to below `high`; a chunk at a time, in as few bytes as will
    do."""
    kind, previous = np.uint32 if vocab_size**2 <= 2**32 else np.int64, end_of_text
    for start in range(0, len(tokens), CHUNK_TOKENS):
        after = np.asarray(tokens[start:start + CHUNK_TOKENS])
        codes = np.empty(len(after), dtype=kind)
        codes[0], codes[1:] = previous, after[:-1]
        codes *= kind(vocab_size)
        codes += after.astype(kind)
        previous = after[-1]
        yield codes if high - low == vocab_size else codes[(codes >= low * vocab_size) & (codes < high * vocab_size)]


class _PairTable:
    """How often each of all pairs occurs in train: ten times as fast as by sorting."""

    def __init__(self, vocab_size: int, low: int, high: int, val_codes: Iterator[np.ndarray]):
        self._table = np.zeros(vocab_size**2, dtype=np.int64)

    def add(self, codes: np.ndarray) -> None:
        self._table += np.bincount(codes, minlength=len(self._table))

    def followers(self) -> np.ndarray:
        """How many different tokens follow each: (V,) int64."""
        return np.count_nonzero(self._table.reshape(math.isqrt(len(self._table)), -1), axis=1)

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """How often pairs occur: (pairs,) int64."""
        return self._table[codes]


class _PairList:
    """The pairs that occur in train, of those whose first token is from `low` to below `high`, and how often those do that val
    asks for: 4 or 8 bytes a pair."""

    def __init__(self, vocab_size: int, low: int, high: int, val_codes: Iterator[np.ndarray]):
        self._vocab_size = vocab_size
        self._edges = [(low + part * (high - low) // PARTS) * vocab_size for part in range(1, PARTS)]
        asked, self._known = self._empty(), self._empty()
        for codes in val_codes:
            self._join(asked, np.unique(codes, return_counts=True)[0])
        self._asked = np.concatenate(asked)
        self._times = np.zeros(len(self._asked), dtype=np.int64)

    def add(self, codes: np.ndarray) -> None:
        codes, times = np.unique(codes, return_counts=True)
        at, there = self._places(codes)
        self._times[at[there]] += times[there]
        self._join(self._known, codes)

    def followers(self) -> np.ndarray:
        """How many different tokens follow each: (V,) int64."""
        return sum(np.bincount(part // self._vocab_size, minlength=self._vocab_size) for part in self._known)

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """How often pairs occur that val has: (pairs,) int64."""
        return self._times[self._places(codes)[0]]

    def _places(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(where codes stand among those asked for, whether they do)."""
        at = np.minimum(np.searchsorted(self._asked, codes), len(self._asked) - 1)
        return at, self._asked[at] == codes if len(self._asked) else np.zeros(len(codes), dtype=bool)

    def _empty(self) -> list[np.ndarray]:
        return [np.empty(0, dtype=np.uint32 if self._vocab_size**2 <= 2**32 else np.int64) for _ in range(PARTS)]

    def _join(self, parts: list[np.ndarray], codes: np.ndarray) -> None:
        """Add sorted codes to those in parts, each code once."""
        for part, more in enumerate(np.split(codes, np.searchsorted(codes, np.array(self._edges, dtype=codes.dtype)))):
            both = np.concatenate([parts[part], more])
            both.sort(kind="stable")  # two sorted runs, which are only merged
            parts[part] = both[np.concatenate([[True], both[1:] != both[:-1]])[:len(both)]]


# --- the compressor ---

def xz_size(text: Documents) -> dict[str, Any]:
    """What `xz` makes of held-out text by itself, having seen nothing else: its `preset`, and `bytes` before and
    `compressed_bytes` after, a file's head and foot included (60 bytes or so)."""
    compressor, given, made = lzma.LZMACompressor(preset=XZ_PRESET), 0, 0
    for block in _spread(text):
        given += len(block)
        made += len(compressor.compress(block))
    return dict(preset=XZ_PRESET, bytes=given, compressed_bytes=made + len(compressor.flush()))


def _spread(text: Documents) -> Iterator[bytes]:
    """All of a text; of a long one XZ_PIECES, which begin equally far apart."""
    apart, position = max(text.bytes // XZ_PIECES, XZ_PIECE_BYTES), 0
    for raw in text.all_encoded():
        start = position
        while start < position + len(raw):
            number, inside = divmod(start, apart)
            left = XZ_PIECE_BYTES - inside  # of the piece
            if left > 0 and number < XZ_PIECES:
                yield raw[start - position:start - position + left]
            start = start + left if left > 0 else (number + 1) * apart
        position += len(raw)
