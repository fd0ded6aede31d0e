"""The numbers of the figures: closed forms, planted changes, and the same from documents and from their tokens alone."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest

from gptlab.config import DataConfig
from gptlab.data import figures
from gptlab.data.dataset import open_dataset, prepare
from gptlab.data.documents import FILE, TABLE
from gptlab.data.figures import characters, count, histogram, kind_of, script_of, zipf


def prepared(folder, texts, **settings):
    """A data set of these texts, one a document."""
    source = folder / "texts.jsonl"
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return prepare(DataConfig(source=str(source), **settings), folder / "set")


def test_a_power_law_has_its_slope():
    counts = np.random.default_rng(0).permutation(np.round(1e6 / np.arange(1, 2001)).astype(np.int64))
    told = zipf(counts, str)
    assert told["slope"] == pytest.approx(-1, abs=0.01) and told["start"] == pytest.approx(6, abs=0.02)
    assert (told["all"], told["distinct"], told["ranks"][0], told["ranks"][-1]) == (counts.sum(), 2000, 1, 2000)
    assert told["texts"][0] == str(int(counts.argmax())) and told["counts"] == sorted(told["counts"], reverse=True)
    assert len(told["ranks"]) <= figures.POINTS and told["share"] == counts.max() / counts.sum()


def test_too_few_tokens_have_no_line():
    assert zipf(np.array([0, 50, 3, 2, 1, 1]), str)["slope"] is None
    assert zipf(np.array([0, 0]), str)["ranks"] == []


def test_every_document_is_in_one_bin():
    lengths = {"train": Counter({0: 2, 1: 3, 99: 5, 100: 1, 12_345: 1}), "val": Counter({50: 1})}
    told = histogram(lengths)
    edges, train = np.array(told["edges"]), told["train"]
    assert sum(train["bins"]) == train["documents"] == 12 and (train["median"], train["longest"]) == (99, 12_345)
    assert train["bins"][0] == 5 and told["val"]["bins"][np.searchsorted(edges, 50, side="right") - 1] == 1
    assert (np.diff(edges) > 0).all() and edges[0] == 1 and edges[-1] > 12_345
    assert histogram({"train": Counter()})["train"] == {"bins": [0, 0], "documents": 0, "median": 0, "longest": 0}


@pytest.mark.parametrize("character, kind, script", [
    ("a", "letters", "Latin"), ("ß", "letters", "Latin"), ("Ж", "letters", "Cyrillic"), ("ক", "letters", "Bengali"),
    ("\u09be", "letters", "Bengali"), ("国", "letters", "Han"), ("か", "letters", "Hiragana"), ("س", "letters", "Arabic"),
    ("\u0301", "letters", "other"), ("5", "digits", None), ("৫", "digits", None), ("“", "punctuation", None),
    ("€", "symbols", None), ("\n", "spaces", None), ("\u3000", "spaces", None), ("😀", "emoji", None), ("❤", "emoji", None),
    ("\ufe0f", "emoji", None), ("\0", "controls", None), ("\ufffd", "controls", None), ("\ue000", "controls", None)])
def test_what_a_character_is(character, kind, script):
    assert kind_of(character) == kind and kind in figures.KINDS
    assert script is None or script_of(character) == script


def test_shares_of_characters():
    counts = np.zeros(figures.CODE_POINTS, dtype=np.int64)
    for character, number in {"a": 6, "Я": 2, " ": 2}.items():
        counts[ord(character)] = number
    assert characters(counts) == ([["Latin", 0.75], ["Cyrillic", 0.25]], [["letters", 0.8], ["spaces", 0.2]])


TEXTS = [f"Text number {i}: a cat, 猫, and {'more ' * (i % 7)}🙂.\n" for i in range(60)]


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_documents_and_their_tokens_alone_say_the_same(tmp_path, monkeypatch, tokenizer):
    monkeypatch.setattr(figures, "BLOCK_CHARACTERS", 500)
    dataset = prepared(tmp_path, TEXTS, tokenizer=tokenizer, vocab_size=300)
    shares: list[float] = []
    with_documents = count(dataset.directory, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    for file in (FILE, TABLE):
        (dataset.directory / file).unlink()
    assert count(dataset.directory) == with_documents
    whole = "".join(TEXTS)
    assert with_documents["characters"] == len(whole)
    assert dict(map(tuple, with_documents["kinds"]))["emoji"] == whole.count("🙂") / len(whole)
    assert [name for name, _ in with_documents["scripts"]] == ["Latin", "Han"]
    lengths = with_documents["lengths"]
    assert lengths["train"]["documents"] + lengths["val"]["documents"] == 60
    assert lengths["train"]["longest"] == max(map(len, map(dataset.tokenizer.encode, TEXTS))) or tokenizer == "bpe"
    assert with_documents["tokens"]["all"] == len(dataset.train) - lengths["train"]["documents"]
    json.dumps(with_documents, allow_nan=False)


def test_another_language_at_the_end_is_a_step(tmp_path):
    chance = random.Random(5)
    english, bengali = (["".join(chance.choices(letters, k=800)) for _ in range(number)]
                        for letters, number in ((" abcdefghijklmnop", 90), ("অআইঈউঊঋএঐওঔকখগঘ", 10)))
    dataset = prepared(tmp_path, english + bengali, tokenizer="char")
    change = count(dataset.directory)["change"]["train"]
    assert len(change) == figures.PARTS
    assert set(change[:130]) == {1.0} and min(change[-8:]) == 3.0


def test_documents_that_run_through_several_parts(tmp_path, monkeypatch):
    """Their lengths are those between two ends of text, wherever the parts are cut."""
    dataset = prepared(tmp_path, TEXTS, tokenizer="char")
    expected = count(dataset.directory)["lengths"]
    monkeypatch.setattr(figures, "PART_TOKENS", 10)
    assert count(dataset.directory)["lengths"] == expected
    ids = open_dataset(dataset.directory).train
    assert expected["train"]["documents"] == int((ids == dataset.tokenizer.end_of_text).sum())
