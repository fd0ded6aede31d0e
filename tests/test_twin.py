"""A twin: the same run once more with one thing different; what the page offers, what it is told, and what trains."""

from __future__ import annotations

import dataclasses
import shlex

import pytest
from tiny_run import Queue, finished_run, tiny_run, tiny_workspace, trajectory

from gptlab.cli.arguments import parser
from gptlab.config import RunConfig, changes
from gptlab.events import Status
from gptlab.runs import chosen, steering, worker
from gptlab.runs.disk import RunError
from gptlab.runs.twin import SWITCHES, make_twin, twin_config
from gptlab.train import choosing
from gptlab.ui import twin, words_export
from gptlab.ui.compare_view import Comparisons
from gptlab.ui.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory, small_text):
    return Lab(tiny_workspace(tmp_path_factory.mktemp("twin"), small_text), Queue())


@pytest.fixture(scope="module")
def run(lab):
    return finished_run(lab.workspace, "stories", train__max_steps=16)


@pytest.fixture(autouse=True)
def nothing_trains(lab):
    lab.jobs.current, lab.jobs.queue[:] = None, []


def test_a_twin_differs_in_one_thing_and_keeps_what_was_found_out_by_timing(lab, run, monkeypatch):
    again = make_twin(lab.workspace, run, {"train.max_learning_rate": 1.1e-3}, "stories, learning rate 0.0011", "Aisha")
    assert changes(again.config(), run.config()) == {"train.max_learning_rate": 1.1e-3}
    assert again.name == "stories, learning rate 0.0011" and again.label().owner == "Aisha" and again.state() == "queued"
    assert again.id.endswith("-stories-learning-rate-0-0011") and again.parent() is None
    monkeypatch.setattr(worker, "choose", lambda *_: pytest.fail("a twin finds nothing out by timing"))
    noted = chosen.kept(run, run.config().train)
    assert noted is not None and worker.run(again.path) == "finished"
    assert chosen.kept(again, again.config().train) == noted
    used = [event.reason for event in again.events() if isinstance(event, Status) and event.state == "running"]
    assert used == [choosing.in_words(noted.device, noted.threads, noted.precision, noted.batch_size)]
    first, second = trajectory(run), trajectory(again)
    assert first[:2] == [dataclasses.replace(event, learning_rate=first[i].learning_rate) if i else event
                         for i, event in enumerate(second[:2])], "the same weights, and the same first batch"
    assert [event.step for event in first] == [event.step for event in second] and first[2:] != second[2:]


def test_a_note_of_another_machine_or_for_other_settings_is_not_followed(lab, run):
    train = run.config().train
    noted = chosen.kept(run, train)
    assert chosen.kept(run, dataclasses.replace(train, batch_size=2)) == dataclasses.replace(
        noted, batch_size=2, words=noted.words.replace("batches of 8", "batches of 2"))
    for wrong in ({"threads": 4096}, {"threads": None}, {"device": "cuda:9"}, {"precision": "fp8"}, {"threads": "1"}):
        other = tiny_run(lab.workspace, "other")
        chosen.keep(other, dataclasses.replace(noted, **wrong))
        assert chosen.kept(other, train) is None, wrong
    assert chosen.kept(tiny_run(lab.workspace, "none"), train) is None


def test_every_switch_makes_a_model_that_trains(lab, run):
    for setting, switch in SWITCHES.items():
        config = twin_config(run, switch.changes(run.config()))
        assert set(changes(config, run.config())) == {setting}
        back = switch.back and switch.changes(config)
        assert not back or not changes(config.replace(back), run.config()) or setting == "model.norm"
    shared = run.config().replace({"model.n_kv_head": 1})
    assert shared.replace(SWITCHES["model.n_head"].changes(shared)).model.kv_heads == 1


def test_the_page_offers_switches_and_says_which_can_not_be_turned(lab, run):
    told = twin.offer(lab, run.id)
    assert told["name"] == "stories" and [one["setting"] for one in told["switches"]] == list(SWITCHES)
    assert not any(one["problem"] for one in told["switches"])
    labels = [one["label"] for one in told["switches"]]
    assert labels[0] == "No positions" and labels[-1] == "Embeddings not tied"
    lone = finished_run(lab.workspace, "lone", train__max_steps=1, model__n_head=1, model__causal=False, model__residual=False)
    told = {one["setting"]: one for one in twin.offer(lab, lone.id)["switches"]}
    assert told["model.n_head"]["problem"] == "It has one head already." and told["model.causal"]["label"] == "Causal mask"
    assert words_export.SWITCHES.keys() == SWITCHES.keys()
    odd = finished_run(lab.workspace, "odd", train__max_steps=1, model__n_embd=24, model__n_head=3, model__n_kv_head=3,
                       model__positions="rope")
    assert not any(one["problem"] for one in twin.offer(lab, odd.id)["switches"])


