"""A tokenizer as llama.cpp's byte-level BPE, which makes our ids of a text and our text of ids.

llama.cpp knows no tokenizers of characters or of bytes, but both are a BPE: of bytes, one that merges nothing; of characters,
one that merges the bytes of each character and nothing else. No merge can join two characters, since a character's first byte
is never a later byte of another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gguf import TokenType

from gptlab.data.tokenizers import Tokenizer, letters_of_bytes
from gptlab.exchange.export import ExportError

NEVER = "<|endoftext|> <|endoftext|>"  # a merge that no text reaches: llama.cpp demands at least one


@dataclass(frozen=True)
class Vocabulary:
    """As many `tokens` as the model's table has rows, spelled with a letter a byte; `types` are `gguf.TokenType`s; `merges` are
    pairs of tokens with a space between, the first learnt first."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def vocabulary_of(tokenizer: Tokenizer, rows: int) -> Vocabulary:
    """Raises ExportError for another's tokenizer that llama.cpp would not follow to the same ids."""
    settings = json.loads(tokenizer.to_json())
    model = settings["model"]
    others = [name for name in ("dropout", "ignore_merges", "continuing_subword_prefix", "end_of_word_suffix") if model.get(name)]
    if tokenizer.kind == "file" or others:
        raise ExportError("This tokenizer.json splits text in a way that llama.cpp cannot be told to: GGUF takes models with a "
                          "char, byte or bpe tokenizer. Export as hf, which keeps any tokenizer.")
    letters = {byte: letter for letter, byte in letters_of_bytes().items()}
    tokens = ["".join(letters[byte] for byte in piece) for piece in tokenizer.pieces]
    types = [TokenType.NORMAL if token else TokenType.UNUSED for token in tokens]
    for added in settings["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    tokens += [""] * (rows - len(tokens))
    types += [TokenType.UNUSED] * (rows - len(types))
    tokens = [token or f"[PAD{i}]" for i, token in enumerate(tokens)]  # no piece of a word has letters and punctuation
    if tokenizer.kind == "char":
        merges = _merges_of_characters(tokens, types)
    else:
        merges = [f"{tokens[left]} {tokens[right]}" for left, right, _ in tokenizer.merges()]
    return Vocabulary(tokens, [int(kind) for kind in types], merges or [NEVER])


def _merges_of_characters(tokens: list[str], types: list[int]) -> list[str]:
    """Each character's bytes from left to right; what several begin with, once."""
    merges = (f"{token[:i]} {token[i]}" for token, kind in zip(tokens, types, strict=True) if kind == TokenType.NORMAL
              for i in range(1, len(token)))
    return list(dict.fromkeys(merges))
