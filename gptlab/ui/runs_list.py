"""The list of runs as the Runs tab's table takes it: plain values, each checked, and a mark that says whether they still hold.

Open pages ask every few seconds, beside a training: an unchanged list costs next to nothing. Files of runs may come from
elsewhere: a damaged run says what is wrong with it, and hides no other. Knows nothing of the page.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from gptlab.model import estimate
from gptlab.runs import archive
from gptlab.runs.disk import RunError
from gptlab.runs.label import Label
from gptlab.runs.rundir import MAX_NAME_LENGTH, RunDir
from gptlab.runs.status import EMPTY
from gptlab.ui import words, words_runs
from gptlab.ui.lab import Lab
from gptlab.ui.which_run import run_or_none, status_here

SHOWN = 200  # runs, archived runs and runs in the trash, of each
KEPT_SECONDS = 3.0  # a room of pages asks within that time (runs.js): one reading of the files does for all of them
RESUMABLE = ("stopped", "failed", "interrupted")
BEGUN = ("queued", "running", "paused")  # what is waited for is no archive's
MOST = 10**12  # of a step, a time, a loss: anything beyond is none, and no answer could carry it
MOST_TOKENS = 10**7  # in a vocabulary
REASON_CHARACTERS = 500
HALF_CHARACTERS = re.compile("[\ud800-\udfff]")  # what no answer can carry
UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError, OSError)


class RunsList:
    """Answers the table's question for news, and tells what the list is after something was done to it."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._made_of: dict[str, tuple[tuple, dict]] = {}  # data and model by run, with what their files were when read
        self._reading = threading.Lock()
        self._read: tuple[float, dict] | None = None  # (when, the listing), the last one

    def news_since(self, mark: Any) -> dict | None:
        """The list where the page's, of that `mark`, is out of date; else `now`, how the run that trains is; or None."""
        if mark != self.mark():
            return self._lately()
        current = self.lab.jobs.current
        return None if current is None else {"mark": mark, "now": self.row(current)}

    def mark(self) -> str:
        """Another one once a run was made, moved or labelled, or began, paused or ended here."""
        current, workspace = self.lab.jobs.current, self.lab.workspace
        moved = [folder.stat().st_mtime_ns for folder in (workspace.runs, workspace.trash)]
        return json.dumps([moved, current and [current.id, current.state()], [run.id for run in self.lab.jobs.queue],
                           _labels_mark(workspace.runs)])

    def listing(self) -> dict:
        """What the table shows: `runs` and `trash`, the newest first, SHOWN of each kind; `more`, which says so; `mark`; and
        `at`, the time of it, for a page may hear of two the wrong way round."""
        with self._reading:
            return self._list()

    def _lately(self) -> dict:
        """The listing, or the last one where nothing that it is marked by changed since and it is not old."""
        with self._reading:
            at, known = self._read or (0.0, {})
            return known if time.monotonic() - at < KEPT_SECONDS and known.get("mark") == self.mark() else self._list()

    def _list(self) -> dict:
        mark = self.mark()  # before it is read: what changes meanwhile is news
        runs, trash = self.lab.workspace.list_runs(), archive.list_trash(self.lab.workspace)
        labels = {run: run.label() for run in runs}
        archived = [run for run in runs if labels[run].archived]
        shown = {*[run for run in runs if not labels[run].archived][:SHOWN], *archived[:SHOWN]}
        left_out = words_runs.runs_left_out(SHOWN, len(runs) - len(archived), len(archived), len(trash))
        told = {"mark": mark, "at": time.time(), "runs": [self.row(run, labels[run]) for run in runs if run in shown],
                "trash": [_called(run, run.label()) for run in trash[:SHOWN]], "more": left_out}
        self._read = time.monotonic(), told
        return told

    def row(self, run: RunDir, label: Label | None = None) -> dict:
        """One run for the table, with its label if that was read already; never raises, and holds nothing that an answer could
        not carry."""
        label, status, made_of = label or run.label(), EMPTY, {"data": "–", "model": "", "parameters": None, "size": ""}
        try:
            status = status_here(self.lab, run)
            made_of = self._data_and_model(run)
            if not _believable(status):
                raise RunError(words_runs.DAMAGED.format(file="status.json"))
        except UNREADABLE as problem:
            reason = str(problem) if isinstance(problem, ValueError) else words_runs.A_FILE_DAMAGED
            if status["state"] == "damaged":
                reason = status["reason"]
            status = {**EMPTY, "state": "damaged", "reason": reason}
        state = status["state"]
        told = state in ("failed", "damaged")
        return {**_called(run, label), **made_of, "tags": list(label.tags), "note": label.note, "origin": self._origin(run),
                "state": state, "reason": _text(status["reason"], REASON_CHARACTERS) if told else "",
                "best": _number(status["best_val_loss"]), "bits": _number(status["best_bits_per_byte"]),
                "step": status["step"], "total_steps": status["total_steps"], "seconds": status["time_seconds"],
                "resumable": state in RESUMABLE, "alive": state in ("running", "paused"), "waits": state in BEGUN,
                "archived": label.archived and state not in BEGUN}

    def _data_and_model(self, run: RunDir) -> dict:
        """What a run was made of, which never changes while its files do not. Raises one of UNREADABLE."""
        files = tuple(_when_written(run.path / name) for name in ("config.json", "manifest.json"))
        known = self._made_of.get(run.id)
        if known is None or known[0] != files:
            known = self._made_of[run.id] = files, _made_of(run)
        return known[1]

    def _origin(self, run: RunDir) -> str:
        """Which run's checkpoint a fork began with; "" for a run of its own. Its parent.json may come from elsewhere."""
        try:
            parent = run.parent()
        except UNREADABLE:  # 1e999
            return ""
        if parent is None or not 0 <= parent["step"] < MOST:
            return ""
        here = run_or_none(self.lab, parent["run"])
        name = here.name if here else RunDir(Path(parent["run"])).first_name
        return words_runs.FORKED.format(name=_text(name, MAX_NAME_LENGTH), step=parent["step"]) if name else ""


