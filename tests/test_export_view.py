"""Exporting and measuring a run beside the app, without a browser or a process: what pages are offered and told, what is kept."""

from __future__ import annotations

import shlex
import zipfile

import pytest
from tiny_run import Queue, finished_run, tiny_run, tiny_workspace

from gptlab.cli.arguments import parser
from gptlab.exchange import export, exporting
from gptlab.exchange.exporting import KEPT, Wanted
from gptlab.exchange.formats import FORMATS, NUMBER_FORMATS
from gptlab.runs import measuring
from gptlab.runs.measuring import Told
from gptlab.ui import evaluate_view, export_view, words_export
from gptlab.ui.evaluate_view import EvaluateView, uploaded
from gptlab.ui.export_view import ExportView, answer_to
from gptlab.ui.lab import Lab

LLAMA = {"model__positions": "rope", "model__norm": "rmsnorm", "model__mlp": "swiglu"}
HF = {"format": "hf", "checkpoint": "best", "number_format": "f32"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, small_text):
    return Lab(tiny_workspace(tmp_path_factory.mktemp("export"), small_text), Queue())


@pytest.fixture(scope="module")
def run(lab):
    return finished_run(lab.workspace, "llama", train__max_steps=8, **LLAMA)


@pytest.fixture(autouse=True)
def files_here(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


@pytest.fixture
def view(lab):
    return at_rest(ExportView(lab), "exports")


def at_rest(view, name):
    """A view whose work is begun by no process: the test tells what it tells."""
    work = getattr(view, name)

    def begin(current, function, *arguments):
        work.current = current
    work._begin = begin
    return view


def end(work, problem=""):
    work.current.problem = problem
    work._over(work.current)
    work.current.finished = True


def test_what_is_exported_becomes_one_zip_that_holds_one_folder(run, tmp_path, monkeypatch):
    said = []

    def write(run, out, format, *, checkpoint, number_format, progress):
        progress(0.5, "Writing")
        (out / "inner").mkdir(parents=True)
        (out / "inner" / "weights").write_bytes(b"12345")
        return export.Exported(out, 4e-6, "transformers opened it.")
    monkeypatch.setattr(export, "export", write)
    monkeypatch.setattr(exporting.signal, "signal", lambda *_: None)
    wanted = Wanted(run, "hf")
    exporting._export(wanted, tmp_path, said.append)
    assert [one[1] for one in said] == ["Writing", "Packing it", "transformers opened it."] and said[0][0] < said[1][0] < 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.id}-hf.zip"]
    with zipfile.ZipFile(tmp_path / f"{run.id}-hf.zip") as packed:
        assert packed.namelist() == [f"{run.id}-hf/inner/weights"]


def test_a_run_is_offered_with_its_checkpoints_and_what_stands_in_a_formats_way(lab, run, view):
    told = view.offered(run.id)
    assert told["name"] == "llama" and told["refused"] == {}
    assert [one["value"] for one in told["checkpoints"]][:2] == ["best", "last"]
    gpt = finished_run(lab.workspace, "mixed", train__max_steps=1, model__causal=False)
    told = view.offered(gpt.id)
    assert told["refused"].keys() == {"hf", "gguf"} and "“Causal mask”" in told["refused"]["hf"]
    with pytest.raises(ValueError, match="no causal mask"):
        view.start({**HF, "run": gpt.id})
    assert "no checkpoint yet" in view.offered(tiny_run(lab.workspace, "new").id)["problem"]
    assert view.offered("../x")["problem"] and view.offered(None)["problem"]
    assert [one["name"] for one in words_export.EXPORT["formats"]] == list(FORMATS)
    assert tuple(words_export.EXPORT["number_formats"]) == NUMBER_FORMATS


def test_an_export_is_followed_and_its_file_handed_out(run, view):
    view.start({**HF, "run": run.id})
    assert view.now({"run": run.id}) == {"going": "Starting …", "percent": 0, "own": True, "name": "llama"}
    assert view.now({"run": "another"})["own"] is False
    assert answer_to(view.start, {**HF, "run": run.id, "number": 4}) == {
        "number": 4, "problem": "llama is being exported: wait for that, or cancel it."}
    view.exports._told(view.exports.current, (0.4, "Writing"))
    assert view.now({"run": run.id}).items() >= {"going": "Writing", "percent": 40}.items()
    view.exports.current.file.write_bytes(b"zip")
    view.exports._told(view.exports.current, ("done", "It is the same."))
    end(view.exports)
    told = view.now({"run": run.id})
    assert told["said"] == "It is the same." and told["size"] == "3 bytes"
    assert view.file(run.id, told["id"]).read_bytes() == b"zip" and view.now({"run": "another"}) == {} and view.now(3) == {}
    with pytest.raises(ValueError, match="export it again"):
        view.file(run.id, "export-other")


