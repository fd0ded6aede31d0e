"""The texts a model writes while it trains: which prompts, when, and as events that grow. Knows no files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from gptlab.config import RunConfig, SampleConfig
from gptlab.data.dataset import Dataset
from gptlab.data.tokenizers import Tokenizer
from gptlab.events import Sample
from gptlab.generate.generator import generate
from gptlab.train.trainer import Trainer

DEFAULT_PROMPTS = 2
OPENING_CHARACTERS = 16       # a default prompt goes on to the end of the word that reaches this
LONGEST_OPENING = 40
LOOK_AHEAD_TOKENS = 100_000   # how far to look for the beginning of a document
LEAST_SECONDS, MOST_SECONDS = 5.0, 15.0  # between samples, where nobody says how many steps
GROW_SECONDS = 0.25           # between two events of a growing sample …
GROW_TOKENS = 1000            # … and longer in proportion beyond this many tokens: each event repeats the whole text


def prompts_of(config: RunConfig, dataset: Dataset) -> tuple[str, ...]:
    """The prompts a run samples: the user's, else openings of unseen text."""
    return config.sample.prompts or default_prompts(dataset)


def default_prompts(dataset: Dataset, count: int = DEFAULT_PROMPTS) -> tuple[str, ...]:
    """Openings of documents, or of lines where documents are long, spread over the val text; all different."""
    val, tokenizer, openings = dataset.val, dataset.tokenizer, []
    for position in range(0, len(val), max(1, math.ceil(len(val) / (4 * count)))):
        opening = _opening(_text_from(val, position, tokenizer))
        if opening and opening not in openings:
            openings.append(opening)
    return tuple(openings[:: max(1, len(openings) // count)][:count])


def _text_from(val: np.ndarray, position: int, tokenizer: Tokenizer) -> str:
    """What stands in `val` from the next document's, else from the next line's beginning on."""
    ends = np.flatnonzero(val[position:position + LOOK_AHEAD_TOKENS] == tokenizer.end_of_text)
    if position > 0 and len(ends) and position + int(ends[0]) + 1 < len(val):
        start = position + int(ends[0]) + 1
    else:
        start = position
    ids = val[start:start + 1000]
    document_end = np.flatnonzero(ids == tokenizer.end_of_text)
    text = tokenizer.decode(ids[:document_end[0]] if len(document_end) else ids)
    at_beginning = start == 0 or val[start - 1] == tokenizer.end_of_text
    return text if at_beginning else text.partition("\n")[2]


def _opening(text: str) -> str:
    """The first few words of the first line, at most half of the text, so that something is left to write."""
    line = text.strip().partition("\n")[0].strip()
    limit = min(LONGEST_OPENING, max(1, len(text.strip()) // 2))
    opening = ""
    for word in line.split(" "):
        longer = f"{opening} {word}" if opening else word
        if opening and (len(longer) > limit or len(opening) >= OPENING_CHARACTERS):
            break
        opening = longer
    return opening[:limit].rstrip()


class Schedule:
    """When to sample: every so many steps exactly, or by the clock and the ends of epochs."""

    def __init__(self, every_steps: int | None, epoch: float):
        self.every_steps = every_steps
        self.last_step: int | None = None
        self._last_time, self._sampled_epoch = time.monotonic(), math.floor(epoch)

    def is_due(self, step: int, epoch: float) -> bool:
        """Whether to sample after `step` updates."""
        if step == self.last_step:
            return False
        if step == 0:
            return True
        if self.every_steps is not None:
            return step % self.every_steps == 0
        elapsed = time.monotonic() - self._last_time
        return elapsed >= (LEAST_SECONDS if math.floor(epoch) > self._sampled_epoch else MOST_SECONDS)

    def sampled(self, step: int, epoch: float) -> None:
        """Notes that samples of this step are written, now."""
        self.last_step, self._last_time, self._sampled_epoch = step, time.monotonic(), math.floor(epoch)


def sample_id(step: int, index: int) -> str:
    """The id of the sample of prompt number `index` at `step`: the same when a resumed run writes it again."""
    return f"{step}-{index}"


def write_sample(trainer: Trainer, prompt: str, index: int, settings: SampleConfig,
                 should_stop: Callable[[], bool]) -> Iterator[Sample]:
    """The events of one sample as it grows, a few a second, the last one `done`, unless a stop cut the text short.

    The model writes in eval mode and is left in train mode. Draws from `settings.seed`, not from the global state.
    """
    text, token_ids, logprobs, told, cut = "", [], [], time.monotonic(), False

    def stop() -> bool:
        nonlocal cut
        cut = should_stop()
        return cut

    def event(done: bool) -> Sample:
        return Sample(step=trainer.step, time_seconds=trainer.clock.time_seconds, sample_id=sample_id(trainer.step, index),
                      epoch=trainer.epoch, prompt=prompt, text=text, token_ids=list(token_ids), logprobs=list(logprobs),
                      done=done)

    trainer.model.eval()
    try:
        for token in generate(trainer.model, trainer.dataset.tokenizer, prompt, settings, should_stop=stop):
            text += token.text
            token_ids.append(token.id)
            logprobs.append(round(token.logprob, 4))
            if time.monotonic() - told > GROW_SECONDS * max(1, len(token_ids) / GROW_TOKENS):
                yield event(done=False)
                told = time.monotonic()
    finally:
        trainer.model.train()
    yield event(done=not cut)
