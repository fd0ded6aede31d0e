"""A token file as (B, T) batches to train on, seeded and resumable, and as the fixed windows to evaluate on.

Knows token ids, nothing of models or devices. A batch is a pure function of (seed, order, position in the stream),
so the position is all there is to save.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from gptlab.model.cross_entropy import IGNORED


def tokens_per_epoch(n_tokens: int, context_length: int, order: str) -> int:
    """How many of a text's tokens an epoch reads; see `Batches`. Raises ValueError where the text is too short."""
    N, T = n_tokens, context_length
    needed = 2 * T if order == "epoch" else T + 1
    if N < needed:
        raise ValueError(f"The training text has only {N:,} tokens, but a context of {T:,} needs at least {needed:,}: "
                         f"set model.context_length to {max(1, N // 2):,} or less, or use a longer text.")
    return (N - T) // T * T if order == "epoch" else N


class Batches:
    """An endless stream of windows of `context_length` tokens, `batch_size` at a time.

    Order "epoch": every epoch reads the (N − T) // T windows of a text of N tokens once, in an order of that epoch's
    own and shifted by an offset of its own, so that over the epochs a token is seen at every place in the context.
    A batch at the end of an epoch is filled up from the next. Order "random": windows begin anywhere, as in nanoGPT,
    and an epoch is N tokens. Raises ValueError when the text is too short for a single window.
    """

    def __init__(self, tokens: np.ndarray, context_length: int, batch_size: int, order: str, seed: int):
        self.context_length, self.batch_size = context_length, batch_size
        self.order, self.seed = order, seed
        self.tokens_per_epoch = tokens_per_epoch(len(tokens), context_length, order)
        self._windows = sliding_window_view(np.asarray(tokens), context_length + 1)  # (N − T, T + 1), a view: nothing is read yet
        self._position = 0  # windows handed out
        self._draws = "torch"  # whose random numbers; numpy's in a run that was begun when they were those
        self._shuffled: tuple[int, np.ndarray] | None = None  # an epoch and where its windows begin

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch: ids and targets, int64 on the CPU, (B, T) each; a target is the token after its id."""
        block = self._windows[self._starts(self._position, self.batch_size)].astype(np.int64)  # (B, T + 1)
        self._position += self.batch_size
        return torch.from_numpy(block[:, :-1]), torch.from_numpy(block[:, 1:])

    @property
    def epoch(self) -> float:
        """How often the text has been read so far; 1.0 is once."""
        return self._position * self.context_length / self.tokens_per_epoch

    def skip_to(self, batches: int) -> None:
        """Go to where the stream is after `batches` batches."""
        self._position = batches * self.batch_size

    def state_dict(self) -> dict[str, int | str]:
        """The position in the stream and whose random numbers shuffle it, for `load_state_dict`."""
        return {"position": self._position, "draws": self._draws}

    def load_state_dict(self, state: dict[str, int | str]) -> None:
        """Continue exactly where `state` was taken."""
        self._position, self._draws = state["position"], state.get("draws", "numpy")
        self._shuffled = None

    def _starts(self, position: int, count: int) -> np.ndarray:
        """Where in the text the windows number `position` … `position + count - 1` of the stream begin; (count,)."""
        if self.order == "random":
            return self._random(position).integers(0, len(self._windows), count)
        per_epoch, starts = self.tokens_per_epoch // self.context_length, []
        while count > 0:
            epoch, index = divmod(position, per_epoch)
            starts.append(self._epoch_starts(epoch)[index:index + count])
            position, count = position + len(starts[-1]), count - len(starts[-1])
        return np.concatenate(starts)

    def _epoch_starts(self, epoch: int) -> np.ndarray:
        if self._shuffled is None or self._shuffled[0] != epoch:
            random = self._random(epoch)
            T, per_epoch = self.context_length, self.tokens_per_epoch // self.context_length
            self._shuffled = epoch, random.permutation(per_epoch) * T + random.integers(0, T, 1)
        return self._shuffled[1]

    def _random(self, number: int) -> _Random | np.random.Generator:
        """What draws for an epoch, or for a batch at a position: from the seed and that number alone."""
        return _Random(self.seed, number) if self._draws == "torch" else np.random.default_rng((self.seed, number))


class _Random:
    """Torch's random numbers in the shape of numpy's generator: a script with nothing but torch can draw the same."""

    def __init__(self, seed: int, number: int):
        self._generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**32)  # it takes no more bits than that

    def permutation(self, n: int) -> np.ndarray:
        return torch.randperm(n, generator=self._generator).numpy()

    def integers(self, low: int, high: int, count: int) -> np.ndarray:
        return torch.randint(low, high, (count,), generator=self._generator).numpy()


class EvaluationWindows:
    """The windows a loss is measured on: the same every time, however many fit a batch.

    Documents if every one of them (its end-of-text included) fits the context: the input of a document's first token
    is end-of-text, and what follows the document is ignored, so that the loss is comparable with the entropy of what
    writes the documents. Otherwise non-overlapping windows over the whole text. `by_document` overrides that choice
    (then longer documents are cut at the context); `n_windows` takes only that many, evenly spaced.
    Raises ValueError when the text holds nothing to predict.
    """

    def __init__(self, tokens: np.ndarray, context_length: int, end_of_text: int, n_windows: int | None = None,
                 by_document: bool | None = None):
        tokens = np.asarray(tokens)
        if len(tokens) < 2:
            raise ValueError(f"The text to evaluate on has only {len(tokens)} token(s): hold out more "
                             "(data.val_fraction), or use a longer text.")
        if by_document is not False:
            starts, lengths = _documents(tokens, end_of_text)
        self.by_document = bool(lengths.max() <= context_length) if by_document is None else by_document
        if self.by_document:
            lengths = np.minimum(lengths, context_length)
        else:
            starts = np.arange(1, len(tokens), context_length)  # of the targets: the first token has no past
            lengths = np.minimum(context_length, len(tokens) - starts)
        if n_windows is not None and n_windows < len(starts):
            chosen = np.arange(n_windows) * len(starts) // n_windows
            starts, lengths = starts[chosen], lengths[chosen]
        by_length = np.argsort(lengths, kind="stable")  # neighbours need little padding
        self._tokens, self._end_of_text = tokens, end_of_text
        self._starts, self._lengths = starts[by_length], lengths[by_length]
        self.n_targets = int(lengths.sum())

    def __len__(self) -> int:
        return len(self._starts)

    def batches(self, batch_size: int, skip: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All windows but the first `skip`, `batch_size` at a time: (ids, targets), (B, L) int64 with L the longest of them,
        padded with end-of-text and IGNORED."""
        for first in range(skip, len(self), batch_size):
            starts, lengths = self._starts[first:first + batch_size], self._lengths[first:first + batch_size]
            columns = np.arange(lengths.max())
            inside = columns < lengths[:, None]  # (B, L)
            at = np.minimum(starts[:, None] + columns, len(self._tokens) - 1)
            targets = np.where(inside, self._tokens[at].astype(np.int64), IGNORED)
            ids = np.where(inside, self._tokens[at - 1].astype(np.int64), self._end_of_text)
            if self.by_document:
                ids[:, 0] = self._end_of_text
            yield torch.from_numpy(ids), torch.from_numpy(targets)

    def n_bytes(self, byte_lengths: np.ndarray) -> int:
        """UTF-8 bytes of exactly the targets, given those of each token."""
        return sum(int(byte_lengths[targets[targets != IGNORED].numpy()].sum()) for _, targets in self.batches(256))


def _documents(tokens: np.ndarray, end_of_text: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each document begins, and its length with its end-of-text; (n,) each. Reads the file in pieces."""
    piece = 1 << 24
    ends = np.concatenate([first + np.flatnonzero(tokens[first:first + piece] == end_of_text)
                           for first in range(0, len(tokens), piece)])
    if len(ends) == 0 or ends[-1] != len(tokens) - 1:
        ends = np.append(ends, len(tokens) - 1)
    starts = np.append(0, ends[:-1] + 1)
    return starts, ends + 1 - starts
