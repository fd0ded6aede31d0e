"""A model and a prompt to a stream of tokens and text.

Knows how to feed a model within its context, when to stop, and what of the text may be shown yet. The caller sees to
`model.eval()`. Global random state is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptlab.config import SampleConfig
from gptlab.data.tokenizers import StreamDecoder, Tokenizer
from gptlab.generate.sampling import choose
from gptlab.model.gpt import GPT


@dataclass(frozen=True)
class Token:
    """One drawn token. `text` is the piece to append: "" in the middle of a character or of a possible stop string.

    `logprob` is the token's log-probability in nats under the model, before temperature, top-k and top-p.
    """

    id: int
    text: str
    logprob: float


class Reader:
    """Feeds a growing text of any length to a model whose context is limited.

    When the text outgrows the context, its last context_length // 2 tokens are kept and read afresh. The rule is the
    same with a cache (which only saves work) and without: the logits are equal.
    """

    def __init__(self, model: GPT, use_cache: bool = True):
        self._model = model
        self._cache = [model.new_cache()] if use_cache else None
        self._ids: list[int] = []

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> Tensor:
        """Logits (V,) of the token that follows the text so far and then `ids`, at least one."""
        self._ids.extend(ids)
        limit = self._model.config.context_length
        if len(self._ids) > limit:
            self._ids = self._ids[-(limit // 2):]
            if self._cache is not None:
                self._cache[0].truncate(0)
        unread = self._ids if self._cache is None else self._ids[self._cache[0].length:]
        device = self._model.token_embedding.weight.device
        return self._model.next_logits(torch.tensor([unread], device=device), self._cache)[0]  # (1, T, V) -> (V,)


class StopFilter:
    """Text in, text that may be shown out: nothing of a stop string ever shows, however it is cut into pieces."""

    def __init__(self, stops: Sequence[str]):
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What is now certain to come before any stop string. Sets `stopped` once one is whole."""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._held[:min(found)]
        undecided = max((n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])), default=0)
        shown = self._held[:len(self._held) - undecided]
        self._held = self._held[len(shown):]
        return shown

    def finish(self) -> str:
        """What was held back for a stop string that never became whole."""
        return self._held


def generate(model: GPT, tokenizer: Tokenizer, prompt: str, settings: SampleConfig, *, use_cache: bool = True,
             should_stop: Callable[[], bool] = lambda: False) -> Iterator[Token]:
    """Tokens that continue `prompt`; with an empty one, a text of its own, begun after an end-of-text.

    Ends with `max_new_tokens`, with an end-of-text (a Token whose text shows nothing of it), with a stop string (cut
    off the text), or with the token after `should_stop()` turns true. Raises UnknownCharacters at once where the
    tokenizer cannot read the prompt.
    """
    prompt_ids = [int(i) for i in tokenizer.encode(prompt)] or [tokenizer.end_of_text]
    return _continue(Reader(model, use_cache), tokenizer, prompt_ids, settings, should_stop)


def _continue(reader: Reader, tokenizer: Tokenizer, ids: list[int], settings: SampleConfig,
              should_stop: Callable[[], bool]) -> Iterator[Token]:
    generator = torch.Generator().manual_seed(settings.seed)
    stops = StopFilter(settings.stop)
    decoder = StreamDecoder(tokenizer)
    for id in ids:
        decoder.push(id)  # some tokenizers' first word depends on what stands before it
    for count in range(1, settings.max_new_tokens + 1):
        id, logprob = choose(reader.read(ids), settings, generator, tokenizer.vocab_size)
        ids = [id]
        text = stops.push(decoder.push(id))
        if stops.stopped:
            yield Token(id, text, logprob)
            return
        if id == tokenizer.end_of_text or count == settings.max_new_tokens or should_stop():
            yield Token(id, text + _last_piece(decoder, stops), logprob)
            return
        yield Token(id, text, logprob)


def _last_piece(decoder: StreamDecoder, stops: StopFilter) -> str:
    """What is still held back at the end, without a character that never became whole."""
    text = stops.push(decoder.finish().rstrip("\N{REPLACEMENT CHARACTER}"))
    return text if stops.stopped else text + stops.finish()
