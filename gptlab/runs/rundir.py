"""One run's directory: where everything lies, and how to read it while somebody else is writing.

Knows files, settings and events; nothing of models, training or threads, and needs no torch.
"""

from __future__ import annotations

import json
import math
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gptlab.config import ConfigError, RunConfig
from gptlab.events import Event
from gptlab.runs import eventlog, label, status
from gptlab.runs.disk import RunError, explained, retry, write_atomic
from gptlab.runs.lock import FileLock, is_held

COMMANDS = ("pause", "resume", "stop", "sample", "checkpoint", "set")
CHECKPOINT_NAME = re.compile(r"step_(\d{8,})")
MAX_NAME_LENGTH = 60
RESERVED = {"con", "prn", "aux", "nul"}  # what Windows keeps for itself
_rebuilding = threading.Lock()  # a long run's status takes seconds to make: of all who ask at once, one does


def check_name(name: str, kind: str = "run") -> str:
    """`name`, if it can be a run's or a data set's. Raises RunError saying what is allowed, with a name that would do."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(name) <= MAX_NAME_LENGTH and name.lower() not in RESERVED:
        return name
    raise RunError(f"'{name}' cannot be the name of a {kind}: use letters (a-z), digits, - and _, at most "
                   f"{MAX_NAME_LENGTH}, for example '{clean_name(name, kind)}'.")


def clean_name(text: str, otherwise: str = "run") -> str:
    """A name that `check_name` accepts, as near to `text` as can be."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:MAX_NAME_LENGTH].strip("-")
    return name if name and name.lower() not in RESERVED else otherwise


