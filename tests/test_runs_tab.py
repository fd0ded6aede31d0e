"""The Runs tab's handlers, without a browser: the list, the trash, the zip."""

import csv
import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from tiny_run import Queue, finished_run, tiny_run, tiny_workspace

from gptlab.events import Evaluation, Status
from gptlab.model.gpt import GPT
from gptlab.runs import archive
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace
from gptlab.ui import runs_list, runs_tab, words_runs
from gptlab.ui.lab import Lab
from gptlab.ui.run_files import KINDS, handing_out, make_file
from gptlab.ui.runs_list import RunsList
from gptlab.ui.which_run import run_or_none


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), Queue())


@pytest.fixture
def runs(lab):
    return RunsList(lab)


def finished(lab, name):
    run = tiny_run(lab.workspace, name)
    run.append(Evaluation(step=40, time_seconds=9.0, epoch=1.0, train_loss=2.0, val_loss=2.5, val_perplexity=12.2, val_bits_per_byte=3.6),
               Status(step=40, time_seconds=9.5, state="finished"))
    return run


def test_a_row_says_what_became_of_a_run(lab, runs):
    run = finished(lab, "first")
    row = runs.row(run)
    expected = {"run": run.id, "name": "first", "state": "finished", "data": "tiny", "best": 2.5, "bits": 3.6, "step": 40,
                "total_steps": 40, "seconds": 9.5, "resumable": False, "alive": False, "model": "1 layer × 16 wide",
                "owner": "", "tags": [], "note": "", "archived": False}
    assert row.items() >= expected.items()
    assert row["parameters"] == sum(one.numel() for one in GPT(run.config().model, run.manifest()["vocab_size"]).parameters())
    assert row["made"].replace("-", "").replace(" ", "-").replace(":", "") == run.id[:13]


def test_a_run_cut_off_can_be_resumed_and_one_that_trains_cannot_be_deleted(lab, runs):
    run = tiny_run(lab.workspace)
    run.append(Status(step=0, time_seconds=0, state="running"))
    assert runs.row(run)["state"] == "interrupted" and runs.row(run)["resumable"]
    with run.lock():
        row = runs.row(run)
        assert row["alive"] and not row["resumable"]
        with pytest.raises(ValueError, match="stop it first"):
            archive.move_to_trash(lab.workspace, run)


def test_a_damaged_run_does_not_hide_the_others(lab, runs):
    damaged, whole = tiny_run(lab.workspace, "damaged"), finished(lab, "whole")
    for name in ("config.json", "manifest.json", "status.json"):
        (damaged.path / name).write_text("{", encoding="utf-8")
    rows = {row["name"]: row for row in runs.listing()["runs"]}
    assert rows["damaged"]["state"] == "damaged" and rows["damaged"]["reason"] and rows["whole"]["state"] == "finished"


def test_a_manifest_that_lacks_something_costs_one_row_its_whole_state(lab, runs):
    """KeyError: 'name' once left the table empty."""
    bad, whole = finished(lab, "bad"), finished(lab, "whole")
    for content in ("{}", '{"name": ["x"], "tokenizer": "char", "vocab_size": 3, "baselines": {}}', '{"name": "tiny"}'):
        (bad.path / "manifest.json").write_text(content, encoding="utf-8")
        rows = {row["name"]: row for row in runs.listing()["runs"]}
        assert rows["bad"]["state"] == "damaged" and "manifest.json" in rows["bad"]["reason"] and not rows["bad"]["alive"]
        assert rows["whole"]["state"] == "finished"
    archive.move_to_trash(lab.workspace, bad)
    assert [row["name"] for row in runs.listing()["runs"]] == ["whole"]


@pytest.mark.parametrize("lie", [{"best_val_loss": "2.5"}, {"step": None}, {"step": "<b>"}, {"total_steps": [3]},
                                 {"step": 10**400}, {"best_val_loss": [2]}, {"best_bits_per_byte": "x"}, {"total_steps": 10**30},
                                 {"state": "elsewhere"}, {"state": ["running"]}, {"reason": {}}, {"time_seconds": True},
                                 {"time_seconds": float("inf")}])
