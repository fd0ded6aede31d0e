"""The numbers of the figures of a prepared data set: what its tokens, its documents and its characters are like.

Read a part at a time, so that memory stays bounded however long the text is. Draws nothing; words are the page's.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gptlab.data.baselines import token_counts
from gptlab.data.dataset import Dataset, open_dataset
from gptlab.data.documents import open_kept

PARTS = 160              # that a side is cut into to see how it changes on its way,
PART_TOKENS = 200        # each of at least so many, since fewer vary by chance
POINTS = 240             # of the curve over ranks
FITTED_FROM_COUNT = 10   # tokens seen more rarely are in one long step or another by chance
FITTED_POINTS = 5        # fewer are no line
BINS_PER_DECADE = 8      # of lengths
BLOCK_CHARACTERS = 2**20
BLOCK_TOKENS = 2**20     # decoded at a time
SCRIPTS = {"CJK": "Han"}  # where the first word of a character's name isn't its script's usual one
KINDS = ("letters", "spaces", "digits", "punctuation", "symbols", "emoji", "controls")
OTHER, MOST_SCRIPTS = "other", 8
JOINERS = {0x200D, 0x20E3, 0xFE0F}  # parts of emoji: zero width joiner, keycap, "as a picture"
CODE_POINTS = 0x110000

Progress = Callable[[float], None]


def count(directory: Path, progress: Progress = lambda share: None) -> dict:
    """All numbers of a data set's figures, as JSON has them. `progress` is told the share done. Raises DataError.

    `tokens` are of the training text (see `zipf`); `lengths` are documents by their tokens (see `histogram`), `change` the
    bytes a token of each part stands for, both by side (train, val); `scripts` are [name, share of the letters], `kinds`
    [name, share of the characters], the largest first, and `characters` how many there are.
    """
    dataset = open_dataset(directory)
    sides = {"train": dataset.train, "val": dataset.val}
    both = sum(map(len, sides.values()))
    counts, lengths, change, done = {}, {}, {}, 0
    for side, ids in sides.items():
        told = functools.partial(lambda before, tokens: progress(0.4 * (before + tokens) / both), done)
        counts[side], lengths[side], change[side] = _read_side(dataset, ids, told)
        done += len(ids)
    codes = np.zeros(CODE_POINTS, dtype=np.int64)
    for text, share in _texts(dataset):
        codes += np.bincount(np.frombuffer(text.encode("utf-32-le"), dtype="<u4"), minlength=CODE_POINTS)
        progress(0.4 + 0.6 * share)
    scripts, kinds = characters(codes)
    counts["train"][dataset.tokenizer.end_of_text] = 0
    return {"tokens": zipf(counts["train"], dataset.tokenizer.token_text), "lengths": histogram(lengths), "change": change,
            "scripts": scripts, "kinds": kinds, "characters": int(codes.sum())}


def _read_side(dataset: Dataset, ids: np.ndarray, told: Callable[[int], None]) -> tuple[np.ndarray, Counter, list]:
    """(how often each id occurs, how many documents have each length in tokens, bytes a token of each part)."""
    bytes_of, end = dataset.tokenizer.byte_lengths(), dataset.tokenizer.end_of_text
    parts = min(PARTS, max(1, len(ids) // PART_TOKENS))
    counts, lengths, change, document_start = np.zeros(len(bytes_of), dtype=np.int64), Counter(), [], 0
    for n in range(parts):
        first, last = n * len(ids) // parts, (n + 1) * len(ids) // parts
        seen = token_counts(ids[first:last], len(bytes_of))
        ends = first + np.flatnonzero(ids[first:last] == end)
        counted = np.unique(np.diff(ends, prepend=document_start - 1) - 1, return_counts=True)
        lengths.update(dict(zip(*(values.tolist() for values in counted))))
        document_start = int(ends[-1]) + 1 if len(ends) else document_start
        counts += seen
        text_tokens = int(seen.sum() - seen[end])
        change.append(round(int(seen @ bytes_of) / text_tokens, 4) if text_tokens else None)
        told(last)
    return counts, lengths, change


def _texts(dataset: Dataset) -> Iterator[tuple[str, float]]:
    """(a part of the text, the share that is read with it): of its documents, else what its tokens say."""
    try:
        documents, _ = open_kept(dataset.directory)
    except FileNotFoundError:
        yield from _decoded(dataset)
        return
    total, done, held, size = max(1, documents.bytes), 0, [], 0
    try:
        for raw in documents.all_encoded():
            held.append(raw)
            size += len(raw)
            if size >= BLOCK_CHARACTERS:
                done += size
                yield b"".join(held).decode("utf-8"), done / total
                held, size = [], 0
        yield b"".join(held).decode("utf-8"), 1.0
    finally:
        documents.close()


def _decoded(dataset: Dataset) -> Iterator[tuple[str, float]]:
    total, done = len(dataset.train) + len(dataset.val), 0
    for ids in (dataset.train, dataset.val):
        for first in range(0, len(ids), BLOCK_TOKENS):
            block = ids[first:first + BLOCK_TOKENS]
            done += len(block)
            yield dataset.tokenizer.decode(block).strip("\N{REPLACEMENT CHARACTER}"), done / total  # torn by the block's end


# --- tokens ---

def zipf(counts: np.ndarray, token_text: Callable[[int], str]) -> dict:
    """How often the most frequent token occurs, the second, and so on, thinned evenly along the logarithm of the rank.

    `ranks`, `counts`, and `texts` (of the tokens there); how many there are of `all` tokens and of `distinct` ones; `share`
    of the most frequent. `slope` and `start` of the line log10(count) = start + slope × log10(rank), by least squares
    through the points of tokens seen at least FITTED_FROM_COUNT times; None where there are too few of them.
    """
    order = np.argsort(-counts, kind="stable")
    order = order[:np.count_nonzero(counts)]
    falling = counts[order]
    at = np.unique(np.geomspace(1, max(1, len(order)), POINTS).round().astype(np.int64))[:len(order)] - 1
    fitted = at[falling[at] >= FITTED_FROM_COUNT]
    slope = start = None
    if len(fitted) >= FITTED_POINTS:
        slope, start = (round(float(value), 4) for value in np.polyfit(np.log10(fitted + 1), np.log10(falling[fitted]), 1))
    total = int(counts.sum())
    return {"ranks": (at + 1).tolist(), "counts": falling[at].tolist(), "texts": [token_text(int(i)) for i in order[at]],
            "all": total, "distinct": len(order), "share": int(falling[0]) / total if total else 0.0,
            "slope": slope, "start": start, "fitted_ranks": (fitted[[0, -1]] + 1).tolist() if slope is not None else []}


# --- documents ---

def histogram(lengths: dict[str, Counter]) -> dict:
    """Lengths of documents in tokens, in bins of equal width on a logarithmic scale: `edges` (one more than bins), and by
    side `bins` (documents in each), `documents`, `median` and `longest` (tokens). An empty document counts as one of 1.
    """
    longest = max((length for one in lengths.values() for length in one), default=1)
    last = math.ceil(BINS_PER_DECADE * math.log10(max(2, longest + 1)))
    edges = np.unique(np.ceil(10 ** (np.arange(last + 1) / BINS_PER_DECADE)).astype(np.int64))
    edges[-1] = max(edges[-1], longest + 1)
    told: dict = {"edges": edges.tolist()}
    for side, one in lengths.items():
        values, counts = np.array(sorted(one.items()), dtype=np.int64).reshape(-1, 2).T
        bins = np.histogram(np.maximum(values, 1), bins=edges, weights=counts)[0]
        half = int(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2))
        told[side] = {"bins": bins.astype(np.int64).tolist(), "documents": int(counts.sum()),
                      "median": int(values[half]) if len(values) else 0, "longest": int(max(values, default=0))}
    return told


# --- characters ---

def characters(counts: np.ndarray) -> tuple[list[list], list[list]]:
    """(scripts: [name, share of the letters], kinds: [one of KINDS, share of all]), the largest first, from how often
    each code point occurs."""
    scripts, kinds = Counter(), Counter()
    for code in np.flatnonzero(counts).tolist():
        kind = kind_of(chr(code))
        kinds[kind] += int(counts[code])
        if kind == "letters":
            scripts[script_of(chr(code))] += int(counts[code])
    common = scripts.most_common()
    rest = sum(number for _, number in common[MOST_SCRIPTS:])
    return _shares([*common[:MOST_SCRIPTS], *([(OTHER, rest)] if rest else [])]), _shares(kinds.most_common())


def _shares(counted: list[tuple[str, int]]) -> list[list]:
    total = sum(number for _, number in counted)
    return [[name, number / total] for name, number in counted]


def kind_of(character: str) -> str:
    """Which of KINDS a character is; a mark that stands on a letter counts as one, what is broken as a control."""
    category, code = unicodedata.category(character), ord(character)
    if character.isspace():
        return "spaces"
    if code in JOINERS or 0x1F000 <= code <= 0x1FAFF or category == "So" and 0x2600 <= code <= 0x27BF:
        return "emoji"
    if category[0] == "C" or character == "\N{REPLACEMENT CHARACTER}":
        return "controls"
    return {"L": "letters", "M": "letters", "N": "digits", "P": "punctuation"}.get(category[0], "symbols")


def script_of(letter: str) -> str:
    """The script of a letter, by the first word of its Unicode name; "other" for what has none or belongs to many."""
    first = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    if not first or unicodedata.category(letter)[0] == "M" and first in ("COMBINING", "VARIATION"):
        return OTHER
    return SCRIPTS.get(first, first.capitalize())
