"""Two tokenizers side by side, without a browser: what a page is told, and that nothing is learnt twice."""

import json
import threading

import pytest
from tokenizers import Tokenizer as HFTokenizer, models, pre_tokenizers

from gptlab.config import DataConfig, ModelConfig
from gptlab.data import bench
from gptlab.data.learning import train_bpe
from gptlab.runs import beside
from gptlab.ui import bench_store, tokenizer_bench, words_bench
from gptlab.ui.bench_store import Store

MODEL = ModelConfig(n_layer=1, n_head=1, n_embd=8, context_length=16)
CHAR, BPE = {"kind": "char"}, {"kind": "bpe", "vocabulary": 300}


@pytest.fixture
def store(monkeypatch):
    """Whose work is done here and noted down: a process of its own takes a second."""
    store = Store()
    store.done = []

    def call(function, *arguments, seconds):
        store.done.append(function.__name__)
        return function(*arguments)

    learn = bench.learn
    monkeypatch.setattr(bench, "learn", lambda text: store.done.append("learn") or learn(text))
    monkeypatch.setattr(beside, "call", call)
    return store


def told(store, text_file, sides, **values) -> tuple[list[str], dict]:
    """(what was said to be done, the answer)."""
    answers = list(tokenizer_bench.compared(store, lambda: DataConfig(source=str(text_file), **values), MODEL, sides))
    return [one["doing"] for one in answers[:-1]], answers[-1]


def test_numbers_of_both_sides_and_which_is_better(store, text_file, small_text):
    doing, answer = told(store, text_file, [CHAR, BPE])
    assert doing[0] == words_bench.READING_TEXT
    assert doing[2] == f"Learning up to 65,536 pieces from {len(small_text):,} characters …"
    json.dumps(answer)  # as a page takes it
    rows = {row["label"]: row for row in answer["rows"]}
    alphabet = len(set(small_text)) + 1
    pieces = train_bpe([small_text], 300)
    per_token = len(small_text) / len(pieces.encode(small_text))
    assert rows["Vocabulary"]["values"] == [str(alphabet), "300"] and rows["Vocabulary"]["better"] is None
    assert rows["Bytes per token"]["values"] == ["1.00", f"{per_token:.2f}"] and rows["Bytes per token"]["better"] == 1
    assert rows["Tokens per word"]["values"][0] == f"{len(small_text) / len(small_text.split()):.2f}"
    assert rows["Tokens per word"]["better"] == 1 and rows["Vocabulary used"]["better"] == 0
    assert rows["Vocabulary used"]["values"][0] == f"100 % ({alphabet} of {alphabet})"
    assert rows["Text comes back"]["values"] == ["exactly", "exactly"] and rows["Text comes back"]["better"] is None
    assert answer["sides"][0]["sentence"] == "Characters pack 1 byte in a token, so a context of 16 tokens holds 16 characters."
    assert answer["measured"] == f"Learnt from and measured on all of the text: {len(small_text):,} characters."


