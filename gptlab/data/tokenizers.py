"""Text to token ids and back: characters, bytes, byte-level BPE, or whatever a tokenizer.json says.

On disk every kind is a `tokenizer.json` of Hugging Face's `tokenizers`, so other tools can open it. Here the fast ways
stand beside it: numpy for characters and bytes, batches on all cores for BPE. Knows nothing of files of tokens.

`<|endoftext|>` is one special token in all of them. It ends documents and is never made from text: a user's text that
holds those thirteen characters keeps them as ordinary text.
"""

from __future__ import annotations

import codecs
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer as HFTokenizer, decoders, models, pre_tokenizers

from gptlab.data.errors import DataError

END_OF_TEXT = "<|endoftext|>"
BATCH_CHARACTERS = 2_000_000  # encoded at a time: a token takes a hundred bytes until it is an id
BLOCK_CHARACTERS = 65_536     # encoded at a time: what a processor keeps at hand


class UnknownCharacters(DataError):
    """A text holds what the tokenizer has no token for; `characters` lists it, in order of first appearance."""

    def __init__(self, characters: Iterable[str]):
        self.characters = list(dict.fromkeys(characters))
        shown = ", ".join(ascii(c) if not c.isprintable() else f"'{c}'" for c in self.characters[:10])
        more = f" and {len(self.characters) - 10} more" if len(self.characters) > 10 else ""
        super().__init__(f"The tokenizer has never seen {shown}{more}: leave out such characters, or prepare the data "
                         "with a byte or bpe tokenizer, which knows every character.")


