"""Measuring runs on texts beside the app: in a process of its own, one at a time, so that neither a page nor a training waits,
and Cancel is at once. The texts are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.config import DataConfig
from gptlab.events import Evaluation
from gptlab.runs import eventlog
from gptlab.runs.beside import OneAtATime
from gptlab.runs.rundir import RunDir

CANCELLED = "Cancelled."


@dataclass(frozen=True)
class Told:
    """What was found: of the text, and `own`, of held-out text at the same checkpoint, where the run measured that: (loss,
    perplexity, bits per byte), and how many tokens of the text counted."""

    step: int
    text: tuple[float, float, float]
    tokens: int
    own: tuple[float, float, float] | None


@dataclass
class Measuring:
    """One measurement under way, or over, as any page may look at it."""

    run: RunDir
    share: float = 0.0
    doing: str = ""
    told: Told | None = None
    problem: str = ""       # why it failed, in a sentence
    finished: bool = False  # whole, failed or cancelled


class Measurements(OneAtATime):
    """The one measurement of the app that is under way, if any."""

    title, cancelled = "Measuring", CANCELLED

    def start(self, run: RunDir, checkpoint: str | int, text: str | Path) -> Measuring:
        """Begin to measure a checkpoint on a text, or on what is in a file. Raises ValueError while another one is under way."""
        with self._lock:
            if self.busy:
                raise ValueError(f"A text is being measured with {self.current.run.name}: wait for that, or cancel it.")
            self._begin(Measuring(run), _measure, run, checkpoint, text)
            return self.current

    def _told(self, current: Measuring, said: tuple[float, str] | Told) -> None:
        if isinstance(said, Told):
            current.told = said
        else:
            current.share, current.doing = said


def _measure(run: RunDir, checkpoint: str | int, text: str | Path, tell: Callable[[tuple[float, str] | Told], None]) -> None:
    """In the spawned process."""
    from gptlab.data.sources import read_documents  # here, because these take torch and more
    from gptlab.runs.checkpoint import find_checkpoint
    from gptlab.runs.evaluating import evaluate
    from gptlab.train.device import TrainingError

    step = find_checkpoint(run, checkpoint).step
    if isinstance(text, Path):
        tell((0.0, "Reading the file"))
        text = read_documents(DataConfig(source=str(text)), fewest_characters=1).documents
    try:
        found = evaluate(run, step, text, progress=lambda share, doing: tell((share, doing)))
    except TrainingError as problem:
        raise ValueError(str(problem)) from None
    own = [one for one in eventlog.read_kinds(run.events_path, Evaluation) if one.step == step][-1:]
    tell(Told(step, (found.loss, found.perplexity, found.bits_per_byte), found.tokens,
              (own[0].val_loss, own[0].val_perplexity, own[0].val_bits_per_byte) if own else None))
