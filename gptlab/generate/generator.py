"""A model and prompts to streams of tokens and text.

Knows how to feed a model within its context, when to stop, and what of the text may be shown yet. The caller sees to
`model.eval()`. Global random state is never touched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from gptlab.config import SampleConfig
from gptlab.data.tokenizers import StreamDecoder, Tokenizer
from gptlab.generate.ahead import ahead
from gptlab.generate.sampling import Draw, choose, has_penalties
from gptlab.model.gpt import GPT


DRAWN_AHEAD = 2  # tokens, at most, that are drawn and not yet shown (`ahead`)


@dataclass(frozen=True)
class Token:
    """One drawn token. `text` is the piece to append: "" in the middle of a character or of a possible stop string.

    `logprob` is the token's log-probability in nats under the model, before temperature, top-k and the like; `alternatives`
    are the likeliest tokens in its place, (id, log-probability), if asked for.
    """

    id: int
    text: str
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


class Reader:
    """Feeds a growing text of any length to a model whose context is limited.

    When the text outgrows the context, its last context_length // 2 tokens are kept and read afresh. The rule is the
    same with a cache (which only saves work) and without: the logits are equal. A model without a causal mask has no cache:
    what it makes of a token depends on those after it.
    """

    def __init__(self, model: GPT, use_cache: bool = True):
        self.model = model
        self.cache = model.new_cache() if use_cache and model.config.causal else None
        self._ids: list[int] = []

    def read(self, ids: Sequence[int]) -> Tensor:
        """Logits (V,) on the CPU of the token that follows the text so far and then `ids`, at least one."""
        return read_side_by_side([self], [ids])[0]

    def unread(self, ids: Sequence[int]) -> list[int]:
        """What the model has to read for the text so far and then `ids`, behind what the cache holds."""
        self._ids.extend(ids)
        limit = self.model.config.context_length
        if len(self._ids) > limit:
            self._ids = self._ids[-(limit // 2):]
            if self.cache is not None:
                self.cache.truncate(0)
        return self._ids if self.cache is None else self._ids[self.cache.length:]


def read_side_by_side(readers: Sequence[Reader], pieces: Sequence[Sequence[int]]) -> list[Tensor]:
    """What each of one model's `readers` gives for its piece of ids: single tokens go through the model together."""
    logits: dict[int, Tensor] = {}
    unread = [reader.unread(ids) for reader, ids in zip(readers, pieces, strict=True)]
    steps = [i for i, ids in enumerate(unread) if len(ids) == 1 and readers[i].cache is not None]
    for i in set(range(len(readers))).difference(steps):
        logits[i] = _next_logits([readers[i]], [unread[i]])[0]
    if steps:
        logits.update(zip(steps, _next_logits([readers[i] for i in steps], [unread[i] for i in steps]), strict=True))
    return [logits[i] for i in range(len(readers))]


@torch.inference_mode()
def _next_logits(readers: Sequence[Reader], ids: Sequence[Sequence[int]]) -> Tensor:
    """Logits (B, V) on the CPU after `ids` (B, T), one row a reader."""
    model, caches = readers[0].model, [reader.cache for reader in readers]
    tensor = torch.tensor(ids, device=model.token_embedding.weight.device)  # (B, T)
    return model.next_logits(tensor, None if None in caches else caches).to("cpu", torch.float32)


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
             should_stop: Callable[[], bool] = lambda: False, alternatives: int = 0,
             begun: Sequence[int] = ()) -> Iterator[Token]:
    """Tokens that continue `prompt` and the tokens `begun` behind it; with neither, a text of its own, begun after an
    end-of-text. Each names so many `alternatives`.

    Ends with `max_new_tokens`, with an end-of-text (a Token whose text shows nothing of it), with a stop string (cut
    off the text), or with the token after `should_stop()` turns true. Raises UnknownCharacters at once where the
    tokenizer cannot read the prompt.
    """
    read = [int(i) for i in tokenizer.encode(prompt)] + list(begun)
    return (token for _, token in _continued(model, tokenizer, [read], settings, use_cache, should_stop, alternatives))


def generate_side_by_side(model: GPT, tokenizer: Tokenizer, prompts: Sequence[str], settings: SampleConfig, *,
                          use_cache: bool = True,
                          should_stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[int, Token]]:
    """(number of the prompt, its next token), in turns: for each prompt what `generate` gives, in far less time.

    The weights are read once for the next token of all texts. Texts end each by itself. Takes the memory of one cache
    for each prompt. On a processor the model is a token or two ahead of what was taken, on a thread that ends with this
    iterator: close it before the weights change.
    """
    read = [[int(i) for i in tokenizer.encode(prompt)] for prompt in prompts]
    return _continued(model, tokenizer, read, settings, use_cache, should_stop)


