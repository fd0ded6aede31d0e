"""The whole decoder, read top to bottom: token ids in, logits for each next token out.

One pre-norm transformer that covers GPT-2 (learned positions, LayerNorm, GELU, biases) and Llama (rotary positions,
RMSNorm, SwiGLU, grouped-query attention), Qwen3 (QK-norm too), and experts in place of the MLP (`experts.py`) by settings
alone, and can do without each of its parts. Knows `ModelConfig` and nothing of data, training or sampling.

Letters for shapes: B batch, T tokens, C channels (n_embd), H heads, K key/value heads, D channels of a head, V rows in
the token table.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gptlab.config import ModelConfig
from gptlab.model.cross_entropy import cross_entropy
from gptlab.model.experts import Experts, balance_loss


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x` (…, in) times `weight` (out, in) and a bias (out,), as `F.linear`; a single token on a CPU in half the time.

    What one token costs is reading the weights. MKL's product with one column reads at half the speed of memory; its
    batched one, given the rows in parts and the token as a column-major matrix, at nearly all of it.
    """
    rows, columns = weight.shape
    single = x.numel() == columns and weight.numel() >= LARGE_MATRIX and not torch.is_grad_enabled()
    if not single or x.device.type != "cpu" or (parts := parts_of(rows)) == 1:
        return F.linear(x, weight, bias)
    column = x.contiguous().as_strided((parts, columns, 1), (0, 1, columns))  # the same one for all parts
    blocks = weight.view(parts, rows // parts, columns)
    y = torch.bmm(blocks, column) if bias is None else torch.baddbmm(bias.view(parts, -1, 1), blocks, column)
    return y.view(*x.shape[:-1], rows)


LARGE_MATRIX = 100_000  # numbers; of a smaller one, the call costs more than reading it


@functools.cache
def parts_of(rows: int) -> int:
    """How many equal parts `product` takes of so many rows: as many as can be, but no more than 32."""
    return max(parts for parts in range(1, 33) if rows % parts == 0)


class Linear(nn.Linear):
    """A linear layer that leaves its weights to `GPT.initialise`, so that the global random state is never drawn from."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)


class Embedding(nn.Embedding):
    """A table of vectors that leaves its weights to `GPT.initialise`."""

    def reset_parameters(self) -> None:
        pass


class RMSNorm(nn.RMSNorm):
    """RMSNorm (Zhang & Sennrich 2019) in its input's type, as mixed precision needs for the fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def build_norm(config: ModelConfig) -> nn.Module:
    """The normalisation before each part of a block and before the output."""
    if config.norm == "none":
        return nn.Identity()
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd, eps=config.norm_epsilon)
    return nn.LayerNorm(config.n_embd, eps=config.norm_epsilon, bias=config.bias)


def dropped(x: Tensor, share: float, training: bool) -> Tensor:
    """`x` without a `share` of its numbers, while training. (Asking torch to do nothing takes time, too: a token has many.)"""
    return F.dropout(x, share) if training and share > 0 else x