def test_what_fails_or_is_cancelled_leaves_nothing_but_its_reason(run, view, tmp_path):
    for problem in ("model.norm is odd.", exporting.CANCELLED):
        view.start({**HF, "run": run.id})
        (view.exports.current.folder / "half").write_bytes(b"half")
        end(view.exports, problem)
        assert view.now({"run": run.id}) == {"problem": problem.replace("model.norm", "“Normalisation”")}
        assert not list(tmp_path.iterdir())
    view.start({**HF, "run": run.id})
    view.cancel("another")
    assert view.exports.busy and not view.exports.current.problem


def test_no_more_than_some_files_are_kept(lab, run, view, tmp_path):
    for i in range(KEPT + 2):
        other = run if i == 0 else finished_run(lab.workspace, f"many-{i}", train__max_steps=1, **LLAMA)
        view.start({**HF, "run": other.id})
        view.exports.current.file.write_bytes(b"zip")
        end(view.exports)
    assert len(list(tmp_path.iterdir())) == KEPT and view.now({"run": run.id}) == {} and view.now({"run": other.id})["id"]


def test_what_a_page_asks_for_is_checked_and_has_its_command(run, view):
    told = view.command({**HF, "run": run.id, "format": "gguf", "number_format": "q8_0", "checkpoint": "8"})
    read = parser().parse_args(shlex.split(told)[3:])
    assert (read.run, read.format, read.checkpoint, read.number_format) == (run.id, "gguf", 8, "q8_0")
    for wrong in ({"format": "exe"}, {"checkpoint": "../x"}, {"checkpoint": ["best"]}, {"number_format": None}, {"run": "../x"},
                  {"checkpoint": "9" * 40}, {"format": ["hf"]}):
        assert view.command({**HF, "run": run.id, **wrong}) == ""
        assert answer_to(view.start, {**HF, "run": run.id, **wrong})["problem"]
    assert view.command(None) == "" and answer_to(view.start, None)["problem"]


# a text

def test_a_text_is_measured_beside_the_runs_own(run, small_text):
    said = []
    measuring._measure(run, "best", small_text[:800], said.append)
    told, status = said[-1], run.status()
    assert told.own[0] == pytest.approx(status["best_val_loss"]) and told.step == 8 and told.tokens == 800
    shown = words_export.measured(told)
    assert shown["said"].startswith("It is as unsure at each token as if it picked among") and len(shown["rows"]) == 2
    assert shown["rows"][1][0] == "Its own unseen text (val), step 8" and shown["rows"][1][1] == f"{status['best_val_loss']:.3f}"


def test_which_text_is_harder_is_said_by_bits_per_byte():
    def said(own):
        return words_export.measured(Told(8, (2.0, 7.389, 3.0), 1234, own))["said"]
    assert "harder" in said((4.0, 50.0, 2.0)) and "easier" in said((1.0, 2.7, 4.0)) and "about as hard" in said((2.0, 7.0, 3.1))
    assert said(None) == "It is as unsure at each token as if it picked among 7.4."


def test_a_text_file_is_read_and_what_cannot_be_read_is_said(run, tmp_path, small_text):
    (tmp_path / "text.txt").write_text(small_text[:500], encoding="utf-16")
    said = []
    measuring._measure(run, "last", tmp_path / "text.txt", said.append)
    assert said[0] == (0.0, "Reading the file") and said[-1].tokens >= 499
    with pytest.raises(ValueError):
        measuring._measure(run, "last", "日本語", said.append)


def test_measuring_is_asked_for_followed_and_refused(lab, run, tmp_path):
    view = at_rest(EvaluateView(lab), "measurements")
    assert view.offered(run.id)["command"].endswith(f"--workspace {lab.workspace.path}") and view.offered("x")["problem"]
    assert "Paste a text" in answer_to(view.start, {"run": run.id, "text": " ", "checkpoint": "best"})["problem"]
    assert view.now({"run": run.id}) == {}
    assert answer_to(view.start, {"run": run.id, "text": "The cat", "checkpoint": "best", "number": 1})["problem"] == ""
    assert view.now({"run": run.id}).items() >= {"percent": 0, "own": True}.items() and view.now({})["own"] is False
    assert "wait for that" in answer_to(view.start, {"run": run.id, "text": "The cat", "checkpoint": "best"})["problem"]
    view.measurements._told(view.measurements.current, Told(8, (2.0, 7.389, 3.0), 12, None))
    end(view.measurements)
    assert view.now({"run": run.id})["rows"] == [["This text", "2.000", "7.4 tokens", "3.000", "12"]] and view.now({}) == {}


def test_a_page_names_no_file_but_one_that_was_uploaded(lab, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "text.txt").write_text("The cat", encoding="utf-8")
    assert uploaded(str(tmp_path / "up" / "text.txt")).name == "text.txt"
    for wrong in (str(lab.workspace.path / "runs"), str(tmp_path / "up" / ".." / ".." / "x"), str(tmp_path), "/etc/hostname"):
        with pytest.raises(ValueError, match="choose a file"):
            uploaded(wrong)
    assert evaluate_view.which("last") == "last" and export_view.which("12") == 12
