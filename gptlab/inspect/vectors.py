"""Token vectors as a picture: their main directions, and which are alike. Knows no model."""

from __future__ import annotations

import torch
from torch import Tensor


def main_directions(table: Tensor, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """(mean (C,), directions (count, C), share of the variance each explains (count,)) of the rows of `table` (V, C): principal
    components, each turned so that its largest number is positive, since their signs mean nothing."""
    mean = table.float().mean(dim=0)
    _, sizes, directions = torch.linalg.svd(table.float() - mean, full_matrices=False)
    directions = directions[:count]
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return mean, directions * largest.sign(), (sizes.square() / sizes.square().sum().clamp(min=1e-30))[:count]


def nearest(table: Tensor, id: int, count: int = 10) -> list[tuple[int, float]]:
    """The rows of `table` (V, C) most like row `id`, without itself: (row, cosine), the most alike first."""
    rows = torch.nn.functional.normalize(table.float(), dim=1)
    cosines = rows @ rows[id]
    cosines[id] = -torch.inf
    values, ids = cosines.topk(min(count, len(table) - 1))
    return list(zip(ids.tolist(), values.tolist()))
