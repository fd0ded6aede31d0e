"""The worker: what it puts on disk and when, how it obeys, and how it fails."""

import itertools
import json
import re
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from tiny_run import finished_run, tiny_run, tiny_workspace, trajectory, wait_for

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Checkpoint, Evaluation, Sample, Status, Step
from gptlab.generate.generator import Token
from gptlab.runs import checkpoint, disk, samples, status, worker
from gptlab.runs.disk import RunError
from gptlab.train.trainer import Trainer


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("worker"), small_text)


def of_type(run, kind) -> list:
    return [event for event in run.events() if isinstance(event, kind)]


def states(run) -> list[str]:
    return [event.state for event in of_type(run, Status)]


# a run that goes well

def test_what_a_run_says(workspace):
    run = finished_run(workspace)
    events = run.events()
    assert [event.type for event in events[:5]] == ["status", "status", "evaluation", "checkpoint", "sample"]
    assert states(run) == ["queued", "running", "finished"]
    assert [event.step for event in of_type(run, Step)] == list(range(1, 41))
    assert [event.step for event in events if not isinstance(event, Status)] == sorted(
        event.step for event in events if not isinstance(event, Status))
    assert {event.step for event in of_type(run, Sample)} >= {0, 40} and of_type(run, Sample)[-1].done
    best = min(of_type(run, Evaluation), key=lambda event: event.val_loss)
    also = ", and step 40, the last" if best.step < 40 else ""
    ended = abs(best.epoch - round(best.epoch)) < 0.001 and best.epoch > 0
    where = f"epoch {best.epoch:.0f} (step {best.step})" if ended else f"step {best.step}"
    assert events[-1].reason == f"40 steps done. Kept {where}, the best (val {best.val_loss:.3f}){also}."
    for event in of_type(run, Checkpoint):
        assert ("best" in event.kept_as) == any(e.step == event.step and e.val_loss <= min(
            other.val_loss for other in of_type(run, Evaluation) if other.step <= e.step) for e in of_type(run, Evaluation))


def test_status_json_is_what_the_events_say(workspace):
    run = finished_run(workspace)
    written = json.loads((run.path / "status.json").read_text(encoding="utf-8"))
    rebuilt = status.from_events(run.events(), run.config())
    approximate = ("training_seconds", "time_seconds", "updated", "events_bytes", "tokens_per_second")
    assert {k: v for k, v in written.items() if k not in approximate} == {k: v for k, v in rebuilt.items() if k not in approximate}
    assert rebuilt["training_seconds"] == pytest.approx(written["training_seconds"], rel=0.2)
    assert written["events_bytes"] == run.events_path.stat().st_size and run.status() == written


def test_sampling_changes_nothing(workspace):
    """With dropout and several epochs: the curves of a run that samples every two steps are those of one that hardly does."""
    often, seldom = finished_run(workspace, train__sample_every=2), finished_run(workspace)
    assert trajectory(often) == trajectory(seldom)
    assert sorted({event.step for event in of_type(often, Sample)}) == list(range(0, 41, 2))


@pytest.mark.parametrize("settings", [{"train__sample_every": 8}, {"train__epochs": 2, "train__max_steps": None}])
def test_a_run_that_ends_with_samples_that_were_due_anyway_writes_them_once(workspace, monkeypatch, settings):
    """At a regular step and at an epoch's end; also where it is stopped there, and resumed."""
    monkeypatch.setattr(samples, "LEAST_SECONDS", 0.0)
    run, stopped = finished_run(workspace, **settings), tiny_run(workspace, **settings)
    last = run.status()["step"]
    worker.run(stopped.path, should_stop=lambda: any(e.step == last and e.done for e in of_type(stopped, Sample)))
    assert stopped.state() == "stopped" and worker.run(stopped.path) == "finished"
    for one in (run, stopped):
        done = [event.sample_id for event in of_type(one, Sample) if event.done]
        assert f"{last}-0" in done and len(done) == len(set(done)) > 2


def test_a_sample_grows_until_it_is_done(workspace, monkeypatch):
    monkeypatch.setattr(samples, "GROW_SECONDS", -1.0)
    run = finished_run(workspace, train__max_steps=1, sample__prompts=("The cat", "Bird"))
    by_id = {sample_id: list(events) for sample_id, events in itertools.groupby(of_type(run, Sample), lambda e: e.sample_id)}
    assert list(by_id) == ["0-0", "0-1", "1-0", "1-1"]
    for events in by_id.values():
        assert [event.done for event in events] == [False] * (len(events) - 1) + [True]
        for before, after in itertools.pairwise(events):
            assert after.text.startswith(before.text) and after.token_ids[:len(before.token_ids)] == before.token_ids
        assert len(events[-1].token_ids) == len(events[-1].logprobs) > 3 and max(events[-1].logprobs) <= 0
    assert by_id["0-1"][-1].prompt == "Bird"


