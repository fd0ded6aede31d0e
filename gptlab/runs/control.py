"""Commands to a running worker: lines of `control.jsonl`, read from where the file ended when the worker began."""

from __future__ import annotations

import json
import time
from pathlib import Path

from gptlab.runs.eventlog import read_lines

READ_SECONDS = 0.1  # between two looks into the file


class Control:
    """The worker's ear. Commands given before it listens are not for this worker."""

    def __init__(self, path: Path):
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._looked = -READ_SECONDS

    def commands(self) -> list[dict]:
        """New commands, oldest first; looks at most ten times a second. Lines that are no commands are passed over."""
        now = time.monotonic()
        if now - self._looked < READ_SECONDS:
            return []
        self._looked = now
        if not self.path.exists() or self.path.stat().st_size <= self._offset:
            return []
        content, self._offset = read_lines(self.path, self._offset)
        return [values for line in content.splitlines() if (values := _parsed(line))]


def _parsed(line: bytes) -> dict | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "command" in values else None
