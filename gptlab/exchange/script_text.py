"""The text of a train.py: `script.template` with what a run has no use for left out, and its numbers put in.

In the template, what stands between `#: if …` and `#: elif …`, `#: else` or `#: end`, and a line that ends with `  #: if …`,
is kept where that holds of the run (the names are those of `_facts`), and so is what stands in `[[…: here]]` within a line;
`{{name}}` stands for a value (`_values`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.exchange.export import Source
from gptlab.exchange.script_run import Done
from gptlab.model.estimate import LOGITS_AT_ONCE
from gptlab.model.gpt import first_gain
from gptlab.train import cores
from gptlab.train.evaluation import MOST_VAL_TOKENS
from gptlab.train.plan import Plan

INLINE = re.compile(r"\[\[([\w ]+): (.*?)\]\]")
TEMPLATE = Path(__file__).with_name("script.template")
PROMPT_TOKENS = 16
SCHEDULES = {"cosine": "it falls along half a cosine", "linear": "it falls in a line", "constant": "always the same",
             "wsd": "it stays, and falls over the last fifth"}
MOST_LINES = 299


def script_text(source: Source, dataset: Dataset, done: Done) -> str:
    """The whole file. Of a model with so much in it that it would be too long, without the sample, then without evaluations."""
    facts = _facts(source, dataset, done)
    for left_out in ({}, {"sample": False, "top_k": False}, {"evaluation": False, "patience": False}):
        facts |= left_out
        lines = kept(TEMPLATE.read_text(encoding="utf-8").splitlines(), facts)
        if len(lines) <= MOST_LINES:
            break
    text = "\n".join(lines) + "\n"
    text = INLINE.sub(lambda match: match[2] if _holds(match[1], facts) else "", text)
    for full, short in _without(facts):
        text = text.replace(full, short)
    if not facts["dropout"]:
        text = re.sub(r"F\.dropout\((.*), DROPOUT, self\.training\)", r"\1", text)
    values = _values(source, dataset, done, facts)
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: str(values[match[1]]), text)
    roomy = re.sub(r"\n\n(?=@|def |class |# --- )", "\n\n\n", text)  # as Python is written, where there is room
    roomy = re.sub(r"(# --- .* ---\n)", r"\1\n", roomy)
    return roomy if roomy.count("\n") <= MOST_LINES else text


def kept(lines: list[str], facts: dict[str, bool]) -> list[str]:
    """The template's lines that the facts ask for."""
    found, within = [], []  # of each `if` that stands open: [whether this part of it is kept, whether any part so far was]
    for line in lines:
        before, marker, condition = line.partition("#: ")
        word, _, rest = condition.partition(" ")
        holds = _holds(rest, facts) if word in ("if", "elif") else True
        if not marker or before.strip():
            if holds and all(keeping for keeping, _ in within):
                found.append(before.rstrip())
        elif word == "if":
            within.append([holds, holds])
        elif word == "end":
            within.pop()
        else:
            within[-1] = [holds and not within[-1][1], holds or within[-1][1]]
    return found


def _holds(condition: str, facts: dict[str, bool]) -> bool:
    """Whether "rope and not narrow" is true: the template's own words, none from elsewhere."""
    return bool(eval(condition, {"__builtins__": {}}, facts))


