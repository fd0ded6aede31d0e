"""The windows of text that losses are measured on, and the loss on them: no dropout, no gradients, no random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.model.gpt import GPT
from gptlab.train import cores
from gptlab.train.batches import EvaluationWindows
from gptlab.train.device import autocast, is_out_of_memory, release_memory

CORE_BATCH_TOKENS = 2048   # what still fits a core's caches
GPU_BATCH_TOKENS = 16384   # enough to keep a GPU busy
MOST_VAL_TOKENS = 262_144  # about, in an evaluation, unless `eval_batches` asks for more


def evaluation_sets(config: RunConfig, dataset: Dataset) -> tuple[EvaluationWindows, EvaluationWindows]:
    """The windows of (val, train) that losses are measured on: of train as many as of val, at most 128, cut alike.

    Of a val text beyond MOST_VAL_TOKENS, about so many, evenly spaced, unless `eval_batches` says how many.
    """
    train, T, end_of_text = config.train, config.model.context_length, dataset.tokenizer.end_of_text
    n_windows = None if train.eval_batches is None else train.eval_batches * train.sequences(T)
    val = EvaluationWindows(dataset.val, T, end_of_text, n_windows)
    if n_windows is None and val.n_targets > MOST_VAL_TOKENS:
        val = EvaluationWindows(dataset.val, T, end_of_text, len(val) * MOST_VAL_TOKENS // val.n_targets)
    return val, EvaluationWindows(dataset.train, T, end_of_text, min(len(val), 128), by_document=val.by_document)


def mean_loss(model: GPT, windows: EvaluationWindows, precision: str = "fp32",
              should_halt: Callable[[], bool] | None = None,
              tell: Callable[[float], None] = lambda share: None) -> float | None:
    """Nats per target over all of `windows`; None where `should_halt` turned true before a batch. Leaves the model's mode.
    `tell` is told the share done (0 to 1).

    It does not depend on how many windows fit a batch: sums over targets are added up in float64. Where memory runs out, it
    goes on with half as many.
    """
    device = next(model.parameters()).device
    on_cores = cores.mine() if device.type == "cpu" else None
    parts = on_cores.count if on_cores else 1
    tokens = GPU_BATCH_TOKENS if device.type == "cuda" else CORE_BATCH_TOKENS * parts
    was_training = model.training

    def total(ids: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad(), autocast(device.type, precision):
            return model.loss(ids.to(device), targets.to(device), reduction="sum")

    model.eval()
    windows_at_once, done, sums = max(1, tokens // model.config.context_length), 0, []
    try:
        while done < len(windows):
            try:
                for ids, targets in windows.batches(windows_at_once, skip=done):
                    if should_halt is not None:
                        if sums:
                            sums[-1].item()  # what a GPU has not begun yet could not be halted any more
                        if should_halt():
                            return None
                    if on_cores and len(ids) >= parts:
                        sums += on_cores.map(total, ids.tensor_split(parts), targets.tensor_split(parts))
                    else:
                        sums.append(total(ids, targets))
                    done += len(ids)
                    tell(done / len(windows))
            except (RuntimeError, MemoryError) as error:
                if windows_at_once == 1 or not is_out_of_memory(error):
                    raise
            if done < len(windows):
                windows_at_once //= 2
                release_memory(device.type)
    finally:
        model.train(was_training)
    return float(torch.stack(sums).cpu().double().sum()) / windows.n_targets
