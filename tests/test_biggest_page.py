"""The biggest model and whether a draft fits, on the Model tab, without a browser."""

from __future__ import annotations

import dataclasses
import shlex
import time
from types import SimpleNamespace

import pytest
from tiny_run import TINY, tiny_workspace

from gptlab.cli.arguments import parser
from gptlab.runs import sizing
from gptlab.train.biggest import Found, Search
from gptlab.train.choosing import Choice
from gptlab.train.preflight import Preflight
from gptlab.train.room import Room
from gptlab.ui import next_run
from gptlab.ui.biggest import Biggest, with_biggest
from gptlab.ui.lab import Lab, draft_config, read_draft, undo

MODEL = {name: value for name, value in TINY.items() if name.startswith("model.")}
FOUND = Found(settings={"model.n_layer": 3, "model.n_head": 2, "model.n_kv_head": None, "model.n_embd": 64,
                        "model.mlp_hidden": None, "train.batch_size": 8, "train.max_steps": 777, "train.epochs": None, "train.max_minutes": None},
              parameters=90_000, active=90_000, tokens=1_800_000, train_tokens=100_000, seconds=290.0, needed_bytes=10**8,
              free_bytes=10**10, limit="minutes")
PREFLIGHT = Preflight(Choice("cpu", 1, "fp32", 8, ""), True, 1e4, 0.1, 1.0, 100, 420.0, None, 3, Room(12 * 10**8, 18 * 10**9, {}))


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), jobs=SimpleNamespace(current=None))


@pytest.fixture
def biggest(lab, monkeypatch):
    monkeypatch.setattr(next_run, "measure", lambda *_: PREFLIGHT)
    biggest = Biggest(lab)
    yield biggest
    biggest.sizings.close()


@pytest.fixture
def by_hand(biggest, monkeypatch):
    """Nothing is looked for: `tell` and `end_with` of this are called in its place."""
    class Work:
        def __init__(self, title, function, *arguments, told, ended):
            self.tell, self.end_with = told, ended
            works.append(self)

        def end(self):
            self.end_with("")

        def wait(self, seconds):
            pass

    works: list[Work] = []
    monkeypatch.setattr("gptlab.runs.beside.Work", Work)
    return works


def draft(**changes):
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    return {**read_draft(None), "dataset": "tiny", "changes": {**MODEL, **changed}}


def asked(biggest, of):
    return biggest.now({name: biggest.shown(of)[name] for name in ("id", "draft")})


def settled(biggest, of):
    deadline = time.monotonic() + 10
    while not (answer := asked(biggest, of))["settled"] and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def test_the_sentence_is_there_at_once_and_ends_with_the_time(biggest):
    first = asked(biggest, draft())
    assert first["fits"].startswith("Needs about ") and not first["ill"]
    assert settled(biggest, draft())["fits"] == (
        "Needs about 1.2 GB of the 18 GB of memory that are free; about 7 min here (timed on 3 real steps).")


def test_what_does_not_fit_names_what_to_lower_as_the_page_does(biggest, monkeypatch):
    tight = dataclasses.replace(PREFLIGHT, room=Room(2 * 10**9, 10**9, {"train.batch_size": 2}))
    monkeypatch.setattr(next_run, "measure", lambda *_: tight)
    answer = settled(biggest, draft())
    assert answer["ill"] and "Will not fit" in answer["fits"] and "Lower “Batch size” to 2." in answer["fits"]


def test_while_something_trains_only_the_memory_is_told(biggest, lab):
    lab.jobs.current = object()
    answer = asked(biggest, draft())
    assert "once nothing trains" in answer["fits"] and not answer["settled"]


@pytest.mark.parametrize("of, words", [
    ({**draft(), "dataset": None}, "once there is data"), (draft(model__n_head=7), "does not divide into 7 heads")])
def test_drafts_that_cannot_be_timed_say_why(biggest, of, words):
    answer = asked(biggest, of)
    assert words in answer["fits"] and answer["settled"]


def test_a_search_is_followed_and_used_and_undone(biggest, lab, by_hand):
    assert "told" not in asked(biggest, draft())
    biggest.start(draft(), 5)
    assert asked(biggest, draft())["going"] == "Starting …"
    by_hand[0].tell(Search(2, "3 layers of width 64"))
    assert asked(biggest, draft()) | {"fits": ""} == asked(biggest, draft()) | {
        "fits": "", "own": True, "going": "Timing 3 layers of width 64, 3 of at most 5 …", "percent": 40}
    assert asked(biggest, draft(model__context_length=24))["own"] is False
    by_hand[0].tell(Search(5, found=FOUND))
    by_hand[0].end_with("")
    answer = asked(biggest, draft())
    assert "90 thousand parameters" in answer["told"] and "too small" in answer["warned"] and not answer["used"]
    used = with_biggest(biggest, draft())
    assert draft_config(lab, used).model.n_embd == 64 and draft_config(lab, used).train.max_steps == 777
    assert asked(biggest, used)["used"], "what was found stays on view"
    assert used["history"][-1]["what"] == "Biggest model" and undo(used)["changes"] == draft()["changes"]


def test_a_search_can_be_cancelled_and_one_is_enough(biggest, by_hand):
    biggest.start(draft(), 5)
    with pytest.raises(ValueError, match="Another biggest model"):
        biggest.start(draft(), 5)
    biggest.sizings.cancel()
    answer = asked(biggest, draft())
    assert answer["problem"] == sizing.CANCELLED and not answer["failed"]


@pytest.mark.parametrize("minutes", [None, 0, -1, "ten", float("nan"), True, 1e9])
def test_what_is_no_time_is_refused(biggest, minutes):
    with pytest.raises(ValueError, match="how many minutes"):
        biggest.start(draft(), minutes)


def test_nothing_is_used_that_was_not_found(biggest):
    with pytest.raises(ValueError, match="find it first"):
        with_biggest(biggest, draft())


@pytest.mark.parametrize("question", [None, {}, {"id": 5, "draft": 7},
                                      {"id": ["x"], "draft": {"changes": {"model.n_embd": "x"}}}])
def test_questions_may_be_anything(biggest, question):
    assert isinstance(biggest.now(question), dict)


def test_the_command_is_understood(biggest, lab):
    shown = biggest.shown(draft(train__batch_size=4))
    arguments = shlex.split(shown["command"] + " --minutes 2.5")
    options = parser().parse_args(arguments[arguments.index("gptlab") + 1:])
    assert options.minutes == 2.5 and dict(options.settings)["train.batch_size"] == "4" and options.dataset == "tiny"
