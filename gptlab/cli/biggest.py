"""Finding the biggest model for this machine from a terminal."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from gptlab.cli.spelling import spelled
from gptlab.cli.training import what_to_train
from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.train.biggest import Found, search


def biggest(options: argparse.Namespace) -> dict:
    """Time a few models of the preset's kind; no run is made."""
    config, dataset = what_to_train(options)
    found = _followed(config, dataset, options.minutes)
    print(f"{found.told}\n{found.warned}".rstrip(), file=sys.stderr)
    print(f"Train it: {spelled(_training(found, options, dataset))}", file=sys.stderr)
    if not options.json:
        print(found.shape)
    return {"settings": found.settings, "parameters": found.parameters, "active_parameters": found.active, "tokens": found.tokens,
            "epochs": found.epochs, "seconds": found.seconds, "needed_bytes": found.needed_bytes, "free_bytes": found.free_bytes,
            "limit": found.limit, "told": found.told, "warned": found.warned}


def _followed(config: RunConfig, dataset: Dataset, minutes: float) -> Found:
    """The whole search, its progress on stderr: a bar on a terminal."""
    print(f"Timing models on data set '{dataset.name}'. No run is touched.", file=sys.stderr)
    with tqdm(unit="model", leave=False, disable=None, dynamic_ncols=True) as bar:
        for far in search(config, dataset, minutes):
            bar.total = far.most
            bar.set_postfix_str(far.trying, refresh=False)
            bar.update(far.tried - bar.n)
    return far.found


def _training(found: Found, options: argparse.Namespace, dataset: Dataset) -> list[str]:
    """The command that trains it."""
    settings = {**dict(options.settings), **found.settings}
    where = [] if options.workspace is None else ["--workspace", str(options.workspace)]
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={'none' if value is None else value}")]
    return ["train", "--dataset", dataset.name, "--preset", options.preset, *changes, *where]
