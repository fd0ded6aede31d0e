"""Which text is held out: whole documents, blocks spread over a long text, or its tail. Knows nothing of tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gptlab.config import DataConfig
from gptlab.data.sources import DataError

VAL_BLOCK_CHARACTERS = 2000  # a `spread` split holds out blocks of at least this size, where there is text enough,
MOST_VAL_BLOCKS = 20         # and no more than this many, since every cut tears a context


@dataclass(frozen=True)
class Split:
    """Which text is trained on. `kind` is document, spread or tail; `val_indices` are the documents held out, if whole."""

    kind: str
    train: list[str]
    val: list[str]
    val_indices: list[int] | None = None


def plan_split(documents: Sequence[str], config: DataConfig) -> Split:
    """Divide text into train and val, decided by `config.seed`. Raises DataError where one of them would be empty."""
    kind = config.split or ("document" if len(documents) >= 10 else "spread")
    if kind == "document":
        split = _split_documents(documents, config)
    elif kind == "spread":
        split = _split_spread(documents, config)
    else:
        split = _split_tail(documents, config)
    if not split.train or not split.val:
        raise DataError(f"A '{kind}' split with data.val_fraction {config.val_fraction:g} leaves nothing to "
                        f"{'train on' if split.val else 'hold out'}: use a longer text, or change data.val_fraction.")
    return split


def _split_documents(documents: Sequence[str], config: DataConfig) -> Split:
    """Whole documents in a seeded shuffle, until their characters are nearest to the share asked; at least one each."""
    if len(documents) < 2:
        raise DataError("A 'document' split needs at least 2 documents, and this is one text: set data.split to spread or tail.")
    order = list(range(len(documents)))
    random.Random(config.seed).shuffle(order)
    wanted, held, size = config.val_fraction * sum(map(len, documents)), {order[0]}, len(documents[order[0]])
    for i in order[1:-1]:
        if size >= wanted:
            break
        if abs(size + len(documents[i]) - wanted) < wanted - size:
            held.add(i)
            size += len(documents[i])
    return Split("document", [text for i, text in enumerate(documents) if i not in held],
                 [documents[i] for i in sorted(held)], sorted(held))


def _split_spread(documents: Sequence[str], config: DataConfig) -> Split:
    """Cut into equal blocks at the ends of paragraphs or lines; of each run of neighbours one, by chance, is val.

    So val is like train even where a text changes on its way. Short documents share a block, and stay documents;
    neighbouring train blocks of one document stay together.
    """
    characters = sum(map(len, documents))
    val_blocks = min(MOST_VAL_BLOCKS, max(1, int(characters * config.val_fraction / VAL_BLOCK_CHARACTERS)))
    block = max(1, round(characters * config.val_fraction / val_blocks))
    blocks = _blocks(documents, block)
    val_blocks = min(val_blocks, len(blocks) - 1)
    chance = random.Random(config.seed)
    bounds = [round(n * len(blocks) / val_blocks) for n in range(val_blocks + 1)] if val_blocks else []
    held = {chance.randrange(low, high) for low, high in zip(bounds, bounds[1:])}

    train, previous = [], None
    for n, pieces in enumerate(blocks):
        if n in held:
            continue
        for document, text in pieces:
            if previous == (n - 1, document):
                train[-1] += text
            else:
                train.append(text)
            previous = (n, document)
    return Split("spread", train, [text for n in sorted(held) for _, text in blocks[n]])


def _blocks(documents: Sequence[str], block: int) -> list[list[tuple[int, str]]]:
    """Blocks of about `block` characters, each its (document, piece of it) in order; a piece never is in two blocks."""
    blocks: list[list[tuple[int, str]]] = []
    room = 0
    for i, text in enumerate(documents):
        for start, end in _block_ends(text, block):
            if end - start > 2 * room:  # more of it would stand out than fit in
                blocks.append([])
                room = block
            blocks[-1].append((i, text[start:end]))
            room -= end - start
    return blocks


def _block_ends(text: str, block: int) -> Iterator[tuple[int, int]]:
    """(start, end) of about equal blocks: every multiple of `block`, moved back to the end of a paragraph, line or word."""
    start = 0
    for nominal in range(block, len(text) - block // 2, block):
        low = nominal - block // 4
        marks = [(text.rfind(mark, low, nominal), len(mark)) for mark in ("\n\n", "\n", " ")]
        end = next((at + length for at, length in marks if at >= 0), nominal)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _split_tail(documents: Sequence[str], config: DataConfig) -> Split:
    """nanoGPT's way: the first int(n × (1 − val_fraction)) characters are train, the rest val."""
    left = int(sum(map(len, documents)) * (1 - config.val_fraction))
    train, val = [], []
    for text in documents:
        train.append(text[:left])
        val.append(text[left:])
        left = max(0, left - len(text))
    return Split("tail", [text for text in train if text], [text for text in val if text])
