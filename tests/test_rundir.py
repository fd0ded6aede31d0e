"""The directory of a run, the log of its events, its lock, and the workspace around it."""

import json
import math
import os
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.data.sources import DataError
from gptlab.events import Evaluation, Status, Step, to_json
from gptlab.runs import archive, control, curves, disk
from gptlab.runs import status as run_status
from gptlab.runs.disk import RunError, write_atomic
from gptlab.runs.eventlog import EventLog, effective_events, read_lines
from gptlab.runs.rundir import check_name, clean_name
from gptlab.runs.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent


def step(n: int, loss: float = 2.0) -> Step:
    return Step(step=n, time_seconds=n, epoch=n / 10, tokens=n * 100, loss=loss, learning_rate=1e-3, grad_norm=1.0,
                tokens_per_second=50.0)


def evaluation(n: int, val_loss: float) -> Evaluation:
    return Evaluation(step=n, time_seconds=n, epoch=n / 10, train_loss=1.0, val_loss=val_loss, val_perplexity=1.0,
                      val_bits_per_byte=1.0)


def status(n: int, state: str, resumed: int | None = None) -> Status:
    return Status(step=n, time_seconds=n, state=state, resumed_from_step=resumed)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("rundir"), small_text)


@pytest.fixture
def run(workspace):
    return tiny_run(workspace)


# events

def test_readers_see_whole_lines_only(tmp_path):
    """However a line is cut while it is being written, a reader that polls gets each line once and whole."""
    path, lines = tmp_path / "events.jsonl", [to_json(step(n)) for n in range(5)]
    content = "".join(line + "\n" for line in lines).encode()
    seen, offset = b"", 0
    for end in range(0, len(content) + 1, 7):
        path.write_bytes(content[:end])
        new, offset = read_lines(path, offset, limit=64)
        assert new == b"" or new.endswith(b"\n")
        seen += new
    path.write_bytes(content)
    while new := (chunk := read_lines(path, offset, limit=64))[0]:
        seen, offset = seen + new, chunk[1]
    assert seen == content
    assert read_lines(tmp_path / "none", 0) == (b"", 0)


def test_a_chunk_is_at_most_its_limit(run):
    run.append(*(step(n) for n in range(1, 1001)))
    content, offset = run.read_events(0)
    assert 65_536 - 400 < len(content) <= 65_536 and offset == len(content)
    rest, end = run.read_events(offset, limit=10**7)
    assert content + rest == run.events_path.read_bytes() and end == len(content + rest)


@pytest.mark.parametrize("torn", [b'{"type":"st', b"\x00" * 70_000, "é".encode()[:1]])
def test_opening_for_append_cuts_a_torn_line(run, torn):
    """The next event must not be glued to what a crash left."""
    run.append(step(1))
    whole = run.events_path.read_bytes()
    run.events_path.write_bytes(whole + torn)
    assert [event.step for event in run.events()] == [0, 1]
    run.append(step(2))
    assert run.events_path.read_bytes() == whole + to_json(step(2)).encode() + b"\n"


def test_a_damaged_line_hides_nothing_else(run):
    run.append(step(1))
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"step"}\n\xff\xfe\n[1]\n')
    run.append(step(2))
    events, unreadable = run.read_all()
    assert ([event.step for event in events], unreadable) == ([0, 1, 2], 3)


def test_a_full_disk_leaves_no_half_line(run, monkeypatch):
    with closing(EventLog(run.events_path)) as log:
        log.append([step(1)])
        before = run.events_path.read_bytes()

        class FullDisk:
            def write(self, content):
                raise OSError(28, "No space left on device")
            fileno, close = log._file.fileno, log._file.close
        with monkeypatch.context() as patch:
            patch.setattr(log, "_file", FullDisk())
            with pytest.raises(RunError, match="disk became full.*Free some space"):
                log.append([step(2)])
        assert run.events_path.read_bytes() == before


