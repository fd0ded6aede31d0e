"""A run small enough to train in a blink, for the tests of `gptlab.runs`; and what of it must be equal bit for bit."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import prepare
from gptlab.events import Evaluation, Event, Step
from gptlab.runs import worker
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run

# Dropout, accumulation and several epochs, so that each of random state, position and shuffle matters.
TINY = {"model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16, "model.context_length": 16, "model.dropout": 0.2,
        "train.batch_size": 8, "train.tokens_per_update": 256, "train.max_steps": 40, "train.eval_every": 8,
        "train.eval_batches": 2, "train.warmup_steps": 5, "sample.max_new_tokens": 12, "sample.prompts": ("The cat",)}


def tiny_workspace(directory: Path, text: str) -> Workspace:
    """A workspace with the data set "tiny": `text` by characters."""
    workspace = Workspace(directory / "workspace")
    source = directory / "tiny.txt"
    source.write_text(text[:6000], encoding="utf-8")
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    return workspace


def tiny_run(workspace: Workspace, name: str = "tiny", **changes) -> RunDir:
    """A queued run; `changes` such as `train__max_steps=8`."""
    config = RunConfig().replace({**TINY, **{key.replace("__", "."): value for key, value in changes.items()}})
    return create_run(workspace, config, workspace.open_dataset("tiny"), name)


def finished_run(workspace: Workspace, name: str = "tiny", **changes) -> RunDir:
    """As `tiny_run`, trained to its end."""
    run = tiny_run(workspace, name, **changes)
    assert worker.run(run.path) == "finished"
    return run


def wait_for(condition: Callable[[], object]) -> None:
    """Returns once `condition` holds; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def trajectory(run: RunDir) -> list[Event]:
    """The step and evaluation events that count, without their timings."""
    timings = {"time_seconds": 0.0}
    return [dataclasses.replace(event, **timings, **({"tokens_per_second": None} if isinstance(event, Step) else {}))
            for event in run.events() if isinstance(event, (Step, Evaluation))]


def last_weights(run: RunDir) -> dict[str, bytes]:
    """The files of the last checkpoint that hold tensors: weights and optimizer."""
    return {path.name: path.read_bytes() for path in sorted(run.checkpoint_paths()[-1].glob("*.safetensors"))}


class Queue:
    """Stands in for Jobs: notes what it is told and trains nothing."""

    def __init__(self):
        self.current, self.queue, self.stopped = None, [], []

    @property
    def standing(self):
        return self.current, list(self.queue)

    def submit(self, run):
        if self.current is None:
            self.current = run
        else:
            self.queue.append(run)

    resume = submit

    def stop(self, run):
        self.stopped.append(run)
