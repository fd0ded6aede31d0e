"""The queue on the Train tab, without a browser: who may do what to what waits, and what pages are told."""

import pytest
from tiny_run import Queue, tiny_run, tiny_workspace

from gptlab.runs.rundir import RunDir
from gptlab.ui import queue_view
from gptlab.ui.lab import Lab
from gptlab.ui.queue_view import QueueNow


class Waiting(Queue):
    """Stands in for Jobs: a list that waits, and what was asked of it."""

    def __init__(self):
        super().__init__()
        self.moved = []

    def move(self, run, places):
        self.moved.append((run, places))

    def take_out(self, run):
        self.queue.remove(run)
        return True


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), Waiting())


def running(run, **values):
    """Its status as if it were being trained: 40 steps of 256 tokens, 100 tokens a second."""
    return {**run.status(), "state": "running", "tokens_per_second": 100.0, "eta_seconds": 50.0, **values}


# what is done

def test_anybody_moves_a_run_by_one_place(lab):
    run = tiny_run(lab.workspace)
    run.relabel(owner="Aisha")
    lab.jobs.queue = [run]
    queue_view.move(lab, run.id, 1)
    queue_view.move(lab, "no such run", -1)
    assert lab.jobs.moved == [(run, 1)]
    for places in (0, 2, -10**9, "1", None, 1.0, True, [1]):
        with pytest.raises(ValueError, match="one place at a time"):
            queue_view.move(lab, run.id, places)
    assert len(lab.jobs.moved) == 1


def test_anothers_run_is_taken_out_only_when_sure(lab):
    run = tiny_run(lab.workspace)
    run.relabel(owner="Aisha", name="Aisha's try")
    lab.jobs.queue = [run]
    for who, sure in (("Ben", None), ("Ben", True), ("", False), (None, "true")):
        with pytest.raises(ValueError, match="This is Aisha's run: Aisha's try"):
            queue_view.cancel(lab, run.id, who, sure)
    assert lab.jobs.queue == [run]
    assert "Aisha's try no longer waits" in queue_view.cancel(lab, run.id, "Ben", run.id)
    for asked in (run.id, None, 7, "../x"):
        assert "does not wait any more" in queue_view.cancel(lab, asked, "Aisha", True)


# what pages are told

def test_a_run_deleted_by_hand_while_it_waits_is_still_told_and_can_be_taken_out(lab):
    run = tiny_run(lab.workspace)
    lab.jobs.queue = [run]
    run.path.rename(lab.workspace.path / "elsewhere")
    assert [one["run"] for one in QueueNow(lab).told()["queue"]] == [run.id]
    queue_view.cancel(lab, run.id, "", None)
    assert lab.jobs.queue == []


def test_a_paused_run_keeps_the_others_waiting_for_nobody_knows_how_long(lab, monkeypatch):
    lab.jobs.current, waits = tiny_run(lab.workspace, "now"), tiny_run(lab.workspace, "waits")
    lab.jobs.queue = [waits]
    paused = running(waits, state="paused")
    monkeypatch.setattr(RunDir, "status", lambda run: paused)
    told = QueueNow(lab).told()
    assert told["training"] == {"run": lab.jobs.current.id, "name": "now", "owner": "", "state": "paused", "left_seconds": 50.0}
    assert told["queue"][0]["starts_in_seconds"] is None


def test_within_a_moment_every_page_gets_the_same_answer_unless_the_queue_is_another(lab, monkeypatch):
    """A room of pages asks, and the processor that reads for them is training."""
    first, second = tiny_run(lab.workspace, "first"), tiny_run(lab.workspace, "second")
    lab.jobs.queue = [first, second]
    queue = QueueNow(lab)
    monkeypatch.setattr(queue_view, "KEPT_SECONDS", 3600)
    told = queue.told()
    assert queue.told() is told
    lab.jobs.queue.reverse()
    assert [one["name"] for one in queue.told()["queue"]] == ["second", "first"]
