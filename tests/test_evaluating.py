"""The loss of a trained model on any text, against sums over its logits made by hand."""

import math

import pytest
import torch
from tiny_run import finished_run, tiny_workspace

from gptlab import cli
from gptlab.config import RunConfig
from gptlab.data.documents import Documents
from gptlab.data.errors import DataError
from gptlab.data.tokenizers import UnknownCharacters
from gptlab.events import Evaluation
from gptlab.runs.checkpoint import load_model
from gptlab.runs import evaluating
from gptlab.runs.evaluating import evaluate, precision_of


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_text):
    """Trained for 16 steps; a context of 16 tokens, and evaluations that take a part of the held-out text."""
    workspace = tiny_workspace(tmp_path_factory.mktemp("evaluating"), small_text)
    return finished_run(workspace, train__max_steps=16, train__eval_batches=1)


def nats(model, ids: list[int], first: int) -> float:
    """Of all ids from number `first` on, each after all those before it."""
    with torch.no_grad():
        logprobs = model(torch.tensor([ids[:-1]])).log_softmax(dim=-1)[0]
    return -sum(float(logprobs[i - 1, ids[i]]) for i in range(first, len(ids)))


def test_held_out_text_has_the_loss_of_the_chart(run):
    seen = [event for event in run.events() if isinstance(event, Evaluation)]
    told = []
    for which, event in (("last", seen[-1]), (seen[0].step, seen[0])):
        measured = evaluate(run, which, progress=lambda share, doing: told.append((share, doing)))
        assert measured.loss == pytest.approx(event.val_loss, abs=1e-5)
        assert measured.bits_per_byte == pytest.approx(event.val_bits_per_byte, abs=1e-5)
        assert measured.tokens == 8 * 16 and measured.perplexity == pytest.approx(math.exp(measured.loss))
    assert told[-1] == (1.0, "Measuring") and {doing for _, doing in told} == {"Loading the model", "Measuring"}


def test_a_long_text_is_measured_window_by_window(run):
    text = "The cat sat on a mat and then\nit saw two birds."
    model, tokenizer, _ = load_model(run)
    ids = [*tokenizer.encode(text).tolist(), tokenizer.end_of_text]
    windows = [ids[start:start + 17] for start in range(0, len(ids) - 1, 16)]  # each begins with the last token of the one before
    expected = sum(nats(model, window, 1) for window in windows)
    measured = evaluate(run, text=text)
    assert measured.tokens == len(text) and measured.loss * len(text) == pytest.approx(expected, rel=1e-4)
    assert measured.bytes == len(text) - 1  # all but the first character, and end-of-text has none
    assert measured.bits_per_byte == pytest.approx(expected / math.log(2) / measured.bytes, rel=1e-4)


def test_a_document_that_fits_the_context_is_measured_whole(run):
    model, tokenizer, _ = load_model(run)
    texts = ["The cat sat", "two birds"]
    end = tokenizer.end_of_text
    expected = sum(nats(model, [end, *tokenizer.encode(text).tolist(), end], 1) for text in texts)
    measured = evaluate(run, text=Documents.of(texts))
    assert measured.tokens == 22 and measured.bytes == 20 and measured.loss * 22 == pytest.approx(expected, rel=1e-4)
    alone = [evaluate(run, text=text) for text in texts]
    assert sum(one.loss * one.tokens for one in alone) == pytest.approx(expected, rel=1e-4)


def test_it_tells_how_much_of_a_text_is_encoded_and_measured(run, monkeypatch):
    monkeypatch.setattr("gptlab.data.token_files.BATCH_DOCUMENTS", 1)
    told = []
    evaluate(run, text=Documents.of(["The cat sat"] * 4), progress=lambda share, doing: told.append((doing, share)))
    assert [share for doing, share in told if doing == "Encoding the text"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert told[-1] == ("Measuring", 1.0)


def test_what_cannot_be_measured_says_why(run):
    with pytest.raises(UnknownCharacters, match="'ü', 'ß'"):
        evaluate(run, text="Füße")
    for nothing in ("", Documents.of([])):
        with pytest.raises(DataError, match="There is nothing in this text"):
            evaluate(run, text=nothing)


@pytest.mark.parametrize("loss, told", [(1e4, "null"), (math.nan, None)])
def test_a_model_gone_wrong_is_measured_as_far_as_it_can_be(run, monkeypatch, capsys, loss, told):
    """The perplexity of a loss of thousands of nats is no number that a computer has."""
    monkeypatch.setattr(evaluating, "mean_loss", lambda *_, **__: loss)
    failed = cli.main(["evaluate", str(run.path), "--json"])
    output = capsys.readouterr()
    assert failed == (told is None)
    assert "choose an earlier checkpoint" in output.err if failed else f'"perplexity": {told}' in output.out


def test_it_is_measured_in_the_precision_of_the_run():
    def chosen(precision: str, trained_with: tuple[str, str] | None = None) -> str:
        return precision_of(RunConfig().replace({"train.precision": precision}), "cpu", trained_with)
    assert (chosen("bf16"), chosen("fp32"), chosen("auto")) == ("bf16", "fp32", "fp32")
    assert chosen("fp16") == "fp32"  # which a processor cannot do
    assert chosen("auto", ("cpu", "bf16")) == "bf16" and chosen("auto", ("cuda", "bf16")) == "fp32"
