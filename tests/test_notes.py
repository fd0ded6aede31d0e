"""What people said of a run stands in its report as text, wherever it came from; and nothing stands there for nothing."""

from __future__ import annotations

import json

import pytest
from test_report import EVIL, check_self_contained, told
from tiny_run import Queue, tiny_run, tiny_workspace

from gptlab.exchange.bundle import open_bundle, write_bundle
from gptlab.exchange.report import report
from gptlab.runs.label import FILE, Label
from gptlab.runs.workspace import Workspace
from gptlab.ui.lab import Lab
from gptlab.ui.live import LiveRuns


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


def test_a_report_says_whose_it_is_and_what_was_predicted_and_seen(workspace):
    run = told(tiny_run(workspace, "first"))
    before = check_self_contained(report([run])).text
    assert not [word for word in ("I predicted", "I saw", "By ", "Tags") if word in before]
    run.relabel(name="four layers", owner="Aisha", tags=["week 3", "small"], predicted="It memorises.\nSoon.", saw="At step 10.")
    page = check_self_contained(report([run]))
    for words in ("By Aisha. Tags: week 3, small. Trained on tiny", "I predicted It memorises. Soon.", "I saw At step 10."):
        assert words in page.text, words
    assert ("h1", {}) in page.tags and "four layers" in page.text and "Note " not in page.text


def test_a_comparison_sets_predictions_side_by_side(workspace):
    runs = [told(tiny_run(workspace, name)) for name in ("one", "two")]
    assert "Predicted and seen" not in report(runs)
    runs[1].relabel(owner="Aisha", predicted="It memorises.")
    text = check_self_contained(report(runs)).text
    assert "Predicted and seen B two · by Aisha I predicted: It memorises." in text and "I saw" not in text


def test_nothing_that_is_said_is_markup(workspace):
    runs = [told(tiny_run(workspace, name)) for name in ("one", "two")]
    for run in runs:
        run.relabel(name=EVIL[:60], owner=EVIL[:40], tags=[EVIL[9:33]], predicted=EVIL, saw=EVIL, note=EVIL)
    for chosen in (runs[:1], runs):
        page = check_self_contained(report(chosen))
        assert page.text.count(EVIL) >= 2 and "img" not in {tag for tag, _ in page.tags}


def test_a_bundle_carries_what_was_predicted(workspace, tmp_path):
    run = told(tiny_run(workspace, "first"))
    said = run.relabel(name="four layers", owner="Aisha", predicted="It memorises.", saw="It did.", tags=["week 3"])
    there = open_bundle(Workspace(tmp_path / "there"), write_bundle(workspace, run, tmp_path / "lesson.zip")).run
    assert there.label() == said and there.name == "four layers" and "It memorises." in report([there])


@pytest.mark.parametrize("sly", [
    {"name": "../../../up", "owner": {"a": 1}, "tags": [f"{i}{EVIL}" for i in range(50)], "predicted": "\ud800" + EVIL, "saw": "x" * 90_000, "archived": 1},
    {"predicted": ["a"], "name": "\u202e\u0000", "note": None, "tags": "a", "more": {"a": [1]}}])
def test_a_sly_label_in_a_bundle_does_no_harm(workspace, tmp_path, sly):
    run = told(tiny_run(workspace, "first"))
    (run.path / FILE).write_text(json.dumps(sly), encoding="utf-8")
    there = Workspace(tmp_path / "there")
    opened = open_bundle(there, write_bundle(workspace, run, tmp_path / "lesson.zip")).run
    label = opened.label()
    assert Label().replace(**{name: getattr(label, name) for name in ("name", "owner", "tags", "note", "predicted", "saw")}) == label
    assert opened.path.parent == there.runs and label.archived is False
    check_self_contained(report([opened])).text.encode("utf-8")
    answer = LiveRuns(Lab(there, Queue())).poll({"run": opened.id, "offset": 0})
    json.dumps(answer, ensure_ascii=False).encode("utf-8")
