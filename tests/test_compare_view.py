"""What the page is told of runs side by side, without a browser."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_history import evaluation
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab import plots
from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Setting
from gptlab.exchange import report
from gptlab.runs.compare import AXES, DRAWN_ALIKE, compare
from gptlab.runs.disk import RunError
from gptlab.runs.workspace import create_run
from gptlab.ui import compare_view, words_runs
from gptlab.ui.compare_view import MOST_POINTS, chosen, shown
from gptlab.ui.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory, small_text):
    return Lab(tiny_workspace(tmp_path_factory.mktemp("compare"), small_text), SimpleNamespace(current=None, queue=[]))


@pytest.fixture(scope="module")
def runs(lab):
    return [finished_run(lab.workspace, name, train__max_steps=16, train__max_learning_rate=rate)
            for name, rate in (("slow", 1e-3), ("quick", 4e-3))]


def test_it_tells_what_differs_who_is_better_and_what_they_wrote(lab, runs):
    told = json.loads(json.dumps(shown(compare(chosen(lab, [run.id for run in runs]))), allow_nan=False))
    assert [(one["letter"], one["name"]) for one in told["runs"]] == [("A", "slow"), ("B", "quick")]
    assert [(one["label"], one["values"]) for one in told["differences"]] == [("Learning rate", ["0.001", "0.004"])]
    better = min(told["runs"], key=lambda one: one["best"]["val_loss"])["letter"]
    assert told["winners"] == {name: [better] for name in ("val_bits_per_byte", "val_loss", "val_perplexity")}
    assert told["main"] == "loss"
    assert told["samples"][0]["prompt"] == "The cat" and all(text["step"] == 16 for text in told["samples"][0]["texts"])
    for one, run in zip(told["runs"], runs):
        assert one["best"]["val_loss"] == pytest.approx(run.status()["best_val_loss"])
        val = one["lines"]["val_loss"]
        assert val["x"].keys() == AXES.keys() and {len(x) for x in val["x"].values()} == {len(val["y"])}
        assert val["x"]["step"][-1] == 16 and val["y"][-1] == pytest.approx(one["best"]["val_loss"], rel=1e-5)
    assert words_runs.COMPARE["over_axes"].keys() == AXES.keys()


def test_where_tokenizers_differ_bits_per_byte_are_drawn_and_no_loss_is_called_best(lab, runs):
    source = lab.workspace.path.parent / "tiny.txt"  # the same text, in other tokens
    prepare(DataConfig(source=str(source), tokenizer="byte"), lab.workspace.datasets / "bytes")
    other = create_run(lab.workspace, runs[0].config().replace({"data.tokenizer": "byte"}),
                       lab.workspace.open_dataset("bytes"), "bytes")
    told = shown(compare([runs[0], other]))
    assert told["main"] == "bits" and told["winners"] == {} and "bits per byte" in told["note"], "one alone is not the best"
    assert told["runs"][1]["best"] is None and told["runs"][1]["lines"]["val_loss"]["y"] == []
    other.append(evaluation(0, 4.0))
    assert list(shown(compare([runs[0], other]))["winners"]) == ["val_bits_per_byte"]


def test_a_long_curve_is_thinned_and_keeps_its_lowest_and_its_last():
    y = [5.0 - i / 10_000 for i in range(9_999)]
    y[4_321] = 0.123456789
    line = compare_view._line({axis: [list(map(float, range(9_999))), y] for axis in AXES})
    assert MOST_POINTS / 2 < len(line["y"]) <= MOST_POINTS + 2
    assert 0.123457 in line["y"] and line["x"]["step"][line["y"].index(0.123457)] == 4_321 and line["x"]["step"][-1] == 9_998


def test_the_page_compares_no_more_than_there_is(lab, runs):
    for ids in (None, "x", {}, [runs[0].id], [run.id for run in runs] * 5, [runs[0].id, runs[0].id]):
        with pytest.raises(RunError):
            compare(chosen(lab, ids))
    for ids in (["../runs", runs[0].id], [None, 7]):
        with pytest.raises(ValueError, match="not there any more"):
            chosen(lab, ids)
    damaged = tiny_run(lab.workspace, "damaged")
    damaged.tokenizer_path.unlink()
    with pytest.raises(RunError, match="not a whole run"):
        compare([runs[0], damaged])


def test_forks_changes_on_the_way_and_how_texts_were_drawn(lab, runs):
    """In words, for the page to show as they are."""
    fork = tiny_run(lab.workspace, "fork", train__max_steps=16, sample__seed=3)
    (fork.path / "parent.json").write_text(json.dumps({"run": runs[0].id, "step": 16}), encoding="utf-8")
    fork.append(Setting(step=4, time_seconds=0.0, changes={"train.eval_every": 2}, before={"train.eval_every": 8}))
    told = json.loads(json.dumps(shown(compare([fork, runs[0]])), allow_nan=False))
    assert [(one["name"], one["letter"], one["depth"]) for one in told["family"]] == [("slow", "B", 0), ("fork", "A", 1)]
    assert told["family"][1]["told"].startswith("from step 16 · queued · 1 setting changed: Sampling seed 1,337 → 3")
    assert ["8, then 2 from step 4", "8"] in [one["values"] for one in told["differences"]]
    assert told["drawing"].endswith("Sampling seed A 3, B 1,337.") and shown(compare(runs))["drawing"] == DRAWN_ALIKE


def test_lines_on_the_page_are_those_of_the_report():
    """Eight of each, in the same order, so that a run looks alike in both."""
    script = (Path(compare_view.__file__).parent / "compare_view.js").read_text(encoding="utf-8")
    for name, values in (("DASHES", plots.DASHES), ("MARKERS", plots.MARKERS), ("SWATCHES", report.SWATCHES)):
        assert tuple(re.findall("'([^']+)'", re.search(rf"const {name} = \[([^\]]*)\]", script)[1])) == values


def test_the_colours_on_the_page_are_those_of_the_report():
    css = (Path(compare_view.__file__).parent / "runs.css").read_text(encoding="utf-8")
    for selector, look in ((r"\n\.compare", plots.LIGHT), (r"\n\.dark \.compare", plots.DARK)):
        block = re.search(selector + r" \{([^}]*--run-0[^}]*)\}", css)[1]
        assert tuple(re.findall(r"--run-\d: (#\w+)", block)) == look.runs
