"""Bundles: a run and its data out and in again; and every zip that must not be opened, which leaves nothing behind."""

import json
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.data.dataset import open_dataset
from gptlab.data.sources import DataError
from gptlab.exchange import bundle, members
from gptlab.exchange.bundle import open_bundle, open_run_zip, write_bundle
from gptlab.runs import archive, curves, disk, steering
from gptlab.runs.checkpoint import load_model
from gptlab.runs.disk import RunError
from gptlab.runs.workspace import Workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_text):
    """(the workspace, its finished run, the bundle of both)."""
    directory = tmp_path_factory.mktemp("bundle")
    workspace = tiny_workspace(directory, small_text)
    run = finished_run(workspace, "lesson", train__max_steps=8)
    return workspace, run, write_bundle(workspace, run, directory / "lesson.zip")


@pytest.fixture
def other(tmp_path):
    return Workspace(tmp_path / "other")


def everything(workspace: Workspace) -> set[str]:
    return {path.relative_to(workspace.path).as_posix() for path in workspace.path.rglob("*")}


def changed(made, target: Path, **changes) -> Path:
    """The bundle anew. `changes` by the end of a member's name ("config.json" is the run's): bytes, None to leave it out,
    or a function of the old bytes. `extra`: {name or ZipInfo: bytes} added."""
    extra = changes.pop("extra", {})
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    with zipfile.ZipFile(made[2]) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = old.read(member)
            for end, value in changes.items():
                part, _, name = end.rpartition("/")
                if member.filename.rpartition("/")[2] == name and member.filename.startswith(part):
                    content = value(content) if callable(value) else value
            if content is not None:
                new.writestr(member, content)
        for name, content in extra.items():
            new.writestr(name, content)
    return target


def edit(**values):
    """A change of keys of a JSON file."""
    return lambda content: json.dumps({**json.loads(content), **values}).encode()


def refuse(other: Workspace, path: Path, match: str) -> None:
    before = everything(other)
    with pytest.raises(RunError, match=match) as caught:
        open_bundle(other, path)
    assert str(caught.value).startswith(path.name) and "\n" not in str(caught.value)
    assert everything(other) == before, "nothing is left behind"


# out and in

def test_out_and_in(made, other):
    workspace, run, path = made
    opened = open_bundle(other, path)
    assert (opened.run.id, opened.dataset, opened.shared) == (run.id, "tiny", False)
    assert opened.run.events() == run.events() and opened.run.config() == run.config() and opened.run.state() == "finished"
    assert open_dataset(other.dataset_path("tiny")).manifest == workspace.open_dataset("tiny").manifest
    assert other.dataset_of(opened.run) == other.dataset_path("tiny")
    load_model(opened.run, "best")
    assert not [name for name in everything(other) if "tmp" in name]


def test_again_is_another_run_with_the_same_data(made, other):
    first, second = open_bundle(other, made[2]), open_bundle(other, made[2])
    assert second.run.id == f"{first.run.id}-2" and second.shared and other.dataset_names() == ["tiny"]
    assert first.run.events() == second.run.events()


def test_a_long_run_comes_with_its_curves(made, other, monkeypatch):
    monkeypatch.setattr(curves, "LONG_BYTES", 1000)
    assert not any(name.endswith(curves.FILE) for name in zipfile.ZipFile(made[2]).namelist())  # nobody's word is taken for it
    run = open_bundle(other, made[2]).run
    assert curves.load(run) == curves.built(run) and curves.load(run)["step"] == 8


def test_other_data_under_the_same_name(made, other, small_text, tmp_path):
    """It gets a number, in its manifest too; what was there is not touched; the run finds its own by the hash."""
    (tmp_path / "x").mkdir()
    shutil.copytree(tiny_workspace(tmp_path / "x", small_text[5000:]).dataset_path("tiny"), other.dataset_path("tiny"))
    before = other.open_dataset("tiny").manifest
    opened = open_bundle(other, made[2])
    assert opened.dataset == "tiny-2" and not opened.shared
    assert other.open_dataset("tiny").manifest == before
    assert other.open_dataset("tiny-2").manifest["name"] == "tiny-2"
    assert other.dataset_of(opened.run) == other.dataset_path("tiny-2")
    again = write_bundle(other, opened.run, tmp_path / "again.zip")  # whose run knows its data by another name
    assert open_bundle(Workspace(tmp_path / "third"), again).dataset == "tiny-2"


