"""What a run has said so far, as arrays: read once from its events, however long it was; and how a long curve stays light.

The rules for smoothing, thinning and the rows of the epoch table are those of the page's live_history.js, so that a
report shows what the page showed. Knows events and where they lie; nothing of drawing, and needs no torch.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gptlab.events import Alert, Checkpoint, Evaluation, Event, Sample, Setting, Status, Step
from gptlab.runs import eventlog
from gptlab.runs.rundir import RunDir

CHUNK_BYTES = 2**20
BUCKETS = 300  # of a thinned curve: at most twice as many points
LARGEST = 1e300  # of a number that an event may hold
STEP_VALUES = ("step", "time_seconds", "epoch", "tokens", "loss", "learning_rate", "grad_norm")


def counting_events(run: RunDir, until_bytes: int | None = None) -> Iterator[Event]:
    """The events that count, in order, one at a time: what `RunDir.events` gives, without holding a long run in memory.

    Of a run that goes on meanwhile, those that were there at the call, or in the first `until_bytes`, which end a line.
    Unreadable lines are left out.
    """
    for lines, latest in _counting_lines(run, math.inf if until_bytes is None else until_bytes):
        for line in lines:
            for event in eventlog.parse_lines(line)[0]:
                if isinstance(event, Status) or event.step <= latest:
                    yield event


def _counting_lines(run: RunDir, until_bytes: float = math.inf) -> Iterator[tuple[list[bytes], float]]:
    """Lines of events in order, some at a time, and the latest step of which their events count; a status always does."""
    total, resumptions = 0, []  # (number of the line, the step it goes on from)
    for lines in _lines(run, until_bytes):
        for number, line in enumerate(lines, total):
            if b'"resumed_from_step"' in line:
                for event in eventlog.parse_lines(line)[0]:
                    if isinstance(event, Status) and event.resumed_from_step is not None:
                        resumptions.append((number, event.resumed_from_step))
        total += len(lines)
    lowest = math.inf  # each resumption gets the lowest step that it or any later one goes on from
    thresholds = []
    for number, step in reversed(resumptions):
        lowest = min(lowest, step)
        thresholds.append((number, lowest))
    done = 0
    for lines in _lines(run, until_bytes):
        lines = lines[:total - done]
        while thresholds and thresholds[-1][0] < done + len(lines):
            number, latest = thresholds.pop()
            yield lines[:number - done], latest
            lines, done = lines[number - done:], number
        yield lines, thresholds[-1][1] if thresholds else math.inf
        done += len(lines)


def _lines(run: RunDir, until_bytes: float) -> Iterator[list[bytes]]:
    offset = 0
    while content := (chunk := run.read_events(offset, CHUNK_BYTES))[0]:
        yield (content if chunk[1] <= until_bytes else content[:int(until_bytes) - offset]).splitlines()
        offset = chunk[1]
        if offset >= until_bytes:
            return


@dataclass(frozen=True, eq=False)
class RunHistory:
    """The events that count. `steps` holds an array for each of STEP_VALUES, in the order of the steps.

    `samples` are finished texts or those cut short, one for each sample_id, oldest first.
    """

    steps: dict[str, np.ndarray]
    evaluations: list[Evaluation]
    samples: list[Sample]
    checkpoints: list[Checkpoint]
    alerts: list[Alert]
    settings: list[Setting]
    evened: np.ndarray | None = None  # what `smooth` is, where `steps` are not all of them

    @property
    def last_step(self) -> int:
        """Updates done, as far as anything was said about them."""
        last = [int(self.steps["step"][-1])] if len(self.steps["step"]) else []
        return max([0, *last, *(one.step for one in self.evaluations[-1:])])

    @property
    def best(self) -> Evaluation | None:
        """The lowest loss on unseen text, the earliest of equals."""
        measured = [one for one in self.evaluations if math.isfinite(one.val_loss)]
        return min(measured, key=lambda one: one.val_loss, default=None)

    @cached_property
    def smooth(self) -> np.ndarray:
        """The training loss evened out: an average over the last steps, more of them the longer the run."""
        if self.evened is not None:
            return self.evened
        smooth, before = np.full(len(self.steps["loss"]), math.nan), None
        for i, (step, loss) in enumerate(zip(self.steps["step"].tolist(), self.steps["loss"].tolist())):
            before = smoothed(before, loss, step)
            smooth[i] = math.nan if before is None else before
        return smooth

    def at(self, name: str, steps: list[int]) -> np.ndarray:
        """What `name` of STEP_VALUES, one that grows, was after each of these steps; 0 before the first."""
        return np.interp(steps, np.concatenate([[0.0], self.steps["step"]]), np.concatenate([[0.0], self.steps[name]]))

    def table(self, limit: int = 60) -> list[Evaluation]:
        """The rows of the epoch table: every evaluation of a run of few epochs, else the first at or after each epoch's end.

        The best and the latest always; evenly thinned to about `limit`.
        """
        rows, best, last = self.evaluations, self.best, self.evaluations[-1:]
        if last and last[0].epoch >= 3:
            rows, epoch = [], -1
            for one in self.evaluations:
                whole = math.floor(one.epoch + 1e-6)
                if whole > epoch or one is best or one is last[0]:
                    rows.append(one)
                epoch = max(epoch, whole)
        every = max(1, math.ceil(len(rows) / limit))
        return [one for i, one in enumerate(rows) if i % every == 0 or one is best or one is last[0]]

    def sample_between(self, after: int, until: int) -> Sample | None:
        """The first prompt's newest text after step `after`, up to step `until`."""
        fitting = [one for one in self.samples
                   if one.prompt == self.samples[0].prompt and after < one.step <= until]
        return fitting[-1] if fitting else None


