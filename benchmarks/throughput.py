"""Tokens a second of the Trainer's own update, and how much of the machine's matrix rate that is.

    python benchmarks/throughput.py [--preset shakespeare-char-cpu] [--device cuda] [--nanogpt DIR] [--json]

With --nanogpt, a folder with nanoGPT's model.py, its model takes the same steps as in its train.py, in the same process.
All sides take turns, a few updates each, so that a machine that slows down slows them all; what is printed are medians
over the rounds. Needs no data set: the tokens are drawn at random.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()  # as the app and the command line do; on a quiet machine nanoGPT's steps take as long with it as without

import numpy as np
import torch

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset, open_dataset
from gptlab.model.estimate import flops_per_token
from gptlab.presets import preset
from gptlab.train.device import autocast
from gptlab.train.preflight import matrix_rate
from gptlab.train.trainer import Trainer


def main() -> None:
    options = arguments()
    settings = dict(item.partition("=")[::2] for item in options.set)
    config = preset(options.preset).config.replace({"train.device": options.device, **settings})
    data = open_dataset(options.dataset) if options.dataset else random_tokens(options.vocabulary)
    trainer = Trainer(config, data)
    sides: dict[str, Callable[[], float]] = {"ours": lambda: our_updates(trainer, options.updates)}
    if options.nanogpt:
        theirs = NanoGPT(options.nanogpt, config, data, trainer.device, trainer.precision)
        sides["nanogpt"] = lambda: theirs.updates(options.updates)
    for take_turn in sides.values():
        take_turn()  # memory is allocated, kernels are chosen
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    rates = []
    for turn in range(options.rounds):
        names = list(sides) if turn % 2 == 0 else list(reversed(sides))
        for name in names:
            seconds[name].append(sides[name]() / options.updates)
        rates.append(matrix_rate(trainer.device, trainer.precision))
    report(options, trainer, {name: statistics.median(values) for name, values in seconds.items()},
           statistics.median(rates))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the speed of training.")
    parser.add_argument("--preset", default="shakespeare-char-cpu")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings to change")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--dataset", type=Path, help="a prepared data set's folder, instead of random tokens")
    parser.add_argument("--vocabulary", type=int, default=65, help="of the random tokens")
    parser.add_argument("--updates", type=int, default=20, help="in a row")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def random_tokens(vocabulary: int) -> Dataset:
    """A million tokens that mean nothing: an update takes as long on them as on any text."""
    tokens = np.random.default_rng(0).integers(0, vocabulary, 1_000_000).astype(np.uint32)
    tokenizer = SimpleNamespace(vocab_size=vocabulary, end_of_text=vocabulary - 1,
                                byte_lengths=lambda: np.ones(vocabulary, dtype=np.int64))
    return Dataset(directory=Path(), manifest={"name": "random"}, tokenizer=tokenizer, train=tokens, val=tokens[:1000])


def our_updates(trainer: Trainer, updates: int) -> float:
    """Seconds of so many updates, until the device has done them."""
    started = time.perf_counter()
    for _ in range(updates):
        trainer.update()
    trainer.flush()
    return time.perf_counter() - started


class NanoGPT:
    """nanoGPT's model, driven as its train.py does with this preset's numbers (uncompiled, learning rate constant)."""

    def __init__(self, directory: Path, config: RunConfig, data: Dataset, device: str, precision: str):
        module = load_module(directory / "model.py")
        model, train = config.model, config.train
        self.train, self.block_size, self.data = train, model.context_length, data.train
        self.device, self.precision = device, precision
        torch.manual_seed(train.seed)
        self.model = module.GPT(module.GPTConfig(
            block_size=model.context_length, vocab_size=max(data.tokenizer.vocab_size, model.vocab_size or 0),
            n_layer=model.n_layer, n_head=model.n_head, n_embd=model.n_embd, dropout=model.dropout, bias=model.bias))
        self.model.to(device).train()
        self.optimizer = self.model.configure_optimizers(train.weight_decay, train.max_learning_rate,
                                                         (train.beta1, train.beta2), device)
        self.batches_per_update = (train.tokens_per_update or 0) // (train.batch_size * model.context_length) or 1

    def updates(self, n: int) -> float:
        """Seconds of so many updates; the loss is read at the last one, as with its default log interval of ten or so."""
        started = time.perf_counter()
        for _ in range(n):
            for _ in range(self.batches_per_update):
                x, y = self.batch()
                with autocast(self.device, self.precision):
                    _, loss = self.model(x, y)
                    loss = loss / self.batches_per_update
                loss.backward()
            if self.train.grad_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.grad_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        loss.item()
        return time.perf_counter() - started

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch gathered row by row, as its get_batch does."""
        T, data = self.block_size, self.data
        starts = torch.randint(len(data) - T, (self.train.batch_size,))
        x = torch.stack([torch.from_numpy(data[i:i + T].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1:i + 1 + T].astype(np.int64)) for i in starts])
        if self.device == "cuda":
            return x.pin_memory().to(self.device, non_blocking=True), y.pin_memory().to(self.device, non_blocking=True)
        return x.to(self.device), y.to(self.device)


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    module = sys.modules["nanogpt_model"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(options: argparse.Namespace, trainer: Trainer, seconds: dict[str, float], rate: float) -> None:
    """Print medians: milliseconds an update, tokens a second, the model's FLOP/s beside the machine's, the ratio."""
    tokens = trainer.plan.tokens_per_update
    flops = flops_per_token(trainer.config.model, trainer.dataset.tokenizer.vocab_size) * tokens / seconds["ours"]
    result = {
        "preset": options.preset, "device": trainer.device, "precision": trainer.precision, "torch": torch.__version__,
        "threads": torch.get_num_threads(), "updates": options.updates, "rounds": options.rounds,
        "milliseconds": {name: round(1000 * value, 3) for name, value in seconds.items()},
        "tokens_per_second": {name: round(tokens / value) for name, value in seconds.items()},
        "flops_per_second": flops, "matrix_flops_per_second": rate, "share_of_matrix_rate": round(flops / rate, 3),
    }
    print(f"{options.preset} on {trainer.device} in {trainer.precision}: medians of {options.rounds} rounds of "
          f"{options.updates} updates", file=sys.stderr)
    for name, value in seconds.items():
        print(f"{name:>8} {1000 * value:9.2f} ms an update {tokens / value:12,.0f} tokens/s", file=sys.stderr)
    print(f"{flops / 1e9:,.1f} GFLOP/s of the {rate / 1e9:,.1f} GFLOP/s of a matrix product here: {flops / rate:.0%}",
          file=sys.stderr)
    if "nanogpt" in seconds:
        result["times_nanogpt"] = round(seconds["nanogpt"] / seconds["ours"], 3)
        print(f"{result['times_nanogpt']:.3f} times nanoGPT's speed", file=sys.stderr)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
