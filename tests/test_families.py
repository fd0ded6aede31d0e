"""Which family a model belongs to, and what is said to people whose model belongs to none."""

import pytest
import transformers
from test_gpt import GPT2_SHAPE, LLAMA_SHAPE

from gptlab.config import ModelConfig
from gptlab.exchange.families import Family, NoFamily, family_of

FAMILIES = [("GPT-2", dict()), ("GPT-2", GPT2_SHAPE),
            ("GPT-2", dict(GPT2_SHAPE, tie_embeddings=False, dropout=0.1, mlp_hidden=64)),
            ("Llama", LLAMA_SHAPE), ("Llama", dict(LLAMA_SHAPE, bias=True, n_kv_head=2, tie_embeddings=False, rope_theta=500.0)),
            ("Qwen3", dict(LLAMA_SHAPE, qk_norm=True, norm_epsilon=1e-6)), ("Mixtral", dict(LLAMA_SHAPE, n_expert=4)),
            ("Qwen3-MoE", dict(LLAMA_SHAPE, n_expert=4, qk_norm=True, bias=True, vocab_size=64))]


@pytest.mark.parametrize("name, settings", FAMILIES)
def test_the_family_of_each_shape(name, settings):
    family = family_of(ModelConfig(**settings))
    assert family.name == name and hasattr(transformers, family.architecture)
    assert family == Family(name, family.architecture)


@pytest.mark.parametrize("settings, nearest, words", [
    (dict(norm="rmsnorm"), "GPT-2", ["it has RMSNorm (set model.norm to layernorm)"]),
    (dict(n_kv_head=2), "GPT-2", ["its heads share keys and values (leave model.n_kv_head empty)"]),
    (dict(mlp="relu2"), "GPT-2", ["it has a squared ReLU MLP (set model.mlp to gelu or gelu_tanh)"]),
    (dict(LLAMA_SHAPE, positions="none"), "Llama", ["it has no positions (set model.positions to rope)"]),
    (dict(LLAMA_SHAPE, causal=False), "Llama", ["it has no causal mask (set model.causal to true)"]),
    (dict(LLAMA_SHAPE, residual=False, norm="none"), "Llama", ["it has no residual connections (set model.residual to true)",
                                                              "it has no normalisation (set model.norm to rmsnorm)"]),
    (dict(LLAMA_SHAPE, n_expert=4, bias=True), "Mixtral", ["it has biases (set model.bias to false)"]),
    (dict(LLAMA_SHAPE, n_expert=4, qk_norm=True, positions="learned"), "Qwen3-MoE",
     ["it has a learned table of positions (set model.positions to rope)"])])
def test_what_stands_in_the_way_is_said(settings, nearest, words):
    with pytest.raises(NoFamily) as raised:
        family_of(ModelConfig(**settings))
    said = str(raised.value)
    assert f"The nearest is {nearest}, but: {'; '.join(words)}. Train" in said


@pytest.mark.parametrize("settings", [dict(positions="none", norm="none", mlp="relu2", causal=False, residual=False,
                                           qk_norm=True),
                                      dict(norm="rmsnorm", mlp="swiglu", n_expert=2),
                                      dict(LLAMA_SHAPE, bias=True, qk_norm=True)])
def test_who_follows_the_advice_gets_the_family(settings):
    """The remedies that are named, taken word by word."""
    with pytest.raises(NoFamily) as raised:
        family_of(ModelConfig(**settings))
    said, changed = str(raised.value), dict(settings)
    for remedy in (part.partition(")")[0] for part in said.split("(")[1:]):
        name, _, value = remedy.split("model.")[1].partition(" to ")
        value = value.split(" or ")[0]
        changed[name.split()[0]] = {"true": True, "false": False, "": None}.get(value, value)
    assert family_of(ModelConfig(**changed)).name in said
