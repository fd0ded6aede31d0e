"""A leak and a licence tail, planted and found; and a clean text, of which nothing untrue is said."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from gptlab.config import DataConfig, RunConfig
from gptlab.data import health
from gptlab.data.dataset import prepare
from gptlab.data.synthetic import stories

LICENCE = ("Section {n}. General terms of use and redistributing electronic works. By reading or using any part of this "
           "agreement ({n}.{m}), you accept all the terms of this license and trademark/copyright agreement, and must cease "
           "using and return or destroy all copies in your possession within {m}0 days of receipt.\n")
CHANCE = random.Random(5)
PLAY = "\n".join(stories(1500, seed=7)[0])  # 350,000 characters of one kind
TAIL = "".join(LICENCE.format(n=n, m=CHANCE.randrange(1, 9)) for n in range(1, 140))  # a tenth of them


def findings(tmp_path, text, name="text.txt", **settings):
    """The findings on a text, by their codes."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    made = prepare(DataConfig(source=str(path), **settings), tmp_path / "made")
    return {found["code"]: found for found in made.manifest["alerts"]}


@pytest.mark.parametrize("settings", [{"split": "spread"}, {"split": "tail"}, {"tokenizer": "bpe", "vocab_size": 512}])
def test_of_a_clean_text_nothing_untrue_is_said(tmp_path, settings):
    assert findings(tmp_path, PLAY, **settings) == {}


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_a_licence_held_out_is_drift_and_its_remedy_mends_it(tmp_path, tokenizer):
    found = findings(tmp_path, PLAY + TAIL, split="tail", tokenizer=tokenizer, vocab_size=512)
    assert set(found) >= {"drift"} and found["drift"]["changes"]["data.split"] == "spread"
    assert "times as unlike" in found["drift"]["evidence"]
    mended = RunConfig().replace(found["drift"]["changes"]).data
    again = prepare(DataConfig(source=str(tmp_path / "text.txt"), tokenizer=tokenizer, vocab_size=512, split=mended.split,
                               cleaning=mended.cleaning), tmp_path / "again")
    assert "drift" not in [alert["code"] for alert in again.manifest["alerts"]]


def test_a_leak_is_found_and_its_remedy_mends_it(tmp_path):
    texts = stories(400, seed=3)[0]
    rows = [text for text in texts for _ in range(2)]
    CHANCE.shuffle(rows)
    jsonl = "".join(json.dumps({"text": text}) + "\n" for text in rows)
    assert "leakage" not in findings(tmp_path / "whole", jsonl, "rows.jsonl")  # what is alike stays on one side
    found = findings(tmp_path, jsonl, "rows.jsonl", split="tail")
    assert "stand there whole" in found["leakage"]["evidence"]
    assert found["leakage"]["changes"] == {"data.cleaning": ["duplicates", "near-duplicates"]}
    again = prepare(DataConfig(source=str(tmp_path / "rows.jsonl"), split="tail",
                               cleaning=("duplicates", "near-duplicates")), tmp_path / "again")
    assert "leakage" not in [alert["code"] for alert in again.manifest["alerts"]]


def test_short_documents_that_are_the_same_but_for_a_number_leak(tmp_path):
    sentences = [text.split(".")[0] for text in stories(7, seed=9)[0]]
    rows = "".join(json.dumps({"text": f"{sentences[i % 7]} {i}"}) + "\n" for i in range(300))
    leak = findings(tmp_path, rows, "rows.jsonl")["leakage"]
    assert leak["changes"] == {"data.cleaning": ["duplicates", "near-duplicates"], "data.near_duplicate_threshold": 0.6}
    sums = "".join(json.dumps({"text": f"{a}+{b}={a + b}"}) + "\n" for a in range(100, 140) for b in range(100, 140))
    assert "leakage" not in findings(tmp_path / "sums", sums, "sums.jsonl")


def test_long_passages_that_come_again_leak_though_no_document_does(tmp_path):
    page = PLAY[:20_000]
    found = findings(tmp_path, "".join(f"{PLAY[i * 9000:(i + 1) * 9000]}\n\n{page}" for i in range(12)), split="spread")
    assert "stand word for word in the training text" in found["leakage"]["evidence"]


@pytest.mark.parametrize("text, settings, code, changes", [
    (PLAY[:3000], {}, "too-little-text", {}),
    (PLAY[:9000], {"val_fraction": 0.02}, "too-little-val", {"data.val_fraction": 0.12}),
    (PLAY[:60_000], {"tokenizer": "bpe", "vocab_size": 2000}, "vocabulary-too-large", None)])
def test_what_is_too_little_or_too_large(tmp_path, text, settings, code, changes):
    found = findings(tmp_path, text, **settings)[code]
    assert found["severity"] == "warning" and found["message"].endswith(".") and found["evidence"].endswith(".")
    assert found["changes"] == changes or (changes is None and found["changes"]["data.vocab_size"] < 2000)


def test_one_document_that_is_most_of_the_text(tmp_path):
    rows = [PLAY[:50_000], *(PLAY[i:i + 300] for i in range(60_000, 66_000, 300))]
    found = findings(tmp_path, "".join(json.dumps({"text": row}) + "\n" for row in rows), "rows.jsonl")
    assert "50,000 of 56,000" in found["dominating-document"]["evidence"]
    assert found["dominating-document"]["changes"] == {"data.split": "spread"}
    again = prepare(DataConfig(source=str(tmp_path / "rows.jsonl"), split="spread"), tmp_path / "again").manifest["alerts"]
    told = {alert["code"]: alert for alert in again}["dominating-document"]  # there was a button still, that changed nothing
    assert (told["severity"], told["changes"]) == ("info", {})


def test_rows_that_were_left_out_are_told(tmp_path):
    jsonl = "".join(json.dumps({"text": text}) + "\n" for text in stories(60, seed=3)[0]) + "no\n[1]\n"
    assert "2 rows" in findings(tmp_path, jsonl, "rows.jsonl")["left-out"]["message"]


def test_drift_is_measured_against_what_chance_gives():
    chance = np.random.default_rng(1)
    train, same, other = chance.integers(0, 400, 60_000), chance.integers(0, 400, 6_000), chance.integers(0, 300, 6_000)
    assert health.drift(train, same, 400) < 1.2 and health.drift(train, other, 400) > 2
    assert health.drift(train[:500], same[:90], 400) is None
