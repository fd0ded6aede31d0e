"""Checkpoints: whole or not there, which are kept, and a model that loads anywhere."""

import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.runs import checkpoint, disk
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.train.trainer import Trainer


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("checkpoint"), small_text)


@pytest.fixture(scope="module")
def finished(workspace):
    """A finished run; not to be changed."""
    return finished_run(workspace, "finished")


@pytest.fixture
def copy(finished, tmp_path):
    """A run to damage, in a directory with nothing else: no data set."""
    return RunDir(shutil.copytree(finished.path, tmp_path / finished.id))


def trainer_of(workspace, run) -> Trainer:
    return Trainer(run.config(), workspace.open_dataset("tiny"))


def test_a_trainer_comes_back_as_it_was(workspace):
    """All that will decide the next updates: weights, both moments, random state, position."""
    run = tiny_run(workspace, "again")
    trainer = trainer_of(workspace, run)
    updates = trainer.run()
    for _ in range(6):
        next(updates)
    trainer.flush()
    event = checkpoint.save(run, trainer, ["last"], val_loss=1.25)
    assert (event.path, event.step, event.kept_as) == ("checkpoints/step_00000005", 5, ["last"])
    other = trainer_of(workspace, run)
    assert checkpoint.restore(run, other) == (5, "")
    mine, its = trainer.state_dict(), other.state_dict()
    tensors, restored = mine.pop("optimizer"), its.pop("optimizer")
    assert tensors.keys() == restored.keys() and len(tensors) > 10
    assert all(torch.equal(tensors[name], restored[name]) for name in tensors)
    assert {**mine, "time_seconds": 0, "random": 0} == {**its, "time_seconds": 0, "random": 0}
    saved_random = json.loads((run.checkpoint_paths()[0] / "state.json").read_text(encoding="utf-8"))["trainer"]["random"]
    assert its["random"] == saved_random
    for name, weights in trainer.model.state_dict().items():
        assert torch.equal(weights, other.model.state_dict()[name])


def test_saving_a_step_again_leaves_its_tensors_where_they_are(workspace, monkeypatch):
    """After an evaluation that a pause had cut, or in a fork that has just begun: replaced as a whole, the directory was
    away for a moment, and a kill in it cost the step."""
    run = tiny_run(workspace, "twice")
    trainer = trainer_of(workspace, run)
    checkpoint.save(run, trainer, ["last"])
    path = run.checkpoint_paths()[0]
    before = {file.name: file.stat().st_ino for file in path.iterdir()}
    monkeypatch.setattr(checkpoint, "remove_tree", lambda path: pytest.fail(f"{path} was removed"))
    next(trainer.run())
    event = checkpoint.save(run, trainer, ["best", "last"], val_loss=3.5)
    assert (event.step, event.kept_as) == (0, ["best", "last"])
    (saved,) = checkpoint.list_checkpoints(run)
    assert saved.val_loss == 3.5 and saved.resumable and checkpoint.restore(run, trainer) == (0, "")
    after = {file.name: file.stat().st_ino for file in path.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"state.json"}


def test_restored_state_is_not_the_file(workspace, copy):
    """Training on must not write into the checkpoint it came from."""
    trainer = trainer_of(workspace, copy)
    checkpoint.restore(copy, trainer)
    before = {path: path.read_bytes() for path in copy.checkpoint_paths()[-1].iterdir()}
    for parameter in trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_writes_wherever_it_lies(copy):
    """Best, last and a step; the run's directory is all it takes, and the global random state is left alone."""
    random_state = torch.get_rng_state()
    model, tokenizer, config = checkpoint.load_model(copy.path, "last")
    assert torch.equal(random_state, torch.get_rng_state())
    assert not model.training and config == copy.config() and tokenizer.decode(tokenizer.encode("The cat")) == "The cat"
    saved = load_file(copy.checkpoint_paths()[-1] / "model.safetensors")
    assert all(torch.equal(weights, saved[name]) for name, weights in model.state_dict().items())
    by_step, _, _ = checkpoint.load_model(copy, copy.status()["step"])
    assert all(torch.equal(a, b) for a, b in zip(by_step.parameters(), model.parameters()))
    best = checkpoint.find_checkpoint(copy, "best")
    assert (best.step, best.val_loss) == (copy.status()["best_step"], copy.status()["best_val_loss"])


