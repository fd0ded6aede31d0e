"""The steering panel's questions: what is possible in which state, what is said before it is done, and that the command that
is shown does what the button does."""

import json
import re
import shlex
import shutil

import pytest
from test_remedies import Queue
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.cli import main
from gptlab.cli import steering as commands
from gptlab.config import all_settings
from gptlab.events import Setting, Status
from gptlab.runs import steering, worker
from gptlab.runs.changes import LIMITS, LIVE
from gptlab.runs.rundir import RunDir
from gptlab.ui import remedies, words, words_train
from gptlab.ui.lab import Lab
from gptlab.ui.steering_panel import ACTIONS, SteeringPanel


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("panel"), small_text)


@pytest.fixture
def lab(workspace):
    return Lab(workspace, Queue())


@pytest.fixture
def panel(lab):
    return SteeringPanel(lab)


@pytest.fixture(scope="module")
def worsened(workspace):
    """A finished run that got worse after step 16, where it was extended with too high a learning rate. Not to be changed."""
    run = finished_run(workspace, "worsened", train__max_steps=16, train__checkpoint_every=8)
    steering.extend(run, {"train.max_steps": 32})
    steering.set_live(run, {"train.max_learning_rate": 1.0, "train.min_learning_rate": 1.0})
    assert worker.run(run) == "finished" and run.status()["best_step"] <= 16
    return run


@pytest.fixture
def twins(workspace, worsened):
    """Two copies of it, to change."""
    copies = [workspace.runs / f"{worsened.id}-{which}" for which in ("one", "two")]
    for path in copies:
        shutil.copytree(worsened.path, path)
    yield [RunDir(path) for path in copies]
    for path in copies:
        shutil.rmtree(path)


def set_state(run, state):
    run.append(Status(step=32, time_seconds=9.0, state=state))
    run.write_status({**run.status(), "state": state, "events_bytes": run.events_path.stat().st_size})


# what is possible

@pytest.mark.parametrize("state, expected", [
    ("running", ["set", "sample", "save", "pause", "stop", "fork"]), ("paused", ["resume", "set", "sample", "save", "stop", "fork"]),
    ("finished", ["extend", "fork", "rollback"]), ("stopped", ["resume", "extend", "set", "fork", "rollback"])])
def test_what_can_be_done_depends_on_the_state(panel, twins, state, expected):
    run = twins[0]
    set_state(run, state)
    if state in ("running", "paused"):
        with run.lock():
            assert panel.options({"run": run.id})["actions"] == expected
    else:
        assert panel.options({"run": run.id})["actions"] == expected


def test_a_run_that_waits_has_little_to_offer_and_a_damaged_one_nothing(lab, panel):
    run = tiny_run(lab.workspace, "waiting")
    lab.jobs.queue = [run]
    assert panel.options({"run": run.id})["actions"] == ["set", "stop"]
    answer = panel.foresee({"run": run.id, "action": "stop"})
    assert answer["ready"] and "no longer waits" in answer["said"] and not answer["command"]  # the queue is this app's
    (run.path / "config.json").write_text("{", encoding="utf-8")
    assert panel.options({"run": run.id})["actions"] == []
    shutil.rmtree(run.path)


def test_settings_and_checkpoints_to_choose_from(panel, worsened):
    options = panel.options({"run": worsened.id})
    assert options["settings"]["extend"] == list(LIMITS) and "set" not in options["settings"]
    fork = options["settings"]["fork"]
    assert fork[0] == "train.max_learning_rate" and {"train.optimizer", "model.dropout", "sample.temperature"} <= set(fork)
    assert not {"model.n_layer", "model.context_length", "data.source"} & set(fork)
    rate, steps = options["about"]["train.max_learning_rate"], options["about"]["train.max_steps"]
    assert (rate["label"], rate["now"], rate["kind"], rate["none"]) == ("Learning rate", "1", "number", "")
    assert (steps["now"], steps["unit"], steps["none"]) == ("32", "steps", "no limit") and "Empty" not in steps["help"]
    assert options["about"]["train.optimizer"]["choices"] == [("adamw", "adamw"), ("muon", "muon")]
    best, last = worsened.status()["best_step"], 32
    found = options["checkpoints"]
    assert [one["value"] for one in found][:3] == ["best", "last", last] and {"value", "label", "resumable"} == found[0].keys()
    assert f"Best: step {best}, val" in found[0]["label"]
    assert {one["value"] for one in found if not one["resumable"]} == {one["value"] for one in found[2:]} - {best, last}


# what is said before

@pytest.mark.parametrize("question, said", [
    ({"action": "extend"}, "Choose what ends the run"), ({"action": "extend", "changes": {"train.max_steps": "64"}}, "rises again|stays|goes on"),
    ({"action": "fork", "step": 24}, "step 24; the optimizer starts afresh, because that checkpoint holds weights alone"),
    ({"action": "fork", "step": "best"}, "goes on with what it remembers"),
    ({"action": "fork", "changes": {"train.optimizer": "muon"}}, "starts afresh, because muon cannot use"),
    ({"action": "rollback"}, r"back to step \d+, the best \(val ")])
def test_it_is_said_what_will_come_of_it(panel, worsened, question, said):
    answer = panel.foresee({"run": worsened.id, **question})
    assert not answer["problem"]
    assert re.search(said, answer["said"])
    assert answer["ready"] == bool(answer["command"])


@pytest.mark.parametrize("question, problem", [
    ({"action": "extend", "changes": {"train.max_steps": "20"}}, "would end at once"),
    ({"action": "extend", "changes": {"train.max_steps": "many"}}, "“Steps”: 'many' is not a whole number."),
    ({"action": "set", "changes": {"train.max_learning_rate": "7"}}, "“Learning rate” is 7.0, but must be at most 1"),
    ({"action": "fork", "changes": {"model.n_layer": "7"}}, "“Layers” is 1 in the weights"),
    ({"action": "fork", "step": 7}, "no checkpoint at step 7"), ({"action": "fork", "name": "a/b"}, "for example 'a-b'"),
    ({"action": "rollback", "run": "gone"}, words.NO_SUCH_RUN)])
