"""The Doctor in a run's life: its alerts stand in the events, once, and cannot end a run."""

from __future__ import annotations

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import Alert, Evaluation, Sample, Status
from gptlab.runs import worker
from gptlab.train.doctor import Doctor

@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("diagnosis"), small_text)


ILL = {"train__max_learning_rate": 1.0, "train__min_learning_rate": 1.0, "train__warmup_steps": 0, "train__max_steps": 120,
       "train__eval_every": 10, "train__grad_clip": None}


def alerts(run):
    return [event for event in run.events() if isinstance(event, Alert)]


def test_an_ill_run_says_so_beside_the_evidence_and_once(workspace):
    run = tiny_run(workspace, **ILL)
    worker.run(run, should_stop=lambda: len(alerts(run)) > 0)
    first = alerts(run)
    assert [one.code for one in first] and all(one.step > 0 and one.evidence and one.remedy for one in first)
    worker.run(run)
    events = run.events()
    codes = [one.code for one in alerts(run)]
    assert codes[:len(first)] == [one.code for one in first] and len(set(codes)) == len(codes)
    assert isinstance(events[-1], Status)


def test_samples_say_how_much_of_them_is_copied(workspace):
    run = tiny_run(workspace, train__max_steps=20, sample__max_new_tokens=40)
    worker.run(run)
    done = [event for event in run.events() if isinstance(event, Sample) and event.done]
    assert done and all(event.copied_share is None or 0 <= event.copied_share <= 1 for event in done)
    assert any(event.copied_share is not None for event in done)
    assert {one.code for one in alerts(run)} <= {"underfitting"}  # twenty steps are too few, as it says


def test_a_doctor_that_fails_does_not_end_the_run(workspace, monkeypatch, caplog):
    def see(self, event):
        raise RuntimeError("the Doctor is ill")

    monkeypatch.setattr(Doctor, "see", see)
    run = tiny_run(workspace, train__max_steps=20)
    assert worker.run(run) == "finished"
    assert any(isinstance(event, Evaluation) for event in run.events()) and "had to give up" in caplog.text
