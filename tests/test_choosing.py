"""What a run leaves to the machine: what is chosen by which times, what is said of it, and that a run chooses once."""

import time
from types import SimpleNamespace

import pytest
import torch
from test_trainer import config, dataset
from tiny_run import finished_run, last_weights, tiny_run, tiny_workspace, trajectory

from gptlab.config import RunConfig
from gptlab.events import Status
from gptlab.runs import worker
from gptlab.train import choosing
from gptlab.train.choosing import choose, compare, fastest
from gptlab.train.plan import Plan
from gptlab.train.trainer import Trainer


really_update = choosing.Trials.update


@pytest.fixture
def machine(monkeypatch):
    """Pretends to be one. `seconds(threads, precision, sequences)`: of an update, by which its clock moves; `asked`: for how
    many threads somebody did; `gain` of bf16; `rate` in operations a second; `free` bytes; how many sequences it `fits`."""
    pretended = SimpleNamespace(now=0.0, cores=4, asked=None, gain=0.01, rate=1e15, free=10**12, fits=10**9, tried=[],
                                seconds=lambda threads, precision, sequences: 0.01)

    def update(trials, sequences, precision):
        taken = pretended.seconds(torch.get_num_threads(), precision, sequences)
        pretended.tried.append((torch.get_num_threads(), precision, sequences))
        pretended.now += taken
        trials.fitted = sequences <= pretended.fits
        return taken
    monkeypatch.setattr(choosing.Trials, "update", update)
    monkeypatch.setattr(choosing, "time", SimpleNamespace(perf_counter=lambda: pretended.now))
    monkeypatch.setattr(choosing, "available_threads", lambda: pretended.cores)
    monkeypatch.setattr(choosing, "threads_by_environment", lambda: pretended.asked)
    monkeypatch.setattr(choosing, "gain_of_bf16", lambda: pretended.gain)
    monkeypatch.setattr(choosing, "quick_rate", lambda device: pretended.rate)
    monkeypatch.setattr(choosing, "free_bytes", lambda device: pretended.free)
    with choosing.using_threads(4):
        yield pretended


def chosen(n_train=400_000, **changes):
    return choose(config(**changes), dataset(n_train=n_train))


# threads

@pytest.mark.parametrize("seconds, threads, words", [
    ({1: 0.030, 2: 0.020, 4: 0.010}, 4, "4 threads (2 would be 100 % slower)"),
    ({1: 0.010, 2: 0.014, 4: 0.020}, 1, "1 thread (2 would be 40 % slower)"),
    ({1: 0.019, 2: 0.0095, 4: 0.010}, 4, "4 threads (2 would be about as fast)"),  # not worth leaving the usual
])
def test_threads_are_as_many_as_are_fastest(machine, seconds, threads, words):
    machine.seconds = lambda threads, *_: seconds[threads]
    choice = chosen()
    assert choice.threads == threads
    assert choice.words == f"On the processor: {words}, fp32, batches of 4."
    assert torch.get_num_threads() == 4  # as before
    assert {threads for threads, *_ in machine.tried} == {1, 2, 4}


def test_threads_that_somebody_asked_for_are_kept(machine):
    machine.asked = 3
    assert chosen().words.startswith("On the processor: 3 threads (as OMP_NUM_THREADS says)") and not machine.tried


def test_there_are_no_more_threads_than_cores(machine):
    machine.cores = 1
    assert chosen().threads == 1 and not machine.tried


def test_what_takes_long_is_not_tried(machine):
    machine.rate = 1.0
    assert chosen().words == "On the processor: 4 threads (all there are), fp32, batches of 4." and not machine.tried


def test_a_machine_too_busy_to_find_out_keeps_the_usual(machine):
    machine.seconds = lambda threads, *_: 5.0
    assert "4 threads (this machine is too busy to try others)" in chosen().words and len(machine.tried) == 2
    machine.tried.clear()
    machine.seconds = lambda threads, *_: 5.0 if len(machine.tried) == 2 else 0.01  # the third one
    assert "4 threads (this machine is too busy to try others)" in chosen().words and len(machine.tried) == 3


def test_a_slow_first_update_is_no_sign_of_a_busy_machine(machine):
    machine.seconds = lambda *_: 0.01 if machine.tried else 5.0
    assert "4 threads (1 would be about as fast)" in chosen().words


def test_what_else_the_machine_does_makes_no_difference(machine):
    """Every fourth update meets a browser that draws."""
    def seconds(threads, *_):
        return {1: 0.012, 2: 0.011, 4: 0.010}[threads] + 0.1 * (len(machine.tried) % 4 == 0)
    machine.seconds = seconds
    assert chosen().threads == 4


# number format

def test_a_format_that_the_processor_only_emulates_is_not_tried(machine):
    machine.cores = 1
    assert "fp32 (bf16 is slower on this processor)" in chosen(n_embd=256).words and not machine.tried
    machine.gain = 1.0
    assert "fp32 (bf16 is no faster on this processor)" in chosen(n_embd=256).words and not machine.tried


@pytest.mark.parametrize("gain, precision, words", [(2.0, "bf16", "bf16 (fp32 would be 100 % slower)"),
                                                    (1.05, "fp32", "fp32 (bf16 would be about as fast)")])
def test_a_format_must_be_faster_in_whole_updates_too(machine, gain, precision, words):
    machine.cores, machine.gain = 1, 2.0
    machine.seconds = lambda threads, precision, _: 0.02 if precision == "fp32" else 0.02 / gain
    choice = chosen(n_embd=256)
    assert choice.precision == precision and words in choice.words
    assert chosen(n_embd=256, precision="fp32").words.endswith("fp32, batches of 4.")  # not asked for, nothing to say


# batch size

