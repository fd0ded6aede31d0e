"""A copied command runs where it is pasted: with the Python that has what GPT Lab needs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from gptlab.cli.spelling import spelled


@pytest.mark.parametrize("folder, python", [(".venv", ".venv/bin/python"), ("../elsewhere", "{0}/elsewhere/bin/python"), (None, "python")])
def test_it_names_the_python_of_a_virtual_environment(tmp_path, monkeypatch, folder, python):
    here = tmp_path / "lab"
    here.mkdir()
    monkeypatch.chdir(here)
    if folder:
        monkeypatch.setattr(sys, "prefix", "a virtual environment")
        monkeypatch.setattr(sys, "executable", str((here / folder).resolve() / "bin" / "python"))
    else:
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    parts = shlex.split(spelled(["train", "--name", "two words"]))
    assert Path(parts[0]) == Path(python.format(tmp_path)) and parts[1:] == ["-m", "gptlab", "train", "--name", "two words"]
