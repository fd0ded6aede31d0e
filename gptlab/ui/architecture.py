"""The model of a draft, taken apart for the Model tab: its parts with what each holds and does, their picture, and the module
tree as PyTorch prints it.

From settings alone, so that it can follow a slider. Every number is `estimate.parameters`': those on the boxes add up to its
sum. Letters for shapes: B batch, T tokens, C channels, L layers, V rows in the token table.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from gptlab.config import ConfigError, ModelConfig, RunConfig
from gptlab.model import estimate
from gptlab.ui import words_model as words
from gptlab.ui.architecture_svg import block_svg, stack_svg
from gptlab.ui.lab import Lab, draft_config, draft_dataset, draft_preset, read_draft
from gptlab.ui.model_facts import usual_vocabulary

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "architecture.js")  # in this order, as one function


@dataclass(frozen=True)
class Part:
    """A box of the picture: `parameters` it holds (None for what is no part of the model, as tokens are), what goes out as
    `shape`, and whether it is `missing`, so that its place is shown empty."""

    name: str
    says: str
    parameters: int | None = None
    detail: str = ""
    shape: tuple[int | str, ...] = ()
    missing: bool = False


def component() -> gr.HTML:
    """The picture and the tree. Its value is `shown`'s. (Its words are no properties: Gradio 6.31 loses those at a gr.skip().)"""
    scripts = [f"const words = {json.dumps(words.PICTURE)};", *((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)]
    return gr.HTML(elem_id="architecture", html_template=(HERE / "architecture.html").read_text(encoding="utf-8"),
                   apply_default_css=False, js_on_load="\n".join(scripts), value={})


def shown(lab: Lab, draft) -> dict:
    """What the component shows of a draft. Raises ConfigError where its settings make no model."""
    config, name = draft_config(lab, draft), draft_dataset(lab, draft)
    vocab_size = lab.preparations.manifest(name)["vocab_size"] if name else usual_vocabulary(config)
    return described(config.model, vocab_size, config.train.batch_size or "B")


def last_shown(lab: Lab, draft) -> dict:
    """As `shown`, of the last state of the draft that makes a model, for a page that has not seen it yet."""
    draft = read_draft(draft)
    for state in (draft, *reversed(draft["history"]), {**draft, "changes": {}}):
        try:
            return shown(lab, {**draft, "preset": state["preset"], "changes": state["changes"]})
        except ConfigError:
            continue
    preset = draft_preset(draft).config  # whose context is too long for the data
    return described(preset.model, usual_vocabulary(preset), preset.train.batch_size or "B")


@functools.lru_cache(maxsize=64)
def described(config: ModelConfig, vocab_size: int, batch_size: int | str) -> dict:
    """The picture (two drawings: the stack, and one of its blocks), in words, what each part does, and the module tree."""
    parts = anatomy(config, vocab_size, batch_size)
    return {"stack": stack_svg(config, parts), "block": block_svg(config, parts),
            "alt": words.in_words(config, parts, estimate.total_parameters(config, vocab_size)),
            "says": {name: part.says for name, part in parts.items()},
            "legend": words.legend(batch_size, config.context_length, config.n_embd), "tree": module_tree(config, vocab_size)}


def anatomy(config: ModelConfig, vocab_size: int, batch_size: int | str) -> dict[str, Part]:
    """All parts of a model by name, in the order in which they are gone through; those of a block as one block has them."""
    C, L, V = config.n_embd, config.n_layer, estimate.table_rows(config, vocab_size)
    B, T = batch_size, config.context_length
    counts, stream = estimate.parameters(config, vocab_size), (B, T, C)
    final_norm = estimate.parameters(dataclasses.replace(config, n_layer=0), vocab_size)["norms"]
    in_blocks = sum(counts[name] for name in ("attention", "mlp", "norms")) - final_norm
    parts = {"tokens": Part(words.TOKENS, words.SAYS["tokens"].format(B=B, T=T), shape=(B, T)),
             "token_embedding": Part(words.TOKEN_TABLE, words.SAYS["token_embedding"].format(C=C, V=V), counts["token_embedding"],
                                     f"{V:,} × {C:,}", stream)}
    if config.positions == "learned":
        parts["position_embedding"] = Part(words.POSITION_TABLE, words.SAYS["position_embedding"].format(C=C, T=T),
                                           counts["position_embedding"], f"{T:,} × {C:,}", stream)
    elif config.positions == "none":
        parts["position_embedding"] = Part(words.NO_POSITIONS, words.SAYS["no_positions"], missing=True)
    parts["blocks"] = Part(words.blocks(L), words.SAYS["blocks"].format(L=L), in_blocks, words.of_each(in_blocks // L), stream)
    parts |= _block(config, counts, final_norm, stream)
    no_norm, norm = config.norm == "none", words.FINAL_NORM.format(norm=words.NORMS[config.norm])
    parts["final_norm"] = Part(words.NORMS["none"] if no_norm else norm, words.SAYS["no_final_norm" if no_norm else "final_norm"],
                               None if no_norm else final_norm, shape=stream, missing=no_norm)
    tied = config.tie_embeddings
    parts["output"] = Part(words.OUTPUT_TABLE, words.SAYS["tied" if tied else "output"].format(C=C, V=V), counts["output"],
                           words.TIED if tied else f"{V:,} × {C:,}", (B, T, V))
    parts["logits"] = Part(words.LOGITS, words.SAYS["logits"].format(V=V), shape=(B, T, V))
    return parts


def _block(config: ModelConfig, counts: dict[str, int], norm: int, stream: tuple) -> dict[str, Part]:
    """The parts of one block. `norm` is what one norm of the stream holds."""
    L, no_norm, residual = config.n_layer, config.norm == "none", "residual" if config.residual else "no_residual"
    qk_norms = (counts["norms"] - norm) // L - 2 * norm
    one_norm = Part(words.NORMS[config.norm], words.SAYS["no_norm" if no_norm else "norm"].format(C=config.n_embd),
                    None if no_norm else norm, shape=stream, missing=no_norm)
    attention = Part(words.ATTENTION, words.looks(config), counts["attention"] // L + qk_norms, words.heads(config), stream)
    parts = {"attention_norm": one_norm, "attention": attention, "mlp_norm": one_norm}
    kind, mlp, active = words.MLP_KINDS[config.mlp], counts["mlp"] // L, config.n_expert_active
    if config.n_expert is None:
        says = words.SAYS["mlp"].format(hidden=config.hidden, kind=kind, C=config.n_embd)
        parts["mlp"] = Part(f"MLP · {kind}", says, mlp, f"{config.n_embd:,} → {config.hidden:,} → {config.n_embd:,}", stream)
    else:
        router, used = config.n_expert * config.n_embd, estimate.mlp_parameters(config, active=True)
        parts["router"] = Part(words.ROUTER, words.SAYS["router"].format(E=config.n_expert, A=active), router,
                               f"{config.n_embd:,} → {config.n_expert}", (*stream[:2], config.n_expert))
        says = words.SAYS["experts"].format(E=config.n_expert, A=active, active=used - router)
        parts["mlp"] = Part(words.experts(config.n_expert, kind), says, mlp - router,
                            words.expert(config.n_embd, config.hidden, active), stream)
    return {**parts, "residual": Part("", words.SAYS[residual], missing=not config.residual)}


def module_tree(config: ModelConfig, vocab_size: int) -> str:
    """What `print(model)` prints of that model, without its numbers in memory and as quickly for 96 layers as for one."""
    import torch

    from gptlab.model.gpt import GPT

    with torch.device("meta"):
        model = GPT(dataclasses.replace(config, n_layer=1), vocab_size)
    model.blocks.extend([model.blocks[0]] * (config.n_layer - 1))  # PyTorch prints equal blocks once, with their number
    return repr(model)
