"""The Runs tab's handlers, without a browser: the list, the trash, the zip."""

import json
import zipfile
from types import SimpleNamespace

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import Evaluation, Status
from gptlab.runs import archive
from gptlab.runs.workspace import Workspace
from gptlab.ui import runs_tab
from gptlab.ui.lab import Lab
from gptlab.ui.which_run import run_or_none


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), SimpleNamespace(current=None, queue=[]))


def finished(lab, name):
    run = tiny_run(lab.workspace, name)
    run.append(Evaluation(step=40, time_seconds=9.0, epoch=1.0, train_loss=2.0, val_loss=2.5, val_perplexity=12.2, val_bits_per_byte=3.6),
               Status(step=40, time_seconds=9.5, state="finished"))
    return run


def test_a_row_says_what_became_of_a_run(lab):
    run = finished(lab, "first")
    row = runs_tab.row(lab, run)
    expected = {"run": run.id, "name": "first", "state": "finished", "data": "tiny", "best": 2.5, "step": 40, "total_steps": 40,
                "seconds": 9.5, "resumable": False, "alive": False}
    assert row.items() >= expected.items()
    assert row["made"].replace("-", "").replace(" ", "-").replace(":", "") == run.id[:13]


def test_a_run_cut_off_can_be_resumed_and_one_that_trains_cannot_be_deleted(lab):
    run = tiny_run(lab.workspace)
    run.append(Status(step=0, time_seconds=0, state="running"))
    assert runs_tab.row(lab, run)["state"] == "interrupted" and runs_tab.row(lab, run)["resumable"]
    with run.lock():
        row = runs_tab.row(lab, run)
        assert row["alive"] and not row["resumable"]
        with pytest.raises(ValueError, match="stop it first"):
            archive.move_to_trash(lab.workspace, run)


def test_a_damaged_run_does_not_hide_the_others(lab):
    damaged, whole = tiny_run(lab.workspace, "damaged"), finished(lab, "whole")
    for name in ("config.json", "manifest.json", "status.json"):
        (damaged.path / name).write_text("{", encoding="utf-8")
    rows = {row["name"]: row for row in runs_tab.listing(lab)["runs"]}
    assert rows["damaged"]["state"] == "damaged" and rows["damaged"]["reason"] and rows["whole"]["state"] == "finished"


def test_the_list_is_plain_values(lab):
    finished(lab, "one"), tiny_run(lab.workspace, "two")
    assert len(json.loads(json.dumps(runs_tab.listing(lab)))["runs"]) == 2


def test_what_is_deleted_lies_in_the_trash_until_restored(lab):
    run = finished(lab, "first")
    events = run.events_path.read_bytes()
    archive.move_to_trash(lab.workspace, run)
    assert runs_tab.listing(lab)["runs"] == [] and [one["run"] for one in runs_tab.listing(lab)["trash"]] == [run.id]
    archive.restore_from_trash(lab.workspace, run.id)
    assert [one["run"] for one in runs_tab.listing(lab)["runs"]] == [run.id] and run.events_path.read_bytes() == events


def test_a_download_opens_in_another_workspace(lab, tmp_path, monkeypatch):
    served_from = tmp_path / "served"
    served_from.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(served_from))
    run = finished(lab, "first")
    path = runs_tab.zip_for_download(run)
    assert path.name == f"{run.id}.zip" and served_from in path.parents and zipfile.is_zipfile(path)
    elsewhere = Lab(Workspace(tmp_path / "elsewhere"), lab.jobs)
    archive.import_zip(elsewhere.workspace, path)
    assert runs_tab.listing(elsewhere)["runs"] == runs_tab.listing(lab)["runs"]


# from an id to a run

def test_a_run_is_found_by_its_id_without_a_listing(lab, monkeypatch):
    """Each poll once listed every run: 13 ms of processor with 400 of them, beside a training."""
    run = tiny_run(lab.workspace)
    monkeypatch.setattr(Workspace, "list_runs", None)
    assert run_or_none(lab, run.id) == run
    assert run_or_none(lab, run.id + "x") is None


def test_nothing_but_a_run_is_reached_by_an_id(lab, tmp_path):
    run = tiny_run(lab.workspace)
    (lab.workspace.runs / "file").touch()
    (lab.workspace.runs / ".hidden").mkdir()
    ids = ["", ".", "..", "../runs", "../../..", f"../runs/{run.id}", f"./{run.id}", f"{run.id}/", f"{run.id}/..", f"{run.id}/checkpoints",
           str(run.path), f"{run.id}\\..", "C:", "C:x", "file", ".hidden", "\0", "\ud800", "x" * 5000, "*", None, 7, [run.id],
           {"a": 1}, True, b"x"]
    assert [run_or_none(lab, one) for one in ids] == [None] * len(ids)
