"""`events.jsonl`: appended by one writer, read by anybody from any offset. The truth about a run.

Readers take whole lines only, so a line that is being written, or was torn by a crash, is never seen. What a
resumed run supersedes is dropped by `effective_events` and nowhere else.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from gptlab.events import Event, Status, from_json, to_json
from gptlab.runs.disk import explained

MAX_CHUNK_BYTES = 65_536
LARGE_CHUNK_BYTES = 2**20  # for who reads a whole file


class EventLog:
    """The writer's end; only for who holds the run's lock. Opening cuts a torn last line off."""

    def __init__(self, path: Path):
        self.path = path
        self._file = open(path, "ab", buffering=0)
        cut_torn_line(path)

    def append(self, events: Iterable[Event]) -> None:
        """Adds events, all or none: what was begun is taken back when the disk is full (RunError) or Ctrl-C comes."""
        content = "".join(f"{to_json(event)}\n" for event in events).encode("utf-8")
        if not content:
            return
        size = self.size()
        with explained(self.path, "note down what the run did"):
            try:
                written = 0
                while written < len(content):
                    written += self._file.write(content[written:])
            except BaseException:
                os.truncate(self.path, size)
                raise

    def sync(self) -> None:
        """Waits until all events are on the disk: before a checkpoint, which must not know more than its events."""
        os.fsync(self._file.fileno())

    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()


def cut_torn_line(path: Path) -> None:
    """Shortens a file of lines to its last whole one."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        end = size
        while end > 0:
            begin = max(0, end - MAX_CHUNK_BYTES)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        if end < size:
            file.truncate(end)


def read_lines(path: Path, offset: int, limit: int = MAX_CHUNK_BYTES) -> tuple[bytes, int]:
    """(whole lines from byte `offset` on, the offset to go on from); at most `limit` bytes, or else one longer line.

    `offset` must be 0 or one that was returned. Empty when there is nothing new, or no such file.
    """
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return b"", offset
    with file:
        file.seek(offset)
        content = file.read(limit)
        if len(content) == limit and b"\n" not in content:
            content += file.readline()
    content = content[:content.rfind(b"\n") + 1]
    return content, offset + len(content)


def parse_lines(content: bytes) -> tuple[list[Event], int]:
    """(the events, how many lines were none): one damaged line must not hide the rest of a run."""
    events, unreadable = [], 0
    for line in content.split(b"\n"):
        if line.strip():
            try:
                events.append(from_json(line.decode("utf-8")))
            except ValueError:  # of which UnicodeDecodeError and JSONDecodeError are kinds
                unreadable += 1
    return events, unreadable


def read_kinds(path: Path, *kinds: type[Event]) -> list[Event]:
    """The events of these kinds that count, in order: of a long run, a hundredth of the work of reading all."""
    wanted = tuple(b'{"type":"%s"' % kind.type.encode() for kind in (*kinds, Status))  # `to_json` begins so
    found, offset = [], 0
    while content := (chunk := read_lines(path, offset, LARGE_CHUNK_BYTES))[0]:
        offset = chunk[1]
        found += [line for line in content.splitlines() if line.startswith(wanted)]
    return [event for event in effective_events(parse_lines(b"\n".join(found))[0]) if isinstance(event, kinds)]


def effective_events(events: list[Event]) -> list[Event]:
    """The events that count: a status with `resumed_from_step` S drops earlier non-status events with `step` > S.

    S is -1 when a run that was cut before its first checkpoint begins again: then all earlier ones go.
    """
    kept, threshold = [], math.inf
    for event in reversed(events):
        if isinstance(event, Status):
            kept.append(event)
            if event.resumed_from_step is not None:
                threshold = min(threshold, event.resumed_from_step)
        elif event.step <= threshold:
            kept.append(event)
    return kept[::-1]
