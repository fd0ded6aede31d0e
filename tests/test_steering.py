"""Steering: what is changed while a run goes on holds whatever cuts it; forks, extensions and going back to the best."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import finished_run, last_weights, tiny_run, tiny_workspace, trajectory, wait_for

from gptlab.data.sources import DataError
from gptlab.events import Alert, Checkpoint, Evaluation, Sample, Setting, Status, Step
from gptlab.runs import archive, checkpoint, control, steering, worker
from gptlab.runs.changes import live_config
from gptlab.runs.disk import RunError
from gptlab.runs.jobs import Jobs
from gptlab.runs.rundir import RunDir
from gptlab.train import learning
from gptlab.train.doctor import Doctor
from gptlab.train.optim import learning_rate
from gptlab.train.trainer import Trainer

LOWER = {"train.max_learning_rate": 2e-4, "train.min_learning_rate": 1e-5, "train.eval_every": 3}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("steering"), small_text)


@pytest.fixture(scope="module")
def finished(workspace):
    """A finished run; not to be changed."""
    return finished_run(workspace, "finished")


@pytest.fixture
def copy(workspace, finished):
    """A finished run to change."""
    target = workspace.runs / f"{finished.id}-copy"
    shutil.copytree(finished.path, target)
    yield RunDir(target)
    shutil.rmtree(target)


@pytest.fixture
def after_update(monkeypatch):
    """after_update[step] = what happens in the update of that step, once."""
    actions, update = {}, Trainer.update
    monkeypatch.setattr(control, "READ_SECONDS", 0.0)

    def acting(trainer):
        update(trainer)
        if action := actions.pop(trainer.step, None):
            action()
    monkeypatch.setattr(Trainer, "update", acting)
    return actions


def killed():
    raise KeyboardInterrupt  # as the worker takes it: nothing is saved, not even the update


def of_type(run, kind) -> list:
    return [event for event in run.events() if isinstance(event, kind)]


def commands(run) -> list[dict]:
    return [json.loads(line) for line in run.control_path.read_text(encoding="utf-8").splitlines()]


def assert_no_overlap(run):
    steps = [event.step for event in of_type(run, Step)]
    assert steps == list(range(1, len(steps) + 1))
    for kind in (Evaluation, Checkpoint):
        assert [e.step for e in of_type(run, kind)] == sorted(e.step for e in of_type(run, kind))


# changing settings of a run that goes on

@pytest.fixture(scope="module")
def steered(workspace):
    """A run whose settings were changed at step 12, which the new ones evaluate; nothing else happened to it."""
    run = tiny_run(workspace, "steered")
    with pytest.MonkeyPatch.context() as patch:
        update = Trainer.update
        patch.setattr(control, "READ_SECONDS", 0.0)

        def steering_update(trainer):
            update(trainer)
            if trainer.step == 12:
                steering.set_live(run, LOWER)
        patch.setattr(Trainer, "update", steering_update)
        assert worker.run(run) == "finished"
    return run


def test_a_change_holds_from_the_next_update_on(steered, finished):
    """It is an event at its step; the schedule keeps its shape; config.json stays what the run was started with."""
    (event,) = of_type(steered, Setting)
    assert (event.step, event.changes) == (12, LOWER)
    assert event.before == {"train.max_learning_rate": 1e-3, "train.min_learning_rate": 1e-4, "train.eval_every": 8}
    assert steered.config() == finished.config() and live_config(steered) == steered.config().replace(LOWER)
    assert live_config(steered, until_step=11) == steered.config()
    assert trajectory(steered)[:14] == trajectory(finished)[:14]
    for step in of_type(steered, Step):
        train = (steered.config() if step.step <= 12 else live_config(steered)).train
        assert step.learning_rate == learning_rate(step.step - 1, 40, train)
    assert [event.step for event in of_type(steered, Evaluation)] == [0, 8, *range(12, 40, 3), 40]
    (line,) = commands(steered)
    assert (line["command"], line["changes"]) == ("set", LOWER)


@pytest.mark.parametrize("cut", [13, 16, 22, 39])
def test_a_change_survives_a_kill(workspace, steered, after_update, cut):
    """Before the next checkpoint that was due anyway, and after it: bit for bit the run that was never cut."""
    run = tiny_run(workspace, "cut")
    after_update.update({12: lambda: steering.set_live(run, LOWER), cut: killed})
    worker.run(run)
    assert live_config(run).train.max_learning_rate == 2e-4
    assert worker.run(run) == "finished"
    assert trajectory(run) == trajectory(steered) and last_weights(run) == last_weights(steered)
    assert len(of_type(run, Setting)) == 1
    assert_no_overlap(run)


def test_a_kill_while_the_change_is_saved(workspace, after_update, monkeypatch):
    """The event is there, its checkpoint is not: the run resumes from an older one, makes the change there, and says so."""
    run = tiny_run(workspace, "cut-while-saving")
    save, allowed = checkpoint.save, {0, 8}
    after_update[10] = lambda: steering.set_live(run, LOWER)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda run, trainer, *rest, **options:
                      save(run, trainer, *rest, **options) if trainer.step in allowed else killed())
        worker.run(run)
    assert checkpoint.list_checkpoints(run)[-1].step == 8
    after_update[9] = killed  # and again, before anything was saved
    worker.run(run)
    assert worker.run(run) == "finished"
    (event,) = of_type(run, Setting)
    assert (event.step, event.changes, event.before["train.eval_every"]) == (8, LOWER, 8)
    train = live_config(run).train
    assert [e.learning_rate for e in of_type(run, Step)][8:] == [learning_rate(step, 40, train) for step in range(8, 40)]
    assert_no_overlap(run)


def test_a_change_before_there_is_any_checkpoint(workspace, monkeypatch):
    """Of a run that waits; then it is cut in its first evaluation, and begins again."""
    run = tiny_run(workspace, "early", train__max_steps=8)
    steering.set_live(run, {"train.max_learning_rate": 5e-4})
    assert run.state() == "queued"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda *_, **__: killed())
        worker.run(run)
    assert of_type(run, Evaluation) and not run.checkpoint_paths()
    assert worker.run(run) == "finished"
    assert [event.changes for event in of_type(run, Setting)] == [{"train.max_learning_rate": 5e-4}]
    assert of_type(run, Step)[-1].learning_rate == learning_rate(7, 8, live_config(run).train)


def test_changes_while_paused_and_at_rest(workspace):
    run = tiny_run(workspace, "paused", train__max_steps=100_000, train__eval_every=50_000)
    thread = threading.Thread(target=worker.run, args=(run,), daemon=True)
    thread.start()
    wait_for(lambda: of_type(run, Step))
    run.command("pause")
    wait_for(lambda: run.state() == "paused")
    steering.set_live(run, {"train.sample_every": "7"})
    wait_for(lambda: of_type(run, Setting))
    run.command("stop")
    thread.join(60)
    steering.set_live(run, {"train.sample_every": None, "train.patience": 5})
    assert run.state() == "stopped"
    assert {event.step for event in of_type(run, Setting)} == {run.status()["step"]}
    assert [(event.changes, event.before) for event in of_type(run, Setting)] == [
        ({"train.sample_every": 7}, {"train.sample_every": None}),
        ({"train.sample_every": None, "train.patience": 5}, {"train.sample_every": 7, "train.patience": None})]
    assert [line["command"] for line in commands(run)] == ["pause", "set", "stop", "set"]
    assert live_config(run).train.patience == 5 and run.config().train.patience is None


def test_every_setting_that_may_change_does(workspace, after_update):
    """How often to sample, to save, how many to keep, and when to give up."""
    run = tiny_run(workspace, "every", train__max_learning_rate=1e-6, train__min_learning_rate=0)
    after_update[10] = lambda: steering.set_live(run, {"train.sample_every": 5, "train.checkpoint_every": 7,
                                                       "train.keep_checkpoints": 1})
    assert worker.run(run) == "finished"
    assert {event.step for event in of_type(run, Sample)} >= {15, 20, 25, 30, 35, 40}
    assert {event.step for event in of_type(run, Checkpoint)} >= {10, 14, 21, 28, 35, 40}
    best = checkpoint.best_of(checkpoint.list_checkpoints(run)).step
    assert len({saved.step for saved in checkpoint.list_checkpoints(run)} - {best, 40}) == 1
    worse = tiny_run(workspace, "worse", train__max_learning_rate=1.0, train__min_learning_rate=1.0, train__warmup_steps=0)
    after_update[10] = lambda: steering.set_live(worse, {"train.patience": 1, "train.eval_every": 2})
    assert worker.run(worse) == "finished" and worse.status()["step"] < 40
    assert worse.status()["reason"].startswith("No better loss on unseen text in 1 evaluations")


def test_a_rate_below_its_end_takes_the_end_along(copy):
    steering.set_live(copy, {"train.max_learning_rate": 5e-5})
    assert of_type(copy, Setting)[-1].changes == {"train.max_learning_rate": 5e-5, "train.min_learning_rate": 5e-6}


@pytest.mark.parametrize("changes, words", [
    ({"train.batch_size": 4}, "train.batch_size cannot change while a run goes on: fork the run, or start a new one. What can: "
                              "train.max_learning_rate"),
    ({"train.max_steps": 80}, "train.max_steps cannot change while a run goes on: extend the run"),
    ({"model.n_layer": 3, "train.seed": 1}, "model.n_layer cannot.*\n.*train.seed cannot"),
    ({"train.evalevery": 3}, "Did you mean 'train.eval_every'"),
    ({"train.eval_every": 0}, "train.eval_every is 0, but must be at least 1"),
    ({"train.max_learning_rate": "much"}, "'much' is not a number"),
    ({"train.min_learning_rate": 0.5}, "train.min_learning_rate 0.5 is above"),
    ({"train.eval_every": 8}, "Nothing would change: train.eval_every=8 is so already"),
    ({}, "Name a setting to change")])
def test_changes_that_are_refused(copy, changes, words):
    before = copy.events_path.read_bytes()
    with pytest.raises(ValueError, match=words):
        steering.set_live(copy, changes)
    assert copy.events_path.read_bytes() == before and not copy.control_path.exists()


def test_a_line_that_cannot_be_obeyed_is_answered(workspace, after_update):
    """Somebody wrote it by hand: the run says why not, and goes on."""
    run = tiny_run(workspace, "by-hand", train__max_steps=8)
    after_update.update({2: lambda: run.command("set", changes={"train.eval_every": 0}), 4: lambda: run.command("set", changes=3),
                         6: lambda: run.command("set", changes={"model.n_layer": 3})})
    assert worker.run(run) == "finished" and not of_type(run, Setting)
    said = [event.reason for event in of_type(run, Status) if event.reason.startswith("Nothing was changed")]
    assert len(said) == 3 and "at least 1" in said[0] and "only train.max_learning_rate" in said[2]


# forks

def test_a_fork_begins_with_the_weights_and_the_optimizers_memory(workspace, finished):
    fork = steering.fork(workspace, finished, "last", {"train.max_learning_rate": 5e-4, "model.dropout": 0.0}, "child")
    assert fork.state() == "queued" and fork.parent() == {"run": finished.id, "step": 40} and finished.parent() is None
    assert fork.status()["reason"] == "Forked from step 40 of finished; the optimizer goes on with what it remembers."
    assert fork.config() == finished.config().replace({"train.max_learning_rate": 5e-4, "model.dropout": 0.0})
    model, parents = checkpoint.load_model(fork)[0], checkpoint.load_model(finished, "last")[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), parents.parameters()))
    assert worker.run(fork) == "finished"
    first, last = of_type(fork, Evaluation)[0], of_type(finished, Evaluation)[-1]
    assert first.step == 0 and (first.val_loss, first.train_loss) == (last.val_loss, last.train_loss)
    assert of_type(fork, Step)[0].learning_rate == learning_rate(0, 40, fork.config().train)
    running = of_type(fork, Status)[1]
    assert running.resumed_from_step is None
    assert running.reason.startswith(f"Begins with the weights of run {finished.id} at step 40; the optimizer goes on with what it "
                                     "remembers. ")
    steps = load_file(fork.checkpoint_paths()[-1] / "optimizer.safetensors")
    assert {int(tensor) for name, tensor in steps.items() if name.endswith(".step")} == {80}
    assert commands(finished)[-1]["run"] == fork.id


def test_the_doctor_knows_a_fork_from_a_beginning(workspace, finished, monkeypatch):
    """A first loss below that of guessing alarms in a new run; here it is meant."""
    monkeypatch.setattr(learning, "FIRST_LOSS_OFF", 0.05)
    fork = steering.fork(workspace, finished, "last", {"train.max_steps": 1}, "calm")
    assert worker.run(fork) == "finished"
    assert [one.code for one in Doctor(fork.config(), fork.manifest()).see(of_type(fork, Evaluation)[0])] == ["first_loss"]
    assert "first_loss" not in {event.code for event in of_type(fork, Alert)}


def weights_alone(run):
    """A step of which only weights were kept."""
    return next(saved.step for saved in checkpoint.list_checkpoints(run) if not saved.resumable)


def test_a_fork_without_the_optimizers_memory_says_so(workspace, finished):
    fork = steering.fork(workspace, finished, weights_alone(finished), {}, "afresh")
    assert fork.status()["reason"].endswith("the optimizer starts afresh, because that checkpoint holds weights alone.")
    other = steering.fork(workspace, finished, "last", {"train.optimizer": "muon"}, "other")
    assert other.status()["reason"].endswith("the optimizer starts afresh, because muon cannot use what adamw remembers.")
    for one in (fork, other):
        assert worker.run(one) == "finished"
        assert "; the optimizer starts afresh. " in of_type(one, Status)[1].reason


def test_a_fork_of_a_fork(workspace, finished):
    """Before the first one has begun at all, too; and with the settings that its parent had come to."""
    first = steering.fork(workspace, finished, "best", {"train.max_steps": 12}, "first")
    before = steering.fork(workspace, first, "last", {}, "before")
    assert before.parent() == {"run": first.id, "step": 0} and before.config() == first.config()
    steering.set_live(first, {"train.eval_every": 4})
    assert worker.run(first) == "finished"
    second = steering.fork(workspace, first, 12, {"train.max_steps": 5}, "second")
    assert second.parent() == {"run": first.id, "step": 12}
    assert (second.config().train.eval_every, second.config().train.max_steps) == (4, 5)
    assert worker.run(second) == "finished" and worker.run(before) == "finished"
    assert of_type(second, Evaluation)[0].val_loss == of_type(first, Evaluation)[-1].val_loss


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_a_cut_fork_goes_on_exactly(workspace, finished, after_update, monkeypatch, cut):
    """At its very first save the parent's weights must not be away for a moment."""
    whole = steering.fork(workspace, finished, "last", {"train.max_steps": 16}, "whole")
    run = steering.fork(workspace, finished, "last", {"train.max_steps": 16}, "cut")
    assert worker.run(whole) == "finished"
    with monkeypatch.context() as patch:
        if cut == 0:
            patch.setattr(checkpoint, "write_atomic", lambda *_: killed())
        else:
            after_update[cut] = killed
        worker.run(run)
    assert run.state() == "stopped" and worker.run(run) == "finished"
    assert trajectory(run) == trajectory(whole) and last_weights(run) == last_weights(whole)
    assert_no_overlap(run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking makes the kills affordable; Windows has no fork")
def test_a_fork_killed_at_any_disk_operation(workspace, finished):
    """Of its first moments, when the parent's weights lie nowhere else."""
    whole, run = (steering.fork(workspace, finished, "last", {"train.max_steps": 8}, name) for name in ("safe", "crashes"))
    assert worker.run(whole) == "finished"
    script = Path(__file__).with_name("killed_worker.py")
    done = subprocess.run([sys.executable, str(script), str(run.path), "0", *"1 2 3 4 5 6 7 8 10 12 15".split()],
                          env={**os.environ, "PYTHONPATH": str(script.parent.parent)}, capture_output=True, text=True)
    assert done.stdout.count("killed") >= 8 and done.stdout.split()[-1] == "finished", done.stderr
    assert trajectory(run) == trajectory(whole) and last_weights(run) == last_weights(whole)
    assert of_type(run, Evaluation)[0].val_loss == of_type(finished, Evaluation)[-1].val_loss


def test_a_fork_whose_weights_are_gone_does_not_begin_from_nothing(workspace, finished):
    fork = steering.fork(workspace, finished, "last", {}, "robbed")
    shutil.rmtree(fork.checkpoints_path)
    assert worker.run(fork) == "failed"
    assert f"weights of run {finished.id}" in fork.status()["reason"] and "fork it again" in fork.status()["reason"]


def test_a_forks_parent_travels_with_it(workspace, finished, tmp_path):
    fork = steering.fork(workspace, finished, "last", {}, "packed")
    assert archive.import_zip(workspace, archive.zip_run(fork, tmp_path / "fork.zip")).parent() == fork.parent()
    (fork.path / "parent.json").write_text("[]", encoding="utf-8")
    assert fork.parent() is None


def test_a_parent_that_is_being_trained(workspace, finished):
    """Also one that drops the checkpoint meanwhile."""
    with finished.lock():
        assert steering.fork(workspace, finished, "best", {}, "beside").state() == "queued"
    def dropped(*_, **__):
        raise FileNotFoundError
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "plant", dropped)
        with pytest.raises(RunError, match="dropped meanwhile: choose another one"):
            steering.fork(workspace, finished, "best", {}, "gone")
    assert "gone" not in [run.name for run in workspace.list_runs()]


