"""What people write on a run from the page: whatever comes in is checked, and a refusal is a sentence in the dialog."""

from __future__ import annotations

import json

import gradio as gr
import pytest
from tiny_run import Queue

from gptlab.runs.label import FILE, Label
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace
from gptlab.ui import run_files, words, words_train
from gptlab.ui.lab import Lab, guarded, say
from gptlab.ui.live import LiveRuns
from gptlab.ui.run_card import answer_to, what_is_there

NAME = "<img src=x>"


@pytest.fixture
def lab(tmp_path):
    return Lab(Workspace(tmp_path), Queue())


@pytest.fixture
def run(lab):
    """A damaged one: that it can be named and written on as well is part of every test here."""
    path = lab.workspace.runs / "20261121-101500-first"
    path.mkdir()
    return RunDir(path)


def test_what_is_saved_is_there_the_next_time(lab, run):
    assert what_is_there(lab, run.id) == {"name": "first", "made_as": "first", "label": {**Label().to_dict(), "tags": ""}}
    changes = {"name": "four layers", "tags": "week 3, ,small,week 3", "predicted": "It memorises.\nAt step 300."}
    assert answer_to(lab, {"run": run.id, "changes": changes, "number": 4}) == {"number": 4, "problem": ""}
    assert run.label() == Label(name="four layers", tags=("week 3", "small"), predicted="It memorises.\nAt step 300.")
    told = what_is_there(lab, run.id)
    assert (told["name"], told["made_as"], told["label"]["tags"]) == ("four layers", "first", "week 3, small")


def test_who_writes_one_thing_leaves_the_others_as_somebody_else_wrote_them(lab, run):
    run.relabel(note="theirs", owner="Aisha", archived=True)
    answer_to(lab, {"run": run.id, "changes": {"saw": "mine"}, "number": 1})
    assert run.label() == Label(note="theirs", owner="Aisha", archived=True, saw="mine")


@pytest.mark.parametrize("changes, sentence", [
    ({"note": "x" * 4001}, "The note has 4,001 characters: 4,000 are the most."),
    ({"tags": "a,b,c,d,e,f,g,h,i"}, "9 tags are more than a run can have"),
    (None, words_train.NOT_A_NOTE), ({"archived": "yes"}, words_train.NOT_A_NOTE), ({"name": 7}, words_train.NOT_A_NOTE),
    ({"tags": ["a"]}, words_train.NOT_A_NOTE), ({"path": "/"}, words_train.NOT_A_NOTE), ("name", words_train.NOT_A_NOTE)])
def test_a_refusal_is_a_sentence_and_changes_nothing(lab, run, changes, sentence):
    run.relabel(note="kept")
    answer = answer_to(lab, {"run": run.id, "changes": changes, "number": 2})
    assert answer["number"] == 2 and sentence in answer["problem"] and run.label() == Label(note="kept")


@pytest.mark.parametrize("run_id", [None, 7, "", "..", "../runs/20261121-101500-first", "gone", ["a"]])
def test_no_run_but_those_there_are(lab, run, run_id):
    assert answer_to(lab, {"run": run_id, "changes": {"note": "x"}}) == {"number": None, "problem": words.NO_SUCH_RUN}
    assert what_is_there(lab, run_id) == {"problem": words.NO_SUCH_RUN}
    assert not list(lab.workspace.path.rglob(FILE))
    assert answer_to(lab, None)["problem"] == words.NO_SUCH_RUN


def test_trouble_that_nobody_foresaw_is_said_in_the_dialog_too(lab, run, monkeypatch, capsys):
    monkeypatch.setattr(RunDir, "relabel", lambda self, **changes: {}["nothing"])
    assert answer_to(lab, {"run": run.id, "changes": {"note": "x"}, "number": 1}) == {"number": 1, "problem": words.UNEXPECTED}
    assert "KeyError" in capsys.readouterr().err


def test_the_live_view_is_told_what_was_predicted_and_never_too_much(lab, run):
    run.relabel(predicted="It memorises.", saw="y" * 4000)
    shown = LiveRuns(lab).poll({"run": run.id, "offset": 0})["shown"]
    assert (shown["name"], shown["predicted"], len(shown["saw"])) == ("first", "It memorises.", 400)
    json.dumps(shown, ensure_ascii=False).encode("utf-8")


def test_a_name_is_never_markup_in_what_the_page_says(lab, run, monkeypatch):
    """Gradio takes the sentences of its messages for HTML: a picture in a run's name would have been fetched from anywhere."""
    said = []
    monkeypatch.setattr(gr, "Info", lambda note, **_: said.append(note))
    say(f"Stopping {NAME} & all.", 5)
    with pytest.raises(gr.Error) as refused:
        guarded(RunDir.command)(run, f"{NAME}")
    assert said == ["Stopping &lt;img src=x&gt; &amp; all."] and "&lt;img src=x&gt;" in refused.value.message
    assert answer_to(lab, {"run": run.id, "number": 1, "changes": {"tags": f"{NAME} & {'x' * 30}"}})["problem"].startswith(
        f"The tag '{NAME} & xxx")


def test_a_name_is_never_part_of_a_files_path(lab, run, tmp_path, monkeypatch):
    """A report on several runs was written to wherever their names led."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    monkeypatch.setitem(run_files.KINDS, "report", ("-report.html", lambda lab, runs, path: path.write_text("", encoding="utf-8")))
    run.relabel(name="../../up")
    path = run_files.make_file(lab, "report", [run, run])
    assert path.exists() and path.parent.parent == tmp_path / "files" and path.name == "up-and-up-report.html"
