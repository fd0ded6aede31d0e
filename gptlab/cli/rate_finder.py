"""Finding a learning rate from a terminal."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from gptlab.cli.options import file_to_write
from gptlab.cli.spelling import spelled
from gptlab.cli.training import what_to_train
from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.train.rate_finder import RangeTest, range_test, with_rate


def find_rate(options: argparse.Namespace) -> dict:
    """Try ever higher learning rates on a throw-away model; no run is made."""
    target = None if options.out is None else file_to_write(options.out)
    config, dataset = what_to_train(options)
    test = _followed(config, dataset)
    print(test.told, file=sys.stderr)
    if target is not None:
        from gptlab.exchange.rate_page import save_range_test  # draws, and so needs plotly
        save_range_test(test, config, dataset.name, target)
        print(f"The curve is drawn in {target}.", file=sys.stderr)
    if test.suggested_learning_rate is not None:
        if not options.json:
            print(f"{test.suggested_learning_rate:g}")
        command = _training_with(test.suggested_learning_rate, options, config, dataset)
        print(f"Train with it: {spelled(command)}", file=sys.stderr)
    return {"suggested_learning_rate": test.suggested_learning_rate, "rates": test.rates, "losses": test.losses,
            "smoothed": test.smoothed, "ended": test.ended, "updates": test.updates,
            "path": None if target is None else str(target.resolve())}


def _followed(config: RunConfig, dataset: Dataset) -> RangeTest:
    """The whole test, its progress on stderr: a bar on a terminal."""
    print(f"Trying learning rates on data set '{dataset.name}' with a throw-away model. No run is touched.", file=sys.stderr)
    with tqdm(unit="update", leave=False, disable=None, dynamic_ncols=True) as bar:
        for test in range_test(config, dataset):
            bar.total = test.updates
            if test.rates:
                bar.set_postfix_str(f"rate {test.rates[-1]:.1e}, loss {test.losses[-1]:.3f}", refresh=False)
            bar.update(len(test.rates) - bar.n)
    return test


def _training_with(rate: float, options: argparse.Namespace, config: RunConfig, dataset: Dataset) -> list[str]:
    """The command that trains so, its final rate not above the rate found."""
    settings = {**dict(options.settings), **with_rate(config, rate)}
    where = [] if options.workspace is None else ["--workspace", str(options.workspace)]
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["train", "--dataset", dataset.name, "--preset", options.preset, *changes, *where]
