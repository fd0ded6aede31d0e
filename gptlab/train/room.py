"""Whether a training fits a machine's memory, and which setting to lower where it does not. Needs no model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import psutil
import torch

from gptlab.config import RunConfig
from gptlab.model import estimate
from gptlab.train import cores
from gptlab.train.amounts import in_bytes

MEMORY_SHARE = 0.8  # of what is free, for what training holds at once


def free_bytes(device: str) -> int:
    """Memory that a training could take."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return psutil.virtual_memory().available


def needed_bytes(config: RunConfig, vocab_size: int, device: str, threads: int | None, precision: str) -> dict[str, int]:
    """What training `config` holds at its peak, by what holds it, on so many threads of a processor; see `estimate`."""
    sequences, side_by_side = config.train.sequences(config.model.context_length), 1
    if device == "cpu" and not config.model.dropout and threads and threads <= sequences:
        if (threads - 1) * estimate.total_parameters(config.model, vocab_size) <= cores.MOST_COPIED:
            side_by_side = threads
    return estimate.training_memory_bytes(config.model, config.train, vocab_size, precision, device, side_by_side)


@dataclass(frozen=True)
class Room:
    """What a training needs, of how much that is free. `lower` are settings with which it would fit: empty where it does, and
    where only a smaller model would."""

    needed_bytes: int
    free_bytes: int
    lower: dict[str, int | bool]

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    @property
    def is_tight(self) -> bool:
        """Whether it fits, but leaves little to all others."""
        return self.fits and self.needed_bytes > MEMORY_SHARE * self.free_bytes

    @property
    def told(self) -> str:
        """The same in words, without a full stop where it fits."""
        needed, free = in_bytes(self.needed_bytes), in_bytes(self.free_bytes)
        if self.fits:
            little = ", which leaves little for others" if self.is_tight else ""
            return f"Needs about {needed} of the {free} of memory that are free{little}"
        doing = [f"switch on {name}" if value is True else f"lower {name} to {value}" for name, value in self.lower.items()]
        remedy = " and ".join(doing) or "lower model.n_embd, model.n_layer or model.context_length"
        return f"Will not fit: it needs about {needed} of memory, and {free} are free. {remedy[0].upper()}{remedy[1:]}."


def room(config: RunConfig, vocab_size: int, device: str, threads: int | None, precision: str = "fp32",
         free: int | None = None) -> Room:
    """Looks at what is `free` now, unless told. What to lower is tried in the order of what it costs: parts of the batch, which
    changes nothing where `tokens_per_update` keeps an update's size, then time for gradient checkpointing, then both."""
    free = free_bytes(device) if free is None else free

    def needed(changes: dict[str, int | bool]) -> int:
        changed = dataclasses.replace(config, train=dataclasses.replace(
            config.train, **{name.removeprefix("train."): value for name, value in changes.items()}))
        return sum(needed_bytes(changed, vocab_size, device, threads, precision).values())

    most = config.train.sequences(config.model.context_length)
    smaller = [most >> halvings for halvings in range(1, most.bit_length())]
    fewer = [{"train.batch_size": size} for size in smaller]
    again = [] if config.train.gradient_checkpointing else [{"train.gradient_checkpointing": True}]
    wholly = needed({})
    options = [] if wholly <= free else [*fewer, *again, *({**one, **again[0]} for one in fewer if again)]
    return Room(wholly, free, next((one for one in options if needed(one) <= MEMORY_SHARE * free), {}))