def test_a_sample_of_short_texts_has_their_ends_in_it(store, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": f"row {i} of a table with short texts"}) for i in range(40)]
    path.write_text("\n".join(rows), encoding="utf-8")
    cut = told(store, path, [CHAR, BPE])[1]["sides"][0]["sample"]
    shown = "".join(token for token, _, _ in cut["tokens"])
    assert shown.startswith("row 0 of a table with short texts<|endoftext|>row 1 of")
    assert cut["bytes"] == tokenizer_bench.SAMPLE_CHARACTERS == cut["count"] - shown.count("<|endoftext|>")


def test_share_of_the_model_by_hand():
    """8 numbers a token, 16 positions; a block of 4·8² + 2·4·8² numbers in matrices and two norms of 8, and a norm at the end."""
    block = 4 * 64 + 8 * 64 + 2 * 8
    assert tokenizer_bench.table(MODEL, 100) == (800, 800 + 16 * 8 + block + 8)
    apart = ModelConfig(n_layer=1, n_head=1, n_embd=8, context_length=16, tie_embeddings=False)
    assert tokenizer_bench.table(apart, 100) == (1600, 1600 + 16 * 8 + block + 8)


def test_a_vocabulary_is_learnt_once_for_a_text_and_its_state(store, text_file):
    told(store, text_file, [CHAR, BPE])
    assert store.done == ["read_text", "compare", "compare", "learn"]  # each in a process of its own, but what is learnt
    assert told(store, text_file, [BPE, CHAR])[0] == []  # at once
    doing, answer = told(store, text_file, [CHAR, {"kind": "bpe", "vocabulary": 280}], val_fraction=0.2, tokenizer="byte")
    assert doing == [words_bench.CUTTING_TEXT] and answer["rows"][0]["values"][1] == "280"
    assert store.done[4:] == ["compare"]
    told(store, text_file, [CHAR, {"kind": "byte"}], cleaning=("unicode",))
    assert store.done[5:] == ["read_text", "compare", "compare"]  # another text, and nothing to learn
    text_file.write_text("It is another text by now, longer than the least that there may be. " * 3, encoding="utf-8")
    answer = told(store, text_file, [CHAR, {"kind": "bpe", "vocabulary": 65_536}])[1]
    assert "204 characters" in answer["measured"] and answer["sides"][1]["note"].startswith("This text has no more pairs")


def test_two_pages_that_ask_for_the_same_wait_for_one_piece_of_work(store, text_file, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    slow = beside.call

    def call(*arguments, seconds):
        begun.set()
        assert go.wait(30)
        return slow(*arguments, seconds=seconds)

    monkeypatch.setattr(beside, "call", call)
    answers = []
    pages = [threading.Thread(target=lambda: answers.append(told(store, text_file, [CHAR, BPE])[1])) for _ in range(2)]
    for page in pages:
        page.start()
    assert begun.wait(30)
    go.set()
    for page in pages:
        page.join(60)
    assert store.done == ["read_text", "compare", "compare", "learn"] and answers[0] == answers[1]


def test_a_sentence_is_cut_and_what_a_tokenizer_does_not_know_is_said(store, text_file):
    ids = [side["id"] for side in told(store, text_file, [CHAR, BPE])[1]["sides"]]
    char, bpe = tokenizer_bench.cut(store, {"ids": ids, "text": "the cat ☃"})["sides"]
    assert "never seen '☃'" in char["problem"]
    assert bpe["bytes"] == 11 and bpe["count"] == len(bpe["tokens"]) and bpe["tokens"][-3:] == [
        ("\\xe2", 158, False), ("\\x98", 246, False), ("\\x83", 225, False)]
    assert tokenizer_bench.cut(store, {"ids": ["long ago", ids[0]], "text": "the"})["sides"][0] is None
    for nonsense in (None, {}, {"ids": 3, "text": 4}, {"ids": [[], {}], "text": None}):
        assert not any(tokenizer_bench.cut(store, nonsense)["sides"])
    assert tokenizer_bench.cut(store, {"ids": ids[1:], "text": "e " * 10**6})["sides"][0]["bytes"] == tokenizer_bench.MOST_TYPED


def test_merges_come_in_their_order_a_part_at_a_time(store, text_file, small_text):
    side = told(store, text_file, [CHAR, {"kind": "bpe", "vocabulary": 400}])[1]["sides"][1]
    merges = train_bpe([small_text], 400).merges()
    assert side["merge_count"] == len(merges) > 100 and len(side["merges"]) == words_bench.MERGES_SHOWN
    rest = tokenizer_bench.merges(store, {"id": side["id"], "first": len(side["merges"])})["merges"]
    text = train_bpe([small_text], 400).token_text
    assert [[one for one, _ in merge] for merge in side["merges"] + rest] == [list(map(text, merge)) for merge in merges]
    assert tokenizer_bench.merges(store, {"id": "long ago"}) == {"merges": None} == tokenizer_bench.merges(store, None)
    assert tokenizer_bench.merges(store, {"id": side["id"], "first": "x"})["merges"][0] == side["merges"][0]


def test_a_file_is_compared_and_a_bad_one_gets_a_sentence_on_its_own_side(store, text_file, small_text, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_bench, "uploaded", lambda path: path)
    good, bad = tmp_path / "tokenizer.json", tmp_path / "bad.json"
    train_bpe([small_text], 290).save(good)
    bad.write_text('{"version": 1', encoding="utf-8")
    files = [{"kind": "file", "upload": str(path)} for path in (good, bad)]
    good_side, bad_side = told(store, text_file, files)[1]["sides"]
    assert good_side["name"] == "tokenizer.json" and good_side["merge_count"] == 33 and good_side["note"] == ""
    assert bad_side["problem"].startswith("bad.json is not a tokenizer.json, or is cut off")
    none = told(store, text_file, [CHAR, {"kind": "file"}])[1]
    assert none["sides"][1]["problem"] == words_bench.NO_TOKENIZER_FILE and none["rows"][0]["values"][1] == "–"
    monkeypatch.setattr(bench_store, "LARGEST_FILE_BYTES", 10)
    assert "larger than" in told(store, text_file, [CHAR, {"kind": "file", "upload": str(bad)}])[1]["sides"][1]["problem"]


def test_only_files_that_were_uploaded_are_read(store, text_file, tmp_path):
    train_bpe(["abab"], 258).save(tmp_path / "tokenizer.json")
    answer = told(store, text_file, [CHAR, {"kind": "file", "upload": str(tmp_path / "tokenizer.json")}])[1]
    assert answer["sides"][1]["problem"] == words_bench.NO_TOKENIZER_FILE and not answer["sides"][1]["file"]


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "/" * 5000, "\ud800", "", 3, ["a"], None])
def test_a_path_of_any_kind_gets_a_sentence(store, text_file, path):
    choice = {"kind": "file", "upload": path}
    assert told(store, text_file, [CHAR, choice])[1]["sides"][1]["problem"] == words_bench.NO_TOKENIZER_FILE
    assert tokenizer_bench.refusal(choice) == words_bench.NO_TOKENIZER_FILE and tokenizer_bench.refusal(BPE) == ""


