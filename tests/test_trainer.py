"""The loop: events, ends, evaluation, and that a run cut anywhere goes on bit for bit."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.model.gpt import GPT
from gptlab.train import clock as clock_module
from gptlab.train import trainer as trainer_module
from gptlab.train.batches import Batches
from gptlab.train.clock import Clock
from gptlab.train.device import TrainingError
from gptlab.train.evaluation import evaluation_sets
from gptlab.train.trainer import Trainer

END, VOCABULARY = 11, 12
SMALL = {"model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16, "model.context_length": 8, "train.batch_size": 4,
         "train.max_steps": 12, "train.warmup_steps": 2, "train.eval_every": 5, "train.max_learning_rate": 1e-2,
         "train.device": "cpu"}


def dataset(n_train=403, n_val=90, seed=0) -> Dataset:
    """Tokens 0…10 that each tend to follow the one before, without any document's end."""
    random = np.random.default_rng(seed)
    tokens = np.cumsum(random.integers(0, 3, n_train + n_val)) % END
    tokenizer = SimpleNamespace(vocab_size=VOCABULARY, end_of_text=END, byte_lengths=lambda: np.array([2] * END + [0]))
    return Dataset(directory=Path("nowhere"), manifest={"name": "fake", "hash": "0", "baselines": {}},
                   tokenizer=tokenizer, train=tokens[:n_train].astype(np.uint16), val=tokens[n_train:].astype(np.uint16))


def config(**changes) -> RunConfig:
    """SMALL with settings of `train` or `model` changed."""
    named = {(f"model.{k}" if k in ("dropout", "context_length", "n_embd") else f"train.{k}"): v for k, v in changes.items()}
    return RunConfig().replace({**SMALL, **named})


def everything(trainer: Trainer, stop_at: int | None = None) -> list:
    """The events of `trainer` (with those still on the device), to the end or until `stop_at` updates are done."""
    events = []
    for new in trainer.run():
        events += new
        if trainer.step == stop_at:
            break
    return events + trainer.flush()


def untimed(events: list) -> list[dict]:
    return [{k: v for k, v in vars(e).items() if k not in ("time_seconds", "tokens_per_second")} | {"type": e.type}
            for e in events]


def through_disk(state: dict) -> dict:
    """What a checkpoint keeps: JSON, and copies of tensors."""
    optimizer = {name: tensor.clone() for name, tensor in state["optimizer"].items()}
    return json.loads(json.dumps({k: v for k, v in state.items() if k != "optimizer"}, allow_nan=False)) | {
        "optimizer": optimizer}


# --- resume ---

VARIANTS = {
    "epoch order": {},
    "random order": {"order": "random"},
    "dropout": {"dropout": 0.2},
    "accumulation": {"tokens_per_update": 96, "dropout": 0.1},
    "everything": {"order": "random", "tokens_per_update": 64, "dropout": 0.1, "schedule": "wsd", "patience": 9},
    "muon": {"optimizer": "muon", "batch_size": 4},
}


@pytest.mark.parametrize("cut", [0, 1, 5, 7, 12])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_run_cut_and_resumed_is_the_run_never_cut(changes, cut):
    settings, data = config(**changes), dataset()
    straight = Trainer(settings, data)
    expected = everything(straight)

    first = Trainer(settings, data)
    events = everything(first, stop_at=cut)
    state = through_disk(first.state_dict())
    weights = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
    torch.manual_seed(999)  # another process knows nothing of this one's random state
    second = Trainer(settings, data)
    second.model.load_state_dict(weights)
    second.load_state_dict(state)
    events += everything(second)

    assert untimed(events) == untimed(expected)
    assert (second.best_val_loss, second.best_step) == (straight.best_val_loss, straight.best_step)
    assert second.finish_reason == straight.finish_reason == "12 steps done"
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def resumed(trainer: Trainer) -> Trainer:
    """A fresh trainer that goes on from where `trainer` is."""
    other = Trainer(trainer.config, trainer.dataset)
    other.model.load_state_dict(trainer.model.state_dict())
    other.load_state_dict(through_disk(trainer.state_dict()))
    return other


