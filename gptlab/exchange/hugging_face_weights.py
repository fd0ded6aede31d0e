"""A model's settings and weights by the names that Hugging Face's transformers has for its family.

Weights are named as on disk for every release of transformers that knows the family; experts therefore stand one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gptlab.config import ModelConfig
from gptlab.exchange.families import Family
from gptlab.model.gpt import GPT, Attention, Block

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}  # of GPT-2, whose own weights want the second
MODEL_TYPES = {"GPT-2": "gpt2", "Llama": "llama", "Qwen3": "qwen3", "Mixtral": "mixtral", "Qwen3-MoE": "qwen3_moe"}
# Where a layer's experts stand, and what an expert's gate, value and way out are called.
EXPERTS = {"Mixtral": ("block_sparse_moe", "w1", "w3", "w2"), "Qwen3-MoE": ("mlp", "gate_proj", "up_proj", "down_proj")}


def model_settings(config: ModelConfig, family: Family, vocab_size: int) -> dict[str, Any]:
    """What `config.json` says of the model; `vocab_size` is the rows of its token table."""
    settings = dict(architectures=[family.architecture], model_type=MODEL_TYPES[family.name], vocab_size=vocab_size,
                    tie_word_embeddings=config.tie_embeddings, dtype="float32")
    return settings | (_gpt2_settings(config) if family.name == "GPT-2" else _llama_settings(config, family))


def _gpt2_settings(config: ModelConfig) -> dict[str, Any]:
    return dict(n_positions=config.context_length, n_embd=config.n_embd, n_layer=config.n_layer, n_head=config.n_head,
                n_inner=config.hidden, activation_function=ACTIVATIONS[config.mlp], layer_norm_epsilon=config.norm_epsilon,
                embd_pdrop=config.dropout, attn_pdrop=config.dropout, resid_pdrop=config.dropout)


def _llama_settings(config: ModelConfig, family: Family) -> dict[str, Any]:
    settings = dict(max_position_embeddings=config.context_length, hidden_size=config.n_embd, num_hidden_layers=config.n_layer,
                    num_attention_heads=config.n_head, num_key_value_heads=config.kv_heads, head_dim=config.head_size,
                    intermediate_size=config.hidden, hidden_act="silu", rms_norm_eps=config.norm_epsilon,
                    attention_dropout=config.dropout, rope_theta=config.rope_theta)
    if family.name == "Mixtral":
        return settings | dict(num_local_experts=config.n_expert, num_experts_per_tok=config.n_expert_active, sliding_window=None,
                               router_aux_loss_coef=config.expert_balance)
    settings["attention_bias"] = config.bias
    if family.name == "Llama":
        settings["mlp_bias"] = config.bias
    if family.name == "Qwen3-MoE":
        settings |= dict(num_experts=config.n_expert, num_experts_per_tok=config.n_expert_active, norm_topk_prob=True,
                         moe_intermediate_size=config.hidden, decoder_sparse_step=1, mlp_only_layers=[],
                         router_aux_loss_coef=config.expert_balance)
    return settings


@torch.no_grad()
def weights_of(model: GPT, family: Family) -> dict[str, Tensor]:
    """All weights by their names in `model.safetensors`, none of which shares memory with another."""
    named = _gpt2_weights(model) if family.name == "GPT-2" else _llama_weights(model, family)
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in named}


def _gpt2_weights(model: GPT) -> Iterator[tuple[str, Tensor]]:
    """GPT-2 keeps its matrices the other way round, and has a bias everywhere: of 0 where the model has none."""
    yield "transformer.wte.weight", model.token_embedding.weight
    yield "transformer.wpe.weight", model.position_embedding.weight
    for i, block in enumerate(model.blocks):
        for name, module in (("ln_1", block.attention_norm), ("attn.c_attn", block.attention.qkv),
                             ("attn.c_proj", block.attention.out), ("ln_2", block.mlp_norm), ("mlp.c_fc", block.mlp.up),
                             ("mlp.c_proj", block.mlp.down)):
            yield from _with_bias(f"transformer.h.{i}.{name}", module)
    yield from _with_bias("transformer.ln_f", model.final_norm)
    if model.output is not None:
        yield "lm_head.weight", model.output.weight


def _with_bias(name: str, module: nn.Linear | nn.LayerNorm) -> Iterator[tuple[str, Tensor]]:
    weight = module.weight  # (out, in), or (C,) of a norm
    yield f"{name}.weight", weight.mT if weight.ndim == 2 else weight
    yield f"{name}.bias", torch.zeros(len(weight)) if module.bias is None else module.bias


def _llama_weights(model: GPT, family: Family) -> Iterator[tuple[str, Tensor]]:
    """Llama and those after it keep queries, keys, values, gates and values of the MLP apart."""
    yield "model.embed_tokens.weight", model.token_embedding.weight
    for i, block in enumerate(model.blocks):
        for name, tensor in _llama_layer(block, family):
            yield f"model.layers.{i}.{name}", tensor
    yield "model.norm.weight", model.final_norm.weight
    if model.output is not None:
        yield "lm_head.weight", model.output.weight


def _llama_layer(block: Block, family: Family) -> Iterator[tuple[str, Tensor]]:
    yield "input_layernorm.weight", block.attention_norm.weight
    yield "post_attention_layernorm.weight", block.mlp_norm.weight
    yield from _llama_attention(block.attention)
    if family.name in EXPERTS:
        place, *parts = EXPERTS[family.name]
        yield f"{place}.gate.weight", block.mlp.router
        for e, (up, down) in enumerate(zip(block.mlp.up, block.mlp.down, strict=True)):
            for part, matrix in zip(parts, (*up.chunk(2), down), strict=True):
                yield f"{place}.experts.{e}.{part}.weight", matrix
        return
    for kind, parameter in block.mlp.up.named_parameters():  # weight, and bias if there is one
        gate, value = parameter.chunk(2)
        yield f"mlp.gate_proj.{kind}", gate
        yield f"mlp.up_proj.{kind}", value
    for kind, parameter in block.mlp.down.named_parameters():
        yield f"mlp.down_proj.{kind}", parameter


def _llama_attention(attention: Attention) -> Iterator[tuple[str, Tensor]]:
    rows = attention.H * attention.D, attention.K * attention.D, attention.K * attention.D
    for kind, parameter in attention.qkv.named_parameters():
        for name, part in zip(("q_proj", "k_proj", "v_proj"), parameter.split(rows), strict=True):
            yield f"self_attn.{name}.{kind}", part
    for kind, parameter in attention.out.named_parameters():
        yield f"self_attn.o_proj.{kind}", parameter
    if attention.q_norm is not None:
        yield "self_attn.q_norm.weight", attention.q_norm.weight
        yield "self_attn.k_norm.weight", attention.k_norm.weight