class KVCache:
    """The keys and values of the tokens of one text, so that its next token costs one step and not a whole text.

    Holds up to `capacity` tokens. The memory is taken when the first keys arrive, on their device and in their type.
    `truncate(0)` empties it for use with another text.
    """

    def __init__(self, config: ModelConfig):
        self.capacity = config.context_length
        self.length = 0  # tokens held
        self._shape = (1, config.kv_heads, self.capacity, config.head_size)  # (1, K, capacity, D)
        self._layers: list[tuple[Tensor, Tensor] | None] = [None] * config.n_layer  # keys and values

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store `k` and `v`, each (1, K, T, D), behind what `layer` holds; give back all of it, (1, K, length + T, D)."""
        if self._layers[layer] is None:
            self._layers[layer] = k.new_empty(self._shape), v.new_empty(self._shape)
        (keys, values), T = self._layers[layer], k.size(2)
        keys.narrow(2, self.length, T).copy_(k)
        values.narrow(2, self.length, T).copy_(v)
        return keys.narrow(2, 0, self.length + T), values.narrow(2, 0, self.length + T)

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut a cache of {self.length} tokens to {length}")
        self.length = length


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of every position's rotation (Su et al. 2021), both (context_length, 1, D).

    The layout is Llama's: channel i turns together with channel i + D/2.
    """
    D = config.head_size
    frequencies = config.rope_theta ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)  # (D/2,)
    angles = torch.outer(torch.arange(config.context_length, dtype=torch.float64), frequencies)  # (T, D/2)
    cos, sin = angles.cos().float(), angles.sin().float()
    return torch.cat((cos, cos), dim=1).unsqueeze(1), torch.cat((-sin, sin), dim=1).unsqueeze(1)  # (T, 1, D)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` (B, T, heads, D) with each head turned by its position's angles."""
    swapped = torch.roll(x, x.size(-1) // 2, dims=-1)  # (second half, first half); the sign is in `sin`
    return torch.addcmul(x * cos.to(x.dtype), swapped, sin.to(x.dtype))


def first_gain(config: ModelConfig, vocab_size: int) -> float:
    """The final norm's gain at the start: 1, or less where that would make the first loss exceed ln V by over 5 %.

    Logits of variance s² lift the loss by s²/2, and s² is C (d gain)² for an output table of deviation d: kept to 2.5 %
    of ln V. With tied tables the token just read has a logit of up to d C gain of its own; a third of that (the rest of
    the stream is noise to it) is kept from lifting the loss by over 2 %. GPT-2's own shapes keep 1.
    """
    guessing = math.log(max(vocab_size, 2))
    deviation = config.embedding_deviation if config.tie_embeddings else 0.02
    gain = math.sqrt(0.05 * guessing / config.n_embd) / deviation
    if config.tie_embeddings:
        gain = min(gain, 3 * math.log1p(0.02 * guessing * vocab_size) / (deviation * config.n_embd))
    return min(gain, 1.0)


class Attention(nn.Module):
    """Causal self-attention, with fewer key/value heads than query heads if so set (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.layer = layer
        self.H, self.K, self.D = config.n_head, config.kv_heads, config.head_size
        self.qkv = Linear(config.n_embd, (self.H + 2 * self.K) * self.D, bias=config.bias)
        self.out = Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.q_norm = RMSNorm(self.D, eps=config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(self.D, eps=config.norm_epsilon) if config.qk_norm else None
        self.dropout, self.causal = config.dropout, config.causal

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None, caches: Sequence[KVCache] | None) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.queries_keys_values(x, rope)
        if caches is None:
            y = self.attend(q, k, v)
        elif B == 1:
            y = self.attend(q, *caches[0].append(self.layer, k, v))
        else:  # each text has a length of its own
            y = torch.cat([self.attend(q, *cache.append(self.layer, k, v)) for q, k, v, cache
                           in zip(q.split(1), k.split(1), v.split(1), caches, strict=True)])  # (B, H, T, D)
        y = y.transpose(1, 2).reshape(B, T, C)  # (B, H, T, D) -> (B, T, C)
        return dropped(self.out(y), self.dropout, self.training)

    def queries_keys_values(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, T, D), (B, K, T, D) twice, of the normalised stream (B, T, C)."""
        B, T, _ = x.shape
        qkv = self.qkv(x).view(B, T, self.H + 2 * self.K, self.D)  # (B, T, H + 2K, D)
        qk, v = qkv.split((self.H + self.K, self.K), dim=2)  # queries and keys turn together: half the operations
        if self.q_norm is not None:
            q, k = qk.split((self.H, self.K), dim=2)
            qk = torch.cat((self.q_norm(q), self.k_norm(k)), dim=2)  # (B, T, H + K, D)
        if rope is not None:
            qk = rotate(qk, *rope)
        q, k = qk.to(v.dtype).split((self.H, self.K), dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What the last T of S tokens take from all up to themselves, or without a causal mask from all: q (B, H, T, D), k and v
        (B, K, S, D) -> (B, H, T, D)."""
        T, S = q.size(2), k.size(2)
        mask = None
        if self.causal and 1 < T < S:  # several tokens behind a cached text: row i sees it all and i new ones
            mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(diagonal=S - T)  # (T, S)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0,
                                              is_causal=self.causal and 1 < T == S, enable_gqa=self.K != self.H)


class MLP(nn.Module):
    """The part of a block that looks at each token alone: GELU (GPT-2), SwiGLU (Llama) or squared ReLU (Primer)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.kind = config.mlp
        self.dropout = config.dropout
        # SwiGLU's gate and value come from one product: rows [0, hidden) are the gate.
        self.up = Linear(config.n_embd, config.hidden * (2 if config.mlp == "swiglu" else 1), bias=config.bias)
        self.down = Linear(config.hidden, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor, routed: list[Tensor] | None = None) -> Tensor:
        x = self.up(x)  # (B, T, hidden), twice as wide for SwiGLU
        if self.kind == "swiglu":
            gate, value = x.chunk(2, dim=-1)
            x = F.silu(gate) * value  # (B, T, hidden)
        elif self.kind == "relu2":
            x = F.relu(x).square()
        else:
            x = F.gelu(x, approximate="tanh" if self.kind == "gelu_tanh" else "none")  # the exact one is faster on a CPU
        return dropped(self.down(x), self.dropout, self.training)


class Block(nn.Module):
    """Attention, then MLP or experts; each reads the normalised stream and adds to it, or without residual connections takes
    its place."""

    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = build_norm(config)
        self.mlp = MLP(config) if config.n_expert is None else Experts(config)
        self.residual = config.residual

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None, caches: Sequence[KVCache] | None,
                routed: list[Tensor] | None) -> Tensor:
        y = self.attention(self.attention_norm(x), rope, caches)
        x = x + y if self.residual else y
        y = self.mlp(self.mlp_norm(x), routed)
        return x + y if self.residual else y


def with_routing(block: Block, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> tuple[Tensor, list[Tensor]]:
    """What a block makes of a stream, and what its router says if it has one. It is given back and not put into a list from outside:
    a compiler cannot follow that, and what is said again when the block is computed again would stay there."""
    said: list[Tensor] = []
    return block(x, rope, None, said), said


class GPT(nn.Module):
    """A decoder-only language model.

    `vocab_size` is the tokenizer's; the token table has that many rows, or `config.vocab_size` if that is larger
    (padding). Weights are drawn from `generator` (a CPU one), or from torch's global one.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.checkpointing = False  # in training, keep only what goes into each block and compute it again on the way back
        self.vocab_size = max(vocab_size, config.vocab_size or 0)
        self.token_embedding = Embedding(self.vocab_size, config.n_embd)
        learned = config.positions == "learned"
        self.position_embedding = Embedding(config.context_length, config.n_embd) if learned else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = build_norm(config)
        self.output = None if config.tie_embeddings else Linear(config.n_embd, self.vocab_size, bias=False)
        if config.positions == "rope":
            cos, sin = rope_tables(config)
            self.register_buffer("rope_cos", cos, persistent=False)  # (context_length, 1, D)
            self.register_buffer("rope_sin", sin, persistent=False)
        self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw all weights anew, each matrix by its width, with smaller logits where the vocabulary is small.

        Tables are normal with deviation 0.02, as GPT-2's, those that are read from with `embedding_deviation`; matrices with
        one over the square root of their inputs, so that what goes in with deviation 1 comes out so (LeCun et al. 1998,
        Efficient BackProp). GPT-2's 0.02 fits models some 2,000 wide; at 128 it makes layers whisper, and nanoGPT's CPU recipe
        ends 0.14 nats higher with it. Those that write to the residual stream begin small, with 0.02 over the square root of
        the number of writers: every block is at first nearly the identity, and depth does not make the stream grow. Biases are
        0, gains 1 but for the last (`first_gain`).
        """
        writers = 2 * self.config.n_layer
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            elif "embedding" in name:
                parameter.normal_(0.0, self.config.embedding_deviation, generator=generator)
            elif name == "output.weight":
                parameter.normal_(0.0, 0.02, generator=generator)
            elif name.endswith(("attention.out.weight", "mlp.down.weight", "mlp.down")):  # the last: of all experts
                parameter.normal_(0.0, 0.02 / math.sqrt(writers), generator=generator)
            else:
                parameter.normal_(0.0, 1 / math.sqrt(parameter.size(-1)), generator=generator)
        if self.config.norm != "none":
            self.final_norm.weight.fill_(first_gain(self.config, self.vocab_size))

    def forward(self, ids: Tensor, caches: Sequence[KVCache] | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each of `ids` (B, T) int64.

        With `caches`, one for each row, every row continues the text whose keys and values its cache holds, whatever the
        lengths of the others, and the cache then holds its tokens too. Raises ValueError where a text becomes longer than
        the context.
        """
        return self.logits(self.hidden(ids, caches))  # (B, T, C) -> (B, T, V)

    def next_logits(self, ids: Tensor, caches: Sequence[KVCache] | None = None) -> Tensor:
        """As `forward`, for the token after the last of `ids` alone: (B, V)."""
        return self.logits(self.hidden(ids, caches)[:, -1])  # (B, C) -> (B, V)

    def hidden(self, ids: Tensor, caches: Sequence[KVCache] | None = None, routed: list[Tensor] | None = None) -> Tensor:
        """The stream (B, T, C) behind the last block. What each layer's router said, (B T, E), is appended to `routed`."""
        B, T = ids.shape
        starts = [0] if caches is None else [cache.length for cache in caches]
        if max(starts) + T > self.config.context_length:
            raise ValueError(f"{max(starts) + T} tokens do not fit a context of {self.config.context_length}: pass fewer.")
        if min(starts) == max(starts):
            positions = slice(starts[0], starts[0] + T)
        else:  # texts of different lengths side by side
            positions = (torch.tensor(starts).unsqueeze(1) + torch.arange(T)).to(ids.device)  # (B, T)
        x = self.token_embedding(ids)  # (B, T, C)
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[positions]
        x = dropped(x, self.config.dropout, self.training)
        rope = (self.rope_cos[positions], self.rope_sin[positions]) if self.config.positions == "rope" else None
        for block in self.blocks:
            if self.checkpointing and self.training and caches is None and torch.is_grad_enabled():
                x, said = checkpoint(with_routing, block, x, rope, use_reentrant=False, preserve_rng_state=self.config.dropout > 0)
                if routed is not None:
                    routed += said
            else:
                x = block(x, rope, caches, routed)
        for cache in caches or ():
            cache.length += T
        return x

    def logits(self, x: Tensor) -> Tensor:
        """Logits (…, V) from the stream (…, C) behind the last block."""
        return product(self.final_norm(x), self.output_table)

    @property
    def output_table(self) -> Tensor:
        """What a stream is multiplied with to predict tokens, (V, C): the tokens' own table, if tied."""
        return (self.token_embedding if self.output is None else self.output).weight

    def loss(self, ids: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Cross-entropy in nats of `targets` (B, T) after `ids` (B, T); targets of -100 count for nothing.

        "mean" is over the counted targets, "sum" is their sum, "none" gives (B, T) with 0 where not counted. The gradients
        of the mean are also those of `expert_balance` times the loss that keeps experts in balance; its value is not.
        """
        balanced = self.config.n_expert is not None and reduction == "mean" and torch.is_grad_enabled()
        routed: list[Tensor] | None = [] if balanced else None
        x = self.final_norm(self.hidden(ids, routed=routed)).flatten(0, 1)  # (B * T, C)
        loss = cross_entropy(x, self.output_table, targets.flatten(), reduction)
        if balanced:
            balance = self.config.expert_balance * balance_loss(routed, self.config.n_expert_active)
            loss = loss + (balance - balance.detach())
        return loss.view_as(targets) if reduction == "none" else loss

    def new_cache(self) -> KVCache:
        """An empty cache for this model and one text."""
        return KVCache(self.config)