def test_a_run_begun_without_a_loss_scale_goes_on_with_one():
    """Begun on a processor, resumed in fp16 on a GPU: torch refuses an empty state."""
    trainer, other = Trainer(config(), dataset()), Trainer(config(), dataset())
    everything(trainer, stop_at=3)
    other.scaler = torch.amp.GradScaler("cpu", enabled=True)
    other.load_state_dict(through_disk(trainer.state_dict()))
    assert other.step == 3 and other.scaler.get_scale() == torch.amp.GradScaler("cpu").get_scale()


def test_times_and_patience_go_on_too(monkeypatch):
    trainer = Trainer(config(eval_every=2, patience=3), dataset())
    monkeypatch.setattr(trainer_module, "mean_loss", lambda *_: 2.0)  # never better than at step 0
    everything(trainer, stop_at=4)
    other = resumed(trainer)
    assert other.stepping_seconds == trainer.stepping_seconds > 0
    assert other.clock.time_seconds > trainer.stepping_seconds
    everything(other)
    assert (other.step, other.best_step) == (6, 0)


def test_a_model_left_in_evaluation_mode_by_a_sample_trains_with_dropout_all_the_same():
    settings, data = config(dropout=0.5), dataset()
    expected, trainer, events = everything(Trainer(settings, data)), Trainer(settings, data), []
    for new in trainer.run():
        events += new
        trainer.model.eval()
    assert untimed(events) == untimed(expected)


# --- the updates ---

def test_updates_are_those_of_a_plain_pytorch_loop():
    """Loss, gradient norm, clipping, AdamW, decay and schedule, against the textbook written out."""
    settings, data = config(grad_clip=0.5, weight_decay=0.3, max_steps=6, eval_every=1000), dataset()
    steps = [e for e in everything(Trainer(settings, data)) if e.type == "step"]

    torch.manual_seed(settings.train.seed)
    model = GPT(settings.model, VOCABULARY)
    batches = Batches(data.train, 8, 4, "epoch", settings.train.seed)
    mean = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    square = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step, event in enumerate(steps):
        ids, targets = batches.next()
        loss = torch.nn.functional.cross_entropy(model(ids).reshape(-1, VOCABULARY), targets.reshape(-1))
        model.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(p.grad.pow(2).sum().item() for p in model.parameters()))
        rate = 1e-2 * (step + 1) / 3 if step < 2 else 1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * (step - 2) / 4)) / 2
        assert (event.step, event.tokens) == (step + 1, 32 * (step + 1))
        assert event.epoch == pytest.approx((step + 1) * 4 / 49)
        assert event.loss == pytest.approx(loss.item(), rel=1e-5)
        assert event.grad_norm == pytest.approx(norm, rel=1e-4)
        assert event.learning_rate == pytest.approx(rate)
        with torch.no_grad():
            for name, p in model.named_parameters():
                gradient = p.grad * min(1.0, 0.5 / norm)
                mean[name] = 0.9 * mean[name] + 0.1 * gradient
                square[name] = 0.99 * square[name] + 0.01 * gradient**2
                p *= 1 - rate * (0.3 if p.dim() >= 2 else 0.0)
                unbiased = (square[name] / (1 - 0.99**(step + 1))).sqrt() + 1e-8
                p -= rate * mean[name] / (1 - 0.9**(step + 1)) / unbiased
    assert len(steps) == 6


def test_accumulation_is_one_large_batch():
    small = everything(Trainer(config(batch_size=4, tokens_per_update=96), dataset()))
    large = everything(Trainer(config(batch_size=12), dataset()))
    for a, b in zip(small, large, strict=True):
        assert (a.type, a.step, a.epoch) == (b.type, b.step, b.epoch)
        assert (a.loss if a.type == "step" else a.val_loss) == pytest.approx(
            b.loss if b.type == "step" else b.val_loss, rel=1e-4)


def test_it_learns_what_there_is_to_learn():
    """Each token follows the one before by 0, 1 or 2: no model can be better than ln 3 on average."""
    trainer = Trainer(config(max_steps=300, batch_size=16, eval_every=1000), dataset(n_train=20_000, n_val=2000))
    first, *_, last = [e for e in everything(trainer) if e.type == "evaluation"]
    assert first.val_loss == pytest.approx(math.log(VOCABULARY), rel=0.05)
    assert math.log(3) - 0.03 < last.val_loss < math.log(3) + 0.05


