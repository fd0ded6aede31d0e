"""Logits to the next token. Knows nothing of models or text.

Everything happens on the processor and draws on a CPU generator, so that a seed gives the same text whatever device
the logits come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gptlab.config import SampleConfig


def next_token_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None,
                             top_p: float | None = None, greedy: bool = False) -> Tensor:
    """Probabilities (V,) of drawing each token, from its logits (V,); float32.

    First temperature (0 is greedy: the likeliest token alone), then only the `top_k` likeliest, then only the
    likeliest that together reach probability `top_p` (Holtzman et al. 2020). Of equals the lowest ids come first.
    """
    if greedy or temperature == 0:
        return torch.zeros_like(logits, dtype=torch.float32).index_fill_(0, logits.argmax(), 1.0)
    scaled = (logits.float() - logits.max().float()) / temperature  # (V,), at most 0: never overflows
    if top_k is None and (top_p is None or top_p >= 1):
        return scaled.softmax(dim=0)
    ids = torch.arange(len(scaled))
    if top_k is not None and top_k < len(scaled):
        ids = (scaled >= scaled.topk(top_k).values[-1]).nonzero().squeeze(1)  # no more than these need sorting
    ordered, places = scaled[ids].sort(descending=True, stable=True)  # likeliest first
    ordered, ids = ordered[:top_k], ids[places[:top_k]]
    probabilities = ordered.softmax(dim=0)
    if top_p is not None and top_p < 1:
        before = probabilities.cumsum(dim=0) - probabilities  # what all likelier tokens have together
        probabilities[before >= top_p] = 0.0
        probabilities /= probabilities.sum()
    return torch.zeros_like(scaled).index_copy_(0, ids, probabilities)


def choose(logits: Tensor, settings: SampleConfig, generator: torch.Generator,
           vocab_size: int | None = None) -> tuple[int, float]:
    """Draw a token from its logits (V,), on any device: (id, log-probability under the model's own softmax).

    Ids from `vocab_size` on are padding and never drawn. `generator` is a CPU one. Raises ValueError where the model's
    output is not a number.
    """
    logits = logits.detach().to("cpu", torch.float32)
    total = logits.logsumexp(dim=0)
    if not torch.isfinite(total):
        raise ValueError("The model's output is not a number, so its weights are broken: choose an earlier checkpoint.")
    allowed = logits[:vocab_size]
    if settings.greedy or settings.temperature == 0:
        token = int(allowed.argmax())
    else:
        probabilities = next_token_probabilities(allowed, settings.temperature, settings.top_k, settings.top_p)
        token = int(torch.multinomial(probabilities, 1, generator=generator))
    return token, float(logits[token] - total)
