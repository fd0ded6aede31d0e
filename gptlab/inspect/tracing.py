"""One forward pass over one text, watched: where each head looks, and the stream between all parts.

Knows a model, and nothing of what is drawn. Global random state is never touched; the model is left in the mode it was in.

Letters for shapes: T tokens, C channels, L blocks, H heads, D channels of a head, V rows of the token table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gptlab.model.gpt import GPT, Attention


@dataclass(frozen=True)
class Trace:
    """What a text left on its way; float32.

    `attention` (L, H, T, T): row i is how token i shares its look among all tokens. `gathered` (L, T, C): what the heads
    bring, side by side, before their output matrix. `embedded` (T, C) is the stream that goes into the first block, `added`
    (L, 2, T, C) what each block's attention and MLP write, `streams` (L, T, C) the stream behind each block.
    """

    ids: Tensor  # (T,)
    attention: Tensor
    gathered: Tensor
    embedded: Tensor
    added: Tensor
    streams: Tensor


@torch.no_grad()
def trace(model: GPT, ids: Tensor) -> Trace:
    """Watch the model read `ids` (T,) int64, on its device. Raises ValueError for a text longer than the context, or empty."""
    if len(ids) == 0:
        raise ValueError("There is no text to look into: write something.")
    attention, gathered, embedded, added, streams = [], [], [], [], []

    def look(module: Attention, inputs: tuple) -> None:
        q, k, _ = module.queries_keys_values(*inputs[:2])
        attention.append(shares(module, q, k)[0])

    with _in_eval_mode(model), ExitStack() as hooks:
        for block in model.blocks:
            for hook in (block.attention.register_forward_pre_hook(look),
                         block.attention.out.register_forward_pre_hook(lambda _, inputs: gathered.append(inputs[0][0])),
                         block.attention.register_forward_hook(lambda *told: added.append(told[2][0])),
                         block.mlp.register_forward_hook(lambda *told: added.append(told[2][0])),
                         block.register_forward_pre_hook(lambda _, inputs: embedded.append(inputs[0][0])),
                         block.register_forward_hook(lambda *told: streams.append(told[2][0]))):
                hooks.callback(hook.remove)
        model.hidden(ids.unsqueeze(0))
    L, T = len(model.blocks), len(ids)
    return Trace(ids, torch.stack(attention).float(), torch.stack(gathered).float(), embedded[0].float(),
                 torch.stack(added).float().view(L, 2, T, -1), torch.stack(streams).float())


def shares(attention: Attention, q: Tensor, k: Tensor) -> Tensor:
    """How each query shares its look among the keys, (B, H, T, T), from q (B, H, T, D) and k (B, K, T, D)."""
    k = k.repeat_interleave(attention.H // attention.K, dim=1)  # (B, H, T, D)
    scores = (q @ k.mT).float() / attention.D**0.5
    if attention.causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(diagonal=1), -torch.inf)
    return scores.softmax(dim=-1)


@torch.no_grad()
def logit_lens(model: GPT, traced: Trace) -> tuple[Tensor, Tensor]:
    """The best guess for each next token as it stands behind each block, and its probability: both (L + 1, T), before the
    first block first. What the output would be if the stream ended there (nostalgebraist 2020)."""
    ids, probabilities = [], []
    for stream in (traced.embedded, *traced.streams):  # one at a time: logits are (T, V)
        best = model.logits(stream.to(model.output_table.dtype)).float().softmax(dim=-1).max(dim=-1)
        ids.append(best.indices)
        probabilities.append(best.values)
    return torch.stack(ids), torch.stack(probabilities)


@dataclass(frozen=True)
class Contributions:
    """What each part adds to the logit of one token behind one position; all of it together is `logit`.

    `heads` (L, H), `attention_biases` (L,), `mlps` (L,); `embedding` is what the token and its place bring in themselves, and
    `norm_bias` the bias of the last normalisation.
    """

    embedding: float
    heads: Tensor
    attention_biases: Tensor
    mlps: Tensor
    norm_bias: float
    logit: float


@torch.no_grad()
def contributions(model: GPT, traced: Trace, position: int, token: int) -> Contributions:
    """How the logit of `token` behind `position` comes about (direct logit attribution, Elhage et al. 2021).

    The last normalisation is taken as it is for the whole stream: its scale is shared. Raises ValueError for a model without
    residual connections, in which no part adds to anything.
    """
    if not model.config.residual:
        raise ValueError("Without residual connections every part replaces what came before it, so none adds to a guess.")
    direction, scale, bias = _readout(model, traced.streams[-1, position], token)

    def read(written: Tensor) -> Tensor:  # (..., C) -> (...)
        if model.config.norm == "layernorm":
            written = written - written.mean(dim=-1, keepdim=True)
        return (written / scale) @ direction

    H, D = model.config.n_head, model.config.head_size
    heads, biases = [], []
    for layer, block in enumerate(model.blocks):
        weight = block.attention.out.weight.float().view(-1, H, D)  # (C, H, D)
        brought = traced.gathered[layer, position].view(H, D)
        heads.append(read(torch.einsum("chd,hd->hc", weight, brought)))
        bias_written = block.attention.out.bias
        biases.append(read(bias_written.float()) if bias_written is not None else torch.zeros((), device=direction.device))
    embedding, mlps = float(read(traced.embedded[position])), read(traced.added[:, 1, position])
    heads, biases = torch.stack(heads), torch.stack(biases)
    logit = embedding + float(heads.sum() + biases.sum() + mlps.sum()) + bias
    return Contributions(embedding, heads, biases, mlps, bias, logit)


def _readout(model: GPT, stream: Tensor, token: int) -> tuple[Tensor, Tensor, float]:
    """(direction (C,), scale, bias): what is read for a token from a stream (C,) behind the last block: the (centred) stream over
    the scale, times the direction, plus the bias."""
    config, row = model.config, model.output_table[token].float()
    if config.norm == "none":
        return row, torch.ones((), device=row.device), 0.0
    variance = stream.var(correction=0) if config.norm == "layernorm" else stream.square().mean()
    bias = getattr(model.final_norm, "bias", None)
    return (row * model.final_norm.weight.float(), (variance + config.norm_epsilon).sqrt(),
            0.0 if bias is None else float(bias.float() @ row))


@contextmanager
def without(model: GPT, heads: Iterable[tuple[int, int]] = (), attentions: Iterable[int] = (), mlps: Iterable[int] = ()) -> Iterator[None]:
    """Within, single heads (layer, head), whole attentions or MLPs of layers write nothing: what they would add is left out."""
    D = model.config.head_size
    with ExitStack() as hooks:
        for layer, head in heads:
            def silence(_, inputs: tuple, head=head) -> tuple:
                brought = inputs[0].clone()  # (B, T, C)
                brought[..., head * D:(head + 1) * D] = 0.0
                return (brought,)
            hooks.callback(model.blocks[layer].attention.out.register_forward_pre_hook(silence).remove)
        for part in (*(model.blocks[layer].attention for layer in attentions), *(model.blocks[layer].mlp for layer in mlps)):
            hooks.callback(part.register_forward_hook(lambda *told: torch.zeros_like(told[2])).remove)
        yield


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
