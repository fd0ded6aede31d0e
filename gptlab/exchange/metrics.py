"""A run's numbers as CSV (RFC 4180): one row a step, or one an evaluation. Knows events, nothing of any page."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any, TextIO

from gptlab.events import Evaluation, Step
from gptlab.runs.disk import check_space, explained, remove_file, replace, temporary_sibling
from gptlab.runs.history import counting_events
from gptlab.runs.rundir import RunDir

TABLES = {"steps": Step, "evaluations": Evaluation}


def write_metrics(run: RunDir, table: str, file: TextIO) -> int:
    """Writes one of TABLES to an open text file (newline=""), a heading first; the number of rows.

    Numbers stand in full precision; one that was not finite, or not known, is an empty field. Superseded steps are left
    out. Needs little memory, however long the run.
    """
    kind = TABLES[table]
    writer = csv.writer(file)  # commas, quotes where needed, CRLF
    writer.writerow(names := [item.name for item in dataclasses.fields(kind)])
    rows = 0
    for event in counting_events(run):
        if isinstance(event, kind):
            writer.writerow([_field(getattr(event, name)) for name in names])
            rows += 1
    return rows


def save_metrics(run: RunDir, table: str, target: Path) -> int:
    """The same as a file that appears whole or not at all. Raises RunError on a full disk."""
    check_space(target.parent, run.events_path.stat().st_size, f"write {target.name}")  # a row is shorter than its event
    temporary = temporary_sibling(target)
    try:
        with explained(target, f"write {target.name}"), open(temporary, "w", encoding="utf-8", newline="") as file:
            rows = write_metrics(run, table, file)
        replace(temporary, target)
    finally:
        remove_file(temporary)
    return rows


def _field(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value
