"""Which text is held out: whole documents, blocks spread over a long text, or its tail. Knows nothing of tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gptlab.config import DataConfig
from gptlab.data.documents import Documents
from gptlab.data.errors import DataError

VAL_BLOCK_CHARACTERS = 2000  # a `spread` split holds out blocks of at least this size, where there is text enough,
MOST_VAL_BLOCKS = 20         # and no more than this many, since every cut tears a context
FEWEST_DOCUMENTS = 10        # of which whole ones are held out


@dataclass(frozen=True)
class Split:
    """Which text is trained on. `kind` is document, spread or tail; `val_indices` are the documents held out, if whole."""

    kind: str
    train: Documents
    val: Documents
    val_indices: list[int] | None = None


def may_hold_out_whole(documents: Documents, config: DataConfig) -> bool:
    """Whether whole documents are held out, as asked or as suits the number of texts."""
    return config.split == "document" or config.split is None and len(documents.text_lengths) >= FEWEST_DOCUMENTS


def plan_split(documents: Documents, config: DataConfig, alike: np.ndarray | None = None) -> Split:
    """Divide text into train and val, decided by `config.seed`. Where whole documents are held out, all parts of a text stay on one
    side, and so do those with one number in `alike` (documents,) int64. Unless that was asked for, blocks are held out where it
    would not leave enough to hold out: one text, or one group of texts that are alike, is nearly all there is.

    Raises DataError where one of the sides would be empty.
    """
    kind = config.split or "spread"
    if may_hold_out_whole(documents, config):
        groups = _together(documents.texts, alike)
        sizes = np.bincount(groups, weights=documents.lengths)
        small = documents.characters - sizes.max() < config.val_fraction * documents.characters
        kind = "document" if config.split or not small else "spread"
    if kind == "document":
        split = _split_documents(documents, config, groups)
    else:
        split = (_split_spread if kind == "spread" else _split_tail)(documents, config)
    if not len(split.train) or not len(split.val):
        raise DataError(f"A '{kind}' split with data.val_fraction {config.val_fraction:g} leaves nothing to "
                        f"{'train on' if len(split.val) else 'hold out'}: use a longer text, or change data.val_fraction.")
    return split


def _together(texts: np.ndarray, alike: np.ndarray | None) -> np.ndarray:
    """The number of each document's group, (documents,) int64: the first document that it is one text with, or alike, or alike one
    that it is one text with, and so on."""
    first = np.unique(texts, return_index=True, return_inverse=True)
    groups = first[1][first[2]]
    if alike is None:
        return groups
    while True:  # two labellings, joined: each takes the smallest number that the other gives those it holds together
        joined = groups.copy()
        for labels in (alike, groups):
            smallest = np.full(len(texts), len(texts))
            np.minimum.at(smallest, labels, joined)
            joined = smallest[labels]
        if (joined == groups).all():
            return groups
        groups = joined


def _split_documents(documents: Documents, config: DataConfig, groups: np.ndarray) -> Split:
    """Whole groups of documents in a seeded shuffle, until their characters are nearest to the share asked; at least one each."""
    sizes = np.bincount(groups, weights=documents.lengths, minlength=len(documents))  # of each group; of most numbers there is none
    order = np.unique(groups).tolist()
    if len(order) < 2:
        alike = "its texts are all nearly alike" if len(documents.text_lengths) > 1 else "this is one text"
        raise DataError(f"A 'document' split needs at least 2 documents, and {alike}: set data.split to spread or tail.")
    random.Random(config.seed).shuffle(order)
    wanted = config.val_fraction * documents.characters
    first = next((group for group in order if sizes[group] <= 2 * wanted), min(order, key=lambda group: sizes[group]))
    order.remove(first)  # a large one, shuffled to the front, would be all that is held out
    held, size = {first}, sizes[first]
    for group in order[:-1]:
        if size >= wanted:
            break
        if abs(size + sizes[group] - wanted) < wanted - size:
            held.add(group)
            size += sizes[group]
    is_held = np.isin(groups, list(held))
    indices = np.flatnonzero(is_held)
    return Split("document", documents.take(np.flatnonzero(~is_held)), documents.take(indices), indices.tolist())


def _split_spread(documents: Documents, config: DataConfig) -> Split:
    """Cut into equal blocks at the ends of paragraphs or lines; of each run of neighbours one, by chance, is val.

    So val is like train even where a text changes on its way. Short documents share a block, and stay documents;
    neighbouring train blocks of one document stay together.
    """
    characters = documents.characters
    val_blocks = min(MOST_VAL_BLOCKS, max(1, int(characters * config.val_fraction / VAL_BLOCK_CHARACTERS)))
    block = max(1, round(characters * config.val_fraction / val_blocks))
    pieces, number = _pieces(documents, block)
    blocks = int(number[-1]) + 1 if len(number) else 0
    val_blocks = min(val_blocks, blocks - 1)
    chance = random.Random(config.seed)
    bounds = [round(n * blocks / val_blocks) for n in range(val_blocks + 1)] if val_blocks else []
    held = np.isin(number, [chance.randrange(low, high) for low, high in zip(bounds, bounds[1:])])
    return Split("spread", Documents(documents.file, _joined(pieces[~held])), Documents(documents.file, pieces[held]))


def _joined(pieces: np.ndarray) -> np.ndarray:
    """A table of documents: those pieces (first byte, end, characters, document) that go on where another ended are one."""
    if not len(pieces):
        return pieces
    goes_on = (pieces[1:, 3] == pieces[:-1, 3]) & (pieces[1:, 0] == pieces[:-1, 1])
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    last = np.concatenate([first[1:], [len(pieces)]]) - 1
    return np.column_stack([pieces[first, 0], pieces[last, 1], np.add.reduceat(pieces[:, 2], first), pieces[first, 3]])


def _pieces(documents: Documents, block: int) -> tuple[np.ndarray, np.ndarray]:
    """(pieces of documents in order, (pieces, 4) int64: first byte, end, characters, document; the block that each is in).

    Blocks have about `block` characters; a piece never is in two.
    """
    pieces, blocks = [], []
    room = number = 0
    for i, (first_byte, text) in enumerate(zip(documents.table[:, 0].tolist(), documents)):
        for start, end in _block_ends(text, block):
            if not blocks or end - start > 2 * room:  # more of it would stand out than fit in
                number += bool(blocks)
                room = block
            n_bytes = len(text[start:end].encode("utf-8"))
            pieces.append((first_byte, first_byte + n_bytes, end - start, i))
            blocks.append(number)
            first_byte += n_bytes
            room -= end - start
    return np.array(pieces, dtype=np.int64).reshape(-1, 4), np.array(blocks, dtype=np.int64)


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


def _split_tail(documents: Documents, config: DataConfig) -> Split:
    """nanoGPT's way: the first int(n × (1 − val_fraction)) characters are train, the rest val."""
    left = int(documents.characters * (1 - config.val_fraction))
    ends = np.cumsum(documents.lengths)
    cut = int(np.searchsorted(ends, left))  # the document that the cut is in, or at the end of
    table = documents.table
    start, end, characters, number = table[cut].tolist()
    kept = characters - (int(ends[cut]) - left)
    middle = start + len(documents[cut][:kept].encode("utf-8"))
    train = np.concatenate([table[:cut], [[start, middle, kept, number]]])
    val = np.concatenate([[[middle, end, characters - kept, number]], table[cut + 1:]])
    return Split("tail", *(Documents(documents.file, side[side[:, 2] > 0]) for side in (train, val)))
