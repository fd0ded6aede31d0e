"""A file's bytes and what is met in them: unpacked, of a size that can be read, in the encoding that they are in.

Knows nothing of formats.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gptlab.data.encodings import find_encoding
from gptlab.data.errors import DataError

LARGEST_WHOLE_BYTES = 256 * 2**20  # of a file that must be read whole, as HTML, PDF and JSON; more would take gigabytes of memory
LARGEST_SHOWN_BYTES = 32 * 2**20   # of one that is only looked at: the app does that
LARGEST_UNPACKED = 512 * 2**20     # characters that any file may hold, and that one may hold more of which is a
LARGEST_RATIO = 50                 # fiftieth of it: a few KB of Parquet can hold terabytes
LONGEST_LINE = 32_000_000         # characters of a line of a table
MOST_LOOKED_AT = 4 * LONGEST_LINE  # characters of a table of which only the beginning is wanted, whatever rows they are
MOST_LISTED = 20                  # sentences on what could not be read,
LISTED_OF_A_FILE = 5              # and of each, where there are several
LOOKED_THROUGH = 4                # times as many characters, of all columns, are gone through for those wanted of one
MAGIC = {b"PK\x03\x04": "an archive (as .docx, .xlsx and .epub are): save its content as plain text (.txt) and choose that.",
         b"\x89PNG": "a picture: choose a file with text.", b"\xff\xd8\xff": "a picture: choose a file with text.",
         b"GIF8": "a picture: choose a file with text."}


@dataclass
class Found:
    """What was met while a file, or one after another, was read; whole once its documents are through.

    With `most_characters` reading ends after about so many, where a format allows that, or earlier (`ended_early`) where what
    comes is too long to look at; `share` is how much of the file is read (0 to 1). `texts` counts its texts, of which a long one
    is given as several documents.
    """

    most_characters: int | None = None
    share: float = 0.0
    texts: int = 0
    ended_early: bool = False

    encoding: str = ""
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    bad_count: int = 0
    name: str = ""  # of the file
    _in_file: list[str] = field(default_factory=list)  # sentences on its rows and pages, the first MOST_LISTED
    _in_file_count: int = 0
    _files: list[str] = field(default_factory=list)    # sentences on files that could not be read
    _before: list[tuple[str, list[str], int]] = field(default_factory=list)  # (name, sentences, count) of files that were added

    def enough(self, characters: int, looked_through: int = 0) -> bool:
        """Whether so many are as many as were wanted, or as many were gone through as may be in looking for them."""
        return self.most_characters is not None and (characters >= self.most_characters or self.ended_early
                                                     or looked_through >= LOOKED_THROUGH * self.most_characters)

    def check(self, path: Path, characters: int) -> None:
        """Raises DataError where a file holds impossibly much for its size."""
        if characters > LARGEST_UNPACKED and characters > most_unpacked(path):
            raise DataError(f"{path.name} holds more text than can be read: over {LARGEST_RATIO} times its own size. Cut it "
                            "into smaller files and choose one.")

    @property
    def bad(self) -> list[str]:
        """Sentences on what could not be read, no more than MOST_LISTED: files first, then some rows and pages of each other."""
        by_file = [*self._before, *([(self.name, self._in_file, self._in_file_count)] if self._in_file else [])]
        each = LISTED_OF_A_FILE if len(by_file) > 1 or self._files else MOST_LISTED
        listed = list(self._files)
        for name, sentences, count in by_file:
            listed += sentences[:each]
            if count > each and each < MOST_LISTED:
                listed.append(f"And {count - each:,} more of {name}.")
        return listed[:MOST_LISTED]

    def left_out(self, sentence: str, count: int = 1) -> None:
        """Notes down a row or a page, or so many, that could not be read."""
        self.bad_count += count
        self._in_file_count += count
        if len(self._in_file) < MOST_LISTED:
            self._in_file.append(sentence)

    def unreadable(self, sentence: str) -> None:
        """Notes down that a file could not be read, or not to its end."""
        self.bad_count += 1
        if len(self._files) < MOST_LISTED:
            self._files.append(sentence)

    def add(self, other: Found) -> None:
        """Takes over what another file's reading left out."""
        self.bad_count += other.bad_count
        self.ended_early |= other.ended_early
        self._files += other._files[:MOST_LISTED - len(self._files)]
        if other._in_file and len(self._before) < MOST_LISTED:
            self._before.append((other.name, other._in_file, other._in_file_count))


