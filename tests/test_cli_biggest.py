"""Finding the biggest model at a terminal, with a real search of tiny ones."""

import json

import pytest
from tiny_run import tiny_workspace

from gptlab.cli import main


@pytest.fixture
def biggest(tmp_path, small_text, capsys, monkeypatch):
    """Runs the command on the data set "tiny": (exit code, stdout, stderr, the workspace)."""
    monkeypatch.setattr("gptlab.train.preflight.STEPPING_SECONDS", 0.02)
    monkeypatch.setattr("gptlab.train.biggest.MOST_TRIED", 2)
    workspace = tiny_workspace(tmp_path, small_text)

    def run(*arguments):
        settings = [part for one in ("model.context_length=8", "train.batch_size=8", "train.eval_batches=1", "train.precision=fp32")
                    for part in ("--set", one)]
        try:
            code = main(["biggest", "--dataset", "tiny", "--workspace", str(workspace.path), *settings, *arguments])
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr(), workspace
    return run


def test_a_model_is_found_and_no_run_is_made(biggest):
    code, out, said, workspace = biggest("--minutes", "60", "--json")  # more than enough on however busy a machine
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and found["parameters"] > 0 and found["seconds"] <= 3600 and found["told"] in said
    assert "too small for it" in found["warned"] and found["epochs"] > 4
    assert f"--set model.n_embd={found['settings']['model.n_embd']}" in said and list(workspace.runs.iterdir()) == []


@pytest.mark.parametrize("arguments, code, words", [
    (["--minutes", "0.01"], 1, "give it more minutes"), (["--minutes", "0"], 2, "not a number of minutes above 0"),
    (["--minutes", "5", "--set", "sample.temperature=1"], 1, "changes nothing here")])
def test_what_cannot_be_is_one_plain_line(biggest, arguments, code, words):
    ended, out, said, _ = biggest(*arguments)
    assert ended == code and words in said and "Traceback" not in said