class Tokenizer:
    """What all kinds share. Ids run from 0 to vocab_size - 1; `kind` is char, byte, bpe or file.

    `pieces` holds the bytes that each id stands for (b"" for special tokens), or is None where a token's text depends
    on its neighbours, as in SentencePiece-like files.
    """

    def __init__(self, kind: str, model: HFTokenizer, end_of_text: int, pieces: list[bytes] | None):
        self.kind = kind
        self.end_of_text = end_of_text
        self.pieces = pieces
        self._model = model
        self.vocab_size = max(model.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The narrowest type that holds every id: uint16 up to 65,536 tokens, else uint32."""
        return np.uint16 if self.vocab_size <= 65_536 else np.uint32

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text (1-D, `dtype`), without end-of-text. Raises UnknownCharacters (char kind, and some files)."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode`, for many texts at once: faster for BPE."""
        return [self.encode(text) for text in texts]

    def encode_ended(self, texts: Sequence[str]) -> np.ndarray:
        """Ids of texts, one after the other, each followed by end-of-text (1-D, `dtype`)."""
        return self._ended(self.encode_many(texts))

    def _ended(self, encoded: Sequence[np.ndarray]) -> np.ndarray:
        end = np.array([self.end_of_text], dtype=self.dtype)
        return np.concatenate([np.empty(0, self.dtype), *(part for ids in encoded for part in (ids, end))])

    def _ended_together(self, texts: Sequence[str], lengths: np.ndarray) -> np.ndarray:
        """As `encode_ended`, where a text has as many ids as `lengths` says, whatever stands around it: all are encoded at once."""
        ids = np.full(int(lengths.sum()) + len(texts), self.end_of_text, dtype=self.dtype)
        is_text = np.ones(len(ids), dtype=bool)
        is_text[np.cumsum(lengths + 1) - 1] = False
        ids[is_text] = self.encode("".join(texts))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids. Special tokens and ids outside the vocabulary give nothing; torn characters U+FFFD."""
        return b"".join(self.pieces[i] for i in map(int, ids) if 0 <= i < self.vocab_size).decode("utf-8", "replace")

    def byte_lengths(self) -> np.ndarray:
        """How many bytes of UTF-8 each id stands for: (vocab_size,) int64; special tokens count 0."""
        return np.array([len(piece) for piece in self.pieces], dtype=np.int64)

    def token_text(self, id: int) -> str:
        """One token for people to see; bytes that are no whole character look like \\xe0, special tokens by name."""
        return self._piece(id).decode("utf-8", "backslashreplace") or self._model.id_to_token(id) or ""

    def is_whole(self, id: int) -> bool:
        """Whether a token is text by itself, no part of a character."""
        try:
            return self._piece(id).decode("utf-8") is not None
        except UnicodeDecodeError:
            return False

    def _piece(self, id: int) -> bytes:
        """What one token stands for."""
        return self.pieces[id]

    def merges(self) -> list[tuple[int, int, int]]:
        """(left, right, what both make), as ids, in the order in which a BPE learnt them; none for what learns otherwise."""
        model = json.loads(self.to_json())["model"]
        id_of, prefix = model["vocab"], model.get("continuing_subword_prefix") or ""
        return [(id_of[left], id_of[right], id_of[left + right.removeprefix(prefix)]) for left, right in model.get("merges", ())]

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`."""
        Path(path).write_text(self.to_json(), encoding="utf-8", newline="\n")

    def to_json(self) -> str:
        """What `save` writes."""
        return self._model.to_str()


class CharTokenizer(Tokenizer):
    """One token a character, of a fixed alphabet."""

    def __init__(self, model: HFTokenizer, end_of_text: int):
        super().__init__("char", model, end_of_text, [])
        ids = {char: i for char, i in model.get_vocab(with_added_tokens=False).items() if len(char) == 1}
        self.pieces = [b""] * self.vocab_size
        # Code point -> id: end-of-text, which no text makes, for those that have none, and so the last for all beyond it.
        self._ids = np.full(max(127, *map(ord, ids), 0) + 2, end_of_text, dtype=self.dtype)
        for char, i in ids.items():
            self.pieces[i] = char.encode("utf-8")
            self._ids[ord(char)] = i
        self._ascii_ids, self._no_ascii = self._of_ascii()

    def _of_ascii(self) -> tuple[bytes | None, int]:
        """(byte -> id, the byte that stands for no id): the table's beginning for `bytes.translate`, which is five times as fast;
        None where ids are too large for it."""
        known = {code: int(i) for code, i in enumerate(self._ids[:128]) if i != self.end_of_text}
        none = min(set(range(256)) - set(known.values()))
        fits = max(known.values(), default=0) < 256
        return bytes(known.get(code, none) for code in range(256)) if fits else None, none

    @classmethod
    def of_alphabet(cls, alphabet: Iterable[str]) -> CharTokenizer:
        """Ids in the order of code points, end-of-text last."""
        vocabulary = {char: i for i, char in enumerate(sorted(set(alphabet)))}
        end_of_text = vocabulary[END_OF_TEXT] = len(vocabulary)
        model = HFTokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # not in the vocabulary: unknown text is refused
        model.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        model.decoder = decoders.Fuse()
        model.add_special_tokens([END_OF_TEXT])
        return cls(model, end_of_text)

    def encode(self, text: str) -> np.ndarray:
        ids = np.empty(len(text), dtype=self.dtype)
        for start in range(0, len(text), BLOCK_CHARACTERS):
            ids[start:start + BLOCK_CHARACTERS] = self._encode_block(text[start:start + BLOCK_CHARACTERS])
        return ids

    def encode_ended(self, texts: Sequence[str]) -> np.ndarray:
        return self._ended_together(texts, np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))

    def _encode_block(self, text: str) -> np.ndarray:
        if self._ascii_ids is not None and text.isascii():
            ids, unknown = np.frombuffer(text.encode("ascii").translate(self._ascii_ids), dtype=np.uint8), self._no_ascii
        else:
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            ids, unknown = self._ids.take(codes, mode="clip"), self.end_of_text
        if (missing := ids == unknown).any():
            raise UnknownCharacters(text[i] for i in np.flatnonzero(missing))
        return ids


