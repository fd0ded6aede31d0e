"""The queue: one background thread that works on one run at a time, first come, first served unless somebody moves one.
Knows no page.

A run never depends on who started it: pages come and go, the thread goes on. What a run did wrong stands in its own
status; nothing that happens in one stops the queue.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

from gptlab.events import Status
from gptlab.runs import worker
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace

RESUMABLE = ("queued", "stopped", "failed", "interrupted")

logger = logging.getLogger(__name__)


class Jobs:
    """The runs of a workspace that wait, and the one that is being trained. All methods return at once but `stop_all`."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._changed = threading.Condition()
        self._waiting: list[RunDir] = []
        self._current: RunDir | None = None
        self._stop = threading.Event()  # tells the current run to stop
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    @property
    def current(self) -> RunDir | None:
        """The run that is being trained (or paused) by this program."""
        return self._current

    @property
    def queue(self) -> list[RunDir]:
        """The runs that wait, in the order in which they will start."""
        with self._changed:
            return list(self._waiting)

    @property
    def standing(self) -> tuple[RunDir | None, list[RunDir]]:
        """`current` and `queue` of one moment: a run that begins is in either."""
        with self._changed:
            return self._current, list(self._waiting)

    def submit(self, run: RunDir) -> None:
        """Starts a run, or goes on with one, as soon as those before it have ended. Twice is once.

        Raises RunError for a run that is finished, damaged or being trained by another program.
        """
        with self._changed:
            if self._closed:
                raise RunError("GPT Lab is closing: start it again, then resume the run.")
            stopping = run == self._current and self._stop.is_set()
            if run in self._waiting or (run == self._current and not stopping):
                return
            if stopping:
                run.note_command("resume")
            else:
                _queue(run)
            self._waiting.append(run)
            self._changed.notify_all()

    resume = submit  # a run goes on from its last checkpoint whenever it has one

    def stop(self, run: RunDir) -> None:
        """Stops a run after the update it is at, wherever it is being trained; takes it out of the queue if it waits.

        Harmless for a run that has ended.
        """
        with self._changed:
            waits = run in self._waiting  # also the current one, when it is to go on after a stop
            if waits:
                self._waiting.remove(run)
            if run == self._current:
                if not self._stop.is_set():
                    with suppress(OSError, RunError):  # a full disk keeps nobody from stopping
                        run.note_command("stop")
                self._stop.set()
            elif waits:
                _note_taken_out(run)
            elif run.is_alive():
                run.command("stop")
            elif run.state() == "queued":  # left over from an app that ended
                _note_taken_out(run)

    def take_out(self, run: RunDir) -> bool:
        """Takes a run out of the queue; whether it still waited there. One that has begun meanwhile goes on: who takes out
        what waits does not mean to stop what trains."""
        with self._changed:
            if run not in self._waiting:
                return False
            self._waiting.remove(run)
            if run != self._current:  # which would only have gone on after a stop
                _note_taken_out(run)
            return True

    def move(self, run: RunDir, places: int) -> bool:
        """Moves a run that waits so many places forward (below 0) or back, as far as there are any; whether it still waits."""
        with self._changed:
            if run not in self._waiting:
                return False
            place = self._waiting.index(run)
            self._waiting.insert(max(0, place + places), self._waiting.pop(place))
            return True

    def stop_all(self, timeout: float = 30.0) -> bool:
        """For the end of the program: nothing new starts, the current run saves and stops. True if it did in time.

        Waits for the thread itself: one that is inside torch when Python ends takes the process down with it. Runs in
        the queue stay "queued", to be started again by the next app.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._stop.set()
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until nothing runs or waits; False if that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._current is None and not self._waiting, timeout)

    def _work(self) -> None:
        import torch
        import torch._dynamo  # noqa: F401  two seconds that torch's first optimizer takes; so the first run need not
        torch.get_num_threads()  # settles it for this thread, before another one tries with how many it is fastest
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._current = self._waiting.pop(0)
                self._stop.clear()
            try:
                worker.run(self._current, should_stop=self._stop.is_set)
            except Exception:  # a failed run notes that down itself; this is a run that could not even be taken up
                logger.exception("Run %s could not be started", self._current.id)
            finally:
                with self._changed:
                    self._current = None
                    self._changed.notify_all()


def _queue(run: RunDir) -> None:
    if run.is_alive():
        raise RunError(f"Run {run.id} is being trained by another program, a command line perhaps: stop it there first.")
    state = run.state()
    if state == "finished":
        raise RunError(f"Run {run.id} is finished. To train longer, extend it.")
    if state not in RESUMABLE:
        raise RunError(run.status()["reason"] or f"Run {run.id} cannot be resumed: it is {state}.")
    if state != "queued":
        _note(run, "queued", "")
        run.note_command("resume")


def _note_taken_out(run: RunDir) -> None:
    if run.path.is_dir():  # it can have been deleted by hand while it waited
        _note(run, "stopped", "Taken out of the queue. Resume lets it wait again.")
        run.note_command("stop")


def _note(run: RunDir, state: str, reason: str) -> None:
    with run.lock():
        known = run.status(at_rest=True)
        run.append(Status(step=known["step"], time_seconds=known["time_seconds"], state=state, reason=reason))
        run.write_status({**known, "state": state, "reason": reason, "events_bytes": run.events_path.stat().st_size})
