"""Config field <-> widget: the only translation between settings and what the page shows.

A widget's kind, bounds, choices, label and help come from the field's metadata. Knows nothing of tabs.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import gradio as gr

from gptlab.config import NAMED, ConfigError, ModelConfig, RunConfig, all_settings, field_type, valid_heads

FIELDS: dict[str, dataclasses.Field] = dict(all_settings())

# Settings worth dragging, and how far: the page's range, narrower than what a file may say. All others are boxes.
SLIDERS = {
    "model.n_layer": (1, 24), "model.n_embd": (16, 1024), "model.context_length": (16, 1024), "model.dropout": (0.0, 0.5),
    "sample.max_new_tokens": (10, 1000), "sample.temperature": (0.0, 2.0),
    "data.val_fraction": (0.01, 0.5),
}
DIVISORS = ("model.n_head", "model.n_kv_head")  # only some numbers work: a choice, not a slider
MOST_HEADS = 64
# Two sections have a field of this name; the id without a prefix belongs to the control people look for.
IDS = {"model.vocab_size": "padded-vocab-size", "data.seed": "data-seed", "sample.seed": "sampling-seed"}
EMPTY = {"text_column": "automatic", "epochs": "no limit", "max_steps": "no limit", "max_minutes": "no limit",
         "split": "automatic", "script": "any", "n_kv_head": "as many as heads", "n_expert": "no experts",
         "patience": "never", "grad_clip": "never",
         "top_k": "all", "top_p": "all", "min_p": "all", "eval_batches": "all, up to 262,144 tokens", "tokens_per_update": "one batch",
         "batch_size": "as the machine says"}


def elem_id(name: str) -> str:
    """The id of a setting's widget: "train.max_learning_rate" -> "max-learning-rate"."""
    return IDS.get(name, name.partition(".")[2].replace("_", "-"))


def label(name: str) -> str:
    """What the page calls a setting."""
    return FIELDS[name].metadata["label"]


def value_of(config: RunConfig, name: str) -> Any:
    """A setting's value: "train.max_steps" -> 2000."""
    section, _, short = name.partition(".")
    return getattr(getattr(config, section), short)


def widget(name: str, value: Any, **overrides: Any) -> gr.components.Component:
    """The widget of a setting, showing `value`. `overrides` go to the widget (`elem_id`, `scale`, …)."""
    kind, optional = field_type(name)
    meta = FIELDS[name].metadata
    common = {"label": meta["label"], "info": meta["help"], "elem_id": elem_id(name), "interactive": True,
              "value": to_widget(name, value), **overrides}
    if kind is bool:
        return gr.Checkbox(**common)
    if kind is tuple and meta["choices"]:
        return gr.CheckboxGroup(**{"choices": _choices(name), **common})
    if meta["choices"]:
        return gr.Radio(choices=_choices(name), **common)
    if name in DIVISORS:
        return gr.Dropdown(choices=offered(name, value), filterable=False, **common)
    if name in SLIDERS:
        return gr.Slider(**slider_range(name, value), **{"buttons": [], **common})
    if kind is tuple:
        return gr.Textbox(lines=3, placeholder="one a line", **common)
    if kind is str:
        return gr.Textbox(placeholder=empty(name) if optional else None, **common)
    return gr.Number(step=meta["step"] or 1, placeholder=empty(name) if optional else None, **common)


def show(name: str, value: Any, model: ModelConfig | None = None) -> Any:
    """An update that makes the widget of a setting show `value`, its range widened or narrowed to what `model` allows."""
    if name in DIVISORS:
        return gr.Dropdown(choices=offered(name, value, model), value=to_widget(name, value))
    if name in SLIDERS:
        return gr.Slider(value=value, **slider_range(name, value, model))
    return gr.update(value=to_widget(name, value))


def to_widget(name: str, value: Any) -> Any:
    """A setting's value as its widget holds it: a tuple of texts as lines, None among choices as ""."""
    kind, _ = field_type(name)
    if kind is tuple:
        return list(value or ()) if FIELDS[name].metadata["choices"] else "\n".join(value or ())
    return "" if value is None and (FIELDS[name].metadata["choices"] or name in DIVISORS) else value


def from_widget(name: str, value: Any) -> Any:
    """What a widget holds as a JSON value for `RunConfig.replace`; not checked here."""
    kind, optional = field_type(name)
    if kind is tuple:
        return list(value or ()) if FIELDS[name].metadata["choices"] else [line for line in (value or "").split("\n") if line]
    if optional and (value is None or value == ""):
        return None
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def offered(name: str, value: int | None, model: ModelConfig | None = None) -> list[tuple[str, Any]]:
    """What a choice among divisors offers: all that work, and the one that is set even if it doesn't, so that it is seen."""
    numbers = {value} - {None}
    if model is not None and name == "model.n_head":
        numbers |= {n for n in valid_heads(model.n_embd, even=model.positions == "rope") if n <= MOST_HEADS}
    elif model is not None:
        numbers |= {n for n in range(1, model.n_head + 1) if model.n_head % n == 0}
    optional = [(empty(name), "")] if field_type(name)[1] else []
    return optional + [(str(n), n) for n in sorted(numbers)]


def slider_range(name: str, value: Any, model: ModelConfig | None = None) -> dict[str, Any]:
    """Bounds and step of a slider: the page's usual ones, wider where the value needs it; widths in steps the heads divide."""
    meta = FIELDS[name].metadata
    minimum, maximum = SLIDERS[name]
    step = meta["step"]
    if name == "model.n_embd" and model is not None:
        step = math.lcm(step, model.n_head * (2 if model.positions == "rope" else 1))
        minimum = step * math.ceil(minimum / step)
        maximum = max(step * (maximum // step), minimum)
    if isinstance(value, (int, float)):
        minimum = max(meta["minimum"], min(minimum, value))
        maximum = min(meta["maximum"], max(maximum, value))
    return {"minimum": minimum, "maximum": maximum, "step": step}


def in_words(error: ConfigError) -> str:
    """A configuration's problems with the page's labels in place of the settings' names."""
    return " ".join(map(page_names, error.problems))


def page_names(text: str) -> str:
    """A sentence with the page's labels in place of the settings' names."""
    def turned(match: re.Match) -> str:
        is_switch = match[1] in FIELDS and field_type(match[1])[0] is bool
        return f"turn {match[1]} {'on' if match[2] == 'true' else 'off'}" if is_switch else match[0]

    def page_name(match: re.Match) -> str:
        return f"“{label(match[0])}”" if match[0] in FIELDS else match[0]

    return NAMED.sub(page_name, re.sub(rf"\bset ({NAMED.pattern}) to (true|false)\b", turned, text))


def value_text(name: str, value: Any) -> str:
    """A value as a command line takes it after `--set name=`."""
    kind, _ = field_type(name)
    if kind is tuple:
        return ("," if FIELDS[name].metadata["choices"] else "\n").join(value)
    return "none" if value is None else str(value)


def _choices(name: str) -> list[tuple[str, str]]:
    return [(empty(name), "") if choice is None else (str(choice), choice) for choice in FIELDS[name].metadata["choices"]]


def empty(name: str) -> str:
    """What the page says where a setting is None."""
    return EMPTY.get(name.partition(".")[2], "automatic")
