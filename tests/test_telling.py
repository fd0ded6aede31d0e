"""What a worker leaves on the disk of a long run: the whole of it, at every moment, and no oftener than it must."""

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import Status
from gptlab.runs import checkpoint, curves, telling, worker
from gptlab.runs.telling import Telling


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("telling"), small_text)


@pytest.fixture
def stopped(workspace, monkeypatch):
    """A run of many events, stopped on its way."""
    monkeypatch.setattr(curves, "LONG_BYTES", 1000)
    run = tiny_run(workspace, "long", train__max_steps=400)
    assert worker.run(run, should_stop=lambda: run.events_path.stat().st_size > 12_000) == "stopped"
    assert curves.load(run)["step"] == run.status()["step"] > 20
    return run


def saved_curves(monkeypatch):
    """The numbers of events' bytes for which curves are written from here on."""
    saved, save = [], curves.save

    def noted(run, made):
        saved.append(made.events_bytes)
        save(run, made)
    monkeypatch.setattr(curves, "save", noted)
    return saved


def test_a_resumed_run_never_has_less_in_its_curves_than_it_had(stopped, monkeypatch):
    """The worker wrote them anew before it had read what there was: nothing, said to be of all the events."""
    before, seen = curves.load(stopped), []
    remember = Telling.remember

    def looked(self, counting):
        seen.append(curves.load(stopped))
        remember(self, counting)
        seen.append(curves.load(stopped))
        assert curves.built(stopped) == seen[-1] and seen[-1]["events_bytes"] == stopped.events_path.stat().st_size
        raise KeyboardInterrupt  # as one that is killed right then
    monkeypatch.setattr(Telling, "remember", looked)
    worker.run(stopped)
    assert seen[0] is None or seen[0]["step"] == before["step"]
    assert seen[1]["columns"] == before["columns"] and seen[1]["step"] == before["step"]
    assert len(curves.history_in_sum(stopped).evaluations) == len(curves.read_history(stopped).evaluations) > 1


def test_a_run_that_cannot_be_restored_keeps_what_is_known_of_it(stopped, monkeypatch):
    """Its trainer stood at step 0 when that was told, as the whole run's status and curves."""
    before, kept = stopped.status(), curves.load(stopped)

    def broken(*arguments):
        raise RuntimeError("CUDA error: out of luck")
    monkeypatch.setattr(checkpoint, "restore", broken)
    assert worker.run(stopped) == "failed"
    after = stopped.status()
    assert after["state"] == "failed" and "GPU reported an error" in after["reason"]
    names = ("step", "total_steps", "tokens", "best_val_loss", "best_step", "val_loss", "time_seconds", "training_seconds")
    assert [after[name] for name in names] == [before[name] for name in names]
    assert curves.load(stopped) == kept


def test_what_was_cut_is_known_when_the_next_attempt_fails(stopped, monkeypatch):
    """status.json lags behind in a run that was killed: what is said of it next must be by its events."""
    before = stopped.status()
    stopped.write_status({**before, "state": "running", "step": 3, "tokens": 1, "events_bytes": 10})
    monkeypatch.setattr(checkpoint, "restore", lambda *arguments: 1 / 0)
    assert worker.run(stopped) == "failed"
    after = stopped.status()
    assert (after["state"], after["step"], after["tokens"]) == ("failed", before["step"], before["tokens"])
    assert [event.step for event in stopped.events() if isinstance(event, Status)][-1] == before["step"]


def test_curves_are_kept_once_while_nothing_happens_and_seldom_where_that_takes_long(stopped, monkeypatch):
    """A long run that was paused wrote the same file every second, as long as it stood still."""
    clock = [1000.0]
    monkeypatch.setattr(telling.time, "monotonic", lambda: clock[0])
    told, saved = [], saved_curves(monkeypatch)
    save = curves.save

    def slow(run, made):
        save(run, made)
        clock[0] += 3.0  # seconds that it takes
    monkeypatch.setattr(curves, "save", slow)

    def watched(self, counting):
        self._curves_due = 0.0
        remember(self, counting)
        assert len(saved) == 1
        self.tell("paused")
        assert len(saved) == 2, "it may stay so for long"
        for _ in range(5):
            clock[0] += 2.0
            self.write_status_if_due()
        assert len(saved) == 2, "nothing happened"
        for seconds, count in ((20.0, 2), (3.0 * telling.CURVES_SHARE, 3)):
            self.record([Status(step=self.trainer.step, time_seconds=0.0, state="paused")])
            clock[0] += seconds
            self.write_status_if_due()
            assert len(saved) == count
        told.append(True)
        raise KeyboardInterrupt
    remember = Telling.remember
    monkeypatch.setattr(Telling, "remember", watched)
    worker.run(stopped)
    assert told and saved[-1] == stopped.events_path.stat().st_size
