"""Letting a trained model write for a page: models of our own, kept for a while, on threads that step back for training.

Knows runs and generation, nothing of widgets. A live training's weights are never touched.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptlab.config import SampleConfig
from gptlab.data.tokenizers import Tokenizer
from gptlab.generate.generator import Reader, Token, generate
from gptlab.model.gpt import GPT
from gptlab.runs.checkpoint import find_checkpoint, load_model
from gptlab.runs.rundir import RunDir
from gptlab.ui import words
from gptlab.ui.lab import Lab

MODELS_KEPT = 2
ALTERNATIVES = 10  # to each token
SECONDS_BETWEEN_UPDATES = 0.1     # of a text on a page; of one longer than LONG_TOKENS more in proportion, for each repeats it all
LONG_TOKENS, MOST_SECONDS_BETWEEN = 500, 1.0
NICENESS = 10  # on Linux, where a thread can have one of its own


@dataclass(frozen=True)
class Written:
    """What there is of a text so far. `ending` is "" while it grows, then end, length or stopped."""

    pieces: tuple[Token, ...]
    seconds: float
    ending: str = ""

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.pieces)

    @property
    def tokens(self) -> int:
        return len(self.pieces)


class Writer:
    """Writes with any checkpoint of any run."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._models: OrderedDict[str, tuple[GPT, Tokenizer]] = OrderedDict()
        self._lock = threading.Lock()
        # The last text that somebody asked about: (its model, its ids, the logits of what follows).
        self._peeked: tuple[weakref.ref[GPT], list[int], Tensor] | None = None

    def write(self, run: RunDir, which: str, prompt: str, settings: SampleConfig, should_stop: Callable[[], bool],
              begun: Sequence[int] = ()) -> Iterator[Written]:
        """What grows behind `prompt` and the tokens `begun`, ten times a second at most; closing the iterator ends it within a
        token.

        Raises RunError for a checkpoint that is missing or cut off, UnknownCharacters for a prompt it cannot read, ValueError
        for tokens it does not have.
        """
        model, tokenizer = self.model(run, which)
        if not all(0 <= id < tokenizer.vocab_size for id in begun):
            raise ValueError(words.OTHER_TOKENS)
        closed = threading.Event()
        tokens = generate(model, tokenizer, prompt, settings, should_stop=lambda: closed.is_set() or should_stop(),
                          alternatives=ALTERNATIVES, begun=begun)
        pieces: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(tokens, pieces), name="writing", daemon=True).start()
        written, started, ending = [], time.perf_counter(), ""
        try:
            while not ending:
                for item in _waiting(pieces):
                    if isinstance(item, Exception):
                        raise item
                    if item is None:
                        by_itself = bool(written) and written[-1].id == tokenizer.end_of_text
                        ending = "end" if by_itself else "stopped" if should_stop() else \
                            "length" if len(written) == settings.max_new_tokens else "end"
                    else:
                        written.append(item)
                yield Written(tuple(written), time.perf_counter() - started, ending)
                if not ending:
                    time.sleep(min(MOST_SECONDS_BETWEEN, SECONDS_BETWEEN_UPDATES * max(1, len(written) / LONG_TOKENS)))
        finally:
            closed.set()

    def next_logits(self, run: RunDir, which: str, prompt: str) -> tuple[Tensor, Tensor, Tokenizer]:
        """What the model makes of `prompt`: logits (V,) of the token that follows, how often each token stands in it, (V,), and
        the tokenizer. Raises as `write` does."""
        model, tokenizer = self.model(run, which)
        ids = tokenizer.encode(prompt).tolist() or [tokenizer.end_of_text]
        peeked = self._peeked
        if peeked is None or peeked[0]() is not model or peeked[1] != ids:  # while sliders move, the text stays
            self._peeked = peeked = weakref.ref(model), ids, Reader(model, use_cache=False).read(ids)
        return peeked[2], torch.bincount(torch.tensor(ids), minlength=tokenizer.vocab_size), tokenizer

    def model(self, run: RunDir, which: str) -> tuple[GPT, Tokenizer]:
        """From memory where it is the very same checkpoint, else from disk."""
        saved = find_checkpoint(run, which)
        key = f"{saved.path}:{saved.path.stat().st_mtime_ns}"
        with self._lock:
            if key not in self._models:
                model, tokenizer, _ = load_model(run, saved.step, device=self.lab.device)
                self._models[key] = model, tokenizer
            self._models.move_to_end(key)
            while len(self._models) > MODELS_KEPT:
                self._models.popitem(last=False)
            return self._models[key]

    def _work(self, tokens: Iterator, pieces: queue.SimpleQueue) -> None:
        """On its own thread: token after token, resting as long as each took while something trains."""
        try:
            if sys.platform == "linux":
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            with self._own_stream():
                began = time.perf_counter()
                for token in tokens:
                    pieces.put(token)
                    if self.lab.jobs.current is not None:
                        time.sleep(time.perf_counter() - began)
                    began = time.perf_counter()
            pieces.put(None)
        except Exception as problem:  # handed to the page's thread, which raises it
            pieces.put(problem)

    def _own_stream(self):
        """On a GPU its work does not queue behind the training's."""
        if self.lab.device != "cuda":
            return contextlib.nullcontext()
        return torch.cuda.stream(torch.cuda.Stream())


def _waiting(pieces: queue.SimpleQueue) -> Iterator:
    """What has come, at least one piece."""
    yield pieces.get()
    while not pieces.empty():
        yield pieces.get()