def test_shared_under_another_name_and_not_with_a_damaged_one(made, other):
    tiny = made[0].dataset_path("tiny")
    shutil.copytree(tiny, other.dataset_path("cut"))
    (other.dataset_path("cut") / "train.bin").write_bytes(b"")
    assert open_bundle(other, made[2]).dataset == "tiny"
    shutil.rmtree(other.dataset_path("tiny"))
    shutil.copytree(tiny, other.dataset_path("mine"))
    assert open_bundle(other, made[2]).dataset == "mine"


def test_a_bundle_is_also_the_zip_of_a_run(made, other):
    assert archive.import_zip(other, made[2]).id == made[1].id


def test_what_cannot_be_bundled(made, tmp_path, small_text, monkeypatch):
    workspace, run, _ = made
    with run.lock(), pytest.raises(RunError, match="being trained"):
        write_bundle(workspace, run, tmp_path / "x.zip")
    lone = tiny_workspace(tmp_path, small_text)
    orphan = tiny_run(lone)
    shutil.rmtree(lone.dataset_path("tiny"))
    with pytest.raises(DataError, match="missing or changed"):
        write_bundle(lone, orphan, tmp_path / "x.zip")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(RunError, match="too full"):
        write_bundle(workspace, run, tmp_path / "x.zip")
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".tmp*"))


# what is not opened

@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "C:/evil.txt", "run\\..\\evil.txt", "lesson/../../evil.txt",
                                  "datasets/../evil/train.bin", "datasets/tiny/evil.py", "datasets/tiny/model.pt",
                                  "lesson/checkpoints/step_00000001/model.pkl", "lesson/evil.txt", "evil.txt", "con/traceback.txt"])
def test_unknown_names(made, other, tmp_path, name):
    refuse(other, changed(made, tmp_path / "bad.zip", extra={name: b"x"}), "which no bundle has")


def test_links_and_folders(made, other, tmp_path):
    for kind in (stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO):
        link = zipfile.ZipInfo(f"{made[1].id}/traceback.txt")
        link.create_system, link.external_attr = 3, kind << 16
        refuse(other, changed(made, tmp_path / "bad.zip", extra={link: b"/etc/passwd"}), "a link or folder")
    refuse(other, changed(made, tmp_path / "bad.zip", extra={f"{made[1].id}/": b""}), "a link or folder")


def test_one_run_one_data_set_each_file_once(made, other, tmp_path):
    id = made[1].id
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = changed(made, tmp_path / "bad.zip", extra={f"{id}/config.json": b"{}"})
    refuse(other, twice, "twice, or more than one")
    refuse(other, changed(made, tmp_path / "bad.zip", extra={"datasets/more/val.bin": b"x"}), "twice, or more than one")
    refuse(other, changed(made, tmp_path / "bad.zip", extra={"another/traceback.txt": b"x"}), "several runs")
    for name in ("config__json", "events__jsonl", "datasets/train__bin"):
        refuse(other, changed(made, tmp_path / "bad.zip", **{name: None}), "missing")
    alone = archive.zip_run(made[1], tmp_path / "alone.zip")
    refuse(other, alone, "not a bundle of one run with its data")


def test_bombs(made, other, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "HONEST_BYTES", 2**20)
    huge = b"0" * 200 * 2**20
    refuse(other, changed(made, tmp_path / "bad.zip", val__bin=huge), "no honest bundle")
    monkeypatch.setattr(members, "MOST_JSON_BYTES", 5000)
    refuse(other, made[2], "is the most|holds no safetensors")
    monkeypatch.setattr(members, "MOST_MEMBERS", 5)
    refuse(other, made[2], "at most 5")


def test_a_size_that_lies(made, other, tmp_path):
    """The directory says 100 bytes, the member unpacks to many more: no more than 100 are read, and the sum is wrong."""
    path = changed(made, tmp_path / "bad.zip")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"datasets/tiny/val.bin"))
    content[at + 24:at + 28] = struct.pack("<I", 100)
    path.write_bytes(content)
    refuse(other, path, "not a whole bundle")


