"""From a run's id, as a page sends it, to the run; and what a run's state means to a page.

An id is checked to be one plain name before it is used as one.
"""

from __future__ import annotations

import os
import re
from typing import Any

from gptlab.runs.label import Label
from gptlab.runs.rundir import RunDir
from gptlab.ui import words, words_train
from gptlab.ui.lab import Lab

NAME = re.compile(r"[^./\\:][^/\\:]*")  # one part of a path, not hidden: never a way to another folder


def run_or_none(lab: Lab, run_id: Any) -> RunDir | None:
    """The run of exactly that id among those there are: without listing them, for pages ask several times a second."""
    if not isinstance(run_id, str) or not NAME.fullmatch(run_id):
        return None
    path = lab.workspace.runs / run_id
    return RunDir(path) if os.path.isdir(path) else None  # of the module: no name makes it raise


def run_by_id(lab: Lab, run_id: Any) -> RunDir:
    """The run of exactly that id. Raises ValueError where there is none (any more)."""
    if (run := run_or_none(lab, run_id)) is None:
        raise ValueError(words.NO_SUCH_RUN)
    return run


def named(run: RunDir, label: Label | None = None) -> dict:
    """A run as a page speaks of it: by id, name and owner. `label` is its, where the caller has read it already."""
    label = label or run.label()
    return {"run": run.id, "name": label.name or run.first_name, "owner": label.owner}


def status_here(lab: Lab, run: RunDir) -> dict:
    """A run's status; one that waited when an app ended waits for nobody now: interrupted, and it says so."""
    status = run.status()
    if status["state"] != "queued":
        return status
    current, waiting = lab.jobs.standing
    if run != current and run not in waiting:
        return {**status, "state": "interrupted", "reason": words_train.NEVER_STARTED}
    return status
