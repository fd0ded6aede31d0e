"""Training: a new run, or one that goes on."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gptlab.cli.datasets import find_or_prepare, same_or_new
from gptlab.cli.options import settings_of, workspace_of
from gptlab.cli.progress import Progress
from gptlab.cli.spelling import spelled
from gptlab.config import ConfigError, DataConfig, RunConfig
from gptlab.data.dataset import Dataset, open_dataset
from gptlab.presets import preset
from gptlab.runs import worker
from gptlab.runs.disk import RunError
from gptlab.runs.label import Label
from gptlab.runs.rundir import RunDir, check_name
from gptlab.runs.trainable import check_trainable
from gptlab.runs.workspace import create_run
from gptlab.train.device import available_threads, pick_device, pick_precision
from gptlab.train.room import room

SUMMARY = ("state", "step", "tokens", "val_loss", "best_val_loss", "best_step", "tokens_per_second", "training_seconds")


def train(options: argparse.Namespace) -> dict:
    """Make a run and train it to its end, or until somebody stops it."""
    workspace, name = workspace_of(options), check_name(options.name or preset(options.preset).name)
    owner = Label().replace(owner=options.by).owner  # refused, if at all, before anything is prepared
    config, dataset = what_to_train(options)
    check_trainable(config, dataset)
    device = pick_device(config.train.device)
    precision = pick_precision(config.train.precision, device)
    space = room(config, dataset.tokenizer.vocab_size, device, available_threads(), precision)
    print(space.told + "." * space.fits, file=sys.stderr)
    run = create_run(workspace, config, dataset, name, owner=owner)
    return follow(run, dataset, options)


def what_to_train(options: argparse.Namespace) -> tuple[RunConfig, Dataset]:
    """The settings that --preset and --set say, and the data set that --dataset names, prepared first where it is not."""
    workspace, start, explicit = workspace_of(options), preset(options.preset), settings_of(options)
    config = start.config.replace(explicit)
    if options.dataset is not None:
        dataset = find_or_prepare(workspace, options.dataset, config, explicit)
    elif start.dataset is None and "data.source" not in explicit:
        raise ConfigError([f"Preset {start.name} has no text of its own: give one with --dataset. It wants: {start.wants}"])
    else:
        dataset = same_or_new(workspace, config.data)
    prepared = {name: value for name, value in dataset.manifest["config"].items() if name in DataConfig.__annotations__}
    return config.replace({f"data.{name}": value for name, value in prepared.items()}), dataset


def resume(options: argparse.Namespace) -> dict:
    """Go on with a run from its last checkpoint; one that is paused elsewhere goes on there."""
    workspace = workspace_of(options)
    run = workspace.find_run(options.run)
    status = run.status()
    if run.is_alive() and status["state"] == "paused":
        run.command("resume")
        print(f"{run.name} goes on where it is being trained.", file=sys.stderr)
        return summary(run, status)
    if status["state"] == "finished":
        raise RunError(f"Run {run.id} is finished. To train longer: python -m gptlab extend {run.id} --set "
                       f"train.max_steps={2 * max(1, status['step'])}")
    if status["state"] == "damaged":
        raise RunError(status["reason"])
    return follow(run, open_dataset(workspace.dataset_of(run)), options)


def follow(run: RunDir, dataset: Dataset, options: argparse.Namespace) -> dict:
    """Train `run` on this thread with its progress on stderr; its summary."""
    print(f"Run {run.id} on data set '{dataset.name}'. Ctrl-C stops it; nothing is lost.", file=sys.stderr)
    with stop_signals() as stop, Progress(run, stop) as progress:
        state = worker.run(run.path, dataset_dir=dataset.directory, should_stop=stop.is_set)
    status = {**run.status(), "state": state}  # a full disk may not have taken how it ended
    if sample := progress.last_sample:
        print(f"\nWritten at step {sample.step:,}:\n{sample.prompt}{sample.text}\n",
              file=sys.stderr if options.json else sys.stdout, flush=True)
    print(ending(run, status, options), file=sys.stderr)
    return summary(run, status)


def summary(run: RunDir, status: dict) -> dict:
    """What --json tells of a training."""
    return {"run": run.id, "path": str(run.path), **{name: status[name] for name in SUMMARY}}


def ending(run: RunDir, status: dict, options: argparse.Namespace) -> str:
    """The last lines of a training: how it ended, what it reached, and how to go on."""
    lines = [f"{status['state'].capitalize()} at step {status['step']:,}"
             + (f": {status['reason']}" if status["reason"] else ".")]
    if status["best_val_loss"] is not None:
        lines.append(f"Val loss {status['best_val_loss']:.4f} at best, {status['val_loss']:.4f} at last, after "
                     f"{status['training_seconds']:.1f} seconds of training.")
    where = [] if options.workspace is None else ["--workspace", str(options.workspace)]
    name = run.id if run.path.parent == workspace_of(options).runs else str(run.path)
    if status["state"] == "finished":
        lines.append("Let it write: " + spelled(["generate", name, *where]))
    else:
        lines.append("Go on with it: " + spelled(["resume", name, *where]))
    return "\n".join(lines)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the run ends between two steps. A second one interrupts at once."""
    stop = threading.Event()

    def ask(number: int, _) -> None:
        stop.set()  # said by Progress: a handler that prints may be interrupting a print
        signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