class ByteTokenizer(Tokenizer):
    """One token a byte of UTF-8: id 0 to 255 is the byte, 256 ends a text."""

    def __init__(self, model: HFTokenizer, end_of_text: int = 256):
        super().__init__("byte", model, end_of_text, [bytes([i]) for i in range(256)] + [b""])

    @classmethod
    def of_all_bytes(cls) -> ByteTokenizer:
        """The only one there is."""
        model = byte_level(models.BPE(vocab=letters_of_bytes(), merges=[]), use_regex=False)
        model.add_special_tokens([END_OF_TEXT])
        return cls(model)

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(self.dtype)

    def encode_ended(self, texts: Sequence[str]) -> np.ndarray:
        sizes = (len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)
        return self._ended_together(texts, np.fromiter(sizes, dtype=np.int64, count=len(texts)))


class ModelTokenizer(Tokenizer):
    """Runs a `tokenizers` model: our BPE (kind bpe), or what somebody's tokenizer.json says (kind file)."""

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # lone surrogates are no text
        parts = [list(cut(text)) for text in texts]
        arrays = self._encoded(part for cut in parts for part in cut)
        return [np.concatenate([np.empty(0, self.dtype), *(next(arrays) for _ in cut)]) for cut in parts]

    def _encoded(self, parts: Iterable[str]) -> Iterator[np.ndarray]:
        """Each part's ids; about BATCH_CHARACTERS are encoded at a time, for a token takes a hundred bytes until it is an id."""
        parts = iter(parts)
        while batch := _first(parts, BATCH_CHARACTERS):
            try:
                encoded = self._model.encode_batch_fast(batch, add_special_tokens=False)
            except Exception as error:  # `tokenizers` raises nothing narrower
                raise DataError(f"The tokenizer cannot read this text ({error}): use a bpe or byte tokenizer.") from error
            for encoding in encoded:
                yield np.array(encoding.ids, dtype=self.dtype)

    def decode(self, ids: Iterable[int]) -> str:
        if self.pieces is not None:
            return super().decode(ids)
        return self._model.decode([i for i in map(int, ids) if 0 <= i < self.vocab_size], skip_special_tokens=True)

    def byte_lengths(self) -> np.ndarray:
        if self.pieces is not None:
            return super().byte_lengths()
        special = self.special_ids()
        return np.array([0 if i in special else len(self._piece(i)) for i in range(self.vocab_size)], dtype=np.int64)

    def _piece(self, id: int) -> bytes:
        """What one token stands for after an ordinary one, since many decoders drop the space that a text's first begins with."""
        if self.pieces is not None:
            return super()._piece(id)
        token = self._model.id_to_token(id) or ""
        if re.fullmatch("<0x[0-9A-F]{2}>", token):
            return bytes([int(token[3:5], 16)])
        ordinary, characters = self._ordinary
        return self.decode([*ordinary, id])[characters:].encode("utf-8")

    @functools.cached_property
    def _ordinary(self) -> tuple[list[int], int]:
        """(the first token of letters or figures, if there is one; how many characters it has)."""
        special = self.special_ids()
        all_of_them = (i for i in range(self.vocab_size) if i not in special and self.decode([i]).isalnum())
        first = list(itertools.islice(all_of_them, 1))
        return first, len(self.decode(first))

    def special_ids(self) -> set[int]:
        """Ids that never show in a text."""
        return {i for i, token in self._model.get_added_tokens_decoder().items() if token.special}


