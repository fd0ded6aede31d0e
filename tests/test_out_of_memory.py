"""Where memory runs out, a run goes on with smaller parts of its batches, and is the same run."""

import pytest
import torch
from test_trainer import config, dataset, everything, resumed, untimed
from tiny_run import finished_run, last_weights, tiny_run, tiny_workspace, trajectory

from gptlab.events import Alert, Checkpoint, Status
from gptlab.model.gpt import GPT
from gptlab.runs import checkpoint, worker
from gptlab.train.device import TrainingError
from gptlab.train.evaluation import evaluation_sets, mean_loss
from gptlab.train.trainer import Trainer


@pytest.fixture(autouse=True)
def one_pass_a_part():
    """On one core; several would share out each part's sequences."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def memory(monkeypatch):
    """Pretends that no more than memory["sequences"] fit a pass, from the pass number memory["from"] on."""
    limits, passes, sound = {"sequences": 10**9, "from": 0}, [], GPT.loss

    def loss(model, ids, targets, reduction="mean"):
        passes.append(len(ids))
        if len(passes) > limits["from"] and len(ids) > limits["sequences"]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of that.")
        return sound(model, ids, targets, reduction)
    monkeypatch.setattr(GPT, "loss", loss)
    limits["passes"] = passes
    return limits


def alerts(events: list) -> list[Alert]:
    return [event for event in events if isinstance(event, Alert) and event.code == "out_of_memory"]


def assert_same(events: list, expected: list) -> None:
    """Equal but for rounding; alerts left out."""
    events = [event for event in events if not isinstance(event, Alert)]
    for one, other in zip(untimed(events), untimed(expected), strict=True):
        assert one.pop("type") == other.pop("type") and one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("batch_size, fit, left", [(16, 8, 8), (16, 5, 4), (7, 3, 2), (5, 3, 3), (3, 1, 1)])
def test_parts_of_a_batch_are_the_batch(memory, batch_size, fit, left):
    """Also where the last part is smaller than the others; several batches an update."""
    settings, data = config(batch_size=batch_size, tokens_per_update=3 * 8 * batch_size), dataset()
    whole = Trainer(settings, data)
    expected = everything(whole)
    memory["sequences"] = fit
    trainer = Trainer(settings, data)
    events = everything(trainer)
    assert trainer.micro_batch_size == left
    assert_same(events, expected)
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(trainer.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)


def test_memory_that_runs_out_in_a_later_part_of_an_update_costs_nothing_but_time(memory):
    """The second batch of three has left gradients, and windows are read, when the third does not fit any more."""
    settings, data = config(tokens_per_update=96, eval_every=1000), dataset()
    whole = Trainer(settings, data)
    expected = everything(whole)
    trainer, memory["passes"][:] = Trainer(settings, data), []
    evaluation = -(-len(trainer.val_windows) // 256) + -(-len(trainer.train_windows) // 256)  # passes at step 0
    memory.update({"sequences": 2, "from": evaluation + 4 * 3 + 2})
    events = everything(trainer)
    [alert] = alerts(events)
    assert (alert.step, alert.code, alert.severity) == (5, "out_of_memory", "info")
    assert alert.message == ("Memory ran out at step 5: from here on, batches of 4 are computed in parts of 2; the result is "
                             "the same.")
    assert alert.evidence == "CUDA out of memory. Tried to allocate 2.00 GiB."
    assert [event.step for event in events] == sorted(event.step for event in events)
    assert_same(events, expected)
    assert trainer.batches.state_dict() == whole.batches.state_dict()


def test_a_try_that_fails_leaves_no_trace_in_dropout_masks(monkeypatch):
    """It has drawn some when its backward pass fails: what follows is the run that had computed in parts all along."""
    settings, data, sound = config(dropout=0.3, tokens_per_update=64), dataset(), GPT.loss
    parts = Trainer(settings, data)
    parts.micro_batch_size = 2
    expected = everything(parts)

    def loss(model, ids, targets, reduction="mean"):
        value = sound(model, ids, targets, reduction)
        if model.training and len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return value
    monkeypatch.setattr(GPT, "loss", loss)
    events = everything(Trainer(settings, data))
    [alert] = alerts(events)
    assert alert.message.endswith("in parts of 2; the result is the same but for dropout's draws.")
    events.remove(alert)
    assert untimed(events) == untimed(expected)


def test_a_batch_of_one_that_does_not_fit_says_what_to_change_and_leaves_all_as_it_was(memory):
    settings, data = config(), dataset()
    expected, trainer = everything(Trainer(settings, data)), Trainer(settings, data)
    events = everything(trainer, stop_at=7)
    memory["sequences"] = 0
    with pytest.raises(TrainingError, match=r"^Memory ran out at step 8 with one sequence at a time: lower model\.n_embd"):
        list(trainer.run())
    assert all(p.grad is None for p in trainer.model.parameters())
    memory["sequences"] = 10**9  # there is room again
    assert untimed(events + everything(trainer)) == untimed(expected)


def test_parts_go_on_being_parts_after_a_resume(memory):
    settings, data = config(batch_size=6), dataset()
    memory["sequences"] = 3
    expected, cut = everything(Trainer(settings, data)), Trainer(settings, data)
    events = everything(cut, stop_at=4)
    memory["sequences"] = 10**9  # there is room again: still the same parts, bit for bit
    again = resumed(cut)
    assert again.micro_batch_size == 3
    steps = [event for event in untimed(events + everything(again)) if event["type"] == "step"]
    assert steps == [event for event in untimed(expected) if event["type"] == "step"] and len(steps) == 12


def test_an_evaluation_goes_on_with_half_as_many_windows(memory):
    settings, data = config(), dataset(n_val=5000)
    trainer, (val, _) = Trainer(settings, data), evaluation_sets(config(), data)
    whole = mean_loss(trainer.model, val)
    memory["passes"].clear()
    memory.update({"sequences": 70, "from": 1})
    assert mean_loss(trainer.model, val) == pytest.approx(whole, rel=1e-6)
    assert memory["passes"] == [256, 256, 128, 64, 64, 64, 64, 64, 49]  # 625 windows, the first 256 in one
    memory["sequences"] = 0
    with pytest.raises(torch.OutOfMemoryError):
        mean_loss(trainer.model, val)


def test_no_room_for_the_optimizer_is_no_matter_of_the_batch(monkeypatch):
    trainer = Trainer(config(), dataset())

    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory.")
    monkeypatch.setattr(trainer.optimizer, "step", fail)
    with pytest.raises(TrainingError, match=r"out of memory: lower model\.n_embd"):
        list(trainer.run())


def test_a_run_says_it_and_goes_on_after_failing(tmp_path, small_text, memory):
    workspace = tiny_workspace(tmp_path, small_text)
    settings = {"train__batch_size": 8, "train__tokens_per_update": None, "train__max_steps": 16, "sample__max_new_tokens": 1,
                "train__checkpoint_every": 4}
    whole, run = finished_run(workspace, "whole", **settings), tiny_run(workspace, "run", **settings)
    four = lambda: any(isinstance(event, Checkpoint) and event.step >= 4 for event in run.events())
    assert worker.run(run.path, should_stop=four) == "stopped"
    step = run.status()["step"]
    assert 0 < step < 16
    memory["sequences"] = 0
    assert worker.run(run.path) == "failed"
    assert run.status()["reason"].startswith(f"Memory ran out at step {step + 1} with one sequence at a time")
    memory["from"] = len(memory["passes"]) + 2
    assert worker.run(run.path) == "failed"  # again, some updates later
    saved = run.status()["step"]
    assert step < saved < 16 and checkpoint.list_checkpoints(run)[-1].step == saved
    memory["sequences"] = 10**9
    assert worker.run(run.path) == "finished"
    assert trajectory(run) == trajectory(whole) and last_weights(run) == last_weights(whole)
    assert not alerts(run.events())

    memory.update({"sequences": 4, "from": 0})
    parts = finished_run(workspace, "parts", **{**settings, "model__dropout": 0.0})
    [alert] = alerts(parts.events())
    assert "batches of 8 are computed in parts of 4" in alert.message and alert.step == 1
    assert [event.state for event in parts.events() if isinstance(event, Status)] == ["queued", "running", "finished"]
