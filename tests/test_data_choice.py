"""From what is chosen on the Data tab to settings, and from what a browser kept to what is chosen."""

from __future__ import annotations

import json
import pickle

import gradio as gr
import pytest
from gradio.utils import NamedString

from gptlab.config import DataConfig
from gptlab.data.download import Arriving
from gptlab.data.sources import BUILTINS
from gptlab.runs.downloading import Download
from gptlab.runs.workspace import Workspace
from gptlab.ui import data_choice
from gptlab.ui.catalogue import Catalogue
from gptlab.ui.lab import read_draft

AS_IS = {name: getattr(DataConfig(), name.partition(".")[2]) for name in data_choice.SETTINGS}
CATALOGUE = Catalogue(None)  # for what is not downloaded


def test_settings_that_cannot_be_used_are_told_in_the_pages_words():
    with pytest.raises(ValueError, match="“Vocabulary”"):
        data_choice.data_config(CATALOGUE, "stories", None, None, {**AS_IS, "data.tokenizer": "bpe", "data.vocab_size": 3})
    with pytest.raises(ValueError, match="file first"):
        data_choice.data_config(CATALOGUE, "file", None, None, AS_IS)


def test_a_spawned_process_need_not_load_gradio_to_read_its_settings(text_file):
    """Gradio gives paths as a str of its own class. Pickled to the process that prepares, it cost 5 s of imports there."""
    config = data_choice.data_config(CATALOGUE, "file", [NamedString(text_file), NamedString(text_file)], None, AS_IS)
    assert b"gradio" not in pickle.dumps(config) and config.source == f"{text_file}\n{text_file}"


def test_a_tokenizer_file_is_one_that_was_uploaded_and_counts_only_where_it_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    mine, other = tmp_path / "uploads" / "1" / "tokenizer.json", tmp_path / "secret.json"
    mine.parent.mkdir(parents=True)
    for path in (mine, other):
        path.write_text("{}", encoding="utf-8")

    def taken(kind, path):
        values = {**AS_IS, "data.tokenizer": kind, "data.tokenizer_file": path and str(path)}
        return data_choice.data_config(CATALOGUE, "stories", None, None, values).tokenizer_file

    assert taken("file", mine) == str(mine) and taken("byte", mine) is None
    for path in (other, None, mine.with_name("gone.json")):
        with pytest.raises(ValueError, match="Compare tokenizers"):
            taken("file", path)


def test_every_source_is_offered_and_described():
    assert {value for _, value in data_choice.sources()} == {*BUILTINS, data_choice.FILE, data_choice.DOWNLOAD}


