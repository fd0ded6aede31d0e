"""The language between training and everything that looks on: one JSON object a line."""

import json
import math

import pytest

from gptlab.events import Alert, Checkpoint, Evaluation, Experts, Sample, Setting, Status, Step, from_json, to_json

STEP = Step(step=3, time_seconds=0.25, epoch=0.5, tokens=768, loss=3.125, learning_rate=1e-3, grad_norm=0.7,
            tokens_per_second=None)
EVENTS = [
    STEP,
    Evaluation(step=0, time_seconds=0.0, epoch=0.0, train_loss=4.1, val_loss=4.2, val_perplexity=66.7,
               val_bits_per_byte=6.05),
    Sample(step=9, time_seconds=1.5, sample_id="9-0", epoch=0.1, prompt="Once", text=" upon\na \"time\"\u2028নদী\x85",
           token_ids=[1, 2], logprobs=[-0.5, -1.25], done=False),
    Checkpoint(step=9, time_seconds=1.5, path="checkpoints/step_00000009", kept_as=["best", "last"]),
    Alert(step=9, time_seconds=1.5, code="overfit", severity="warning", message="m", evidence="e", remedy="r",
          actions=[{"action": "stop"}, {"action": "fork", "step": 5, "changes": {"train.max_learning_rate": 3e-4}}]),
    Status(step=9, time_seconds=1.5, state="running", resumed_from_step=5),
    Setting(step=9, time_seconds=1.5, changes={"train.max_learning_rate": 3e-4, "train.patience": None},
            before={"train.max_learning_rate": 1e-3, "train.patience": 5}),
    Experts(step=0, time_seconds=0.0, tokens=4101, loads=[[0.25, 0.75], [0.5, 0.5]])]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_line_and_back(event):
    line = to_json(event)
    assert "\n" not in line and "\r" not in line
    assert from_json(line) == event
    assert next(iter(json.loads(line))) == "type"


def test_the_line_is_what_the_design_says():
    assert json.loads(to_json(STEP)) == {
        "type": "step", "step": 3, "time_seconds": 0.25, "epoch": 0.5, "tokens": 768, "loss": 3.125,
        "learning_rate": 0.001, "grad_norm": 0.7, "tokens_per_second": None}


def test_numbers_that_are_not_finite_are_null_in_json_and_nan_again_here():
    """A browser's JSON.parse refuses NaN and Infinity, so one bad loss would have stopped every chart."""
    line = to_json(Step(step=1, time_seconds=0.0, epoch=0.0, tokens=1, loss=math.nan, learning_rate=0.0,
                        grad_norm=math.inf, tokens_per_second=None))
    values = json.loads(line, parse_constant=pytest.fail)
    assert values["loss"] is None and values["grad_norm"] is None
    step = from_json(line)
    assert math.isnan(step.loss) and math.isnan(step.grad_norm) and step.tokens_per_second is None


def test_numbers_in_a_list_are_held_to_the_same():
    line = to_json(Sample(step=1, time_seconds=0.0, sample_id="1-0", epoch=0.0, prompt="", text="", token_ids=[0],
                          logprobs=[-math.inf], done=True))
    assert json.loads(line, parse_constant=pytest.fail)["logprobs"] == [None]


def test_numbers_in_settings_and_remedies_are_held_to_the_same():
    """A setting from elsewhere that became NaN ended the run that went on from there, each time anew."""
    odd = {"train.patience": math.nan, "train.epochs": (1.0, math.inf)}
    setting = Setting(step=1, time_seconds=0.0, changes=odd, before={"a": {"b": [math.inf, 2]}})
    values = json.loads(to_json(setting), parse_constant=pytest.fail)
    assert values["changes"] == {"train.patience": None, "train.epochs": [1.0, None]} and values["before"] == {"a": {"b": [None, 2]}}
    alert = Alert(step=9, time_seconds=1.5, code="x", severity="info", message="", evidence="", remedy="",
                  actions=[{"action": "set", "changes": odd}])
    assert json.loads(to_json(alert), parse_constant=pytest.fail)["actions"][0]["changes"]["train.patience"] is None


def test_lines_of_before_alerts_had_actions_and_samples_a_copied_share_are_read():
    """What an earlier version wrote stays readable."""
    for event, name, value in ((EVENTS[4], "actions", []), (EVENTS[2], "copied_share", None)):
        values = json.loads(to_json(event))
        del values[name]
        assert getattr(from_json(json.dumps(values)), name) == value


def test_fields_of_a_later_version_are_ignored():
    values = {**json.loads(to_json(STEP)), "gradient_noise": 0.1}
    assert from_json(json.dumps(values)) == STEP


@pytest.mark.parametrize("line", ["", "{", "null", "[1]", '{"type":"nothing","step":1}', '{"step":1}', '{"type":[]}',
                                  '{"type":{"a":1},"step":1}', '{"type":"step","step":' + "[" * 100_000,
                                  '{"type":"step","step":1}', to_json(STEP)[:-10], to_json(STEP)[10:]])
def test_a_torn_or_foreign_line_is_a_value_error(line):
    with pytest.raises(ValueError):
        from_json(line)