@pytest.mark.parametrize("which, changes, words", [
    ("best", {"model.n_layer": 2}, "model.n_layer is 1 in the weights that a fork takes over, not 2: start a new run"),
    ("best", {"model.context_length": 32}, "model.context_length is 16"),
    ("best", {"model.n_head": 4, "model.mlp": "relu2"}, "model.n_head is 2.*\nmodel.mlp is gelu"),
    ("best", {"data.seed": 3}, "data.seed cannot change in a fork: a fork learns from the same data"),
    ("best", {"train.eval_every": 0}, "at least 1"),
    ("best", {"sample.prompts": ("ß",)}, "ß"),
    (999, {}, "no checkpoint at step 999")])
def test_forks_that_are_refused(workspace, finished, which, changes, words):
    before = workspace.list_runs()
    with pytest.raises(ValueError, match=words):
        steering.fork(workspace, finished, which, changes, "refused")
    with pytest.raises(RunError, match="'a/b' cannot be the name"):
        steering.fork(workspace, finished, "best", {}, "a/b")
    assert workspace.list_runs() == before


def test_a_longer_context_where_no_table_ends(workspace):
    """Rotary positions have none, so the weights fit."""
    parent = finished_run(workspace, "rope", model__positions="rope", train__max_steps=4)
    fork = steering.fork(workspace, parent, "last", {"model.context_length": 32, "train.tokens_per_update": 512}, "longer")
    assert worker.run(fork) == "finished"


