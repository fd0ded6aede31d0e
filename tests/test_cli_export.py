"""`python -m gptlab export` as somebody at a terminal, or a program, meets it."""

import dataclasses
import json
import sys

import pytest
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.cli import main
from gptlab.cli.line import Line
from gptlab.events import Sample
from gptlab.exchange import export as exporting
from gptlab.exchange.export import ExportError, Exported, export
from gptlab.runs.rundir import RunDir


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    """With a finished run, "tiny", and one of no family, "unlike", which was trained a little."""
    workspace = tiny_workspace(tmp_path_factory.mktemp("cli_export"), small_text)
    finished_run(workspace, train__max_steps=8)
    finished_run(workspace, "unlike", train__max_steps=1, model__norm="rmsnorm", model__qk_norm=True)
    tiny_run(workspace, "queued")
    return workspace


@pytest.fixture
def gptlab(workspace, capsys):
    """Runs a command: (exit code, what stdout and stderr said)."""
    def run(*arguments) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--workspace", str(workspace.path)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err
    return run


def test_it_tells_what_it_does_and_where_the_folder_is(gptlab, tmp_path):
    code, out, err = gptlab("export", "tiny", "--format", "hf", "--out", tmp_path / "out")
    assert code == 0 and out == f"{tmp_path / 'out'}\n"
    *doing, checked = err.splitlines()
    assert doing == ["Loading the model", "Writing the folder", "Comparing with transformers", "Done"]
    assert checked.startswith("transformers ") and "the largest difference is" in checked
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
            "README.md", "loss.svg"} == {path.name for path in (tmp_path / "out").iterdir()}


def test_the_object_names_path_and_difference(gptlab, tmp_path, workspace):
    code, out, _ = gptlab("export", "tiny", "--format", "hf", "--out", tmp_path / "out", "--checkpoint", "0", "--json")
    told = json.loads(out.splitlines()[-1])
    assert code == 0 and told["path"] == str(tmp_path / "out") and 0 <= told["max_difference"] <= 1e-4
    assert "step 0." in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments, words", [
    (["tiny", "--format", "hf", "--out", "."], "is there already: choose another folder"),
    (["tiny", "--format", "hf", "--out", "nowhere/out"], "There is no folder nowhere"),
    (["tiny", "--format", "hf", "--out", "new", "--checkpoint", "7"], "has no checkpoint at step 7"),
    (["tiny", "--format", "hf", "--out", "new", "--number-format", "f16"], "Only GGUF has the number format f16"),
    (["queued", "--format", "hf", "--out", "new"], "has no checkpoint yet: train it a little first"),
    (["unlike", "--format", "hf", "--out", "new"], "it normalises queries and keys (set model.qk_norm to false)")])
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(gptlab, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = gptlab("export", *arguments)
    assert code == 1 and out == "" and words in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_wrong_usage(gptlab):
    with pytest.raises(SystemExit) as exited:
        gptlab("export", "tiny", "--format", "onnx", "--out", "x")
    assert exited.value.code == 2


# --- what all formats share ---

def test_a_file_written_into_the_folder_has_its_path_there(workspace, tmp_path, monkeypatch):
    def write(source, folder, format, number_format, progress):
        (folder / "model.gguf").write_bytes(b"")
        return Exported(folder / "model.gguf", None, "nothing")
    monkeypatch.setattr(exporting, "_write", write)
    shares = []
    done = export(workspace.find_run("tiny"), tmp_path / "out", "gguf", number_format="f16",
                  progress=lambda share, doing: shares.append(share))
    assert done.path == tmp_path / "out" / "model.gguf" and done.path.exists() and shares[-1] == 1.0


@pytest.mark.parametrize("problem", [ExportError("other logits"), KeyboardInterrupt(), MemoryError()])
def test_whatever_stops_an_export_leaves_nothing(workspace, tmp_path, monkeypatch, problem):
    def write(source, folder, *_):
        (folder / "half").write_bytes(b"of it")
        raise problem
    monkeypatch.setattr(exporting, "_write", write)
    with pytest.raises(type(problem)):
        export(workspace.find_run("tiny"), tmp_path / "out", "hf")
    assert list(tmp_path.iterdir()) == []


def test_the_prompt_is_unseen_text_or_what_the_run_wrote(workspace, tmp_path, monkeypatch):
    run = workspace.find_run("tiny")
    val, tokenizer = workspace.open_dataset("tiny").val, workspace.open_dataset("tiny").tokenizer
    assert exporting.source_of(run).prompt == tokenizer.decode(val[:256])
    run.path.rename(tmp_path / run.id)  # away from its data
    moved = RunDir(tmp_path / run.id)
    source = exporting.source_of(moved)
    mute = [dataclasses.replace(event, prompt="", text="") for event in exporting.counting_events(moved) if isinstance(event, Sample)]
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "counting_events", lambda run: mute)
        assert len(exporting.source_of(moved).prompt) > 10  # a text that ended before it began gives no logits to compare
    (tmp_path / run.id).rename(run.path)
    assert source.prompt.startswith("The cat") and len(source.prompt) == len("The cat") + 12
    assert source.prompt_ids().shape == (1, 16) and source.tokenizer.decode(source.prompt_ids()[0]) == source.prompt[:16]


def test_on_a_terminal_one_line_changes(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Line() as line:
        line.show(0.0, "Loading")
        line.show(0.5, "Measuring")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.split("\r\033[K") == ["", "  0% Loading", " 50% Measuring\n"]


@pytest.mark.parametrize("seconds, said", [
    (1e6, "Loading\nMeasuring\n"), (0.0, "Loading\nMeasuring\nMeasuring: 25%\nMeasuring: 50%\n")])
def test_elsewhere_a_line_now_and_then_says_how_much_is_done(monkeypatch, capsys, seconds, said):
    monkeypatch.setattr("gptlab.cli.line.LINE_SECONDS", seconds)
    with Line() as line:
        line.show(0.0, "Loading")
        for share in (0.0, 0.25, 0.5):
            line.show(share, "Measuring")
    assert capsys.readouterr().err == said
