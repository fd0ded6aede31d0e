"""The Runs tab's handlers, without a browser: the list, the trash, the zip."""

import csv
import json
import shutil
import zipfile
from types import SimpleNamespace

import pytest
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.events import Evaluation, Status
from gptlab.runs import archive
from gptlab.runs.workspace import Workspace
from gptlab.ui import runs_tab, words_runs
from gptlab.ui.lab import Lab
from gptlab.ui.run_files import KINDS, handing_out, make_file
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


def test_a_manifest_that_lacks_something_costs_one_row_its_whole_state(lab):
    """KeyError: 'name' once left the table empty."""
    bad, whole = finished(lab, "bad"), finished(lab, "whole")
    for content in ("{}", '{"name": ["x"], "tokenizer": "char", "vocab_size": 3, "baselines": {}}', '{"name": "tiny"}'):
        (bad.path / "manifest.json").write_text(content, encoding="utf-8")
        rows = {row["name"]: row for row in runs_tab.listing(lab)["runs"]}
        assert rows["bad"]["state"] == "damaged" and "manifest.json" in rows["bad"]["reason"] and not rows["bad"]["alive"]
        assert rows["whole"]["state"] == "finished"
    archive.move_to_trash(lab.workspace, bad)
    assert [row["name"] for row in runs_tab.listing(lab)["runs"]] == ["whole"]


@pytest.mark.parametrize("lie", [{"best_val_loss": "2.5"}, {"step": None}, {"step": "<b>"}, {"total_steps": [3]},
                                 {"state": "elsewhere"}, {"state": ["running"]}, {"reason": {}}, {"time_seconds": True},
                                 {"time_seconds": float("inf")}])
def test_a_status_with_values_of_other_kinds_does_not_reach_the_page(lab, lie):
    """An imported status.json is text from elsewhere; a string where the page calls toFixed broke the whole table."""
    run = finished(lab, "imported")
    run.status()
    path = run.path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **lie}), encoding="utf-8")
    row = runs_tab.row(lab, run)
    assert (row["state"], row["best"], row["step"], row["total_steps"]) == ("damaged", None, 0, None)
    assert "status.json" in row["reason"]


def test_a_loss_that_is_no_number_is_shown_as_none(lab):
    run = finished(lab, "diverged")
    run.status()
    path = run.path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "best_val_loss": float("nan")}), encoding="utf-8")
    assert runs_tab.row(lab, run)["best"] is None and runs_tab.row(lab, run)["state"] == "finished"


def test_names_are_told_as_text():
    assert "<img" not in runs_tab.said("<img src=x> was added.") and "&lt;img" in runs_tab.said("<img src=x> was added.")


# what is sent, and when

def test_an_unchanged_list_is_not_sent_again(lab):
    run = finished(lab, "first")
    first = runs_tab.news_since(lab, None)
    assert runs_tab.news_since(lab, first["mark"]) is None
    for mark in ("x", 7, [], {"a": 1}):  # anybody's browser asks
        assert runs_tab.news_since(lab, mark) == first
    lab.jobs.current = run  # one began
    began = runs_tab.news_since(lab, first["mark"])
    assert runs_tab.news_since(lab, began["mark"]) is None
    lab.jobs.current = None  # and ended
    assert runs_tab.news_since(lab, began["mark"])["mark"] == first["mark"]
    lab.jobs.queue.append(run)
    assert runs_tab.news_since(lab, first["mark"])
    lab.jobs.queue.clear()
    archive.move_to_trash(lab.workspace, run)
    assert runs_tab.news_since(lab, first["mark"])["trash"]


def test_only_the_newest_runs_are_listed_and_it_says_so(lab, monkeypatch):
    for name in ("a", "b", "c"):
        tiny_run(lab.workspace, name)
    assert runs_tab.listing(lab)["more"] == ""
    monkeypatch.setattr(runs_tab, "SHOWN", 2)
    listed = runs_tab.listing(lab)
    assert [row["run"] for row in listed["runs"]] == [run.id for run in lab.workspace.list_runs()[:2]]
    assert "newest 2 of 3 runs" in listed["more"]


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


# what is handed out and taken in

