"""The model card: what is said of an exported model in its `README.md`, for people who did not make it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from gptlab.config import RunConfig, changes
from gptlab.events import Evaluation
from gptlab.exchange.export import Source
from gptlab.exchange.families import Family
from gptlab.model.estimate import total_parameters
from gptlab.runs.changes import live_config
from gptlab.runs.history import RunHistory

ROWS = 12  # of the table of losses, about
OPENING_CHARACTERS = 24
TOKENS = {"char": "one character each", "byte": "one byte each", "bpe": "pieces of words, learnt from the text"}
BASELINES = {"uniform": "pure guessing", "unigram": "counting tokens", "bigram": "counting pairs of tokens",
             "entropy_floor": "the best possible"}
PRIVATE = ("data.source", "data.tokenizer_file")  # paths on the machine where it was trained


def card(source: Source, family: Family, history: RunHistory, picture: str | None) -> str:
    """The text, in Markdown; `picture` is the name of the file that shows the loss over the steps, if there is one."""
    name, end = plain(source.run.name), source.tokenizer.token_text(source.tokenizer.end_of_text)
    parameters = total_parameters(source.config.model, source.tokenizer.vocab_size)
    return "\n".join((
        "---", "library_name: transformers", "pipeline_tag: text-generation", "tags:", "- gpt-lab", "---", "",
        f"# {name}", "",
        f"A {family.name} language model of {parameters:,} parameters, trained from scratch with GPT Lab on the data set "
        f"*{plain(source.manifest['name'])}*; its weights are those of step {source.step:,}. It continues text like that which "
        "it was trained on, and knows nothing else.", "",
        "## How to use it", "", "```python", *_snippet(source), "```", "",
        *(f"- {note}" for note in _notes(source, end)), "",
        "## How good it is", "", *_losses(source, history, picture), "",
        "## What it was trained on", "", *_table(("", ""), _data(source)), "",
        "## Settings that differ from GPT Lab's defaults", "", *_settings(source), ""))


def _snippet(source: Source) -> list[str]:
    """Code that runs as it stands, from within the folder."""
    ids = source.prompt_ids()[0, :source.config.model.context_length // 2].tolist()  # half of the context is left to write in
    line = source.tokenizer.decode(ids).strip().partition("\n")[0][:OPENING_CHARACTERS]
    opening = line.rpartition(" ")[0] or line
    return ["from transformers import AutoModelForCausalLM, AutoTokenizer", "",
            'tokenizer = AutoTokenizer.from_pretrained(".")  # this folder',
            'model = AutoModelForCausalLM.from_pretrained(".")',
            f'tokens = tokenizer({ascii(opening)}, return_tensors="pt")',
            "print(tokenizer.decode(model.generate(**tokens)[0]))"]


def _notes(source: Source, end: str) -> list[str]:
    """What somebody who knows other models would trip over."""
    kind, model, known = source.tokenizer.kind, source.model, source.tokenizer.vocab_size
    notes = [f"It sees {source.config.model.context_length:,} tokens and writes no further than that.",
             f"Token {source.tokenizer.end_of_text:,} ends a text, and begins one that has no opening. Where a text holds the "
             f"characters `{end}`, they are read as these characters."]
    if kind == "char":
        notes.append("A token is a character. One that its training text does not have is refused, in GPT Lab as here "
                     "(`Missing [UNK] token`): there is nothing that the model could take it for. Leave such characters out.")
    if model.vocab_size > known:
        notes.append(f"Of the {model.vocab_size:,} rows of its token table, {known:,} stand for tokens; the others are never "
                     "drawn.")
    return notes


def _losses(source: Source, history: RunHistory, picture: str | None) -> Iterable[str]:
    """What was measured on unseen text, and how that came about."""
    baselines = source.manifest["baselines"]
    here = next((one for one in history.evaluations if one.step == source.step), None)
    if here is not None:
        yield (f"On text it has not seen, its loss is **{here.val_loss:.4f}** nats per token: as unsure as picking among "
               f"{here.val_perplexity:.2f} tokens, or {here.val_bits_per_byte:.4f} bits per byte.")
        yield ""
    known = [(words, f"{baselines[name]:.4f}") for name, words in BASELINES.items() if baselines.get(name) is not None]
    yield from _table(("Loss per token of", "nats"), known)
    if picture is not None:
        yield from ("", f"![The loss over the steps of the training]({picture})")
    if history.evaluations:
        yield ""
        rows = map(_row, with_one(history.table(ROWS), here))
        yield from _table(("Step", "Epoch", "Loss on training text", "Loss on unseen text"), rows)


def with_one(rows: list[Evaluation], here: Evaluation | None) -> list[Evaluation]:
    """The rows, with that of the exported step among them."""
    return rows if here is None or here in rows else sorted([*rows, here], key=lambda one: one.step)


def _row(one: Evaluation) -> tuple[str, ...]:
    return f"{one.step:,}", f"{one.epoch:.2f}", _number(one.train_loss), _number(one.val_loss)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def _data(source: Source) -> list[tuple[str, str]]:
    manifest = source.manifest
    return [("Data set", manifest["name"]), ("Source", manifest["source"]), ("Hash", manifest["hash"]),
            ("Documents", f"{manifest['documents']:,}"), ("Characters", f"{manifest['characters']:,}"),
            ("Tokens to learn from", f"{manifest['train_tokens']:,}"), ("Tokens held out", f"{manifest['val_tokens']:,}"),
            ("Tokens", TOKENS.get(manifest["tokenizer"], "as a tokenizer.json says")),
            ("Vocabulary", f"{manifest['vocab_size']:,}")]


def _settings(source: Source) -> list[str]:
    """As the run had them at that step."""
    differing = changes(live_config(source.run, source.step), RunConfig())
    rows = [(f"`{name}`", _value(value)) for name, value in differing.items() if name not in PRIVATE]
    return _table(("Setting", "Value"), rows) if rows else ["None."]


def _value(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([plain(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def plain(text: str) -> str:
    """Any text as one line that is neither HTML nor the end of a cell."""
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")