def test_a_status_with_values_of_other_kinds_does_not_reach_the_page(lab, runs, lie):
    """An imported status.json is text from elsewhere; a string where the page calls toFixed broke the whole table."""
    run = finished(lab, "imported")
    run.status()
    path = run.path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **lie}), encoding="utf-8")
    row = runs.row(run)
    assert (row["state"], row["best"], row["step"], row["total_steps"]) == ("damaged", None, 0, None)
    assert "status.json" in row["reason"]


def test_a_loss_that_is_no_number_is_shown_as_none(lab, runs):
    run = finished(lab, "diverged")
    run.status()
    path = run.path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "best_val_loss": float("nan")}), encoding="utf-8")
    assert runs.row(run)["best"] is None and runs.row(run)["state"] == "finished"


@pytest.mark.parametrize("file, content", [
    ("status.json", "[" * 100_000), ("manifest.json", "[" * 100_000), ("config.json", "[" * 100_000),
    ("config.json", '{"model": {"n_layer": 1e999}}'), ("label.json", "[" * 100_000), ("parent.json", "[" * 100_000),
    ("label.json", '{"name": "\\ud800", "owner": "\\ud800x", "tags": ["\\ud800", 7, {}], "note": "\\ud800", "archived": "yes"}'),
    ("parent.json", '{"run": "\\ud800x", "step": 4}'), ("parent.json", '{"run": "x", "step": 100000000000000000000}'),
    *[("manifest.json", json.dumps({"name": "tiny", "tokenizer": "char", "baselines": {}, "vocab_size": size}))
      for size in (-5, True, "9", 1.5, float("inf"), 10**30, None)],
    ("manifest.json", '{"name": "\\ud800", "tokenizer": "char", "baselines": {}, "vocab_size": 9}')])
def test_no_file_of_a_run_keeps_the_list_from_the_page(lab, runs, file, content):
    """What cannot be sent (half of a character, a number of 31 digits) or read (too deep) once took all runs with it."""
    bad = finished(lab, "bad")
    finished(lab, "whole")
    bad.status()
    (bad.path / file).write_text(content, encoding="utf-8")
    rows = {row["name"]: row for row in orjson.loads(orjson.dumps(runs.listing()))["runs"]}
    assert rows["whole"]["state"] == "finished" and not rows["bad"]["archived"]
    assert (rows["bad"]["state"] == "damaged") == bool(rows["bad"]["reason"])


def test_names_are_told_as_text():
    assert "<img" not in runs_tab.said("<img src=x> was added.") and "&lt;img" in runs_tab.said("<img src=x> was added.")


# what is sent, and when

def test_an_unchanged_list_is_not_sent_again(lab, runs):
    run = finished(lab, "first")
    first = runs.news_since(None)
    assert runs.news_since(first["mark"]) is None
    for mark in ("x", 7, [], {"a": 1}):  # anybody's browser asks
        assert runs.news_since(mark) == first
    lab.jobs.current = run  # one began
    began = runs.news_since(first["mark"])
    assert runs.news_since(began["mark"]) == {"mark": began["mark"], "now": runs.row(run)}  # how far it is, of it alone
    lab.jobs.current = None  # and ended
    assert runs.news_since(began["mark"])["mark"] == first["mark"]
    lab.jobs.queue.append(run)
    assert runs.news_since(first["mark"])
    lab.jobs.queue.clear()
    archive.move_to_trash(lab.workspace, run)
    assert runs.news_since(first["mark"])["trash"]


