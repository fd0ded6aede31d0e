"""A run's curves in few numbers: what the page draws, whatever the run's length; kept beside the events as a cache.

A bucket spans `width` steps, a power of two that doubles when CAPACITY buckets are full. It keeps the lowest and the
highest loss and gradient norm with their steps, so that no spike is lost, and the last value of all that is smooth. The
page's half, `ui/live_history.js`, does the same with what comes later.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from gptlab.events import Event, Experts, Sample, Status, Step, to_json
from gptlab.runs import eventlog
from gptlab.runs.disk import retry, write_atomic
from gptlab.runs.history import BUCKETS, CHUNK_BYTES, RunHistory, counting_events, history_of, read_history, smoothed
from gptlab.runs.rundir import RunDir

FILE = "curves.json"
LONG_BYTES = 500_000  # of events, from which on a run is told in sum: reading so much takes a browser a moment
CAPACITY = BUCKETS
LONGEST_LINE_BYTES = 2**22
MOST_TOLD = 400  # samples, and loads of experts, kept of a long run, thinned evenly but for the latest
LATEST = 9       # steps with any
WENT_BACK = re.compile(rb'"resumed_from_step":\s*-?\d')  # in a line of events; in a text, the quotes would be escaped
EXTREMES = ("loss", "grad_norm")
LASTS = ("smooth", "learning_rate", "tokens_per_second", "tokens", "epoch", "time_seconds")
COLUMNS = (*(f"{name}_{part}" for name in EXTREMES for part in ("low", "low_at", "high", "high_at")), *LASTS)


class Curves:
    """The steps of a run so far, and all else it said that still counts. Feed it events in order; `events_bytes` is the
    caller's: how much of `events.jsonl` they were."""

    def __init__(self):
        self.width, self.step, self.events_bytes = 1, 0, 0
        self.columns: dict[str, list[float | None]] = {name: [] for name in COLUMNS}
        self._others: dict[Any, str | Event] = {}  # lines, in the order they came; a sample that still grows by its id
        self._told = 0
        self._thinned: dict[type, dict[Any, int]] = {Sample: {}, Experts: {}}  # their steps, by the same

    def add(self, events: Iterable[Event]) -> None:
        """Takes events that count (`effective_events`), in order."""
        for event in events:
            if isinstance(event, Step):
                if event.step >= 1:  # a run from elsewhere may say anything
                    self._add_step(event)
            elif isinstance(event, Sample):
                # as a line it takes a fifth of the room
                self._tell(event.sample_id, event, to_json(event) if event.done else event)
            elif not isinstance(event, Status):
                self._told += 1
                self._tell(self._told, event, to_json(event))

    def _tell(self, key: Any, event: Event, told: str | Event) -> None:
        self._others[key] = told
        if (steps := self._thinned.get(type(event))) is not None:
            steps[key] = event.step
            if len(steps) > 2 * MOST_TOLD:  # a run of days writes thousands
                for dropped in _too_many(steps):
                    del self._others[dropped], steps[dropped]

    def _add_step(self, event: Step) -> None:
        columns, index = self.columns, (event.step - 1) // self.width
        while index >= CAPACITY:
            self._halve()
            index = (event.step - 1) // self.width
        if index >= len(columns["tokens"]):
            for values in columns.values():
                values.extend([None] * (index + 1 - len(values)))
        for name in EXTREMES:
            value = getattr(event, name)
            if not math.isfinite(value):
                continue
            low, high = columns[f"{name}_low"][index], columns[f"{name}_high"][index]
            if low is None or value < low:
                columns[f"{name}_low"][index], columns[f"{name}_low_at"][index] = value, event.step
            if high is None or value > high:
                columns[f"{name}_high"][index], columns[f"{name}_high_at"][index] = value, event.step
        smooth = columns["smooth"]
        before = smooth[index] if smooth[index] is not None else smooth[index - 1] if index else None
        smooth[index] = smoothed(before, event.loss, event.step)
        for name in LASTS[1:]:
            columns[name][index] = getattr(event, name)
        self.step = event.step

    def _halve(self) -> None:
        """Two buckets become one."""
        columns = self.columns
        for name in EXTREMES:
            for part, better in (("low", min), ("high", max)):
                values, places = columns[f"{name}_{part}"], columns[f"{name}_{part}_at"]
                merged = [better([(v, at) for v, at in zip(values[i:i + 2], places[i:i + 2]) if v is not None],
                                 default=(None, None), key=lambda pair: pair[0]) for i in range(0, len(values), 2)]
                columns[f"{name}_{part}"], columns[f"{name}_{part}_at"] = [v for v, _ in merged], [at for _, at in merged]
        for name in LASTS:
            values = columns[name]
            columns[name] = [next((v for v in reversed(values[i:i + 2]) if v is not None), None)
                             for i in range(0, len(values), 2)]
        self.width *= 2

    def to_dict(self) -> dict[str, Any]:
        """What the page takes over: `width step columns` and the other events as `lines`, samples and loads of a long run thinned."""
        dropped = {key for steps in self._thinned.values() for key in _too_many(steps)}
        lines = "".join((one if isinstance(one, str) else to_json(one)) + "\n" for key, one in self._others.items()
                        if key not in dropped)
        columns = {name: [_short(value) for value in values] for name, values in self.columns.items()}
        return {"width": self.width, "step": self.step, "columns": columns, "lines": lines}


