"""Lines of events from elsewhere: all that a worker writes passes, and nothing that would do a reader harm."""

import dataclasses
import json

import pytest
from test_events import EVENTS
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import EVENT_TYPES, to_json
from gptlab.exchange.foreign_events import FITS, BadBundle, check_event, parsed
from gptlab.runs import curves
from gptlab.runs.history import read_history

WHOLE = {event.type: json.loads(to_json(event)) for event in EVENTS}


def line(kind, **fields):
    return json.dumps({**WHOLE[kind], **fields}).encode()


def test_every_field_of_every_event_is_checked():
    kinds = {item.type for event in EVENT_TYPES.values() for item in dataclasses.fields(event)}
    assert kinds <= set(FITS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_what_a_worker_writes_passes(event):
    assert check_event("events.jsonl", to_json(event).encode(), 10)


def test_also_of_a_run_that_diverged_and_of_texts_in_any_script():
    assert check_event("x", line("step", loss=None, grad_norm=None, tokens_per_second=None), 10)
    assert check_event("x", line("sample", text="\U0001f44d নদী", logprobs=[None, -1.0]), 10)  # escaped in halves
    assert check_event("x", b'{"type":"news","step":"x"}', 10) and not check_event("x", b'{"type":"ste', 10)
    assert not check_event("x", b"\n", 10) and not check_event("x", b"\xff\xfe", 10)


@pytest.mark.parametrize("content, match", [
    (b'{"type":[]}', "no event"), (b'{"type":{}}', "no event"), (b'{"step":1}', "no event"), (b"[1]", "no event"),
    (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    (line("step", tokens=10**400), "tokens cannot"), (line("step", tokens=2**53), "tokens cannot"),
    (line("step", loss=1e300), "loss cannot"), (line("step", loss=10**300), "loss cannot"),
    (line("step").replace(b"3.125", b"1e999"), "loss cannot"), (line("step", loss=float("nan")), "NaN is no number"),
    (line("setting", changes={"train.max_learning_rate": float("nan")}), "NaN is no number"),
    (line("setting", changes={"train.max_learning_rate": 10**400}), "changes cannot"),
    (line("setting", before={"train.max_learning_rate": -float("inf")}), "Infinity is no number"),
    (line("sample", text="a\ud800b"), "half a character"), (line("sample", prompt="\udfff"), "half a character"),
    (line("setting", changes={"a": "\ud800"}), "half a character"),
    (line("alert", actions=[{"a": [[[[1]]]]}]), "actions cannot"), (line("alert", actions=[{"step": 10**400}]), "actions cannot"),
    (line("alert", actions=[1]), "actions cannot"), (line("experts", loads=[0.5]), "loads cannot"),
    (line("experts", loads=[["a"]]), "loads cannot"), (line("experts", loads=[[None]]), "loads cannot")], ids=lambda value: value if isinstance(value, str) else "")
def test_what_would_do_harm_does_not(content, match):
    with pytest.raises(BadBundle, match=match) as caught:
        check_event("events.jsonl", content, 10)
    assert str(caught.value).encode("utf-8").isascii(), "it can be shown anywhere"


def test_json_that_cannot_be_written_again_is_none():
    assert parsed(b'{"a": "\\ud83d\\udc4d"}') == {"a": "\U0001f44d"}
    for content in (b'{"a": "\\ud83d"}', b"[Infinity]", b"[", b"\xff"):
        with pytest.raises(ValueError):
            parsed(content)


@pytest.mark.parametrize("content", [
    b'{"type":[]}', b'{"a":' + b"[" * 100_000, line("step", tokens=10**400, tokens_per_second=1.0),
    line("step", step="x"), line("evaluation", val_loss="x"), line("setting", changes={"train.patience": float("nan")})])
def test_a_run_that_holds_such_lines_all_the_same_has_a_status(tmp_path, small_text, content):
    """Put into the folder by hand, past all checks: lists of runs ask for it."""
    run = tiny_run(tiny_workspace(tmp_path, small_text))
    with open(run.events_path, "ab") as file:
        file.write(content + b"\n")
    status = run.status()
    assert status["state"] in ("queued", "damaged") and bool(status["reason"]) == (status["state"] == "damaged")
    json.dumps(status)
    (run.path / "status.json").write_text("[" * 100_000, encoding="utf-8")
    assert run.status()["state"] == status["state"]
    read_history(run)


def test_a_setting_that_is_no_number_can_be_kept_in_sum(tmp_path, small_text, monkeypatch):
    """Every worker that went on with such a run raised instead of saying what was wrong."""
    monkeypatch.setattr(curves, "LONG_BYTES", 1)
    run = tiny_run(tiny_workspace(tmp_path, small_text))
    with open(run.events_path, "ab") as file:
        file.write(line("setting", changes={"other": float("nan")}) + b"\n")
    curves.keep(run)
    assert '"other":null' in curves.load(run)["lines"]
