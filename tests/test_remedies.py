"""What the page's buttons and the Doctor's do to a run, without a browser; and what they say."""

import json

import pytest
from tiny_run import Queue, finished_run, tiny_run, tiny_workspace

from gptlab.events import Status, Step
from gptlab.ui import remedies
from gptlab.ui.lab import Lab, read_draft, undo
from gptlab.ui.next_run import NextRun

SMALL = {"model.n_layer": 1, "model.n_embd": 32, "model.context_length": 32, "train.max_steps": 30}


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), Queue())


@pytest.fixture
def draft():
    return read_draft({"dataset": "tiny", "changes": SMALL})


def set_state(run, state):
    run.append(Status(step=0, time_seconds=0.0, state=state))
    return run


# pause, resume, stop

def test_buttons_mean_the_run_on_view_while_it_works_else_the_one_that_trains(lab):
    old = set_state(tiny_run(lab.workspace, "old"), "finished")
    lab.jobs.current = set_state(tiny_run(lab.workspace, "new"), "queued")
    waiting = tiny_run(lab.workspace, "waiting")
    lab.jobs.queue = [waiting]
    remedies.stop_run(lab, old.id)
    remedies.stop_run(lab, waiting.id)
    remedies.stop_run(lab, "no such run")
    assert lab.jobs.stopped == [lab.jobs.current, waiting, lab.jobs.current]


def test_who_is_asked_about_one_run_stops_no_other(lab):
    """The one on view ended while the question stood, and the next one is somebody else's."""
    asked, lab.jobs.current = set_state(tiny_run(lab.workspace, "asked"), "running"), tiny_run(lab.workspace, "next")
    for run, owner in ((asked, "Aisha"), (lab.jobs.current, "Chidi")):
        run.relabel(owner=owner)
    assert remedies.stop_run(lab, asked.id, "Ben", asked.id) == "asked neither trains nor waits any more."
    for shown, sure in ((asked.id, None), (lab.jobs.current.id, None), (asked.id, True), (None, "no such run")):
        with pytest.raises(ValueError):
            remedies.stop_run(lab, shown, "Ben", sure)
    assert lab.jobs.stopped == []
    with asked.lock():
        assert "Stopping asked" in remedies.stop_run(lab, lab.jobs.current.id, "Ben", asked.id)
    assert lab.jobs.stopped == [asked]


def test_pressing_a_button_for_nothing_harms_nothing(lab):
    for action in (remedies.stop_run, remedies.pause_run, remedies.resume_run, remedies.sample_now):
        for shown in (None, "", "../../etc", 7, {"a": 1}):
            assert action(lab, shown)


def test_pause_and_resume_reach_the_worker(lab):
    run = tiny_run(lab.workspace)
    lab.jobs.current = run
    with run.lock():
        set_state(run, "running")
        remedies.pause_run(lab, run.id)
        set_state(run, "paused")
        remedies.resume_run(lab, run.id)
    assert [one["command"] for one in commands(run)] == ["pause", "resume"]
    assert lab.jobs.queue == []


def test_an_interrupted_run_goes_back_to_the_queue(lab):
    run = set_state(tiny_run(lab.workspace), "running")  # nobody holds its lock
    assert run.state() == "interrupted"
    remedies.resume_run(lab, run.id)
    assert lab.jobs.current == run


def commands(run):
    return [json.loads(line) for line in run.control_path.read_text(encoding="utf-8").splitlines()]


def test_a_sample_is_asked_of_the_run_on_view_while_it_trains(lab):
    run, other = tiny_run(lab.workspace), tiny_run(lab.workspace, "other")
    lab.jobs.current = other
    with pytest.raises(ValueError, match="not being trained|waits for its turn"):
        remedies.sample_now(lab, run.id)
    with run.lock():
        assert remedies.sample_now(lab, run.id) == ""
    assert [one["command"] for one in commands(run)] == ["sample"] and not other.control_path.exists()


# what the Doctor advises

def remedy(lab, run, action, draft=None, **rest):
    return remedies.do_remedy(lab, draft, run.id, {"action": action, **rest})


def test_advice_for_the_next_run_goes_into_the_draft_and_can_be_taken_back(lab, draft):
    run = tiny_run(lab.workspace)
    done = remedy(lab, run, "new", draft, changes={"model.dropout": 0.2, "train.patience": 5})
    assert done.draft["changes"] == {**SMALL, "model.dropout": 0.2, "train.patience": 5} and done.tab is None
    assert "dropout 0.2, patience 5" in done.note and undo(done.draft)["changes"] == SMALL
    assert "6 settings changed" in NextRun(lab).ahead(done.draft)["sentence"]
    with pytest.raises(ValueError, match="Final learning rate"):  # a page's label, and no draft that could not start
        remedy(lab, run, "new", draft, changes={"train.max_learning_rate": 1e-6})


def test_advice_about_the_text_leads_to_the_data(lab):
    done = remedy(lab, tiny_run(lab.workspace), "prepare", changes={"data.split": "spread"})
    assert done.tab == "data" and "spread" in done.note


def test_a_run_is_stopped_by_advice_only_while_it_works_and_no_other(lab):
    run, other = set_state(tiny_run(lab.workspace), "finished"), tiny_run(lab.workspace, "other")
    lab.jobs.current = other
    with pytest.raises(ValueError):
        remedy(lab, run, "stop")
    remedy(lab, other, "stop")
    assert lab.jobs.stopped == [other]


