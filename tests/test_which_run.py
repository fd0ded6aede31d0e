"""From an id to a run, and what its state means to a page."""

from tiny_run import Queue, tiny_run, tiny_workspace

from gptlab.runs import label
from gptlab.ui.lab import Lab
from gptlab.ui.live import LiveRuns
from gptlab.ui.queue_view import QueueNow
from gptlab.ui.which_run import named, status_here


class Beginning:
    """Stands in for Jobs: its run begins right after somebody has looked at what trains, and before they look at what waits."""

    def __init__(self, run):
        self.run, self.begun = run, False

    @property
    def current(self):
        before, self.begun = (self.run if self.begun else None), True
        return before

    @property
    def queue(self):
        return [] if self.begun else [self.run]

    @property
    def standing(self):
        return (self.run, []) if self.begun else (None, [self.run])


def test_a_run_that_begins_at_that_moment_is_not_said_to_be_cut_off(tmp_path, small_text):
    """For one poll it was neither in the queue nor what trained: its page said "interrupted", and the queue was empty."""
    workspace = tiny_workspace(tmp_path, small_text)
    run = tiny_run(workspace)
    assert status_here(Lab(workspace, Beginning(run)), run)["state"] == "queued"
    told = QueueNow(Lab(workspace, Beginning(run))).told()
    assert [one["run"] for one in told["queue"]] == [run.id]
    assert status_here(Lab(workspace, Queue()), run)["state"] == "interrupted", "it waits for nobody"


def test_a_poll_reads_what_a_run_is_called_once(tmp_path, small_text, monkeypatch):
    lab = Lab(tiny_workspace(tmp_path, small_text), Queue())
    run = tiny_run(lab.workspace, "first")
    live, read, reading = LiveRuns(lab), [], label.read
    monkeypatch.setattr(label, "read", lambda path: read.append(path) or reading(path))
    assert live.poll({"run": run.id, "offset": 0})["shown"]["name"] == "first" and read == [run.path]
    run.relabel(name="Mine", owner="Aisha", saw="less than I thought")
    assert named(run) == {"run": run.id, "name": "Mine", "owner": "Aisha"}
    assert live.poll({"run": run.id, "offset": 0})["shown"] == {**named(run), "predicted": "", "saw": "less than I thought"}
