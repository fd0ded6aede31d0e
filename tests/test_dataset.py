"""From documents to token files and back: nothing lost, nothing shared between train and val, nothing half made."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import random
import shutil
from math import log
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as HFTokenizer

import gptlab.data
from gptlab.config import DataConfig, RunConfig
from gptlab.data import dataset as dataset_module
from gptlab.data.cleaning import clean
from gptlab.data.dataset import entropy_floor, made_from, open_dataset, prepare
from gptlab.data.documents import Documents, DocumentWriter, open_kept
from gptlab.data.preview import estimate_tokens, excerpts, preview_tokenizer, token_preview
from gptlab.data.progress import Progress
from gptlab.data.sources import BUILTINS, Builtin, DataError, Source, read_documents, state_of_files
from gptlab.data.split import plan_split
from gptlab.data.tokenizers import END_OF_TEXT

TEXT = "".join(f"Paragraph {i} says that {i * i} is the square of {i}.\nIt is line two.\n\n" for i in range(600))


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text(TEXT, encoding="utf-8", newline="\n")
    return path


def documents_of(ids: np.ndarray, tokenizer) -> list[str]:
    """The documents of a token file."""
    ends = np.flatnonzero(ids == tokenizer.end_of_text)
    assert ends[-1] == len(ids) - 1
    return [tokenizer.decode(part[:-1]) for part in np.split(ids, ends[:-1] + 1)]


# --- splits ---

def test_documents_are_held_out_whole():
    chance = random.Random(0)
    documents = [f"{i}:" + "x" * chance.randrange(50, 3000) for i in range(200)]
    given = Documents.of(documents)
    split = plan_split(given, DataConfig(val_fraction=0.2))
    assert split.kind == "document" and [documents[i] for i in split.val_indices] == split.val
    assert sorted([*split.train, *split.val]) == sorted(documents)
    assert split.train == [text for text in documents if text in set(split.train)]  # in order
    share = sum(map(len, split.val)) / sum(map(len, documents))
    assert share == pytest.approx(0.2, abs=0.003)
    assert plan_split(given, DataConfig(val_fraction=0.2)) == split
    assert plan_split(given, DataConfig(val_fraction=0.2, seed=2)).val != split.val


def test_at_least_one_document_on_each_side():
    for fraction in (0.001, 0.5):
        for documents in (["a" * 10, "b" * 1000], ["a" * 1000, "b" * 10]):
            split = plan_split(Documents.of(documents), DataConfig(split="document", val_fraction=fraction))
            assert len(split.train) == len(split.val) == 1
    with pytest.raises(DataError, match="at least 2 documents.*data.split"):
        plan_split(Documents.of(["one"]), DataConfig(split="document"))


def test_what_is_alike_stays_on_one_side_and_a_large_group_is_not_all_that_is_held_out():
    documents = Documents.of([f"{i}:" + "x" * 500 for i in range(60)])
    groups = np.arange(60)
    groups[20:44] = 20
    groups[50] = groups[7] = 7
    for seed in range(20):
        split = plan_split(documents, DataConfig(val_fraction=0.1, seed=seed), groups)
        assert not {20, *range(21, 44)} & set(split.val_indices) and (7 in split.val_indices) == (50 in split.val_indices)
        assert split.val.characters == pytest.approx(0.1 * documents.characters, rel=0.2)
    with pytest.raises(DataError, match="nearly alike"):
        plan_split(documents, DataConfig(split="document"), np.zeros(60, dtype=np.int64))


def parts_of(texts: dict[int, list[str]]) -> Documents:
    """Documents, of which those of one number are the parts of one text."""
    writer = DocumentWriter(io.BytesIO())
    for number, parts in texts.items():
        for part in parts:
            writer.add(part, number)
    return writer.documents()


def test_a_text_in_parts_belongs_to_one_side_and_counts_as_one():
    """The last 1,068 characters of a long file were held out, and lines of its parts left out as if many files had them."""
    documents = parts_of({n: [f"{n}:" + "x" * 400] * (3 if n % 4 == 0 else 1) for n in range(40)})
    for seed in range(10):
        split = plan_split(documents, DataConfig(val_fraction=0.2, seed=seed), alike=np.arange(60) // 2)
        assert split.kind == "document" and not set(split.train.texts) & set(split.val.texts)
    giant = parts_of({**{n: ["y" * 500] for n in range(11)}, 11: ["z" * 90_000] * 5})
    assert plan_split(giant, DataConfig()).kind == "spread"
    play = parts_of({0: ["ROMEO\nO, speak again.\n"] * 30})
    assert list(clean(play, DataConfig(cleaning=("repeated-lines",)))[0]) == list(play)


def test_documents_that_are_all_alike_are_divided_otherwise(tmp_path):
    page = TEXT[:3000]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"{page} {i}"}) + "\n" for i in range(12)), encoding="utf-8")
    assert prepare(DataConfig(source=str(tmp_path / "rows.jsonl")), tmp_path / "rows").manifest["split"] == "spread"


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_spread_takes_blocks_from_all_over_the_text(fraction):
    split = plan_split(Documents.of([TEXT]), DataConfig(val_fraction=fraction))
    assert split.kind == "spread"
    assert sorted("".join([*split.train, *split.val])) == sorted(TEXT)
    assert sum(map(len, split.val)) == pytest.approx(fraction * len(TEXT), rel=0.25)
    for piece in [*split.train, *split.val]:
        assert piece in TEXT and piece.endswith("\n\n")  # cut at a paragraph's end
    places = [TEXT.index(piece) for piece in split.val]
    assert places == sorted(places)
    for n, place in enumerate(places):  # one in each of as many equal stretches
        assert n - 0.5 <= place / len(TEXT) * len(places) <= n + 1.5


def test_spread_never_joins_documents_and_puts_neighbours_together():
    documents = ["a" * 5000 + "\n", "b" * 5000 + "\n"]
    split = plan_split(Documents.of(documents), DataConfig(split="spread", val_fraction=0.4))
    assert all(len(set(piece.strip())) == 1 for piece in [*split.train, *split.val])
    whole = plan_split(Documents.of(["c" * 30_000]), DataConfig(split="spread", val_fraction=0.1))
    assert len(whole.train) <= len(whole.val) + 1


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("longest", [60, 1500, 4000])
def test_spread_holds_out_the_share_asked_of_many_documents(longest, fraction):
    """Of 5,000 short rows 0.4 % were held out where 10 % was asked: each row was a block."""
    chance = random.Random(3)
    documents = [f"{i}:" + "x" * chance.randrange(20, longest) for i in range(5000)]
    split = plan_split(Documents.of(documents), DataConfig(split="spread", val_fraction=fraction))
    assert sum(map(len, split.val)) == pytest.approx(fraction * sum(map(len, documents)), rel=0.1)
    if longest < 2000:
        assert sorted([*split.train, *split.val]) == sorted(documents)  # whole rows, none joined


def test_tail_is_nanogpts():
    data = TEXT[:12_345]
    split = plan_split(Documents.of([data]), DataConfig(split="tail"))
    assert (split.train, split.val) == ([data[:int(len(data) * 0.9)]], [data[int(len(data) * 0.9):]])
    split = plan_split(Documents.of(["abcde", "fghij"]), DataConfig(split="tail", val_fraction=0.3))
    assert (split.train, split.val) == (["abcde", "fg"], ["hij"])


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="val_fraction"):
        plan_split(Documents.of(["a"]), DataConfig(split="spread"))


# --- preparing and opening ---

@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_the_files_hold_the_documents(tmp_path, text_file, tokenizer):
    config = DataConfig(source=str(text_file), tokenizer=tokenizer, vocab_size=300)
    seen = []
    made = prepare(config, tmp_path / "sets" / "notes", progress=seen.append)
    split = plan_split(Documents.of([TEXT]), config)
    assert documents_of(made.train, made.tokenizer) == split.train
    assert documents_of(made.val, made.tokenizer) == split.val
    shares = [progress.share_done for progress in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and all(progress.doing for progress in seen)
    kept, held_out = open_kept(made.directory)
    assert [list(kept.take(np.flatnonzero(held_out == side))) for side in (False, True)] == [split.train, split.val]
    assert sorted(path.name for path in made.directory.iterdir()) == sorted(
        ["documents.npy", "documents.txt", "manifest.json", "tokenizer.json", "train.bin", "val.bin"])
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["notes"]

    manifest = json.loads((tmp_path / "sets/notes/manifest.json").read_text(encoding="utf-8"))
    assert manifest == made.manifest
    assert set(manifest) >= set("name source hash documents characters train_tokens val_tokens train_bytes val_bytes dtype "
                                "vocab_size tokenizer split config baselines alerts".split())
    assert (manifest["name"], manifest["source"], manifest["split"]) == ("notes", "notes.txt", "spread")
    assert RunConfig.from_dict({"data": manifest["config"]}).data == config
    assert manifest["train_bytes"] + manifest["val_bytes"] == len(TEXT.encode())
    assert made.baselines["uniform"] == log(made.tokenizer.vocab_size) > made.baselines["unigram"] > made.baselines["bigram"]
    assert made.baselines["entropy_floor"] is None
    raw = np.fromfile(made.directory / "train.bin", dtype="<u2")
    outside = HFTokenizer.from_file(str(made.directory / "tokenizer.json"))
    assert outside.decode(raw[:-1].tolist()).replace(END_OF_TEXT, "") == "".join(split.train)


def test_a_large_vocabulary_takes_32_bits(tmp_path, text_file):
    outside = HFTokenizer.from_str(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": {"?": 0, **{chr(c): c + 70_000 for c in range(32, 127)}}, "unk_token": "?"}}))
    outside.save(str(tmp_path / "tokenizer.json"))
    config = DataConfig(source=str(text_file), tokenizer="file", tokenizer_file=str(tmp_path / "tokenizer.json"))
    made = prepare(config, tmp_path / "notes")
    assert "lossy-characters" in [alert["code"] for alert in made.manifest["alerts"]]  # "." leaves line ends to "?"
    assert made.train.dtype == np.uint32 and made.manifest["dtype"] == "uint32" and made.train.max() > 70_000


def test_same_settings_same_hash(tmp_path, text_file):
    config = DataConfig(source=str(text_file))
    hashes = [prepare(c, tmp_path / name).hash for name, c in
              [("a", config), ("b", config), ("c", dataclasses.replace(config, seed=1)),
               ("d", dataclasses.replace(config, tokenizer="byte"))]]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
    assert all(len(h) == len(hashlib.sha256().hexdigest()) for h in hashes)


def test_a_taken_name_is_refused_and_untouched(tmp_path, text_file):
    before = prepare(DataConfig(source=str(text_file)), tmp_path / "notes").manifest
    with pytest.raises(FileExistsError, match="'notes' already"):
        prepare(DataConfig(source="python-docs"), tmp_path / "notes")
    assert open_dataset(tmp_path / "notes").manifest == before


def test_a_failure_leaves_nothing_behind(tmp_path, text_file, monkeypatch):
    config = DataConfig(source=str(text_file))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
        with pytest.raises(DataError, match="MB free: free some space"):
            prepare(config, tmp_path / "sets" / "notes")
    with monkeypatch.context() as patch:
        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(dataset_module.os, "fsync", full)
        with pytest.raises(DataError, match="is full: free some space"):
            prepare(config, tmp_path / "sets" / "notes")
    with pytest.raises(DataError, match="cannot be written"):
        prepare(config, text_file / "notes")
    with pytest.raises(KeyboardInterrupt):
        prepare(config, tmp_path / "sets" / "notes", progress=interrupt)
    assert list((tmp_path / "sets").iterdir()) == []
    prepare(config, tmp_path / "sets" / "notes")


def test_what_a_killed_process_left_is_removed_later(tmp_path, text_file):
    alive = dataset_module.temporary_beside(tmp_path / "no-tes")
    dead = alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))
    elsewhere = dead.with_name(dead.name.replace(dataset_module._this_machine(), "0123abcd"))
    for folder in (dead, alive, elsewhere):
        folder.mkdir()
        (folder / "train.bin").write_bytes(bytes(10))
    prepare(DataConfig(source=str(text_file)), tmp_path / "notes")
    assert not dead.exists() and alive.exists() and elsewhere.exists()


def interrupt(progress: Progress) -> None:
    if progress.share_done > 0.3:
        raise KeyboardInterrupt


def test_a_damaged_set_says_so(tmp_path, text_file):
    with pytest.raises(DataError, match="no data set.*prepare it first"):
        open_dataset(tmp_path / "missing")
    made = prepare(DataConfig(source=str(text_file)), tmp_path / "whole")

    def damaged(name: str) -> Path:
        shutil.copytree(made.directory, tmp_path / name)
        return tmp_path / name

    cut = damaged("cut")
    with open(cut / "val.bin", "r+b") as file:
        file.truncate(101)
    with pytest.raises(DataError, match="cut off .val.bin has 101 of .*prepare it again"):
        open_dataset(cut)
    gone = damaged("gone")
    (gone / "train.bin").unlink()
    with pytest.raises(DataError, match="cut off .train.bin has 0 of"):
        open_dataset(gone)
    for name, text in [("torn", '{"name": "x", '), ("other", "[]"), ("empty", "{}")]:
        folder = damaged(name)
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="prepare it again"):
            open_dataset(folder)


def test_the_floor_is_of_exactly_the_val_documents(tmp_path, monkeypatch):
    """Fair dice: every throw costs ln 6, the end nothing, so the floor is ln 6 × throws / (throws + ends)."""
    chance = random.Random(3)
    documents = ["".join(chance.choices("123456", k=chance.randrange(3, 40))) for _ in range(300)]
    logprobs = [-len(text) * log(6) for text in documents]
    monkeypatch.setitem(BUILTINS, "dice", Builtin("Dice", "Throws.", lambda config: (documents, logprobs)))
    made = prepare(DataConfig(source="dice"), tmp_path / "dice")
    throws, ends = made.manifest["val_bytes"], np.count_nonzero(made.val == made.tokenizer.end_of_text)
    assert made.baselines["entropy_floor"] == pytest.approx(log(6) * throws / (throws + ends), rel=1e-12)
    assert made.baselines["entropy_floor"] < made.baselines["bigram"] < made.baselines["uniform"]


@pytest.mark.parametrize("name", ["stories", "arithmetic"])
def test_the_floor_of_built_ins(tmp_path, name):
    """Found again from the token file alone: each document in it, looked up among those generated."""
    made = prepare(DataConfig(source=name, documents=200), tmp_path / name)
    source = read_documents(DataConfig(source=name, documents=200))
    logprob = dict(zip(source.documents, source.floor_logprobs))
    held_out = documents_of(made.val, made.tokenizer)
    assert len(held_out) >= 15
    floor = -sum(logprob[text] for text in held_out) / sum(len(text) + 1 for text in held_out)
    assert made.baselines["entropy_floor"] == pytest.approx(floor, rel=1e-12)
    assert 0 < floor < made.baselines["bigram"]


def test_no_floor_where_documents_are_cut():
    source = Source("dice", Documents.of(["12", "34"]), floor_logprobs=[-1.0, -2.0])
    assert entropy_floor(source, plan_split(source.documents, DataConfig(split="tail", val_fraction=0.5)), 3) is None
    split = plan_split(source.documents, DataConfig(split="document"))
    assert entropy_floor(source, split, 3) == pytest.approx((split.val_indices[0] + 1) / 3)


def test_a_program_prepares_text_with_one_call(tmp_path, text_file):
    (tmp_path / "more.txt").write_text("More of it. " * 100, encoding="utf-8")
    told = []
    kept = gptlab.data.prepare(text_file, DataConfig(tokenizer="byte"), tmp_path / "kept", progress=told.append)
    assert kept.directory == tmp_path / "kept" and kept.tokenizer.kind == "byte" and told[-1].share_done == 1
    both = gptlab.data.prepare([text_file, tmp_path / "more.txt"])
    assert both.manifest["source"] == "notes.txt and 1 more" and both.manifest["characters"] == len(TEXT) + 1200
    assert gptlab.data.prepare("arithmetic", DataConfig(documents=200)).manifest["documents"] == 200


# --- previews ---

@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_a_preview_tells_what_preparing_would_give(tmp_path, text_file, tokenizer):
    config = DataConfig(source=str(text_file), tokenizer=tokenizer, vocab_size=300)
    source = read_documents(config)
    preview = preview_tokenizer(config, source.documents)
    made = prepare(config, tmp_path / "notes")
    assert estimate_tokens(preview, source.documents) == pytest.approx(len(made.train) + len(made.val), rel=0.05)
    tokens = token_preview(preview, TEXT, limit=50)
    assert len(tokens) == 50 and TEXT.startswith("".join(text for text, _ in tokens))
    assert [id for _, id in tokens] == preview.encode(TEXT)[:50].tolist()


def test_excerpts_are_cut():
    source = Source("a", Documents.of(["short", "long " * 1000, "third"]))
    assert excerpts(source, count=2, characters=10) == ["short", "long long …"]


def test_what_is_left_out_by_cleaning_is_in_no_file_and_told(tmp_path):
    page = "Home | About\n"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"{page}{TEXT[:200]} {i % 8}"}) + "\n" for i in range(20)), encoding="utf-8")
    config = DataConfig(source=str(tmp_path / "rows.jsonl"), cleaning=("repeated-lines", "duplicates"), split="document")
    made = prepare(config, tmp_path / "sets" / "rows")
    texts = documents_of(made.train, made.tokenizer) + documents_of(made.val, made.tokenizer)
    assert len(texts) == made.manifest["documents"] == 8 and not any("Home" in text for text in texts)
    report = {one["step"]: one for one in made.manifest["cleaning"]}
    assert (report["repeated-lines"]["changed"], report["duplicates"]["left_out"]) == (20, 12)
    with pytest.raises(DataError, match="Cleaning leaves hardly anything"):
        prepare(dataclasses.replace(config, cleaning=("filters",), min_characters=5000), tmp_path / "sets" / "none")


def test_a_data_set_of_before_a_setting_came_is_still_made_from_the_same():
    old = {"config": {name: value for name, value in RunConfig().to_dict()["data"].items() if name != "cleaning"}, "grammar": None}
    config = DataConfig(source="arithmetic")
    old["config"]["source"] = "arithmetic"
    assert made_from(old, config) and not made_from(old, dataclasses.replace(config, cleaning=("unicode",)))


def test_the_floor_is_known_as_long_as_nothing_is_changed_or_left_out(tmp_path):
    """It was kept where duplicates went: the rest is no draw of the grammar, and a model can do better than the floor said."""
    source = Source("x", Documents.of([TEXT, TEXT + "!"]), floor_logprobs=[-1.0, -2.0])
    twice = dataclasses.replace(source, documents=Documents.of([TEXT, TEXT + "  \n"]))
    for step, given, floor in (("duplicates", source, [-1.0, -2.0]), ("unicode", source, [-1.0, -2.0]),
                               ("duplicates", twice, None), ("unicode", twice, None)):
        assert dataset_module.cleaned(given, DataConfig(cleaning=(step,)))[0].floor_logprobs == floor


def test_documents_that_a_grammar_drew_are_known_as_such_after_cleaning_too():
    """Else those that are alike by chance would be told as a leak."""
    config = DataConfig(source="stories", documents=300, cleaning=("filters",), min_characters=250)
    source = read_documents(config)
    left = dataset_module.cleaned(source, config)[0]
    assert 10 < len(left.documents) < len(source.documents) == 300
    assert (left.drawn, left.floor_logprobs) == (True, None) and not Source("x", Documents.of([])).drawn


def test_what_a_data_set_is_made_of_is_known_again(tmp_path):
    """A file in a folder below that was deleted, or copied there with an old date, once went unseen: the old data set was used."""
    folder = tmp_path / "texts"
    (folder / "part").mkdir(parents=True)
    for name in ("a.txt", "part/b.txt"):
        (folder / name).write_text(TEXT, encoding="utf-8")
    config, before = DataConfig(source=str(folder)), {}
    before["at first"] = made = prepare(config, tmp_path / "sets" / "texts").manifest["files"]
    assert state_of_files(config) == made and state_of_files(DataConfig()) is None
    (folder / "part" / "c.txt").write_text(TEXT, encoding="utf-8")
    os.utime(folder / "part" / "c.txt", (1, 1))
    before["one more"] = state_of_files(config)
    (folder / "part" / "b.txt").unlink()
    before["one less"] = state_of_files(config)
    (folder / "part" / "c.txt").write_text(TEXT + "!", encoding="utf-8")
    os.utime(folder / "part" / "c.txt", (1, 1))
    before["one longer"] = state_of_files(config)
    before["with a tokenizer"] = state_of_files(dataclasses.replace(config, tokenizer="file", tokenizer_file=str(folder / "a.txt")))
    assert len(set(before.values())) == 5
    (folder / "new.png").write_text("x", encoding="utf-8")
    assert state_of_files(config) == before["one longer"], "what is not read does not count"
