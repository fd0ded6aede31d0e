"""What a model costs, from its settings alone: parameters, memory to train, work per token.

Without torch and in microseconds, because it is asked while a slider moves. Parameter counts are exact; memory is what
training holds at once at its peak on a GPU, give or take a tenth; a CPU's separate steps for RMSNorm and for dropout
in attention need more.
"""

from __future__ import annotations

import dataclasses

from gptlab.config import ModelConfig, TrainConfig

FLOAT_BYTES = 4         # weights, gradients and what the optimizer remembers are always kept in fp32
LOGITS_AT_ONCE = 2**24  # of a large vocabulary, in the loss: 64 MB in float32, and as much for their gradient


def table_rows(config: ModelConfig, vocab_size: int) -> int:
    """Rows in the token table: the tokenizer's tokens, or more if padded."""
    return max(vocab_size, config.vocab_size or 0)


def parameters(config: ModelConfig, vocab_size: int) -> dict[str, int]:
    """How many learned numbers each part of the model has; `vocab_size` is the tokenizer's. `output` is 0 if tied."""
    C, L, D = config.n_embd, config.n_layer, config.head_size
    qkv = (config.n_head + 2 * config.kv_heads) * D
    bias = int(config.bias)
    norm = {"none": 0, "rmsnorm": C, "layernorm": C * (1 + bias)}[config.norm]
    tokens = table_rows(config, vocab_size) * C
    return {
        "token_embedding": tokens,
        "position_embedding": config.context_length * C if config.positions == "learned" else 0,
        "attention": L * ((C + bias) * qkv + (C + bias) * C),
        "mlp": L * mlp_parameters(config),
        "norms": (2 * L + 1) * norm + (2 * L * D if config.qk_norm else 0),
        "output": 0 if config.tie_embeddings else tokens,
    }


def mlp_parameters(config: ModelConfig, active: bool = False) -> int:
    """Of one block's MLP or of its experts and their router; `active`: of those that one token goes through."""
    C, hidden, up = config.n_embd, config.hidden, config.hidden * (2 if config.mlp == "swiglu" else 1)
    if config.n_expert is not None:
        return C * config.n_expert + (config.n_expert_active if active else config.n_expert) * C * (up + hidden)
    bias = int(config.bias)
    return (C + bias) * up + (hidden + bias) * C


def active_parameters(config: ModelConfig, vocab_size: int) -> int:
    """How many of all parameters one token passes: all, but for the experts it does not go through."""
    left_out = mlp_parameters(config) - mlp_parameters(config, active=True)
    return total_parameters(config, vocab_size) - config.n_layer * left_out


def total_parameters(config: ModelConfig, vocab_size: int) -> int:
    """The sum of `parameters`."""
    return sum(parameters(config, vocab_size).values())


def training_memory_bytes(config: ModelConfig, train: TrainConfig, vocab_size: int,
                          precision: str = "fp32") -> dict[str, int]:
    """Bytes held at the peak of a training step, by what holds them. `precision` is the resolved fp32, bf16 or fp16."""
    weights = FLOAT_BYTES * total_parameters(config, vocab_size)
    number_bytes = FLOAT_BYTES if precision == "fp32" else 2
    copies = 0 if precision == "fp32" else number_bytes * matrix_numbers(config, vocab_size)  # in the narrow type
    averages = 2 * weights  # AdamW's; Muon has one momentum for each matrix in the blocks
    if train.optimizer == "muon":
        averages -= FLOAT_BYTES * (matrix_numbers(config, vocab_size) - table_rows(config, vocab_size) * config.n_embd)
    tokens = train.sequences(config.context_length) * config.context_length
    return {"weights": weights + copies, "gradients": weights, "optimizer": averages,
            "activations": tokens * activation_bytes_per_token(config, number_bytes) + loss_bytes(config, tokens, vocab_size)}


def loss_bytes(config: ModelConfig, tokens: int, vocab_size: int) -> int:
    """Bytes held at once for the loss of so many tokens: logits, their softmax and their gradient, of all tokens or of so many
    as `LOGITS_AT_ONCE` allows; then also the gradients of the stream and of the output table, which are kept meanwhile."""
    rows, numbers = table_rows(config, vocab_size), 3 * min(tokens * table_rows(config, vocab_size), LOGITS_AT_ONCE)
    if tokens * rows > LOGITS_AT_ONCE:
        numbers += (tokens + rows) * config.n_embd
    return numbers * FLOAT_BYTES


def activation_bytes_per_token(config: ModelConfig, number_bytes: int) -> int:
    """Bytes that one token's forward pass leaves for the backward pass, matrix products being `number_bytes` a number. Without
    those for the loss."""
    C, hidden = config.n_embd, config.hidden
    qk = (config.n_head + config.kv_heads) * config.head_size
    v = config.kv_heads * config.head_size
    stream = 2 * C * FLOAT_BYTES  # what both norms read
    narrow = 2 * C + (qk + v) + C  # what both norms give, queries, keys and values, attention's output
    if config.positions == "rope" or config.qk_norm:
        narrow += qk  # queries and keys again, turned
    if config.qk_norm:
        narrow += qk  # and as they were before their gain
    if config.dropout > 0:
        narrow += 2 * C  # which numbers were kept
    narrow += hidden * {"gelu": 2, "gelu_tanh": 2, "relu2": 2, "swiglu": 4}[config.mlp]
    return config.n_layer * (stream + narrow * number_bytes) + 2 * C * FLOAT_BYTES  # and the last norm


def flops_per_token(config: ModelConfig, vocab_size: int) -> float:
    """Floating-point operations that one training token costs, forward (a third) and backward (two thirds).

    Six for each number in a matrix it passes, the output table included; and for attention over the tokens it sees,
    half the context on average (PaLM's appendix B, with causality counted).
    """
    attention = config.n_layer * 12 * config.n_embd * (config.context_length + 1) / 2
    return 6.0 * matrix_numbers(config, vocab_size, active=True) + attention


def matrix_numbers(config: ModelConfig, vocab_size: int, active: bool = False) -> int:
    """Numbers in the blocks' matrices and the output table; `active`: in those that one token is multiplied with."""
    C, no_bias = config.n_embd, dataclasses.replace(config, bias=False)
    qkv = (config.n_head + 2 * config.kv_heads) * config.head_size
    return config.n_layer * (C * (qkv + C) + mlp_parameters(no_bias, active)) + table_rows(config, vocab_size) * C
