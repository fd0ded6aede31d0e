"""A run's events as arrays: the ones that count, in one pass; smoothing, thinning and the rows of the epoch table."""

import math

import numpy as np
import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import Alert, Checkpoint, Evaluation, Sample, Status, Step, to_json
from gptlab.runs import history
from gptlab.runs.history import counting_events, last_of_each, low_and_high, read_history


def step(n: int, loss: float = 2.0) -> Step:
    return Step(step=n, time_seconds=n / 2, epoch=n / 10, tokens=n * 100, loss=loss, learning_rate=1e-3, grad_norm=1.0,
                tokens_per_second=None)


def evaluation(n: int, val_loss: float) -> Evaluation:
    return Evaluation(step=n, time_seconds=n / 2, epoch=n / 10, train_loss=1.0, val_loss=val_loss, val_perplexity=2.0,
                      val_bits_per_byte=1.5)


def sample(n: int, prompt: str, text: str, id: str | None = None) -> Sample:
    return Sample(step=n, time_seconds=n / 2, epoch=n / 10, sample_id=id or f"{n}-{prompt}", prompt=prompt, text=text,
                  token_ids=[], logprobs=[], done=True)


def status(n: int, state: str, resumed: int | None = None) -> Status:
    return Status(step=n, time_seconds=n / 2, state=state, resumed_from_step=resumed)


@pytest.fixture
def run(tmp_path, small_text):
    return tiny_run(tiny_workspace(tmp_path, small_text))


def test_events_one_at_a_time_are_those_that_count(run, monkeypatch):
    """Two resumptions, the later one further back, a damaged line, and slices that end in the middle of everything."""
    run.append(*(step(n, loss=n) for n in range(1, 9)), evaluation(8, 1.0), status(8, "stopped"),
               status(6, "running", resumed=6), step(7, loss=70), step(8, loss=80), status(8, "failed"))
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"step","resumed_from_step":0\n\n')
    run.append(status(4, "running", resumed=4), step(5, loss=500), evaluation(5, 3.0), status(5, "finished"))
    for size in (history.CHUNK_BYTES, 200, 1):
        monkeypatch.setattr(history, "CHUNK_BYTES", size)
        assert list(counting_events(run)) == run.events()
        assert read_history(run).steps["loss"].tolist() == [1, 2, 3, 4, 500]
        assert [one.step for one in read_history(run).evaluations] == [5]


def test_damaged_steps_hide_no_others(run):
    """Among lines that are read at once: no JSON, numbers that are none, two in a line; spaces as another writer sets them."""
    run.append(*(step(n) for n in range(1, 6)))
    whole = to_json(step(6))
    with open(run.events_path, "ab") as file:
        for line in ('{"type":"step","step":', "[", whole.replace("2.0", '"x"'), whole.replace("600", "9" * 400), whole + "," + whole,
                     '"step"', whole.replace('"step":6', '"step":null'), whole.replace(":", ": "), "\xff", whole.replace("2.0", "null")):
            file.write(line.encode("latin-1") + b"\n")
    run.append(step(7), evaluation(7, 1.0))
    found = read_history(run)
    assert found.steps["step"].tolist() == [1, 2, 3, 4, 5, 6, 6, 7] and np.isnan(found.steps["loss"][6])
    assert {len(values) for values in found.steps.values()} == {8} and len(found.evaluations) == 1


def test_what_comes_meanwhile_is_left_for_the_next_time(run):
    run.append(step(1), step(2))
    reading = counting_events(run)
    before = [next(reading)]
    run.append(status(1, "running", resumed=1), step(2), step(3))
    assert [event.step for event in [*before, *reading] if isinstance(event, Step)] == [1, 2]


def test_what_a_history_holds(run):
    run.append(evaluation(0, 4.0), sample(0, "The", " x"), sample(0, "A", " y"), *(step(n) for n in range(1, 11)),
               evaluation(5, 2.0), sample(5, "The", " c", id="5-0"), sample(5, "The", " cat", id="5-0"), evaluation(10, 2.0),
               Checkpoint(step=10, time_seconds=5.0, path="checkpoints/step_00000010", kept_as=["last"]),
               Alert(step=10, time_seconds=5.0, code="x", severity="info", message="m", evidence="e", remedy="r"))
    found = read_history(run)
    assert found.last_step == 10 and found.best.step == 5, "the earliest of equals is the best"
    assert [one.text for one in found.samples] == [" x", " y", " cat"], "a text that grew is one text"
    assert found.sample_between(-1, 0).text == " x" and found.sample_between(0, 10).text == " cat"
    assert found.sample_between(5, 10) is None
    assert len(found.checkpoints) == len(found.alerts) == 1
    assert found.at("tokens", [0, 1, 10]).tolist() == [0, 100, 1000]


def test_a_run_that_said_nothing(run):
    found = read_history(run)
    assert found.last_step == 0 and found.best is None and found.table() == [] and len(found.smooth) == 0
    assert len(low_and_high(found.steps["step"], found.steps["loss"])) == 0


def test_smoothing_follows_the_rule_of_the_page(run):
    """The first five steps are averaged alike; a loss that is no number leaves the line where it was."""
    run.append(step(1, 4.0), step(2, 2.0), step(3, math.nan), step(4, 3.0))
    assert read_history(run).smooth.tolist() == [4.0, 3.0, 3.0, 3.0]
    assert np.isnan(read_history(run).steps["loss"][2])


def test_thinning_keeps_every_spike_and_few_points():
    steps, values = np.arange(1, 100_001, dtype=float), np.random.default_rng(1).normal(2.0, 0.1, 100_000)
    values[[77_777, 5]] = 9.0, -1.0
    values[500:900] = np.nan
    kept = low_and_high(steps, values)
    assert 77_777 in kept and 5 in kept and len(kept) <= 600 and (np.diff(kept) > 0).all()
    assert not np.isnan(values[kept]).any()
    last = last_of_each(steps, values)
    assert len(last) <= 300 and last[-1] == 99_999
    assert low_and_high(steps[:200], values[:200]).tolist() == list(range(200)), "a short run stays whole"


def test_rows_of_the_epoch_table(run):
    """Of a run of many epochs the first evaluation at or after each epoch's end, the best and the last; few at most."""
    run.append(*(evaluation(n, abs(n - 433) + 1.0) for n in range(0, 1004)))
    steps = [one.step for one in read_history(run).table(limit=1000)]
    assert steps[:3] == [0, 10, 20] and 433 in steps and steps[-1] == 1003
    thinned = [one.step for one in read_history(run).table(limit=20)]
    assert len(thinned) <= 22 and 433 in thinned and thinned[-1] == 1003