def test_a_fork_needs_its_data(workspace, finished):
    moved = workspace.datasets / "tiny", workspace.path / "elsewhere"
    shutil.move(*moved)
    try:
        with pytest.raises(DataError, match="'tiny'.*missing or changed"):
            steering.fork(workspace, finished, "best", {}, "nothing")
    finally:
        shutil.move(*reversed(moved))


# longer

def test_an_extended_run_is_the_run_that_had_been_that_long(workspace):
    constant = {"train__schedule": "constant"}
    whole, run = finished_run(workspace, "long", **constant), finished_run(workspace, "short", train__max_steps=24, **constant)
    steering.extend(run, {"train.max_steps": 40})
    assert run.config() == whole.config()
    status = run.status()
    assert (status["state"], status["step"], status["total_steps"]) == ("stopped", 24, 40)
    assert status["reason"] == "Made longer: train.max_steps from 24 to 40. The learning rate stays at 0.001."
    (event,) = of_type(run, Setting)
    assert (event.step, event.changes, event.before) == (24, {"train.max_steps": 40}, {"train.max_steps": 24})
    jobs = Jobs(workspace)
    jobs.submit(run)
    assert jobs.wait(60) and jobs.stop_all()
    assert run.state() == "finished" and trajectory(run) == trajectory(whole) and last_weights(run) == last_weights(whole)
    assert [line["command"] for line in commands(run)] == ["extend", "resume"]
    assert_no_overlap(run)


