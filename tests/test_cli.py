"""The command line as somebody at a terminal, or a program, meets it: output, exit codes, files."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gptlab.cli import main
from gptlab.cli.arguments import parser
from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import made_from, open_dataset
from gptlab.generate.generator import Token
from gptlab.runs.preparing import Preparations
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
TINY = [f"--set={setting}" for setting in ("model.n_layer=1", "model.n_head=2", "model.n_embd=16", "model.context_length=16",
                                           "train.batch_size=4", "train.max_steps=20", "train.eval_every=10",
                                           "train.warmup_steps=2", "train.device=cpu", "sample.max_new_tokens=20")]
TRAIN_KEYS = {"run", "path", "state", "step", "tokens", "val_loss", "best_val_loss", "best_step", "tokens_per_second",
              "training_seconds"}


@pytest.fixture
def gptlab(workspace_dir, capsys):
    """Runs a command with --json in this process: (exit code, the object or None, what stderr said)."""
    def run(*arguments: str) -> tuple[int, dict | None, str]:
        capsys.readouterr()
        code = main([*map(str, arguments), "--workspace", str(workspace_dir), "--json"])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, json.loads(out.splitlines()[-1]) if out else None, err
    return run


@pytest.fixture
def trained(gptlab, text_file):
    """A finished tiny run, as `train --json` tells of it."""
    code, run, _ = gptlab("train", "--dataset", text_file, "--name", "tiny", *TINY, "--set", "data.tokenizer=char")
    assert code == 0
    return run


# --- data ---

def test_prepare_and_list(gptlab, text_file, workspace_dir, small_text):
    code, manifest, _ = gptlab("prepare", text_file, "--name", "notes", "--set", "data.tokenizer=byte")
    assert code == 0
    assert manifest["name"] == "notes" and manifest["tokenizer"] == "byte"
    assert manifest["characters"] == len(small_text)
    assert Path(manifest["path"]) == workspace_dir / "datasets" / "notes"
    assert (workspace_dir / "datasets" / "notes" / "train.bin").stat().st_size == 2 * manifest["train_tokens"]
    _, listed, _ = gptlab("datasets")
    kinds = {row["name"]: row["kind"] for row in listed["datasets"] if row["kind"] != "download"}
    assert kinds == {"stories": "builtin", "arithmetic": "builtin", "python-docs": "builtin", "python-source": "builtin",
                     "notes": "prepared"}


def test_a_taken_name_is_refused_and_another_offered(gptlab, text_file):
    assert gptlab("prepare", text_file, "--name", "notes")[0] == 0
    code, nothing, said = gptlab("prepare", text_file, "--name", "notes")
    assert code == 1 and nothing is None and "'notes-2'" in said


@pytest.mark.parametrize("arguments, words", [
    (["prepare", "storys"], ["Did you mean 'stories'?", "python-docs"]),
    (["prepare", "FILE", "--name", "../up"], ["'../up' cannot be the name", "letters"]),
    (["prepare", "FILE", "--set", "data.tokenizr=bpe", "--set", "data.seed=-1"],
     ["Did you mean 'data.tokenizer'?", "data.seed is -1, but must be at least 0"]),
    (["prepare", "FILE", "--set", "train.max_steps=5"], ["train.max_steps changes nothing here"]),
    (["train", "--preset", "first-minuet"], ["no preset 'first-minuet'. Did you mean 'first-minute'?"]),
    (["train", "--preset", "xyz"], ["no preset 'xyz'. There are: first-minute, "]),
    (["train", "--preset", "shakespeare-char-cpu"], ["no text of its own", "--dataset", "Tiny Shakespeare"]),
    (["train", "--dataset", "FILE", "--set", "model.context_length=8192"], ["context", "8,192", "model.context_length"]),
    (["train", "--dataset", "FILE", "--name", "a/b"], ["'a/b' cannot be the name", "letters"]),
    (["train", "--dataset", "FILE", "--set", "data.tokenizer=char", "--set", "sample.prompts=Zażółć"], ["ż"]),
    (["train", "--dataset", "FILE", "--set", "model.n_head=7"], ["model.n_embd 128 does not divide into 7 heads"]),
    (["train", "--dataset", "EMPTY"], ["empty"]),
    (["train", "--dataset", "BINARY"], ["not text"]),
    (["resume", "nothing"], ["no run 'nothing'"]),
    (["generate", "nothing"], ["no run 'nothing'"]),
    (["evaluate", "nothing"], ["no run 'nothing'"]),
])
def test_what_the_user_can_mend_is_one_clear_line(gptlab, text_file, tmp_path, workspace_dir, arguments, words):
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 10)
    files = {"FILE": text_file, "EMPTY": tmp_path / "empty.txt", "BINARY": tmp_path / "binary.txt"}
    code, nothing, said = gptlab(*[files.get(argument, argument) for argument in arguments])
    assert code == 1 and nothing is None
    for word in words:
        assert word in said
    assert not list((workspace_dir / "runs").glob("*")), "a run that could not begin must not be left behind"


@pytest.mark.parametrize("arguments", [[], ["trian"], ["prepare"], ["train", "--set", "model.n_layer"],
                                       ["set", "x"], ["extend", "x"],
                                       ["generate", "x", "--greedy", "--temperature", "1"],
                                       ["generate", "x", "--checkpoint", "newest"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2


def test_the_readmes_commands_are_understood():
    lines = [line.partition("-m gptlab ")[2] for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
             if "python -m gptlab " in line and "`" not in line]
    assert {"train", "resume", "generate"} <= {line.split()[0] for line in lines}
    for line in lines:
        given = parser().parse_args(shlex.split(line, comments=True))
        RunConfig().replace(dict(getattr(given, "settings", [])))


def test_a_workspace_that_cannot_be_one(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["runs", "--workspace", str(tmp_path / "file")]) == 1
    assert "--workspace" in capsys.readouterr().err


def test_the_workspace_may_come_from_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPTLAB_WORKSPACE", str(tmp_path / "elsewhere"))
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []} and (tmp_path / "elsewhere" / "runs").is_dir()


# --- training ---

def test_losses_and_a_sample_are_shown_as_they_come(gptlab, text_file, workspace_dir, capsys):
    code = main(["train", "--dataset", str(text_file), *TINY, "--set", "sample.prompts=The cat", "--workspace",
                 str(workspace_dir)])
    out, err = capsys.readouterr()
    path = next(workspace_dir.glob("runs/*/events.jsonl"))
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    losses = [event for event in events if event["type"] == "evaluation"]
    assert code == 0 and [event["step"] for event in losses] == [0, 10, 20]
    for event in losses:
        assert f"step {event['step']}: val loss {event['val_loss']:.4f}" in err
    last = [event for event in events if event["type"] == "sample"][-1]
    assert f"The cat{last['text']}" in out
    assert f"gptlab generate {path.parent.name}" in err


def test_train_tells_what_is_on_disk(trained, gptlab, workspace_dir):
    assert set(trained) >= TRAIN_KEYS
    assert trained["state"] == "finished" and trained["step"] == 20 and trained["tokens"] == 20 * 4 * 16
    path = Path(trained["path"])
    assert path.parent == workspace_dir / "runs" and path.name == trained["run"] and trained["run"].endswith("-tiny")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["model"]["n_embd"] == 16 and config["data"]["source"].endswith("My notes.txt")
    events = [json.loads(line) for line in (path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["step"] for event in events if event["type"] == "step"] == list(range(1, 21))
    losses = {event["step"]: event["val_loss"] for event in events if event["type"] == "evaluation"}
    assert trained["val_loss"] == losses[20] and trained["best_val_loss"] == min(losses.values())
    assert trained["best_step"] == min(losses, key=losses.get)
    assert gptlab("runs")[1]["runs"] == [{"run": trained["run"], "name": "tiny", "owner": "", "tags": [], "archived": False,
                                          "state": "finished", "step": 20, "best_val_loss": trained["best_val_loss"],
                                          "path": trained["path"]}]


def test_the_same_text_and_settings_are_prepared_once(trained, gptlab, text_file, workspace_dir):
    datasets = workspace_dir / "datasets"
    gptlab("train", "--dataset", text_file, *TINY, "--set", "train.max_steps=1", "--set", "data.tokenizer=char")
    assert [path.name for path in datasets.iterdir()] == ["My-notes"]
    gptlab("train", "--dataset", text_file, *TINY, "--set", "train.max_steps=1", "--set", "data.tokenizer=byte")
    assert sorted(path.name for path in datasets.iterdir()) == ["My-notes", "My-notes-2"]
    with open(text_file, "a", encoding="utf-8") as file:  # the file has changed: what was prepared from it is old
        file.write("One more line.\n")
    os.utime(text_file, (time.time() + 5, time.time() + 5))
    _, run, _ = gptlab("train", "--dataset", text_file, *TINY, "--set", "train.max_steps=1")
    manifest = json.loads((Path(run["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "My-notes-3"


def test_stories_of_an_old_grammar_are_not_todays(gptlab, workspace_dir, tmp_path, monkeypatch):
    """They were taken for what the settings ask, and a run's loss held against the entropy of other stories."""
    few = ["--dataset", "stories", *TINY, "--set", "train.max_steps=1", "--set", "data.documents=20", "--set",
           "data.tokenizer=byte"]
    gptlab("train", *few)
    gptlab("train", *few)
    assert [path.name for path in (workspace_dir / "datasets").iterdir()] == ["stories"]
    changed = tmp_path / "grammar.txt"
    changed.write_text("story: Another story.", encoding="utf-8")
    monkeypatch.setattr("gptlab.data.dataset.STORY_GRAMMAR", changed)
    manifest = open_dataset(workspace_dir / "datasets" / "stories").manifest
    config = DataConfig(**manifest["config"])
    assert not made_from(manifest, config) and Preparations(Workspace(workspace_dir)).find(config) is None
    monkeypatch.undo()
    assert made_from(manifest, config)


