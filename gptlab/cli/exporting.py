"""Writing a run's model in a format of other programs."""

from __future__ import annotations

import argparse
import sys

from gptlab.cli.options import workspace_of
from gptlab.exchange.export import export as export_run


def export(options: argparse.Namespace) -> dict:
    """Write a checkpoint's model as a Hugging Face folder, for llama.cpp, or as a script; each is checked before it is there."""
    run = workspace_of(options).find_run(options.run)
    with Line() as line:
        done = export_run(run, options.out, options.format, checkpoint=options.checkpoint, number_format=options.number_format,
                          progress=line.show)
    print(done.checked, file=sys.stderr)
    if not options.json:
        print(done.path)
    return {"path": str(done.path.resolve()), "max_difference": done.max_difference, "checked": done.checked}


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
            print(f"{doing} …", file=sys.stderr, flush=True)
        self._doing = doing
