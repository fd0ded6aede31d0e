"""Texts that are nearly the same: which document is nearly one before it, and which belong together.

How alike two texts are (Jaccard) is the share of the stretches of five words in either that stand in both. MinHash (Broder 1997)
finds pairs without comparing all with all; one byte is kept of each of its values (b-bit MinHash, Li and König 2010), so that a
document costs 120 bytes, however long. Knows nothing of files, tokens or what becomes of the texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

SHINGLE_UNITS = 5          # words; characters, where words are not set apart by spaces, as in Chinese:
LONG_WORD_CHARACTERS = 12  # on average longer than in any language that sets them apart
PIECE_CHARACTERS = 2**18   # hashed at a time, to bound memory; the few stretches across a cut are not seen
MOST_AT_ONCE = 4096        # documents
PERMUTATIONS, HASH_SEED = 120, 7      # of MinHash
BANDS = (10, 12, 15, 20, 24, 30, 40)  # each divides them
SURE = 0.98                # to find a pair that is just as alike as the threshold asks
NEIGHBOURS = 3             # looked at, of those with the same band, in an order that brings the most alike together
PAIRS_AT_ONCE = 100_000
MOST_COMPARED = 5          # of the most alike documents, stretch for stretch
DOUBTFUL = 3.5             # standard errors of the estimate below the threshold from which a pair is compared,
TOGETHER = 2.0             # or, where nothing is compared, held to belong together
MOST_STRETCHES = 2**18     # compared of one document: of a longer one those with the lowest hashes, a fair sample (error < 0.3 %)
WEIGHTS = np.random.default_rng(HASH_SEED).integers(2**63, size=PERMUTATIONS).astype(np.uint64) * 2 + 1  # odd, to mix hashes with


def near_duplicates(documents: Sequence[str], threshold: float) -> Iterator[bool]:
    """Of each document in order, whether it is at least as alike as `threshold` to one before it that is no such repeat itself.

    Reads all documents once, then, by their numbers, those that MinHash finds alike, and compares them stretch for stretch.
    """
    signatures = _signatures(documents)
    later, earlier = _alike_pairs(signatures, threshold, threshold - DOUBTFUL * _standard_error(threshold))
    starts = np.searchsorted(later, np.arange(len(documents) + 1))
    kept = np.arange(len(documents))  # the document that each one repeats; itself if it is no repeat
    for i in range(len(documents)):
        if starts[i] < starts[i + 1]:
            candidates = np.array(sorted(set(kept[earlier[starts[i]:starts[i + 1]]].tolist())))
            nearest = candidates[np.argsort(-_agreement(signatures, np.full(len(candidates), i), candidates), kind="stable")]
            kept[i] = _first_alike(documents, i, nearest[:MOST_COMPARED].tolist(), threshold)
        yield bool(kept[i] != i)


def groups(documents: Sequence[str], threshold: float) -> np.ndarray:
    """The number of the first document of each one's group: (documents,) int64.

    A group holds all that are linked by pairs as alike as `threshold`, by MinHash's estimate: no text is read twice, about one in
    twenty-five pairs that are just as alike is missed, and some a little less alike (by up to 0.1) are joined.
    """
    signatures = _signatures(documents)
    later, earlier = _alike_pairs(signatures, threshold, threshold - TOGETHER * _standard_error(threshold))
    first = np.arange(len(documents))
    while True:  # the first documents of two linked ones, where they differ: the later gives way to the earlier
        low, high = np.sort([first[later], first[earlier]], axis=0)
        if np.array_equal(low, high):
            return first
        np.minimum.at(first, high, low)
        while not np.array_equal(first, first[first]):
            first = first[first]


def _signatures(documents: Iterable[str]) -> np.ndarray:
    """(documents, PERMUTATIONS) uint8: the last byte of each MinHash value."""
    import rensa

    parts = [np.empty((0, PERMUTATIONS), dtype=np.uint8)]
    last, last_row = -1, np.empty(0)
    for numbers, pieces in _batches(documents):
        hashes, counts = _shingles(pieces)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, HASH_SEED)
        rows = np.minimum.reduceat(np.array(matrix.to_rows(), dtype=np.uint32), np.flatnonzero(np.diff(numbers, prepend=-1)))
        if numbers[0] == last:  # more of the same document
            rows[0] = np.minimum(rows[0], last_row)
            parts[-1] = parts[-1][:-1]
        last, last_row = numbers[-1], rows[-1]
        parts.append((rows & 0xFF).astype(np.uint8))
    return np.concatenate(parts)


def _batches(documents: Iterable[str]) -> Iterator[tuple[list[int], list[str]]]:
    """(numbers of documents, pieces of them), about PIECE_CHARACTERS together; a long document in several pieces."""
    numbers, pieces, size = [], [], 0
    for i, text in enumerate(documents):
        for piece in _pieces(text):
            numbers.append(i)
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE_CHARACTERS or len(pieces) >= MOST_AT_ONCE:
                yield numbers, pieces
                numbers, pieces, size = [], [], 0
    if pieces:
        yield numbers, pieces


def _pieces(text: str) -> Iterator[str]:
    return (text[start:start + PIECE_CHARACTERS] for start in range(0, max(1, len(text)), PIECE_CHARACTERS))


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(the hash of every stretch of all texts, 1-D uint64; how many there are of each text, at least one)."""
    units = [_unit_hashes(text) for text in texts]
    sizes, flat = np.array([len(one) for one in units]), np.concatenate(units)
    hashes = np.zeros(len(flat), dtype=np.uint64)
    for k, weight in enumerate(WEIGHTS[:SHINGLE_UNITS]):
        hashes[:len(flat) - k] += flat[k:] * weight
    within = np.ones(len(flat), dtype=bool)  # not across the end of a text
    within[np.cumsum(sizes)[:, None] - np.arange(1, SHINGLE_UNITS)] = False
    return hashes[within], sizes - SHINGLE_UNITS + 1