def _too_many(kept: dict[Any, int]) -> set[Any]:
    """Those beyond MOST_TOLD, given the steps of all: evenly, those of one step together, and never of the latest steps."""
    if len(kept) <= MOST_TOLD:
        return set()
    steps = sorted(set(kept.values()))
    apart = (steps[-1] - steps[0]) * len(kept) / (MOST_TOLD * len(steps))
    stay, wanted = set(steps[-LATEST:]), -math.inf
    for step in steps:
        if step >= wanted:
            stay.add(step)
            wanted = step + apart
    return {key for key, step in kept.items() if step not in stay}


def save(run: RunDir, curves: Curves) -> None:
    """Puts the cache beside the events; raises RunError where that is not possible."""
    write_atomic(run.path / FILE, json.dumps({"events_bytes": curves.events_bytes, **curves.to_dict()}), durable=False)


def keep(run: RunDir) -> None:
    """Gives a long run that came without its cache a new one, so that no page has to wait for it; raises RunError."""
    if run.events_path.stat().st_size > LONG_BYTES:
        write_atomic(run.path / FILE, json.dumps(built(run)), durable=False)


def load(run: RunDir) -> dict[str, Any] | None:
    """The cache as `to_dict` gave it, with `events_bytes`; None where there is none, or it is not of these events: also where
    the run went back since, for no bucket can be taken apart again."""
    try:
        found = json.loads(retry(lambda: (run.path / FILE).read_text(encoding="utf-8")))
        whole = 0 < found["events_bytes"] <= run.events_path.stat().st_size and found["columns"].keys() == set(COLUMNS)
        with open(run.events_path, "rb") as events:
            events.seek(found["events_bytes"])
            whole = whole and not WENT_BACK.search(events.read())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if whole else None


def built(run: RunDir) -> dict[str, Any]:
    """What `load` gives, made anew from the events: some seconds for a million steps. Writes nothing."""
    curves = Curves()
    with open(run.events_path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_LINE_BYTES))
        tail = file.read(min(size, LONGEST_LINE_BYTES))
    curves.events_bytes = size - len(tail) + tail.rfind(b"\n") + 1  # a line may be half written
    curves.add(counting_events(run, curves.events_bytes))
    return {"events_bytes": curves.events_bytes, **curves.to_dict()}


def history_in_sum(run: RunDir) -> RunHistory:
    """A run's history with the last step of each bucket alone, where a cache tells it at once; else, and of a short run, all.

    Enough for curves that are smooth. A cache may come from elsewhere: one that is not whole is passed over.
    """
    kept = load(run) if run.events_path.exists() and run.events_path.stat().st_size > LONG_BYTES else None
    try:
        found = kept and _history(run, kept)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        found = None
    return found or read_history(run)


def _history(run: RunDir, kept: dict[str, Any]) -> RunHistory | None:
    """From a cache and the events after it; None where the run went back since."""
    width, last, columns = int(kept["width"]), int(kept["step"]), kept["columns"]
    since, offset = [], int(kept["events_bytes"])
    while (chunk := run.read_events(offset, CHUNK_BYTES))[0]:
        since += eventlog.parse_lines(chunk[0])[0]
        offset = chunk[1]
    if any(isinstance(event, Status) and event.resumed_from_step is not None for event in since):
        return None
    events = eventlog.parse_lines(kept["lines"].encode("utf-8"))[0] + since
    if width < 1 or len(columns["tokens"]) > CAPACITY or any(len(columns[name]) != len(columns["tokens"]) for name in LASTS):
        return None
    there = [i for i, tokens in enumerate(columns["tokens"]) if tokens is not None]
    steps = {"step": [min((i + 1) * width, last) for i in there],
             **{name: [columns[name][i] for i in there] for name in ("time_seconds", "epoch", "tokens")}}
    smooth = [columns["smooth"][i] for i in there]
    for event in events:
        if isinstance(event, Step):
            smooth.append(smoothed(smooth[-1] if smooth else None, event.loss, event.step))
            for name, values in steps.items():
                values.append(getattr(event, name))
    return history_of({name: np.array(values, dtype=float) for name, values in steps.items()},
                      (event for event in events if not isinstance(event, Step)), np.array(smooth, dtype=float))


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.7g}")