def test_damaged_cut_encrypted_or_oddly_packed(made, other, tmp_path):
    content = made[2].read_bytes()
    entry = content.index(b"PK\x01\x02")
    begin = content.index(b"datasets/tiny/train.bin") + len("datasets/tiny/train.bin")
    for name, wrong, match in (
            ("text.zip", b"hello", "not a whole bundle"), ("empty.zip", b"", "not a whole bundle"),
            ("cut.zip", content[:-200], "not a whole bundle"),
            ("damaged.zip", content[:begin] + b"\xff" * 30 + content[begin + 30:], "not a whole bundle"),
            ("offset.zip", content[:entry + 42] + b"\xff\xff\xff\x7f" + content[entry + 46:], "not a whole bundle"),
            ("locked.zip", content[:entry + 8] + bytes([content[entry + 8] | 1]) + content[entry + 9:], "encrypted"),
            ("packed.zip", content[:entry + 10] + b"\x0e\x00" + content[entry + 12:], "packed in a way")):
        (tmp_path / name).write_bytes(wrong)
        refuse(other, tmp_path / name, match)
    with pytest.raises(FileNotFoundError):
        open_bundle(other, tmp_path / "nothing.zip")


@pytest.mark.parametrize("changes, match", [
    (dict(train__bin=lambda old: b"\x01\x00" + old[2:]), "the hash is another"),
    (dict(train__bin=lambda old: old[:-2]), "cut off"),
    (dict(config__json=b"[1, 2"), "config.json is damaged"),
    (dict(config__json=b"[]"), "holds no settings"),
    (dict(config__json=b'{"model": {"n_layer": NaN}}'), "no number of JSON"),
    (dict(config__json=b"[" * 100_000), "nested too deeply"),
    (dict(config__json=b"\xff\xfe"), "config.json is damaged"),
    (dict(config__json=edit(sample={"prompts": ["\ud800"]})), r"config.json is damaged \(half a character\)"),
    (dict(config__json=edit(model={"n_layer": 10_000})), "settings cannot be used.*n_layer"),
    (dict(manifest__json=edit(hash="0" * 64)), "the hash is another"),
    ({"datasets/manifest.json": edit(hash="0" * 64)}, "other data than the bundle holds"),
    (dict(manifest__json=edit(dtype="O")), "'O', where tokens are"),
    (dict(manifest__json=edit(train_tokens="many")), r"damaged \(train_tokens\)"),
    (dict(manifest__json=edit(documents=True)), r"damaged \(documents\)"),
    (dict(manifest__json=edit(baselines={"uniform": "x"})), "baselines"),
    (dict(manifest__json=edit(baselines={"uniform": 4.0, "xz": "x"})), "baselines"),
    (dict(manifest__json=edit(baselines_bits_per_byte={"xz": "x"})), "baselines"),
    (dict(manifest__json=edit(baselines_bits_per_byte=["xz"])), "baselines"),
    (dict(manifest__json=edit(alerts=["x"])), "alerts"),
    (dict(manifest__json=edit(config={"source": 1})), "settings cannot be used"),
    (dict(manifest__json=edit(train_tokens=0)), "data set is damaged"),
    ({"datasets/tokenizer.json": b"{}"}, "different tokenizers"),
    (dict(tokenizer__json=b"{}"), "data set is damaged"),
    (dict(status__json=edit(best_val_loss="<b>")), "status.json is damaged"),
    (dict(status__json=edit(state=3)), "status.json is damaged"),
    (dict(state__json=edit(val_loss="low")), "checkpoint of step"),
    (dict(state__json=edit(step=7)), "checkpoint of step"),
    (dict(model__safetensors=b"\x80\x04\x95 a pickle"), "holds no safetensors"),
    (dict(model__safetensors=lambda old: old[:-4]), "cut off"),
    (dict(model__safetensors=lambda old: b"\xff" * 8 + old[8:]), "holds no safetensors"),
    (dict(events__jsonl=lambda old: old + b'{"type":"step","step":1}\n'), "not a whole event"),
    (dict(events__jsonl=lambda old: old + b"null\n"), "a line that is no event"),
    (dict(events__jsonl=lambda old: old + b"[" * 200_000 + b"\n"), "nested too deeply"),
    (dict(events__jsonl=lambda old: old + b'{"type":"status","step":1000000000000,"time_seconds":0,"state":"paused"}\n'), "step cannot"),
    (dict(events__jsonl=lambda old: old + b'{"type":"status","step":-1,"time_seconds":0,"state":"paused"}\n'), "step cannot"),
    (dict(events__jsonl=lambda old: old + b'{"type":"status","step":1,"time_seconds":"<b>","state":"paused"}\n'), "time_seconds cannot"),
    (dict(events__jsonl=lambda old: old + b'{"type":"setting","step":1,"time_seconds":0,"changes":{"a":{}},"before":{}}\n'), "changes cannot"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_contents_that_cannot_be(made, other, tmp_path, changes, match):
    refuse(other, changed(made, tmp_path / "bad.zip", **changes), match)


def test_tokens_that_the_tokenizer_does_not_know(made, other, tmp_path):
    """With the right hash: a model's table has no such row."""
    folder = tmp_path / "tiny"
    shutil.copytree(made[0].dataset_path("tiny"), folder)
    val = (folder / "val.bin").read_bytes()
    (folder / "val.bin").write_bytes(b"\xff\xff" + val[2:])
    hashed = edit(hash=members.content_hash(folder))
    path = changed(made, tmp_path / "bad.zip", val__bin=(folder / "val.bin").read_bytes(), manifest__json=hashed)
    refuse(other, path, "tokens that its tokenizer does not know")


def test_lines_that_readers_pass_over_are_let_pass(made, other, tmp_path):
    """A torn line, and a newer version's events and fields, as in any run."""
    path = changed(made, tmp_path / "good.zip", events__jsonl=lambda old: old + b'{"type":"ste\n{"type":"news","step":"x"}\n')
    assert open_bundle(other, path).run.events() == made[1].events()


def test_a_fork_names_its_parent_there_too(made, other, tmp_path):
    workspace, run, _ = made
    fork = steering.fork(workspace, run, "best", {}, "fork")
    opened = open_bundle(other, write_bundle(workspace, fork, tmp_path / "fork.zip")).run
    assert opened.parent() == fork.parent() == {"run": run.id, "step": run.status()["best_step"]}


def test_the_zip_of_a_run_alone_is_held_to_the_same(made, other, tmp_path, monkeypatch):
    """It was written out and read as it was: 600 KB of blanks became 600 MB on the disk, and twice that in memory."""
    path = changed(made, tmp_path / "run.zip", **{"datasets/" + name.replace(".", "__"): None for name in members.DATASET_FILES},
                   extra={"__MACOSX/._run": b"x", f"{made[1].id}/notes.txt": b"x"})  # what is left in the zip does no harm
    opened = open_run_zip(other, path)
    assert opened.events() == made[1].events() and {"__MACOSX", "notes.txt"}.isdisjoint(p.name for p in other.runs.rglob("*"))
    before = everything(other)
    line = b'{"type":"setting","step":1,"time_seconds":0,"changes":{"train.patience":NaN},"before":{}}\n'
    monkeypatch.setattr(members, "HONEST_BYTES", 2**20)
    kept = []
    monkeypatch.setattr(curves, "keep", kept.append)
    for changes, match in ((dict(events__jsonl=b" " * 100 * 2**20), "no honest bundle"),
                           (dict(events__jsonl=lambda old: old + line), "NaN is no number"),
                           (dict(events__jsonl=lambda old: old + b"\n" * 2000), "1,000 lines that are no events"),
                           (dict(model__safetensors=b"\x80\x04\x95 a pickle"), "holds no safetensors"),
                           (dict(config__json=edit(model={"n_layer": 10_000})), "settings cannot be used"),
                           (dict(manifest__json=edit(vocab_size="many")), "vocab_size"),
                           (dict(tokenizer__json=None), "not the zip of a run")):
        with pytest.raises(RunError, match=match):
            open_run_zip(other, changed((None, None, path), tmp_path / "bad.zip", **changes))
    for content in (b"hello", path.read_bytes()[:-200]):
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(RunError, match="bad.zip cannot be opened: it is not a whole zip of a run"):
            open_run_zip(other, tmp_path / "bad.zip")
    assert everything(other) == before and not kept


# both or neither

def test_a_run_that_fails_leaves_no_data(made, other, monkeypatch):
    def fail(*_):
        raise RunError("full")
    for name, owner in (("import_zip", archive), ("_place", bundle)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            before = everything(other)
            with pytest.raises(RunError, match="full"):
                open_bundle(other, made[2])
            assert everything(other) == before


def test_room_is_looked_for_first(made, other, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    before = everything(other)
    with pytest.raises(RunError, match="too full to open lesson.zip"):
        open_bundle(other, made[2])
    assert everything(other) == before
