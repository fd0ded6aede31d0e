"""What a run will take: the arithmetic, and that measuring leaves no trace."""

import dataclasses

import pytest
import torch
from test_trainer import FakeTime, config, dataset

from gptlab.model import estimate
from gptlab.train import choosing, preflight
from gptlab.train.room import Room


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(preflight, "STEPPING_SECONDS", 0.02)


def test_measuring_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    preflight.measure(config(dropout=0.5), dataset())
    assert torch.equal(torch.get_rng_state(), before)


def test_time_to_finish_counts_updates_and_evaluations():
    found = preflight.measure(config(tokens_per_update=96, max_steps=1000, eval_every=100, order="random"), dataset())
    assert found.measured and found.peak_memory_bytes is None
    assert found.seconds_per_step == pytest.approx(96 / found.tokens_per_second)
    assert found.total_steps == 1000
    evaluations = 2 + 10 + 1000 * 96 // 403 // 3  # first and last, regular ones, every third epoch of 403 tokens
    assert found.total_seconds == pytest.approx(1000 * found.seconds_per_step + evaluations * found.seconds_per_evaluation)


def test_an_evaluation_is_reckoned_from_a_part_of_it(monkeypatch):
    """Each window is pretended to take a second."""
    monkeypatch.setattr(preflight, "mean_loss", lambda model, windows, precision: fake.sleep(len(windows)))
    fake = FakeTime()
    monkeypatch.setattr(preflight, "time", fake)
    settings, data = config(), dataset()
    found = preflight.measure(settings, data)
    assert found.seconds_per_evaluation == pytest.approx(2 * 12, rel=0.01)  # 90 tokens of val are 12 windows of 8


def test_minutes_become_steps_at_the_measured_speed():
    found = preflight.measure(config(max_steps=None, max_minutes=2.0), dataset())
    assert found.total_steps * found.seconds_per_step == pytest.approx(120, rel=0.01)
    assert preflight.measure(config(max_steps=5, max_minutes=2000.0), dataset()).total_steps == 5


def test_what_would_take_too_long_to_try_is_worked_out(monkeypatch):
    monkeypatch.setattr(preflight, "matrix_rate", lambda *_: 1000.0)
    monkeypatch.setattr(preflight, "Trainer", None)  # nothing is tried
    settings = config(max_steps=10)
    found = preflight.measure(settings, dataset())
    assert not found.measured
    assert found.tokens_per_second == pytest.approx(500.0 / estimate.flops_per_token(settings.model, 12))


def test_a_batch_that_would_take_too_long_is_tried_in_part(monkeypatch):
    settings, tried, real = config(batch_size=64), [], preflight.Trainer
    flops = estimate.flops_per_token(settings.model, 12) * 8  # of a sequence
    monkeypatch.setattr(preflight, "matrix_rate", lambda *_: 7.5 * flops / preflight.BATCH_SECONDS / preflight.EFFICIENCY)

    def trainer(trial, *args, **named):
        tried.append(trial.train.batch_size)
        return real(trial, *args, **named)
    monkeypatch.setattr(preflight, "Trainer", trainer)
    found = preflight.measure(settings, dataset())
    assert tried == [7] and found.measured
    assert found.seconds_per_step == pytest.approx(64 * 8 / found.tokens_per_second)


def test_a_text_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="only 10 tokens"):
        preflight.measure(config(), dataset(n_train=10))


def test_it_says_what_a_run_would_choose_and_reckons_with_that(monkeypatch):
    chosen = choosing.Choice("cpu", 1, "bf16", 2, "On the processor: 1 thread, bf16, batches of 2.")
    monkeypatch.setattr(preflight, "choose", lambda *_: chosen)
    tried, real = [], preflight.Trainer

    def trainer(trial, *args, **named):
        tried.append((trial.train.batch_size, named["precision"], torch.get_num_threads()))
        return real(trial, *args, **named)
    monkeypatch.setattr(preflight, "Trainer", trainer)
    threads = torch.get_num_threads()
    found = preflight.measure(config(batch_size=None, max_steps=10), dataset())
    assert found.choice == chosen and tried == [(2, "bf16", 1)] and torch.get_num_threads() == threads
    assert found.seconds_per_step == pytest.approx(2 * 8 / found.tokens_per_second)


def test_what_would_not_fit_is_not_tried(monkeypatch):
    """It could take the machine down."""
    monkeypatch.setattr(preflight, "room", lambda *_: Room(2 * 10**9, 10**9, {"train.batch_size": 2}))
    monkeypatch.setattr(preflight, "Trainer", None)
    found = preflight.measure(config(max_steps=10), dataset())
    assert not found.measured and found.timed_updates == 0
    assert found.told == "Will not fit: it needs about 2.0 GB of memory, and 1.0 GB are free. Lower train.batch_size to 2."


def test_one_sentence_says_whether_it_fits_and_how_long_it_takes():
    found = preflight.measure(config(max_steps=10), dataset())
    assert found.timed_updates > 0 and found.room.fits
    told = dataclasses.replace(found, total_seconds=420.0, timed_updates=3, room=Room(12 * 10**8, 18 * 10**9, {})).told
    assert told == "Needs about 1.2 GB of the 18 GB of memory that are free; about 7 min here (timed on 3 real steps)."
