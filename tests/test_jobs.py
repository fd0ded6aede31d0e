"""The queue: one run at a time, in order, whatever happens to them."""

import json
import threading

import pytest
from tiny_run import tiny_run, tiny_workspace, wait_for

from gptlab.events import Status
from gptlab.runs import archive, worker
from gptlab.runs.disk import RunError
from gptlab.runs.jobs import Jobs

LONG = {"train__max_steps": 100_000, "train__eval_every": 100}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("jobs"), small_text)


@pytest.fixture
def jobs(workspace):
    jobs = Jobs(workspace)
    yield jobs
    assert jobs.stop_all()


def test_first_come_first_served(workspace, jobs, monkeypatch):
    order, run_worker = [], worker.run
    monkeypatch.setattr(worker, "run", lambda run, **options: (order.append(run), run_worker(run, **options))[1])
    first = tiny_run(workspace, "first", **LONG)
    others = [tiny_run(workspace, name, train__max_steps=3) for name in ("second", "third", "fourth")]
    assert (jobs.current, jobs.queue) == (None, [])
    for run in (first, *others, others[0]):
        jobs.submit(run)
    wait_for(lambda: first.state() == "running")
    assert jobs.current == first and jobs.queue == others
    assert [run.state() for run in others] == ["queued"] * 3
    jobs.stop(others[1])
    jobs.stop(first)
    assert jobs.wait(60)
    assert order == [first, others[0], others[2]]
    assert [run.state() for run in (first, *others)] == ["stopped", "finished", "stopped", "finished"]
    assert others[1].status()["reason"] == "Taken out of the queue. Resume lets it wait again."
    jobs.stop(others[0])  # harmless
    assert others[0].state() == "finished"


def test_failures_do_not_stop_the_queue(workspace, jobs, monkeypatch):
    """One run fails, one is gone from the disk when its turn comes, one's data is; one is taken out and deleted. What follows
    is trained all the same."""
    blocker, failing = tiny_run(workspace, "blocker", **LONG), tiny_run(workspace, "failing", sample__prompts=("ß",))
    gone, dataless, deleted = (tiny_run(workspace, name) for name in ("gone", "dataless", "deleted"))
    other_data = {**dataless.manifest(), "name": "other", "hash": "other"}
    (dataless.path / "manifest.json").write_text(json.dumps(other_data), encoding="utf-8")
    last = tiny_run(workspace, "last", train__max_steps=3)
    for run in (blocker, failing, gone, dataless, deleted, last):
        jobs.submit(run)
    archive.move_to_trash(workspace, gone)
    jobs.stop(deleted)
    archive.move_to_trash(workspace, deleted)
    jobs.stop(blocker)
    assert jobs.wait(60)
    assert (failing.state(), dataless.state(), last.state()) == ("failed", "failed", "finished")
    assert "ß" in failing.status()["reason"] and "The data set 'other'" in dataless.status()["reason"]
    assert not gone.path.exists() and not deleted.path.exists()


def test_what_waits_is_moved_and_taken_out(workspace, jobs, monkeypatch):
    """As far as there are places, and only while it waits: a button may be pressed as its run begins."""
    order, release = [], threading.Event()
    monkeypatch.setattr(worker, "run", lambda run, **options: (order.append(run), release.wait(60)))
    runs = first, second, third, fourth = [tiny_run(workspace, name) for name in ("one", "two", "three", "four")]
    for run in runs:
        jobs.submit(run)
    wait_for(lambda: order)
    for run, places, then in ((fourth, -1, [second, fourth, third]), (second, 1, [fourth, second, third]), (fourth, -1, None),
                              (third, 5, None), (third, -9, [third, fourth, second])):
        before = jobs.queue
        assert jobs.move(run, places) and jobs.queue == (then or before)
    assert not jobs.move(first, 1) and not jobs.take_out(first)
    assert jobs.take_out(fourth) and not jobs.take_out(fourth) and not jobs.move(fourth, -1)
    assert fourth.state() == "stopped" and jobs.queue == [third, second]
    archive.move_to_trash(workspace, second)
    assert jobs.take_out(second)
    release.set()
    assert jobs.wait(60) and order == [first, third]