def _facts(source: Source, dataset: Dataset, done: Done) -> dict[str, bool]:
    """What is true of a run."""
    model, train, processor = done.config.model, done.config.train, done.device == "cpu"
    sequences = train.sequences(model.context_length)
    several = processor and done.threads > 1
    side_by_side = (several and not model.dropout and done.threads <= sequences
                    and cores.fits(done.threads, list(source.model.parameters())))
    of_a_part = {len(part) for part in _parts(sequences, done.threads if side_by_side else 1)}
    at_once = {n * model.context_length * source.model.vocab_size > LOGITS_AT_ONCE for n in of_a_part}
    muon, changed = train.optimizer == "muon", {name for changes in done.changes.values() for name in changes}
    return {
        "processor": processor, "gpu": not processor, "cuda": done.device == "cuda", "mps": done.device == "mps",
        "narrow": done.precision == "bf16", "pool": side_by_side or (several and muon), "cores": side_by_side,
        "learned": model.positions == "learned", "rope": model.positions == "rope",
        "norm": model.norm != "none", "rmsnorm": model.norm == "rmsnorm", "qk_norm": model.qk_norm,
        "eps": model.norm != "none" or model.qk_norm,
        "first_gain": model.norm != "none" and first_gain(model, source.model.vocab_size) != 1.0,
        "grouped": model.kv_heads != model.n_head, "causal": model.causal, "residual": model.residual, "bias": model.bias,
        "untied": not model.tie_embeddings, "dropout": model.dropout > 0,
        "experts": model.n_expert is not None, "balanced": model.n_expert is not None and model.expert_balance > 0,
        **{kind: model.mlp == kind for kind in ("swiglu", "relu2", "gelu", "gelu_tanh")},
        "checkpointing": train.gradient_checkpointing, "pieces": True in at_once, "whole": False in at_once,
        "muon": muon, **_shapes(source, done), "clip": train.grad_clip is not None,
        "vectors": any(parameter.dim() < 2 for parameter in source.model.parameters()),
        **{kind: done.schedule == kind for kind in SCHEDULES}, "warmup": train.warmup_steps > 0,
        "accumulation": Plan(done.config, len(dataset.train)).batches_per_update > 1, "epochs": train.order == "epoch",
        "patience": train.patience is not None or "train.patience" in changed, "changes": bool(_changes(done)),
        "end": "end" in changed and done.schedule != "constant",
        "unknown_end": done.end is None and done.schedule != "constant",
        "short_val": len(dataset.val) <= model.context_length,
        "sample": True, "evaluation": True,
        "greedy": _greedy(done.config), "top_k": not _greedy(done.config) and done.config.sample.top_k is not None,
    }