def test_when_to_sample(monkeypatch):
    """At each epoch's end but not within 5 s, and at least every 15 s; or exactly every N steps."""
    now = [100.0]
    monkeypatch.setattr(samples.time, "monotonic", lambda: now[0])
    schedule, due = samples.Schedule(None, 0.0), []
    for second in range(60):  # a step a second; three epochs of 2 s, then one of 40 s
        now[0], epoch = 100.0 + second, second / 2 if second < 6 else 3 + (second - 6) / 40
        if schedule.is_due(second, epoch):
            due.append(second)
            schedule.sampled(second, epoch)
            assert not schedule.is_due(second, epoch)
    assert due == [0, 5, 10, 25, 40, 46]
    exact = samples.Schedule(7, 0.0)
    assert [step for step in range(30) if exact.is_due(step, 0.0)] == [0, 7, 14, 21, 28]


# when to save

def test_saving_every_so_many_steps(workspace):
    run = finished_run(workspace, train__checkpoint_every=15, train__max_learning_rate=1e-6, train__min_learning_rate=0)
    best = {event.step for event in of_type(run, Checkpoint) if "best" in event.kept_as}
    assert {event.step for event in of_type(run, Checkpoint)} == best | {15, 30, 40}


@pytest.mark.parametrize("share, expected", [(10**9, {0, 40}), (0, {0, 8, 16, 21, 24, 32, 40})])
def test_saving_takes_its_share_of_the_time_only(workspace, monkeypatch, share, expected):
    """A run that only gets worse: nothing but time speaks for saving."""
    worse = itertools.count(2)
    monkeypatch.setattr("gptlab.train.trainer.mean_loss", lambda *_: float(next(worse)))
    monkeypatch.setattr(worker, "SAVING_SHARE", share)
    run = finished_run(workspace)
    assert {event.step for event in of_type(run, Checkpoint)} == expected
    assert run.status()["best_step"] == 0


# obeying

def test_pause_resume_and_stop(workspace):
    """Answers stand in the events; a pause is saved, holds the lock, and costs no work time."""
    run = tiny_run(workspace, train__max_steps=100_000, train__eval_every=50_000, train__warmup_steps=1)
    thread = threading.Thread(target=worker.run, args=(run.path,), daemon=True)
    thread.start()
    wait_for(lambda: run.status()["step"] > 2 or of_type(run, Step))
    run.command("pause")
    wait_for(lambda: run.state() == "paused")
    at = run.status()["step"]
    assert run.is_alive() and checkpoint.list_checkpoints(run)[-1].step == at
    run.command("sample")
    wait_for(lambda: any(event.step == at and event.done for event in of_type(run, Sample)))
    saved = len(of_type(run, Checkpoint))
    run.command("checkpoint")
    wait_for(lambda: len(of_type(run, Checkpoint)) > saved)
    assert run.status()["step"] == at
    run.command("resume")
    wait_for(lambda: any(event.step > at for event in of_type(run, Step)))
    run.command("stop")
    thread.join(60)
    assert run.state() == "stopped" and re.fullmatch(
        rf"Kept step 0, the best \(val .*\), and step {run.status()['step']:,}, the last.", run.status()["reason"])
    assert states(run) == ["queued", "running", "paused", "running", "stopped"]
    paused, resumed = of_type(run, Status)[2:4]
    assert paused.time_seconds == resumed.time_seconds
    assert checkpoint.list_checkpoints(run)[-1].step == run.status()["step"] == of_type(run, Step)[-1].step


def test_pause_and_stop_reach_into_a_sample(workspace, monkeypatch):
    """A text that would never end: a pause halts it, going on goes on with it, a stop cuts it, to be written again."""
    def endless(model, tokenizer, prompt, settings, *, should_stop):
        assert not model.training
        while not should_stop():
            time.sleep(0.002)
            yield Token(1, "a", -1.0)
    monkeypatch.setattr(samples, "generate", endless)
    run = tiny_run(workspace)
    thread = threading.Thread(target=worker.run, args=(run.path,), daemon=True)
    thread.start()
    for command, state in (("pause", "paused"), ("resume", "running")):
        wait_for(lambda: of_type(run, Sample))
        run.command(command)
        wait_for(lambda: run.state() == state)
    run.command("stop")
    thread.join(60)
    assert states(run) == ["queued", "running", "paused", "running", "stopped"] and run.status()["step"] == 0
    assert not of_type(run, Sample)[-1].done and not of_type(run, Step)


