"""What a command is doing, as one line. Loads nothing."""

from __future__ import annotations

import sys
import time

LINE_SECONDS = 5.0  # between lines where there is no terminal to change one on


class Line:
    """What is being done, on stderr for the time of a `with`: one line that changes on a terminal, elsewhere a line for
    each, and one now and then on how much is done."""

    def __init__(self):
        self._on_terminal, self._doing, self._line_due = sys.stderr.isatty(), "", 0.0

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_) -> None:
        if self._on_terminal:
            print(file=sys.stderr)

    def show(self, share: float, doing: str) -> None:
        """Say how much is done, and what is next."""
        if self._on_terminal:
            print(f"\r\033[K{share:4.0%} {doing}", end="", file=sys.stderr, flush=True)
        elif doing != self._doing or time.monotonic() >= self._line_due:
            print(doing if doing != self._doing else f"{doing}: {share:.0%}", file=sys.stderr, flush=True)
            self._line_due = time.monotonic() + LINE_SECONDS
        self._doing = doing
