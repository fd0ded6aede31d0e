"""Finding a learning rate at a terminal: what is printed, drawn and left alone."""

from __future__ import annotations

import json
import shlex

import pytest
from test_cli import TINY
from tiny_run import tiny_workspace

from gptlab.cli import main
from gptlab.cli.arguments import parser

SETTINGS = [one for one in TINY if "sample." not in one]


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


@pytest.fixture
def find_rate(workspace, capsys):
    """Runs the command on the data set "tiny": (exit code, stdout, stderr)."""
    def run(*arguments) -> tuple[int, str, str]:
        code = main(["find-rate", "--dataset", "tiny", "--workspace", str(workspace.path), *SETTINGS, *map(str, arguments)])
        return code, *capsys.readouterr()
    return run


def test_a_rate_is_found_and_drawn_and_no_run_is_made(find_rate, workspace, tmp_path):
    code, out, said = find_rate("--json", "--out", tmp_path / "curve.html")
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and 1e-3 <= found["suggested_learning_rate"] <= 0.1
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) > 40
    assert found["path"] == str(tmp_path / "curve.html")
    drawn = (tmp_path / "curve.html").read_text(encoding="utf-8")
    assert "Suggested: " in drawn and 'class="figure" role="img"' in drawn
    assert list(workspace.runs.iterdir()) == []

    command = next(line for line in said.splitlines() if "train --dataset" in line).partition("gptlab ")[2]
    options = parser().parse_args(shlex.split(command))
    settings = dict(options.settings)
    assert float(settings["train.max_learning_rate"]) == found["suggested_learning_rate"]
    assert options.dataset == "tiny" and settings["model.n_embd"] == "16"


def test_on_a_terminal_the_rate_alone_is_stdout(find_rate):
    code, out, said = find_rate()
    assert code == 0 and 1e-3 <= float(out) <= 0.1 and "Suggested: " in said


@pytest.mark.parametrize("arguments, words", [
    (["--set", "model.context_length=8192"], "context"), (["--out", "nowhere/curve.html"], "no folder nowhere"),
    (["--set", "train.max_learning_rat=1"], "Did you mean 'train.max_learning_rate'?"),
    (["--set", "sample.temperature=1"], "sample.temperature changes nothing here")])
def test_what_cannot_be_is_one_plain_line(find_rate, arguments, words):
    code, out, said = find_rate(*arguments)
    assert code == 1 and out == "" and words in said and "Traceback" not in said
