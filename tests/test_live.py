"""The live view's questions to the server: whatever is asked, it only reads, and what it reads is what the run said."""

import json

import pytest
from tiny_run import Queue, tiny_run, tiny_workspace

from gptlab.events import Evaluation, Status, Step
from gptlab.ui.lab import Lab
from gptlab.ui.live import SLICE_BYTES, LiveRuns


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), Queue())


def step(number):
    return Step(step=number, time_seconds=number / 10, epoch=number / 100, tokens=number * 256, loss=3.0, learning_rate=1e-3,
                grad_norm=1.0, tokens_per_second=1000.0)


def ended(run, steps):
    run.append(Status(step=0, time_seconds=0.0, state="running"), *map(step, range(1, steps + 1)),
               Status(step=steps, time_seconds=steps / 10, state="finished"))
    return run


def everything_in(directory):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(directory.rglob("*"))}


def test_slices_put_together_are_the_file(lab):
    run = ended(tiny_run(lab.workspace), 2000)
    live, offset, text, more, answers = LiveRuns(lab), 0, "", True, 0
    while more:
        answer = live.poll({"run": run.id, "offset": offset})
        assert len(answer["lines"].encode()) <= SLICE_BYTES and answer["lines"].endswith("\n")
        text, offset, more, answers = text + answer["lines"], answer["offset"], answer["more"], answers + 1
        assert ("about" in answer) == (answers == 1)
    assert text == run.events_path.read_text(encoding="utf-8")
    assert answers > 3 and live.poll({"run": run.id, "offset": offset})["lines"] == ""


def test_a_line_that_is_being_written_waits_until_it_is_whole(lab):
    run = ended(tiny_run(lab.workspace), 3)
    live = LiveRuns(lab)
    offset = live.poll({"run": run.id, "offset": 0})["offset"]
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"step","st')
        file.flush()
        assert live.poll({"run": run.id, "offset": offset})["lines"] == ""
        file.write(b'ep":4}\n')
    assert json.loads(live.poll({"run": run.id, "offset": offset})["lines"])["step"] == 4


@pytest.mark.parametrize("question", [
    None, 7, "run", [], {}, {"run": None}, {"run": 3}, {"run": "../datasets/tiny"}, {"run": ".."}, {"run": "/etc"}, {"run": ""},
    {"run": "x" * 100_000}, {"run": ["a"]}, {"run": {"a": 1}}, {"offset": -1}, {"offset": 10**30}, {"offset": "0"},
    {"offset": None}, {"offset": 1.5}, {"offset": True}, {"run": "tiny", "opening": "yes"}])
def test_whatever_is_asked_it_answers_and_only_reads(lab, question):
    run = ended(tiny_run(lab.workspace), 5)
    run.status()  # rebuilt and kept once, by whoever asks first
    before = everything_in(lab.workspace.path)
    answer = LiveRuns(lab).poll({"run": run.id, **question} if isinstance(question, dict) and "offset" in question else question)
    assert answer["run"] == run.id and json.dumps(answer)
    assert everything_in(lab.workspace.path) == before


def test_an_id_is_never_a_path(lab, tmp_path):
    run = ended(tiny_run(lab.workspace), 5)
    elsewhere = tmp_path / "elsewhere"
    run.path.rename(elsewhere)
    for text in (str(elsewhere), "../../elsewhere", "../../../" + elsewhere.name):
        assert LiveRuns(lab).poll({"run": text, "offset": 0})["run"] is None


def test_a_page_that_opens_shows_what_trains_else_what_it_showed_else_the_latest(lab):
    old, new = ended(tiny_run(lab.workspace, "old"), 1), ended(tiny_run(lab.workspace, "new"), 1)
    live = LiveRuns(lab)
    latest = lab.workspace.list_runs()[0].id
    assert live.poll({"run": None, "opening": True})["run"] == latest
    assert live.poll({"run": old.id, "opening": True})["run"] == old.id
    lab.jobs.current = new
    assert live.poll({"run": old.id, "opening": True})["run"] == new.id
    assert live.poll({"run": old.id, "offset": 0})["run"] == old.id  # opened by hand while another trains
    assert live.poll({"run": old.id, "offset": 0})["training"]["run"] == new.id


def test_a_deleted_run_gives_way_to_another_told_from_its_beginning(lab):
    """The old run's offset was once applied to the new one: its first half was missing."""
    run = ended(tiny_run(lab.workspace), 200)
    answer = LiveRuns(lab).poll({"run": "20200101-000000-gone", "offset": 4000})
    assert answer["run"] == run.id and "about" in answer
    assert answer["lines"].encode() == run.read_events(0, SLICE_BYTES)[0]


def test_it_says_what_the_reference_lines_need(lab):
    run = ended(tiny_run(lab.workspace), 1)
    about = LiveRuns(lab).poll({"run": run.id, "offset": 0})["about"]
    assert about["baselines"] == run.manifest()["baselines"] and about["tokenizer"] == "char" and about["dataset"] == "tiny"


def test_a_damaged_run_is_shown_as_damaged(lab):
    run = ended(tiny_run(lab.workspace), 1)
    (run.path / "config.json").write_text("{", encoding="utf-8")
    (run.path / "status.json").unlink(missing_ok=True)
    answer = LiveRuns(lab).poll({"run": run.id, "offset": 0})
    assert answer["status"]["state"] == "damaged" and answer["about"] == {}


@pytest.mark.parametrize("content", ["{", "{}", '{"vocab_size": "many"}', '{"vocab_size": 9, "name": "x", "tokenizer": "char", "baselines": 3}'])
def test_a_run_whose_manifest_is_not_whole_still_gets_an_answer(lab, content):
    run = ended(tiny_run(lab.workspace), 1)
    (run.path / "manifest.json").write_text(content, encoding="utf-8")
    assert LiveRuns(lab).poll({"run": run.id, "offset": 0})["about"] == {}


def test_a_run_left_waiting_by_an_app_that_ended_can_be_resumed(lab):
    run = tiny_run(lab.workspace)
    live = LiveRuns(lab)
    assert live.poll({"run": run.id, "offset": 0})["status"]["state"] == "interrupted"
    lab.jobs.queue.append(run)
    answer = live.poll({"run": run.id, "offset": 0})
    assert answer["status"]["state"] == "queued" and [one["run"] for one in answer["queue"]] == [run.id]


def test_numbers_that_are_not_finite_still_reach_the_page(lab):
    run = tiny_run(lab.workspace)
    run.append(Evaluation(step=0, time_seconds=0, epoch=0, train_loss=float("nan"), val_loss=float("inf"), val_perplexity=1.0,
                          val_bits_per_byte=1.0))
    lines = LiveRuns(lab).poll({"run": run.id, "offset": 0})["lines"].splitlines()
    assert json.loads(lines[-1])["val_loss"] is None
