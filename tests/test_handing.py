"""The commands that hand runs out and in: what they print, write and refuse."""

import csv
import io
import json

import pytest
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.cli import main


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    workspace = tiny_workspace(tmp_path_factory.mktemp("handing"), small_text)
    finished_run(workspace, "one", train__max_steps=8)
    tiny_run(workspace, "two", model__n_layer=2)
    return workspace


@pytest.fixture
def command(workspace, capsys):
    """Runs a command; (exit code, its JSON or None, stdout before it, stderr)."""
    def run(*arguments, where=workspace.path):
        code = main([*map(str, arguments), "--workspace", str(where)])
        out, err = capsys.readouterr()
        lines = out.splitlines(keepends=True)
        if "--json" in arguments and lines:
            return code, json.loads(lines[-1]), "".join(lines[:-1]), err
        return code, None, out, err
    return run


def test_compare(command):
    code, result, out, _ = command("compare", "one", "two", "--json")
    assert code == 0 and out == "" and [run["name"] for run in result["runs"]] == ["one", "two"]
    assert {"runs", "same_data", "same_tokenizer", "note", "winners", "differences", "drawn_unlike", "samples", "family"} == set(result)
    code, _, out, err = command("compare", "one", "two")
    assert "A one: best val loss" in out and "B two: nothing measured yet" in out and "model.n_layer: A 1, B 2" in out
    assert "same data" in err and "from step" not in out
    assert command("compare", "one")[0] == 1


def test_report(command, tmp_path):
    target = tmp_path / "one.html"
    code, result, _, _ = command("report", "one", "--out", target, "--json")
    assert code == 0 and result["path"] == str(target) and result["bytes"] == target.stat().st_size
    assert command("report", "one", "two", "--out", target)[2] == f"{target}\n"
    assert "A one" in target.read_text(encoding="utf-8")


def test_metrics(command, tmp_path):
    code, result, out, _ = command("metrics", "one", "--json")
    assert code == 0 and result["rows"] == 8 and result["path"] is None
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["step"] for row in rows] == [str(n) for n in range(1, 9)]
    target = tmp_path / "numbers.csv"
    code, result, out, _ = command("metrics", "one", "--table", "evaluations", "--out", target, "--json")
    assert (result["table"], result["rows"], out) == ("evaluations", len(target.read_text().splitlines()) - 1, "")
    with pytest.raises(SystemExit) as wrong:
        command("metrics", "one", "--table", "samples")
    assert wrong.value.code == 2


def test_bundle_and_open(command, workspace, tmp_path):
    code, result, _, _ = command("bundle", "one", "--out", tmp_path / "one.zip", "--json")
    assert code == 0 and result["bytes"] > 1000
    code, opened, _, _ = command("open", tmp_path / "one.zip", "--json", where=tmp_path / "other")
    assert code == 0 and opened["dataset"] == "tiny" and opened["shared"] is False and opened["run"] == result["run"]
    code, _, out, _ = command("open", tmp_path / "one.zip", where=tmp_path / "other")
    assert f"Added run {result['run']}-2; its data was here already, as 'tiny'." in out


@pytest.mark.parametrize("arguments, said", [
    (("report", "one", "--out", "nowhere/x.html"), "There is no folder"), (("bundle", "one", "--out", "."), "is a folder"),
    (("report", "three", "--out", "x.html"), "There is no run 'three'"), (("open", "nothing.zip"), "nothing.zip"),
    (("open", "text.zip"), "text.zip cannot be opened: it is not a whole bundle")])
def test_one_clear_line(command, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.zip").write_text("hello", encoding="utf-8")
    code, _, out, err = command(*arguments)
    assert code == 1 and said in err and err.count("\n") == 1 and out == ""


def test_compare_prints_the_family_tree(workspace, command):
    """Each run under the one it was forked from; what texts differ by beside the models goes where messages go."""
    parent = workspace.find_run("one")
    fork = tiny_run(workspace, "fork", train__max_steps=8, sample__seed=7)
    (fork.path / "parent.json").write_text(json.dumps({"run": parent.id, "step": 8}), encoding="utf-8")
    out = command("compare", "two", "fork")[2]
    assert f"\n{parent.id}: finished · best val loss " in out
    assert f"\n  B {fork.id}: from step 8 · queued · 1 setting changed: Sampling seed 1337 → 7\n" in out
    family = command("compare", "fork", "one", "--json")[1]["family"]
    assert [(one["run"], one["letter"], one["step"], one["depth"]) for one in family] == [(parent.id, "B", None, 0), (fork.id, "A", 8, 1)]
    assert family[1]["changes"] == [{"name": "sample.seed", "label": "Sampling seed", "before": 1337, "after": 7}]