def test_a_label_that_changes_is_news(lab, runs):
    run, other = finished(lab, "first"), finished(lab, "other")
    before = runs.listing()
    run.relabel(name="Best so far", owner="Aisha", tags=["lesson 3"], note="Two lines\nof it.")
    after = runs.news_since(before["mark"])
    row = {row["run"]: row for row in after["runs"]}[run.id]
    assert (row["name"], row["owner"], row["tags"], row["note"]) == ("Best so far", "Aisha", ["lesson 3"], "Two lines\nof it.")
    run.relabel(note="")  # within the same tick of the clock
    assert runs.news_since(after["mark"]) and runs.news_since(runs.mark()) is None
    archive.move_to_trash(lab.workspace, run)
    assert runs.listing()["trash"] == [{"run": run.id, "name": "Best so far", "owner": "Aisha", "made": row["made"]}]
    assert [row["run"] for row in runs.listing()["runs"]] == [other.id]


def test_what_a_run_was_made_of_is_read_once(lab, runs, monkeypatch):
    run = finished(lab, "first")
    first = runs.row(run)
    monkeypatch.setattr(RunDir, "manifest", None)
    assert runs.row(run) == first
    monkeypatch.undo()
    path = run.path / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"tiny"', '"other"'), encoding="utf-8")
    assert runs.row(run)["data"] == "other"


def test_a_room_of_pages_costs_one_reading(lab, runs, monkeypatch):
    """Each of 30 pages had all files of 200 runs read for it whenever one thing changed, beside the training."""
    run, read = finished(lab, "first"), []
    monkeypatch.setattr(RunsList, "row", lambda self, run, label=None: read.append(run) or {"run": run.id})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(runs.news_since, [None, "old"] * 8))
    assert read == [run] and all(answer is answers[0] for answer in answers)
    run.relabel(note="news")
    assert runs.news_since(answers[0]["mark"])["at"] > answers[0]["at"] and len(read) == 2
    runs.listing()  # after something was done
    assert len(read) == 3
    monkeypatch.setattr(runs_list, "KEPT_SECONDS", 0)  # what another program does to a run changes no mark
    assert runs.news_since(None) and len(read) == 4


# the archive, and the way out of the trash

def test_an_archived_run_is_listed_as_one_until_it_is_taken_out(lab, runs):
    run = finished(lab, "first")
    assert "first is in the archive" in runs_tab.put_away(lab, run, True)
    assert runs.row(run)["archived"] and run.label().archived
    assert "out of the archive" in runs_tab.put_away(lab, run, False)
    assert not runs.row(run)["archived"]


def test_a_run_that_trains_or_waits_is_not_put_away(lab, runs):
    run = tiny_run(lab.workspace)
    lab.jobs.queue.append(run)
    with pytest.raises(ValueError, match="waits for its turn"):
        runs_tab.put_away(lab, run, True)
    lab.jobs.queue.clear()
    with run.lock(), pytest.raises(ValueError, match="stop it first"):
        runs_tab.put_away(lab, run, True)
    assert not run.label().archived
    run.relabel(archived=True)  # and then resumed: it is seen
    run.append(Status(step=0, time_seconds=0, state="running"))
    with run.lock():
        assert not runs.row(run)["archived"]


def test_archived_runs_take_no_places_of_others(lab, runs, monkeypatch):
    ones = [tiny_run(lab.workspace, name) for name in ("a", "b", "c", "d", "e")]
    for run in ones[2:]:
        run.relabel(archived=True)
    monkeypatch.setattr(runs_list, "SHOWN", 2)
    listed = runs.listing()
    assert {row["name"] for row in listed["runs"]} == {"a", "b", "d", "e"} and "newest 2 of 3 in the archive;" in listed["more"]


def test_what_is_deleted_for_good_is_gone_and_somebody_elses_only_when_sure(lab, runs):
    run, other = finished(lab, "first"), finished(lab, "other")
    run.relabel(owner="Aisha")
    for one in (run, other):
        archive.move_to_trash(lab.workspace, one)
    with pytest.raises(ValueError, match="Aisha's run"):
        runs_tab.erase(lab, run.id, "Ben", None)
    with pytest.raises(ValueError, match="no run"):
        runs_tab.erase(lab, "../runs", "Ben", True)
    assert runs_tab.erase(lab, run.id, "Ben", run.id) == "first was deleted for good."
    assert [one["run"] for one in runs.listing()["trash"]] == [other.id]