def test_every_update_has_one_event_whenever_it_is_fetched(monkeypatch):
    settings, data = config(max_steps=23), dataset()
    expected = everything(Trainer(settings, data))
    assert [e.step for e in expected if e.type == "step"] == list(range(1, 24))
    assert [e.step for e in expected] == sorted(e.step for e in expected)
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(trainer_module, "FETCH_SECONDS", seconds)
        assert untimed(everything(Trainer(settings, data))) == untimed(expected)


# --- evaluation ---

def test_evaluation_is_the_mean_over_all_of_val_and_changes_nothing():
    settings, data = config(dropout=0.3, eval_every=1), dataset()
    trainer = Trainer(settings, data)
    events = everything(trainer)
    targets = torch.from_numpy(data.val.astype(np.int64))[1:]
    trainer.model.eval()
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(trainer.model(torch.from_numpy(data.val[i:i + 8].astype(np.int64))[None])[0]
                                                    [:len(targets) - i], targets[i:i + 8], reduction="sum")
                  for i in range(0, len(targets), 8)]
    expected = float(sum(losses)) / len(targets)
    assert events[-1].val_loss == pytest.approx(expected, rel=1e-5)
    assert events[-1].val_perplexity == pytest.approx(math.exp(expected), rel=1e-5)
    assert events[-1].val_bits_per_byte == pytest.approx(expected / math.log(2) / 2, rel=1e-5)  # two bytes a token
    rare = everything(Trainer(config(dropout=0.3, eval_every=1000), data))
    assert [e.loss for e in events if e.type == "step"] == [e.loss for e in rare if e.type == "step"]


def test_an_evaluation_of_a_long_text_ends():
    """All of val up to a bound; a 100 MB text once meant ten million tokens each time, and Stop seemed to hang."""
    shakespeare, _ = evaluation_sets(config(), dataset(n_val=111_540))
    assert shakespeare.n_targets == 111_539
    long, _ = evaluation_sets(config(), dataset(n_val=2_000_000))
    assert long.n_targets == 262_144
    firsts = sorted(int(start) for start in long._starts)
    assert firsts[0] == 1 and firsts[-1] > 1_990_000 and max(np.diff(firsts)) <= 64  # spread over all of it
    asked, _ = evaluation_sets(config(eval_batches=10_000), dataset(n_val=2_000_000))
    assert asked.n_targets == 10_000 * 4 * 8


def test_epochs_ends_are_evaluated_but_not_too_often():
    """49 windows an epoch in updates of 4: epochs end in updates 13, 25, 37, 49, …"""
    def evaluated(**changes):
        return [e.step for e in everything(Trainer(config(max_steps=50, **changes), dataset())) if e.type == "evaluation"]
    assert evaluated(eval_every=30) == [0, 13, 25, 30, 37, 49, 50]
    assert evaluated(eval_every=130) == [0, 25, 49, 50]  # a tenth of 130 is more than 12.25, less than two epochs


def test_an_evaluation_that_is_cut_is_made_when_the_loop_goes_on():
    """Cut in its first and in its second text, and not asked about anywhere else."""
    expected, answers = everything(Trainer(config(), dataset())), iter([True, False, True])
    trainer = Trainer(config(), dataset())
    loop = trainer.run(lambda: next(answers, False))
    assert (next(loop), next(loop), trainer.step, trainer.best_step) == ([], [], 0, None)
    assert untimed([event for events in loop for event in events] + trainer.flush()) == untimed(expected)


def test_patience_counts_evaluations_without_a_better_one(monkeypatch):
    losses = iter([3.0, 3.0, 2.0, 2.0, 2.5, 2.5, 2.0, 2.0, 2.6, 2.6, 1.0, 1.0])  # val and train in turn
    monkeypatch.setattr(trainer_module, "mean_loss", lambda *_: next(losses))
    trainer = Trainer(config(eval_every=2, patience=3, max_steps=40), dataset())
    events = everything(trainer)
    assert [e.val_loss for e in events if e.type == "evaluation"] == [3.0, 2.0, 2.5, 2.0, 2.6]
    assert (trainer.step, trainer.best_step, trainer.best_val_loss) == (8, 2, 2.0)
    assert "patience" in trainer.finish_reason


# --- ends ---

