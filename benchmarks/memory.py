"""What training is estimated to hold in memory at its peak, against what it does: how far resident memory grows.

    python benchmarks/memory.py [--only NAME …] [--threads 2] [--json]

Each row is a process of its own, which makes a trainer on random tokens and takes three updates. Before that it has trained a
tiny model with the same switches, so that what libraries load and keep is not counted. Reads and resets the peak that Linux
keeps of each process (VmHWM), so it runs on Linux only. With a GPU it would be `torch.cuda.max_memory_allocated` instead.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

UPDATES = 2
GPT2 = {"model.n_layer": 6, "model.n_head": 6, "model.n_embd": 384, "model.context_length": 256, "model.bias": True,
        "train.batch_size": 16}
LLAMA = {"model.n_layer": 6, "model.n_head": 8, "model.n_kv_head": 2, "model.n_embd": 320, "model.context_length": 256,
         "model.positions": "rope", "model.norm": "rmsnorm", "model.mlp": "swiglu", "model.tie_embeddings": False,
         "train.batch_size": 16}
EXPERTS = {**LLAMA, "model.n_layer": 4, "model.n_embd": 256, "model.mlp_hidden": 384, "model.n_expert": 8}
LARGE = {**GPT2, "model.n_layer": 8, "model.n_head": 8, "model.n_embd": 640, "model.context_length": 128, "train.batch_size": 4}
CHECKPOINTING = {"train.gradient_checkpointing": True}
ROWS: dict[str, tuple[dict, int]] = {  # settings that differ from the defaults, tokens in the vocabulary
    "GPT-2, 11M": (GPT2, 96),
    "GPT-2, 11M, checkpointing": ({**GPT2, **CHECKPOINTING}, 96),
    "GPT-2, 11M, dropout": ({**GPT2, "model.dropout": 0.1}, 96),
    "GPT-2, 11M, Muon": ({**GPT2, "train.optimizer": "muon"}, 96),
    "GPT-2, 11M, bf16": ({**GPT2, "train.precision": "bf16"}, 96),
    "GPT-2, 11M, context 1,024, batch 3": ({**GPT2, "model.context_length": 1024, "train.batch_size": 3}, 96),
    "GPT-2, 11M, vocabulary 8,192, untied": ({**GPT2, "model.tie_embeddings": False}, 8192),
    "no norms, residuals, positions, mask": ({**GPT2, "model.norm": "none", "model.residual": False, "model.positions": "none",
                                              "model.causal": False}, 96),
    "Llama, 7M": (LLAMA, 96),
    "Llama, 7M, checkpointing": ({**LLAMA, **CHECKPOINTING}, 96),
    "Llama, 7M, vocabulary 32,000, batch 4": ({**LLAMA, "train.batch_size": 4}, 32_000),
    "Qwen3, 8M": ({**LLAMA, "model.qk_norm": True, "model.n_kv_head": None}, 96),
    "8 experts, 2 a token, 10M": (EXPERTS, 96),
    "8 experts, 2 a token, 10M, checkpointing": ({**EXPERTS, **CHECKPOINTING}, 96),
    "GPT-2, 39M, batch 4": (LARGE, 96),
    "GPT-2, 39M, batch 4, Muon": ({**LARGE, "train.optimizer": "muon"}, 96),
    "GPT-2, 39M, updates of 4 batches": ({**LARGE, "train.tokens_per_update": 4 * 4 * 128}, 96),
}


def main() -> None:
    options = arguments()
    rows = [measured_apart(name, options.threads) for name in ROWS if any(part in name for part in options.only or [""])]
    if options.json:
        print(json.dumps(rows))
        return
    print("| settings | estimated | measured | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['estimated'] / 1e6:,.0f} MB | {row['measured'] / 1e6:,.0f} MB | {row['ratio']:.2f} |")


def measured_apart(name: str, threads: int) -> dict:
    """A row, measured by a process of its own."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--child", name, "--threads", str(threads)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: ratio {row['ratio']:.2f}, {time.perf_counter() - started:.0f} s {row['parts']}", file=sys.stderr)
    return row


def measure(name: str, threads: int) -> dict:
    """A row, measured by this process."""
    from gptlab.memory import few_heaps
    from gptlab.processors import share_processors

    few_heaps()
    share_processors()
    import torch

    from gptlab import memory
    from gptlab.config import RunConfig
    from gptlab.train import room
    from gptlab.train.trainer import Trainer

    torch.set_num_threads(threads)
    settings, vocab_size = ROWS[name]
    config = RunConfig().replace({"train.precision": "fp32", "train.device": "cpu", "train.eval_batches": 1, **settings})
    dataset = random_tokens(vocab_size)
    small = {"model.n_layer": 1, "model.n_embd": 8 * config.model.n_head, "model.mlp_hidden": 64, "model.context_length": 16,
             "train.batch_size": 4, "train.tokens_per_update": None}
    update(Trainer(config.replace(small), random_tokens(96)))
    gc.collect()
    memory.give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
    memory.spare(config.train.gradient_checkpointing)  # as a run does
    before = status("VmRSS")
    update(Trainer(config, dataset))
    measured = status("VmHWM") - before
    parts = room.needed_bytes(config, vocab_size, "cpu", threads, config.train.precision)
    estimated = sum(parts.values())
    return {"name": name, "estimated": estimated, "measured": measured, "ratio": estimated / measured,
            "parts": {part: round(size / 1e6) for part, size in parts.items()}}


def update(trainer) -> None:
    for _ in range(UPDATES):
        trainer.update()
        trainer.flush()


def random_tokens(vocab_size: int):
    """A data set of nothing but chance."""
    from types import SimpleNamespace

    import numpy as np

    from gptlab.data.dataset import Dataset

    tokens = np.random.default_rng(0).integers(0, vocab_size, 200_000).astype(np.uint32)
    tokenizer = SimpleNamespace(vocab_size=vocab_size, end_of_text=vocab_size - 1,
                                byte_lengths=lambda: np.ones(vocab_size, dtype=np.int64))
    return Dataset(directory=Path(), manifest={"name": "random"}, tokenizer=tokenizer, train=tokens, val=tokens[:10_000])


def status(name: str) -> int:
    """Bytes, from what Linux says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", action="append", help="rows whose name has this in it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", metavar="NAME", choices=ROWS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    if (child := arguments().child) is not None:
        print(json.dumps(measure(child, arguments().threads)))
    else:
        main()