def test_the_learning_rate_is_changed_while_it_trains(lab):
    run = tiny_run(lab.workspace)
    with run.lock():
        done = remedy(lab, run, "set", changes={"train.max_learning_rate": 3e-4})
    assert "learning rate 0.0003" in done.note
    assert [one["command"] for one in commands(run)] == ["set"] and commands(run)[0]["changes"]["train.max_learning_rate"] == 3e-4


def test_a_fork_a_longer_run_and_going_back_are_queued(lab):
    run = finished_run(lab.workspace, train__max_steps=16)
    forked = remedy(lab, run, "fork", changes={"train.grad_clip": 5.0})
    assert lab.jobs.current == forked.run != run and forked.run.config().train.grad_clip == 5.0
    assert forked.run.parent() == {"run": run.id, "step": 16}
    again = remedy(lab, run, "fork", step=8)
    assert again.run.name != forked.run.name or again.run.id != forked.run.id
    longer = remedy(lab, run, "extend", changes={"train.max_steps": 32})
    assert longer.run == run and run.config().train.max_steps == 32 and run in lab.jobs.queue


def test_advice_goes_no_further_than_the_apps_limit_in_minutes(lab):
    run = finished_run(lab.workspace, train__max_steps=16)
    lab.max_minutes = 2.0
    assert remedy(lab, run, "fork").run.config().train.max_minutes == 2.0
    remedy(lab, run, "extend", changes={"train.max_steps": 32, "train.epochs": None, "train.max_minutes": None})
    assert run.config().train.max_minutes == 2.0


def test_going_back_to_the_best_is_done_at_rest_and_trains_on(lab, monkeypatch):
    run, rolled = set_state(tiny_run(lab.workspace), "stopped"), []
    monkeypatch.setattr(remedies.steering, "roll_back", rolled.append)
    assert remedy(lab, run, "restore_best", step=8).run == run and rolled == [run] and lab.jobs.current == run


@pytest.mark.parametrize("asked", [
    None, 5, "stop", [], {}, {"action": None}, {"action": "delete"}, {"action": ["stop"]}, {"action": "new", "changes": [1]},
    {"action": "new", "changes": {"no.such": 1}}, {"action": "set", "changes": {"train.max_learning_rate": "fast"}},
    {"action": "set", "changes": {"model.n_layer": 3}}, {"action": "fork", "step": "8"}, {"action": "fork", "step": 7},
    {"action": "extend", "changes": {}}, {"action": "restore_best"}])
def test_what_cannot_be_done_is_one_sentence(lab, asked):
    run = set_state(tiny_run(lab.workspace), "finished")
    with pytest.raises(ValueError) as problem:
        remedies.do_remedy(lab, None, run.id, asked)
    assert "\n" not in str(problem.value) and lab.workspace.list_runs() == [run]
    with pytest.raises(ValueError):
        remedies.do_remedy(lab, None, "../" + run.id, {"action": "stop"})


# the steering panel

def test_anothers_run_is_steered_only_by_somebody_who_is_sure(lab):
    run = finished_run(lab.workspace, train__max_steps=16)
    run.relabel(owner="Aisha")
    longer = {"run": run.id, "action": "extend", "changes": {"train.max_steps": "32"}}
    with pytest.raises(ValueError, match="This is Aisha's run"):
        remedies.steer(lab, longer, "Ben")
    assert run.config().train.max_steps == 16
    forked = remedies.steer(lab, {"run": run.id, "action": "fork"}, "Ben").run  # takes nothing away from her
    assert forked.label().owner == "Ben"
    with pytest.raises(ValueError, match="This is Aisha's run"):
        remedies.steer(lab, longer, "Ben", forked.id)
    remedies.steer(lab, longer, "Ben", run.id)
    assert run.config().train.max_steps == 32


def test_stopping_a_run_that_is_over_does_not_stop_another(lab):
    """The big button means what trains where nothing on view does; the panel means its run."""
    run, lab.jobs.current = set_state(tiny_run(lab.workspace), "finished"), tiny_run(lab.workspace, "other")
    with pytest.raises(ValueError):
        remedies.steer(lab, {"run": run.id, "action": "stop"})
    assert lab.jobs.stopped == []


def test_what_has_to_wait_says_so(lab):
    run = finished_run(lab.workspace, train__max_steps=16)
    lab.jobs.current = tiny_run(lab.workspace, "busy")
    done = remedies.steer(lab, {"run": run.id, "action": "fork", "name": "later"})
    assert done.note == "later waits: it starts when busy is done." and lab.jobs.queue == [done.run]


def test_a_resumed_run_trains_no_longer_than_the_app_allows(lab):
    """One begun on the command line, or before the room had a limit, once went on with its own."""
    run = set_state(tiny_run(lab.workspace), "stopped")
    lab.max_minutes = 5
    remedies.resume_run(lab, run.id)
    assert run.config().train.max_minutes == 5 and lab.jobs.current == run
    short = set_state(tiny_run(lab.workspace, "short", train__max_minutes=2.0), "stopped")
    remedies.resume_run(lab, short.id)
    assert short.config().train.max_minutes == 2
    long = tiny_run(lab.workspace, "long")
    long.append(Step(step=1, time_seconds=400, epoch=0.1, tokens=4000, loss=2.0, learning_rate=0.1, grad_norm=1.0,
                     tokens_per_second=10.0), Status(step=1, time_seconds=400.0, state="stopped"))
    with pytest.raises(ValueError, match="has trained for 6.67 minutes"):
        remedies.resume_run(lab, long.id)
    assert lab.jobs.queue == [short]