def test_what_an_extension_does_to_the_learning_rate(copy):
    steering.extend(copy, {"train.max_steps": "80"})
    expected = learning_rate(40, 80, copy.config().train)
    assert copy.status()["reason"].endswith(f"The learning rate rises again from 0.000102 to {expected:.3g}, and falls to 0.0001 by step 80.")
    assert worker.run(copy) == "finished" and copy.status()["step"] == 80
    assert of_type(copy, Step)[40].learning_rate == expected


def test_more_minutes(workspace):
    """Measured anew from what the run has taken so far, and the same again after a cut."""
    run = finished_run(workspace, "minutes", train__max_steps=None, train__max_minutes=0.01)
    step, seconds = run.status()["step"], run.status()["training_seconds"]
    steering.extend(run, {"train.max_minutes": 0.03})
    total = run.status()["total_steps"]
    assert total == pytest.approx(step * 1.8 / seconds, rel=0.1) and total > step
    assert worker.run(run) == "finished" and run.status()["step"] == pytest.approx(total, abs=2)
    steering.extend(run, {"train.max_minutes": None, "train.max_steps": run.status()["step"] + 3})
    assert worker.run(run) == "finished" and "steps done" in run.status()["reason"]


@pytest.mark.parametrize("changes, words", [
    ({"train.max_steps": 30}, "is at step 40 and would end at once: 30 steps done. Move that limit"),
    ({"train.epochs": 50}, "would end at once: 40 steps done"),
    ({"train.max_steps": None, "train.epochs": 1}, "would end at once: 1 epoch done"),
    ({"train.max_steps": 90, "train.patience": 1}, "no better loss on unseen text in 1 evaluations. Raise train.patience too"),
    ({"train.max_steps": None}, "Nothing ends this run"),
    ({"train.max_steps": 40}, "Nothing would change"),
    ({"train.max_learning_rate": 1e-4}, "cannot change where a run is to become longer.*What can: train.max_steps"),
    ({"train.max_steps": None, "train.max_minutes": 0.01}, "minutes, and train.max_minutes is 0.01")])