@pytest.mark.parametrize("changes, steps, reason", [
    ({"max_steps": 7}, 7, "7 steps done"),
    ({"max_steps": None, "epochs": 2}, 25, "2 epochs done"),  # 98 windows in updates of 4
    ({"max_steps": 7, "epochs": 2}, 7, "7 steps done"),
    ({"max_steps": 700, "epochs": 1}, 13, "1 epoch done"),
    ({"max_steps": None, "epochs": 1, "order": "random"}, 13, "1 epoch done"),  # 403 tokens in updates of 32
])
def test_the_earliest_limit_ends_the_run(changes, steps, reason):
    trainer = Trainer(config(**changes), dataset())
    assert trainer.total_steps == steps
    events = everything(trainer)
    assert (trainer.step, trainer.finish_reason) == (steps, reason)
    assert (events[-1].type, events[-1].step) == ("evaluation", steps)
    assert list(trainer.run()) == []  # it is over


class FakeTime:
    """A clock that moves a hundredth of a second each time it is read."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self) -> float:
        self.now += 0.01
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_minutes_become_steps_so_that_the_schedule_ends(monkeypatch):
    monkeypatch.setattr(trainer_module, "time", FakeTime())
    settings, data = config(max_steps=None, max_minutes=0.2, schedule="linear"), dataset()
    trainer = Trainer(settings, data)
    assert trainer.total_steps is None
    events, totals, state = [], {}, None
    for new in trainer.run():
        events += new
        totals[trainer.step] = trainer.total_steps
        if trainer.step == 200:
            events += trainer.flush()
            state = through_disk(trainer.state_dict())
            weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    steps = [e for e in events if e.type == "step"]
    assert trainer.stepping_seconds == pytest.approx(12.0, rel=0.05)
    assert len({total for total in totals.values() if total}) == 1 and totals[200] == trainer.step == len(steps)
    assert {e.learning_rate for e in steps[2:20]} == {1e-2}  # no end in sight yet
    assert steps[-1].learning_rate == pytest.approx(1e-4, rel=0.2)
    assert trainer.finish_reason == "0.2 minutes of training done"

    other = Trainer(settings, data)
    other.model.load_state_dict(weights)
    other.load_state_dict(state)
    assert untimed(everything(other)) == [e for e in untimed(events) if e["step"] > 200]


def test_minutes_end_a_run_of_slow_updates(monkeypatch):
    """Two minutes in updates of fifty seconds: it once took five of them before anybody looked at the time."""
    fake = FakeTime()
    monkeypatch.setattr(trainer_module, "time", fake)
    sound = Batches.next

    def slow(batches):
        fake.sleep(50)
        return sound(batches)
    monkeypatch.setattr(Batches, "next", slow)
    settings, data = config(max_steps=None, max_minutes=2, eval_every=1000), dataset()
    trainer = Trainer(settings, data)
    events = everything(trainer)
    assert [(e.type, e.step) for e in events] == [("evaluation", 0), ("step", 1), ("step", 2), ("step", 3), ("evaluation", 3)]
    assert trainer.total_steps == 3 and trainer.finish_reason == "2 minutes of training done"
    assert everything(resumed(trainer)) == []

    cut = Trainer(settings, data)
    before = everything(cut, stop_at=2)
    assert untimed(before + everything(resumed(cut))) == untimed(events)


def test_the_clock_leaves_pauses_out(monkeypatch):
    fake = SimpleNamespace(now=0.0)
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(perf_counter=lambda: fake.now))
    clock = Clock(5.0)
    fake.now = 2.0
    assert clock.time_seconds == 7.0
    clock.pause()
    clock.pause()
    fake.now = 50.0
    assert clock.time_seconds == 7.0
    clock.resume()
    clock.resume()
    fake.now = 51.5
    assert clock.time_seconds == 8.5


# --- what goes wrong ---

@pytest.mark.parametrize("fetch_seconds", [0.0, 1e9])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_number_that_is_none_stops_the_run_before_it_does_harm(monkeypatch, what, fetch_seconds):
    """Update 8 goes wrong; at the stop, weights, optimizer and data are where seven updates left them, however many
    updates were tried before the host saw it."""
    monkeypatch.setattr(trainer_module, "FETCH_SECONDS", fetch_seconds)
    settings, data = config(max_steps=30, eval_every=20), dataset()
    good = Trainer(settings, data)
    everything(good, stop_at=7)

    sound = GPT.loss

    def spoilt(model, ids, targets, reduction="mean"):
        loss = sound(model, ids, targets, reduction)
        if reduction == "mean" and trainer.step == 7:
            if what == "loss":
                return loss * math.nan
            loss.register_hook(lambda gradient: gradient * math.inf)
        return loss
    monkeypatch.setattr(GPT, "loss", spoilt)
    trainer = Trainer(settings, data)
    events = everything(trainer)

    assert trainer.diverged and f"The {what} was not a finite number at step 8" in trainer.finish_reason
    assert [e.step for e in events] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert not math.isfinite(events[-1].loss + events[-1].grad_norm)
    assert (trainer.step, trainer.epoch, trainer.tokens) == (7, good.epoch, good.tokens)
    for name, tensor in good.model.state_dict().items():
        assert torch.equal(tensor, trainer.model.state_dict()[name]), name
    expected = good.state_dict()["optimizer"]
    for name, tensor in trainer.state_dict()["optimizer"].items():
        assert torch.equal(tensor, expected[name]), name


def test_too_short_a_text_is_refused_before_training():
    with pytest.raises(ValueError, match="only 15 tokens.*at least 16.*context_length to 7"):
        Trainer(config(), dataset(n_train=15))
    with pytest.raises(ValueError, match="val_fraction"):
        Trainer(config(), dataset(n_val=1))


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: not enough memory: you tried to"),
], ids=["cuda", "python", "linux", "windows"])
def test_running_out_of_memory_says_what_to_lower(monkeypatch, error):
    def fail(*_):
        raise error
    trainer = Trainer(config(), dataset())
    monkeypatch.setattr(trainer, "update", fail)
    with pytest.raises(TrainingError, match="train.batch_size"):
        list(trainer.run())


def test_other_errors_keep_their_words(monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: device-side assert triggered")
    trainer = Trainer(config(), dataset())
    monkeypatch.setattr(trainer, "update", fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        list(trainer.run())


def test_a_state_is_not_taken_while_losses_are_on_the_device(monkeypatch):
    monkeypatch.setattr(trainer_module, "FETCH_SECONDS", 1e9)
    trainer = Trainer(config(), dataset())
    trainer.update()
    with pytest.raises(RuntimeError, match="flush"):
        trainer.state_dict()


def test_another_models_optimizer_state_is_refused():
    trainer, wider = Trainer(config(), dataset()), Trainer(config(n_embd=24), dataset())
    trainer.update()
    trainer.flush()
    with pytest.raises(ValueError, match="does not belong to this model"):
        wider.load_state_dict(trainer.state_dict())


# --- an NVIDIA GPU ---

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@needs_cuda
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_on_a_gpu_it_learns_and_no_update_waits_for_it(monkeypatch, precision):
    monkeypatch.setattr(trainer_module, "FETCH_SECONDS", 1e9)
    settings = config(device="cuda", precision=precision, max_steps=250, batch_size=16, eval_every=1000,
                      tokens_per_update=256)
    trainer = Trainer(settings, dataset(n_train=8000, n_val=2000))
    update = trainer.update

    def watched():
        torch.cuda.set_sync_debug_mode("error" if trainer.step > 0 else "default")  # the first update allocates
        try:
            update()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    monkeypatch.setattr(trainer, "update", watched)
    events = everything(trainer)
    assert [e.step for e in events if e.type == "step"] == list(range(1, 251))
    assert math.log(3) - 0.03 < events[-1].val_loss < math.log(3) + 0.06


@needs_cuda
def test_a_run_begun_on_a_gpu_goes_on_on_a_cpu():
    data = dataset()
    on_gpu = Trainer(config(device="cuda", dropout=0.1), data)
    everything(on_gpu, stop_at=6)
    on_cpu = Trainer(config(device="cpu", dropout=0.1), data)
    on_cpu.model.load_state_dict(on_gpu.model.state_dict())
    on_cpu.load_state_dict(through_disk(on_gpu.state_dict()))
    assert [e.step for e in everything(on_cpu) if e.type == "step"] == list(range(7, 13))