def test_what_is_chosen_survives_a_reload_but_only_our_uploads_do(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    mine, other = tmp_path / "uploads" / "1" / "notes.txt", tmp_path / "secret.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    other.write_text("secret", encoding="utf-8")
    held = {"name": "diary", "source": "file", "file": [str(mine), str(mine)], "entry": "", **AS_IS, "data.tokenizer": "bpe",
            "data.vocab_size": 999}
    assert list(held) == list(data_choice.KEYS)
    files, source, _, listed, entry, name, tokenizer, vocab_size, *_ = data_choice.restored(CATALOGUE, None, held)
    assert (files, source, name, tokenizer["value"], vocab_size["value"]) == ([str(mine)] * 2, "file", "diary", "bpe", 999)
    assert entry == "" and not listed["visible"]
    assert data_choice.restored(CATALOGUE, None, {**held, "file": str(mine)})[:2] == ([str(mine)], "file")  # of an older page
    for path in (other, tmp_path / "uploads" / ".." / "secret.txt", mine.with_name("gone.txt"), 7, f"{mine}\0",
                 f"{mine}\ud800", str(mine) + "x" * 5000):
        for kept in ([str(mine), str(path)], [path], str(path), []):
            assert data_choice.restored(CATALOGUE, None, {"source": "file", "file": kept})[:2] == (None, "stories")


@pytest.fixture
def catalogue(workspace_dir, small_text, tmp_path, monkeypatch):
    """Two texts to download, of which "play" is."""
    told = {"title": "A play", "description": "A text.", "language": "English", "licence": "none", "home": "https://example.org/play",
            "cleaning": ["gutenberg"]}
    entries = [{**told, "name": name, "files": [{"address": f"https://example.org/{name}.txt", "bytes": 1_100_000}]}
               for name in ("play", "novel")]
    (tmp_path / "catalog.json").write_text(json.dumps(entries), encoding="utf-8")
    monkeypatch.setenv("GPTLAB_CATALOG", str(tmp_path / "catalog.json"))
    (workspace_dir / "downloads" / "play").mkdir(parents=True)
    (workspace_dir / "downloads" / "play" / "play.txt").write_text(small_text, encoding="utf-8")
    return Catalogue(Workspace(workspace_dir))


def test_a_text_of_the_catalogue_brings_its_name_and_cleaning(catalogue, workspace_dir):
    _, listed, entry, name, *boxes = data_choice.chosen_source(catalogue, read_draft(None), "download", None, "play")
    values = {setting: box["value"] for setting, box in zip(data_choice.SETTINGS, boxes) if isinstance(box, dict)}
    assert (entry, name, values["data.cleaning"]) == ("play", "play", ["gutenberg"])
    assert listed == {"visible": True, "chosen": "play", "state": "here"}
    config = data_choice.data_config(catalogue, "download", ["/etc/passwd"], "play", {**AS_IS, "data.cleaning": ["gutenberg"]})
    assert config.source == str(workspace_dir / "downloads" / "play" / "play.txt") and config.cleaning == ("gutenberg",)
    held = {"source": "download", "entry": "play", "data.cleaning": []}
    assert data_choice.restored(catalogue, None, held)[4] == "play"
    assert data_choice.restored(catalogue, None, {**held, "entry": "gone"})[1:5:3] == ("download", "")


def test_what_is_not_downloaded_says_what_to_press(catalogue, monkeypatch):
    with pytest.raises(ValueError, match=r"press Download beside it \(1.1 MB from example.org\)"):
        data_choice.data_config(catalogue, "download", None, "novel", AS_IS)
    with pytest.raises(ValueError, match="in the list first"):
        data_choice.data_config(catalogue, "download", None, None, AS_IS)
    with pytest.raises(ValueError, match="'gone' is not in the catalogue any more"):
        data_choice.data_config(catalogue, "download", None, "gone", AS_IS)
    catalogue.downloads.current = Download(catalogue.entry("novel"), Arriving(300_000, 1_200_000, 100_000.0))
    with pytest.raises(ValueError, match="is being downloaded"):
        data_choice.data_config(catalogue, "download", None, "novel", AS_IS)
    assert catalogue.shown(True, "novel")["state"] == "going"
    told = catalogue.now()
    assert told["here"] == ["play"] and told["current"].items() >= {
        "name": "novel", "done": "300 kB", "total": "1.2 MB", "percent": 25, "rate": "100 kB", "left": "9 s"}.items()


def test_a_catalogue_that_cannot_be_read_spoils_nothing_else(catalogue, tmp_path, monkeypatch):
    (tmp_path / "catalog.json").write_text("{", encoding="utf-8")
    assert catalogue.names() == [] and catalogue.now()["here"] == []
    assert data_choice.restored(catalogue, None, {"source": "download", "entry": "play"})[1] == "download"
    assert "catalog.json cannot be read" in catalogue.component().props["problem"]


def test_another_file_keeps_what_was_set_but_for_the_name_and_the_column():
    """What was ticked to be cleaned was lost without a word as a file was exchanged for the next."""
    *others, name, first, second, third, column, ticks = data_choice.exchanged(["b.csv"])[:9]
    assert name == "b" and column["value"] is None
    assert all(update == gr.skip() for update in (*others, first, second, third, ticks))
    assert all(update == gr.skip() for update in data_choice.exchanged(None))


def test_a_preset_suggests_how_to_cut_its_own_kind_of_text():
    draft = {**read_draft(None), "preset": "julius-caesar-124m"}
    _, _, _, name, *boxes = data_choice.chosen_source(CATALOGUE, draft, "file", ["caesar.txt", "b.txt"], None)
    shown = {setting: box["value"] for setting, box in zip(data_choice.SETTINGS, boxes) if isinstance(box, dict)}
    assert (name, shown["data.tokenizer"], shown["data.vocab_size"], shown["data.split"]) == ("caesar", "bpe", 4096, "tail")


@pytest.mark.parametrize("file, name", [("My notes.txt", "My-notes"), ("../../etc/passwd", "passwd"), ("আমি.txt", "text"),
                                        ("a" * 200 + ".csv", "a" * 40)])
def test_a_name_is_made_of_the_files(file, name):
    assert data_choice.suggested_name("file", [file, "other.txt"], None) == name
