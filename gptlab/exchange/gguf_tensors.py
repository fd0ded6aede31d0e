"""A model's weights by llama.cpp's names and in its layouts, and back.

Knows which of its architectures runs which family. Linear weights are (out, in) here and there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gptlab.config import ModelConfig
from gptlab.model.gpt import GPT

ARCHITECTURES = {"GPT-2": "gpt2", "Llama": "llama", "Qwen3": "qwen3", "Mixtral": "llama", "Qwen3-MoE": "qwen3moe"}


def tensors_of(model: GPT, architecture: str) -> dict[str, Tensor]:
    """All tensors of the file, by name; they share the model's memory where their layout is the same."""
    names, tensors = _names(model.config, architecture), {}
    for key, value in model.state_dict().items():
        block, module, kind = _split(key)
        pieces = value.split([rows or value.size(_outputs(value)) for _, rows in names[module]], dim=_outputs(value))
        for (name, _), piece in zip(names[module], pieces, strict=True):
            tensors[f"{block}{name}.{kind}"] = _turned(interleaved, name, piece, model.config, architecture)
    if architecture == "gpt2":  # which has biases everywhere: those that the model does without are zero
        tables = ("token_embd.weight", "position_embd.weight", "output.weight")
        for name in [name for name in tensors if name.endswith(".weight") and name not in tables]:
            tensors.setdefault(name.replace(".weight", ".bias"), torch.zeros(len(tensors[name])))
    return tensors


def state_of(tensors: Mapping[str, Tensor], model: GPT, architecture: str) -> dict[str, Tensor]:
    """The opposite of `tensors_of`: what `model`, which says its settings only, can load. Raises KeyError for a tensor
    that is missing."""
    names, state = _names(model.config, architecture), {}
    for key in model.state_dict():
        block, module, kind = _split(key)
        pieces = [_turned(apart, name, tensors[f"{block}{name}.{kind}"], model.config, architecture) for name, _ in names[module]]
        state[key] = torch.cat(pieces, dim=_outputs(pieces[0]))
    return state


def _names(config: ModelConfig, architecture: str) -> dict[str, list[tuple[str, int | None]]]:
    """What llama.cpp calls each of our modules: the names of its parts, with the rows of each but an only one."""
    queries, keys, hidden = config.n_head * config.head_size, config.kv_heads * config.head_size, config.hidden
    names = {"token_embedding": [("token_embd", None)], "position_embedding": [("position_embd", None)],
             "final_norm": [("output_norm", None)], "output": [("output", None)],
             "attention_norm": [("attn_norm", None)], "mlp_norm": [("ffn_norm", None)],
             "attention.qkv": [("attn_q", queries), ("attn_k", keys), ("attn_v", keys)], "attention.out": [("attn_output", None)],
             "attention.q_norm": [("attn_q_norm", None)], "attention.k_norm": [("attn_k_norm", None)]}
    if architecture == "gpt2":
        return names | {"attention.qkv": [("attn_qkv", None)], "mlp.up": [("ffn_up", None)], "mlp.down": [("ffn_down", None)]}
    if config.n_expert is None:
        return names | {"mlp.up": [("ffn_gate", hidden), ("ffn_up", hidden)], "mlp.down": [("ffn_down", None)]}
    return names | {"mlp.router": [("ffn_gate_inp", None)], "mlp.down": [("ffn_down_exps", None)],
                    "mlp.up": [("ffn_gate_exps", hidden), ("ffn_up_exps", hidden)]}


def _split(key: str) -> tuple[str, str, str]:
    """Of a name in our state: the block as the file spells it ("blk.3." or ""), the module, "weight" or "bias"."""
    block = ""
    if key.startswith("blocks."):
        _, number, key = key.split(".", 2)
        block = f"blk.{number}."
    module, _, kind = key.rpartition(".")
    return (block, module, kind) if kind in ("weight", "bias") else (block, key, "weight")  # experts are bare parameters


def _outputs(value: Tensor) -> int:
    """Which dimension counts what a module gives out: of a bias the only one, of all experts' matrices the second."""
    return max(0, value.ndim - 2)


def _turned(layout: Callable[[Tensor, int], Tensor], name: str, value: Tensor, config: ModelConfig, architecture: str) -> Tensor:
    """`value`, or where llama.cpp turns channels in other pairs than we do, with the rows of each head in another order."""
    heads = {"attn_q": config.n_head, "attn_k": config.kv_heads}.get(name)
    return value if heads is None or architecture != "llama" else layout(value, heads)


def interleaved(value: Tensor, heads: int) -> Tensor:
    """Rows (heads D, …) for a rotation of channels 2i and 2i + 1, from those for one of i and i + D/2."""
    return value.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def apart(value: Tensor, heads: int) -> Tensor:
    """The opposite of `interleaved`."""
    return value.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