def _parts(sequences: int, count: int) -> list[range]:
    """As a tensor's `tensor_split`."""
    return [range(sequences * i // count, sequences * (i + 1) // count) for i in range(count)]


def _shapes(source: Source, done: Done) -> dict[str, bool]:
    """Which kinds of matrices Muon makes orthogonal."""
    model, shapes = done.config.model, set()
    for name, parameter in source.model.named_parameters():
        if name.startswith("blocks.") and parameter.dim() >= 2:
            heads = (model.n_head, model.kv_heads)
            rows = [n * model.head_size for n in heads] if ".qkv." in name else [parameter.size(-2)]
            shapes |= {(one, parameter.size(-1)) for one in rows}
    long = {max(shape) >= 2 * min(shape) for shape in shapes}
    return {"tall": any(rows > columns for rows, columns in shapes), "long": True in long,
            "square": False in long or done.device == "cuda"}


def _greedy(config: RunConfig) -> bool:
    return config.sample.greedy or config.sample.temperature == 0


def _without(facts: dict[str, bool]) -> list[tuple[str, str]]:
    """What the template says for a model with everything, and what a model without it says instead."""
    pairs = []
    if not facts["norm"]:
        pairs += [(f"self.{norm}(x)", "x") for norm in ("attention_norm", "mlp_norm", "final_norm")]
    if not facts["residual"]:
        pairs += [("x = x + self.attention(", "x = self.attention("), ("return x + self.mlp(", "return self.mlp(")]
    if not facts["balanced"]:
        pairs += [(", balance", ""), ("), [])[0", "))[0")]
    if facts["grouped"]:
        pairs += [("# (B, T, 3H, D)", "# (B, T, H + 2K, D)"), ("# (B, T, 2H, D)", "# (B, T, H + K, D)"),
                  ("# (B, T, H, D) both", "# (B, T, H, D), (B, T, K, D)"),
                  ("# (B, T, H, D) of each", "# (B, T, H, D), then (B, T, K, D) twice"),
                  ("# (B, H, T, D) of each", "# (B, H, T, D), then (B, K, T, D) twice")]
    else:
        pairs += [("N_HEAD + N_KV_HEAD", "2 * N_HEAD"), ("N_KV_HEAD", "N_HEAD")]
    return pairs


def _values(source: Source, dataset: Dataset, done: Done, facts: dict[str, bool]) -> dict[str, Any]:
    """What stands for each `{{name}}`."""
    config, model, train, sample = done.config, done.config.model, done.config.train, done.config.sample
    plan, sequences = Plan(config, len(dataset.train)), train.sequences(done.config.model.context_length)
    settings = {name: repr(value) for section in (model, train, sample) for name, value in vars(section).items()}
    prompt, rms_norm = prompt_ids(source), "RMSNorm" if facts["narrow"] else "nn.RMSNorm"
    options = {"is_causal=True": model.causal, "dropout_p=DROPOUT if self.training else 0.0": facts["dropout"],
               "enable_gqa=True": facts["grouped"]}
    return settings | _words(source, done, facts) | {
        "threads": done.threads, "kv_heads": model.kv_heads, "hidden": model.hidden, "vocab_size": source.model.vocab_size,
        "first_gain": repr(first_gain(model, source.model.vocab_size)) if facts["norm"] else "", "batch_size": sequences,
        "batches_per_update": plan.batches_per_update, "steps": done.steps, "eval_stride": _eval_stride(config, dataset),
        "end": ("END" if facts["end"] else "STEPS"), "first_end": repr(done.end), "changes": _changes(done),
        "prompt": prompt, "prompt_text": repr(source.tokenizer.decode(prompt)),
        "attention_options": "".join(f", {option}" for option, wanted in options.items() if wanted),
        "RMSNorm": rms_norm, "norm_layer": (f"{rms_norm}(N_EMBD, eps=NORM_EPSILON)" if facts["rmsnorm"] else
                                            f"nn.LayerNorm(N_EMBD, eps=NORM_EPSILON, bias={model.bias})"),
        "table": "self.output.weight" if facts["untied"] else "self.token_embedding.weight",
        "model_table": "model.output.weight" if facts["untied"] else "model.token_embedding.weight",
        "device": "DEVICE" if facts["gpu"] else '"cpu"', "on_device": ", device=DEVICE" if facts["gpu"] else "",
        "to_device": ".to(DEVICE)" if facts["gpu"] else "", "to_processor": ".cpu()" if facts["gpu"] else "",
        "float": ".float()" if facts["narrow"] else "", "narrow": ".bfloat16()" if facts["narrow"] else "",
        "logits_at_once": f"2**{LOGITS_AT_ONCE.bit_length() - 1}", "warmup": "WARMUP_STEPS" if facts["warmup"] else "0",
        "share": " * (1 / BATCHES_PER_UPDATE)" if facts["accumulation"] else "",
        "dtype": dataset.train.dtype.name, "token_bytes": dataset.train.dtype.itemsize,
    }


def _words(source: Source, done: Done, facts: dict[str, bool]) -> dict[str, str]:
    """What the script says of itself. Names come from elsewhere and must not end its text, so only letters and such are said."""
    run, data = (re.sub(r"[^\w .-]", "", str(name), flags=re.ASCII)[:60] for name in (source.run.id, source.manifest.get("name")))
    parameters = sum(parameter.numel() for parameter in source.model.parameters())
    return {"title": f"A language model of {parameters:,} parameters, and its training.",
            "origin": f"Run {run} of GPT Lab, on the data set '{data}'.",
            "schedule": ("it rises in a line at first, then " if facts["warmup"] else "") + SCHEDULES[done.schedule]}


def _changes(done: Done) -> dict[int, dict[str, Any]]:
    """What to change after how many updates, by the script's names."""
    unknown = {"end", "train.min_learning_rate"} if done.schedule == "constant" else set()
    named = {step: {name.removeprefix("train.").upper(): value for name, value in changes.items() if name not in unknown}
             for step, changes in done.changes.items()}
    return {step: changes for step, changes in named.items() if changes}


def _eval_stride(config: RunConfig, dataset: Dataset) -> int:
    """Tokens from one window of unseen text to the next, so that about as much is measured as in the run."""
    T = config.model.context_length
    most = MOST_VAL_TOKENS // T if config.train.eval_batches is None else config.train.eval_batches * config.train.sequences(T)
    return max(T, -(-(len(dataset.val) - T) // max(1, most)))


def prompt_ids(source: Source) -> list[int]:
    """What the script's sample begins with: the run's first prompt, or the first words of unseen text."""
    prompts = source.config.sample.prompts
    text = prompts[0] if prompts else " ".join(source.prompt.split()[:3])
    return source.tokenizer.encode(text)[:PROMPT_TOKENS].tolist() or [source.tokenizer.end_of_text]


def tokens_json(source: Source) -> str:
    """What each token stands for: a list of texts whose characters are bytes; end-of-text and its like by their names."""
    tokenizer = source.tokenizer
    pieces = tokenizer.pieces or [b""] * tokenizer.vocab_size
    return json.dumps([(piece or tokenizer.token_text(id).encode("utf-8")).decode("latin-1") for id, piece in enumerate(pieces)],
                      ensure_ascii=True)