def made(run: RunDir) -> str:
    """When a run was made, from its id: "2026-11-21 02:03"."""
    date, _, rest = run.id.partition("-")
    if len(date) != 8 or not (date + rest[:6]).isdigit():
        return ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {rest[:2]}:{rest[2:4]}"


def _called(run: RunDir, label: Label) -> dict:
    return {"run": _text(run.id), "name": _text(label.name or run.first_name), "owner": label.owner, "made": made(run)}


def _made_of(run: RunDir) -> dict:
    """The name of a run's data set, and its model in words and numbers. Raises RunError where its manifest lacks what the
    page tells of it."""
    manifest, model = run.manifest(), run.config().model
    name, tokens = manifest.get("name"), manifest.get("vocab_size")
    if not manifest.keys() >= {"name", "tokenizer", "vocab_size", "baselines"} or not isinstance(name, str) \
            or not isinstance(tokens, int) or not 0 < tokens <= MOST_TOKENS:
        raise RunError(words_runs.DAMAGED.format(file="manifest.json"))
    count = estimate.total_parameters(model, tokens)
    return {"data": _text(name, MAX_NAME_LENGTH), "model": words_runs.model_shape(model.n_layer, model.n_embd),
            "parameters": count, "size": words.parameters(count)}


def _believable(status: dict) -> bool:
    """Whether the values the table shows are of their kinds."""
    return (isinstance(status["state"], str) and status["state"] in words_runs.RUNS["states"]
            and isinstance(status["reason"], str) and all(_number(status[name]) is not None for name in ("step", "time_seconds"))
            and status["total_steps"] in (None, _number(status["total_steps"]))
            and all(status[name] is None or _is_number(status[name]) for name in ("best_val_loss", "best_bits_per_byte")))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> int | float | None:
    """A number as it is, where it is one and finite."""
    return value if _is_number(value) and -MOST < value < MOST else None


def _text(text: str, characters: int | None = None) -> str:
    """A text, or its beginning, without halves of characters."""
    return HALF_CHARACTERS.sub("", text[:characters])


def _labels_mark(folder: Path) -> str:
    """Another one once the label of a run in a folder was written; of the newest, as many as are listed at most."""
    newest = sorted(os.listdir(folder), reverse=True)[:2 * SHOWN]
    written = [_when_written(f"{folder}/{name}/label.json") for name in newest]
    return hashlib.blake2b(repr(written).encode("ascii"), digest_size=8).hexdigest()


def _when_written(path: Path | str) -> tuple[int, int] | None:
    """When a file was written, and which it is, for two may be written within one tick of the clock; None: not there."""
    try:
        told = os.stat(path)
    except (OSError, ValueError):
        return None
    return told.st_mtime_ns, told.st_ino
