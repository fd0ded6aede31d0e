"""A tokenizer made for a text: its alphabet, or the pieces of words that are frequent in it. Knows nothing of files of tokens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import models, pre_tokenizers, trainers

from gptlab.config import DataConfig
from gptlab.data.documents import Documents
from gptlab.data.errors import DataError
from gptlab.data.tokenizers import (END_OF_TEXT, ByteTokenizer, CharTokenizer, ModelTokenizer, Tokenizer, byte_level, cut,
                                    load_tokenizer, opened, tokenizer_of)

BPE_BYTES = 30_000_000        # that pieces of words are learnt from, at most: seconds; more hardly changes them
LONG_WORD_CHARACTERS = 20     # on average longer than where words are set apart by spaces; there each is another, and
LONG_WORDS_SHARE = 0.1        # of the bytes so many take as long, and a gigabyte of memory


def build_tokenizer(config: DataConfig, all_documents: Documents, train_documents: Documents) -> Tokenizer:
    """The tokenizer that `config` asks for. Raises DataError.

    A char tokenizer needs every character, so its alphabet comes from all documents; bpe learns from train only, of which
    `bpe_characters` are enough.
    """
    if config.tokenizer == "char":
        return CharTokenizer.of_alphabet(alphabet(all_documents))
    if config.tokenizer == "byte":
        return ByteTokenizer.of_all_bytes()
    if config.tokenizer == "bpe":
        return train_bpe(train_documents.spread(bpe_characters(train_documents)), config.vocab_size)
    if not config.tokenizer_file:
        raise DataError("data.tokenizer is 'file': set data.tokenizer_file to a tokenizer.json.")
    return load_tokenizer(Path(config.tokenizer_file))


def train_bpe(texts: Iterable[str], vocab_size: int) -> ModelTokenizer:
    """Byte-level BPE with GPT-2's way of splitting words: 256 bytes, learnt merges, end-of-text last.

    Fewer than `vocab_size` tokens where the text has no more pairs that occur twice.
    """
    model = byte_level(models.BPE(), use_regex=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 1, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    model.train_from_iterator((part for text in texts for part in cut(text)), trainer)
    model.add_special_tokens([END_OF_TEXT])
    return opened(model)


def with_fewer_pieces(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """What `train_bpe` would have made of the same text with a smaller vocabulary, at once: merges are learnt in one order,
    however many there shall be. The same tokenizer where it is no larger."""
    if vocab_size >= tokenizer.vocab_size:
        return tokenizer
    file = json.loads(tokenizer.to_json())
    model, kept = file["model"], vocab_size - 1  # and end-of-text
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < kept}
    made = [model["vocab"].get(left + right) for left, right in model["merges"]]
    model["merges"] = model["merges"][:made.index(kept - 1) + 1] if kept > 256 else []
    file["added_tokens"][0]["id"] = kept
    return tokenizer_of(json.dumps(file))


def bpe_characters(documents: Documents) -> int:
    """Of how many characters, spread over the documents, pieces of words are learnt."""
    wanted = BPE_BYTES * documents.characters / max(1, documents.bytes)
    sample = [text for text in documents.spread(100_000)]
    words = sum(len(text.split()) for text in sample)
    if sum(map(len, sample)) > LONG_WORD_CHARACTERS * words:
        wanted *= LONG_WORDS_SHARE
    return min(documents.characters, int(wanted))


def alphabet(texts: Iterable[str]) -> list[str]:
    """Every character that stands in them, in the order of code points."""
    seen = np.zeros(sys.maxunicode + 1, dtype=bool)
    for text in texts:
        seen[np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")] = True
    return list(map(chr, np.flatnonzero(seen)))