def _unit_hashes(text: str) -> np.ndarray:
    """Of the words of a text, whatever their capitals; of its characters, in a script that does not set words apart. 1-D uint64,
    never too few for a stretch."""
    import rensa

    text = text.lower().encode("utf-8", "replace").decode("utf-8")
    words = text.split()
    if len(text) > LONG_WORD_CHARACTERS * len(words):
        hashes = np.frombuffer(" ".join(words).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    else:
        hashes = np.array(rensa.RMinHash.hash_token_sets([words])[0], dtype=np.uint64)
    return hashes if len(hashes) >= SHINGLE_UNITS else np.pad(hashes, (0, SHINGLE_UNITS - len(hashes)))


def _first_alike(documents: Sequence[str], i: int, others: list[int], threshold: float) -> int:
    """The first of the others that is as alike to document i as the threshold; i if none is."""
    own = _shingle_set(documents[i])
    return next((other for other in others if _jaccard(own, _shingle_set(documents[other])) >= threshold), i)


def _shingle_set(text: str) -> np.ndarray:
    """The different stretches of a text, as sorted hashes, the lowest MOST_STRETCHES of them: (stretches,) uint64."""
    lowest = np.empty(0, dtype=np.uint64)
    for piece in _pieces(text):
        lowest = _sorted_set(np.concatenate([lowest, _shingles([piece])[0]]))[:MOST_STRETCHES]
    return lowest


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Of two sets, or of the lowest of both where they are large."""
    together = np.sort(np.concatenate([one, other]))
    either = _sorted_set(together)[:MOST_STRETCHES]
    return np.count_nonzero((together[1:] == together[:-1]) & (together[1:] <= either[-1])) / len(either)


def _sorted_set(numbers: np.ndarray) -> np.ndarray:
    """What np.unique gives, which takes ten times as long where most are different."""
    numbers = np.sort(numbers)
    return numbers[np.diff(numbers, prepend=~numbers[:1]) != 0]


def _bands(threshold: float) -> int:
    """The fewest bands by which a pair that is as alike as `threshold` shares one, with SURE probability."""
    return next((bands for bands in BANDS if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= SURE), BANDS[-1])


def _standard_error(similarity: float) -> float:
    """Of MinHash's estimate."""
    return math.sqrt(similarity * (1 - similarity) / PERMUTATIONS)


def _alike_pairs(signatures: np.ndarray, threshold: float, least: float) -> tuple[np.ndarray, np.ndarray]:
    """(later, earlier) numbers of documents that share a band and are alike by at least `least`; sorted, each pair once."""
    count, rows = len(signatures), PERMUTATIONS // _bands(threshold)
    firsts, twin_of = np.unique(_mixed(signatures), return_index=True, return_inverse=True)[1:]
    twins = np.flatnonzero(firsts[twin_of] != np.arange(count))  # many texts may be one and the same: one of them is looked at
    found = twins * count + firsts[twin_of[twins]]
    firsts.sort()
    for band in range(0, PERMUTATIONS, rows):
        key = _band_keys(signatures, band, rows)[firsts]
        order = np.argsort(key, kind="stable")
        bucket, order = key[order] >> 32, firsts[order]
        for apart in range(1, min(NEIGHBOURS, len(firsts) - 1) + 1):
            same = np.flatnonzero(bucket[apart:] == bucket[:-apart])
            pairs = np.sort([order[same], order[same + apart]], axis=0)
            alike = _agreement(signatures, *pairs) >= least
            found = _sorted_set(np.concatenate([found, pairs[1, alike] * count + pairs[0, alike]]))
    return np.divmod(found, max(1, count))


def _band_keys(signatures: np.ndarray, band: int, rows: int) -> np.ndarray:
    """(documents,) uint64: 32 bits that are alike where a band is, and then the next four values, so that of the many documents
    which may share a band (what stands on every page of a site does that) the most alike stand next to each other."""
    following = np.take(signatures, range(band + rows, band + rows + 4), axis=1, mode="wrap")
    bucket = _mixed(signatures[:, band:band + rows]) >> 32
    return bucket << 32 | np.ascontiguousarray(following).view(np.uint32)[:, 0]


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of every row: (rows,) uint64."""
    hashes = np.zeros(len(values), dtype=np.uint64)
    for column, weight in zip(values.T, WEIGHTS):
        hashes += column * weight
    return hashes


def _agreement(signatures: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How alike pairs of documents are by MinHash's estimate: (pairs,) float. Two bytes agree by chance in 1 of 256 cases."""
    shares = [(signatures[one[at:at + PAIRS_AT_ONCE]] == signatures[other[at:at + PAIRS_AT_ONCE]]).mean(axis=1)
              for at in range(0, len(one), PAIRS_AT_ONCE)]
    return (np.concatenate([np.empty(0), *shares]) - 1 / 256) * 256 / 255
