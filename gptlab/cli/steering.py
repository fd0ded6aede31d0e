"""Steering runs: other settings while one goes on, a fork, a longer one, back to the best; and a word to a run that is being
trained elsewhere, in the app or another terminal."""

from __future__ import annotations

import argparse
import sys

from gptlab.cli.options import workspace_of
from gptlab.cli.training import follow
from gptlab.data.dataset import open_dataset
from gptlab.runs import steering
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir, clean_name

WHAT_IT_DOES = {"pause": "pauses after the step it is at; resume goes on with it",
                "stop": "saves and stops after the step it is at", "sample": "writes a sample after the step it is at", "checkpoint": "saves the step it is at"}


def set_(options: argparse.Namespace) -> dict:
    """Change settings of a run that goes on, or will."""
    run, changes = _run(options), dict(options.settings)
    steering.set_live(run, changes)
    when = "from the next step on" if run.is_alive() else "from where it will go on"
    return _said(run, options, f"{run.name}: {', '.join(f'{name}={value}' for name, value in changes.items())}, {when}.",
                 changes=changes)


def fork(options: argparse.Namespace) -> dict:
    """Make a run that begins with a checkpoint's weights, and train it."""
    workspace, parent = workspace_of(options), _run(options)
    name = options.name or clean_name(f"{parent.name[:50]}-fork")
    return _train(steering.fork(workspace, parent, options.checkpoint, dict(options.settings), name), options)


def extend(options: argparse.Namespace) -> dict:
    """Make a run longer, and go on with it."""
    run = _run(options)
    steering.extend(run, dict(options.settings))
    return _train(run, options)


def rollback(options: argparse.Namespace) -> dict:
    """Take a run back to its best checkpoint."""
    run = _run(options)
    steering.roll_back(run)
    return _said(run, options, run.status()["reason"])


def tell(options: argparse.Namespace) -> dict:
    """Tell a run that is being trained elsewhere to pause, to stop, to sample or to save."""
    run = _run(options)
    if options.kind == "stop" and not run.is_alive():
        raise RunError(f"{run.name} waits for its turn in the app: take it out of the queue there." if run.state() == "queued"
                       else f"{run.name} is not being trained, so there is nothing to stop.")
    run.command(options.kind)
    return _said(run, options, f"{run.name} {WHAT_IT_DOES[options.kind]}.", command=options.kind)


def _run(options: argparse.Namespace) -> RunDir:
    return workspace_of(options).find_run(options.run)


def _train(run: RunDir, options: argparse.Namespace) -> dict:
    print(run.status()["reason"], file=sys.stderr)
    return follow(run, open_dataset(workspace_of(options).dataset_of(run)), options)


def _said(run: RunDir, options: argparse.Namespace, words: str, **more) -> dict:
    status = run.status()
    if not options.json:
        print(words)
    return {"run": run.id, "path": str(run.path), "state": status["state"], "step": status["step"], **more}
