"""The texts that tokenizers are compared on, and what was learnt from them, for all pages: in memory, the latest few.

Reading, and learning with measuring, happen in processes of their own, one at a time; a vocabulary is learnt once for a text, as
large as any page may ask for, and smaller ones are its first part. Knows nothing of what a page shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptlab.config import DataConfig
from gptlab.data import bench
from gptlab.data.errors import DataError
from gptlab.data.sources import state_of_files
from gptlab.data.tokenizers import Tokenizer, tokenizer_of
from gptlab.runs import beside
from gptlab.ui import words_bench

KINDS = ("char", "byte", "bpe", "file")
KEPT_TEXTS = 3        # each a few million characters, with the pieces learnt from it
KEPT_TOKENIZERS = 16  # of all texts; the largest take 30 MB each
MOST_SECONDS = 90     # to read or to learn
LARGEST_FILE_BYTES = 64 * 2**20  # of a tokenizer.json


@dataclass(frozen=True)
class Choice:
    """A tokenizer as a page asks for it: `vocabulary` counts for bpe, `path` for a file."""

    kind: str
    vocabulary: int = bench.MOST_VOCABULARY
    path: str | None = None

    @property
    def key(self) -> tuple:
        """What makes it another."""
        return self.kind, self.vocabulary if self.kind == "bpe" else None, self.path if self.kind == "file" else None


@dataclass(frozen=True)
class Learnt:
    """A tokenizer on a text: its numbers, by which they are compared, and `id`, by which a page asks for more of it.

    `merges` (merges, 3) and `longest` hold ids, as `Tokenizer.merges` and `bench.longest_tokens` give them.
    """

    id: str
    tokenizer: Tokenizer
    measured: bench.Measured
    merges: np.ndarray
    longest: list[tuple[int, int]]


class Latest:
    """What was made last, a few of it, by a key: the oldest goes first. Not for several threads at once."""

    def __init__(self, most: int):
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """What is kept under it, None where nothing is."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Hashable, value: Any) -> Any:
        """Keeps and gives back the value."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value


class Store:
    """Texts and tokenizers, made where they are asked for and not there yet."""

    def __init__(self):
        self._texts, self._pieces, self._learnt = Latest(KEPT_TEXTS), Latest(KEPT_TEXTS), Latest(KEPT_TOKENIZERS)
        self._lock = threading.Lock()     # of what is kept
        self._working = threading.Lock()  # one piece of work at a time, whoever asks

    def learnt(self, id: Any) -> Learnt | None:
        """What a page was told of; None where that was long ago."""
        with self._lock:
            return self._learnt.get(id) if isinstance(id, str) else None

    def text(self, key: tuple, config: DataConfig) -> Iterator[str | bench.Text]:
        """Says what it does, if anything must be done, then gives the text of these settings; `key` is their `text_key`.
        Raises DataError."""
        def read() -> bench.Text:
            return _in_time(bench.read_text, config, too_long=words_bench.READING_TOO_LONG)

        yield from self._made(self._texts, key, lambda: words_bench.READING_TEXT, read)

    def tokenizer(self, key: tuple, text: bench.Text, choice: Choice) -> Iterator[str | Learnt]:
        """Says what it does, if anything must be done, then gives the tokenizer on the text of this key. Raises DataError."""
        def pieces() -> str | None:
            with self._lock:
                return self._pieces.get(key) if choice.kind == "bpe" else None

        def doing() -> str:
            learns = choice.kind == "bpe" and pieces() is None
            return words_bench.learning(bench.MOST_VOCABULARY, text.characters) if learns else words_bench.CUTTING_TEXT

        def make() -> Learnt:
            outcome = _compared(text, choice, pieces())
            if outcome.learnt is not None:
                with self._lock:
                    self._pieces.put(key, outcome.learnt)
            return Learnt(id, tokenizer_of(outcome.tokenizer), outcome.measured, outcome.merges, outcome.longest)

        id = hashlib.blake2b(repr((key, choice.key)).encode("utf-8", "replace"), digest_size=12).hexdigest()
        yield from self._made(self._learnt, id, doing, make)

    def _made(self, kept: Latest, key: Hashable, doing: Callable[[], str], make: Callable[[], Any]) -> Iterator[Any]:
        """What is kept under a key, or else what it is `doing`, and then what `make` gives."""
        def there() -> Any:
            with self._lock:
                return kept.get(key)

        found = there()
        if found is None and self._working.locked():
            yield words_bench.WAITING
            with self._working:  # then it can be said what is done
                found = there()
        if found is None:
            yield doing()
            with self._working:
                found = there()  # another page may have wanted the same
                if found is None:
                    found = make()
                    with self._lock:
                        kept.put(key, found)
        yield found


def text_key(config: DataConfig) -> tuple:
    """What makes a text another: settings that change it, and when its files were written. Raises DataError."""
    usual = DataConfig()
    other = {name: getattr(usual, name) for name in ("tokenizer", "tokenizer_file", "vocab_size", "val_fraction", "split")}
    same = dataclasses.replace(config, **other)
    return same, state_of_files(same)


def _in_time(function: Callable, *arguments: Any, too_long: str) -> Any:
    try:
        return beside.call(function, *arguments, seconds=MOST_SECONDS)
    except TimeoutError:
        raise ValueError(too_long.format(MOST_SECONDS)) from None


def _compared(text: bench.Text, choice: Choice, pieces: str | None) -> bench.Outcome:
    """Raises ValueError, OSError."""
    if choice.kind == "file" and choice.path is None:
        raise ValueError(words_bench.NO_TOKENIZER_FILE)
    if choice.kind == "file" and Path(choice.path).stat().st_size > LARGEST_FILE_BYTES:
        raise ValueError(words_bench.FILE_TOO_LARGE.format(LARGEST_FILE_BYTES // 2**20))
    too_long = words_bench.LEARNING_TOO_LONG if choice.kind == "bpe" else words_bench.CUTTING_TOO_LONG
    try:
        return _in_time(bench.compare, text, choice.kind, choice.vocabulary, choice.path, pieces, words_bench.LONGEST_SHOWN,
                        too_long=too_long)
    except DataError as problem:
        if choice.kind != "file":
            raise
        raise ValueError(str(problem).replace(choice.path, Path(choice.path).name)) from None  # people know it by its name