def test_extensions_that_are_refused(copy, changes, words, monkeypatch):
    if "patience" in words:
        copy.append(*[dataclasses.replace(of_type(copy, Evaluation)[0], step=40)])
    if "minutes" in words:
        copy.write_status({**copy.status(), "training_seconds": 60.0})
    before = (copy.path / "config.json").read_bytes(), copy.events_path.read_bytes()
    known = copy.status()
    with monkeypatch.context() as patch, pytest.raises(ValueError, match=words):
        patch.setattr(RunDir, "read_all", lambda run: pytest.fail("all of a long run read, at each question of the panel"))
        steering.extension(copy, known, changes)
    with pytest.raises(ValueError, match=words):
        steering.extend(copy, changes)
    assert ((copy.path / "config.json").read_bytes(), copy.events_path.read_bytes()) == before and not copy.is_alive()


def test_what_a_run_was_extended_from_is_what_its_older_forks_had(workspace, copy):
    """Also one that was forked at its very end; a change of what it learns by, there, holds for what is forked from there."""
    forks = {which: steering.fork(workspace, copy, which, {}, f"of-{which}") for which in ("last", 8)}
    steering.extend(copy, {"train.max_steps": 60})
    steering.set_live(copy, {"train.max_learning_rate": 5e-4})
    for step, fork in ((40, forks["last"]), (8, forks[8])):
        assert live_config(copy, until_step=step).train.max_steps == fork.config().train.max_steps == 40
    assert live_config(copy, until_step=41).train.max_steps == 60 == live_config(copy).train.max_steps
    rates = [live_config(copy, until_step=step).train.max_learning_rate for step in (39, 40, 41)]
    assert rates == [1e-3, 5e-4, 5e-4]


