"""What a tokenizer makes of a text, in numbers by which tokenizers are compared.

Works on the beginning of a text where it is long. Knows nothing of pages, of processes, nor of models.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from gptlab.config import DataConfig
from gptlab.data.dataset import cleaned
from gptlab.data.errors import DataError
from gptlab.data.sources import BUILTINS, read_documents
from gptlab.data.tokenizers import ByteTokenizer, CharTokenizer, StreamDecoder, Tokenizer, train_bpe

MOST_CHARACTERS = 4 * 2**20      # of a text: enough to learn from, and quick
MOST_GENERATED = 5_000           # documents of a built-in that can make any number
MOST_VOCABULARY = 65_536         # learnt at once; a smaller vocabulary is its first part
PART_CHARACTERS = 20_000         # encoded at a time, on one core
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

    @property
    def share_used(self) -> float:
        return self.used / len(self.counts)


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


def measure(tokenizer: Tokenizer, text: Text) -> Measured:
    """Its numbers on all of the text. Raises DataError where it cannot read it."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    tokens = characters = size = words = 0
    exact = True
    for document in text.documents:
        for part in _parts(document):
            ids = tokenizer.encode(part)
            exact = exact and (characters > PART_CHARACTERS or tokenizer.decode(ids) == part)  # of all it would take long
            counts += np.bincount(ids, minlength=len(counts))
            tokens, characters, size = tokens + len(ids), characters + len(part), size + len(part.encode("utf-8", "replace"))
            words += len(part.split())
    if not tokens:
        raise DataError("This tokenizer makes no token of this text: choose another one.")
    counts[tokenizer.end_of_text] += len(text.documents)
    separated = words and characters / words <= LONGEST_WORD
    return Measured(tokens, characters, size, words if separated else None, counts, exact)


def _parts(document: str):
    """A document in parts that end with a line, where one does."""
    start = 0
    while start < len(document):
        end = document.find("\n", start + PART_CHARACTERS)
        end = len(document) if end < 0 else end
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