def kind_of(path: Path) -> str:
    """".csv" for "Table.CSV.gz"; text for a name that says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes = suffixes[:-1]
    return suffixes[-1] if suffixes else ""


@contextlib.contextmanager
def opened(path: Path, found: Found, newline: str) -> Iterator[tuple[io.TextIOWrapper, Callable[[], float]]]:
    """(a file as text, what says how much of it is read). Its encoding is found out first, which reads it once. Raises
    DataError for what is no text."""
    with binary(path) as file:
        head = file.read(8)
    for magic, what in MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} is {what}")
    with binary(path) as file:
        encoding = find_encoding(file, path.name, found.most_characters)
    if encoding.errors == "replace" and found.encoding != encoding.name:  # a table is opened twice
        found.left_out(f"{path.name} is UTF-8, but for bytes that are no character: each became \N{REPLACEMENT CHARACTER}.")
    found.encoding = encoding.name
    errors = encoding.errors  # of a part, no more than its beginning was checked
    if found.most_characters is not None and encoding.codec == "utf-8":
        errors = "replace"
    size = max(1, path.stat().st_size)
    with open(path, "rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw) if is_packed(path) else raw
        with io.TextIOWrapper(unpacked, encoding=encoding.codec, errors=errors, newline=newline) as file:
            yield file, lambda: min(1.0, raw.tell() / size)


def lines(file: io.TextIOWrapper, path: Path, found: Found, bad: Callable[..., None]) -> Iterator[str]:
    """The lines of a table, with their ends. For one that is too long to be worked on in memory stands an empty one, and it is
    listed; where only a beginning is wanted, that ends there. Raises DataError where they are impossibly many."""
    longest, to_show = LONGEST_LINE, found.most_characters is not None
    if to_show:
        longest = min(longest, LOOKED_THROUGH * found.most_characters)
    passed, most = 0, most_unpacked(path)
    for number in itertools.count(1):
        line = file.readline(longest)
        passed += len(line)
        if passed > most:
            found.check(path, passed)
        if not line:
            return
        if to_show and passed > MOST_LOOKED_AT:
            found.ended_early = True
            return
        if len(line) < longest or line[-1] in "\r\n":
            yield line
        elif to_show:
            found.ended_early = True
            bad(f"Line {number:,} of {path.name} has more than {longest:,} characters: it and what follows cannot be shown "
                "before preparing.")
            return
        else:
            bad(f"Line {number:,} of {path.name} has more than {longest:,} characters, too many for one row: divide it into "
                "several.")
            while (rest := file.readline(longest)) and rest[-1] not in "\r\n":
                found.check(path, passed := passed + len(rest))
            yield "\n"


def most_unpacked(path: Path) -> int:
    """Characters that a file of its size can hold without being suspect."""
    return max(LARGEST_UNPACKED, LARGEST_RATIO * path.stat().st_size)


def is_packed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def binary(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where they are packed."""
    return gzip.open(path, "rb") if is_packed(path) else open(path, "rb")


def check_size(path: Path, instead: str, to_show: bool) -> None:
    """Raises DataError for a file that is larger, packed or unpacked, than can be read whole, or whole `to_show` its beginning;
    `instead` says what to do with one that is too large to be read."""
    if _exceeds(path, LARGEST_WHOLE_BYTES):
        raise DataError(f"{path.name} is too large: of its kind at most {LARGEST_WHOLE_BYTES // 2**20} MB can be read, so "
                        f"{instead}.")
    if to_show and _exceeds(path, LARGEST_SHOWN_BYTES):
        raise DataError(f"{path.name} is too large to be shown before preparing: of its kind at most "
                        f"{LARGEST_SHOWN_BYTES // 2**20} MB can be. Prepare it unseen, or {instead}.")


def _exceeds(path: Path, most_bytes: int) -> bool:
    """Whether a file has more bytes than that, packed or unpacked."""
    if path.stat().st_size > most_bytes or not is_packed(path):
        return path.stat().st_size > most_bytes
    left = most_bytes + 1
    with binary(path) as file:
        while left and (block := file.read(min(left, 2**20))):
            left -= len(block)
    return not left
