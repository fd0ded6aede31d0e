"""How the experts of each layer share the work. Knows a model, and nothing of what is made of the answer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gptlab.model.experts import loads
from gptlab.model.gpt import GPT
from gptlab.train import cores
from gptlab.train.device import autocast
from gptlab.train.evaluation import CORE_BATCH_TOKENS

DIGITS = 5  # of a share: finer than any text of a few thousand tokens can tell


def expert_loads(model: GPT, ids: Tensor, counted: Tensor, precision: str = "fp32") -> list[list[float]]:
    """For each layer, every expert's share of the choices that the tokens `ids` (B, T) make where `counted` (B, T), bool.

    Costs a forward pass without logits, on each core of a processor a part. The model is left in the mode it was in; no
    random numbers are drawn.
    """
    E, A = model.config.n_expert, model.config.n_expert_active

    def count(part_ids: Tensor, part_counted: Tensor) -> Tensor:
        """(L, E), how many choices fell on each."""
        routed: list[Tensor] = []
        with torch.no_grad(), autocast(ids.device.type, precision):
            model.hidden(part_ids, routed=routed)
        return torch.stack([loads(probabilities[part_counted.flatten()].topk(A, dim=-1).indices, E) for probabilities in routed])

    side_by_side = cores.mine() if ids.device.type == "cpu" else None
    was_training = model.training
    model.eval()
    try:
        if side_by_side is None:
            counts = [count(ids, counted)]
        else:
            parts = min(len(ids), max(side_by_side.count, math.ceil(ids.numel() / CORE_BATCH_TOKENS)))
            counts = side_by_side.map(count, ids.tensor_split(parts), counted.tensor_split(parts))
    finally:
        model.train(was_training)
    of_layers = torch.stack(counts).sum(dim=0)  # (L, E)
    shares = of_layers.double() / of_layers.sum(dim=1, keepdim=True)
    return [[round(share, DIGITS) for share in layer] for layer in shares.tolist()]
