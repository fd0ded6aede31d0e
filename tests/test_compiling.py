"""The compiled step: when it is tried, that nothing but the pace changes with it, and that nobody waits for it or is left behind."""

import errno
import gc
import threading
import time
import weakref

import pytest
import torch
from tiny_run import last_weights, tiny_run, tiny_workspace, trajectory

from gptlab.events import Status, Step
from gptlab.runs import switching, worker
from gptlab.runs.switching import Switching
from gptlab.train import compiling
from gptlab.train.compiling import CompiledLoss, CompilingError, can_pay
from gptlab.train.device import autocast
from gptlab.train.trainer import Trainer


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("compiling"), small_text)


class Process:
    """Stands in for a process that compiles: is over after some looks, with a `problem` or without."""

    begun: list["Process"] = []

    def __init__(self, title, function, *arguments, told, ended, problem="", lasts_seconds=0.0):
        self.arguments, self.ended = arguments, False
        self._timer = threading.Timer(lasts_seconds, ended, [problem])
        self._timer.start()
        Process.begun.append(self)

    def end(self):
        self.ended = True
        self._timer.cancel()


@pytest.fixture
def at_once(monkeypatch):
    """Compiling begins with the run, takes no process and no time, and no compiler of C++."""
    monkeypatch.setattr(Process, "begun", [])
    monkeypatch.setattr(switching, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(switching, "Work", Process)
    monkeypatch.setattr(switching, "CompiledLoss", lambda model, size: CompiledLoss(model, size, backend="eager"))


def trainer_of(workspace, **changes) -> Trainer:
    run = tiny_run(workspace, **changes)
    return Trainer(run.config(), workspace.open_dataset("tiny"))


def reasons(run) -> str:
    return " ".join(event.reason for event in run.events() if isinstance(event, Status))


# whether to

@pytest.mark.parametrize("device, seconds_left, pays", [("cpu", 1e9, False), ("mps", 1e9, False), ("cuda", 299.0, False),
                                                        ("cuda", 301.0, True)])
def test_when_compiling_can_pay(device, seconds_left, pays):
    assert can_pay(device, seconds_left) is pays


@pytest.mark.parametrize("setting", ["auto", "off"])
def test_a_short_run_compiles_nothing(workspace, at_once, setting):
    run = tiny_run(workspace, train__compile=setting, model__norm="rmsnorm")
    assert worker.run(run.path) == "finished" and not Process.begun and "ompil" not in reasons(run)


# the loss

EXPERTS = {"model__mlp": "swiglu", "model__n_expert": 4}


@pytest.mark.parametrize("precision, changes", [
    ("fp32", {}), ("fp32", {"model__positions": "rope", "model__norm": "rmsnorm", "model__qk_norm": True}), ("bf16", EXPERTS),
    ("bf16", {**EXPERTS, "train__gradient_checkpointing": True}), ("fp32", {"train__gradient_checkpointing": True})])
def test_the_compiled_loss_is_the_plain_one_and_leaves_no_trace(workspace, precision, changes):
    """With experts and gradient checkpointing there was none: a block put into a list what its router said."""
    trainer = trainer_of(workspace, model__dropout=0.0, **changes)
    compiled, random_before = CompiledLoss(trainer.model, 8, backend="aot_eager"), torch.get_rng_state()
    compiled.prepare("cpu", precision)
    assert torch.equal(torch.get_rng_state(), random_before) and all(p.grad is None for p in trainer.model.parameters())
    ids, targets = trainer.batches.next()
    gradients = []
    for loss in (trainer.model.loss, compiled):
        with autocast("cpu", precision):
            value = loss(ids, targets)
        gradients.append([value.detach(), *torch.autograd.grad(value, list(trainer.model.parameters()))])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_what_the_other_process_compiles_is_what_the_run_computes(workspace, monkeypatch):
    """It once left gradient checkpointing out, so that the run found nothing in the cache and waited for a compiler."""
    class Here(Process):
        def __init__(self, title, function, *arguments, **how):
            function(*arguments, how["told"])
            super().__init__(title, function, *arguments, **how)

    made = []
    monkeypatch.setattr(switching, "Work", Here)
    monkeypatch.setattr(compiling, "_end_with_parent", lambda: None)
    monkeypatch.setattr(compiling, "CompiledLoss", lambda model, size: made.append(model) or CompiledLoss(model, size, backend="eager"))
    trainer = trainer_of(workspace, train__gradient_checkpointing=True)
    course = Switching(trainer)
    course._fetched = True
    list(course._fill_cache(8))
    assert made[0].checkpointing and made[0].config == trainer.config.model


def test_another_shape_is_never_compiled(workspace, monkeypatch):
    """A smaller part of a batch, after a lack of memory, and a model that writes."""
    trainer = trainer_of(workspace)
    compiled = CompiledLoss(trainer.model, 8, backend="eager")
    monkeypatch.setattr(compiled, "_compiled", lambda ids, targets: "compiled")
    ids, targets = trainer.batches.next()
    assert compiled(ids, targets) == "compiled"
    assert torch.is_tensor(compiled(ids[:4], targets[:4])) and torch.is_tensor(compiled(ids[:, :8], targets[:, :8]))
    trainer.model.eval()
    assert torch.is_tensor(compiled(ids, targets))


def test_the_batches_of_a_run_find_it_compiled(workspace):
    """Made-up ids that were their own targets were once compiled as such, and the first batch again, with everybody waiting."""
    graphs = []
    trainer = trainer_of(workspace)
    trainer.loss = CompiledLoss(trainer.model, 8, backend=lambda graph, _: graphs.append(graph) or graph)
    trainer.loss.prepare("cpu", "fp32")
    trainer.loss._prepared = False  # or it would rather go without than compile again
    trainer.update()
    trainer.update()
    assert len(graphs) == 1


def test_a_compiled_loss_that_is_another_is_refused(workspace, monkeypatch):
    trainer = trainer_of(workspace)
    compiled = CompiledLoss(trainer.model, 8, backend="eager")
    monkeypatch.setattr(compiled, "_compiled", lambda ids, targets: 1.01 * trainer.model.loss(ids, targets))
    with pytest.raises(CompilingError, match="its loss would be"):
        compiled.prepare("cpu", "fp32")


# the switch

def test_losses_and_files_stay_the_same_across_the_switch(workspace, at_once, monkeypatch):
    """And what is said of it; the first stretch of updates goes without."""
    monkeypatch.setattr(switching, "WORTH", 0.0)
    plain, switched = (tiny_run(workspace, train__compile=setting, model__dropout=0.0, train__max_steps=60) for setting in ("off", "on"))
    monkeypatch.setattr("gptlab.train.trainer.FETCH_SECONDS", 0.0)
    for run in (plain, switched):
        assert worker.run(run.path) == "finished"
    assert "times as fast from step" in reasons(switched) and "Compiled after" not in reasons(plain)
    losses = [[event.loss for event in trajectory(run) if isinstance(event, Step)] for run in (plain, switched)]
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-4)
    names = [{name: len(content) for name, content in last_weights(run).items()} for run in (plain, switched)]
    assert names[0] == names[1]  # the header holds the tensors' names
    [process] = Process.begun
    assert process.ended and process.arguments[1:6] == (False, workspace.open_dataset("tiny").tokenizer.vocab_size, 8, "cpu", "fp32")


