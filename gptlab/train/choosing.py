"""What a run leaves to the machine: threads, number format, batch size; decided by a few real updates of throw-away models.

Draws from generators of its own, so that the global random state stays as it is. What would take long to try is not tried:
a model that large keeps a machine busy anyway. Knows no disk and no page.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.model import estimate
from gptlab.train.batches import Batches
from gptlab.train.device import (available_threads, matrix_rate, pick_device, pick_precision, release_memory,
                                 threads_by_environment, using_threads)
from gptlab.train.room import MEMORY_SHARE, free_bytes, needed_bytes
from gptlab.train.trainer import Trainer

COMPARING_SECONDS = 0.2    # at least, for threads and for number formats
CLEARLY = 1.4              # times as long as with the usual one: then that is taken after one comparison
GIVING_UP_SECONDS = 0.8    # at most, about, before each of them has been timed once
GROWING_SECONDS = 0.5      # of updates, about, for batch sizes
LONGEST_UPDATE = 0.04      # seconds, by its operations: longer ones are not tried; they keep all threads busy
EFFICIENCY = 0.5           # of the matrix rate that a whole update reaches, roughly
LONGEST_PART = 0.25        # … of a part of it, where the whole one takes ten times as long
WORTHWHILE = 1.1           # times as fast: below, the usual stays, or the smaller batch
SURELY = 1.5               # times as fast in matrix products alone, where no update can be tried
NARROW = 192               # channels: narrower products gain nothing from a narrow format on a processor
BUSY_UPDATE = 0.002        # seconds, by its operations: from there on a GPU is never faster in fp32
LEAST_TOKENS = 512         # in a batch that is chosen: the gradient of fewer is mostly noise
MOST_TOKENS = 2**16
LEAST_UPDATES = 20         # in an epoch, with a batch that is chosen
TEXT_TOKENS = 2**18        # of the text: enough for any batch, and quick to look through
PLACES = {"cpu": "On the processor", "cuda": "On the GPU", "mps": "On Apple's GPU"}


@dataclass(frozen=True)
class Choice:
    """What a run uses, and `words`: that in a sentence, with why. `threads` are None on a GPU."""

    device: str
    threads: int | None
    precision: str
    batch_size: int
    words: str


def choose(config: RunConfig, dataset: Dataset) -> Choice:
    """What `config` leaves to the machine, found out in well under a second.

    Raises ValueError where the text is too short or the device is not there, TrainingError where memory runs out.
    """
    device = pick_device(config.train.device)
    trials = Trials(config, dataset, device)
    threads, why_threads = _threads(trials) if device == "cpu" else (None, "")
    with using_threads(threads):
        precision, why_precision = _precision(trials)
        batch_size, why_batch = _batch_size(trials, precision)
    del trials
    release_memory(device)
    used = device, threads, precision, batch_size
    return Choice(*used, in_words(*used, why=(why_threads, why_precision, why_batch)))


def in_words(device: str, threads: int | None, precision: str, batch_size: int, why: Sequence[str] = ("", "", "")) -> str:
    """What a run uses of a machine in a sentence, with the reasons for threads, format and batch where there are any."""
    parts = ("" if threads is None else f"{threads} thread{'s' * (threads > 1)}", precision, f"batches of {batch_size}")
    told = [part + (f" ({reason})" if reason else "") for part, reason in zip(parts, why) if part]
    return f"{PLACES[device]}: {', '.join(told)}."


class Trials:
    """Updates of throw-away models, timed."""

    def __init__(self, config: RunConfig, dataset: Dataset, device: str):
        self.config, self.device = config, device
        self.context_length, self.vocab_size = config.model.context_length, dataset.tokenizer.vocab_size
        self.windows = len(dataset.train) // self.context_length
        self.dataset = dataclasses.replace(dataset, train=dataset.train[:max(TEXT_TOKENS, 2 * self.context_length)],
                                           val=dataset.val[:self.context_length + 1])
        self._operations = estimate.flops_per_token(config.model, self.vocab_size) * self.context_length  # of a sequence
        self.batch_size = config.train.sequences(self.context_length)  # to compare threads and formats with
        self.fitted = True  # whether the last update was done in one go
        self._made: Trainer | None = None

    @functools.cached_property
    def _rate(self) -> float:
        return EFFICIENCY * quick_rate(self.device)

    def seconds_by_operations(self, sequences: int) -> float:
        """Roughly how long an update takes, from its operations alone."""
        return sequences * self._operations / self._rate

    def quick(self) -> bool:
        """Whether whole batches can be tried."""
        return self.seconds_by_operations(self.batch_size) <= LONGEST_UPDATE

    def part(self) -> int:
        """How many sequences of a batch are quick enough to try; 0 if not even one is."""
        longest = LONGEST_UPDATE if self.seconds_by_operations(self.batch_size) < 10 * LONGEST_PART else LONGEST_PART
        return min(self.batch_size, int(longest / self.seconds_by_operations(1)))

    def update(self, sequences: int, precision: str) -> float:
        """Seconds of one update; see `fitted`. Raises TrainingError where not even one sequence fits the memory."""
        trainer = self._trainer(sequences)
        if trainer.precision != precision:
            trainer.use_precision(precision)
        before = trainer.stepping_seconds
        trainer.update()
        trainer.flush()
        self.fitted = trainer.micro_batch_size == sequences
        return trainer.stepping_seconds - before

    def _trainer(self, sequences: int) -> Trainer:
        """One for batches of so many; the model is made once, which takes long where it is large."""
        if self._made is None:
            import torch._dynamo  # noqa: F401  seconds that torch's first optimizer takes, the run's own one too: not to be timed
            trial = self.config.replace({"model.dropout": 0.0, "train.batch_size": sequences, "train.tokens_per_update": None,
                                         "train.eval_batches": 1})
            generator = torch.Generator().manual_seed(self.config.train.seed)
            self._made = Trainer(trial, self.dataset, device=self.device, generator=generator)
        trainer, train = self._made, self.config.train
        if trainer.batches.batch_size != sequences:
            trainer.batches = Batches(self.dataset.train, self.context_length, sequences, train.order, train.seed)
            trainer.micro_batch_size = sequences
            trainer.change({"train.batch_size": sequences})
        return trainer


def compare(options: Sequence[Any], update: Callable[[Any], float]) -> dict[Any, float] | None:
    """The least seconds of an `update` with each of the options: what else the machine does meanwhile only adds. In turns, so
    that it meets all of them alike. None where the machine is too busy to find out in time."""
    update(options[0])  # the first one of all is slow, however idle the machine
    times: dict[Any, list[float]] = {option: [] for option in options}
    started = time.perf_counter()
    while True:
        for option in options:
            times[option].append(update(option))
            if time.perf_counter() - started > GIVING_UP_SECONDS and min(map(len, times.values())) < 2:
                return None
        usual, *others = (times[option][1:] for option in options)  # the first one of each makes its threads
        clear = len(usual) == 1 and all(other[0] > CLEARLY * usual[0] for other in others)
        if time.perf_counter() - started > COMPARING_SECONDS and (len(usual) >= 2 or clear):
            return {option: min(taken[1:]) for option, taken in times.items()}


def _threads(trials: Trials) -> tuple[int, str]:
    """How many threads, and why: as many as usual, unless others are clearly faster."""
    if (asked := threads_by_environment()) is not None:
        return asked, "as OMP_NUM_THREADS says"
    available = available_threads()
    usual = min(torch.get_num_threads(), available)
    options = sorted({1, max(1, available // 2), available, usual})
    if len(options) == 1:
        return usual, ""
    if not trials.quick():
        return usual, "all there are" if usual == available else ""

    def update(threads: int) -> float:
        with using_threads(threads):
            return trials.update(trials.batch_size, "fp32")
    return fastest(compare(options, update), usual)


def _precision(trials: Trials) -> tuple[str, str]:
    """Which number format, and why."""
    setting, device = trials.config.train.precision, trials.device
    usual = pick_precision(setting, device)
    if setting != "auto" or device == "mps":
        return usual, ""

    part = trials.part() if device == "cuda" or trials.config.model.n_embd >= NARROW else 0

    def update(precision: str) -> float:
        return trials.update(part, precision)
    if device == "cuda":
        busy = trials.seconds_by_operations(trials.batch_size) > BUSY_UPDATE
        if busy or not part or usual == "fp32":
            return usual, ""
        return fastest(compare((usual, "fp32"), update), usual)
    if trials.config.model.n_embd < NARROW:
        return "fp32", ""
    if (gain := gain_of_bf16()) < WORTHWHILE:
        return "fp32", "bf16 is slower on this processor" if gain < 1 / WORTHWHILE else "bf16 is no faster on this processor"
    if not part:
        return ("bf16", "its matrix products are faster on this processor") if gain >= SURELY else ("fp32", "")
    return fastest(compare(("fp32", "bf16"), update), "fp32")


def fastest(seconds: dict[Any, float] | None, usual: Any) -> tuple[Any, str]:
    """The option that takes least, or the usual one where that is about as fast; and by how much the next best is slower."""
    if seconds is None:
        return usual, "this machine is too busy to try others"
    best = min(seconds, key=seconds.get)
    chosen = best if seconds[usual] >= WORTHWHILE * seconds[best] else usual
    other = min((option for option in seconds if option != chosen), key=seconds.get)
    ratio = seconds[other] / seconds[chosen]
    return chosen, f"{other} would be " + (f"{100 * (ratio - 1):.0f} % slower" if ratio >= WORTHWHILE else "about as fast")


def _batch_size(trials: Trials, precision: str) -> tuple[int, str]:
    """How many sequences at once, and why: the smallest of those that make about the most of the machine."""
    if trials.config.train.batch_size is not None:
        return trials.config.train.batch_size, ""
    sizes, limit = candidates(trials, precision)
    speeds: dict[int, float] = {}  # sequences a second
    left = GROWING_SECONDS
    for size in sizes:
        expected = 3 * (size / speeds[size // 2] if size // 2 in speeds else trials.seconds_by_operations(size))
        if expected > left:
            limit = "larger ones would take long to try" if speeds else "an update takes long as it is"
            break
        _, *seconds = taken = [trials.update(size, precision) for _ in range(3)]  # the first one is slow
        left -= sum(taken)
        if not trials.fitted:
            limit = "larger ones do not fit the memory"
            break
        speeds[size] = size / min(seconds)
        if speeds[size] < 1.05 * max([speed for other, speed in speeds.items() if other < size], default=0.0):
            limit = "larger ones are hardly faster"
            break
    if not speeds:
        return sizes[0], limit
    chosen = next(size for size in speeds if speeds[size] >= max(speeds.values()) / WORTHWHILE)
    return chosen, limit if chosen == max(speeds) else "larger ones are hardly faster"


def candidates(trials: Trials, precision: str) -> tuple[list[int], str]:
    """Powers of two that make sense for a batch, at least one, and what keeps it from being larger."""
    config, context_length = trials.config, trials.context_length
    sizes = [2**n for n in range(13)]
    if config.train.tokens_per_update is not None:
        an_update = config.train.tokens_per_update // context_length
        sizes, limit = [size for size in sizes if an_update % size == 0], "larger ones do not divide an update"
    else:
        most_by_text = trials.windows // LEAST_UPDATES
        most = max(1, min(most_by_text, MOST_TOKENS // context_length))
        sizes = [size for size in sizes if size <= most]
        limit = "larger ones learn less from each token"
        if most >= most_by_text:
            limit = "larger ones leave few updates in so short a text"

    def fits(size: int) -> bool:
        sized = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=size))
        threads = torch.get_num_threads()
        return sum(needed_bytes(sized, trials.vocab_size, trials.device, threads, precision).values()) <= room
    room = MEMORY_SHARE * free_bytes(trials.device)
    if not fits(sizes[-1]):
        sizes, limit = [size for size in sizes if fits(size)] or sizes[:1], "larger ones do not fit the memory"
    large_enough = [size for size in sizes if size * context_length >= LEAST_TOKENS]
    return large_enough or sizes[-1:], limit


def quick_rate(device: str) -> float:
    """About what `matrix_rate` would say of all threads, in some hundredths of a second. Others may be busy here: threads that
    wait for each other are then slow, so one thread is asked, and the best of its answers is taken."""
    if device == "cuda":
        return matrix_rate(device, "bf16")
    threads = torch.get_num_threads()
    with using_threads(1):
        return threads * max(matrix_rate("cpu", "fp32", repeats=1, size=256) for _ in range(12))


@functools.cache
def gain_of_bf16() -> float:
    """How many times as fast a processor multiplies matrices in bf16 as in fp32: far below 1 where it only emulates that."""
    with using_threads(1):
        fp32, bf16 = (max(matrix_rate("cpu", precision, repeats=1, size=256) for _ in range(looks))
                      for precision, looks in (("fp32", 8), ("bf16", 2)))
    return bf16 / fp32
