"""The loss of a large vocabulary without its logits: they are made, used and forgotten a piece at a time.

Knows nothing of models.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gptlab.model.estimate import LOGITS_AT_ONCE

IGNORED = -100  # a target that does not count


def cross_entropy(x: Tensor, table: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats of `targets` (N,) under the logits `x` (N, C) times `table` (V, C); IGNORED ones count for nothing.

    "mean" is over the counted targets, "sum" is their sum, "none" gives (N,) with 0 where not counted. Where there would
    be more than LOGITS_AT_ONCE, the sum's gradients are computed with the loss, piece by piece: as many operations as the
    plain way, and of its memory only the gradients of `x` and `table` are left.
    """
    if reduction == "none" or len(x) * len(table) <= LOGITS_AT_ONCE or torch.compiler.is_compiling():  # a compiler has its own ways
        return F.cross_entropy(F.linear(x, table), targets, ignore_index=IGNORED, reduction=reduction)
    wanted = torch.is_grad_enabled() and (x.requires_grad or table.requires_grad)
    total = _SumInPieces.apply(x, table, targets) if wanted else _sum_in_pieces(x, table, targets)
    return total if reduction == "sum" else total / (targets != IGNORED).sum()


class _SumInPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        gradients = torch.empty_like(x), torch.zeros_like(table)
        ctx.save_for_backward(*gradients)
        return _sum_in_pieces(x, table, targets, gradients)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, table = ctx.saved_tensors
        return x * gradient.to(x.dtype), table * gradient.to(table.dtype), None


def _sum_in_pieces(x: Tensor, table: Tensor, targets: Tensor, gradients: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The sum; writes those of `x` and `table` into `gradients`. Products run as autocast says, all else in float32."""
    total = torch.zeros((), device=x.device)
    rows = max(1, LOGITS_AT_ONCE // len(table))
    narrow = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    table = table.to(narrow)  # once, and not for every piece
    for piece, (part, wanted) in enumerate(zip(x.split(rows), targets.split(rows))):
        logits = F.linear(part, table).float()  # (rows, V)
        counted = (wanted != IGNORED).unsqueeze(1)  # (rows, 1)
        chosen = wanted.clamp(min=0).unsqueeze(1)
        log_sum = logits.logsumexp(dim=1, keepdim=True)
        total += ((log_sum - logits.gather(1, chosen)) * counted).sum()
        if gradients is not None:
            slopes = logits.sub_(log_sum).exp_()  # probabilities, less 1 at the target
            slopes.scatter_add_(1, chosen, torch.full_like(log_sum, -1.0)).mul_(counted)
            slopes = slopes.to(narrow)
            gradients[0][piece * rows:piece * rows + len(part)] = slopes @ table
            gradients[1].add_(slopes.mT @ part.to(narrow))
    return total
