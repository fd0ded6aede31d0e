"""What can be downloaded: the texts of data/catalog.json, or of the file that GPTLAB_CATALOG names. Fetches nothing."""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from gptlab.config import CLEANING
from gptlab.data.errors import DataError

CATALOG = Path(__file__).resolve().parents[2] / "data" / "catalog.json"
ENVIRONMENT = "GPTLAB_CATALOG"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # a folder's and a data set's name is made of it
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class File:
    """One file of a text. `about` says that its size is not known exactly; `sha256` is None where it is not known."""

    address: str
    bytes: int
    sha256: str | None = None
    about: bool = False

    def __post_init__(self) -> None:
        if not may_be_fetched(self.address):
            raise ValueError(f"'{self.address}' is no address to download from: it must begin with https:// (or, to try things "
                             "out, with file:// or http://127.0.0.1)")
        if not isinstance(self.bytes, int) or self.bytes <= 0:
            raise ValueError(f"'bytes' is {self.bytes!r}, but must be a number above 0")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(self.sha256)):
            raise ValueError(f"'sha256' is {self.sha256!r}, but must be 64 digits from 0 to f, or null")

    @property
    def suffix(self) -> str:
        """What kind of file it is: ".txt", ".parquet", ".jsonl.gz"."""
        suffixes = PurePosixPath(unquote(urlsplit(self.address).path)).suffixes
        return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


@dataclass(frozen=True)
class Entry:
    """A text that can be downloaded. `home` is the page that tells of it, `cleaning` what should be cleaned of it."""

    name: str
    title: str
    description: str
    language: str
    licence: str
    home: str
    files: tuple[File, ...]
    cleaning: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "title", "description", "language", "licence", "home"):
            if not isinstance(getattr(self, field), str) or not getattr(self, field).strip():
                raise ValueError(f"'{field}' is {getattr(self, field)!r}, but must be a text")
        if urlsplit(self.home).scheme not in ("https", "http") or not urlsplit(self.home).hostname:
            raise ValueError(f"'home' is '{self.home}', but must be the address of a web page")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"'name' is '{self.name}': use letters (a-z), digits, - and _, at most 40")
        if not self.files:
            raise ValueError("'files' is empty: name the address of one at least")
        if unknown := [step for step in self.cleaning if step not in CLEANING]:
            raise ValueError(f"'cleaning' has {unknown[0]!r}: the steps are {', '.join(CLEANING)}")

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(file.bytes for file in self.files)

    @property
    def about(self) -> bool:
        """Whether that size is not known exactly."""
        return any(file.about for file in self.files)

    @property
    def size(self) -> str:
        """The same in words: "1.1 MB", "about 140 kB"."""
        return f"{'about ' * self.about}{in_words(self.bytes)}"

    def paths(self, downloads: Path) -> list[Path]:
        """Where its files lie once they are downloaded, in a folder of its name."""
        numbers = [f"-{i}" for i in range(1, len(self.files) + 1)] if len(self.files) > 1 else [""]
        return [downloads / self.name / f"{self.name}{number}{file.suffix}" for number, file in zip(numbers, self.files)]


def entries(path: Path | None = None) -> dict[str, Entry]:
    """The texts of a catalogue by name, in its order. Raises DataError with the file and the entry that is wrong."""
    path = path or Path(os.environ.get(ENVIRONMENT) or CATALOG)
    try:
        state = path.stat()
        return _entries(path, (state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise _unreadable(path, error) from error


@functools.lru_cache(maxsize=4)
def _entries(path: Path, state: tuple[int, int]) -> dict[str, Entry]:
    """The same, read anew only where the file is in another state: a page asks every second."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _unreadable(path, error) from error
    if not isinstance(told, list):
        raise DataError(f"The catalogue {path} must be a list of entries: see data/README.md.")
    found: dict[str, Entry] = {}
    for number, values in enumerate(told, start=1):
        try:
            entry = _entry(values)
            if entry.name in found:
                raise ValueError(f"there are two of the name '{entry.name}'")
        except (TypeError, ValueError) as error:
            raise DataError(f"Entry {number} of the catalogue {path} cannot be used: {error}.") from error
        found[entry.name] = entry
    return found


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"The catalogue {path} cannot be read ({error}): mend it, or unset {ENVIRONMENT}.")


def _entry(values: Any) -> Entry:
    """An entry from JSON. Raises TypeError and ValueError, whose words name the field."""
    files = values["files"] if isinstance(values, dict) and isinstance(values.get("files"), list) else []
    fields = values if isinstance(values, dict) else {}
    return Entry(**{**fields, "files": tuple(File(**file) for file in files), "cleaning": tuple(fields.get("cleaning", ()))})


def in_words(n_bytes: float) -> str:
    """1115394 -> "1.1 MB", as servers and shops count; two digits at least."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= 0.9995 * size:
            return f"{n_bytes / size:.{1 if n_bytes < 9.95 * size else 0}f} {unit}"
    return f"{n_bytes:.0f} bytes"


def may_be_fetched(address: Any) -> bool:
    """Whether an address is one that a text may come from: https, or of this machine."""
    if not isinstance(address, str):
        return False
    parts = urlsplit(address)
    return parts.scheme == "file" or (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and parts.hostname in LOOPBACK)
