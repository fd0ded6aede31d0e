"""The sentences and labels of three dialogs on a run: train a twin, export it, measure it on a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gptlab.runs.measuring import Told

ALIKE = 0.05  # of bits per byte: texts no further apart are about as hard

NO_ANSWER = "GPT Lab does not answer. Is it still running? Try again."
NOT_OFFERED = "That is not offered here: reload the page."

TWIN = {
    "open": "Train a twin …", "title": "A twin of {name}",
    "help": "The same data, the same seed, the same settings: one thing differs. So what differs afterwards comes from that. "
            "Then both stand side by side.",
    "switches": "What is different", "other": "Another setting", "setting": "Setting", "value": "Its value", "now": "now {value}",
    "choose": "Choose what is different.", "do": "Train the twin", "doing": "Making it …", "cancel": "Cancel",
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
    "unreachable": NO_ANSWER,
}
TWIN_NAME = "{name}, {ending}"
TWIN_STARTS = "It will be called “{name}”, and starts at once."
TWIN_WAITS = "It will be called “{name}”, and waits until {training} is done."
TWIN_BEGINS = "{name} begins to train. Below, both are side by side; the curves grow as it learns."
SWITCHES = {  # by setting: (label, help) where the run has the part, and where it lacks it
    "model.positions": (("No positions", "The model no longer knows the order of what it has read."),
                        ("Learned positions", "A table tells the model the place of each token.")),
    "model.causal": (("No causal mask", "Cheating: each token sees the one it is to predict. The loss falls to nothing, and the "
                      "texts are noise."), ("Causal mask", "Each token sees only what stands before it.")),
    "model.residual": (("No residual connections", "Each part replaces what came before it, in place of adding to it."),
                       ("Residual connections", "Each part adds to what came before it.")),
    "model.norm": (("No normalisation", "Numbers may grow or shrink from layer to layer. QK-norm stays as it is set."),
                   ("LayerNorm", "Numbers are brought to the same size before each part.")),
    "model.n_head": (("One attention head", "Each block can look back over the text in one way only."),) * 2,
    "model.tie_embeddings": (("Embeddings not tied", "One table to read tokens, another one to predict them."),
                             ("Embeddings tied", "One table both to read tokens and to predict them.")),
}

EXPORT = {
    "open": "Export …", "title": "Export {name}", "format": "Format", "checkpoint": "Checkpoint", "numbers": "Numbers",
    "formats": [
        {"name": "hf", "label": "Hugging Face folder", "help": "For transformers in Python, and most tools around it."},
        {"name": "gguf", "label": "GGUF", "help": "One file for llama.cpp and Ollama, with its tokenizer."},
        {"name": "script", "label": "train.py to take home", "help": "One readable file, torch only, that trains this model anew, "
                                                                     "whatever its settings."}],
    "number_formats": {"f32": "f32: exact", "f16": "f16: half the size", "q8_0": "q8_0: a quarter of the size"},
    "do": "Export", "cancel": "Cancel", "close": "Close", "download": "Download ({size})",
    "starting": "Starting …", "others": "An export of {name} is under way: {going}",
    "nothing": "It has no checkpoint yet, so there is nothing to export: save one now, or wait until it has measured itself once.",
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
    "unreachable": NO_ANSWER,
}
EXPORT_GONE = "That file is not there any more: export it again."

EVALUATE = {
    "open": "Measure on a text …", "title": "{name} on any text",
    "help": "Paste a text, or choose a file: how well does it foretell each next token of it? Nothing is learnt from it.",
    "text": "Text", "file": "Choose a file …", "chosen": "File: {file}", "forget": "Take the file back",
    "checkpoint": "Checkpoint",
    "do": "Measure", "cancel": "Cancel", "close": "Close", "starting": "Starting …",
    "uploading": "Reading the file …", "empty": "Paste a text or choose a file first.",
    "others": "A text is being measured with {name}: {going}",
    "columns": ["", "Loss", "As unsure as picking among", "Bits per byte", "Tokens"], "this": "This text",
    "own": "Its own unseen text (val), step {step}",
    "said": "It is as unsure at each token as if it picked among {among}.",
    "harder": "This text is harder for it than its own unseen text.",
    "easier": "This text is easier for it than its own unseen text.",
    "alike": "That is about as hard as its own unseen text.",
    "nothing": "It has no checkpoint yet, so there is nothing to measure: save one now, or wait until it has measured itself once.",
    "fair": "Bits per byte compares texts; lower is better, and 8 is no better than listing bytes. The loss and the tokens depend on "
            "how the tokenizer cuts each text.",
    "unreachable": NO_ANSWER,
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
}

DIALOGS = {"twin": TWIN["open"], "export": EXPORT["open"], "evaluate": EVALUATE["open"]}  # by what window.gptlab calls them


def measured(told: Told) -> dict:
    """What was found of a text: `said` in a sentence, and `rows` for the table, beside the run's own unseen text."""
    rows = [[EVALUATE["this"], *_numbers(told.text), f"{told.tokens:,}"]]
    if told.own is not None:
        rows.append([EVALUATE["own"].format(step=f"{told.step:,}"), *_numbers(told.own), ""])
    said = EVALUATE["said"].format(among=among(told.text[1]))
    if told.own is not None:
        harder = told.text[2] / told.own[2] if told.own[2] else math.inf
        said += " " + EVALUATE["harder" if harder > 1 + ALIKE else "easier" if harder < 1 - ALIKE else "alike"]
    return {"said": said, "rows": rows}


def _numbers(values: tuple[float, float, float]) -> list[str]:
    loss, perplexity, bits_per_byte = values
    return [f"{loss:.3f}", f"{among(perplexity)} tokens", f"{bits_per_byte:.3f}"]


def among(perplexity: float) -> str:
    """A perplexity as people say it: 1.4, 12, 3,400."""
    return f"{perplexity:.1f}" if perplexity < 10 else f"{perplexity:,.0f}"
