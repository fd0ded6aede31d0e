"""The loss on fixed windows of text: no dropout, no gradients, no random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gptlab.model.gpt import GPT
from gptlab.train.batches import EvaluationWindows
from gptlab.train.device import autocast

CPU_BATCH_TOKENS = 2048   # what still fits a processor's caches
GPU_BATCH_TOKENS = 16384  # enough to keep a GPU busy
LOGITS_BYTES = 2**28      # but no more than this for their logits


@torch.no_grad()
def mean_loss(model: GPT, windows: EvaluationWindows, precision: str = "fp32",
              should_halt: Callable[[], bool] | None = None) -> float | None:
    """Nats per target over all of `windows`; None where `should_halt` turned true before a batch. Leaves the model's mode.

    It does not depend on how many windows fit a batch: sums over targets are added up in float64.
    """
    device = next(model.parameters()).device
    tokens = min(CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS, LOGITS_BYTES // (4 * model.vocab_size))
    was_training = model.training
    model.eval()
    try:
        sums = []
        for ids, targets in windows.batches(max(1, tokens // model.config.context_length)):
            if should_halt is not None:
                if sums:
                    sums[-1].item()  # what a GPU has not begun yet could not be halted any more
                if should_halt():
                    return None
            with autocast(device.type, precision):
                sums.append(model.loss(ids.to(device), targets.to(device), reduction="sum"))
    finally:
        model.train(was_training)
    return float(torch.stack(sums).cpu().double().sum()) / windows.n_targets
