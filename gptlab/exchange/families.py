"""Which published family a model belongs to, so that programs made for that family run it: or what stands in the way.

Knows settings alone; the names that families give to weights stand with the formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gptlab.config import ModelConfig


class NoFamily(ValueError):
    """No family is made like this model; the text names every switch that stands in the way, and what to set instead."""


@dataclass(frozen=True)
class Family:
    """`name` as people say it, `architecture` the class of Hugging Face's transformers that is made like it."""

    name: str
    architecture: str


@dataclass(frozen=True)
class Demand:
    """What a family asks of a model: a `setting` for which `holds`, else `has` says what the model has instead and `remedy`
    what to set."""

    setting: str
    holds: Callable[[ModelConfig], bool]
    has: Callable[[ModelConfig], str]
    remedy: str


def _one_of(setting: str, choices: tuple, has: Callable[[ModelConfig], str]) -> Demand:
    spelled = " or ".join(str(choice).lower() for choice in choices)  # true and false, as --set has them
    return Demand(setting, lambda config: getattr(config, setting) in choices, has, f"set model.{setting} to {spelled}")


POSITIONS = {"learned": "a learned table of positions", "rope": "rotary positions", "none": "no positions"}
NORMS = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm", "none": "no normalisation"}
MLPS = {"gelu": "a GELU MLP", "gelu_tanh": "a GELU MLP", "swiglu": "a SwiGLU MLP", "relu2": "a squared ReLU MLP"}


def _parts(positions: str, norm: str, *mlps: str) -> tuple[Demand, ...]:
    """What all families ask for, and the parts in which they differ."""
    return (_one_of("causal", (True,), lambda config: "it has no causal mask"),
            _one_of("residual", (True,), lambda config: "it has no residual connections"),
            _one_of("positions", (positions,), lambda config: f"it has {POSITIONS[config.positions]}"),
            _one_of("norm", (norm,), lambda config: f"it has {NORMS[config.norm]}"),
            _one_of("mlp", mlps, lambda config: f"it has {MLPS[config.mlp]}"))


_LLAMA_PARTS = _parts("rope", "rmsnorm", "swiglu")
_NO_EXPERTS = Demand("n_expert", lambda config: config.n_expert is None, lambda config: "it has experts",
                     "leave model.n_expert empty")
_EXPERTS = Demand("n_expert", lambda config: config.n_expert is not None, lambda config: "it has no experts",
                  "set model.n_expert to 4")
_NO_QK_NORM = _one_of("qk_norm", (False,), lambda config: "it normalises queries and keys")
_QK_NORM = _one_of("qk_norm", (True,), lambda config: "it does not normalise queries and keys")
_NO_BIAS = _one_of("bias", (False,), lambda config: "it has biases")
_OWN_KEYS = Demand("n_kv_head", lambda config: config.kv_heads == config.n_head,
                   lambda config: "its heads share keys and values", "leave model.n_kv_head empty")

# Of equally near ones the first is named, but for one that would give the model experts or take them. A GPT-2 without biases
# has biases of zero.
DEMANDS: dict[Family, tuple[Demand, ...]] = {
    Family("GPT-2", "GPT2LMHeadModel"): (*_parts("learned", "layernorm", "gelu", "gelu_tanh"), _NO_QK_NORM, _OWN_KEYS,
                                         _NO_EXPERTS),
    Family("Llama", "LlamaForCausalLM"): (*_LLAMA_PARTS, _NO_QK_NORM, _NO_EXPERTS),
    Family("Qwen3", "Qwen3ForCausalLM"): (*_LLAMA_PARTS, _QK_NORM, _NO_BIAS, _NO_EXPERTS),
    Family("Mixtral", "MixtralForCausalLM"): (*_LLAMA_PARTS, _NO_QK_NORM, _NO_BIAS, _EXPERTS),
    Family("Qwen3-MoE", "Qwen3MoeForCausalLM"): (*_LLAMA_PARTS, _QK_NORM, _EXPERTS),
}


def family_of(config: ModelConfig) -> Family:
    """The family whose models are exactly like this one. Raises NoFamily."""
    missing = {family: [demand for demand in demands if not demand.holds(config)] for family, demands in DEMANDS.items()}
    nearest = min(missing, key=lambda family: (len(missing[family]), not {_EXPERTS, _NO_EXPERTS}.isdisjoint(missing[family])))
    if missing[nearest]:
        reasons = "; ".join(f"{demand.has(config)} ({demand.remedy})" for demand in missing[nearest])
        raise NoFamily(f"This model belongs to no family that other programs know. The nearest is {nearest.name}, but: "
                       f"{reasons}. Train one with that changed; this one can still train, write, and be exported as a script.")
    return nearest