def test_what_cannot_be_is_said_before_too_and_has_no_command(panel, worsened, question, problem):
    answer = panel.foresee({"run": worsened.id, **question})
    assert problem in answer["problem"] and not answer["command"] and not answer["ready"]


@pytest.mark.parametrize("question", [
    None, 7, [], {}, {"run": None}, {"run": "../x"}, {"run": ["a"]}, {"action": ["stop"]}, {"action": {}}, {"action": "delete"},
    {"action": "fork", "step": True}, {"action": "fork", "step": "8"}, {"action": "fork", "step": -1}, {"action": "fork", "step": 10**30},
    {"action": "fork", "step": []}, {"action": "fork", "name": 7}, {"action": "fork", "name": "\x00"}, {"action": "set", "changes": [1]},
    {"action": "set", "changes": {"no.such": 1}}, {"action": "set", "changes": {"train.max_learning_rate": {"a": 1}}},
    {"action": "extend", "changes": {"train.max_steps": 10**400}}, {"action": "extend", "changes": {"train.max_steps": "9" * 9000}},
    {"action": "fork", "changes": {"sample.prompts": [1, 2]}}, {"action": "fork", "changes": {"sample.prompts": "x" * 20_000}}])
def test_any_question_gets_an_answer(lab, panel, worsened, question):
    if isinstance(question, dict) and "run" not in question:
        question = {"run": worsened.id, **question}
    before = sorted(worsened.path.rglob("*"))
    assert isinstance(panel.options(question)["actions"], list)
    answer = panel.foresee(question)
    assert answer["problem"] and not answer["ready"] and "\n" not in answer["problem"]
    with pytest.raises(ValueError):  # and what does it refuses it likewise
        remedies.steer(lab, question)
    assert sorted(worsened.path.rglob("*")) == before


# the command of everything

def history(run):
    """What control.jsonl and the events say was done to a run, and its settings."""
    lines = [json.loads(line) for line in run.control_path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in ("id", "run")} for line in lines], [
        (event.step, event.changes, event.before) for event in run.events() if isinstance(event, Setting)], run.config()


def newest(workspace, before):
    return [run for run in workspace.list_runs() if run not in before]


DONE = [("set", {"changes": {"train.max_learning_rate": "3e-4", "train.patience": "none"}}), ("extend", {"changes": {"train.max_steps": "64"}}),
        ("fork", {"step": 24, "name": "other", "changes": {"sample.prompts": "The cat\nand it saw", "train.grad_clip": "none", "train.optimizer": "muon"}}),
        ("fork", {"step": "last", "changes": {}}), ("rollback", {})]


@pytest.mark.parametrize("minutes", [None, 2.0])
@pytest.mark.parametrize("action, rest", DONE)
def test_the_command_does_what_the_button_does_at_rest(lab, panel, twins, monkeypatch, action, rest, minutes):
    monkeypatch.setattr(commands, "_train", lambda run, options: {})  # the button hands it to the queue instead
    lab.max_minutes = minutes
    command = panel.foresee({"run": twins[1].id, "action": action, **rest})["command"]
    before = lab.workspace.list_runs()
    done = remedies.steer(lab, {"run": twins[0].id, "action": action, **rest})
    by_button = newest(lab.workspace, before)
    before = lab.workspace.list_runs()
    assert main(shlex.split(command)[3:]) == 0 and " -m gptlab " in command
    by_command = newest(lab.workspace, before)
    assert history(twins[0]) == history(twins[1]) and history(twins[0])[0][-1]["command"] == action
    assert lab.jobs.current == (done.run if action in ("extend", "fork") else None)
    for ours, theirs in zip(by_button, by_command, strict=True):
        assert ours == done.run and ours.config() == theirs.config() and ours.parent()["step"] == theirs.parent()["step"]
        assert ours.config().train.max_minutes == minutes
        assert ours.name == (rest.get("name") or f"{twins[0].name}-fork")
    for run in (*by_button, *by_command):
        shutil.rmtree(run.path)


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize("action", ["set", "sample", "save", "pause", "stop", "resume"])
def test_the_command_does_what_the_button_does_while_it_trains(lab, panel, twins, action, state):
    """A line of control.jsonl either way: the worker may be in this program or another."""
    if (action, state) in (("resume", "running"), ("pause", "paused")):
        return
    rest = {"changes": {"train.eval_every": "5"}} if action == "set" else {}
    lab.jobs.stop = lambda run: run.command("stop")  # as for the run of another program; see test_jobs.py for this one's
    with twins[0].lock(), twins[1].lock():
        for run in twins:
            set_state(run, state)
        command = panel.foresee({"run": twins[1].id, "action": action, **rest})["command"]
        remedies.steer(lab, {"run": twins[0].id, "action": action, **rest})
        assert main(shlex.split(command)[3:]) == 0
    assert history(twins[0])[0] == history(twins[1])[0]
    assert history(twins[0])[0][-1]["command"] == ("checkpoint" if action == "save" else action)


def test_every_action_has_its_words_and_was_held_against_the_command_line():
    steer = words_train.STEER
    assert set(ACTIONS) == set(steer["do"]) == set(steer["will"]) | {"extend"}
    assert set(ACTIONS) == {action for action, _ in DONE} | {"set", "sample", "save", "pause", "stop", "resume"}
    assert set(LIVE) | set(LIMITS) <= dict(all_settings()).keys()
