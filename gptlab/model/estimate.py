"""What a model costs, from its settings alone: parameters, memory to train, work per token.

Without torch and in microseconds, because it is asked while a slider moves. Parameter counts are exact; memory is what
training holds at once at its peak: on a CPU measured to within a fifth (benchmarks/memory.py), on a GPU by what is kept.
"""

from __future__ import annotations

import dataclasses

from gptlab.config import ModelConfig, TrainConfig

FLOAT_BYTES = 4         # weights, gradients and what the optimizer remembers are always kept in fp32
HEAP_HOLES = 1.1        # times what the activations take, on a CPU: measured (benchmarks/memory.py)
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


def training_memory_bytes(config: ModelConfig, train: TrainConfig, vocab_size: int, precision: str = "fp32",
                          device: str = "cpu", cores: int = 1) -> dict[str, int]:
    """Bytes held at the peak of a training step, by what holds them: weights, gradients, optimizer, activations.

    `precision` is the resolved fp32, bf16 or fp16; `cores` are those of a processor that compute side by side, each a part of
    the batch, with gradients of its own. The peak is the largest of three moments: the loss, when all activations are there and
    no gradients yet (but for those of earlier batches of the update), the last block on the way back, and the optimizer's step.
    On a CPU what is freed on the way back mostly stays with the process (the C library's heap has holes that the next tensor
    is too large for; logits are large enough to go back at once), so that the last two are nearly the sum of all; but for
    gradient checkpointing, where runs have all given back at once.
    """
    weights = FLOAT_BYTES * total_parameters(config, vocab_size)
    number_bytes = FLOAT_BYTES if precision == "fp32" else 2
    matrices = matrix_numbers(config, vocab_size)
    copies = 0 if precision == "fp32" else cores * number_bytes * matrices  # in the narrow type
    block_matrices = matrices - table_rows(config, vocab_size) * config.n_embd
    averages = 2 * weights - (FLOAT_BYTES * block_matrices if train.optimizer == "muon" else 0)  # AdamW's; Muon has one momentum
    stepping = muon_bytes(config) if train.optimizer == "muon" else 0
    tokens = train.sequences(config.context_length) * config.context_length
    gathered = weights if (train.tokens_per_update or tokens) > tokens else 0  # of the update's earlier batches
    kept = tokens * activation_bytes_per_token(config, number_bytes, device, train.gradient_checkpointing)
    back = tokens * backward_bytes_per_token(config, number_bytes)
    loss = cores * loss_bytes(config, tokens // cores, vocab_size)

    def held(gradients: int, activations: float, optimizer: int = averages) -> dict[str, int]:
        return {"weights": weights + copies, "gradients": gradients, "optimizer": optimizer, "activations": round(activations)}

    whole = cores * weights + (gathered if cores > 1 else 0)  # gradients at the end of the way back
    if device == "cpu" and not train.gradient_checkpointing:
        moments = [held(gathered, HEAP_HOLES * kept + loss), held(whole, HEAP_HOLES * (kept + back), averages + stepping)]
    else:
        one_block = cores * FLOAT_BYTES * block_matrices // config.n_layer  # whose gradients come last
        moments = [held(gathered, kept + max(loss, back)), held(whole, 0, averages + stepping),
                   held(whole - one_block, tokens * block_bytes_per_token(config, number_bytes, device) + back)]
    return max(moments, key=lambda parts: sum(parts.values()))


def muon_bytes(config: ModelConfig) -> int:
    """Bytes that Muon's step takes for the matrices of one shape, which it orthogonalises together: about five copies of them,
    of the largest group."""
    C, up = config.n_embd, config.hidden * (2 if config.mlp == "swiglu" else 1)
    return 5 * FLOAT_BYTES * config.n_layer * C * max(C + 2 * config.kv_heads * config.head_size, up * (config.n_expert or 1))


def loss_bytes(config: ModelConfig, tokens: int, vocab_size: int) -> int:
    """Bytes held at once for the loss of so many tokens: logits, their softmax and their gradient, of all tokens or of so many
    as `LOGITS_AT_ONCE` allows; then also the gradients of the stream and of the output table, which are kept meanwhile."""
    rows, numbers = table_rows(config, vocab_size), 3 * min(tokens * table_rows(config, vocab_size), LOGITS_AT_ONCE)
    if tokens * rows > LOGITS_AT_ONCE:
        numbers += (tokens + rows) * config.n_embd
    return numbers * FLOAT_BYTES


def activation_bytes_per_token(config: ModelConfig, number_bytes: int, device: str = "cpu", checkpointing: bool = False) -> int:
    """Bytes that one token's forward pass leaves for the backward pass, matrix products being `number_bytes` a number. Without
    those for the loss. With gradient checkpointing: what goes into each block, and all of the one that is computed again."""
    C, block = config.n_embd, block_bytes_per_token(config, number_bytes, device)
    blocks = config.n_layer * C * FLOAT_BYTES + block if checkpointing else config.n_layer * block
    ends = C * number_bytes + norm_bytes_per_token(config, device)  # what the output table and the last norm read
    if config.dropout > 0:
        ends += C * mask_bytes(device)
    return blocks + ends


def block_bytes_per_token(config: ModelConfig, number_bytes: int, device: str) -> int:
    """Bytes that one token's way through one block leaves for the way back."""
    C = config.n_embd
    numbers = 2 * C + attention_numbers_per_token(config, number_bytes, device) + C  # what matrices read, attention's output
    masks = 2 * C * mask_bytes(device) if config.dropout > 0 else 0
    if config.n_expert is None:
        numbers += config.hidden * {"gelu": 2, "gelu_tanh": 2, "relu2": 2, "swiglu": 4}[config.mlp]
        return numbers * number_bytes + masks + 2 * norm_bytes_per_token(config, device)
    numbers += config.n_expert_active * (2 * C + 4 * config.hidden)  # for each of its experts: in, inside, out
    routing = config.n_expert * FLOAT_BYTES + config.n_expert_active * 40  # probabilities, and who goes where, as int64
    return numbers * number_bytes + masks + routing + 2 * norm_bytes_per_token(config, device)


def norm_bytes_per_token(config: ModelConfig, device: str) -> int:
    """What one norm keeps beside its output: the stream, in float32; on a CPU RMSNorm also what it has before its gain."""
    kept = {"none": 0, "layernorm": 1, "rmsnorm": 1 if device == "cuda" else 2}[config.norm]
    return kept * config.n_embd * FLOAT_BYTES


def mask_bytes(device: str) -> int:
    """Of one number in dropout's mask."""
    return 1 if device == "cuda" else FLOAT_BYTES


def attention_numbers_per_token(config: ModelConfig, number_bytes: int, device: str) -> float:
    """Numbers that attention keeps of a token before its output: queries, keys, values, and where no fused kernel computes it
    (on a CPU with dropout; on a GPU in float32 with fewer key/value heads; on Apple's) its share of the attention matrices."""
    C, qk = config.n_embd, (config.n_head + config.kv_heads) * config.head_size
    v = config.kv_heads * config.head_size
    matrices = config.n_head * config.context_length
    grouped_in_full = number_bytes == FLOAT_BYTES and config.kv_heads != config.n_head
    fused = {"cpu": config.dropout == 0, "cuda": not grouped_in_full, "mps": False}[device]
    before_gain = qk if config.qk_norm and device != "cuda" else 0
    if not fused:  # all heads' queries, keys and values; the softmax, and with dropout its mask and what that leaves
        dropped = matrices * (1 + mask_bytes(device) / number_bytes) if config.dropout > 0 else 0
        return 3 * C + matrices + dropped + before_gain
    turned = qk if config.positions == "rope" or config.qk_norm else 0
    return qk + v + turned + before_gain


def backward_bytes_per_token(config: ModelConfig, number_bytes: int) -> int:
    """Bytes of gradients held at once on the way back through a block's widest part."""
    wide = config.hidden if config.n_expert is None else config.n_expert_active * (3 * config.hidden + config.n_embd)
    return (config.n_embd + wide) * number_bytes


def flops_per_token(config: ModelConfig, vocab_size: int) -> float:
    """Floating-point operations that one training token costs: the sum of `flops_by_part`."""
    return sum(flops_by_part(config, vocab_size).values())


def flops_by_part(config: ModelConfig, vocab_size: int) -> dict[str, float]:
    """Floating-point operations that one training token costs, forward (a third) and backward (two thirds), by part.

    Six for each number in a matrix it passes, the output table included; and for attention's scores and sums over the tokens
    it sees, half the context on average if it looks back only (PaLM's appendix B, with causality counted). Computing blocks
    again (gradient checkpointing) is not counted, as it teaches nothing more.
    """
    C, no_bias = config.n_embd, dataclasses.replace(config, bias=False)
    qkv = (config.n_head + 2 * config.kv_heads) * config.head_size
    seen = (config.context_length + 1) / 2 if config.causal else config.context_length
    return {
        "attention": 6.0 * config.n_layer * C * (qkv + C),
        "scores": config.n_layer * 12 * C * seen,
        "mlp": 6.0 * config.n_layer * mlp_parameters(no_bias, active=True),
        "output": 6.0 * table_rows(config, vocab_size) * C,
    }


def matrix_numbers(config: ModelConfig, vocab_size: int) -> int:
    """Numbers in the blocks' matrices and the output table."""
    C, no_bias = config.n_embd, dataclasses.replace(config, bias=False)
    qkv = (config.n_head + 2 * config.kv_heads) * config.head_size
    return config.n_layer * (C * (qkv + C) + mlp_parameters(no_bias)) + table_rows(config, vocab_size) * C