@pytest.mark.parametrize("worth, kept", [(0.0, True), (1e9, False)])
def test_the_faster_step_stays(workspace, at_once, monkeypatch, worth, kept):
    monkeypatch.setattr(switching, "WORTH", worth)
    trainer = trainer_of(workspace, train__compile="on", train__max_steps=60)
    switch, said = switching.Switching(trainer), ""
    while not said:
        trainer.update()
        trainer.flush()
        said = switch.poll(True)
    assert isinstance(trainer.loss, CompiledLoss) is kept
    assert ("times as fast from step" if kept else "gained nothing here") in said
    switch.close()
    assert trainer.loss == trainer.model.loss


def test_without_a_compiler_training_goes_on_and_says_why(workspace, at_once, monkeypatch):
    monkeypatch.setattr(switching, "Work", lambda *given, **to: Process(*given, **to, problem="there is no C++ compiler here"))
    run, plain = (tiny_run(workspace, train__compile=setting) for setting in ("on", "off"))
    assert worker.run(run.path) == worker.run(plain.path) == "finished"
    assert "Training goes on without compiling: there is no C++ compiler here." in reasons(run)
    assert trajectory(run) == trajectory(plain)


def test_whatever_compiling_raises_ends_no_run(workspace, at_once, monkeypatch):
    def missing(*_):
        raise ImportError("there is no inductor in this torch")
    monkeypatch.setattr(switching, "CompiledLoss", missing)
    run = tiny_run(workspace, train__compile="on")
    assert worker.run(run.path) == "finished"
    assert "Training goes on without compiling: ImportError: there is no inductor in this torch." in reasons(run)


