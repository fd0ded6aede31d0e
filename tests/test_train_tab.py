"""The Train tab's handlers, without a browser: what a button does to the workspace and the queue, and what it says."""

import shlex
import threading
from types import SimpleNamespace

import pytest
from tiny_run import Queue, tiny_workspace

from gptlab.cli import parser
from gptlab.cli.options import settings_of
from gptlab.ui import next_run, train_tab, words
from gptlab.ui.lab import Lab, read_draft
from gptlab.ui.next_run import NextRun

SMALL = {"model.n_layer": 1, "model.n_embd": 32, "model.context_length": 32, "train.max_steps": 30}


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), Queue())


@pytest.fixture
def draft():
    return read_draft({"dataset": "tiny", "changes": SMALL})


# start

def test_start_makes_the_run_the_draft_describes_and_hands_it_over(lab, draft):
    run, note = train_tab.start_training(lab, " mine ", draft)
    assert (run.name, note, lab.jobs.current) == ("mine", "", run)
    config = run.config()
    assert (config.model.n_layer, config.train.max_steps, config.data.tokenizer) == (1, 30, "char")
    assert run.manifest()["hash"] == lab.workspace.open_dataset("tiny").hash and run.state() == "queued"


def test_a_second_start_waits_and_says_for_whom(lab, draft):
    first, _ = train_tab.start_training(lab, "first", draft)
    second, note = train_tab.start_training(lab, "second", draft)
    assert lab.jobs.queue == [second] and "second" in note and "first" in note
    assert "third waits its turn behind 1 other" in train_tab.start_training(lab, "third", draft)[1]


def test_without_a_name_it_is_called_after_its_data_and_preset(lab, draft):
    run, _ = train_tab.start_training(lab, "", draft)
    assert run.name == "tiny-first-minute" == next_run.default_name(lab, draft)


@pytest.mark.parametrize("name, changes, dataset, said", [
    ("a/b", {}, "tiny", "a-b"), ("../up", {}, "tiny", "up"), ("x" * 500, {}, "tiny", "at most"),
    ("", {"model.context_length": 8192}, "tiny", "8,192"), ("", {"model.n_head": 5}, "tiny", "heads"),
    ("", {}, "never-prepared", words.NO_DATA)])
def test_what_keeps_it_from_starting_is_one_sentence_and_leaves_no_run(lab, draft, name, changes, dataset, said):
    with pytest.raises(ValueError) as problem:
        train_tab.start_training(lab, name, {**draft, "dataset": dataset, "changes": {**SMALL, **changes}})
    assert said in str(problem.value) and "\n" not in str(problem.value)
    assert lab.workspace.list_runs() == [] and lab.jobs.current is None


def test_an_apps_limit_in_minutes_holds_for_every_run(lab, draft):
    lab.max_minutes = 2.0
    assert train_tab.start_training(lab, "", draft)[0].config().train.max_minutes == 2.0
    shorter = {**draft, "changes": {**SMALL, "train.max_minutes": 0.5}}
    assert train_tab.start_training(lab, "", shorter)[0].config().train.max_minutes == 0.5


# what would start next

def test_it_says_what_is_next_before_anything_ran(lab, draft, monkeypatch):
    found = SimpleNamespace(total_seconds=42.0, choice=SimpleNamespace(words="On the processor: 2 threads, fp32, batches of 8."))
    monkeypatch.setattr(next_run, "measure", lambda *question: found)
    asked = NextRun(lab)
    asked.ahead(draft)
    asked.estimates._thread.join()
    ahead = asked.ahead(draft)
    assert ahead["sentence"] == ("Next: tiny · First minute, 4 settings changed · about 42 s here. On the processor: 2 threads, "
                                 "fp32, batches of 8.")
    assert ahead["settled"]
    assert ahead["baselines"] == lab.workspace.open_dataset("tiny").baselines and ahead["total_steps"] == 30


def test_the_copied_command_is_one_the_command_line_takes(lab, draft):
    options = parser().parse_args(shlex.split(NextRun(lab).ahead(draft)["command"])[3:])
    assert options.dataset == "tiny" and options.preset == "first-minute"
    assert settings_of(options) == {name: str(value) for name, value in SMALL.items()}


@pytest.mark.parametrize("draft", [None, 5, {}, {"preset": "gone"}, {"changes": {"model.n_layer": 99999}}, {"changes": {"no": 1}},
                                   {"changes": [1]}, {"dataset": "../.."}, {"dataset": 7}, {"shown": {"x": 1}}])
def test_any_draft_gets_an_answer(lab, draft):
    assert NextRun(lab).ahead(draft)["sentence"]


def test_nothing_is_measured_while_something_trains_and_nothing_twice(lab, draft, monkeypatch):
    measured, go = [], threading.Event()

    def measure(config, workspace, name):
        measured.append(config)
        go.wait(60)
        return None  # cannot be tried here: said once, not tried again

    monkeypatch.setattr(next_run, "measure", measure)
    asked = NextRun(lab)
    lab.jobs.current = SimpleNamespace(id="training")
    assert " here." not in asked.ahead(draft)["sentence"] and measured == []
    lab.jobs.current = None
    for _ in range(3):
        assert not asked.ahead(draft)["settled"]
    go.set()
    asked.estimates._thread.join()
    assert asked.ahead(draft)["settled"] and len(measured) == 1