def test_what_would_come_of_it_is_said_with_its_command(lab, run):
    told = twin.foresee(lab, {"run": run.id, "setting": "model.residual"})
    assert told["said"] == "It will be called “stories, no residual”, and starts at once."
    words = shlex.split(told["command"])[3:]
    read = parser().parse_args(words)
    assert read.name == "stories-no-residual" and read.dataset == "tiny" and ("model.residual", "False") in read.settings
    assert ("train.precision", chosen.kept(run, run.config().train).precision) in read.settings
    told = twin.foresee(lab, {"run": run.id, "setting": "model.norm", "value": "rmsnorm"})
    assert "“stories, normalisation rmsnorm”" in told["said"]
    lab.jobs.current = run
    assert twin.foresee(lab, {"run": run.id, "setting": "model.dropout", "value": "0.1"})["said"] == \
        "It will be called “stories, dropout 0.1”, and waits until stories is done."
    for setting, value, problem in (("model.n_kv_head", "3", "heads cannot share"), ("model.dropout", "much", "“Dropout”"),
                                    ("model.dropout", "0.2", "Nothing would differ"), ("data.seed", "3", "Choose what"),
                                    ("model.dropout", " ", "Choose what"), (None, None, "Choose what")):
        assert problem in twin.foresee(lab, {"run": run.id, "setting": setting, "value": value})["problem"], setting
    assert "problem" in twin.foresee(lab, {"run": "../x", "setting": "model.norm"}) and "problem" in twin.foresee(lab, [])


def test_a_run_that_can_have_no_twin_says_so(lab, run):
    waiting = tiny_run(lab.workspace, "waiting", train__batch_size=None, train__tokens_per_update=None)
    assert "has not begun" in twin.offer(lab, waiting.id)["problem"]
    fork = steering.fork(lab.workspace, run, "last", {}, "fork")
    assert "make a twin of the run it was forked from" in twin.offer(lab, fork.id)["problem"]
    with pytest.raises(RunError, match="forked"):
        make_twin(lab.workspace, fork, {"model.residual": False}, "x")
    assert twin.answer_to(lab, {"run": fork.id, "setting": "model.causal", "number": 3}) == {
        "number": 3, "problem": twin.offer(lab, fork.id)["problem"]}


def test_the_twin_waits_or_trains_and_both_are_to_be_compared(lab, run):
    told = twin.answer_to(lab, {"run": run.id, "setting": "model.norm", "number": 7}, "Ben")
    one = lab.jobs.current
    assert told["runs"] == [run.id, one.id] and one.name == "stories, no normalisation" and one.label().owner == "Ben"
    assert told["number"] == 7 and "begins to train" in told["note"]
    told = twin.answer_to(lab, {"run": run.id, "setting": "model.norm", "number": 8})
    assert lab.jobs.queue[0].id == told["runs"][1] and "waits: it starts when stories, no normalisation is done" in told["note"]


def test_a_comparison_follows_a_twin_that_trains(lab, run):
    comparisons, ids = Comparisons(lab), None
    twin.answer_to(lab, {"run": run.id, "setting": "model.residual", "number": 1})
    one = lab.jobs.current
    ids = [run.id, one.id]
    told = comparisons.of([run, one])
    assert told["alive"] and [side["state"] for side in told["runs"]] == ["finished", "queued"]
    assert told["runs"][1]["best"] is None and [item["values"] for item in told["differences"]] == [["yes", "no"]]
    assert comparisons.news({"runs": ids, "mark": told["mark"]}) is None
    assert worker.run(one.path) == "finished"
    lab.jobs.current = None
    later = comparisons.news({"runs": ids, "mark": told["mark"]})
    assert not later["alive"] and later["runs"][1]["best"]["val_loss"] and len(later["runs"][1]["lines"]["val_loss"]["y"]) == 3
    assert all(comparisons.news(wrong) is None for wrong in ({"runs": ["gone", run.id]}, {"runs": 3}, None))


def test_long_names_keep_what_differs(lab):
    long = finished_run(lab.workspace, "a" * 60, train__max_steps=1)
    _, _, name = twin.read(lab, {"run": long.id, "setting": "model.causal"})
    assert len(name) == 60 and name.endswith("a, no causal mask")
    assert make_twin(lab.workspace, long, {"model.causal": False}, name).name == name


def test_a_setting_that_never_was_is_not_taken(lab, run):
    assert set(twin.offer(lab, run.id)["others"]) <= {f"{section}.{name}" for section in ("model", "train")
                                                      for name in RunConfig().to_dict()[section]}