@pytest.mark.parametrize("moment", ["compiling", "timed", "kept"])
def test_smaller_parts_of_a_batch_end_it(workspace, at_once, monkeypatch, moment):
    """After a lack of memory a loss that was compiled for more sequences would never be used, whatever is said of it."""
    monkeypatch.setattr(switching, "WORTH", 0.0)
    monkeypatch.setattr(switching, "Work", lambda *given, **to: Process(*given, **to, lasts_seconds=0.05))
    trainer, said = trainer_of(workspace, train__compile="on", train__max_steps=100), ""
    switch, deadline = switching.Switching(trainer), time.monotonic() + 60
    while "without compiling" not in said:
        assert time.monotonic() < deadline
        trainer.update()
        trainer.flush()
        said = switch.poll(True)
        if moment == "kept" and said or moment == "compiling" and switch.compiling or (
                moment == "timed" and isinstance(trainer.loss, CompiledLoss) and not said):
            trainer.micro_batch_size = 4
    assert said == ("Training goes on without compiling: memory ran out, and since then 4 sequences are computed at a time "
                    "instead of 8.")
    assert trainer.loss == trainer.model.loss and not switch.compiling


def test_a_full_disk_leaves_no_process_and_no_model_behind(workspace, at_once, monkeypatch):
    monkeypatch.setattr(switching, "Work", lambda *given, **to: Process(*given, **to, lasts_seconds=600.0))
    models, update, run = [], Trainer.update, tiny_run(workspace, train__compile="on")

    def failing(trainer):
        models[:] = [weakref.ref(trainer.model)]
        if trainer.step == 20:
            raise RuntimeError("boom")
        update(trainer)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Trainer, "update", failing)
    monkeypatch.setattr("gptlab.train.trainer.FETCH_SECONDS", 0.0)
    monkeypatch.setattr("gptlab.runs.telling.EventLog.close", full)
    with pytest.raises(OSError, match="No space left"):
        worker.run(run.path)
    gc.collect()
    assert [process.ended for process in Process.begun] == [True] and models[0]() is None


def test_what_fails_is_said_in_a_clause():
    assert "no C++ compiler" in compiling.in_a_clause(RuntimeError("InvalidCxxCompiler: No working C++ compiler found in x: ('g++')"))
    assert "Triton" in compiling.in_a_clause(RuntimeError("Cannot find a working triton installation."))
    assert "not enough memory" in compiling.in_a_clause(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert "bf16 alone" in compiling.in_a_clause(RuntimeError("failed while attempting to run meta for aten._grouped_mm.default"))
    assert compiling.in_a_clause(KeyError("a\nb")) == "KeyError: 'a\\nb'"


@pytest.mark.parametrize("how", ["close", "stand_still"])
def test_no_process_is_left_behind(workspace, monkeypatch, how):
    """A real one, that waits for a compiler; after a pause it begins anew."""
    monkeypatch.setattr(switching, "PACE_SECONDS", 0.0)
    trainer = trainer_of(workspace, train__compile="on", train__max_steps=10_000)
    switch = switching.Switching(trainer)
    while not switch.compiling:
        trainer.update()
        trainer.flush()
        switch.poll(True)
    work, process = switch._work, switch._work._process
    assert process.is_alive()
    getattr(switch, how)()
    work.wait(30)  # of two threads that wait for one process, a system tells only one that it is over
    assert not process.is_alive() and not switch.compiling
    deadline = time.monotonic() + 10
    while how == "stand_still" and not switch.compiling:
        assert time.monotonic() < deadline, "it did not begin anew"
        trainer.update()
        trainer.flush()
        switch.poll(True)
    switch.close()