def test_a_tokenizer_file_is_found_from_every_directory(gptlab, trained, text_file, workspace_dir, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    tokenizer = workspace_dir / "datasets" / "My-notes" / "tokenizer.json"
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    monkeypatch.chdir(tmp_path)
    code, manifest, _ = gptlab("prepare", text_file, "--name", "again", "--set", "data.tokenizer=file", "--set",
                               "data.tokenizer_file=tokenizer.json")
    assert code == 0 and manifest["config"]["tokenizer_file"] == str((tmp_path / "tokenizer.json").resolve())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert gptlab("train", "--dataset", "again", *TINY, "--set", "train.max_steps=1", "--set", "data.tokenizer=file",
                  "--set", "data.tokenizer_file=../tokenizer.json")[0] == 0


def test_a_damaged_data_set_is_in_nobodys_way(gptlab, text_file, workspace_dir):
    gptlab("prepare", text_file, "--name", "broken")
    (workspace_dir / "datasets" / "broken" / "manifest.json").write_text("{", encoding="utf-8")
    assert gptlab("train", "--dataset", text_file, *TINY)[0] == 0
    code, _, said = gptlab("train", "--dataset", "broken", *TINY)
    assert code == 1 and "broken" in said


def test_a_preset_brings_its_data_settings_but_never_changes_a_data_set(gptlab, text_file):
    code, run, _ = gptlab("train", "--preset", "shakespeare-char-cpu", "--dataset", text_file, *TINY)
    assert code == 0 and run["run"].endswith("-shakespeare-char-cpu")
    manifest = json.loads((Path(run["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["split"] == "tail" and manifest["tokenizer"] == "char"
    gptlab("prepare", text_file, "--name", "bytes", "--set", "data.tokenizer=byte")
    _, run, _ = gptlab("train", "--preset", "shakespeare-char-cpu", "--dataset", "bytes", *TINY)
    config = json.loads((Path(run["path"]) / "config.json").read_text(encoding="utf-8"))
    assert config["data"]["tokenizer"] == "byte" and config["data"]["split"] is None
    code, _, said = gptlab("train", "--dataset", "bytes", "--set", "data.tokenizer=char", *TINY)
    assert code == 1 and "data.tokenizer=char" in said


def test_a_presets_own_data_is_prepared_as_it_says_whatever_else_has_that_name(gptlab):
    gptlab("prepare", "python-docs", "--name", "python-docs", "--set", "data.tokenizer=byte", "--set", "data.documents=20")
    _, run, _ = gptlab("train", "--preset", "overfit", *TINY)
    manifest = json.loads((Path(run["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "python-docs-2" and manifest["tokenizer"] == "char"
    _, run, _ = gptlab("train", "--dataset", "python-docs", *TINY)
    manifest = json.loads((Path(run["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "python-docs" and manifest["tokenizer"] == "byte"


def test_a_finished_or_damaged_run_is_not_resumed(trained, gptlab):
    code, _, said = gptlab("resume", "tiny")
    assert code == 1 and trained["run"] in said and "finished" in said
    Path(trained["path"], "status.json").unlink()
    Path(trained["path"], "config.json").write_text("{", encoding="utf-8")
    code, _, said = gptlab("resume", trained["run"])
    assert code == 1 and "config.json is damaged" in said


def test_a_run_that_fails_says_why_and_exits_with_1(gptlab, text_file, monkeypatch):
    from gptlab.runs import worker
    from gptlab.train.device import TrainingError

    def no_memory(*_, **__):
        raise TrainingError("The machine ran out of memory: lower train.batch_size first.")
    monkeypatch.setattr(worker, "Trainer", no_memory)
    code, run, said = gptlab("train", "--dataset", text_file, *TINY)
    assert code == 1 and run["state"] == "failed" and run["best_val_loss"] is None
    assert "lower train.batch_size first" in said and f"gptlab resume {run['run']}" in said


def test_a_disk_too_full_to_note_the_end_still_exits_with_1(gptlab, text_file, monkeypatch):
    """Nothing more fits into the events, so the run's own status cannot say that it failed."""
    from gptlab.runs.disk import RunError
    from gptlab.runs.eventlog import EventLog
    append = EventLog.append

    def full(log, events):
        if any(event.step >= 12 for event in events):
            raise RunError("The disk became full. Free some space, then resume.")
        append(log, events)
    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", full)
        code, run, said = gptlab("train", "--dataset", text_file, *TINY)
    assert code == 1 and run["state"] == "failed" and "Failed at step" in said
    code, run, _ = gptlab("resume", run["run"])
    assert code == 0 and run["state"] == "finished"


def test_a_run_of_another_workspace_is_resumed_with_the_data_beside_it(trained, tmp_path, capsys):
    run = Path(trained["path"])
    with open(run / "events.jsonl", "ab") as file:
        file.write(b'{"type":"status","step":20,"time_seconds":1.0,"state":"stopped"}\n')
    assert main(["resume", str(run), "--workspace", str(tmp_path / "here"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["state"] == "finished" and f"gptlab generate {shlex.quote(str(run))}" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_resume_goes_on(number, gptlab, text_file, workspace_dir):
    command = [sys.executable, "-m", "gptlab", "train", "--dataset", str(text_file), "--name", "long", *TINY,
               "--set", "train.max_steps=1000000", "--workspace", str(workspace_dir), "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               encoding="utf-8")
    try:
        while not any('"type":"step"' in path.read_text(encoding="utf-8")
                      for path in workspace_dir.glob("runs/*/events.jsonl")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    run = json.loads(out.splitlines()[-1])
    assert run["state"] == "stopped" and 0 < run["step"] < 1_000_000
    assert f"gptlab resume {run['run']}" in err and "Traceback" not in err
    config_path = Path(run["path"]) / "config.json"  # so that going on has an end
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["train"]["max_steps"] = run["step"] + 5
    config_path.write_text(json.dumps(config), encoding="utf-8")
    code, resumed, _ = gptlab("resume", "long")
    assert code == 0 and resumed["state"] == "finished" and resumed["step"] == run["step"] + 5


# --- steering ---

def losses(run: dict) -> dict[int, float]:
    lines = (Path(run["path"]) / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return {event["step"]: event["val_loss"] for event in map(json.loads, lines) if event["type"] == "evaluation"}


def test_a_longer_run(trained, gptlab):
    code, run, said = gptlab("extend", "tiny", "--set", "train.max_steps=30")
    assert code == 0 and (run["run"], run["state"], run["step"]) == (trained["run"], "finished", 30) and set(run) >= TRAIN_KEYS
    assert "train.max_steps from 20 to 30. The learning rate rises again from" in said
    assert sorted(losses(run)) == [0, 10, 20, 30] and gptlab("resume", "tiny")[2].count("gptlab extend") == 1


def test_a_fork(trained, gptlab):
    code, run, said = gptlab("fork", "tiny", "--checkpoint", "last", "--set", "train.max_steps=10", "--name", "child")
    assert code == 0 and run["state"] == "finished" and run["step"] == 10 and run["run"].endswith("-child")
    assert "Forked from step 20 of tiny; the optimizer goes on with what it remembers." in said
    assert losses(run)[0] == losses(trained)[20]
    assert json.loads((Path(run["path"]) / "parent.json").read_text()) == {"run": trained["run"], "step": 20}
    assert gptlab("fork", trained["run"], "--set", "train.max_steps=1")[1]["run"].endswith("-tiny-fork")


def test_back_to_the_best_with_another_rate(gptlab, text_file):
    """Of a run that went on at a rate far too high."""
    gptlab("train", "--dataset", text_file, "--name", "wild", *TINY, "--set", "train.max_learning_rate=0.02", "--set",
           "train.eval_every=1", "--set", "data.tokenizer=char")
    assert gptlab("set", "wild", "--set", "train.max_learning_rate=1", "--set", "train.min_learning_rate=1")[0] == 0
    _, run, _ = gptlab("extend", "wild", "--set", "train.max_steps=26")
    assert run["best_step"] <= 20 and run["step"] == 26
    code, back, _ = gptlab("rollback", "wild")
    assert code == 0 and (back["state"], back["step"]) == ("stopped", run["best_step"])
    code, given, _ = gptlab("set", "wild", "--set", "train.max_learning_rate=0.001", "--set", "train.min_learning_rate=0.001")
    assert code == 0 and given["changes"]["train.max_learning_rate"] == "0.001"
    code, run, said = gptlab("resume", "wild")
    assert code == 0 and run["step"] == 26
    steps = [event for event in RunDir(run["path"]).events() if event.type == "step"]
    assert {event.learning_rate for event in steps[back["step"]:]} == {0.001} and len(steps) == 26


def test_a_word_to_a_run_that_is_trained_elsewhere(gptlab, text_file, workspace_dir):
    """Each is obeyed, and resume goes on with one that is paused, in the place where it is trained."""
    process = subprocess.Popen([sys.executable, "-m", "gptlab", "train", "--dataset", str(text_file), "--name", "long", *TINY,
                                "--set", "train.max_steps=1000000", "--set", "train.schedule=constant", "--set",
                                "train.max_learning_rate=0.001", "--workspace", str(workspace_dir)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    events = lambda: "".join(path.read_text(encoding="utf-8") for path in workspace_dir.glob("runs/*/events.jsonl"))

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in events():
            assert process.poll() is None and time.monotonic() < deadline, text
            time.sleep(0.05)
    try:
        wait_for('"type":"step"')
        code, told, _ = gptlab("pause", "long")
        assert code == 0 and told["command"] == "pause"
        wait_for('"state":"paused"')
        for command in ("save", "sample"):
            assert gptlab(command, "long")[0] == 0
        assert gptlab("set", "long", "--set", "train.max_learning_rate=0.0005")[0] == 0
        wait_for('"type":"setting"')
        code, run, _ = gptlab("resume", "long")
        assert code == 0 and set(run) >= TRAIN_KEYS
        wait_for('"learning_rate":0.0005')
        assert gptlab("extend", "long", "--set", "train.max_steps=2000000")[2].count("stop it first") == 1
        assert gptlab("rollback", "long")[0] == 1
        assert gptlab("stop", "long")[1]["command"] == "stop"
        assert process.wait(60) == 0
    finally:
        process.kill()
        said = process.stderr.read()
        process.stderr.close()
    assert "train.max_learning_rate 0.001 -> 0.0005" in said and "Stopped at step" in said


@pytest.mark.parametrize("arguments, words", [
    (["set", "tiny", "--set", "train.batch_size=2"], ["train.batch_size cannot change while a run goes on", "fork the run"]),
    (["set", "tiny", "--set", "model.n_layer=2"], ["model.n_layer cannot change", "start a new run"]),
    (["extend", "tiny", "--set", "train.max_steps=20"], ["Nothing would change"]),
    (["extend", "tiny", "--set", "train.max_steps=10"], ["would end at once: 10 steps done"]),
    (["fork", "tiny", "--set", "model.n_layer=2"], ["model.n_layer is 1 in the weights"]),
    (["fork", "tiny", "--checkpoint", "7"], ["no checkpoint at step 7"]),
    (["pause", "tiny"], ["not being trained, so there is nothing to pause"]),
    (["stop", "tiny"], ["not being trained, so there is nothing to stop"]),
    (["save", "nothing"], ["no run 'nothing'"])])
def test_what_cannot_be_steered_is_one_clear_line(trained, gptlab, arguments, words):
    code, nothing, said = gptlab(*arguments)
    assert code == 1 and nothing is None and all(word in said for word in words)


# --- text ---

def test_generate(trained, gptlab):
    arguments = ["generate", "tiny", "--prompt", "The cat", "--seed", "3", "--set", "sample.max_new_tokens=12"]
    code, first, _ = gptlab(*arguments)
    assert code == 0 and 0 < len(first["token_ids"]) <= 12 and first["text"]
    assert gptlab(*arguments)[1] == first
    assert gptlab(*arguments[:-4], "--seed", "4", *arguments[-2:])[1] != first
    greedy = gptlab(*arguments, "--greedy")[1]
    assert greedy != first
    for as_good_as_greedy in (["--temperature", "0"], ["--top-k", "1"], ["--top-p", "0.01"]):
        assert gptlab(*arguments, *as_good_as_greedy)[1] == greedy


def test_the_text_is_printed_after_its_prompt(trained, workspace_dir, gptlab, capsys):
    arguments = ["generate", trained["run"], "--prompt", "The cat", "--greedy", "--set", "sample.max_new_tokens=12"]
    text = gptlab(*arguments)[1]["text"]
    assert main([*arguments, "--workspace", str(workspace_dir)]) == 0
    assert capsys.readouterr().out == f"The cat{text}\n"


def test_several_prompts_are_continued_as_each_alone(trained, workspace_dir, gptlab, capsys):
    prompts, rest = ["The cat", "", "A dog sat"], ["--greedy", "--set", "sample.max_new_tokens=12"]
    alone = [gptlab("generate", "tiny", "--prompt", prompt, *rest)[1] for prompt in prompts]
    arguments = ["generate", "tiny", *(word for prompt in prompts for word in ("--prompt", prompt)), *rest]
    texts = [{"prompt": prompt, **one} for prompt, one in zip(prompts, alone, strict=True)]
    assert gptlab(*arguments)[1] == {**alone[0], "texts": texts}
    assert main([*arguments, "--workspace", str(workspace_dir)]) == 0
    assert capsys.readouterr().out == "\n\n".join(one["prompt"] + one["text"] for one in texts) + "\n"


@pytest.mark.parametrize("arguments, words", [(["--prompt", "Füße"], ["ü", "ß"]),
                                              (["--temperature", "3"], ["sample.temperature", "at most 2"]),
                                              (["--checkpoint", "7"], ["7"]),
                                              (["--set", "model.n_layer=3"], ["model.n_layer changes nothing here"])])
def test_generate_says_what_it_cannot_do(trained, gptlab, arguments, words):
    code, _, said = gptlab("generate", "tiny", *arguments)
    assert code == 1 and all(word in said for word in words)


def test_evaluate_gives_the_loss_that_training_saw(trained, gptlab):
    code, last, _ = gptlab("evaluate", "tiny", "--checkpoint", "last")
    assert code == 0 and last["loss"] == pytest.approx(trained["val_loss"], abs=1e-5)
    best = gptlab("evaluate", "tiny")[1]
    assert best["loss"] == pytest.approx(trained["best_val_loss"], abs=1e-5)
    assert best["perplexity"] == pytest.approx(np.exp(best["loss"]))
    manifest = json.loads((Path(trained["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert best["tokens"] == manifest["val_tokens"] - 1


@pytest.mark.parametrize("command, works", [("generate", "gptlab.cli.text.generate_side_by_side"),
                                            ("evaluate", "gptlab.runs.evaluating.mean_loss")])
def test_running_out_of_memory_is_one_clear_line(trained, gptlab, monkeypatch, command, works):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    monkeypatch.setattr(works, fail)
    code, nothing, said = gptlab(command, "tiny")
    assert code == 1 and nothing is None and "ran out of memory: close what else uses it" in said
    assert "train.batch_size" not in said  # no setting of a trained run can be lowered


def test_a_model_of_sums_is_asked_some(gptlab, monkeypatch):
    """A stand-in that adds every second of them right: the share is a half."""
    from gptlab.cli import text
    gptlab("train", "--dataset", "arithmetic", "--name", "sums", *TINY, "--set", "train.max_steps=1", "--set",
           "data.documents=400", "--set", "data.tokenizer=char", "--set", "data.val_fraction=0.1")
    assert gptlab("evaluate", "sums")[1]["exact_match"] < 0.1  # it has learnt nothing
    prompts = []

    def answer(model, tokenizer, prompt, settings):
        prompts.append(prompt)
        a, b = prompt.splitlines()[-1].removesuffix("=").split("+")
        return [Token(0, str(int(a) + int(b) + len(prompts) % 2), 0.0)]
    monkeypatch.setattr(text, "tokens_of", answer)
    assert gptlab("evaluate", "sums")[1]["exact_match"] == pytest.approx(0.5, abs=0.02)
    assert len(prompts) > 30 and {prompt.count("\n") for prompt in prompts} == set(range(8))


def test_evaluate_a_text(trained, gptlab, text_file, small_text):
    """Plain ASCII letters are a byte each: then bits per byte are the loss in bits, but for the end-of-text."""
    code, result, _ = gptlab("evaluate", "tiny", "--text", text_file)
    assert code == 0 and result["tokens"] == len(small_text)  # the first has no past, end-of-text is one more
    assert result["bits_per_byte"] == pytest.approx(result["loss"] / np.log(2), rel=1e-3)
    for content, words in (("Füße " * 100, "ü"), ("", "is empty")):
        text_file.write_text(content, encoding="utf-8")
        code, _, said = gptlab("evaluate", "tiny", "--text", text_file)
        assert code == 1 and words in said
    text_file.write_text("Two birds.", encoding="utf-8")  # too short to train on
    assert gptlab("evaluate", "tiny", "--text", text_file)[1]["tokens"] == 11


def test_the_workspace_may_stand_before_the_command_or_after_it():
    def read(*arguments: str) -> tuple[Path | None, bool]:
        options = parser().parse_args(arguments)
        return options.workspace, options.json
    assert read("runs") == (None, False)
    assert read("--workspace", "here", "--json", "runs") == read("runs", "--workspace", "here", "--json") == (Path("here"), True)
    assert read("--workspace", "there", "runs", "--workspace", "here") == (Path("here"), False)


def test_evaluate_standard_input(trained, gptlab, workspace_dir, monkeypatch):
    def measured(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return gptlab("evaluate", "tiny", "--text", "-")
    assert measured(b"Two birds.")[1]["tokens"] == 11
    code, nothing, said = measured(b"")
    assert code == 1 and nothing is None and "stdin is empty: choose a file with text in it." in said
    assert not list(workspace_dir.rglob("*stdin*"))
