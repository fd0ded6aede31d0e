"""The compiled training step against the plain one: what a run gains by `train.compile`, and what it costs to get there.

    python benchmarks/compiling.py [--preset shakespeare-char-cpu] [--set model.n_layer=6 …] [--rounds 10] [--json]

A run with compile=on, on random tokens, in an empty compiler's cache: how long it took to compile beside it, how much slower
updates were meanwhile, how long the switch held it up, and how long compiling takes where the cache knows it. Then both steps
take turns, a few updates each; what is printed are medians. --cpu-time compares them by the time that one thread of the
processor worked on them, which a machine with other work does not change.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()  # as the app and the command line do

import torch
from throughput import random_tokens

from gptlab.presets import preset
from gptlab.runs import switching
from gptlab.runs.switching import Switching
from gptlab.train.compiling import CompiledLoss
from gptlab.train.trainer import Trainer

PLAIN_SECONDS = 5.0  # of updates before it begins


def main() -> None:
    options = arguments()
    if options.cpu_time:
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        report(options, measure(options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="shakespeare-char-cpu")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings to change")
    parser.add_argument("--vocabulary", type=int, default=65, help="of the random tokens")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=5, help="in a row")
    parser.add_argument("--cpu-time", action="store_true", help="on one thread, by the time it worked")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict:
    """All figures; seconds, and milliseconds an update."""
    settings = dict(item.partition("=")[::2] for item in options.set)
    config = preset(options.preset).config.replace({"train.max_steps": 100_000_000, **settings, "train.compile": "on"})
    switching.PACE_SECONDS = PLAIN_SECONDS
    trainer = Trainer(config, random_tokens(options.vocabulary))
    cold, warm = follow(trainer), follow(trainer)
    compiled = CompiledLoss(trainer.model, trainer.micro_batch_size)
    compiled.prepare(trainer.device, trainer.precision)
    clock = time.process_time if options.cpu_time else time.perf_counter
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    for number in range(options.rounds + 1):
        for name, loss in (("plain", trainer.model.loss), ("compiled", compiled)):
            trainer.loss = loss
            times[name].append(updates(trainer, options.updates, clock))
    plain, fast = (1000 * statistics.median(values[1:]) for values in times.values())
    return {"parameters": sum(p.numel() for p in trainer.model.parameters()), "device": trainer.device,
            "threads": torch.get_num_threads(), "plain_ms": plain, "compiled_ms": fast, "gain": plain / fast,
            "spread": [min(values[1:]) / max(values[1:]) for values in times.values()],
            "cold": cold, "warm": warm}


def follow(trainer: Trainer) -> dict:
    """A run up to the sentence that it ends the switch with."""
    switch, said, paces, longest_poll = Switching(trainer), "", {False: [], True: []}, 0.0
    began = ended = None
    while not said:
        compiling = switch.compiling
        paces[compiling].append(updates(trainer, 1, time.perf_counter))
        started = time.perf_counter()
        said = switch.poll(fetched=True)
        longest_poll = max(longest_poll, time.perf_counter() - started)
        began = began or (started if switch.compiling else None)
        ended = ended or (started if compiling and not switch.compiling else None)
    switch.close()
    return {"compiling_seconds": ended - began, "switch_seconds": longest_poll, "said": said,
            "slower_meanwhile": statistics.median(paces[True] or [0]) / statistics.median(paces[False])}


def updates(trainer: Trainer, number: int, clock: Callable[[], float]) -> float:
    """Seconds an update, by `clock`."""
    started = clock()
    for _ in range(number):
        trainer.update()
    trainer.flush()
    return (clock() - started) / number


def report(options: argparse.Namespace, figures: dict) -> None:
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['parameters']:,} parameters, {figures['device']}, {figures['threads']} threads: plain "
          f"{figures['plain_ms']:.1f} ms, compiled {figures['compiled_ms']:.1f} ms, {figures['gain']:.3f} times as fast")
    for name in ("cold", "warm"):
        run = figures[name]
        print(f"{name} cache: {run['compiling_seconds']:.1f} s beside the run, whose updates took "
              f"{run['slower_meanwhile']:.2f} times as long; the switch held it up for {run['switch_seconds']:.2f} s. {run['said']}")


if __name__ == "__main__":
    main()