def test_a_run_that_somebody_trained_meanwhile_is_changed_where_it_stands_now(copy, monkeypatch):
    """Its status was read before it was held, and then told of a run that had gone on."""
    steering.extend(copy, {"train.max_steps": 50})
    lock = RunDir.lock

    def meanwhile(run):
        monkeypatch.setattr(RunDir, "lock", lock)
        assert worker.run(run) == "finished"
        return lock(run)
    monkeypatch.setattr(RunDir, "lock", meanwhile)
    steering.extend(copy, {"train.max_steps": 60})
    assert of_type(copy, Setting)[-1].step == copy.status()["step"] == 50


# back to the best

FAST = {"train__max_learning_rate": 0.02, "train__max_steps": 24}  # learns much in 17 steps, and so has much to lose


@pytest.fixture
def worsened(workspace, after_update):
    """A run that got worse from step 17 on, because somebody raised its learning rate."""
    run = tiny_run(workspace, "worsened", **FAST)
    after_update[17] = lambda: steering.set_live(run, {"train.max_learning_rate": 1.0, "train.min_learning_rate": 1.0})
    assert worker.run(run) == "finished"
    assert run.status()["best_step"] < 20
    yield run
    shutil.rmtree(run.path)


def test_back_to_the_best(workspace, worsened):
    """Nothing later counts, the change that spoilt it included; resumed, it is the run that was never spoilt."""
    run, best = worsened, worsened.status()["best_step"]
    steering.roll_back(run)
    status = run.status()
    assert (status["state"], status["step"], status["best_step"]) == ("stopped", best, best)
    assert status["reason"].startswith(f"Rolled back to step {best}, the best (val ")
    assert not of_type(run, Setting) and live_config(run) == run.config()
    assert max(event.step for event in run.events() if not isinstance(event, Status)) == best and run.checkpoint_paths()[-1].name == f"step_{best:08d}"
    assert sorted(run.checkpoints_path.glob("set_aside_*"))
    assert commands(run)[-1]["command"] == "rollback"
    with pytest.raises(RunError, match="stands at its best already"):
        steering.roll_back(run)
    assert worker.run(run) == "finished"
    healthy = finished_run(workspace, "healthy", **FAST)
    assert trajectory(run) == trajectory(healthy) and last_weights(run) == last_weights(healthy)
    assert_no_overlap(run)
    assert len({event.sample_id for event in of_type(run, Sample)}) >= 2


