"""From what is chosen on the Data tab to settings, and from what a browser kept to what is chosen."""

from __future__ import annotations

import pickle

import pytest
from gradio.utils import NamedString

from gptlab.config import DataConfig
from gptlab.data.sources import BUILTINS
from gptlab.ui import data_choice
from gptlab.ui.lab import read_draft

AS_IS = {name: getattr(DataConfig(), name.partition(".")[2]) for name in data_choice.SETTINGS}


def test_settings_that_cannot_be_used_are_told_in_the_pages_words():
    with pytest.raises(ValueError, match="“Vocabulary”"):
        data_choice.data_config("stories", None, {**AS_IS, "data.tokenizer": "bpe", "data.vocab_size": 3})
    with pytest.raises(ValueError, match="file first"):
        data_choice.data_config("file", None, AS_IS)


def test_a_spawned_process_need_not_load_gradio_to_read_its_settings(text_file):
    """Gradio gives paths as a str of its own class. Pickled to the process that prepares, it cost 5 s of imports there."""
    config = data_choice.data_config("file", NamedString(text_file), AS_IS)
    assert b"gradio" not in pickle.dumps(config)


def test_every_source_is_offered_and_described():
    assert {value for _, value in data_choice.sources()} == {*BUILTINS, data_choice.FILE}


def test_what_is_chosen_survives_a_reload_but_only_our_uploads_do(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    mine, other = tmp_path / "uploads" / "1" / "notes.txt", tmp_path / "secret.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    other.write_text("secret", encoding="utf-8")
    held = {"name": "diary", "source": "file", "file": str(mine), **AS_IS, "data.tokenizer": "bpe", "data.vocab_size": 999}
    file, source, _, name, tokenizer, vocab_size, *_ = data_choice.restored(None, held)
    assert (file, source, name, tokenizer["value"], vocab_size["value"]) == (str(mine), "file", "diary", "bpe", 999)
    kept = dict(zip(data_choice.KEYS, ["diary", "file", str(mine), *list(held.values())[3:]]))
    assert data_choice.restored(None, kept)[:2] == (str(mine), "file")
    for path in (other, tmp_path / "uploads" / ".." / "secret.txt", mine.with_name("gone.txt"), 7):
        assert data_choice.restored(None, {"source": "file", "file": str(path)})[:2] == (None, "stories")


def test_a_preset_suggests_how_to_cut_its_own_kind_of_text():
    draft = {**read_draft(None), "preset": "julius-caesar-124m"}
    _, _, name, *boxes = data_choice.chosen_source(draft, "file", "caesar.txt")
    shown = {setting: box["value"] for setting, box in zip(data_choice.SETTINGS, boxes) if isinstance(box, dict)}
    assert (name, shown["data.tokenizer"], shown["data.vocab_size"], shown["data.split"]) == ("caesar", "bpe", 4096, "tail")


@pytest.mark.parametrize("file, name", [("My notes.txt", "My-notes"), ("../../etc/passwd", "passwd"), ("আমি.txt", "text"),
                                        ("a" * 200 + ".csv", "a" * 40)])
def test_a_name_is_made_of_the_files(file, name):
    assert data_choice.suggested_name("file", file) == name