def load_tokenizer(path: Path) -> Tokenizer:
    """Open any `tokenizer.json`, ours or another's. Raises DataError where it is missing or not one."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The tokenizer {path} cannot be read ({error}): choose a tokenizer.json.") from error
    return tokenizer_of(text, str(path))


def tokenizer_of(text: str, name: str = "This") -> Tokenizer:
    """The tokenizer whose `to_json` this is, or that of another's tokenizer.json, called `name` in the DataError that is raised
    where it is none."""
    try:
        model = HFTokenizer.from_str(text)
    except Exception as error:  # `tokenizers` raises nothing narrower
        raise DataError(f"{name} is not a tokenizer.json, or is cut off ({error}): choose another one.") from error
    return opened(model)


def opened(model: HFTokenizer) -> Tokenizer:
    """The class that fits a `tokenizers` model, recognised by what it holds, not by who wrote it."""
    model.no_truncation()
    model.no_padding()
    vocabulary = model.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise DataError("This tokenizer.json has an empty vocabulary: choose another one.")
    end = next((token for token in (END_OF_TEXT, "</s>") if token in vocabulary), END_OF_TEXT)
    model.add_special_tokens([end])  # also where it was there already: from now on it is never shown
    model.encode_special_tokens = True  # so that text which looks like a special token stays text
    end_of_text = model.token_to_id(end)

    settings = json.loads(model.to_str())
    model_type, splitting = settings["model"]["type"], settings["pre_tokenizer"] or {}
    if (model_type == "WordLevel" and splitting.get("pattern") == {"Regex": r"[\s\S]"} and not settings["normalizer"]
            and len(settings["added_tokens"]) == 1):
        return CharTokenizer(model, end_of_text)
    if (model_type == "BPE" and splitting.get("type") == "ByteLevel" and not splitting["use_regex"]
            and settings["model"]["vocab"] == letters_of_bytes() and end_of_text == 256):
        return ByteTokenizer(model)
    byte_level = (settings["decoder"] or {}).get("type") == "ByteLevel"
    ours = (model_type == "BPE" and byte_level and not settings["normalizer"] and splitting.get("type") == "ByteLevel"
            and splitting["use_regex"] and not splitting["add_prefix_space"])
    return ModelTokenizer("bpe" if ours else "file", model, end_of_text, _pieces(model) if byte_level else None)


def _pieces(model: HFTokenizer) -> list[bytes]:
    """The bytes of every id of a byte-level model; b"" for special tokens and ids without a token."""
    byte_of = {letter: byte for letter, byte in letters_of_bytes().items()}
    added = model.get_added_tokens_decoder()
    vocabulary = model.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocabulary.values()) + 1)
    for token, i in vocabulary.items():
        if i in added:
            pieces[i] = b"" if added[i].special else token.encode("utf-8")
        else:
            pieces[i] = bytes(byte_of[letter] for letter in token if letter in byte_of)
    return pieces


def letters_of_bytes() -> dict[str, int]:
    """GPT-2's printable letter for each byte: itself where printable Latin-1, else one from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def byte_level(model: models.Model, use_regex: bool) -> HFTokenizer:
    tokenizer = HFTokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _first(parts: Iterator[str], characters: int) -> list[str]:
    """The next parts, until they are as long together, or none is left."""
    batch, size = [], 0
    while size < characters and (part := next(parts, None)) is not None:
        batch.append(part)
        size += len(part)
    return batch


def cut(text: str, characters: int = 20_000) -> Iterable[str]:
    """A long text in parts for all cores, cut before a newline after a visible character.

    There GPT-2's splitting always ends a word, so the tokens are those of the whole text.
    """
    start = 0
    for match in re.finditer(r"(?<=\S)(?=\n)", text) if len(text) > characters else ():
        if match.start() - start >= characters:
            yield text[start:match.start()]
            start = match.start()
    yield text[start:]


class StreamDecoder:
    """Ids in, one by one; text out as soon as it is whole: a character of several tokens is never torn."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._ids: list[int] = []  # used only where a token's text depends on its neighbours,
        self._shown = 0            # of which the first `_shown` have been given out

    def push(self, id: int) -> str:
        """The text that this token completes; "" in the middle of a character, and for special tokens."""
        pieces = self._tokenizer.pieces
        if pieces is not None:
            return self._utf8.decode(pieces[id]) if 0 <= id < len(pieces) else ""
        self._ids.append(id)
        text = self._rest()
        if not text or text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._ids, self._shown = self._ids[self._shown:], len(self._ids) - self._shown
        return text

    def finish(self) -> str:
        """What is left: a torn character as U+FFFD, or nothing."""
        return self._utf8.decode(b"", final=True) if self._tokenizer.pieces is not None else self._rest()

    def _rest(self) -> str:
        """Text of the ids not given out, seen from those before them, which decide about a leading space."""
        before = self._tokenizer.decode(self._ids[:self._shown])
        return self._tokenizer.decode(self._ids)[len(before):]
