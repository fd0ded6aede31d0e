"""The queue on the Train tab, the server's half: what trains and what waits, told at every page's poll, and what is done to it.

Anybody may move a run; taking another person's out is asked about first (people.py). What a page sends is checked.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import gradio as gr

from gptlab.runs.expected import Expected
from gptlab.runs.rundir import RunDir
from gptlab.ui import words_train
from gptlab.ui.lab import EACH, SPEAKS, Lab, Page, guarded, say
from gptlab.ui.people import check_may, person
from gptlab.ui.which_run import named

KEPT_SECONDS = 0.5  # a room of pages asks within that time: one answer does for all of them


class QueueNow:
    """What the pages show of the queue."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._expected = Expected()
        self._asking = threading.Lock()
        self._told: tuple[float, Any, dict] | None = None  # (when, of which queue, the answer)

    def told(self) -> dict:
        """`training`: the run that trains, by id, name and owner, with `state` and `left_seconds` (None if unknown); None where
        nothing trains. `queue`: those that wait, in order, with `starts_in_seconds` (None if unknown)."""
        with self._asking:
            now, (current, waiting) = time.monotonic(), self.lab.jobs.standing
            if self._told is None or self._told[1] != (current, waiting) or now - self._told[0] > KEPT_SECONDS:
                self._told = now, (current, waiting), self._tell(current, waiting)
            return self._told[2]

    def _tell(self, current: RunDir | None, waiting: list[RunDir]) -> dict:
        status = current.status() if current else None
        starts = self._expected.starts_in_seconds(current, status, waiting)
        training = {**named(current), "state": status["state"], "left_seconds": status["eta_seconds"]} if current else None
        return {"training": training,
                "queue": [{**named(run), "starts_in_seconds": start} for run, start in zip(waiting, starts, strict=True)]}


def connect(lab: Lab, page: Page, live: gr.HTML) -> None:
    """The buttons beside what waits, and the one that changes a person's name (live_queue.js)."""
    @guarded
    def on_move(event: gr.EventData):
        move(lab, event.run, event.places)

    @guarded
    def on_cancel(who, event: gr.EventData):
        say(cancel(lab, event.run, who, event.sure), 6)

    @guarded
    def on_name(event: gr.EventData):
        return person(event.who) or gr.skip()

    live.queue_move(on_move, None, None, **EACH)  # a quick hand moves by several places
    live.queue_cancel(on_cancel, page.who, None, **EACH)
    live.queue_name(on_name, None, page.who, **SPEAKS)


def move(lab: Lab, run_id: Any, places: Any) -> None:
    """Moves a run that waits by one place. Nothing happens to one that does not wait any more: the page shows where it is.

    Raises ValueError for what no button sends.
    """
    if type(places) is not int or abs(places) != 1:
        raise ValueError(words_train.NOT_A_PLACE)
    if (run := _waiting(lab, run_id)) is not None:
        lab.jobs.move(run, places)


def cancel(lab: Lab, run_id: Any, who: Any, sure: Any) -> str:
    """Takes a run out of the queue; a sentence. Raises ValueError for somebody else's, unless `sure` is its id."""
    run = _waiting(lab, run_id)
    if run is None:
        return words_train.NOT_WAITING
    check_may(run, who, sure)
    return words_train.TAKEN_OUT.format(name=run.name) if lab.jobs.take_out(run) else words_train.NOT_WAITING


def _waiting(lab: Lab, run_id: Any) -> RunDir | None:
    """The run of that id in the queue, also one that was deleted from the disk by hand meanwhile."""
    return next((run for run in lab.jobs.queue if run.id == run_id), None)
