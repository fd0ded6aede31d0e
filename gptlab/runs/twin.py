"""A twin: a run once more, with the same data, seed and settings, and one thing that differs, so that what differs afterwards
comes from that.

Knows no queue: who makes a twin submits it, as with a fork.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gptlab.config import RunConfig, changes as differing
from gptlab.data.dataset import open_dataset
from gptlab.runs import chosen
from gptlab.runs.disk import RunError
from gptlab.runs.label import LENGTHS
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.runs.trainable import check_trainable
from gptlab.runs.workspace import Workspace, create_run


@dataclass(frozen=True)
class Switch:
    """A part of the model to leave out, or to put back where it is left out already. `without` and `put_back` end a twin's name;
    `is_out` tells which of them it is, and `out` and `back` change the setting."""

    setting: str
    without: str
    put_back: str
    is_out: Callable[[RunConfig], bool]
    out: dict[str, Any]
    back: dict[str, Any]

    def changes(self, config: RunConfig) -> dict[str, Any]:
        """What turning it changes of these settings. Raises RunError where it has nothing to turn."""
        wanted = self.back if self.is_out(config) else self.out
        if not wanted:
            raise RunError(f"It has {self.without} already.")
        return wanted

    def ending(self, config: RunConfig) -> str:
        """ "no residual": what a twin has that the run does not."""
        return self.put_back if self.is_out(config) and self.back else self.without


SWITCHES = {one.setting: one for one in (
    Switch("model.positions", "no positions", "learned positions", lambda config: config.model.positions == "none",
           {"model.positions": "none"}, {"model.positions": "learned"}),
    Switch("model.causal", "no causal mask", "causal mask", lambda config: not config.model.causal,
           {"model.causal": False}, {"model.causal": True}),
    Switch("model.residual", "no residual", "residual", lambda config: not config.model.residual,
           {"model.residual": False}, {"model.residual": True}),
    Switch("model.norm", "no normalisation", "LayerNorm", lambda config: config.model.norm == "none",
           {"model.norm": "none"}, {"model.norm": "layernorm"}),
    Switch("model.n_head", "one head", "one head", lambda config: config.model.n_head == 1,
           {"model.n_head": 1, "model.n_kv_head": None}, {}),
    Switch("model.tie_embeddings", "embeddings not tied", "embeddings tied", lambda config: not config.model.tie_embeddings,
           {"model.tie_embeddings": False}, {"model.tie_embeddings": True}),
)}


def twin_config(run: RunDir, changes: dict[str, Any]) -> RunConfig:
    """The settings of a twin. Raises ConfigError for a model that cannot be, RunError where there can be no twin."""
    config = run.config()
    if run.parent() is not None:
        raise RunError(f"{run.name} began with what another run had learnt, and a twin would begin with nothing: make a twin of "
                       "the run it was forked from.")
    if config.train.batch_size is None:  # it stands in config.json once the run begins
        raise RunError(f"{run.name} has not begun, so its batch size is not chosen yet: make a twin once it trains.")
    after = config.replace(changes)
    if not differing(after, config):
        raise RunError("Nothing would differ: choose another value.")
    return after


def make_twin(workspace: Workspace, run: RunDir, changes: dict[str, Any], name: str, owner: str = "") -> RunDir:
    """A new run, queued, called `name` (cut off where that is too long), with `changes` of the run's settings, on the same data
    and with the threads, number format and batch size that the run had. `owner`: who does it. Raises RunError, ConfigError,
    DataError, and ValueError (see `check_trainable`)."""
    config = twin_config(run, changes)
    dataset = open_dataset(workspace.dataset_of(run))
    check_trainable(config, dataset)

    def add(new: RunDir) -> None:
        new.relabel(name=name[:LENGTHS["name"]])
        with suppress(FileNotFoundError):  # of a run from elsewhere, or from before this was noted down
            shutil.copyfile(run.path / chosen.FILE, new.path / chosen.FILE)
    return create_run(workspace, config, dataset, clean_name(name), owner=owner, add=add, reason=f"A twin of {run.name}.")
