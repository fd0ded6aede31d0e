"""`python -m gptlab …`: what the page does, as commands. Knows no page.

Each command is a function from parsed arguments to the object that --json prints. Modules of commands are imported
when called, so that --help never waits for torch.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from gptlab.cli.arguments import parser

DONE, MENDABLE = 0, 1  # exit codes; 2, wrong usage, is argparse's


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code. What the user can mend becomes one clear line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that cannot show a character shows "?" instead of failing
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    module, _, name = options.command.rpartition(".")
    try:
        result = getattr(importlib.import_module(module), name)(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return MENDABLE
    except BrokenPipeError:  # `… | head`: nobody reads on, and nobody is told so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MENDABLE
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        print(f"error: {where}{problem.strerror or problem}", file=sys.stderr)
        return MENDABLE
    except ValueError as problem:  # ConfigError, DataError, RunError: sentences with the value, the limit and the remedy
        print(f"error: {problem}", file=sys.stderr)
        return MENDABLE
    except RuntimeError as problem:
        from gptlab.train.device import TrainingError  # brings torch, which is here already if this is one
        if not isinstance(problem, TrainingError):
            raise
        print(f"error: {problem}", file=sys.stderr)
        return MENDABLE
    if options.json:
        print(json.dumps(result, allow_nan=False), flush=True)
    return MENDABLE if result.get("state") == "failed" else DONE
