"""How well a trained model foretells a text: its run's own held-out text, or any other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gptlab.config import RunConfig
from gptlab.data.dataset import open_dataset
from gptlab.data.documents import Documents
from gptlab.data.errors import DataError
from gptlab.data.token_files import batches
from gptlab.data.tokenizers import Tokenizer
from gptlab.runs.checkpoint import computed_with, find_checkpoint, load_model
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import find_dataset
from gptlab.train.batches import EvaluationWindows
from gptlab.train.device import explain_out_of_memory, pick_device, pick_precision
from gptlab.train.evaluation import evaluation_sets, mean_loss

MAKE_ROOM = "close what else uses it, such as a training, or hide the GPU by setting CUDA_VISIBLE_DEVICES to -1."


@dataclass(frozen=True)
class Evaluated:
    """`loss` is in nats per token, over `tokens` targets that stand for `bytes` of UTF-8; perplexity (infinite where no number is
    that large) and bits per byte are the same in other words."""

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    bytes: int


@explain_out_of_memory(MAKE_ROOM)
def evaluate(run: RunDir, checkpoint: str | int = "best", text: str | Documents | None = None, *, dataset: Path | None = None,
             progress: Callable[[float, str], None] = lambda share, doing: None) -> Evaluated:
    """The loss of a checkpoint's model on `text`, or on the run's held-out text, as the chart has it.

    The text is cut as `EvaluationWindows` says and as in training: a window is as long as the context, and a token is
    foretold from all that stands before it in its window. Where every document fits the context, each is a window of its
    own, and its first token is foretold from the end of another text; else windows follow each other through all of the
    text, whose very first token is not foretold. Of held-out text the windows are those of the training's own evaluations,
    also where these take a part of it; `dataset` is where that lies, if not beside the run.

    Raises UnknownCharacters for a text that the tokenizer cannot read, DataError for one in which there is nothing to
    foretell and where held-out text is missing, RunError for a missing checkpoint and for one whose loss is no number,
    TrainingError where memory runs out.
    """
    progress(0.0, "Loading the model")
    device, saved = pick_device("auto"), find_checkpoint(run, checkpoint)
    model, tokenizer, config = load_model(run, saved.step, device=device)
    if text is None:
        held_out = dataset or find_dataset(run.path.parent.parent / "datasets", run)
        windows, _ = evaluation_sets(config, open_dataset(held_out))
    else:
        tokens = tokens_of(text, tokenizer, lambda share: progress(share, "Encoding the text"))
        windows = EvaluationWindows(tokens, config.model.context_length, tokenizer.end_of_text)
    precision = precision_of(config, device, computed_with(saved))
    progress(0.0, "Measuring")
    loss = mean_loss(model, windows, precision, tell=lambda share: progress(share, "Measuring"))
    n_bytes = windows.n_bytes(tokenizer.byte_lengths())
    if n_bytes == 0:
        raise DataError("The tokenizer knows nothing of what stands in this text: choose another one.")
    if not math.isfinite(loss):
        raise RunError("The model's loss is not a number, so its weights are broken: choose an earlier checkpoint.")
    return Evaluated(loss, math.exp(loss) if loss < 700 else math.inf, loss * windows.n_targets / math.log(2) / n_bytes, windows.n_targets, n_bytes)


def tokens_of(text: str | Documents, tokenizer: Tokenizer, tell: Callable[[float], None] = lambda share: None) -> np.ndarray:
    """A text, or several documents, as a model sees them: ids, end-of-text after each. `tell` is told the share done (0 to 1).
    Raises DataError where there are none, and UnknownCharacters."""
    documents, parts, done = Documents.of([text]) if isinstance(text, str) else text, [np.empty(0, tokenizer.dtype)], 0
    tell(0.0)
    for batch in batches(documents):
        parts.append(tokenizer.encode_ended(batch))
        done += sum(map(len, batch))
        tell(done / max(1, documents.characters))
    ids = np.concatenate(parts)
    if (ids == tokenizer.end_of_text).all():
        raise DataError("There is nothing in this text to measure on: give one of a few words at least.")
    return ids


def precision_of(config: RunConfig, device: str, trained_with: tuple[str, str] | None) -> str:
    """The number format that the run was trained in, or this device's own where it lacks that.

    `trained_with` is the device and the format of the training, where a checkpoint says so: "auto" may have become any.
    """
    if trained_with is not None and trained_with[0] == device:
        return trained_with[1]
    try:
        return pick_precision(config.train.precision, device)
    except ValueError:
        return pick_precision("auto", device)
