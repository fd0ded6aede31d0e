"""What there is: data sets and runs. Loads no torch, so that a list is there at once."""

from __future__ import annotations

import argparse
import sys

from gptlab.cli.options import workspace_of
from gptlab.data.sources import BUILTINS


def datasets(options: argparse.Namespace) -> dict:
    """List what can be trained on."""
    workspace = workspace_of(options)
    rows = [{"name": name, "kind": "builtin", "path": None} for name in BUILTINS]
    rows += [{"name": name, "kind": "prepared", "path": str(workspace.datasets / name)}
             for name in workspace.dataset_names()]
    if not options.json:
        for row in rows:
            print(f"{row['name']:<20} {row['kind']:<9} {row['path'] or BUILTINS[row['name']].description}")
    return {"datasets": rows}


def runs(options: argparse.Namespace) -> dict:
    """List all runs, newest first."""
    rows = []
    for run in workspace_of(options).list_runs():
        status = run.status()
        rows.append({"run": run.id, "name": run.name, "state": status["state"], "step": status["step"],
                     "best_val_loss": status["best_val_loss"], "path": str(run.path)})
    if not options.json:
        for row in rows:
            best = "" if row["best_val_loss"] is None else f"best val loss {row['best_val_loss']:.4f}"
            print(f"{row['run']:<40} {row['state']:<12} step {row['step']:<8,} {best}".rstrip())
        if not rows:
            print("No runs yet: python -m gptlab train makes one.", file=sys.stderr)
    return {"runs": rows}