def test_what_a_resumed_run_supersedes():
    """Two resumes: from step 2, then from step 3 of the second life. Statuses stay; curves never overlap."""
    first = [status(0, "running"), evaluation(0, 3.0), step(1), step(2), step(3, 9.9), evaluation(3, 9.9), step(4, 9.9)]
    second = [status(2, "running", resumed=2), step(3), evaluation(3, 1.5), step(4, 8.8)]
    third = [status(3, "running", resumed=3), step(4), step(5)]
    events = effective_events(first + second + third)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4, 5]
    assert [event.loss for event in events if isinstance(event, Step)] == [2.0] * 5
    assert [event.val_loss for event in events if isinstance(event, Evaluation)] == [3.0, 1.5]
    assert [event for event in events if isinstance(event, Status)] == [first[0], second[0], third[0]]
    again = effective_events([*first, status(0, "running", resumed=-1), evaluation(0, 3.0)])
    assert again == [first[0], status(0, "running", resumed=-1), evaluation(0, 3.0)]


# status

def test_status_is_rebuilt_from_events(run):
    run.append(status(0, "running"), evaluation(0, 3.0), step(1), step(2), evaluation(2, 2.5), step(3), evaluation(3, 2.7),
               status(3, "stopped"))
    assert run.status() == json.loads((run.path / "status.json").read_text(encoding="utf-8"))
    expected = {"state": "stopped", "step": 3, "total_steps": 40, "epoch": 0.3, "tokens": 300, "best_val_loss": 2.5,
                "best_step": 2, "val_loss": 2.7, "training_seconds": 6.0, "time_seconds": 3}
    assert {name: run.status()[name] for name in expected} == expected
    (run.path / "status.json").write_text('{"state": "fini', encoding="utf-8")
    assert {name: run.status()[name] for name in expected} == expected
    (run.path / "status.json").unlink()
    (run.path / "status.json").mkdir()  # cannot be read, cannot be replaced
    assert {name: run.status()[name] for name in expected} == expected
    (run.path / "status.json").rmdir()
    run.append(status(3, "queued"))  # by a program that died before it wrote status.json
    assert run.state() == "queued"


def test_running_without_its_lock_is_interrupted(run):
    run.append(status(0, "running"), step(1))
    with run.lock():
        assert run.is_alive() and run.state() == "running"
        with pytest.raises(RunError, match="being trained already"), run.lock():
            pass
    assert run.state() == "interrupted" and "Resume" in run.status()["reason"]
    run.append(status(1, "paused"))
    assert run.state() == "interrupted"
    run.append(status(1, "finished"))
    assert run.state() == "finished"


def test_who_holds_a_run_without_training_it_sees_what_it_was_when_it_was_left(run):
    """To its own holder a run looked alive, so that status.json was believed, however long before the end it was written."""
    run.append(status(0, "running"), step(1))
    run.write_status({**run.status(), "state": "running", "step": 0})
    run.append(step(2))
    with run.lock():
        assert (run.status()["state"], run.status()["step"]) == ("running", 0)
        assert (run.status(at_rest=True)["state"], run.status(at_rest=True)["step"]) == ("interrupted", 2)


def test_of_all_who_ask_at_once_one_reads_the_events(run, monkeypatch):
    """A run that was cut after 300,000 steps was read for each page that asked at that moment: three seconds each."""
    run.append(status(0, "running"), step(1), status(1, "stopped"))
    began, go_on, made, summary = threading.Event(), threading.Event(), [], run_status.from_events

    def slow(*arguments):
        began.set()
        made.append(go_on.wait(60))
        return summary(*arguments)
    monkeypatch.setattr(run_status, "from_events", slow)
    with ThreadPoolExecutor(5) as pages:
        asked = [pages.submit(run.status) for _ in range(5)]
        assert began.wait(60)
        go_on.set()
        assert {one.result()["step"] for one in asked} == {1}
    assert made == [True]