@pytest.fixture
def served_from(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_a_download_opens_in_another_workspace(lab, tmp_path, served_from):
    run = finished(lab, "first")
    path = make_file(lab, "download", [run])
    assert path.name == f"{run.id}.zip" and served_from in path.parents and zipfile.is_zipfile(path)
    other = make_file(lab, "download", [tiny_run(lab.workspace, "other")])
    again = make_file(lab, "download", [run])
    assert again != path and not path.exists() and other.exists()  # one zip a run, under an address of its own
    archive.move_to_trash(lab.workspace, lab.workspace.find_run("other"))
    elsewhere = Lab(Workspace(tmp_path / "elsewhere"), lab.jobs)
    assert runs_tab.add(elsewhere, again) == "first was added."
    assert runs_tab.listing(elsewhere)["runs"] == runs_tab.listing(lab)["runs"]


def test_each_kind_of_file_is_what_its_name_says(lab, served_from):
    run = finished(lab, "first")
    paths = {kind: make_file(lab, kind, [run]) for kind in KINDS}
    assert all(path.exists() and path.name.startswith(run.id) for path in paths.values())
    assert len({path.name for path in paths.values()}) == len(KINDS)
    assert "<html" in paths["report"].read_text(encoding="utf-8")[:400]
    rows = list(csv.DictReader(paths["evaluations"].open(encoding="utf-8", newline="")))
    assert [row["val_loss"] for row in rows] == ["2.5"]
    assert paths["steps"].read_text(encoding="utf-8").startswith("step,")
    assert "datasets/tiny/train.bin" in zipfile.ZipFile(paths["bundle"]).namelist()
    assert KINDS.keys() == words_runs.FILES.keys() == {"download", *words_runs.RUNS["files"]}


def test_it_is_said_that_a_file_is_made_and_then_that_it_is_there(lab, served_from):
    run = finished(lab, "first")
    making, ready = handing_out(lab, "report", [run])
    assert "Writing the report on first" in making[1] and "report on first is being downloaded" in ready[1]
    assert "-report.html" in str(ready[0].value)


def test_a_file_that_cannot_be_made_leaves_nothing_but_a_sentence(lab, served_from):
    run = tiny_run(lab.workspace)
    with run.lock():
        told = handing_out(lab, "bundle", [run])
        next(told)
        assert next(told)[1] == ""  # "Packing ..." is not true any more
        with pytest.raises(ValueError, match="stop it first"):
            next(told)
    shutil.rmtree(lab.workspace.datasets / "tiny")
    with pytest.raises(ValueError, match="prepare it again"):
        make_file(lab, "bundle", [run])
    assert list(served_from.iterdir()) == []
    with pytest.raises(ValueError, match="reload"):
        next(handing_out(lab, "../../x", [run]))


def test_a_bundle_brings_its_data_set_or_finds_it_there(lab, tmp_path, served_from):
    path = make_file(lab, "bundle", [finished_run(lab.workspace, "lesson", train__max_steps=8)])
    elsewhere = Lab(Workspace(tmp_path / "elsewhere"), lab.jobs)
    assert runs_tab.add(elsewhere, path) == "lesson was added, and its data set as tiny."
    assert elsewhere.workspace.dataset_names() == ["tiny"]
    assert "Its data set was here already: tiny." in runs_tab.add(lab, path)
    assert lab.workspace.dataset_names() == ["tiny"] and len(lab.workspace.list_runs()) == 2


def test_what_is_no_zip_of_a_run_is_refused_with_a_sentence(lab, tmp_path):
    path = tmp_path / "holiday.zip"
    path.write_bytes(b"PK\3\4 no zip at all")
    told = runs_tab.adding(lab, path)
    assert "Adding holiday.zip" in next(told)[1] and next(told)[1] == ""
    with pytest.raises(ValueError, match="not a whole zip of a run"):
        next(told)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("datasets/x/train.bin", b"12")
    with pytest.raises(ValueError, match="not a bundle"):
        runs_tab.add(lab, path)
    assert lab.workspace.list_runs() == [] and lab.workspace.dataset_names() == ["tiny"]


def test_a_fork_says_where_it_comes_from(lab):
    parent = finished(lab, "notes-6")
    child = tiny_run(lab.workspace, "child")
    assert runs_tab.row(lab, child)["origin"] == ""
    (child.path / "parent.json").write_text(json.dumps({"run": parent.id, "step": 1400}), encoding="utf-8")
    assert runs_tab.row(lab, child)["origin"] == "from notes-6 at step 1,400"


@pytest.mark.parametrize("lie", ['{"run": "x", "step": 1e999}', '{"run": "x", "step": -1}', '{"run": "", "step": 4}', "[]",
                                 '{"run": "x", "step": null}', '{"run": "/", "step": 4}', '{"step": 4}', "{"])
def test_a_fork_whose_parent_cannot_be_tells_of_none(lab, lie):
    child = finished(lab, "child")
    (child.path / "parent.json").write_text(lie, encoding="utf-8")
    row = runs_tab.row(lab, child)
    assert (row["origin"], row["state"]) == ("", "finished")


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
    ids = ["", ".", "..", "../runs", "../../..", f"../runs/{run.id}", f"./{run.id}", f"{run.id}/", f"{run.id}/..",
           f"{run.id}/checkpoints", str(run.path), f"{run.id}\\..", "C:", "C:x", "file", ".hidden", "\0", "\ud800", "x" * 5000, "*", None, 7, [run.id],
           {"a": 1}, True, b"x"]
    assert [run_or_none(lab, one) for one in ids] == [None] * len(ids)
