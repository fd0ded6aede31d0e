"""What it costs and what it saves that OpenMP's waiting threads sleep soon: updates a second, alone and beside a busy program.

    python benchmarks/spinning.py [--rounds 3] [--seconds 6] [--json]

The same small model trains in a process of its own with GNU OpenMP's default, with our number of spins
(gptlab/processors.py) and with none, in turns; once on a quiet machine, once beside as many busy loops as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import SPINS

VARIANTS = {"default": None, f"{SPINS} spins": SPINS, "no spins": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(updates_per_second(args.child, args.seconds))
        return
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for busy in (False, True):
                for name, spins in VARIANTS.items():
                    rate = measured(spins, busy, Path(folder), args.seconds)
                    rates.setdefault(f"{name}, {'busy' if busy else 'quiet'}", []).append(rate)
                    print(f"round {number + 1}: {name}, {'busy' if busy else 'quiet'}: {rate:.1f}", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps(medians) if args.json else "\n".join(f"{name:<22}{rate:8.1f} updates/s" for name, rate in medians.items()))


def measured(spins: str | None, busy: bool, folder: Path, seconds: float) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": spins} if spins is not None else {}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() * busy)]
    try:
        command = [sys.executable, __file__, "--child", str(folder), "--seconds", str(seconds)]
        return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    finally:
        for other in others:
            other.kill()
            other.wait()


def updates_per_second(folder: Path, seconds: float) -> float:
    """In a process of its own: updates of a small model for so long."""
    from gptlab.data.dataset import open_dataset, prepare
    from gptlab.presets import preset
    from gptlab.train.trainer import Trainer

    config = preset("shakespeare-char-cpu").config.replace({"data.source": "arithmetic", "data.documents": 2000})
    directory = folder / "data"
    trainer = Trainer(config, open_dataset(directory) if directory.exists() else prepare(config.data, directory))
    for _ in range(5):
        trainer.update()
    started = time.perf_counter()
    before = trainer.step
    while time.perf_counter() - started < seconds:
        trainer.update()
    return (trainer.step - before) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
