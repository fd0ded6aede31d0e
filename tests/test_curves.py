"""A long run in few numbers: nothing that matters is lost, and the cache is only believed where it fits."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tiny_run import Queue, tiny_run, tiny_workspace

from gptlab.events import Alert, Evaluation, Sample, Status, Step
from gptlab.runs import curves, worker
from gptlab.runs.curves import CAPACITY, LONG_BYTES, Curves
from gptlab.runs.history import last_of_each
from gptlab.ui.lab import Lab
from gptlab.ui.live import LiveRuns


def step(number, loss=None, **fields):
    return Step(**{**dict(step=number, time_seconds=number / 10, epoch=number / 50, tokens=number * 256, learning_rate=1e-3,
                          grad_norm=1.0, loss=3.0 if loss is None else loss, tokens_per_second=900.0), **fields})


def evaluation(number):
    return Evaluation(step=number, time_seconds=number / 10, epoch=number / 50, train_loss=2.0, val_loss=2.0, val_perplexity=7.4,
                      val_bits_per_byte=1.0)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("curves"), small_text)


def test_extremes_of_a_hundred_thousand_steps_are_those_of_all_and_stand_in_their_place():
    losses = np.random.default_rng(0).normal(3.0, 1.0, 100_000)
    losses[77_777] = 99.0
    made = Curves()
    made.add(step(n, loss) for n, loss in enumerate(losses.tolist(), start=1))
    columns, width = made.columns, made.width
    assert CAPACITY / 2 <= len(columns["tokens"]) <= CAPACITY
    for i, low in enumerate(columns["loss_low"]):
        bucket = losses[i * width:(i + 1) * width]
        assert (low, columns["loss_high"][i]) == (bucket.min(), bucket.max())
        assert losses[columns["loss_low_at"][i] - 1] == low and losses[columns["loss_high_at"][i] - 1] == columns["loss_high"][i]
    assert columns["tokens"][-1] == 256 * 100_000 and 99.0 in columns["loss_high"]


def test_a_loss_that_is_no_number_leaves_the_line_as_it_was():
    made = Curves()
    made.add([step(1, 4.0), step(2, math.nan), step(3, 2.0)])
    assert made.columns["loss_low"] == [4.0, None, 2.0] and made.columns["smooth"] == [4.0, 4.0, pytest.approx(4.0 - 2 / 3)]


def test_many_samples_are_thinned_but_the_latest_and_all_else_stay():
    made = Curves()
    made.add(Sample(step=n, time_seconds=0, sample_id=f"{n}-0", epoch=0, prompt="", text="x", token_ids=[], logprobs=[], done=True)
             for n in range(2000))
    made.add([evaluation(n) for n in range(50)])
    made.add([Alert(step=1, time_seconds=0, code="spike", severity="info", message="", evidence="", remedy="")])
    told = [json.loads(line) for line in made.to_dict()["lines"].splitlines()]
    samples = [one["step"] for one in told if one["type"] == "sample"]
    assert len(samples) <= 420 and samples[-8:] == list(range(1992, 2000)) and samples == sorted(samples)
    assert sum(one["type"] == "evaluation" for one in told) == 50 and sum(one["type"] == "alert" for one in told) == 1


def long_run(workspace, count=5000):
    run = tiny_run(workspace, "long")
    run.append(Status(step=0, time_seconds=0, state="running"), evaluation(0), *[step(n) for n in range(1, count + 1)])
    return run


def test_what_is_built_from_the_file_is_what_was_kept_along_the_way(workspace):
    run = long_run(workspace)
    run.append(Status(step=4000, time_seconds=0, state="running", resumed_from_step=4000), step(4001, 1.0))
    made = curves.built(run)
    assert made["step"] == 4001 and made["events_bytes"] == run.events_path.stat().st_size
    kept = Curves()
    kept.add(run.events())
    assert curves.load(run) is None
    kept.events_bytes = made["events_bytes"]
    curves.save(run, kept)
    assert curves.load(run) == made == json.loads(json.dumps(made))


def test_a_workers_cache_is_what_its_events_say_also_after_a_resume(workspace, monkeypatch):
    monkeypatch.setattr(curves, "LONG_BYTES", 0)
    run = tiny_run(workspace, "kept", train__max_steps=400)
    worker.run(run, should_stop=lambda: run.events_path.stat().st_size > 30_000)
    worker.run(run)
    cached, anew = curves.load(run), curves.built(run)
    assert run.state() == "finished" and cached["step"] == 400 and cached["width"] == 2
    assert cached == anew


def test_a_half_written_line_is_left_for_later(workspace):
    run = long_run(workspace)
    whole = run.events_path.stat().st_size
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"st')
    assert curves.built(run)["events_bytes"] == whole


def test_a_cache_from_before_a_run_went_back_is_not_believed(workspace):
    """A page that took it over asked for everything anew at the next line, and so without end."""
    run = long_run(workspace)
    kept = Curves()
    kept.add(run.events())
    kept.events_bytes = run.events_path.stat().st_size
    curves.save(run, kept)
    run.append(Status(step=4321, time_seconds=0, state="stopped"))
    assert curves.load(run) is not None
    run.append(Status(step=4321, time_seconds=0, state="stopped", resumed_from_step=4321))
    assert curves.load(run) is None and curves.built(run)["step"] == 4321


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"events_bytes": 1}', '{"events_bytes": 99999999999, "columns": {}}',
                                     '{"events_bytes": 10, "columns": {"loss": []}}'])
def test_a_cache_that_does_not_fit_is_not_believed(workspace, content):
    run = long_run(workspace, 10)
    (run.path / curves.FILE).write_text(content, encoding="utf-8")
    assert curves.load(run) is None


def test_a_page_opens_a_long_run_in_sum_and_goes_on_from_there(workspace):
    run = long_run(workspace)
    assert run.events_path.stat().st_size > LONG_BYTES
    live = LiveRuns(Lab(workspace, Queue()))
    first = live.poll({"run": run.id, "offset": 0})
    assert first["curves"]["step"] == 5000 and first["lines"] == "" and not first["more"] and "about" in first
    run.append(step(5001))
    following = live.poll({"run": run.id, "offset": first["offset"]})
    assert json.loads(following["lines"])["step"] == 5001 and "curves" not in following


def test_two_hundred_thousand_steps_are_summed_up_in_little_memory():
    made = Curves()
    made.add(step(n) for n in range(1, 200_001))
    assert len(json.dumps(made.to_dict())) < 60_000


def kept_beside(run):
    """As its worker leaves it: the cache of the events that there are."""
    made = Curves()
    made.add(run.events())
    made.events_bytes = run.events_path.stat().st_size
    curves.save(run, made)


def test_a_history_in_sum_draws_what_the_whole_one_draws(workspace):
    """The same points of the same curves, with what was said after the cache was written; a run that went back is read anew."""
    run = long_run(workspace)
    run.append(evaluation(2500), Sample(step=2500, time_seconds=0, sample_id="a", epoch=0, prompt="p", text="t", token_ids=[],
                                        logprobs=[], done=True))
    kept_beside(run)
    run.append(*[step(n, 2.0) for n in range(5001, 5004)], evaluation(5003))
    found, whole = curves.history_in_sum(run), curves.read_history(run)
    assert len(found.steps["step"]) < CAPACITY + 4 < len(whole.steps["step"])
    last = last_of_each
    for name in ("step", "tokens", "time_seconds"):
        assert found.steps[name][last(found.steps["step"], found.smooth)].tolist() == pytest.approx(
            whole.steps[name][last(whole.steps["step"], whole.smooth)].tolist())
    assert found.smooth[last(found.steps["step"], found.smooth)].tolist() == pytest.approx(
        whole.smooth[last(whole.steps["step"], whole.smooth)].tolist(), rel=1e-5)
    assert found.at("tokens", [0, 2500, 5003]).tolist() == pytest.approx(whole.at("tokens", [0, 2500, 5003]).tolist())
    assert (found.evaluations, found.samples, found.last_step) == (whole.evaluations, whole.samples, 5003)
    run.append(Status(step=4000, time_seconds=0, state="running", resumed_from_step=4000))
    assert len(curves.history_in_sum(run).steps["step"]) == 4000


@pytest.mark.parametrize("damage", [{"width": 0}, {"width": "x"}, {"step": None}, {"lines": 7}, {"events_bytes": 1e999}])
def test_a_cache_from_elsewhere_that_is_not_whole_is_passed_over(workspace, damage):
    run = long_run(workspace)
    kept_beside(run)
    content = json.loads((run.path / curves.FILE).read_text(encoding="utf-8"))
    for changed in ({**content, **damage}, {**content, "columns": {**content["columns"], "tokens": [1.0] * 9}},
                    {**content, "columns": {**content["columns"], "smooth": "x" * len(content["columns"]["smooth"])}}):
        (run.path / curves.FILE).write_text(json.dumps(changed), encoding="utf-8")
        assert len(curves.history_in_sum(run).steps["step"]) == 5000


def test_a_run_of_days_keeps_no_more_samples_than_it_tells_and_both_prompts_of_each_step():
    made = Curves()
    for n in range(3000):
        made.add([Sample(step=n, time_seconds=0, sample_id=f"{n}-{i}", epoch=0, prompt=str(i), text="x", token_ids=[], logprobs=[],
                         done=True) for i in range(2)])
        assert len(made._others) <= 2 * curves.MOST_TOLD + 2
    told = [json.loads(line) for line in made.to_dict()["lines"].splitlines()]
    steps = sorted({one["step"] for one in told})
    assert len(told) == 2 * len(steps) and 200 <= len(told) <= 440 and steps[0] == 0 and steps[-9:] == list(range(2991, 3000))
    gaps = [b - a for a, b in zip(steps[:-9], steps[1:-9])]
    assert max(gaps) < 6 * 3000 / (curves.MOST_TOLD / 2), "the old ones are not evenly spread"