def test_many_hands_at_the_queue_lose_and_double_nothing(workspace, jobs, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(worker, "run", lambda run, **options: release.wait(60))
    current, *waiting = [tiny_run(workspace, f"hand-{i}") for i in range(5)]
    for run in (current, *waiting):
        jobs.submit(run)
    wait_for(lambda: jobs.current == current and len(jobs.queue) == 4)

    def press(run):
        for i in range(200):
            jobs.move(run, (-1, 1, 3, -2)[i % 4])

    hands = [threading.Thread(target=press, args=(run,)) for run in (*waiting, waiting[0])]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert set(jobs.queue) == set(waiting) and len(jobs.queue) == 4
    for run in waiting:
        jobs.take_out(run)
    release.set()
    assert jobs.wait(60)


def test_stop_then_resume(workspace, jobs):
    """Also when the stop has not come through yet: the run stops, and then goes on. Each is a line of its history."""
    run = tiny_run(workspace, "again", **LONG)
    jobs.submit(run)
    wait_for(lambda: run.status()["step"] > 0)
    jobs.stop(run)
    jobs.resume(run)
    wait_for(lambda: [e.state for e in run.events() if isinstance(e, Status)][-2:] == ["stopped", "running"])
    jobs.stop(run)
    assert jobs.wait(60)
    resumed = [event for event in run.events() if isinstance(event, Status) and event.resumed_from_step is not None]
    assert len(resumed) == 1 and resumed[0].resumed_from_step > 0
    jobs.resume(run)
    assert run.state() in ("queued", "running")
    lines = [json.loads(line)["command"] for line in run.control_path.read_text(encoding="utf-8").splitlines()]
    assert lines == ["stop", "resume", "stop", "resume"]


def test_stop_resume_stop(workspace, jobs, monkeypatch):
    """The last word counts: a stop takes back the resume that still waits for the first stop."""
    began, release = [], threading.Event()
    monkeypatch.setattr(worker, "run", lambda run, **options: (began.append(run), release.wait(60)))
    run = tiny_run(workspace, "last-word")
    jobs.submit(run)
    wait_for(lambda: began)
    jobs.stop(run)
    jobs.resume(run)
    assert jobs.queue == [run]
    jobs.stop(run)
    assert jobs.queue == []
    release.set()
    assert jobs.wait(60) and began == [run]


def test_what_cannot_be_started(workspace, jobs):
    run = tiny_run(workspace, "other", train__max_steps=2)
    with run.lock():  # as the command line would
        with pytest.raises(RunError, match="being trained by another program"):
            jobs.submit(run)
    jobs.submit(run)
    assert jobs.wait(60)
    with pytest.raises(RunError, match="is finished. To train longer, extend it"):
        jobs.resume(run)
    (run.path / "config.json").write_text("{", encoding="utf-8")
    (run.path / "status.json").unlink()
    with pytest.raises(RunError, match="config.json is damaged"):
        jobs.submit(run)
    assert jobs.queue == []


def test_stopping_a_run_of_another_program(workspace, jobs):
    run = tiny_run(workspace, "elsewhere", **LONG)
    thread = threading.Thread(target=worker.run, args=(run,), daemon=True)
    thread.start()
    wait_for(lambda: run.state() == "running")
    jobs.stop(run)
    thread.join(60)
    assert run.state() == "stopped" and jobs.current is None


def test_an_app_that_ends_and_the_next_one(workspace):
    """The run that trains is saved; the one that waits stays queued, and both go on in the next app."""
    first, second = tiny_run(workspace, "one", **LONG), tiny_run(workspace, "two", train__max_steps=3)
    jobs = Jobs(workspace)
    jobs.submit(first)
    jobs.submit(second)
    wait_for(lambda: first.status()["step"] > 0)
    assert jobs.stop_all()
    assert (first.state(), second.state(), jobs.queue) == ("stopped", "queued", [])
    with pytest.raises(RunError, match="closing"):
        jobs.submit(second)
    later = Jobs(workspace)
    later.submit(second)
    later.resume(first)
    wait_for(lambda: first.state() == "running")
    assert second.state() == "finished"
    assert later.stop_all()


def test_nothing_is_left_inside_torch_when_the_program_ends(workspace):
    """The thread begins with two seconds of imports: Python that ended meanwhile said "terminate called", and aborted."""
    before = set(threading.enumerate())  # another test's app may not have ended yet
    assert Jobs(workspace).stop_all()
    assert "training" not in [thread.name for thread in set(threading.enumerate()) - before]
