"""What a page is told of the tokens in samples: their texts are the text, copies are what Python's `in` finds; and only that."""

import json
from types import SimpleNamespace

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.data.ngrams import stretch_length
from gptlab.ui import sample_tokens
from gptlab.ui.lab import Lab
from gptlab.ui.sample_tokens import SampleTokens


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), SimpleNamespace(current=None, queue=[]))


def question(run, *samples):
    return {"run": run.id, "samples": [{"prompt": prompt, "token_ids": [int(id) for id in ids]} for prompt, ids in samples]}


def settled(tokens, asked):
    """The answer once the training text is taken in."""
    first = tokens.copied(asked)
    assert first["again"] and set(first["ranges"]) <= {None}
    tokens._building.join()
    return tokens.copied(asked)


# pieces

@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_the_pieces_put_together_are_the_text(tmp_path, small_text, lab, kind):
    source = tmp_path / "text.txt"
    text = small_text[:3000] + " Grün, 猫, 🙂. " * (kind != "char")
    source.write_text(text, encoding="utf-8")
    dataset = prepare(DataConfig(source=str(source), tokenizer=kind, vocab_size=300), lab.workspace.datasets / kind)
    run = tiny_run(lab.workspace, kind)
    run.tokenizer_path.write_text((dataset.directory / "tokenizer.json").read_text(encoding="utf-8"), encoding="utf-8")
    ids = dataset.tokenizer.encode(text[-200:])
    pieces = SampleTokens(lab).pieces(question(run, ("The", ids)))["pieces"][0]
    assert "".join(pieces) == text[-200:] and len(pieces) == len(ids)
    if kind == "byte":
        assert "" in pieces  # within a character


@pytest.mark.parametrize("asked", [
    None, 7, "x", [], {}, {"samples": None}, {"samples": [None, 3, "a", [], {}]}, {"samples": [{"token_ids": "123"}]},
    {"samples": [{"token_ids": [-1, 2.5, "1", None, True]}]}, {"samples": [{"token_ids": [10**30]}]}, {"samples": {"a": 1}},
    {"samples": [{"prompt": 5, "token_ids": [1, 2]}]}, {"samples": [{"prompt": "\ud800 €", "token_ids": [2**31 - 1]}]}])
@pytest.mark.parametrize("run", [None, "..", 5])
def test_whatever_is_asked_is_answered(lab, asked, run):
    asked = {**asked, "run": run or tiny_run(lab.workspace).id} if isinstance(asked, dict) else asked
    tokens = SampleTokens(lab)
    samples = asked.get("samples") if isinstance(asked, dict) else None
    for answer, key in ((tokens.pieces(asked), "pieces"), (tokens.copied(asked), "ranges")):
        assert len(answer[key]) == (len(samples) if isinstance(samples, list) else 0) and json.dumps(answer)


def test_an_answer_is_bounded(lab):
    run = tiny_run(lab.workspace)
    pieces = SampleTokens(lab).pieces(question(run, *[("", [1] * 100_000)] * 1000))["pieces"]
    assert len(pieces) == sample_tokens.MOST_SAMPLES and {len(one) for one in pieces} == {sample_tokens.MOST_TOKENS}


def test_a_run_without_its_tokenizer_has_no_pieces(lab):
    run = tiny_run(lab.workspace)
    run.tokenizer_path.unlink()
    tokens = SampleTokens(lab)
    assert tokens.pieces(question(run, ("", [1]))) == {"pieces": [[]]}
    assert tokens.copied(question(run, ("", [1]))) == {"ranges": [None], "again": False}


# copies

def copies(text, sample, length):
    """By slices: the ranges of `sample` covered by stretches of `length` characters that stand in `text`."""
    covered = [any(sample[i:i + length] in text for i in range(max(0, at - length + 1), at + 1) if i + length <= len(sample))
               for at in range(len(sample))]
    edges = [at for at in range(len(sample) + 1) if (at < len(sample) and covered[at]) != (at > 0 and covered[at - 1])]
    return [list(pair) for pair in zip(edges[::2], edges[1::2])]


@pytest.mark.parametrize("sampled", [False, True])
def test_copies_are_what_stands_in_the_training_text(lab, sampled, monkeypatch):
    if sampled:  # a long text, of which not every stretch is kept
        monkeypatch.setattr(sample_tokens.ngrams, "MOST_HASHES", 2000)
    run, dataset = tiny_run(lab.workspace), lab.workspace.open_dataset("tiny")
    train = "".join(dataset.tokenizer.decode([id]) or "\0" for id in dataset.train)  # documents stay apart
    texts = [train[100:180], "zzzz" + train[300:340] + "zzzz" + train[500:510] + "zz" + train[700:740], "zz" * 40, train[:15], ""]
    texts = [text.replace("z", "e").replace("\0", "") for text in texts]
    answer = settled(SampleTokens(lab), question(run, *[("", dataset.tokenizer.encode(text)) for text in texts]))
    length = stretch_length(dataset.manifest["train_tokens"], dataset.manifest["train_bytes"])
    expected = [copies(train, text, length) for text in texts]
    assert not answer["again"] and any(expected)
    if not sampled:
        assert answer["ranges"] == expected
    for text, found, sure in zip(texts, answer["ranges"], expected):  # never more than is true
        assert all(any(a <= start and end <= b for a, b in sure) for start, end in found), text


def test_ranges_count_as_a_browser_does(tmp_path, lab):
    source = tmp_path / "smileys.txt"
    source.write_text("🙂 is a smile and 猫 is a cat, as everybody knows well. " * 60, encoding="utf-8")
    dataset = prepare(DataConfig(source=str(source)), lab.workspace.datasets / "smileys")
    run = tiny_run(lab.workspace)
    for name in ("tokenizer.json", "manifest.json"):
        (run.path / name).write_text((dataset.directory / name).read_text(encoding="utf-8"), encoding="utf-8")
    text = "🙂🙂🙂🙂 is a smile and 猫 is a cat, as everybody"
    answer = settled(SampleTokens(lab), question(run, ("", dataset.tokenizer.encode(text))))
    assert answer["ranges"] == [[[6, len(text) + 4]]]  # each smiley counts two


def test_without_the_data_set_it_says_that_it_cannot_tell(lab):
    run = tiny_run(lab.workspace)
    (lab.workspace.datasets / "tiny" / "manifest.json").unlink()
    assert settled(SampleTokens(lab), question(run, ("", [1] * 30))) == {"ranges": [None], "again": False}


def test_few_training_texts_are_kept_and_too_long_ones_left_alone(lab, monkeypatch):
    run, tokens = tiny_run(lab.workspace), SampleTokens(lab)
    tokens._texts = {"a": None, "b": None}
    settled(tokens, question(run, ("", [1] * 30)))
    assert list(tokens._texts) == ["b", run.manifest()["hash"]]
    monkeypatch.setattr(sample_tokens, "MOST_TEXT", 10)
    assert settled(SampleTokens(lab), question(run, ("", [1] * 30))) == {"ranges": [None], "again": False}
