"""What there is: data sets and runs. Loads no torch, so that a list is there at once."""

from __future__ import annotations

import argparse
import sys

from gptlab.cli.labels import in_a_line
from gptlab.cli.options import workspace_of
from gptlab.data import catalog
from gptlab.data.sources import BUILTINS
from gptlab.runs.downloading import downloaded
from gptlab.runs.workspace import Workspace


def datasets(options: argparse.Namespace) -> dict:
    """List what can be trained on. The path of a text to download is its folder, None until it is there."""
    workspace = workspace_of(options)
    rows = [{"name": name, "kind": "builtin", "path": None, "about": builtin.description} for name, builtin in BUILTINS.items()]
    rows += [_to_download(workspace, entry) for entry in catalog.entries().values()]
    rows += [{"name": name, "kind": "prepared", "path": str(workspace.datasets / name), "about": str(workspace.datasets / name)}
             for name in workspace.dataset_names()]
    if not options.json:
        for row in rows:
            print(f"{row['name']:<20} {row['kind']:<9} {row['about']}")
    return {"datasets": rows}


def _to_download(workspace: Workspace, entry: catalog.Entry) -> dict:
    """A text of the catalogue, as a row of what can be trained on."""
    paths = downloaded(workspace, entry)
    return {"name": entry.name, "kind": "download", "path": str(paths[0].parent) if paths else None, "bytes": entry.bytes,
            "licence": entry.licence, "home": entry.home,
            "about": f"{entry.title}, {entry.size}{', downloaded' * bool(paths)}. {entry.licence}. {entry.home}"}


def runs(options: argparse.Namespace) -> dict:
    """List the runs, newest first; archived ones only with --all."""
    rows, found = [], [(run, run.label()) for run in workspace_of(options).list_runs()]
    listed = [(run, label) for run, label in found if options.all or not label.archived]
    for run, label in listed:
        status = run.status()
        best = status["best_val_loss"]
        rows.append({"run": run.id, "name": run.name, "owner": label.owner, "tags": list(label.tags), "archived": label.archived,
                     "state": status["state"], "step": status["step"], "best_val_loss": best, "path": str(run.path)})
        if not options.json:
            loss = " " * 20 if best is None else f"best val loss {best:<6.4f}"
            print(f"{run.id:<40} {status['state']:<12} step {status['step']:<8,} {loss}  {in_a_line(label)}".rstrip())
    if not options.json and not found:
        print("No runs yet: python -m gptlab train makes one.", file=sys.stderr)
    if not options.json and len(found) > len(listed):
        print(f"{len(found) - len(listed)} archived: python -m gptlab runs --all lists them too.", file=sys.stderr)
    return {"runs": rows}
