"""Files of tokens: raw little-endian ids, each document followed by end-of-text. Written and read a part at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gptlab.data.documents import Documents
from gptlab.data.tokenizers import Tokenizer

BATCH_BYTES = 2_000_000    # of text, encoded at a time
BATCH_DOCUMENTS = 20_000


class TokenFile:
    """Ids in a file, as an array of which slices are read: those that are not in use take no memory, as they would mapped."""

    def __init__(self, path: Path, dtype):
        self.path, self.dtype = path, np.dtype(dtype).newbyteorder("<")
        self.shape = (path.stat().st_size // self.dtype.itemsize,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, step = part.indices(len(self))
        ids = np.fromfile(self.path, self.dtype, max(0, stop - start), offset=start * self.dtype.itemsize)
        return ids[::step]


def write_tokens(documents: Documents, tokenizer: Tokenizer, path: Path, tell: Callable[[float], None]) -> TokenFile:
    """Every document's ids, each followed by end-of-text, flushed to disk. `tell` is told the share written (0 to 1)."""
    done, total = 0, max(1, documents.bytes)
    with open(path, "wb") as file:
        for batch in batches(documents):
            ids = tokenizer.encode_ended(batch)
            file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False))
            done += sum(map(len, batch))
            tell(min(1.0, done / total))
        file.flush()
        os.fsync(file.fileno())
    return TokenFile(path, tokenizer.dtype)


def batches(documents: Documents) -> Iterator[list[str]]:
    """Documents in groups of about BATCH_BYTES."""
    batch, size = [], 0
    for raw in documents.all_encoded():
        batch.append(raw.decode("utf-8"))
        size += len(raw)
        if size >= BATCH_BYTES or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
