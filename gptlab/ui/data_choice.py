"""What is chosen on the Data tab, as values: the settings to prepare a text with, what a source suggests, what a browser kept.

A text is chosen by three values: `source` (a built-in, FILE or DOWNLOAD), `files` (those that were uploaded) and `entry` (a name
in the catalogue). Reads no text and prepares none.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from gptlab.config import ConfigError, DataConfig, RunConfig
from gptlab.data.formats import is_table
from gptlab.data.sources import BUILTINS, several
from gptlab.ui import data_facts, form, words, words_data
from gptlab.ui.catalogue import Catalogue
from gptlab.ui.lab import draft_preset

FILE, DOWNLOAD = "file", "download"  # among the sources: what was uploaded, and what was downloaded
CLEANING = ("data.cleaning", "data.min_characters", "data.max_symbol_share", "data.script", "data.near_duplicate_threshold")
SETTINGS = ("data.tokenizer", "data.vocab_size", "data.tokenizer_file", "data.text_column", *CLEANING, "data.val_fraction",
            "data.documents", "data.split", "data.seed")
KEYS = ("name", "source", "file", "entry", *SETTINGS)  # what the browser keeps


def sources() -> list[tuple[str, str]]:
    """(title, value) of everything a data set can be made of."""
    builtins = [(builtin.title, name) for name, builtin in BUILTINS.items()]
    return [*builtins, (words.OWN_FILE, FILE), (words_data.DOWNLOAD, DOWNLOAD)]


def data_config(catalogue: Catalogue, source: str, files: list[str] | None, entry: str | None, values: dict) -> DataConfig:
    """The settings a data set would be prepared with. Raises ConfigError with sentences in the page's words."""
    paths = paths_of(catalogue, source, files, entry)
    settings = {name: form.from_widget(name, value) for name, value in values.items()}
    if len(paths) != 1 or not is_table(Path(paths[0])):
        settings["data.text_column"] = None
    takes_file = settings.get("data.tokenizer") == "file"
    settings["data.tokenizer_file"] = uploaded(settings.get("data.tokenizer_file")) if takes_file else None
    if takes_file and settings["data.tokenizer_file"] is None:
        raise ValueError(words.CHOOSE_TOKENIZER)
    try:
        return RunConfig().replace({**settings, "data.source": several(paths) or source}).data
    except ConfigError as error:
        raise ValueError(form.in_words(error)) from None


def paths_of(catalogue: Catalogue, source: str, files: list[str] | None, entry: str | None) -> list[str]:
    """The files of a text; none of a built-in. Plain text: Gradio's own kind would make a spawned process load Gradio.

    Raises ValueError: a sentence that says what to choose or to press first.
    """
    if source == FILE and not files:
        raise ValueError(words.NO_FILE)
    if source == DOWNLOAD:
        files = catalogue.files(entry or "")
        if not files:
            raise ValueError(catalogue.missing(entry or ""))
    return [str(path) for path in files or ()] if source in (FILE, DOWNLOAD) else []


def chosen_source(catalogue: Catalogue, draft, source: str, files: list[str] | None, entry: str | None) -> tuple:
    """(about, list of downloads, entry, name, settings…) after a source is chosen: settings as the draft's preset
    suggests for its own data, cleaning as the catalogue does."""
    preset, entry = draft_preset(draft), entry or ""
    suits = preset.dataset == source if source not in (FILE, DOWNLOAD) else preset.dataset is None
    data = preset.config.data if suits else DataConfig()
    if source == DOWNLOAD and entry and not data.cleaning:
        data = dataclasses.replace(data, cleaning=catalogue.entry(entry).cleaning)
    values = [form.show(name, getattr(data, name.partition(".")[2])) for name in SETTINGS]
    name = suggested_name(source, files, entry)
    return data_facts.source_html(source), catalogue.shown(source == DOWNLOAD, entry), entry, name, *values


def exchanged(files: list[str] | None) -> tuple:
    """As `chosen_source`, where only the files are others: all stays as it was set, but for the name and the column."""
    new = {"data.text_column": form.show("data.text_column", None)} if files else {}
    name = suggested_name(FILE, files, None) if files else gr.skip()
    return gr.skip(), gr.skip(), gr.skip(), name, *(new.get(setting, gr.skip()) for setting in SETTINGS)


def restored(catalogue: Catalogue, draft, held) -> tuple:
    """(files, source, about, list of downloads, entry, name, settings…): the widgets as the browser kept them, or as the draft's
    preset suggests."""
    held = held if isinstance(held, dict) else {}
    files, source, entry = uploads(held.get("file")), held.get("source"), held.get("entry")
    if source not in {*BUILTINS, FILE, DOWNLOAD} or (source == FILE and files is None):
        source = draft_preset(draft).dataset or "stories"
        return None, source, *chosen_source(catalogue, draft, source, None, None)
    if not isinstance(entry, str) or entry not in catalogue.names():
        entry = None
    about, listed, entry, suggested, *suggestions = chosen_source(catalogue, draft, source, files, entry)
    values = [form.show(name, form.from_widget(name, held[name])) if name in held else shown
              for name, shown in zip(SETTINGS, suggestions)]
    name = held.get("name")
    return files, source, about, listed, entry, name if name and isinstance(name, str) else suggested, *values


def uploads(held) -> list[str] | None:
    """The paths that a browser kept, if all are still uploads of ours; an older page kept one path."""
    paths = [uploaded(path) for path in ([held] if isinstance(held, str) else held if isinstance(held, list) else [])]
    return paths if paths and None not in paths else None


def uploaded(path: str | None) -> str | None:
    """A path that a browser kept, if it is still one of our uploads: it must not name any other file of this machine."""
    try:
        real, folder = Path(path).resolve(), Path(get_upload_folder()).resolve()
        return str(real) if real.is_relative_to(folder) and real.is_file() else None
    except (TypeError, ValueError, OSError):
        return None  # nothing that could be a path


def suggested_name(source: str, files: list[str] | None, entry: str | None) -> str:
    """A valid name made of the first file's, a text's or a built-in's."""
    named = {FILE: Path(files[0]).stem if files else FILE, DOWNLOAD: entry or "text"}.get(source, source)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", named).strip("-")[:40] or "text"
