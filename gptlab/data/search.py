"""Finding documents that hold a text, whatever its capitals and in any script, in stages: a search goes on for as long as it is
given, so that a page can say how far it is. Knows documents on disk; no page.

Bytes are compared, by numpy: no text is decoded to be searched, and while it compares, other threads go on.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence

import numpy as np

from gptlab.data.documents import Documents

BLOCK_BYTES = 2**18  # compared at a time: they stay in the processor's cache
LAST_CASED = 0x1E943  # no letter beyond it has capitals
LETTER = re.compile("ss|.", re.IGNORECASE | re.DOTALL)
SPACES = " \n\t\r\u00a0\u3000"  # a space in a query also finds a line's end


class Query:
    """A text to find. It is found with capitals or without, and nothing in it has a meaning of its own.

    Raises ValueError where there is nothing to find.
    """

    def __init__(self, text: str):
        if not text.strip():
            raise ValueError("There is nothing to search for: type some letters.")
        alternatives = [_alternatives(letter) for letter in LETTER.findall(text.strip())]
        self._encoded = [[np.frombuffer(one.encode("utf-8", "replace"), np.uint8) for one in each] for each in alternatives]
        self._pattern = re.compile("(" + "".join(f"(?:{'|'.join(map(re.escape, each))})" for each in alternatives) + ")")
        self.longest_bytes = sum(max(map(len, each)) for each in self._encoded)

    def marked(self, text: str) -> list[str]:
        """The text in pieces: those at odd places are what is looked for."""
        return self._pattern.split(text)

    def places(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(where it begins, where it ends) in a block of UTF-8: 1-D uint8."""
        first, *others = self._encoded
        starts = np.flatnonzero(_begins(block, first, others[0] if others else []))
        ends = _after(block, starts, first)
        for each in others:
            found = _after(block, ends, each)
            kept = found >= 0
            starts, ends = starts[kept], found[kept]
        return starts, ends


class Search:
    """A search through documents, which stand in the order of the file.

    `rows` are those that hold the text, `places` the byte of the file where each first does.
    """

    def __init__(self, documents: Documents, query: Query):
        self.documents, self.query = documents, query
        self._starts, self._ends = documents.table[:, 0], documents.table[:, 1]
        self._position = int(self._starts[0]) if len(documents) else 0
        self._last = int(self._ends[-1]) if len(documents) else 0
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def done(self) -> bool:
        """Whether all is searched."""
        return self._position >= self._last

    @property
    def share(self) -> float:
        """How much is searched, 0 to 1."""
        first = int(self._starts[0]) if len(self.documents) else 0
        return 1.0 if self.done else (self._position - first) / (self._last - first)

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the documents found so far, rising: 1-D int64."""
        return self._so_far()[0]

    @property
    def places(self) -> np.ndarray:
        """For each of `rows` where in the file it first stands: 1-D int64."""
        return self._so_far()[1]

    def _so_far(self) -> tuple[np.ndarray, np.ndarray]:
        """All that is found, put together once."""
        if len(self._found) != 1:
            none = np.empty(0, np.int64)
            self._found = [(np.concatenate([none, *(rows for rows, _ in self._found)]),
                            np.concatenate([none, *(places for _, places in self._found)]))]
        return self._found[0]

    def advance(self, seconds: float) -> None:
        """Search on for about so long, at least one block."""
        until = time.perf_counter() + seconds
        while not self.done:
            self._search_block()
            if time.perf_counter() >= until:
                return

    def _search_block(self) -> None:
        size = min(BLOCK_BYTES, self._last - self._position)
        self.documents.file.seek(self._position)
        block = np.frombuffer(self.documents.file.read(size + self.query.longest_bytes - 1), np.uint8)
        begins, ends = (places + self._position for places in self.query.places(block))
        until = self._position + size
        first, last = np.searchsorted(self._ends, self._position, side="right"), np.searchsorted(self._starts, until)
        if self._found and len(self._found[-1][0]) and self._found[-1][0][-1] == first:
            first += 1  # found in the block before
        at = np.searchsorted(begins, self._starts[first:last])  # of each document's first match, if it has one
        there = np.flatnonzero(at < len(begins))
        # It lies neither in two documents nor between them, and begins in this block, not in the few bytes after it.
        there = there[(ends[at[there]] <= self._ends[first + there]) & (begins[at[there]] < until)]
        if len(there):
            self._found.append((first + there, begins[at[there]]))
        self._position = until


def _begins(block: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Where a character of `first` stands, followed by the first byte of one of `second` (if any): (len(block),) bool.

    Most places are ruled out here, by passes through the whole block; what is left is looked at place by place.
    """
    follows = functools.reduce(np.logical_or, (block == byte for byte in {one[0] for one in second})) if second else None
    begins = np.zeros(len(block), dtype=bool)
    for one in first:
        stands = block == one[0]
        if stands.any():  # a rare form, as the Kelvin sign is of k, mostly nowhere
            for shift, byte in enumerate(one[1:], start=1):
                _also(stands, shift, block == byte)
            if second:
                _also(stands, len(one), follows)
            begins |= stands
    return begins


def _also(stands: np.ndarray, shift: int, holds: np.ndarray) -> None:
    """Takes out of `stands`, in place, where `holds` does not hold so many places on."""
    stands[:-shift] &= holds[shift:]
    stands[-shift:] = False


def _after(block: np.ndarray, at: np.ndarray, alternatives: Sequence[np.ndarray]) -> np.ndarray:
    """For each place the place after the one alternative that stands there, -1 where none does. In UTF-8 no character is the
    beginning of another, so that at most one stands."""
    after = np.full(len(at), -1, dtype=np.int64)
    first = block.take(at, mode="clip")
    for one in alternatives:
        stands = np.flatnonzero(first == one[0])
        for shift, byte in enumerate(one[1:], start=1):
            stands = stands[block.take(at[stands] + shift, mode="clip") == byte]
        stands = stands[at[stands] + len(one) <= len(block)]
        after[stands] = at[stands] + len(one)
    return after


def _alternatives(character: str) -> list[str]:
    """What counts as the same character: its other cases, for a space any, and for ß also the two letters of its capital form."""
    if character in SPACES:
        return list(SPACES)
    if character.casefold() == "ss":
        s = _alternatives("s")
        return ["ß", "ẞ", *(first + second for first in s for second in s)]
    return sorted({character, *_same_letters().get(_folded(character), ())})


@functools.cache
def _same_letters() -> dict[str, list[str]]:
    """Letters that differ by case only, by the one they are folded to (Unicode's case folding, where it is one letter)."""
    groups: dict[str, list[str]] = {}
    for character in map(chr, range(LAST_CASED + 1)):
        if (folded := _folded(character)) != character:
            groups.setdefault(folded, [folded]).append(character)
    return groups


def _folded(character: str) -> str:
    return next((one for one in (character.casefold(), character.lower()) if len(one) == 1), character)
