"""The commands that use a trained model: letting it write, and measuring it on text it has not seen."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
from pathlib import Path

import numpy as np

from gptlab.cli.line import Line
from gptlab.cli.options import settings_of, workspace_of
from gptlab.cli.sources import STDIN, given
from gptlab.config import DataConfig, RunConfig, SampleConfig
from gptlab.data.dataset import open_dataset
from gptlab.data.documents import Documents
from gptlab.data.sources import read_documents
from gptlab.data.synthetic import sums_right
from gptlab.data.tokenizers import Tokenizer
from gptlab.generate.generator import generate as tokens_of
from gptlab.generate.generator import generate_side_by_side
from gptlab.model.gpt import GPT
from gptlab.runs.checkpoint import load_model
from gptlab.runs.evaluating import MAKE_ROOM
from gptlab.runs.evaluating import evaluate as evaluate_run
from gptlab.runs.workspace import Workspace
from gptlab.train.device import explain_out_of_memory, pick_device

MOST_SUMS = 200  # that a model of arithmetic is asked


@explain_out_of_memory(MAKE_ROOM)
def generate(options: argparse.Namespace) -> dict:
    """Continue a prompt; the text streams to stdout as it is written, unless --json asks for it whole.

    Several prompts are continued side by side and printed when all are done; with --json they are `texts`, and `text` is
    the first one's.
    """
    run = workspace_of(options).find_run(options.run)
    settings = sampling(run.config(), options)
    model, tokenizer, _ = load_model(run, options.checkpoint, device=pick_device("auto"))
    prompts = options.prompt or [""]
    streams = len(prompts) == 1 and not options.json
    texts = [{"prompt": prompt, "text": "", "token_ids": []} for prompt in prompts]
    tokens = generate_side_by_side(model, tokenizer, prompts, settings)
    if streams:
        print(prompts[0], end="", flush=True)
    for i, token in tokens:
        texts[i]["text"] += token.text
        texts[i]["token_ids"].append(token.id)
        if streams:
            print(token.text, end="", flush=True)
    if streams:
        print()
    elif not options.json:
        print("\n\n".join(written["prompt"] + written["text"] for written in texts))
    first = {"text": texts[0]["text"], "token_ids": texts[0]["token_ids"]}
    return first if len(texts) == 1 else {**first, "texts": texts}


def sampling(config: RunConfig, options: argparse.Namespace) -> SampleConfig:
    """The run's own way to sample, changed by the options given. Raises ConfigError."""
    given = {"sample.temperature": options.temperature, "sample.top_k": options.top_k, "sample.top_p": options.top_p,
             "sample.seed": options.seed, "sample.greedy": True if options.greedy else None}
    if options.temperature is not None:
        given["sample.greedy"] = False
    given = {name: value for name, value in given.items() if value is not None}
    return config.replace({**settings_of(options), **given}).sample


def evaluate(options: argparse.Namespace) -> dict:
    """The loss on the run's held-out text, as its chart has it, or on a file's: nats per token, perplexity, bits per byte.

    A model of the built-in sums is also asked some of those held out: `exact_match` is the share it answers right.
    """
    workspace = workspace_of(options)
    run = workspace.find_run(options.run)
    dataset = workspace.dataset_of(run) if options.text is None else None
    with Line() as line:
        text = None if options.text is None else _documents(workspace, options.text, line)
        measured = evaluate_run(run, options.checkpoint, text, dataset=dataset, progress=line.show)
    if not options.json:
        print(f"loss {measured.loss:.4f}, perplexity {measured.perplexity:.2f}, {measured.bits_per_byte:.4f} bits per byte, over "
              f"{measured.tokens:,} tokens")
    result = dataclasses.asdict(measured)
    if not math.isfinite(measured.perplexity):
        result["perplexity"] = None  # JSON has no such number
    if dataset is not None and run.config().data.source == "arithmetic":
        model, tokenizer, _ = load_model(run, options.checkpoint, device=pick_device("auto"))
        result["exact_match"] = exact_match(model, tokenizer, open_dataset(dataset).val)
        if not options.json:
            print(f"exact match: {result['exact_match']:.1%} of unseen sums answered right")
    return result


def _documents(workspace: Workspace, wanted: str, line: Line) -> Documents:
    """What stands in a file, or for "-" on standard input. Raises DataError."""
    with contextlib.ExitStack() as kept:
        line.show(0.0, "Reading the text")
        path = kept.enter_context(given(workspace, [STDIN])).source if wanted == STDIN else str(Path(wanted).resolve())
        return read_documents(DataConfig(source=path), fewest_characters=1,
                              tell=lambda share: line.show(share, "Reading the text")).documents


def exact_match(model: GPT, tokenizer: Tokenizer, tokens: np.ndarray) -> float:
    """The share of sums answered right, greedily, one of each of at most MOST_SUMS documents of `tokens`, evenly spaced.

    The model reads the document up to the "=". Documents differ in which of their sums is asked.
    """
    ends = np.flatnonzero(tokens == tokenizer.end_of_text)
    asked = np.unique(np.linspace(0, len(ends) - 1, MOST_SUMS).astype(int))
    settings, right = SampleConfig(greedy=True, max_new_tokens=8, stop=("\n",)), 0
    for i in asked:
        lines = tokenizer.decode(tokens[ends[i - 1] + 1 if i else 0:ends[i]]).split("\n")
        which = i % len(lines)
        question = lines[which].partition("=")[0] + "="
        prompt = "\n".join([*lines[:which], question])
        answer = "".join(token.text for token in tokens_of(model, tokenizer, prompt, settings))
        right += sums_right(question + answer)[0]
    return right / len(asked)
