"""Names, owners and notes of runs at a terminal: what is written is found again, and a name never means two runs."""

from __future__ import annotations

import json

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.cli import main
from gptlab.runs.disk import RunError
from gptlab.runs.label import Label


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


@pytest.fixture
def gptlab(workspace, capsys):
    """Runs a command: (exit code, stdout, stderr)."""
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--workspace", str(workspace.path)])
        return code, *capsys.readouterr()
    return run


def test_what_is_written_is_shown_and_kept(gptlab, workspace):
    run = tiny_run(workspace, "first")
    given = ("--name", "four layers", "--by", "Aisha", "--tag", "week 3", "--tag", "small", "--predicted", "It memorises.")
    code, out, _ = gptlab("label", run.id, *given)
    assert code == 0 and out.splitlines() == [run.id, "Name: four layers", "By: Aisha", "Tags: week 3, small",
                                              "I predicted: It memorises."]
    kept = Label(name="four layers", owner="Aisha", tags=("week 3", "small"), predicted="It memorises.")
    assert run.label() == kept
    assert json.loads(gptlab("label", "four layers", "--json")[1]) == {"run": run.id, "path": str(run.path), **kept.to_dict()}
    assert gptlab("label", run.id, "--saw", "It did.", "--tag", "", "--by", "")[0] == 0
    assert run.label() == Label(name="four layers", predicted="It memorises.", saw="It did.")


def test_a_label_that_is_too_long_is_refused(gptlab, workspace):
    run = tiny_run(workspace, "first")
    code, out, err = gptlab("label", run.id, "--name", "x" * 61, "--note", "new")
    assert (code, out) == (1, "") and "60 are the most" in err and run.label() == Label()
    code, _, err = gptlab("train", "--dataset", "tiny", "--by", "x" * 41)
    assert code == 1 and "40 are the most" in err and workspace.list_runs() == [run]


def test_the_list_says_whose_runs_they_are_and_leaves_out_the_archived(gptlab, workspace):
    one, two = tiny_run(workspace, "one"), tiny_run(workspace, "two")
    one.relabel(name="four layers", owner="Aisha", tags=["week 3"])
    assert gptlab("label", two.id, "--archive")[1] == f"{two.id} (archived)\n"
    _, out, err = gptlab("runs")
    assert out.splitlines()[0].endswith("four layers by Aisha [week 3]") and two.id not in out and "--all" in err
    listed = json.loads(gptlab("runs", "--json")[1])["runs"]
    assert [(row["run"], row["name"], row["owner"], row["tags"]) for row in listed] == [(one.id, "four layers", "Aisha", ["week 3"])]
    assert {row["run"]: row["archived"] for row in json.loads(gptlab("runs", "--all", "--json")[1])["runs"]} == \
        {one.id: False, two.id: True}
    gptlab("label", two.id, "--no-archive")
    assert two.id in gptlab("runs")[1]


def test_a_run_is_found_by_the_name_it_was_given_and_by_no_name_of_two(workspace):
    one, two = tiny_run(workspace, "one"), tiny_run(workspace, "two")
    one.relabel(name="four layers")
    assert workspace.find_run("four layers") == one == workspace.find_run(one.id)
    two.relabel(name="four layers")
    with pytest.raises(RunError, match=f"fits several runs, name one: {two.id}, {one.id}"):
        workspace.find_run("four layers")
    two.relabel(name=one.id)  # a name that would pass for another's id
    assert workspace.find_run(one.id) == one and workspace.find_run("two") == two


def test_a_run_has_the_owner_it_was_trained_by(gptlab, workspace):
    code, _, _ = gptlab("train", "--dataset", "tiny", "--by", " Aisha ", "--name", "hers", *(
        f"--set={setting}" for setting in ("model.n_layer=1", "model.n_head=2", "model.n_embd=16", "model.context_length=16",
                                           "train.max_steps=2", "train.device=cpu", "sample.max_new_tokens=2")))
    assert code == 0 and workspace.find_run("hers").label() == Label(owner="Aisha")