def test_back_to_the_best_with_other_settings(worsened):
    best = worsened.status()["best_step"]
    steering.roll_back(worsened)
    steering.set_live(worsened, {"train.max_learning_rate": 3e-4})
    assert worker.run(worsened) == "finished"
    assert [(event.step, event.changes) for event in of_type(worsened, Setting)] == [(best, {"train.max_learning_rate": 3e-4})]
    assert of_type(worsened, Step)[best].learning_rate == learning_rate(best, 24, live_config(worsened).train)


def test_back_is_refused(workspace, finished, copy):
    with pytest.raises(RunError, match="no checkpoint with a measured loss"):
        steering.roll_back(tiny_run(workspace, "new"))
    with copy.lock(), pytest.raises(RunError, match="is being trained: stop it first, then roll it back"):
        steering.roll_back(copy)
    with copy.lock(), pytest.raises(RunError, match="is being trained: stop it first, then make it longer"):
        steering.extend(copy, {"train.max_steps": 80})
    best = checkpoint.best_of(checkpoint.list_checkpoints(copy))
    copy.append(Status(step=41, time_seconds=9.0, state="stopped"))
    if best.step == 40:
        (best.path / "state.json").unlink()
        best = checkpoint.best_of(checkpoint.list_checkpoints(copy))
    (best.path / "optimizer.safetensors").unlink(missing_ok=True)
    with pytest.raises(RunError, match="holds weights alone, so the run cannot go on from it: fork it there"):
        steering.roll_back(copy)
    assert not list(copy.checkpoints_path.glob("set_aside_*"))