def test_only_one_worker(workspace):
    run = tiny_run(workspace)
    with run.lock(), pytest.raises(RunError, match="being trained already"):
        worker.run(run.path)
    assert states(run) == ["queued"]


# failing

def fail_at(monkeypatch, step: int, error: BaseException) -> None:
    update = Trainer.update

    def failing(trainer):
        if trainer.step == step - 1:
            raise error
        update(trainer)
    monkeypatch.setattr(Trainer, "update", failing)


def test_memory_is_spared_as_long_as_a_run_asks_for_it_even_if_it_never_begins(workspace, monkeypatch):
    """In the app the next run is trained in the same process, and would have been slower by a sixth."""
    told = []
    monkeypatch.setattr(worker.memory, "spare", told.append)
    assert worker.run(tiny_run(workspace, train__gradient_checkpointing=True, train__max_steps=1).path) == "finished"
    assert worker.run(tiny_run(workspace, train__max_steps=1).path) == "finished"
    assert told == [True, False]

    def no_room(*_, **__):
        raise MemoryError

    monkeypatch.setattr(worker, "Trainer", no_room)
    assert worker.run(tiny_run(workspace, train__gradient_checkpointing=True).path) == "failed"
    assert told == [True, False] * 2


@pytest.mark.parametrize("error, words", [
    (RuntimeError("boom\nat line 3"), r"unexpected error \(RuntimeError: boom\).*resume goes on"),
    (RuntimeError("CUDA error: device-side assert triggered"), "GPU reported an error.*Restart GPT Lab, then resume"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "ran out of memory: lower train.batch_size"),
    (MemoryError(), "ran out of memory: lower train.batch_size")])
def test_failures_are_one_sentence_and_resumable(workspace, monkeypatch, error, words):
    run = tiny_run(workspace)
    with monkeypatch.context() as patch:
        fail_at(patch, 20, error)
        assert worker.run(run.path) == "failed"
    assert run.state() == "failed" and not run.is_alive()
    assert re.search(words, run.status()["reason"])
    assert "\n" not in run.status()["reason"] and "failing" in run.traceback_path.read_text(encoding="utf-8")
    assert worker.run(run.path) == "finished" and not run.traceback_path.exists()
    assert trajectory(run) == trajectory(finished_run(workspace))


def test_ctrl_c_in_the_middle_of_an_update(workspace, monkeypatch):
    """Where nobody turns it into a stop: half an update is not saved, and the run goes on from the last checkpoint."""
    run = tiny_run(workspace)
    with monkeypatch.context() as patch:
        fail_at(patch, 20, KeyboardInterrupt())
        assert worker.run(run.path) == "stopped"
    assert worker.run(run.path) == "finished"
    assert trajectory(run) == trajectory(finished_run(workspace))


def test_a_full_disk_fails_the_run_and_loses_nothing(workspace, monkeypatch):
    run = tiny_run(workspace)
    check, saves = disk.check_space, itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "check_space",
                      lambda path, needed, purpose: check(path, 10**15 if next(saves) == 3 else needed, purpose))
        assert worker.run(run.path) == "failed"
    assert "too full to save step 16" in run.status()["reason"] and "then resume" in run.status()["reason"]
    assert [saved.step for saved in checkpoint.list_checkpoints(run)] == [0, 8]
    assert worker.run(run.path) == "finished"


def test_a_reader_in_the_way_ends_no_run(workspace, monkeypatch):
    """Windows refuses to delete or replace what a download holds open: the run goes on, and its status is still known."""
    def refuse(*_):
        raise PermissionError(13, "The process cannot access the file")
    run = tiny_run(workspace, train__keep_checkpoints=0)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "remove_tree", lambda path: refuse() if path.exists() else None)
        patch.setattr(checkpoint, "remove_file", refuse)
        patch.setattr(type(run), "write_status", refuse)
        assert worker.run(run.path) == "finished"
    assert {event.step for event in of_type(run, Checkpoint)} == {int(path.name[5:]) for path in run.checkpoint_paths()}
    assert run.state() == "finished" and run.status()["step"] == 40


