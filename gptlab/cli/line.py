"""What a command is doing, as one line. Loads nothing."""

from __future__ import annotations

import sys


class Line:
    """What is being done, on stderr for the time of a `with`: one line that changes on a terminal, elsewhere a line for each."""

    def __init__(self):
        self._on_terminal, self._doing = sys.stderr.isatty(), ""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_) -> None:
        if self._on_terminal:
            print(file=sys.stderr)

    def show(self, share: float, doing: str) -> None:
        """Say how much is done, and what is next."""
        if self._on_terminal:
            print(f"\r\033[K{share:4.0%} {doing}", end="", file=sys.stderr, flush=True)
        elif doing != self._doing:
            print(doing, file=sys.stderr, flush=True)
        self._doing = doing
