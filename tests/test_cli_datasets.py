"""Which data set a training takes that names a folder: the one that was made of just these files, else a new one."""

from __future__ import annotations

import os

from gptlab.cli.datasets import same_or_new
from gptlab.config import DataConfig
from gptlab.runs.workspace import Workspace


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