class RunDir:
    """A run on disk. Cheap to make; every method reads anew what it tells."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.id = self.path.name
        self.events_path = self.path / "events.jsonl"
        self.control_path = self.path / "control.jsonl"
        self.tokenizer_path = self.path / "tokenizer.json"
        self.checkpoints_path = self.path / "checkpoints"
        self.traceback_path = self.path / "traceback.txt"
        self._lock_path = self.path / "lock"

    @classmethod
    def of(cls, run: RunDir | Path | str) -> RunDir:
        """The run itself, or the one at a path."""
        return run if isinstance(run, RunDir) else cls(run)

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    def __eq__(self, other) -> bool:
        return isinstance(other, RunDir) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    # what people call it

    @property
    def name(self) -> str:
        """What somebody named it; else as its id says."""
        return self.label().name or self.first_name

    @property
    def first_name(self) -> str:
        """The name it was made with, as its id says."""
        return re.sub(r"^\d{8}-\d{6}-", "", self.id)

    def label(self) -> label.Label:
        """Name, owner, tags and notes; never raises."""
        return label.read(self.path)

    def relabel(self, **changes) -> label.Label:
        """Changes fields of the label; what it then is. Raises RunError for a text that is too long."""
        return label.change(self.path, **changes)

    # settings

    def config(self) -> RunConfig:
        """The run's settings. Raises RunError when the file is missing, damaged or from a newer version."""
        try:
            return RunConfig.from_dict(self._json("config.json"))
        except ConfigError as error:
            raise RunError(f"Run {self.id}: {' '.join(error.problems)}") from error

    def write_config(self, config: RunConfig) -> None:
        """Puts other settings in place of the run's. Raises RunError on a full disk."""
        write_atomic(self.path / "config.json", json.dumps(config.to_dict(), indent=2, ensure_ascii=False))

    def manifest(self) -> dict:
        """What the run's data set was: the copy of its manifest. Raises RunError."""
        return self._json("manifest.json")

    def parent(self) -> dict | None:
        """{"run": the id of the run that this one was forked from, "step": of which checkpoint}; None for one of its own."""
        try:
            values = self._json("parent.json")
            return {"run": str(values["run"]), "step": int(values["step"])}
        except (RunError, KeyError, TypeError, ValueError, OverflowError):  # of a file from elsewhere
            return None

    def _json(self, name: str) -> dict:
        path = self.path / name
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path} is not a whole run: {name} is missing. Restore it, or delete the run.") from None
        except (ValueError, OSError, RecursionError) as error:
            raise RunError(f"Run {self.id}: {name} is damaged ({error}). Restore it, or delete the run.") from error
        if not isinstance(values, dict):
            raise RunError(f"Run {self.id}: {name} is damaged. Restore it, or delete the run.")
        return values

    # life

    def is_alive(self) -> bool:
        """Whether a worker, in this process or another, holds the run."""
        return is_held(self._lock_path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for the time of a `with`. Raises RunError when somebody else does."""
        lock = FileLock(self._lock_path)
        if not lock.acquire():
            raise RunError(f"Run {self.id} is being trained already, here or by another program: wait for it, or stop it.")
        try:
            yield
        finally:
            lock.release()

    def state(self) -> str:
        """queued, running, paused, finished, stopped or failed; interrupted (cut off, resumable) or damaged."""
        return self.status()["state"]

    def status(self, at_rest: bool = False) -> dict:
        """The summary that `gptlab.runs.status` describes; never raises for a damaged run: its state says so.

        Read from status.json while the run is alive; once it is not, rebuilt from the events where that lags behind.
        `at_rest`: the caller holds the run and does not train it.
        """
        try:
            alive = not at_rest and self.is_alive()
            cached = self._known_status(alive)
            if cached is None:
                with _rebuilding:
                    alive = not at_rest and self.is_alive()
                    cached = self._known_status(alive) or self._rebuilt_status(keep=not alive)
        except (RunError, OSError, TypeError, OverflowError, RecursionError) as error:
            return {**status.EMPTY, "state": "damaged", "reason": _damage(error, self)}
        if cached["state"] in ("running", "paused") and not alive:
            cached.update(state="interrupted", eta_seconds=None,
                          reason=f"Cut off at step {cached['step']}. Resume goes on from the last checkpoint.")
        return cached

    def write_status(self, values: dict) -> None:
        """Replaces the cache. Not waited for: it can be rebuilt."""
        finite = {name: None if isinstance(value, float) and not math.isfinite(value) else value
                  for name, value in values.items()}
        write_atomic(self.path / "status.json", json.dumps(finite), durable=False)

    def _known_status(self, alive: bool) -> dict | None:
        """What status.json says, if that is of all the events."""
        events_bytes = self.events_path.stat().st_size
        cached = self._cached_status()
        return cached if cached and (alive or cached["events_bytes"] == events_bytes) else None

    def _cached_status(self) -> dict | None:
        try:
            values = json.loads(retry(lambda: (self.path / "status.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):  # missing, half written, being replaced for long: the events know it
            return None
        return values if isinstance(values, dict) and values.keys() >= status.EMPTY.keys() else None

    def _rebuilt_status(self, keep: bool) -> dict:
        cached, events_bytes = self._cached_status(), self.events_path.stat().st_size
        rebuilt = status.from_events(self.events(), self.config())
        if cached and rebuilt["total_steps"] is None:
            rebuilt["total_steps"] = cached["total_steps"]
        if keep:
            rebuilt["events_bytes"] = events_bytes
            try:
                self.write_status(rebuilt)
            except (OSError, RunError):
                return rebuilt  # a read-only or full disk: a cache can do without
        return rebuilt

    # events and commands

    def append(self, *events: Event) -> None:
        """Adds events; only for who holds the lock, or made the run and has shown it to nobody. RunError when full."""
        with closing(eventlog.EventLog(self.events_path)) as log:
            log.append(events)
            log.sync()

    def read_events(self, offset: int, limit: int = eventlog.MAX_CHUNK_BYTES) -> tuple[bytes, int]:
        """(whole lines of events.jsonl from byte `offset` on, offset to go on from). Superseded events are among them."""
        return eventlog.read_lines(self.events_path, offset, limit)

    def events(self) -> list[Event]:
        """All events that count, in order: superseded ones and unreadable lines are left out."""
        return self.read_all()[0]

    def read_all(self) -> tuple[list[Event], int]:
        """(the events that count, how many lines are damaged)."""
        size = self.events_path.stat().st_size if self.events_path.exists() else 0
        content, _ = eventlog.read_lines(self.events_path, 0, limit=max(1, size))
        events, unreadable = eventlog.parse_lines(content)
        return eventlog.effective_events(events), unreadable

    def command(self, kind: str, **values) -> str:
        """Tells the run's worker to do something (COMMANDS); returns the command's id. The answer is an event.

        Raises RunError where nobody would hear it; only a stop is then done already.
        """
        if kind not in COMMANDS:
            raise RunError(f"There is no command '{kind}': use one of {', '.join(COMMANDS)}.")
        if kind != "stop" and not self.is_alive():
            if self.state() == "queued":
                raise RunError(f"{self.name} waits for its turn and has not begun, so there is nothing to {kind} yet. Stop "
                               "takes it out of the queue.")
            raise RunError(f"{self.name} is not being trained, so there is nothing to {kind}. Resume goes on with it.")
        return self.note_command(kind, **values)

    def note_command(self, kind: str, **values) -> str:
        """Adds a line to the history of commands, such as one that was obeyed already; its id."""
        command_id = uuid.uuid4().hex[:8]
        line = json.dumps({"id": command_id, "command": kind, **values}) + "\n"
        with explained(self.control_path, "tell the run what to do"), open(self.control_path, "ab") as file:
            file.write(line.encode("utf-8"))
        return command_id

    def checkpoint_paths(self) -> list[Path]:
        """The directories of all checkpoints that are there, oldest step first."""
        if not self.checkpoints_path.is_dir():
            return []
        found = [(int(match[1]), path) for path in self.checkpoints_path.iterdir()
                 if (match := CHECKPOINT_NAME.fullmatch(path.name)) and path.is_dir()]
        return [path for _, path in sorted(found)]


def _damage(error: Exception, run: RunDir) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{run.path} is not a whole run: {Path(error.filename).name} is missing. Restore it, or delete the run."
    if isinstance(error, (RunError, OSError)):
        return str(error)
    return f"Run {run.id}: {run.events_path.name} says what no event says ({error}). Restore it, or delete the run."
