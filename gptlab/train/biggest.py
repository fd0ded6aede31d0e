"""The biggest model that fits this machine and trains in so many minutes on a text, found by measuring a few candidates.

"Trains" means that it reads about 20 tokens for each of its parameters, which is where a larger model would do better with the
same work and a smaller one too (Hoffmann et al. 2022, arXiv:2203.15556, "Chinchilla"). Draws from generators of its own. Knows
no disk and no page.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from gptlab.config import ModelConfig, RunConfig
from gptlab.data.dataset import Dataset
from gptlab.model import estimate
from gptlab.train.amounts import counted, in_bytes, in_time
from gptlab.train.choosing import EFFICIENCY
from gptlab.train.device import available_threads, matrix_rate, pick_device, pick_precision
from gptlab.train.plan import Plan
from gptlab.train.preflight import measure
from gptlab.train.room import MEMORY_SHARE, free_bytes, needed_bytes

TOKENS_A_PARAMETER = 20
WORTH_READING = 4            # times: beyond, repeated text teaches little (Muennighoff et al. 2023, arXiv:2305.16264)
MOST_TRIED = 5               # candidates that are measured
CHANNELS_A_LAYER = (32, 128)  # of width for each layer; GPT-2 has 64
OFF = 1.5                    # times as many or as few layers as that are tried, too
HEAD_SIZES = (16, 128)       # channels of a head that are kept as they are; others become USUAL_HEAD
USUAL_HEAD = 32
FEWEST_CHANNELS = 32
MOST = {name: ModelConfig.__dataclass_fields__[name].metadata["maximum"]
        for name in ("n_embd", "n_layer", "n_head", "mlp_hidden")}


@dataclass(frozen=True)
class Found:
    """A model that was measured: the `settings` that make it of those that were given, and what it takes."""

    settings: dict[str, int | None]
    parameters: int
    active: int            # parameters that one token passes
    tokens: int            # that it reads
    train_tokens: int      # that the text has
    seconds: float         # that reading them takes, with evaluations
    needed_bytes: int
    free_bytes: int
    limit: str             # what keeps it from being bigger: "minutes", "memory" or "settings"

    @property
    def epochs(self) -> float:
        """How often it reads the text."""
        return self.tokens / self.train_tokens

    @property
    def shape(self) -> str:
        """As "6 layers of width 384, 6 heads"."""
        layers, heads = self.settings["model.n_layer"], self.settings["model.n_head"]
        return (f"{layers} {'layer' if layers == 1 else 'layers'} of width {self.settings['model.n_embd']}, "
                f"{heads} {'head' if heads == 1 else 'heads'}")

    @property
    def told(self) -> str:
        """What was found, in words."""
        active = "" if self.active == self.parameters else f", {counted(self.active)} of them active for each token"
        limit = {"minutes": "", "memory": " A bigger one would not fit this machine's memory.",
                 "settings": " A bigger one cannot be set."}[self.limit]
        return (f"{self.shape}: {counted(self.parameters)} parameters{active}. In about {in_time(self.seconds)} here it reads "
                f"{counted(self.tokens)} tokens, {TOKENS_A_PARAMETER} for each parameter. It needs about "
                f"{in_bytes(self.needed_bytes)} of the {in_bytes(self.free_bytes)} that are free.{limit}")

    @property
    def warned(self) -> str:
        """Whether the text is too small for it; "" where it is not."""
        if self.epochs <= 1:
            return ""
        times = f"{self.epochs:.1f}" if self.epochs < 10 else f"{self.epochs:,.0f}"
        read = f"The text has {counted(self.train_tokens)} tokens, so this model reads it {times} times."
        if self.epochs <= WORTH_READING:
            return f"{read} That is fine: up to about {WORTH_READING} times, text teaches nearly as much as new text."
        enough = WORTH_READING * self.train_tokens / TOKENS_A_PARAMETER
        return (f"{read} The text is too small for it: beyond about {WORTH_READING} times it will rather learn it by heart. A "
                f"model of about {counted(enough)} parameters would do, or find more text.")


@dataclass(frozen=True)
class Search:
    """How far a search is: `tried` candidates of `most` are measured, `trying` is the next; `found` once it is over."""

    tried: int
    trying: str = ""
    found: Found | None = None
    most: int = MOST_TRIED


def search(config: RunConfig, dataset: Dataset, minutes: float) -> Iterator[Search]:
    """The search as far as it is; the last one has `found`. Not to ask on is to cancel.

    Raises ValueError where the text is too short, the device is not there, or not even the smallest model would do;
    TrainingError where memory runs out.
    """
    vocab_size, seconds = dataset.tokenizer.vocab_size, 60 * minutes
    # Chosen anew for each, a batch size would make the number of steps say nothing.
    config = config.replace({"train.batch_size": config.train.sequences(config.model.context_length)})
    device = pick_device(config.train.device)
    precision = pick_precision(config.train.precision, device)
    ladder = candidates(config, vocab_size)
    free, threads = free_bytes(device), available_threads()

    def fits(one: RunConfig) -> bool:
        return sum(needed_bytes(one, vocab_size, device, threads, precision).values()) <= MEMORY_SHARE * free

    fitting = list(itertools.takewhile(fits, ladder))
    if not fitting:
        raise ValueError(f"Not even a model of {fitting_words(ladder[0])} fits the {in_bytes(free)} of memory that are free: "
                         "close other programs, or lower train.batch_size or model.context_length.")
    operations = [_tokens(one, vocab_size) * estimate.flops_per_token(one.model, vocab_size) for one in fitting]
    rate = EFFICIENCY * matrix_rate(device, precision)
    low, high, best = -1, len(fitting), None  # the biggest known to be in time, the smallest known not to be
    for tried in range(MOST_TRIED):
        at = max((i for i in range(low + 1, high) if operations[i] <= rate * seconds), default=low)
        if at == low:
            if low >= 0 or high == 0:
                break
            at = high // 2 if high < len(fitting) else 0
        yield Search(tried, fitting_words(fitting[at]))
        planned = _planned(fitting[at], dataset)
        measured = measure(planned, dataset)
        rate = operations[at] / measured.total_seconds
        if measured.total_seconds > seconds:
            high = at
            continue
        limit = "minutes" if at + 1 < len(fitting) else "memory" if len(fitting) < len(ladder) else "settings"
        low, best = at, Found(
            settings=_settings(planned), parameters=estimate.total_parameters(planned.model, vocab_size),
            active=estimate.active_parameters(planned.model, vocab_size),
            tokens=planned.train.max_steps * Plan(planned, len(dataset.train)).tokens_per_update, train_tokens=len(dataset.train),
            seconds=measured.total_seconds, needed_bytes=measured.room.needed_bytes, free_bytes=measured.room.free_bytes,
            limit=limit)
    if best is None:
        raise ValueError(f"In {in_time(seconds)} not even a model of {fitting_words(fitting[0])} would read "
                         f"{TOKENS_A_PARAMETER} tokens for each of its parameters here: give it more minutes.")
    yield Search(MOST_TRIED, found=best)


def candidates(config: RunConfig, vocab_size: int) -> list[RunConfig]:
    """Models of the same kind, the smallest first: widths that are so many heads, layers in the proportion of `config`'s, within
    what is sensible. Key/value heads and the width inside the MLP keep their proportions."""
    model = config.model
    head = head_size(model)
    group = model.n_head // model.kv_heads
    proportion = min(max(model.n_embd / model.n_layer, CHANNELS_A_LAYER[0]), CHANNELS_A_LAYER[1])
    found: dict[int, RunConfig] = {}
    for heads in range(group, MOST["n_head"] + 1, group):
        width = heads * head
        if width < FEWEST_CHANNELS or width > MOST["n_embd"]:
            continue
        hidden = model.mlp_hidden and max(8, min(MOST["mlp_hidden"], 8 * round(model.mlp_hidden * width / model.n_embd / 8)))
        wider = dataclasses.replace(model, n_embd=width, n_head=heads, mlp_hidden=hidden,
                                    n_kv_head=model.n_kv_head and heads // group)
        usual = width / proportion
        for layers in range(max(1, math.ceil(usual / OFF)), min(MOST["n_layer"], max(1, math.floor(usual * OFF))) + 1):
            made = dataclasses.replace(config, model=dataclasses.replace(wider, n_layer=layers))
            found.setdefault(estimate.total_parameters(made.model, vocab_size), made)
    return [found[size] for size in sorted(found)]


def head_size(model: ModelConfig) -> int:
    """Channels of a head of the models that are tried."""
    return model.head_size if HEAD_SIZES[0] <= model.head_size <= HEAD_SIZES[1] else USUAL_HEAD


def fitting_words(config: RunConfig) -> str:
    """As "6 layers of width 384"."""
    layers = config.model.n_layer
    return f"{layers} {'layer' if layers == 1 else 'layers'} of width {config.model.n_embd}"


def _tokens(config: RunConfig, vocab_size: int) -> int:
    """What a model is to read; of experts, those count that a token passes."""
    return TOKENS_A_PARAMETER * estimate.active_parameters(config.model, vocab_size)


def _planned(config: RunConfig, dataset: Dataset) -> RunConfig:
    """With as many updates as it takes to read that, and no other end."""
    steps = math.ceil(_tokens(config, dataset.tokenizer.vocab_size) / Plan(config, len(dataset.train)).tokens_per_update)
    return config.replace({"train.max_steps": steps, "train.epochs": None, "train.max_minutes": None})


def _settings(config: RunConfig) -> dict[str, int | None]:
    model = ("n_layer", "n_head", "n_kv_head", "n_embd", "mlp_hidden")
    return {**{f"model.{name}": getattr(config.model, name) for name in model}, "train.batch_size": config.train.batch_size,
            "train.max_steps": config.train.max_steps, "train.epochs": None, "train.max_minutes": None}
