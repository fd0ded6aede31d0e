"""Whatever cuts a run, the resumed one is bit for bit the run that was never cut."""

import dataclasses
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import finished_run, last_weights, tiny_run, tiny_workspace, trajectory, wait_for

from gptlab.events import Evaluation, Sample, Status
from gptlab.runs import checkpoint, control, worker
from gptlab.runs.disk import RunError
from gptlab.train import evaluation

ROOT = Path(__file__).resolve().parent.parent


def start(run, *arguments) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.Popen([sys.executable, str(ROOT / "tests" / "killed_worker.py"), str(run.path), *map(str, arguments)],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def finish(process: subprocess.Popen) -> list[str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.split()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("resume"), small_text)


@pytest.fixture(scope="module")
def uncut(workspace):
    """A run that nothing happened to."""
    run = finished_run(workspace, "uncut")
    assert [event.step for event in run.events() if isinstance(event, Evaluation)] == [0, 8, 16, 21, 24, 32, 40]
    return run


def assert_same(run, uncut):
    assert run.state() == "finished"
    assert trajectory(run) == trajectory(uncut)
    assert last_weights(run) == last_weights(uncut)


def test_killed_from_outside(workspace, uncut):
    """kill -9 in the middle of an epoch; the run shows as interrupted, and goes on from its last checkpoint."""
    run = tiny_run(workspace, "killed")
    process = start(run, 0.04)  # so slow that the kill comes before the end, however busy the machine
    wait_for(lambda: any(event.step >= 19 for event in run.events()))
    assert run.is_alive() and run.state() == "running"
    process.kill()
    process.communicate()
    assert not run.is_alive()
    assert run.state() == "interrupted" and run.status()["step"] >= 19
    saved = int(run.checkpoint_paths()[-1].name.removeprefix("step_"))
    assert 16 <= saved < 40  # 16, or what a busy machine came to save before the kill arrived
    assert worker.run(run.path) == "finished"
    assert [event.resumed_from_step for event in run.events() if isinstance(event, Status)][:3] == [None, None, saved]
    assert_same(run, uncut)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking makes ten kills affordable; Windows has no fork")
def test_killed_at_any_disk_operation(workspace, uncut):
    """Before, between and after renames, with half a line written: ten SIGKILLs in one run, the first ones before
    there is any checkpoint."""
    run = tiny_run(workspace, "crashes")
    chance = random.Random(5)
    counts = [1, 2, 6, 10, *(chance.randrange(8, 40) for _ in range(6))]
    output = finish(start(run, 0, *counts))
    assert output.count("killed") >= 8 and output[-1] == "finished"
    assert_same(run, uncut)
    assert not [path for path in run.path.rglob(".tmp-*")]


def stop_after(steps: int):
    """A should_stop that is true after that many looks: the worker looks at least once an update."""
    looks = iter(range(10**9))
    return lambda: next(looks) >= steps


def test_stopped_and_resumed(workspace, uncut):
    """A stop finishes the update and saves it: nothing is trained twice. Twice stopped, in other places than epochs' ends."""
    run = tiny_run(workspace, "stopped", sample__max_new_tokens=1)
    assert worker.run(run.path, should_stop=stop_after(16)) == "stopped"
    stopped_at = run.status()["step"]
    assert 0 < stopped_at < 40 and run.status()["reason"].startswith("Kept step ")
    assert worker.run(run.path, should_stop=stop_after(7)) == "stopped"
    assert stopped_at < run.status()["step"] < 40
    assert worker.run(run.path) == "finished"
    content = run.events_path.read_text(encoding="utf-8")
    assert content.count('"type":"step"') == 40  # none superseded
    assert_same(run, uncut)


@pytest.fixture
def slow(workspace, monkeypatch):
    """(settings, a run that nothing happened to), whose evaluations take 32 batches of one window each."""
    monkeypatch.setattr(evaluation, "CORE_BATCH_TOKENS", 1)
    settings = {"train__max_steps": 20, "sample__max_new_tokens": 1}
    return settings, finished_run(workspace, "slow", **settings)


def evaluated(run) -> list[int]:
    return [event.step for event in run.events() if isinstance(event, Evaluation)]


def test_stops_that_cut_evaluations_short(workspace, slow):
    """The stop does not wait for the evaluation, the last one of the run included; going on makes it whole."""
    settings, whole = slow
    run, cut = tiny_run(workspace, "cut-evaluations", **settings), []
    for looks in itertools.cycle([20, 49, 53]):
        if worker.run(run.path, should_stop=stop_after(looks)) != "stopped":
            break
        if (step := run.status()["step"]) in (0, 8, 16, 20) and step not in evaluated(run):
            cut.append(step)
            assert checkpoint.list_checkpoints(run)[-1].step == step
    assert len(set(cut)) >= 3 and cut[0] == 0 and 20 in cut
    assert evaluated(run) == evaluated(whole) == [0, 8, 16, 20]
    assert_same(run, whole)


def test_a_pause_in_an_evaluation(workspace, slow, monkeypatch):
    """It comes at once too, and what was evaluated after it is what the checkpoint of that step knows."""
    monkeypatch.setattr(control, "READ_SECONDS", 0.0)
    settings, whole = slow
    run, looks, found = tiny_run(workspace, "paused-evaluation", **settings), itertools.count(), []

    def look() -> bool:
        if next(looks) == 20:
            run.command("pause")
        elif run.state() == "paused":
            found.append((evaluated(run), checkpoint.find_checkpoint(run, 0).val_loss))
            run.command("resume")
        return False
    assert worker.run(run.path, should_stop=look) == "finished"
    assert found[0] == ([], None)
    assert checkpoint.find_checkpoint(run, 0).val_loss == checkpoint.find_checkpoint(whole, 0).val_loss is not None
    assert_same(run, whole)


def test_a_crash_after_an_evaluation_that_was_cut_before(workspace, slow, monkeypatch):
    """Noted down, but not in the checkpoint of that step: it is made again, and noted down once."""
    settings, whole = slow
    run = tiny_run(workspace, "noted", **settings)
    assert worker.run(run.path, should_stop=stop_after(20)) == "stopped" and evaluated(run) == []

    def full(*_, **__):
        raise RunError("The disk is full.")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        assert worker.run(run.path) == "failed"
    assert evaluated(run) == [0] and checkpoint.find_checkpoint(run, 0).val_loss is None
    assert worker.run(run.path) == "finished"
    assert_same(run, whole)


def texts(run) -> dict:
    """What the last event of each sample says, but for its time."""
    return {event.sample_id: dataclasses.replace(event, time_seconds=0.0) for event in run.events() if isinstance(event, Sample)}


def test_stops_that_cut_samples_short(workspace):
    """Stopped again and again, in the middle of texts, the last ones too: the resumed run has every text whole."""
    settings = {"train__max_steps": 6, "train__sample_every": 2, "sample__prompts": ("The cat", "Two birds")}
    run, whole = tiny_run(workspace, "texts", **settings), finished_run(workspace, "whole-texts", **settings)
    cut = 0
    while worker.run(run.path, should_stop=stop_after(19)) == "stopped":
        cut += any(not event.done for event in texts(run).values())
        assert cut < 20
    assert cut >= 3
    assert texts(run) == texts(whole) and all(event.done for event in texts(whole).values()) and len(texts(whole)) == 8
    assert_same(run, whole)


def test_torn_line_and_damaged_newest_checkpoint(workspace, uncut):
    """A machine that lost power: half a line, and a checkpoint shorter than it should be. It falls back, and says so."""
    run = tiny_run(workspace, "power")
    worker.run(run.path, should_stop=stop_after(30))
    newest = run.checkpoint_paths()[-1]
    content = (newest / "model.safetensors").read_bytes()
    (newest / "model.safetensors").write_bytes(content[:-100])
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"step","step":99,"lo')
    assert worker.run(run.path) == "finished"
    resumed = [event for event in run.events() if isinstance(event, Status) and event.resumed_from_step is not None]
    assert resumed[0].resumed_from_step < int(newest.name.removeprefix("step_"))
    assert newest.name in resumed[0].reason and "cut off" in resumed[0].reason
    assert_same(run, uncut)


def test_a_cut_off_sample_is_written_to_its_end(workspace):
    """The sample of the step that a run resumes from is written again under its id, with the same text."""
    run, whole = tiny_run(workspace, "cut", train__max_steps=2), finished_run(workspace, "whole", train__max_steps=2)
    assert worker.run(run.path, should_stop=lambda: True) == "stopped"
    first = {event.sample_id: event for event in whole.events() if isinstance(event, Sample)}["0-0"]
    assert "0-0" not in {event.sample_id for event in run.events() if isinstance(event, Sample)}
    assert worker.run(run.path) == "finished"
    again = {event.sample_id: event for event in run.events() if isinstance(event, Sample)}["0-0"]
    assert again.done and again.text == first.text and len(again.token_ids) > 1
