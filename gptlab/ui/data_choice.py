"""What is chosen on the Data tab, as values: the settings to prepare a text with, what a source suggests, and what a browser kept.

Reads no text and prepares none.
"""

from __future__ import annotations

import re
from pathlib import Path

from gradio.utils import get_upload_folder

from gptlab.config import ConfigError, DataConfig, RunConfig
from gptlab.data.formats import is_table
from gptlab.data.sources import BUILTINS
from gptlab.ui import data_facts, form, words
from gptlab.ui.lab import draft_preset

FILE = "file"  # among the sources: the uploaded one
CLEANING = ("data.cleaning", "data.min_characters", "data.max_symbol_share", "data.script", "data.near_duplicate_threshold")
SETTINGS = ("data.tokenizer", "data.vocab_size", "data.text_column", *CLEANING, "data.val_fraction", "data.documents",
            "data.split", "data.seed")
KEYS = ("name", "source", "file", *SETTINGS)  # what the browser keeps


def sources() -> list[tuple[str, str]]:
    """(title, value) of everything a data set can be made of."""
    return [*((builtin.title, name) for name, builtin in BUILTINS.items()), (words.OWN_FILE, FILE)]


def data_config(source: str, path: str | None, values: dict) -> DataConfig:
    """The settings a data set would be prepared with. Raises ConfigError with sentences in the page's words."""
    if source == FILE and not path:
        raise ValueError(words.NO_FILE)
    where = str(path) if source == FILE else source  # plain text: Gradio's own kind would make a spawned process load Gradio
    settings = {name: form.from_widget(name, value) for name, value in values.items()}
    if source != FILE or not is_table(Path(path)):
        settings["data.text_column"] = None
    try:
        return RunConfig().replace({**settings, "data.source": where}).data
    except ConfigError as error:
        raise ValueError(form.in_words(error)) from None


def chosen_source(draft, source: str, path: str | None) -> tuple:
    """(source, about, name, settings…) after a source is chosen: settings as the draft's preset suggests for its own data."""
    preset = draft_preset(draft)
    suits = preset.dataset == source if source != FILE else preset.dataset is None
    data = preset.config.data if suits else DataConfig()
    values = [form.show(name, getattr(data, name.partition(".")[2])) for name in SETTINGS]
    return source, data_facts.source_html(source), suggested_name(source, path), *values


def restored(draft, held) -> tuple:
    """(file, source, about, name, settings…): the widgets as the browser kept them, or as the draft's preset suggests."""
    held = held if isinstance(held, dict) else {}
    path = uploaded(held.get("file"))
    source = held.get("source")
    if source not in {*BUILTINS, FILE} or (source == FILE and path is None):
        return None, *chosen_source(draft, draft_preset(draft).dataset or "stories", None)
    first, about, suggested, *suggestions = chosen_source(draft, source, path)
    values = [form.show(name, form.from_widget(name, held[name])) if name in held else shown
              for name, shown in zip(SETTINGS, suggestions)]
    name = held.get("name")
    return path, first, about, name if name and isinstance(name, str) else suggested, *values


def uploaded(path: str | None) -> str | None:
    """A path that a browser kept, if it is still one of our uploads: it must not name any other file of this machine."""
    if not isinstance(path, str):
        return None
    real, folder = Path(path).resolve(), Path(get_upload_folder()).resolve()
    return str(real) if real.is_relative_to(folder) and real.is_file() else None


def suggested_name(source: str, path: str | None) -> str:
    """A valid name made of a file's or a built-in's."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem if source == FILE and path else source).strip("-")
    return plain[:40] or "text"
