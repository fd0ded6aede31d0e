"""About when the runs that wait will start: by closed forms of the work they have before them."""

import dataclasses
import math

import pytest
from test_queue_view import running
from tiny_run import tiny_run, tiny_workspace

from gptlab.model.estimate import flops_per_token
from gptlab.runs.expected import Expected, Work, work_left


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


def test_work_left_is_the_tokens_left_times_what_one_costs(workspace):
    """By the numbers of TINY: six operations for each number in a matrix; attention looks at half of 16 positions."""
    run = tiny_run(workspace)
    width, context, layers = 16, 16, 1
    rows, hidden = run.manifest()["vocab_size"], 4 * width
    matrices = layers * (4 * width * width + 2 * width * hidden) + rows * width
    per_token = 6 * matrices + 12 * layers * width * (context + 1) / 2
    assert work_left(run) == Work(pytest.approx(40 * 256 * per_token), None)
    for tokens, left in ((39 * 256, 256), (40 * 256, 0), (41 * 256, 0)):
        run.write_status({**run.status(), "tokens": tokens})
        assert work_left(run).operations == pytest.approx(left * per_token)


def test_seconds_are_work_by_pace_and_no_more_than_the_minutes(workspace):
    assert Work(600.0, None).seconds(20.0) == 30 and Work(600.0, 45.0).seconds(20.0) == 30
    assert Work(600.0, 12.0).seconds(20.0) == 12 and Work(None, 12.0).seconds(20.0) == 12 == Work(None, 12.0).seconds(None)
    assert Work(600.0, None).seconds(None) is None and Work(600.0, 12.0).seconds(None) is None
    assert Work(600.0, None).seconds(0.0) is None and Work(None, None).seconds(20.0) is None


def test_epochs_and_steps_end_a_run_by_what_comes_first(workspace):
    def tokens(**limits):
        run = tiny_run(workspace, "ends", **limits)
        return work_left(run).operations / flops_per_token(run.config().model, run.manifest()["vocab_size"])
    epoch = (workspace.open_dataset("tiny").manifest["train_tokens"] - 16) // 16 * 16  # whole windows of the context
    for epochs in (1, 3):
        assert tokens(train__max_steps=None, train__epochs=epochs) == pytest.approx(math.ceil(epochs * epoch / 256) * 256)
    assert tokens(train__max_steps=5, train__epochs=3) == pytest.approx(5 * 256)


def test_each_run_waits_for_what_is_left_of_those_before_it(workspace):
    now, first = tiny_run(workspace, "now"), tiny_run(workspace, "first")
    larger, last = tiny_run(workspace, "larger", model__n_layer=3, train__max_steps=80), tiny_run(workspace, "last")
    config, vocab_size = now.config(), now.manifest()["vocab_size"]
    rate = 100 * flops_per_token(config.model, vocab_size)
    takes = 40 * 256 / 100  # the same model, as fast as the one that trains
    larger_takes = 80 * 256 * flops_per_token(larger.config().model, vocab_size) / rate
    assert larger_takes > 2 * takes
    starts = Expected().starts_in_seconds(now, running(now), [first, larger, last])
    assert starts == pytest.approx([50, 50 + takes, 50 + takes + larger_takes])


def test_minutes_cap_a_run_and_a_resumed_one_counts_what_is_left(workspace):
    run = tiny_run(workspace, train__max_steps=1000)
    per_token = work_left(run).operations / (1000 * 256)
    run.write_status({**run.status(), "tokens": 900 * 256, "training_seconds": 30.0})
    assert work_left(run).operations == pytest.approx(100 * 256 * per_token)
    capped = tiny_run(workspace, "capped", train__max_steps=1000, train__max_minutes=2.0)
    capped.write_status({**capped.status(), "training_seconds": 30.0})
    assert work_left(capped).seconds(1.0) == 90 and work_left(capped).seconds(1e30) < 1
    only_minutes = tiny_run(workspace, "minutes", train__max_steps=None, train__max_minutes=2.0)
    assert work_left(only_minutes).seconds(None) == 120


def test_what_cannot_be_known_is_not_guessed(workspace):
    now, first, second = (tiny_run(workspace, name) for name in ("now", "first", "second"))
    expected = Expected()
    for values in ({"eta_seconds": None}, {"state": "paused"}, {"state": "queued"}):
        assert expected.starts_in_seconds(now, running(now, **values), [first, second]) == [None, None]
    assert expected.starts_in_seconds(None, None, [first]) == [None]
    assert expected.starts_in_seconds(now, running(now, tokens_per_second=None), [first, second]) == [50, None]
    (second.path / "manifest.json").write_text('{"train_tokens": "many"}', encoding="utf-8")
    assert expected.starts_in_seconds(now, running(now), [second, first]) == [50, None]


def test_a_run_that_waits_again_is_read_again(workspace):
    """Its work is kept, because it is asked for several times a second, until the run itself has gone on."""
    now, run, last = (tiny_run(workspace, name) for name in ("now", "run", "last"))
    expected = Expected()
    before = expected.starts_in_seconds(now, running(now), [run, last])[1]
    run.write_status({**run.status(), "tokens": 20 * 256})
    run.append(dataclasses.replace(run.events()[-1], state="queued"))
    run.write_status({**run.status(), "tokens": 20 * 256, "events_bytes": run.events_path.stat().st_size})
    assert expected.starts_in_seconds(now, running(now), [run, last])[1] == pytest.approx(50 + (before - 50) / 2)
