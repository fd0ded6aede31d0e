"""The part of a block that looks at each token alone, made of several experts: each token goes through a few of them.

Shazeer et al. 2017 (arXiv:1701.06538), with the experts of Mixtral (arXiv:2401.04088) and Qwen3-MoE: SwiGLU parts without
biases, the chosen ones weighted by their share of the router's probability. No token is ever dropped.

Letters for shapes: N tokens, C channels, E experts, A experts a token goes through.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptlab.config import ModelConfig


class Experts(nn.Module):
    """A router and its experts; weights are left to `GPT.initialise`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        E, C, hidden = config.n_expert, config.n_embd, config.hidden
        self.active, self.dropout = config.n_expert_active, config.dropout
        self.router = nn.Parameter(torch.empty(E, C))
        self.up = nn.Parameter(torch.empty(E, 2 * hidden, C))  # rows [0, hidden) of each are the gate
        self.down = nn.Parameter(torch.empty(E, C, hidden))

    def extra_repr(self) -> str:
        """What `print(model)` says of them, whose weights are no modules of their own."""
        E, C, hidden = self.down.shape
        return f"n_expert={E}, n_expert_active={self.active}, features={C}, hidden_features={hidden}"

    def forward(self, x: Tensor, routed: list[Tensor] | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). The router's probabilities (N, E) are appended to `routed`."""
        tokens = x.flatten(0, -2)  # (N, C)
        probabilities = F.linear(tokens, self.router).float().softmax(dim=-1)  # (N, E)
        if routed is not None:
            routed.append(probabilities)
        shares, chosen = probabilities.topk(self.active, dim=-1)  # (N, A) both
        shares = shares / shares.sum(dim=-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)  # (N A,): all that goes to the first expert, then to the second, …
        ends = loads(chosen, len(self.router)).cumsum(dim=0).int()  # (E,), known to the device alone
        # One row for each choice, so that none is picked twice: whose gradients cores would add up in any order.
        rows = tokens.unsqueeze(1).expand(-1, self.active, -1).flatten(0, 1)[order]  # (N A, C)
        gate, value = product_by_expert(rows, self.up, ends).chunk(2, dim=-1)
        rows = product_by_expert(F.silu(gate) * value, self.down, ends)  # (N A, C)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        y = rows[back].view(*chosen.shape, -1)  # (N, A, C)
        y = (y * shares.unsqueeze(-1).to(y.dtype)).sum(dim=1).view_as(x)
        return F.dropout(y, self.dropout) if self.training and self.dropout > 0 else y


def product_by_expert(rows: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Rows (N, in), sorted by expert, each times its expert's of `weights` (E, out, in): (N, out). Expert e's rows end before
    `ends[e]`."""
    if torch.is_autocast_enabled(rows.device.type):  # which does not know of this product
        narrow = torch.get_autocast_dtype(rows.device.type)
        rows, weights = rows.to(narrow), weights.to(narrow)
    return F.grouped_mm(rows, weights.mT, offs=ends)


def loads(chosen: Tensor, n_expert: int) -> Tensor:
    """How many of the choices (any shape, int64) fell on each expert: (E,). Waits for no device."""
    return F.one_hot(chosen.flatten(), n_expert).sum(dim=0)


def balance_loss(routed: list[Tensor], active: int) -> Tensor:
    """The mean over layers of Switch Transformers' auxiliary loss (arXiv:2101.03961, eq. 4): E times the sum over experts of the
    share of the tokens each got, times its mean probability. `active`, where all experts get the same, and more
    the less they do."""
    total = torch.zeros((), device=routed[0].device)
    for probabilities in routed:  # (N, E)
        N, E = probabilities.shape
        got = loads(probabilities.topk(active, dim=-1).indices, E) / N  # (E,)
        total = total + E * (got * probabilities.mean(dim=0)).sum()
    return total / len(routed)