def read_history(run: RunDir) -> RunHistory:
    """Everything that a run has said and that counts. A million steps take seconds and a few dozen bytes each."""
    columns = {name: array("d") for name in STEP_VALUES}
    others: dict[Any, Event] = {}  # of a sample, which grows, the latest alone
    for lines, latest in _counting_lines(run):
        rows = _rows(lines)
        steps = [row for row in rows if isinstance(row, dict) and row.get("type") == Step.type]
        for name, values in _columns(steps, latest).items():
            columns[name].extend(values)
        rest = [line for line, row in zip(lines, rows) if isinstance(row, dict) and row.get("type") != Step.type]
        for event in eventlog.parse_lines(b"\n".join(rest))[0]:
            if event.step <= latest:
                others[event.sample_id if isinstance(event, Sample) else len(others)] = event
    return history_of({name: np.array(values) for name, values in columns.items()}, others.values())


def history_of(steps: dict[str, np.ndarray], others: Iterable[Event], evened: np.ndarray | None = None) -> RunHistory:
    """A history of these steps, and of what else was said: of a sample, the last."""
    kinds: dict[type, list] = {Evaluation: [], Checkpoint: [], Alert: [], Setting: []}
    samples: dict[str, Sample] = {}
    for event in others:
        if isinstance(event, Sample):
            samples[event.sample_id] = event
        elif type(event) in kinds:
            kinds[type(event)].append(event)
    return RunHistory(steps, kinds[Evaluation], list(samples.values()), kinds[Checkpoint], kinds[Alert], kinds[Setting], evened)


def _rows(lines: list[bytes]) -> list[Any]:
    """What JSON each line is, None for none. Read all at once, which takes a fraction of the time that it takes one by one;
    where one is damaged, the others are found by halves."""
    try:
        rows = json.loads(b"[%s]" % b",".join(lines))
        if len(rows) == len(lines):
            return rows
    except (ValueError, RecursionError):
        pass  # found below
    if len(lines) == 1:
        return [None]
    middle = len(lines) // 2
    return _rows(lines[:middle]) + _rows(lines[middle:])


def _columns(steps: list[dict], latest: float) -> dict[str, array]:
    """An array for each of STEP_VALUES from `step` events up to step `latest`; one that lacks a number is left out."""
    try:
        rows = [row for row in steps if row["step"] <= latest]
        return {name: array("d", [math.nan if (value := row[name]) is None else value for row in rows])
                for name in STEP_VALUES}
    except (KeyError, TypeError, OverflowError):
        whole = [row for row in steps if all(isinstance(row.get(name, ""), (int, float, type(None))) for name in STEP_VALUES)
                 and row["step"] is not None and all(row[name] is None or abs(row[name]) < LARGEST for name in STEP_VALUES)]
        return _columns(whole, latest) if len(whole) < len(steps) else {}


def smoothed(before: float | None, loss: float, step: int) -> float | None:
    """The training loss evened out as of `step`, given it as of the step before: a loss that is no number changes nothing."""
    if not math.isfinite(loss):
        return before
    return loss if before is None else before + (loss - before) / min(step, max(5, step / 25))


# --- thinning: positions in a curve that are enough to draw it ---

def low_and_high(step: np.ndarray, values: np.ndarray, buckets: int = BUCKETS) -> np.ndarray:
    """Positions of each bucket's lowest and highest value, in the order they came, so that a spike is never lost."""
    kept: list[int] = []
    for begin, end in _bounds(step, buckets):
        bucket = values[begin:end]
        if not np.isnan(bucket).all():
            kept += sorted({begin + int(np.nanargmin(bucket)), begin + int(np.nanargmax(bucket))})
    return np.array(kept, dtype=int)


def last_of_each(step: np.ndarray, values: np.ndarray, buckets: int = BUCKETS) -> np.ndarray:
    """Positions of each bucket's last value: for curves that are smooth already."""
    return np.array([end - 1 for _, end in _bounds(step, buckets) if not np.isnan(values[end - 1])], dtype=int)


def _bounds(step: np.ndarray, buckets: int) -> list[tuple[int, int]]:
    """Where each bucket that holds something begins and ends. A bucket spans a power of two of steps."""
    if not len(step):
        return []
    width = 2 ** max(0, math.ceil(math.log2(step[-1] / buckets)))
    edges = np.searchsorted(step, np.arange(0, math.ceil(step[-1] / width) + 1) * width, side="right").tolist()
    return [(begin, end) for begin, end in zip(edges, edges[1:]) if begin < end]
