"""What a run uses of its machine since it began, in its folder's machine.json: so that a twin of it uses the same.

Left out of zips and bundles: another machine does better with something else.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gptlab.config import TrainConfig
from gptlab.runs.disk import write_atomic
from gptlab.runs.rundir import RunDir
from gptlab.train.choosing import Choice, in_words
from gptlab.train.device import available_threads, pick_device, pick_precision

FILE = "machine.json"


def keep(run: RunDir, choice: Choice) -> None:
    """Note down what a run begins with. Raises RunError on a full disk."""
    write_atomic(run.path / FILE, json.dumps({name: value for name, value in asdict(choice).items() if name != "words"}))


def kept(run: RunDir, train: TrainConfig) -> Choice | None:
    """What was noted down, where this machine and these settings still allow it; else None."""
    try:
        values = json.loads((run.path / FILE).read_text(encoding="utf-8"))
        values["batch_size"] = train.batch_size or values["batch_size"]  # that of a twin may be what differs
        choice = Choice(**values, words=in_words(**values))
    except (OSError, ValueError, TypeError, KeyError):  # it is not there, or from elsewhere
        return None
    return choice if _usable(choice, train) else None


def _usable(choice: Choice, train: TrainConfig) -> bool:
    def whole(value: Any, most: int) -> bool:
        return type(value) is int and 1 <= value <= most

    try:
        formats = (pick_precision(train.precision, choice.device),) if train.precision != "auto" else ("fp32", "bf16", "fp16")
    except ValueError:
        return False
    threads_fit = choice.threads is None if choice.device != "cpu" else whole(choice.threads, available_threads())
    return (choice.device == pick_device(train.device) and threads_fit and choice.precision in formats
            and whole(choice.batch_size, 4096))