def _continued(model: GPT, tokenizer: Tokenizer, read: list[list[int]], settings: SampleConfig, use_cache: bool,
               should_stop: Callable[[], bool], alternatives: int = 0) -> Iterator[tuple[int, Token]]:
    drawings = [_Drawing(Reader(model, use_cache), tokenizer, ids or [tokenizer.end_of_text], settings, alternatives) for ids in read]
    return _shown(drawings, [_Text(tokenizer, drawing.ids, settings) for drawing in drawings], should_stop)


def _shown(drawings: list[_Drawing], texts: list[_Text], should_stop: Callable[[], bool]) -> Iterator[tuple[int, Token]]:
    turns = _turns(drawings)
    first = next(turns, {})  # whole prompts are read by all cores, single tokens by one
    on_cpu = drawings and drawings[0].reader.model.token_embedding.weight.device.type == "cpu"
    with closing(ahead(turns) if on_cpu else turns) as following:
        for turn in itertools.chain([first], following):
            for i, (drawn, last) in turn.items():
                if not drawings[i].ended:  # else it was drawn before its text was known to have ended
                    drawings[i].shown += 1
                    text, drawings[i].ended = texts[i].grow(drawn.id, last, should_stop)
                    yield i, Token(drawn.id, text, drawn.logprob, drawn.alternatives)
            if all(drawing.ended for drawing in drawings):
                return


def _turns(drawings: list[_Drawing]) -> Iterator[dict[int, tuple[Draw, bool]]]:
    """Each turn: for every text that goes on its next token, {number: (what was drawn, whether it must be the last)}."""
    growing = dict(enumerate(drawings))
    while growing:
        logits = read_side_by_side([drawing.reader for drawing in growing.values()], [drawing.ids for drawing in growing.values()])
        turn = {i: drawing.draw(row) for (i, drawing), row in zip(growing.items(), logits, strict=True)}
        yield turn
        growing = {i: drawing for i, drawing in growing.items() if not (drawing.is_over() or turn[i][1])}


class _Drawing:
    """The tokens of one text that grows. May run ahead of what is shown of it."""

    def __init__(self, reader: Reader, tokenizer: Tokenizer, ids: list[int], settings: SampleConfig, alternatives: int):
        self.reader = reader
        self.ids = ids  # to be read next
        self.shown, self.ended = 0, False  # tokens shown, and whether there are no more to show: set by who shows the text
        self._tokenizer, self._settings, self._count, self._alternatives = tokenizer, settings, 0, alternatives
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._seen: Tensor | None = None  # how often each token stands in the text, (vocab_size,)
        if has_penalties(settings):
            self._seen = torch.bincount(torch.tensor(self.ids), minlength=tokenizer.vocab_size)

    def is_over(self) -> bool:
        """Whether no more has to be drawn because the text has ended: always after as many tokens in vain, however far who shows it
        is behind. How many texts are computed together decides the last digits of their logits."""
        return self.ended and self._count - self.shown >= DRAWN_AHEAD

    def draw(self, logits: Tensor) -> tuple[Draw, bool]:
        """The next token, drawn from its logits (V,), and whether it must be the last."""
        drawn = choose(logits, self._settings, self._generator, self._tokenizer.vocab_size, self._seen, self._alternatives)
        if self._seen is not None:
            self._seen[drawn.id] += 1
        self.ids, self._count = [drawn.id], self._count + 1
        return drawn, drawn.id == self._tokenizer.end_of_text or self._count == self._settings.max_new_tokens


class _Text:
    """What may be shown of one text that grows, and when it has ended."""

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int], settings: SampleConfig):
        self._stops = StopFilter(settings.stop)
        self._decoder = StreamDecoder(tokenizer)
        for id in prompt_ids:
            self._decoder.push(id)  # some tokenizers' first word depends on what stands before it

    def grow(self, id: int, last: bool, should_stop: Callable[[], bool]) -> tuple[str, bool]:
        """The piece to append for the next token, and whether it is the last: because it must be, or for a stop."""
        text = self._stops.push(self._decoder.push(id))
        if self._stops.stopped:
            return text, True
        if last or should_stop():
            return text + self._last_piece(), True
        return text, False

    def _last_piece(self) -> str:
        """What is still held back at the end, without a character that never became whole."""
        text = self._stops.push(self._decoder.finish().rstrip("\N{REPLACEMENT CHARACTER}"))
        return text if self._stops.stopped else text + self._stops.finish()