@pytest.mark.parametrize("per_batch, size, words", [
    (0.1, 128, "larger ones are hardly faster"),  # what each costs besides is a tenth of 64 sequences' time, a twentieth of 128's
    (0.0, 64, "larger ones are hardly faster"),   # as fast from the first on: the smallest that makes sense
])
def test_a_batch_is_the_smallest_that_fills_the_machine(machine, per_batch, size, words):
    machine.cores = 1
    machine.seconds = lambda threads, precision, sequences: 1e-3 * per_batch + 1e-5 * sequences
    choice = chosen(batch_size=None)
    assert (choice.batch_size, choice.words.endswith(f"batches of {size} ({words}).")) == (size, True), choice.words


def test_a_batch_is_bounded_by_memory_text_and_update(machine):
    machine.cores = 1
    machine.seconds = lambda threads, precision, sequences: 0.001  # ever more is ever better
    assert chosen(batch_size=None).words.endswith("batches of 2048 (larger ones leave few updates in so short a text).")
    assert chosen(batch_size=None, n_train=403).batch_size == 2  # 50 windows
    assert chosen(batch_size=None, tokens_per_update=8 * 96).words.endswith("batches of 32 (larger ones do not divide an update).")
    machine.fits = 300
    assert chosen(batch_size=None).words.endswith("batches of 256 (larger ones do not fit the memory).")
    machine.free = 2**20
    assert chosen(batch_size=None).batch_size < 256
    machine.rate = 1.0
    machine.free = 10**12
    assert chosen(batch_size=None).words.endswith("batches of 64 (an update takes long as it is).")


def test_making_a_model_however_slow_it_is_makes_no_difference(machine, monkeypatch):
    """It is made once, for all sizes; each batch is as large as it says."""
    made, sizes = [], []

    class SlowToMake(Trainer):
        def __init__(self, *args, **kwargs):
            machine.now += 10.0
            made.append(self)
            super().__init__(*args, **kwargs)

        def _accumulate_gradients(self):
            assert self.plan.batches_per_update == 1 and self.micro_batch_size == self.batches.batch_size
            loss = super()._accumulate_gradients()
            sizes.append(self.batches.batch_size)
            return loss

        def update(self):
            super().update()
            self.stepping_seconds = self.step * 0.001  # ever more is ever better

        def flush(self):
            return []
    monkeypatch.setattr(choosing, "Trainer", SlowToMake)
    monkeypatch.setattr(choosing.Trials, "update", really_update)
    machine.cores = 1
    assert chosen(batch_size=None).batch_size == 2048 and len(made) == 1
    assert sizes == [size for size in (64, 128, 256, 512, 1024, 2048) for _ in range(3)]


def test_until_it_is_chosen_a_batch_counts_as_the_usual_one():
    plan = Plan(RunConfig().replace({"train.batch_size": None}), 100_000)
    assert (plan.batches_per_update, plan.tokens_per_update) == (1, 16 * 128)
    plan = Plan(RunConfig().replace({"train.batch_size": None, "train.tokens_per_update": 12 * 128}), 100_000)
    assert (plan.batches_per_update, plan.tokens_per_update) == (1, 12 * 128)


# really timed

def test_trying_leaves_no_trace():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    choice = choose(config(batch_size=None, dropout=0.5), dataset(n_train=20_000))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert choice.batch_size == 64 and choice.precision == "fp32"


def test_options_are_timed_in_turns():
    order = []

    def update(option):
        order.append(option)
        time.sleep(option)
        return option
    times = compare((0.02, 0.03), update)
    assert times == {0.02: 0.02, 0.03: 0.03} and fastest(times, 0.03)[0] == 0.02
    assert order[1:] == [0.02, 0.03] * (len(order) // 2)


# in a run

@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("choosing"), small_text)


def running(run) -> list[str]:
    return [event.reason for event in run.events() if isinstance(event, Status) and event.state == "running"]


def test_a_run_chooses_its_batch_size_once(workspace, monkeypatch):
    settings = {"train__batch_size": None, "train__tokens_per_update": None, "train__max_steps": 12}
    run = tiny_run(workspace, "once", **settings)
    answers = iter([2, 4])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(worker, "choose", lambda *_: choosing.Choice("cpu", 1, "fp32", next(answers), "Chosen."))
    before = torch.get_num_threads()
    assert worker.run(run.path, should_stop=lambda: any(event.type == "checkpoint" for event in run.events())) == "stopped"
    assert run.config().train.batch_size == 2 and torch.get_num_threads() == before
    assert worker.run(run.path) == "finished"
    assert run.config().train.batch_size == 2 and run.status()["tokens"] == 12 * 2 * 16
    assert running(run)[0] == "Chosen." and running(run)[1].endswith("On the processor: 1 thread, fp32, batches of 2.")
    told = finished_run(workspace, "told", **{**settings, "train__batch_size": 2})
    assert trajectory(run) == trajectory(told) and last_weights(run) == last_weights(told)


def test_a_trainer_goes_on_with_as_many_threads_and_in_the_format_it_began_with(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("gptlab.train.trainer.available_threads", lambda: 2)
    with choosing.using_threads(2):
        trainer = Trainer(config(), dataset(), precision="bf16")
        state, other = trainer.state_dict(), Trainer(config(), dataset())
        torch.set_num_threads(1)
        other.load_state_dict(state)
        assert (torch.get_num_threads(), other.precision) == (2, "bf16")
        other.load_state_dict({**state, "threads": 64})  # from a larger machine
        assert torch.get_num_threads() == 2
        elsewhere = Trainer(config(), dataset())
        elsewhere.load_state_dict({**state, "device": "cuda", "threads": 1})
        assert (torch.get_num_threads(), elsewhere.precision) == (2, "fp32")
