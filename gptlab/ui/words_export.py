"""The sentences and labels of three dialogs on a run: train a twin, export it, measure it on a text."""

from __future__ import annotations

UNREACHABLE = "GPT Lab does not answer. Is it still running? Try again."
NOT_OFFERED = "That is not offered here: reload the page."

TWIN = {
    "open": "Train a twin …", "title": "A twin of {name}",
    "help": "The same data, the same seed, the same settings: one thing differs. So what differs afterwards comes from that. "
            "Then both stand side by side.",
    "switches": "What is different", "other": "Another setting", "setting": "Setting", "value": "Its value", "now": "now {value}",
    "choose": "Choose what is different.", "do": "Train the twin", "doing": "Making it …", "cancel": "Cancel",
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
    "unreachable": UNREACHABLE,
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
    "model.norm": (("No normalisation", "Numbers may grow or shrink from layer to layer."),
                   ("LayerNorm", "Numbers are brought to the same size before each part.")),
    "model.n_head": (("One attention head", "Each block can look back over the text in one way only."),) * 2,
    "model.tie_embeddings": (("Embeddings tied", "One table both to read tokens and to predict them."),
                             ("Embeddings not tied", "One table to read tokens, another one to predict them.")),
}

EXPORT = {
    "open": "Export …", "title": "Export {name}", "format": "Format", "checkpoint": "Checkpoint", "numbers": "Numbers",
    "formats": [
        {"name": "hf", "label": "Hugging Face folder", "help": "For transformers in Python, and most tools around it."},
        {"name": "gguf", "label": "GGUF", "help": "One file for llama.cpp and Ollama, with its tokenizer."},
        {"name": "script", "label": "train.py to take home", "help": "One readable file, torch only, that trains this model anew. "
                                                                   "It takes any combination of settings."}],
    "number_formats": {"f32": "f32: exact", "f16": "f16: half the size", "q8_0": "q8_0: a quarter of the size"},
    "do": "Export", "again": "Export again", "cancel": "Cancel", "close": "Close", "download": "Download ({size})",
    "starting": "Starting …", "others": "An export of {name} is under way: {going}", "nothing": "It has no checkpoint yet: there is "
    "nothing to export. Wait until it has measured itself once, or save a checkpoint now.",
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
    "unreachable": UNREACHABLE,
}
EXPORT_BUSY = "{name} is being exported: wait for that, or cancel it."
EXPORT_CANCELLED = "Cancelled: nothing was made."
EXPORT_GONE = "That file is not there any more: export it again."
EXPORT_DIFFERENCE = "{checked} Largest difference of the logits: {difference}."

EVALUATE = {
    "open": "Measure on a text …", "title": "{name} on any text", "help": "Paste a text, or choose a file: how well does it foretell "
    "each next token of it? The text is not kept, and nothing is learnt from it.",
    "text": "Text", "file": "Choose a file …", "chosen": "File: {file}", "forget": "Take the file back", "checkpoint": "Checkpoint",
    "do": "Measure", "again": "Measure again", "cancel": "Cancel", "close": "Close", "starting": "Starting …",
    "uploading": "Reading the file …", "empty": "Paste a text or choose a file first.",
    "others": "A text is being measured with {name}: {going}",
    "columns": ["", "Loss", "As unsure as picking among", "Bits per byte", "Tokens"], "this": "This text",
    "own": "Its own unseen text (val), step {step}", "fair": "Bits per byte compares texts; lower is better, and 8 is no better than "
    "listing bytes. The loss and the tokens depend on how the tokenizer cuts each text.",
    "unreachable": UNREACHABLE,
    "copy": "Copy as command", "copied": "Copied", "copy_refused": "This browser did not let it be copied",
}
EVALUATE_BUSY = "A text is being measured with {name}: wait for that, or cancel it."
EVALUATE_CANCELLED = "Cancelled."
EVALUATE_NO_TEXT = "There is no text: paste one, or choose a file."