def test_a_status_holds_no_number_that_is_none(run):
    """JSON has none: a browser, or another workspace, could not read a run whose loss was lost."""
    run.append(status(0, "failed"))
    run.write_status({**run.status(), "val_loss": math.nan, "tokens_per_second": math.inf})
    found = json.loads((run.path / "status.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert (found["val_loss"], found["tokens_per_second"], found["state"]) == (None, None, "failed")


def test_the_lock_holds_between_processes_and_dies_with_its_holder(run):
    script = ("import sys; from gptlab.runs.rundir import RunDir\n"
              "with RunDir(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()")
    other = subprocess.Popen([sys.executable, "-c", script, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert other.stdout.readline().strip() == "held"
    assert run.is_alive()
    with pytest.raises(RunError, match="another program"), run.lock():
        pass
    other.kill()
    other.communicate()
    assert not run.is_alive()
    with run.lock():
        assert run.is_alive()


@pytest.mark.parametrize("damage, words", [
    (lambda path: (path / "config.json").unlink(), "config.json is missing"),
    (lambda path: (path / "config.json").write_text('{"train": {"max'), "config.json is damaged"),
    (lambda path: (path / "config.json").write_text('{"train": {"steps": 5}}'), "no setting 'train.steps'"),
    (lambda path: (path / "events.jsonl").unlink(), "events.jsonl is missing")])
def test_damaged_runs_are_listed_as_such(workspace, run, damage, words):
    (run.path / "status.json").unlink(missing_ok=True)
    damage(run.path)
    assert run in workspace.list_runs()
    assert run.state() == "damaged" and words in run.status()["reason"]


# files

def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="disk became full"):
            write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]
    write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_space_is_checked_first(tmp_path):
    disk.check_space(tmp_path, 1000, "save step 5")
    with pytest.raises(RunError, match=r"too full to save step 5: 90\.9 TB needed, .* free in .*Free some space"):
        disk.check_space(tmp_path, 10**14, "save step 5")


# workspace

@pytest.mark.parametrize("name", ["a/b", "../up", "", "a b", "naïve", "a\\b", "CON", "x" * 61, "a.b", "a\n"])
def test_names_that_cannot_be(workspace, name):
    with pytest.raises(RunError, match="letters .*digits, - and _"):
        tiny_run(workspace, name)
    assert check_name(clean_name(name))


def test_a_new_run_carries_what_it_needs(workspace):
    first, second = tiny_run(workspace, "my-run"), tiny_run(workspace, "my-run")
    assert first.id != second.id and first.state() == second.state() == "queued"
    assert first.name == "my-run" and first.id.endswith("-my-run")
    assert first.config().model.n_embd == 16
    assert first.manifest()["hash"] == workspace.open_dataset("tiny").hash
    assert workspace.list_runs().index(first) > workspace.list_runs().index(second)
    assert not [path for path in workspace.runs.iterdir() if path.name.startswith(".")]


def test_a_free_name_is_a_name_that_can_be(workspace):
    longest = "x" * 60
    (workspace.datasets / longest).mkdir()
    assert workspace.free_dataset_name(longest) == "x" * 58 + "-2"
    (workspace.datasets / longest).rmdir()
    twice = [tiny_run(workspace, longest) for _ in range(3)]
    assert len({run.id for run in twice}) == 3 and all(check_name(run.name) for run in twice)


def test_runs_made_within_one_second_are_listed_in_the_order_they_were_made_in(workspace):
    made = [tiny_run(workspace, name) for name in ("zebra", "ape", "mole", "ape")]
    assert [run.id for run in workspace.list_runs()[:4]] == [run.id for run in reversed(made)]


def test_finding_a_run(workspace):
    run = tiny_run(workspace, "seldom")
    for text in (run.id, "seldom", run.id[-5:], str(run.path)):
        assert workspace.find_run(text) == run
    for _ in range(2):
        other = tiny_run(workspace, "often")
    with pytest.raises(RunError, match=f"several.*{other.id}"):
        workspace.find_run("ofte")
    for text in ("nothing-like-it", "", "/"):
        with pytest.raises(RunError, match=f"There is no run '{text}'.*There are: .+"):
            workspace.find_run(text)


def test_the_data_of_a_run_is_known_by_its_hash(workspace, run, tmp_path):
    assert workspace.dataset_of(run) == workspace.datasets / "tiny"
    other = Workspace(tmp_path / "elsewhere")
    assert other.dataset_of(run) == workspace.datasets / "tiny"  # beside the run
    (other.datasets / "damaged").mkdir()
    (other.datasets / "damaged" / "manifest.json").write_text("{", encoding="utf-8")
    os.rename(workspace.datasets / "tiny", other.datasets / "renamed")
    try:
        assert other.dataset_of(run) == other.datasets / "renamed"
        with pytest.raises(DataError, match="'tiny' .* is missing or changed: prepare it again"):
            workspace.dataset_of(run)
    finally:
        os.rename(other.datasets / "renamed", workspace.datasets / "tiny")
    assert workspace.free_dataset_name("tiny") == "tiny-2" and workspace.free_dataset_name("new") == "new"
    with pytest.raises(DataError, match="no data set 'other'.*Prepared: tiny"):
        workspace.open_dataset("other")


# trash and zip

def test_trash_and_back(workspace, run):
    with run.lock(), pytest.raises(RunError, match="stop it first"):
        archive.move_to_trash(workspace, run)
    content = run.events_path.read_bytes()
    archive.move_to_trash(workspace, run)
    assert run not in workspace.list_runs() and [item.id for item in archive.list_trash(workspace)] == [run.id]
    restored = archive.restore_from_trash(workspace, run.id)
    assert restored == run and run.events_path.read_bytes() == content
    archive.move_to_trash(workspace, run)
    archive.delete_from_trash(workspace, run.id)
    assert archive.list_trash(workspace) == [] and list(workspace.trash.iterdir()) == []
    for name in (run.id, "../runs", ""):
        with pytest.raises(RunError, match="in the trash"):
            archive.restore_from_trash(workspace, name)


def test_zip_and_open_elsewhere(run, tmp_path):
    run.append(status(0, "running"), step(1), status(1, "stopped"))
    with open(run.events_path, "ab") as file:
        file.write(b'{"type":"ste')  # being written
    path = archive.zip_run(run, tmp_path / "run.zip")
    other = Workspace(tmp_path / "other")
    opened, again = archive.import_zip(other, path), archive.import_zip(other, path)
    assert opened.id == run.id and again.id == f"{run.id}-2" and other.list_runs() == [again, opened]
    assert opened.events() == run.events() and opened.config() == run.config() and opened.state() == "stopped"
    assert opened.tokenizer_path.read_bytes() == run.tokenizer_path.read_bytes()


@pytest.mark.parametrize("name", ["../../evil.txt", "/evil.txt", "run/../../evil.txt", "run\\..\\evil.txt", "C:/evil.txt",
                                  "run/checkpoints/../../../evil.txt", "run/checkpoints/step_00000001/evil.txt"])
def test_a_zip_cannot_write_elsewhere(run, tmp_path, name):
    path = archive.zip_run(run, tmp_path / "run.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, "evil")
    opened = archive.import_zip(Workspace(tmp_path / "other"), path)
    assert opened.id == run.id
    assert not list(tmp_path.rglob("*evil*"))


def test_what_is_no_zip_of_a_run(run, tmp_path):
    workspace = Workspace(tmp_path / "other")
    for name, content in {"text.zip": b"hello", "cut.zip": archive.zip_run(run, tmp_path / "run.zip").read_bytes()[:-200]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match="not a whole zip of a run"):
            archive.import_zip(workspace, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("run/readme.txt", "hello")
    with pytest.raises(RunError, match="not the zip of a run"):
        archive.import_zip(workspace, tmp_path / "other.zip")
    assert list(workspace.runs.iterdir()) == []


def test_zip_begins_anew_when_a_checkpoint_goes(run, tmp_path, monkeypatch):
    """Training drops what was last a moment ago: the zip holds the checkpoint that is last now, whole."""
    def checkpoint(step: int) -> Path:
        path = run.checkpoints_path / f"step_{step:08d}"
        path.mkdir(parents=True)
        files = {"model.safetensors": 4, "optimizer.safetensors": 4}
        for name in files:
            (path / name).write_bytes(b"1234")
        state = {"step": step, "epoch": 0.1, "val_loss": None, "files": files, "trainer": {"step": step}}
        (path / "state.json").write_text(json.dumps(state), encoding="utf-8")
        return path

    first, check = checkpoint(5), archive.check_space

    def meanwhile(*arguments):
        check(*arguments)
        if first.exists():
            disk.remove_tree(first)
            checkpoint(8)
    monkeypatch.setattr(archive, "check_space", meanwhile)
    with zipfile.ZipFile(archive.zip_run(run, tmp_path / "run.zip")) as file:
        names = {name.partition("/")[2] for name in file.namelist()}
    assert {name for name in names if name.startswith("checkpoints/")} == {
        f"checkpoints/step_00000008/{name}" for name in ("model.safetensors", "optimizer.safetensors", "state.json")}
    assert {"config.json", "events.jsonl", "tokenizer.json", "manifest.json"} <= names
    archive.move_to_trash(Workspace(run.path.parent.parent), run)
    with pytest.raises(RunError, match="cannot be zipped: events.jsonl is not there"):
        archive.zip_run(run, tmp_path / "gone.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.zip"]


def test_a_zip_damaged_inside_or_encrypted(run, tmp_path):
    content = archive.zip_run(run, tmp_path / "run.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "run.zip") as file:
        member = file.getinfo(f"{run.id}/config.json")
    begin = member.header_offset + 30 + len(member.filename)
    damaged = content[:begin] + b"\xff" * 20 + content[begin + 20:]  # no block of deflate begins so
    entry = content.index(b"PK\x01\x02") + 8  # the flags in the first entry of the list of members
    encrypted = content[:entry] + bytes([content[entry] | 1]) + content[entry + 1:]
    for name, changed in {"damaged.zip": damaged, "encrypted.zip": encrypted}.items():
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(RunError, match="not a whole zip of a run"):
            archive.import_zip(Workspace(tmp_path / "other"), tmp_path / name)


def test_commands_reach_only_who_listens(run):
    run.command("stop")
    ear = control.Control(run.control_path)
    with run.lock():
        first, second = run.command("pause"), run.command("resume")
    with open(run.control_path, "ab") as file:
        file.write(b'not json\n[1]\n{"id": "x", "comm')
    assert [(command["id"], command["command"]) for command in ear.commands()] == [(first, "pause"), (second, "resume")]
    with pytest.raises(RunError, match="no command 'explode'"):
        run.command("explode")


@pytest.mark.parametrize("state, words", [("queued", "waits for its turn.*nothing to pause yet. Stop takes it out of the queue"),
                                          ("stopped", "is not being trained.*nothing to pause. Resume goes on with it")])
def test_what_nobody_would_hear_is_refused(run, state, words):
    """A pause told to a run in the queue went into a file that its worker does not read from the start."""
    run.append(Status(step=0, time_seconds=0.0, state=state))
    with pytest.raises(RunError, match=words):
        run.command("pause")
    assert not run.control_path.exists() and run.state() == state


def test_a_long_run_from_a_zip_opens_at_once_and_one_with_impossible_events_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "LONG_BYTES", 100)
    run.append(*[step(n) for n in range(1, 6)])
    opened = archive.import_zip(Workspace(tmp_path / "other"), archive.zip_run(run, tmp_path / "run.zip"))
    assert curves.load(opened)["step"] == 5
    with open(run.events_path, "a", encoding="utf-8") as file:
        file.write(to_json(step(6)).replace('"loss":', '"loss":"high","was":') + "\n")
    with pytest.raises(RunError, match="not a whole zip of a run"):
        archive.import_zip(Workspace(tmp_path / "third"), archive.zip_run(run, tmp_path / "bad.zip"))
    assert list((tmp_path / "third" / "runs").iterdir()) == []
