"""Writing a run's model in a format of other programs."""

from __future__ import annotations

import argparse
import sys

from gptlab.cli.line import Line
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
