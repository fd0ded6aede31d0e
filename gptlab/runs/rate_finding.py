"""Finding learning rates beside the app: in a process of its own, one at a time, so that neither a page nor a running training
waits, and Cancel is at once. What was found is kept while the app runs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gptlab.config import RunConfig
from gptlab.data.dataset import open_dataset
from gptlab.runs.beside import OneAtATime
from gptlab.runs.workspace import Workspace
from gptlab.train.device import TrainingError
from gptlab.train.rate_finder import RangeTest, range_test, trial

KEPT = 16  # tests
CANCELLED = "Cancelled: nothing was changed."


@dataclass
class Finding:
    """One test under way, or over, as any page may look at it; `id` is its `identity`."""

    id: str
    begun: float = field(default_factory=time.time)
    test: RangeTest | None = None  # None until the model is there
    problem: str = ""              # why it failed, in a sentence
    finished: bool = False         # whole, failed or cancelled


class Findings(OneAtATime):
    """The tests of a workspace: the one under way, if any, and the latest that were made."""

    title, cancelled = "Finding a learning rate", CANCELLED

    def __init__(self, workspace: Workspace):
        super().__init__()
        self.workspace = workspace
        self._kept: list[Finding] = []  # the latest last

    def of(self, id: Any) -> Finding | None:
        """The latest test of that identity; None where there was none."""
        return next((one for one in reversed(self._kept) if one.id == id), None)

    def start(self, config: RunConfig, dataset: str) -> Finding:
        """Begin to test. Raises ValueError while another test is under way."""
        with self._lock:
            if self.busy:
                raise ValueError("Another learning rate is being looked for: wait for that, or cancel it.")
            finding = Finding(identity(config, dataset))
            self._kept = [*self._kept[1 - KEPT:], finding]
            self._begin(finding, _find, config, str(self.workspace.dataset_path(dataset)))
            return finding

    def _told(self, current: Finding, said: RangeTest) -> None:
        current.test = said


def identity(config: RunConfig, dataset: str) -> str:
    """The same for all settings that would be tested alike: learning rates, for one, make no difference."""
    return hashlib.blake2b(repr((trial(config), dataset)).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _find(config: RunConfig, directory: str, tell: Callable[[RangeTest], None]) -> None:
    """In the spawned process."""
    try:
        for test in range_test(config, open_dataset(Path(directory))):
            tell(test)
    except TrainingError as problem:
        raise ValueError(str(problem)) from None