def test_no_star_for_few_tokens_where_the_text_does_not_come_back(store, text_file, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_bench, "uploaded", lambda path: path)
    lossy = HFTokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    lossy.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    lossy.save(str(tmp_path / "lossy.json"))
    answer = told(store, text_file, [CHAR, {"kind": "file", "upload": str(tmp_path / "lossy.json")}])[1]
    rows = {row["label"]: row for row in answer["rows"]}
    assert rows["Text comes back"]["values"] == ["exactly", "changed"] and rows["Text comes back"]["better"] == 0
    for label in ("Bytes per token", "Tokens per word"):
        assert rows[label]["values"][0] != rows[label]["values"][1] and rows[label]["better"] is None


def test_whoever_waits_for_others_is_told_so(store, text_file):
    answers = tokenizer_bench.compared(store, lambda: DataConfig(source=str(text_file)), MODEL, [CHAR, BPE])
    with store._working:
        assert next(answers)["doing"] == words_bench.WAITING
    assert next(answers)["doing"] == words_bench.READING_TEXT


def test_what_cannot_be_read_is_a_sentence_for_both(store, tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    assert "empty" in told(store, tmp_path / "empty.txt", [CHAR, BPE])[1]["problem"]


def test_learning_that_takes_too_long_is_ended_with_a_sentence(store, text_file, monkeypatch):
    def call(function, *arguments, seconds):
        if "bpe" in arguments:
            raise TimeoutError
        return function(*arguments)

    monkeypatch.setattr(beside, "call", call)
    char, bpe = told(store, text_file, [CHAR, BPE])[1]["sides"]
    assert "problem" not in char and "spaces" in bpe["problem"]


@pytest.mark.parametrize("asked", [None, [], [1, 2], [{"kind": "x"}, {"kind": ["bpe"]}], [{"kind": "bpe", "vocabulary": -5}] * 2])
def test_nonsense_is_made_sense_of(store, text_file, asked):
    assert all(row["values"] for row in told(store, text_file, asked)[1]["rows"])


def test_what_is_prepared_with_a_side(monkeypatch):
    assert tokenizer_bench.settings_of({"kind": "bpe", "vocabulary": 512}) == ("bpe", 512, None)
    assert tokenizer_bench.settings_of({"kind": "bpe", "vocabulary": 256}) == ("bpe", 257, None)  # bytes and the end of a text
    assert tokenizer_bench.settings_of({"kind": "char"})[0] == "char"
    monkeypatch.setattr(tokenizer_bench, "uploaded", lambda path: path)
    assert tokenizer_bench.settings_of({"kind": "file", "upload": "a.json"})[::2] == ("file", "a.json")
    with pytest.raises(ValueError, match="Choose a tokenizer.json"):
        tokenizer_bench.settings_of({"kind": "file"})


def test_the_slider_goes_from_bytes_alone_to_65536():
    stops = tokenizer_bench.VOCABULARIES
    assert (stops[0], stops[-1]) == (256, 65_536) and stops == sorted(set(stops))
    assert all(b / a <= 1.5 for a, b in zip(stops, stops[1:]))
