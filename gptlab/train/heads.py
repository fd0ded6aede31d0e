"""How much each attention head adds to the stream. Knows a model, and nothing of what is made of the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from gptlab.model.gpt import GPT


@torch.no_grad()
def head_strengths(model: GPT, ids: Tensor) -> list[list[float]]:
    """For each layer and head, the root mean square of what it writes to the stream on `ids` (B, T): after its rows of
    the output matrix, before biases, which belong to no head.

    Costs one forward pass without a cache or logits kept, plus C × D products a token and head. The model is left in
    the mode it was in; no random numbers are drawn.
    """
    strengths, hooks = [], []
    H, D = model.config.n_head, model.config.head_size

    def measure(module, inputs) -> None:
        weight = module.weight.float().view(-1, H, D)  # (C, H, D)
        gram = torch.einsum("chd,che->hde", weight, weight)  # |W y|² = y·(WᵀW y), without a tensor of (B, T, H, C)
        y = inputs[0].float().view(-1, H, D)  # (B T, H, D)
        squares = torch.einsum("nhd,hde,nhe->h", y, gram, y).clamp(min=0) / (len(y) * weight.size(0))
        strengths.append(squares.sqrt())

    was_training = model.training
    model.eval()
    try:
        hooks += [block.attention.out.register_forward_pre_hook(measure) for block in model.blocks]
        model(ids)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return torch.stack(strengths).tolist()
