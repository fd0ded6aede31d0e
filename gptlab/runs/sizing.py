"""Finding the biggest model beside the app: in a process of its own, one at a time, so that neither a page nor a running training
waits, and Cancel is at once. What was found is kept while the app runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptlab.config import RunConfig, SampleConfig
from gptlab.data.dataset import open_dataset
from gptlab.runs.beside import OneAtATime
from gptlab.runs.workspace import Workspace
from gptlab.train.biggest import Search, head_size, search
from gptlab.train.device import TrainingError

KEPT = 16  # searches
CANCELLED = "Cancelled: nothing was changed."


@dataclass
class Sizing:
    """One search under way, or over, as any page may look at it; `id` is its `identity`."""

    id: str
    search: Search | None = None  # None until the first candidate is chosen
    problem: str = ""             # why it failed, in a sentence
    finished: bool = False        # whole, failed or cancelled


class Sizings(OneAtATime):
    """The searches of a workspace: the one under way, if any, and the latest that were made."""

    title, cancelled = "Looking for the biggest model", CANCELLED

    def __init__(self, workspace: Workspace):
        super().__init__()
        self.workspace = workspace
        self._kept: list[Sizing] = []  # the latest last

    def of(self, id: Any) -> Sizing | None:
        """The latest search of that identity; None where there was none."""
        return next((one for one in reversed(self._kept) if one.id == id), None)

    def start(self, config: RunConfig, dataset: str, minutes: float) -> Sizing:
        """Begin to look. Raises ValueError while another search is under way."""
        with self._lock:
            if self.busy:
                raise ValueError("Another biggest model is being looked for: wait for that, or cancel it.")
            sizing = Sizing(identity(config, dataset))
            self._kept = [*self._kept[1 - KEPT:], sizing]
            self._begin(sizing, _look, config, str(self.workspace.dataset_path(dataset)), minutes)
            return sizing

    def _told(self, current: Sizing, said: Search) -> None:
        current.search = said


def identity(config: RunConfig, dataset: str) -> str:
    """The same for settings that a search looks at alike: size and length are what it changes, rates make no difference."""
    train, model = config.train, config.model
    changed = ("max_steps", "epochs", "max_minutes", "max_learning_rate", "min_learning_rate", "warmup_steps", "schedule")
    usual = {name: getattr(RunConfig().train, name) for name in changed}
    alike = dataclasses.replace(
        config, sample=SampleConfig(),
        train=dataclasses.replace(train, batch_size=train.sequences(model.context_length), **usual),
        model=dataclasses.replace(model, n_layer=1, n_embd=head_size(model), n_head=1, mlp_hidden=model.mlp_hidden and 8,
                                  n_kv_head=model.n_kv_head and model.n_head // model.n_kv_head))
    return hashlib.blake2b(repr((alike, dataset)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _look(config: RunConfig, directory: str, minutes: float, tell: Callable[[Search], None]) -> None:
    """In the spawned process."""
    try:
        for far in search(config, open_dataset(Path(directory)), minutes):
            tell(far)
    except TrainingError as problem:
        raise ValueError(str(problem)) from None