def test_a_loss_that_is_no_number(workspace, monkeypatch):
    run, update = tiny_run(workspace), Trainer.update

    def poisoned(trainer):
        if trainer.step == 20:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(np.inf)
        update(trainer)
    monkeypatch.setattr(Trainer, "update", poisoned)
    assert worker.run(run.path) == "failed"
    assert "not a finite number at step 21" in run.status()["reason"] and "Kept step " in run.status()["reason"]
    assert checkpoint.list_checkpoints(run)[-1].step <= 20


def test_data_that_is_gone_or_another(workspace, tmp_path, small_text):
    run, elsewhere = tiny_run(workspace), tmp_path / "elsewhere"
    (tmp_path / "other.txt").write_text(small_text[::-1], encoding="utf-8")
    other = prepare(DataConfig(source=str(tmp_path / "other.txt")), tmp_path / "other")
    assert worker.run(run.path, dataset_dir=other.directory) == "failed"
    assert f"not the one that run {run.id} was made with" in run.status()["reason"]
    shutil.move(workspace.datasets / "tiny", elsewhere)
    try:
        assert worker.run(run.path) == "failed"
        assert "'tiny'" in run.status()["reason"] and "missing or changed: prepare it again" in run.status()["reason"]
        assert worker.run(run.path, dataset_dir=elsewhere) == "finished"
    finally:
        shutil.move(elsewhere, workspace.datasets / "tiny")


@pytest.mark.parametrize("changes, words", [({"model__context_length": 4096, "train__tokens_per_update": None}, "tokens, but a context of 4,096"),
                                            ({"sample__prompts": ("The ৰ",)}, "ৰ")])
def test_settings_that_do_not_fit_the_text(workspace, changes, words):
    run = tiny_run(workspace, **changes)
    assert worker.run(run.path) == "failed" and words in run.status()["reason"]


def test_damaged_lines_are_told(workspace):
    run = tiny_run(workspace)
    worker.run(run.path, should_stop=lambda: True)
    with open(run.events_path, "ab") as file:
        file.write(b"\x00\x00\x00\n")
    assert worker.run(run.path) == "finished"
    assert any("1 damaged line" in event.reason for event in of_type(run, Status))


# prompts

def dataset_of(tmp_path, content: str, name="text.txt", **settings):
    (tmp_path / name).write_text(content, encoding="utf-8")
    return prepare(DataConfig(source=str(tmp_path / name), **settings), tmp_path / "data")


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_default_prompts_open_unseen_documents(tmp_path, tokenizer):
    stories = [f"There was a {a} {b} who lived near the river and sang." for a in ("red", "blue", "old", "sad", "shy")
               for b in ("fox", "hen", "cow", "owl", "bee")]
    dataset = dataset_of(tmp_path, "\n".join(json.dumps({"text": story}) for story in stories), "stories.jsonl",
                         tokenizer=tokenizer, vocab_size=300, val_fraction=0.3)
    prompts = samples.default_prompts(dataset)
    assert len(prompts) == 2
    for prompt in prompts:
        assert any(story.startswith(prompt + " ") for story in stories) and 12 <= len(prompt) <= 40
        assert dataset.tokenizer.decode(dataset.tokenizer.encode(prompt)) == prompt


def test_default_prompts_of_one_long_text_open_lines(tmp_path, small_text):
    dataset = dataset_of(tmp_path, small_text)
    prompts = samples.default_prompts(dataset)
    assert len(set(prompts)) == 2
    assert all(any(line.startswith(prompt) for line in small_text.splitlines()) for prompt in prompts)


def test_default_prompts_of_texts_without_words(tmp_path):
    """A language without spaces, and sums: something is left to write."""
    prompts = samples.default_prompts(dataset_of(tmp_path, "天地玄黄宇宙洪荒日月盈昃辰宿列张" * 400))
    assert prompts and all(0 < len(prompt) <= 40 for prompt in prompts)
    assert samples._opening("12+34=46") == "12+3"
    assert samples._opening("\n\n  \n") == ""


def test_the_best_of_whole_epochs_is_named_by_its_epoch(workspace):
    run = tiny_run(workspace, train__max_steps=None, train__epochs=2, train__eval_every=10_000)
    worker.run(run)
    best = min(of_type(run, Evaluation), key=lambda event: event.val_loss)
    assert f"Kept epoch {round(best.epoch)} (step {best.step}), the best" in run.status()["reason"]
