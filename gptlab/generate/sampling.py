"""Logits to the next token. Knows nothing of models or text.

Everything happens on the processor and draws on a CPU generator, so that a seed gives the same text whatever device
the logits come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gptlab.config import SampleConfig


def next_token_probabilities(logits: Tensor, settings: SampleConfig, seen: Tensor | None = None) -> Tensor:
    """Probabilities (V,) of drawing each token, from its logits (V,); float32.

    First the penalties for tokens that stand in the text, `seen` (V,) times each; then temperature (0 is greedy: the
    likeliest token alone), then only the `top_k` likeliest, of them only the likeliest that together reach probability
    `top_p` (Holtzman et al. 2020), of them only those at least `min_p` times as likely as the first (Nguyen et al. 2024).
    Of equals the lowest ids come first.
    """
    logits = penalised(logits.float(), settings, seen)
    if is_greedy(settings):
        return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
    scaled = (logits - logits.max()) / settings.temperature  # (V,), at most 0: never overflows
    top_k, top_p, min_p = settings.top_k, settings.top_p, settings.min_p
    if top_k is None and (top_p is None or top_p >= 1) and min_p is None:
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
    if min_p is not None:
        probabilities[probabilities < min_p * probabilities[0]] = 0.0
    return torch.zeros_like(scaled).index_copy_(0, ids, probabilities / probabilities.sum())


def penalised(logits: Tensor, settings: SampleConfig, seen: Tensor | None) -> Tensor:
    """Logits (V,) less what is taken for being `seen` (V,) times in the text: a share of each (Keskar et al. 2019), and an amount
    for each time."""
    if seen is None or not has_penalties(settings):
        return logits
    penalty = settings.repetition_penalty
    weaker = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen > 0, weaker, logits) - settings.frequency_penalty * seen


def has_penalties(settings: SampleConfig) -> bool:
    """Whether what stands in the text changes what is drawn next."""
    return settings.repetition_penalty != 1 or settings.frequency_penalty != 0


def is_greedy(settings: SampleConfig) -> bool:
    """Whether the likeliest token is always taken."""
    return settings.greedy or settings.temperature == 0


@dataclass(frozen=True)
class Draw:
    """A token that was drawn: its log-probability in nats under the model's own softmax, before all settings; and the likeliest
    tokens that could have been, (id, log-probability), the likeliest first."""

    id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


def choose(logits: Tensor, settings: SampleConfig, generator: torch.Generator,
           vocab_size: int | None = None, seen: Tensor | None = None, alternatives: int = 0) -> Draw:
    """Draw a token from its logits (V,), on any device.

    Ids from `vocab_size` on are padding and never drawn. `seen` counts, (vocab_size,), how often each token stands in the
    text. `generator` is a CPU one. `alternatives`: how many to name. Raises ValueError where the model's output is not a
    number.
    """
    logits = logits.detach().to("cpu", torch.float32)
    total = logits.logsumexp(dim=0)
    if not torch.isfinite(total):
        raise ValueError("The model's output is not a number, so its weights are broken: choose an earlier checkpoint.")
    allowed = logits[:vocab_size]
    if is_greedy(settings):
        token = int(penalised(allowed, settings, seen).argmax())
    else:
        probabilities = next_token_probabilities(allowed, settings, seen)
        token = int(torch.multinomial(probabilities, 1, generator=generator))
    likeliest: tuple[tuple[int, float], ...] = ()
    if alternatives:
        best = (allowed - total).topk(min(alternatives, len(allowed)))
        likeliest = tuple(zip(best.indices.tolist(), best.values.tolist()))
    return Draw(token, float(logits[token] - total), likeliest)
