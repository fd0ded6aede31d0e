"""Documents on disk: any number of texts in one file of UTF-8 and a table of where each stands, read a few at a time, so that
memory stays bounded however much text there is. Knows nothing of where they came from, nor of tokens.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

AT_ONCE_BYTES = 8 * 2**20     # read from the file at a time, where documents follow each other
STRETCHES = 300               # that a text too long to be read whole is looked at in
WRITTEN_BYTES = 2**20         # kept back before they are written
FILE, TABLE = "documents.txt", "documents.npy"  # of a prepared data set


class Documents(Sequence[str]):
    """Texts in a file. `table` is (documents, 4) int64: first byte, byte after the last, characters, and the number of the text
    that it is, or is a part of: a long text is several documents in a row.

    One reader at a time: it seeks in `file`.
    """

    def __init__(self, file: BinaryIO, table: np.ndarray):
        self.file, self.table = file, table

    @classmethod
    def of(cls, texts: Iterable[str]) -> Documents:
        """A few documents, in memory."""
        writer = DocumentWriter(io.BytesIO())
        for text in texts:
            writer.add(text)
        return writer.documents()

    @property
    def lengths(self) -> np.ndarray:
        """Characters of each: (documents,) int64."""
        return self.table[:, 2]

    @property
    def texts(self) -> np.ndarray:
        """The number of the text that each is, or is a part of: (documents,) int64, rising."""
        return self.table[:, 3]

    @property
    def text_lengths(self) -> np.ndarray:
        """Characters of each text that there are documents of: (texts,) int64."""
        return np.bincount(np.unique(self.texts, return_inverse=True)[1], weights=self.lengths).astype(np.int64)

    @property
    def byte_lengths(self) -> np.ndarray:
        """Bytes of each: (documents,) int64."""
        return self.table[:, 1] - self.table[:, 0]

    @property
    def characters(self) -> int:
        """Characters of all together."""
        return int(self.lengths.sum())

    @property
    def bytes(self) -> int:
        """Bytes of all together."""
        return int(self.byte_lengths.sum())

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i):
        """The text of one; Documents for a slice."""
        return self.take(i) if isinstance(i, slice) else self.encoded(i).decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        return (raw.decode("utf-8") for raw in self.all_encoded())

    def __eq__(self, other) -> bool:
        return len(self) == len(other) and all(one == two for one, two in zip(self, other))

    __hash__ = None

    def take(self, rows: slice | Sequence[int] | np.ndarray) -> Documents:
        """Some of them, by their numbers, in the order given."""
        return Documents(self.file, self.table[rows if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)])

    def encoded(self, i: int) -> bytes:
        """One as UTF-8."""
        start, end = int(self.table[i, 0]), int(self.table[i, 1])
        self.file.seek(start)
        return self.file.read(end - start)

    def all_encoded(self) -> Iterator[bytes]:
        """Each as UTF-8. Those that follow each other in the file are read together."""
        for first, last in self._groups():
            start = int(self.table[first, 0])
            self.file.seek(start)
            block = self.file.read(int(self.table[last - 1, 1]) - start)
            for begin, end in (self.table[first:last, :2] - start).tolist():
                yield block[begin:end]

    def spread(self, characters: int) -> Iterator[str]:
        """All of them where they have no more than so many characters together; else as many, in stretches spread evenly."""
        if self.characters <= characters:
            yield from self
            return
        stretch = max(1, characters // STRETCHES)
        ends, starts = np.cumsum(self.lengths), np.linspace(0, self.characters - stretch, STRETCHES).astype(np.int64)
        for start in starts:
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(ends, start + stretch, side="left"))
            at = int(start - (ends[first] - self.lengths[first]))
            for i, text in enumerate(self[first:last + 1], start=first):
                yield text[at if i == first else 0:int(start + stretch - (ends[i] - self.lengths[i]))]

    def _groups(self) -> Iterator[tuple[int, int]]:
        """(first, one past the last) of documents that follow each other in the file and are about AT_ONCE_BYTES together."""
        first = 0
        while first < len(self):
            here = self.table[first:first + 100_000]
            follows = (here[1:, 0] >= here[:-1, 1]) & (here[1:, 1] - here[0, 0] <= AT_ONCE_BYTES)
            last = first + 1 + (len(follows) if follows.all() else int(np.argmin(follows)))
            yield first, last
            first = last

    def close(self) -> None:
        """Give the file back: on Windows one that is open cannot be moved."""
        self.file.close()


class DocumentWriter:
    """Writes documents one after the other. `file` is open for reading and writing, and empty."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._held: list[bytes] = []
        self._held_bytes = self.bytes = self.characters = 0  # added so far
        self._number = -1
        self._parts: list[np.ndarray] = []  # of the table, so that a row costs 32 bytes
        self._rows: list[tuple[int, int, int, int]] = []

    def add(self, text: str, number: int | None = None) -> None:
        """The next one: a text by itself, or of the text with that `number`, which never falls. Half characters (lone surrogates),
        which no encoding can hold, become "?". Raises OSError."""
        raw = text.encode("utf-8", "replace")
        self._number = self._number + 1 if number is None else number
        self._rows.append((self.bytes, self.bytes + len(raw), len(text), self._number))
        self.bytes += len(raw)
        self.characters += len(text)
        self._held.append(raw)
        self._held_bytes += len(raw)
        if self._held_bytes >= WRITTEN_BYTES or len(self._rows) >= 10_000:
            self._write()

    def documents(self) -> Documents:
        """All that were added, to be read from the same file. Raises OSError."""
        self._write()
        self._file.flush()
        return Documents(self._file, np.concatenate([np.empty((0, 4), np.int64), *self._parts]))

    def _write(self) -> None:
        self._file.write(b"".join(self._held))
        self._held, self._held_bytes = [], 0
        if self._rows:
            self._parts.append(np.array(self._rows, dtype=np.int64))
            self._rows = []


def keep(directory: Path, train: Documents, val: Documents) -> None:
    """Write where the documents of both sides stand in the `documents.txt` of a data set, in the order of the text."""
    table = np.concatenate([np.column_stack([one.table[:, :3], np.full(len(one), side)]) for side, one in enumerate((train, val))])
    np.save(directory / TABLE, table[np.argsort(table[:, 0], kind="stable")])


def open_kept(directory: Path) -> tuple[Documents, np.ndarray]:
    """(the documents of a prepared data set in the order of the text, which of them are held out: (documents,) bool).

    Raises FileNotFoundError where the data set has none, as older ones and those from bundles.
    """
    table = np.load(directory / TABLE)
    numbered = np.column_stack([table[:, :3], np.arange(len(table))])
    return Documents(open(directory / FILE, "rb"), numbered), table[:, 3] == 1
