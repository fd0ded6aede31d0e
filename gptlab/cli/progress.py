"""A training as seen from a terminal: follows the run's events, as every view does. Never touches the training itself."""

from __future__ import annotations

import sys
import threading
import time

from tqdm import tqdm

from gptlab.cli.line import LINE_SECONDS
from gptlab.events import Alert, Evaluation, Event, Sample, Setting, Status, Step
from gptlab.runs.eventlog import parse_lines
from gptlab.runs.rundir import RunDir

POLL_SECONDS = 0.5


class Progress:
    """Shows a run's progress on stderr for the time of a `with`: a bar on a terminal, elsewhere a line now and then.

    Begins with the events there are not yet. `stop` is set when somebody wants the run to stop; `last_sample` is the
    latest finished one.
    """

    def __init__(self, run: RunDir, stop: threading.Event):
        self.run, self.stop = run, stop
        self.last_sample: Sample | None = None
        self._offset = run.events_path.stat().st_size
        self._on_terminal = sys.stderr.isatty()
        self._line_due = time.monotonic() + LINE_SECONDS
        self._bar = tqdm(unit="step", disable=not self._on_terminal, dynamic_ncols=True, file=sys.stderr)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.close()

    def _follow(self) -> None:
        stopping = False
        while not self._ended.wait(POLL_SECONDS):
            self._read()
            if self.stop.is_set() and not stopping:
                stopping = True
                self._say("Stopping after this step …")
        self._read()

    def _read(self) -> None:
        """Show what is new, all of it."""
        while True:
            content, self._offset = self.run.read_events(self._offset)
            if not content:
                return
            events, _ = parse_lines(content)
            for event in events:
                self._tell(event)
            if steps := [event for event in events if isinstance(event, Step)]:
                self._advance(steps[-1])

    def _tell(self, event: Event) -> None:
        if isinstance(event, Evaluation):
            self._say(f"step {event.step:,}: val loss {event.val_loss:.4f}, train loss {event.train_loss:.4f}")
        elif isinstance(event, Alert):
            self._say(f"{event.severity}: {event.message} {event.remedy}".rstrip())
        elif isinstance(event, Setting):
            moved = ", ".join(f"{name} {event.before.get(name)} -> {value}" for name, value in event.changes.items())
            self._say(f"step {event.step:,}: {moved}")
        elif isinstance(event, Status) and event.state == "running" and event.reason:
            self._say(event.reason)
        elif isinstance(event, Sample) and event.done:
            self.last_sample = event

    def _advance(self, step: Step) -> None:
        total = self.run.status()["total_steps"]
        speed = "" if step.tokens_per_second is None else f"{step.tokens_per_second:,.0f} tokens/s"
        if self._on_terminal:
            self._bar.total = total
            self._bar.set_postfix_str(", ".join(filter(None, (f"loss {step.loss:.3f}", speed))), refresh=False)
            if self._bar.n == 0:  # resumed: what was done before says nothing about the speed now
                self._bar.initial = self._bar.n = step.step
            self._bar.update(step.step - self._bar.n)
        elif time.monotonic() > self._line_due:
            self._line_due = time.monotonic() + LINE_SECONDS
            of = f" of {total:,}" if total else ""
            self._say(", ".join(filter(None, (f"step {step.step:,}{of}: loss {step.loss:.3f}", speed))))

    def _say(self, line: str) -> None:
        if self._on_terminal:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)