@pytest.mark.parametrize("damage, which, words", [
    (lambda path: (path / "model.safetensors").write_bytes(b"x" * 99), "last", r"cut off: model.safetensors has 99 bytes of .*best, last, 0"),
    (lambda path: (path / "model.safetensors").unlink(), "last", "cut off: model.safetensors is missing"),
    (lambda path: (path / "state.json").unlink(), 40, "cut off: state.json is missing"),
    (lambda path: (path / "state.json").write_text('{"step": 4'), "last", "damaged: state.json"),
    (lambda path: None, 999, "no checkpoint at step 999.*best, last, 0, 8"),
    (lambda path: None, "first", "'first' is not a checkpoint"),
    (lambda path: shutil.rmtree(path.parent), "best", "no checkpoint yet: train it a little first")])
def test_missing_and_damaged_checkpoints_are_told_apart(copy, damage, which, words):
    damage(copy.checkpoint_paths()[-1])
    with pytest.raises(RunError, match=words):
        checkpoint.load_model(copy, which)


def test_noise_of_the_right_size(copy):
    """What the size does not show, the reader does; and best passes over a damaged best."""
    path = copy.checkpoint_paths()[-1] / "model.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(RunError, match="damaged: model.safetensors cannot be read"):
        checkpoint.load_model(copy, "last")
    path.write_bytes(b"cut")
    best = checkpoint.find_checkpoint(copy, "best")
    assert best.step < 40 and best.problem is None


def test_going_on_without_a_whole_checkpoint_is_refused(workspace, copy):
    for path in copy.checkpoint_paths():
        (path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match="cannot go on: no checkpoint is whole.*cut off.*Start a new run"):
        checkpoint.restore(copy, trainer_of(workspace, copy))
    assert len(copy.checkpoint_paths()) > 3  # nothing was thrown away


def test_optimizer_states_only_where_needed(finished):
    """Best and last keep theirs; where these are one, also the one before, to fall back on."""
    checkpoints = checkpoint.list_checkpoints(finished)
    best, last = checkpoint.best_of(checkpoints), checkpoints[-1]
    needed = {best.step, last.step} if best != last else {checkpoints[-2].step, last.step}
    assert {saved.step for saved in checkpoints if (saved.path / "optimizer.safetensors").exists()} == needed
    assert all(saved.problem is None for saved in checkpoints)


def test_a_full_disk_costs_nothing_that_is_there(workspace, copy, monkeypatch):
    trainer = trainer_of(workspace, copy)
    before = sorted(path.name for path in copy.checkpoints_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(RunError, match=r"too full to save step 0: .* needed, 1000 bytes free"):
            checkpoint.save(copy, trainer, ["last"])

    def full(tensors, path):
        path.write_bytes(b"begun")
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(RunError, match="became full.*save step 0.*Free some space"):
            checkpoint.save(copy, trainer, ["last"])
    assert sorted(path.name for path in copy.checkpoints_path.iterdir()) == before


def test_thinning_keeps_the_whole_history_in_view():
    """Saved every 100 steps for long: few remain, from the first on, evenly spread on a logarithmic scale."""
    kept: list[int] = []
    for step in range(0, 100_001, 100):
        kept.append(step)
        kept = sorted(set(kept) - checkpoint.steps_to_drop(kept, {step}, 10))
        assert len(kept) <= 11 and step in kept and 0 in kept
    gaps = [math.log(b) - math.log(a) for a, b in zip(kept[1:], kept[2:])]
    assert kept[1] <= 400 and max(gaps) < math.log(4.5)
    assert checkpoint.steps_to_drop([0, 5, 9], {9}, 0) == {0, 5}
    assert checkpoint.steps_to_drop([0, 5, 9], {5, 9}, 1) == set()


def test_keeping_few(workspace):
    run = finished_run(workspace, "few", train__checkpoint_every=4, train__keep_checkpoints=3)
    checkpoints = checkpoint.list_checkpoints(run)
    protected = {checkpoint.best_of(checkpoints).step, 40}
    assert len([saved for saved in checkpoints if saved.step not in protected]) == 3
    assert checkpoints[0].step == 0
