"""Finding a learning rate on the Model tab, without a browser: what pages are told, and what using it changes."""

from __future__ import annotations

import json
import shlex

import pytest
from tiny_run import TINY, tiny_workspace

from gptlab.cli.arguments import parser
from gptlab.config import ConfigError
from gptlab.runs import rate_finding
from gptlab.train.device import TrainingError
from gptlab.train.rate_finder import RangeTest
from gptlab.ui.lab import Lab, draft_config, read_draft
from gptlab.ui.rate_finder import RateFinder, with_found

MODEL = {name: value for name, value in TINY.items() if name.startswith("model.")}
CURVE = RangeTest(100, tuple(10 ** (-5 + i / 20) for i in range(80)), tuple(4 - 0.03 * min(i, 60) for i in range(80)))


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), jobs=None)


@pytest.fixture
def finder(lab):
    finder = RateFinder(lab)
    yield finder
    finder.findings.close()


@pytest.fixture
def by_hand(finder, monkeypatch):
    """The test is not done: `tell` and `end` of this are called in its place."""
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
    return {**read_draft(None), "dataset": "tiny", "changes": {**MODEL, **{f"train.{k}": v for k, v in changes.items()}}}


def question(finder, of, **more):
    shown = finder.shown(of)
    return {"id": shown["id"], "present": shown["present"], "have": None, **more}


def test_what_the_process_tells_reaches_every_page(finder, by_hand, lab):
    """The process itself is tested in a browser."""
    assert finder.now(question(finder, draft())) == {}
    finder.start(draft())
    rate_finding._find(draft_config(lab, draft()), str(lab.workspace.dataset_path("tiny")), by_hand[0].tell)
    assert finder.now(question(finder, draft()))["own"], "not over before its process is"
    by_hand[0].end_with("")
    answer = finder.now(question(finder, draft()))
    assert answer["told"].startswith("Suggested: ") and 1e-3 <= answer["rate"] <= 0.1
    assert [trace["name"] for trace in answer["figure"]["data"]] == ["each batch", "smoothed", "suggested", "set now"]
    json.dumps(answer, allow_nan=False)
    again = finder.now(question(finder, draft(), have=answer["at"]))
    assert again["figure"] is None and again["told"] == answer["told"]


def test_a_lack_of_memory_is_a_sentence(lab, monkeypatch):
    def lacks(*_):
        raise TrainingError("The machine ran out of memory: lower train.batch_size.")
        yield

    monkeypatch.setattr(rate_finding, "range_test", lacks)
    with pytest.raises(ValueError, match="ran out of memory"):
        rate_finding._find(draft_config(lab, draft()), str(lab.workspace.dataset_path("tiny")), print)


def test_a_result_belongs_to_the_settings_that_were_tested_whatever_their_learning_rate(finder, by_hand):
    finder.start(draft())
    by_hand[0].tell(CURVE)
    by_hand[0].end_with("")
    assert finder.now(question(finder, draft(max_learning_rate=0.5, schedule="constant", eval_every=7)))["rate"] == 0.006
    assert finder.shown(draft(max_learning_rate=0.5))["known"]
    assert finder.now(question(finder, draft(batch_size=3))) == {} and not finder.shown(draft(batch_size=3))["known"]


def test_progress_cancel_and_one_at_a_time(finder, by_hand):
    finder.start(draft())
    by_hand[0].tell(RangeTest(100, CURVE.rates[:25], CURVE.losses[:25], seconds=0.4))
    answer = finder.now(question(finder, draft()))
    assert answer == {"own": True, "going": "Step 25 of 100, about 30 s left", "percent": 25}
    assert not finder.now(question(finder, draft(batch_size=3)))["own"]
    with pytest.raises(ValueError, match="wait for that, or cancel it"):
        finder.start(draft(batch_size=3))
    finder.findings.cancel()
    assert finder.now(question(finder, draft())) == {"problem": rate_finding.CANCELLED, "failed": False}
    finder.start(draft())  # and once more
    by_hand[1].end_with("train.device is 'cuda', but this torch sees no NVIDIA GPU.")
    assert finder.now(question(finder, draft()))["problem"].startswith("“Device” is 'cuda'")


def test_what_keeps_it_from_starting_is_said(finder):
    with pytest.raises(ValueError, match="choose a text"):
        finder.start({**draft(), "dataset": "gone"})
    clashing = {**draft(), "changes": {"model.n_embd": 100, "model.n_head": 8}}
    with pytest.raises(ValueError, match="“Attention heads”"):
        finder.start(clashing)
    assert finder.shown(clashing)["id"] == ""


@pytest.mark.parametrize("asked", [None, 7, {"id": [], "present": "x", "have": {}}, {"id": "gone", "present": -1}])
def test_a_question_from_anywhere_gets_an_answer(finder, asked):
    assert finder.now(asked) == {}


def test_using_it_sets_the_rate_and_keeps_the_final_one_below(lab):
    changed = with_found(lab, draft(min_learning_rate=0.001), 0.0004)
    config = draft_config(lab, changed)
    assert (config.train.max_learning_rate, config.train.min_learning_rate) == (0.0004, 0.00004)
    assert changed["history"][-1]["what"] == "Learning rate"
    kept = draft_config(lab, with_found(lab, draft(min_learning_rate=0.001), 0.02))
    assert (kept.train.max_learning_rate, kept.train.min_learning_rate) == (0.02, 0.001)
    with pytest.raises(ConfigError):
        with_found(lab, draft(), 7.0)


def test_the_command_tests_the_same(finder, lab):
    wanted = draft(batch_size=3)
    wanted["changes"]["sample.temperature"] = 0.5
    command = shlex.split(finder.shown(wanted)["command"])
    options = parser().parse_args(command[command.index("gptlab") + 1:])
    assert options.command == "gptlab.cli.rate_finder.find_rate" and options.dataset == "tiny"
    assert dict(options.settings)["train.batch_size"] == "3" and "sample.temperature" not in dict(options.settings)