def test_only_the_newest_runs_are_listed_and_it_says_so(lab, runs, monkeypatch):
    for name in ("a", "b", "c"):
        tiny_run(lab.workspace, name)
    assert runs.listing()["more"] == ""
    monkeypatch.setattr(runs_list, "SHOWN", 2)
    listed = runs.listing()
    assert [row["run"] for row in listed["runs"]] == [run.id for run in lab.workspace.list_runs()[:2]]
    assert "newest 2 of 3 runs" in listed["more"]


def test_the_list_is_plain_values(lab, runs):
    finished(lab, "one"), tiny_run(lab.workspace, "two")
    assert len(json.loads(json.dumps(runs.listing()))["runs"]) == 2


def test_what_is_deleted_lies_in_the_trash_until_restored(lab, runs):
    run = finished(lab, "first")
    events = run.events_path.read_bytes()
    archive.move_to_trash(lab.workspace, run)
    assert runs.listing()["runs"] == [] and [one["run"] for one in runs.listing()["trash"]] == [run.id]
    archive.restore_from_trash(lab.workspace, run.id)
    assert [one["run"] for one in runs.listing()["runs"]] == [run.id] and run.events_path.read_bytes() == events


# what is handed out and taken in

@pytest.fixture
def served_from(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_a_download_opens_in_another_workspace(lab, runs, tmp_path, served_from):
    run = finished_run(lab.workspace, "first", train__max_steps=4)
    path = make_file(lab, "download", [run])
    assert path.name == f"{run.id}.zip" and served_from in path.parents and zipfile.is_zipfile(path)
    other = make_file(lab, "download", [tiny_run(lab.workspace, "other")])
    again = make_file(lab, "download", [run])
    assert again != path and not path.exists() and other.exists()  # one zip a run, under an address of its own
    archive.move_to_trash(lab.workspace, lab.workspace.find_run("other"))
    elsewhere = Lab(Workspace(tmp_path / "elsewhere"), lab.jobs)
    assert runs_tab.add(elsewhere, again) == "first was added."
    assert RunsList(elsewhere).listing()["runs"] == runs.listing()["runs"]


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


def test_what_is_no_zip_of_a_run_is_refused_with_a_sentence(lab, runs, tmp_path):
    path = tmp_path / "holiday.zip"
    path.write_bytes(b"PK\3\4 no zip at all")
    told = runs_tab.adding(runs, path)
    assert "Adding holiday.zip" in next(told)[1] and next(told)[1] == ""
    with pytest.raises(ValueError, match="not a whole zip of a run"):
        next(told)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("datasets/x/train.bin", b"12")
    with pytest.raises(ValueError, match="not a bundle"):
        runs_tab.add(lab, path)
    assert lab.workspace.list_runs() == [] and lab.workspace.dataset_names() == ["tiny"]


def test_a_fork_says_where_it_comes_from(lab, runs):
    parent = finished(lab, "notes-6")
    child = tiny_run(lab.workspace, "child")
    assert runs.row(child)["origin"] == ""
    (child.path / "parent.json").write_text(json.dumps({"run": parent.id, "step": 1400}), encoding="utf-8")
    assert runs.row(child)["origin"] == "from notes-6 at step 1,400"


@pytest.mark.parametrize("lie", ['{"run": "x", "step": 1e999}', '{"run": "x", "step": -1}', '{"run": "", "step": 4}', "[]",
                                 '{"run": "x", "step": null}', '{"run": "/", "step": 4}', '{"step": 4}', "{"])
def test_a_fork_whose_parent_cannot_be_tells_of_none(lab, runs, lie):
    child = finished(lab, "child")
    (child.path / "parent.json").write_text(lie, encoding="utf-8")
    row = runs.row(child)
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
