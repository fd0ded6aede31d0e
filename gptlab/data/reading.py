"""A file's bytes and what is met in them: unpacked, of a size that can be read, in the encoding that they are in.

Knows nothing of formats.
"""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gptlab.data.encodings import find_encoding
from gptlab.data.errors import DataError, TooMuchText

LARGEST_FILE_BYTES = 512 * 2**20  # read whole into memory; beyond this preparing would need more than 4 GB
MOST_LISTED = 20                  # of what could not be read
LOOKED_THROUGH = 4                # times as many characters, of all columns, are gone through for those wanted of one
MAGIC = {b"PK\x03\x04": "an archive (as .docx, .xlsx and .epub are): save its content as plain text (.txt) and choose that.",
         b"\x89PNG": "a picture: choose a file with text.", b"\xff\xd8\xff": "a picture: choose a file with text.",
         b"GIF8": "a picture: choose a file with text."}


@dataclass
class Found:
    """What was met while a file was read; whole once its documents are through. `bad` are sentences, the first MOST_LISTED.

    With `most_characters` reading ends after about so many, where a format allows that; `share` is how much of the file that
    was (0 to 1). `most_allowed` is how many it may hold, by default as many as the largest file has bytes.
    """

    most_characters: int | None = None
    most_allowed: int | None = None
    share: float = 1.0

    encoding: str = ""
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0

    def enough(self, characters: int, looked_through: int = 0) -> bool:
        """Whether so many are as many as were wanted, or as many were gone through as may be in looking for them."""
        return self.most_characters is not None and (characters >= self.most_characters
                                                     or looked_through >= LOOKED_THROUGH * self.most_characters)

    def check(self, name: str, characters: int) -> None:
        """Raises TooMuchText where a file holds more than may be: a few KB of Parquet can hold gigabytes."""
        if characters > (LARGEST_FILE_BYTES if self.most_allowed is None else self.most_allowed):
            raise TooMuchText(f"{name} holds more text than can be read (at most {LARGEST_FILE_BYTES // 2**20} million "
                              "characters): cut it into smaller files and choose one.")

    def left_out(self, sentence: str) -> None:
        """Notes down a row or a page that could not be read."""
        self.bad_count += 1
        if len(self.bad) < MOST_LISTED:
            self.bad.append(sentence)


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


def is_packed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def binary(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where they are packed."""
    return gzip.open(path, "rb") if is_packed(path) else open(path, "rb")


def check_size(path: Path) -> None:
    """Raises DataError for a file that is larger, packed or unpacked, than can be read."""
    size = path.stat().st_size
    packed = is_packed(path)
    if packed and size <= LARGEST_FILE_BYTES:
        size = 0
        with binary(path) as file:
            while size <= LARGEST_FILE_BYTES and (block := file.read(2**20)):
                size += len(block)
    if size > LARGEST_FILE_BYTES:
        raise DataError(f"{path.name} is {'more than ' * packed}{size / 2**20:,.0f} MB: at most "
                        f"{LARGEST_FILE_BYTES // 2**20} MB can be read, so cut it into smaller files and choose one.")
