"""What a tokenizer makes of a text, in numbers by which tokenizers are compared.

Works on the beginning of a text where it is long. Knows nothing of pages, of processes, nor of models.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptlab.config import DataConfig
from gptlab.data.dataset import cleaned
from gptlab.data.errors import DataError
from gptlab.data.learning import train_bpe, with_fewer_pieces
from gptlab.data.sources import BUILTINS, read_documents
from gptlab.data.tokenizers import (ByteTokenizer, CharTokenizer, StreamDecoder, Tokenizer, UnknownCharacters, load_tokenizer,
                                    tokenizer_of)

MOST_CHARACTERS = 4 * 2**20      # of a text: enough to learn from, and quick
MOST_GENERATED = 5_000           # documents of a built-in that can make any number
MOST_VOCABULARY = 65_536         # learnt at once; a smaller vocabulary is its first part
PART_CHARACTERS = 20_000         # encoded at a time, on one core
LINE_END, WORD_END = re.compile(r"(?<=\S)\n"), re.compile(r"(?<=\S) ")  # where GPT-2's way of splitting words does so too
LONGEST_WORD = 20                # characters on average; beyond it a script has no spaces between its words


@dataclass(frozen=True)
class Text:
    """The documents that tokenizers are compared on; `whole`: they are all that there is."""

    documents: list[str]
    whole: bool

    @property
    def characters(self) -> int:
        return sum(map(len, self.documents))


@dataclass(frozen=True)
class Measured:
    """A tokenizer's numbers on a text. `tokens` are those of the text itself, without the end-of-text of its documents.

    `counts` is how often each id stands in it, end-of-text included: (vocab_size,) int64. `words` is None where the text has
    no spaces between its words.
    """

    tokens: int
    characters: int
    bytes: int
    words: int | None
    counts: np.ndarray
    exact: bool  # the text comes back as it was

    @property
    def bytes_per_token(self) -> float:
        """Bytes of UTF-8. More: a model sees further back with the same context."""
        return self.bytes / self.tokens

    @property
    def characters_per_token(self) -> float:
        return self.characters / self.tokens

    @property
    def tokens_per_word(self) -> float | None:
        """A word is what stands between two spaces or line ends; its share of these is counted in."""
        return self.tokens / self.words if self.words else None

    @property
    def used(self) -> int:
        """How many different tokens stand in the text, end-of-text included."""
        return int(np.count_nonzero(self.counts))


@dataclass(frozen=True)
class Outcome:
    """A tokenizer on a text, as `compare` sends it from one process to another.

    `tokenizer` is its `to_json`; `merges` (merges, 3) and `longest` hold ids, as `Tokenizer.merges` and `longest_tokens` give
    them; `learnt` is what `learn` gave, None where it learnt nothing.
    """

    tokenizer: str
    measured: Measured
    merges: np.ndarray
    longest: list[tuple[int, int]]
    learnt: str | None


def read_text(config: DataConfig) -> Text:
    """What a data set would be made of, cleaned, or about MOST_CHARACTERS of its beginning. Raises DataError."""
    documents = min(config.documents, MOST_GENERATED) if config.source in BUILTINS else config.documents
    source = read_documents(dataclasses.replace(config, documents=documents), MOST_CHARACTERS)
    kept = cleaned(source, config)[0] if config.cleaning else source
    texts, left = [], MOST_CHARACTERS
    for text in kept.documents:
        if left <= 0:
            break
        texts.append(text[:left])
        left -= len(text)
    drawn_all = documents == config.documents or len(source.documents) < documents
    return Text(texts, whole=source.share == 1.0 and left >= 0 and drawn_all)


def sample(text: Text, characters: int) -> list[str]:
    """Its first documents, about so many characters of them."""
    texts = []
    for document in text.documents:
        if characters <= 0:
            break
        texts.append(document[:characters])
        characters -= len(document)
    return texts


def learn(text: Text) -> str:
    """The `to_json` of a BPE of at most MOST_VOCABULARY tokens; `with_fewer_pieces` makes smaller ones of it."""
    return train_bpe(text.documents, MOST_VOCABULARY).to_json()


def built(kind: str, text: Text) -> Tokenizer:
    """The char or byte tokenizer of a text."""
    return CharTokenizer.of_alphabet(set().union(*text.documents)) if kind == "char" else ByteTokenizer.of_all_bytes()


def compare(text: Text, kind: str, vocabulary: int, path: str | None, pieces: str | None, most_longest: int) -> Outcome:
    """All the work on one tokenizer: learns, builds, measures it. `vocabulary` counts for bpe, as do `pieces`, which `learn`
    gave for the text, None where it did not yet; `path` for a file. Raises DataError."""
    learnt = learn(text) if kind == "bpe" and pieces is None else None
    if kind == "bpe":
        tokenizer = with_fewer_pieces(tokenizer_of(pieces or learnt), vocabulary)
    else:
        tokenizer = load_tokenizer(Path(path)) if kind == "file" else built(kind, text)
    try:
        measured = measure(tokenizer, text)
    except UnknownCharacters as problem:
        raise DataError(str(problem)) from None  # which another process can be told of
    many = tokenizer.kind in ("bpe", "file")
    merges = np.array(tokenizer.merges() if many else [], dtype=np.int32).reshape(-1, 3)
    longest = longest_tokens(tokenizer, measured.counts, most_longest) if many else []
    return Outcome(tokenizer.to_json(), measured, merges, longest, learnt)


def measure(tokenizer: Tokenizer, text: Text) -> Measured:
    """Its numbers on all of the text. Raises DataError where it cannot read it."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    tokens = characters = size = words = 0
    exact = True
    for document in text.documents:
        for part in _parts(document):
            ids = tokenizer.encode(part)
            exact = exact and tokenizer.decode(ids) == part
            counts += np.bincount(ids, minlength=len(counts))
            tokens, characters, size = tokens + len(ids), characters + len(part), size + len(part.encode("utf-8", "replace"))
            words += len(part.split())
    if not tokens:
        raise DataError("This tokenizer makes no token of this text: choose another one.")
    counts[tokenizer.end_of_text] += len(text.documents)
    separated = words and characters / words <= LONGEST_WORD
    return Measured(tokens, characters, size, words if separated else None, counts, exact)


def _parts(document: str) -> Iterator[str]:
    """A document in parts: cut where a line ends, else where a word does, so that the tokens are those of the whole."""
    start = 0
    while start < len(document):
        earliest = start + PART_CHARACTERS
        cut = LINE_END.search(document, earliest, earliest + PART_CHARACTERS) or WORD_END.search(document, earliest)
        end = cut.start() if cut else len(document)
        yield document[start:end]
        start = end


def longest_tokens(tokenizer: Tokenizer, counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """(id, how often it stands in the text) of the longest tokens; of those that are alike long the commonest first."""
    lengths = tokenizer.byte_lengths()
    order = np.lexsort((-counts, -lengths))[:most]
    return [(int(i), int(counts[i])) for i in order if lengths[i] > 0]


def shown_tokens(tokenizer: Tokenizer, text: str) -> list[tuple[str, int, bool]]:
    """(text, id, whether it is text by itself) of each token; a part of a character is shown by its bytes, as \\xe0.

    Raises UnknownCharacters.
    """
    decoder = StreamDecoder(tokenizer)  # a token's text may depend on the one before it
    shown = []
    for i in map(int, tokenizer.encode(text)):
        completed, whole = decoder.push(i), tokenizer.is_whole(i)
        shown.append((completed if whole and completed else tokenizer.token_text(i), i, whole))
    return shown
