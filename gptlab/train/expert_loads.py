"""How the experts of each layer share the work. Knows a model, and nothing of what is made of the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from gptlab.model.experts import loads
from gptlab.model.gpt import GPT
from gptlab.train.device import autocast

DIGITS = 5  # of a share: finer than any text of a few thousand tokens can tell


def expert_loads(model: GPT, ids: Tensor, counted: Tensor, precision: str = "fp32") -> list[list[float]]:
    """For each layer, every expert's share of the choices that the tokens `ids` (B, T) make where `counted` (B, T), bool.

    Costs one forward pass without logits. The model is left in the mode it was in; no random numbers are drawn.
    """
    was_training, routed = model.training, []
    model.eval()
    try:
        with torch.no_grad(), autocast(ids.device.type, precision):
            model.hidden(ids, routed=routed)
    finally:
        model.train(was_training)
    E, A = model.config.n_expert, model.config.n_expert_active
    of_layers = torch.stack([loads(probabilities[counted.flatten()].topk(A, dim=-1).indices, E) for probabilities in routed])
    shares = of_layers.double() / of_layers.sum(dim=1, keepdim=True)  # (L, E)
    return [[round(share, DIGITS) for share in layer] for layer in shares.tolist()]
