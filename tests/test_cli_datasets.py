"""Texts as commands name them: which data set a training takes for a folder; several files, texts to download, standard input."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from gptlab.cli import main
from gptlab.cli.datasets import same_or_new
from gptlab.config import DataConfig
from gptlab.data.dataset import open_dataset
from gptlab.runs.workspace import Workspace


@pytest.fixture
def command(workspace_dir, capsys):
    """Runs a command with --json: (exit code, the object or None, what stderr said)."""
    def run(*arguments):
        code = main([*map(str, arguments), "--workspace", str(workspace_dir), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out.splitlines()[-1]) if out else None, err
    return run


@pytest.fixture
def play(tmp_path, small_text, monkeypatch):
    """A catalogue of one text, "play", which lies on this machine with a licence at its end."""
    (tmp_path / "site").mkdir()
    text = tmp_path / "site" / "0.txt"
    text.write_text(f"{small_text}*** END OF THE PROJECT GUTENBERG EBOOK PLAY ***\n{small_text}", encoding="utf-8")
    entry = {"name": "play", "title": "A play", "description": "A text.", "language": "English", "licence": "Public domain",
             "home": "https://example.org/play", "cleaning": ["gutenberg"],
             "files": [{"address": text.as_uri(), "bytes": 25_000, "about": True}]}
    (tmp_path / "catalog.json").write_text(json.dumps([entry]), encoding="utf-8")
    monkeypatch.setenv("GPTLAB_CATALOG", str(tmp_path / "catalog.json"))
    return text


def test_a_text_to_download_is_listed_fetched_cleaned_as_it_suggests_and_kept(command, play, small_text, workspace_dir):
    def listed():
        return {row["name"]: row for row in command("datasets")[1]["datasets"] if row["kind"] == "download"}

    assert listed()["play"].items() >= {"path": None, "bytes": 25_000, "licence": "Public domain"}.items()
    code, manifest, said = command("prepare", "play")
    assert code == 0 and "Downloading A play (Public domain)" in said and "Cleaned as the catalogue says: gutenberg" in said
    assert (manifest["name"], manifest["source"], manifest["characters"]) == ("play", "play.txt", len(small_text))
    assert listed()["play"]["path"] == str(workspace_dir / "downloads" / "play")
    play.unlink()
    code, manifest, said = command("prepare", "play", "--set", "data.cleaning=")
    assert code == 0 and "Downloading" not in said and manifest["name"] == "play-2" and manifest["characters"] > 2 * len(small_text)


def test_a_training_takes_a_text_to_download_by_name(play, workspace_dir, capsys):
    code = main(["train", "--dataset", "play", "--workspace", str(workspace_dir), *(f"--set={one}" for one in (
        "model.n_layer=1", "model.n_head=1", "model.n_embd=8", "model.context_length=8", "train.max_steps=2", "train.device=cpu"))])
    assert code == 0 and "Cleaned as the catalogue says" in capsys.readouterr().err
    assert open_dataset(workspace_dir / "datasets" / "play").manifest["config"]["cleaning"] == ["gutenberg"]


def test_a_file_that_is_there_wins_over_a_text_of_its_name(command, play, small_text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "play").write_text(small_text[:5000], encoding="utf-8")
    code, manifest, said = command("prepare", "play")
    assert code == 0 and manifest["characters"] == 5000 and "Downloading" not in said


def test_several_files_and_texts_are_one_data_set(command, play, small_text, tmp_path):
    (tmp_path / "one.txt").write_text(small_text[:3000], encoding="utf-8")
    (tmp_path / "two.jsonl").write_text(json.dumps({"text": small_text[:2000]}), encoding="utf-8")
    code, manifest, _ = command("prepare", tmp_path / "one.txt", tmp_path / "two.jsonl", "play")
    assert code == 0 and (manifest["name"], manifest["source"]) == ("one", "one.txt and 2 more")
    assert manifest["characters"] == 3000 + 2000 + len(small_text) and manifest["config"]["cleaning"] == ["gutenberg"]
    code, _, said = command("prepare", tmp_path / "one.txt", "stories")
    assert code == 1 and "'stories' is built in" in said
    code, _, said = command("prepare", tmp_path / "one.txt", "paly")
    assert code == 1 and "Did you mean 'play'?" in said


def test_standard_input_is_prepared_and_not_kept(command, small_text, workspace_dir, monkeypatch):
    def piped(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    piped(small_text.encode("utf-16"))
    code, manifest, _ = command("prepare", "-", "--name", "notes")
    assert code == 0 and (manifest["name"], manifest["characters"]) == ("notes", len(small_text))
    piped(b"")
    code, _, said = command("prepare", "-")
    assert code == 1 and "stdin is empty" in said
    piped(b"a" * 5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**25})())
    code, _, said = command("prepare", "-")
    assert code == 1 and "does not fit on the disk" in said
    left = [path.name for folder in (workspace_dir, workspace_dir / "datasets") for path in folder.iterdir()]
    assert not [name for name in left if name.startswith(".")]


def test_standard_input_of_a_killed_command_goes_with_the_next(command, text_file, workspace_dir):
    """All of it stayed in the workspace for ever."""
    arguments = [sys.executable, "-m", "gptlab", "prepare", "-", "--workspace", str(workspace_dir)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as killed:
        killed.stdin.write(b"a" * 2**21)
        killed.stdin.flush()
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in workspace_dir.glob("datasets/.stdin-*/stdin")):
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.05)
        assert command("prepare", text_file)[0] == 0 and list(workspace_dir.glob("datasets/.stdin-*")), "one that runs keeps its own"
        killed.kill()
    assert command("prepare", text_file)[0] == 0
    assert not list(workspace_dir.rglob(".stdin-*"))


def test_what_could_not_be_read_is_listed(command, tmp_path, small_text):
    """There was a number, and nowhere which."""
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": small_text}) + "\n" + "no\n" * 7, encoding="utf-8")
    said = command("prepare", tmp_path / "rows.jsonl")[2].splitlines()
    listed = [line for line in said if line.startswith("  ")]
    assert listed[0] == "  Line 2 of rows.jsonl is not JSON (at character 1): mend or delete that line." and len(listed) == 6
    assert listed[5].endswith("rows/manifest.json.") and "Prepared data set 'rows': 1 document, " in "\n".join(said)


def test_a_name_with_a_line_break_is_refused(command, tmp_path, small_text):
    (tmp_path / "new\nline.txt").write_text(small_text, encoding="utf-8")
    for arguments in (["prepare", tmp_path / "new\nline.txt"], ["train", "--dataset", tmp_path / "new\nline.txt"]):
        code, _, said = command(*arguments)
        assert code == 1 and "new\\nline.txt' has a line break in it and cannot be read: rename" in said


def test_a_vocabulary_that_is_not_learnt_is_told(command, text_file):
    assert "data.vocab_size has no effect with the tokenizer 'char'" in command("prepare", text_file, "--set", "data.vocab_size=300")[2]
    told = command("prepare", text_file, "--set", "data.vocab_size=300", "--set", "data.tokenizer=bpe")[2]
    assert "no effect" not in told


def test_a_name_that_is_taken_is_refused_before_anything_is_fetched(command, play, text_file):
    assert command("prepare", text_file, "--name", "notes")[0] == 0
    code, _, said = command("prepare", "play", "--name", "notes")
    assert code == 1 and "'notes-2'" in said and "Downloading" not in said


# --- a folder ---


def test_a_folder_is_prepared_anew_when_a_file_below_changed(tmp_path, small_text):
    """The old data set was used on, after a file was deleted there or copied in with its old date."""
    workspace, folder = Workspace(tmp_path / "workspace"), tmp_path / "texts"
    (folder / "part").mkdir(parents=True)
    for name in ("a.txt", "part/b.txt"):
        (folder / name).write_text(small_text, encoding="utf-8")
    config = DataConfig(source=str(folder))

    def taken():
        return same_or_new(workspace, config).name

    assert [taken(), taken()] == ["texts", "texts"]
    (folder / "part" / "b.txt").write_text(small_text.upper(), encoding="utf-8")
    os.utime(folder / "part" / "b.txt", (1, 1))
    assert [taken(), taken()] == ["texts-2", "texts-2"]
    (folder / "part" / "b.txt").unlink()
    assert [taken(), taken()] == ["texts-3", "texts-3"]
