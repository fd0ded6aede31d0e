"""What people say of a run: its name, whose it is, tags, what they predicted and saw. Loads no torch."""

from __future__ import annotations

import argparse

from gptlab.cli.options import workspace_of
from gptlab.runs.label import LENGTHS, Label

SHOWN = {"name": "Name", "owner": "By", "tags": "Tags", "predicted": "I predicted", "saw": "I saw", "note": "Note"}


def label(options: argparse.Namespace) -> dict:
    """Change what is said of a run, as far as options say; then show it."""
    run = workspace_of(options).find_run(options.run)
    wanted = {**{field: getattr(options, field) for field in LENGTHS}, "tags": options.tags, "archived": options.archive}
    changes = {field: value for field, value in wanted.items() if value is not None}
    found = run.relabel(**changes) if changes else run.label()
    if not options.json:
        print(f"{run.id}{' (archived)' if found.archived else ''}")
        texts = {**found.to_dict(), "tags": ", ".join(found.tags)}
        for field, title in SHOWN.items():
            if texts[field]:
                print(f"{title}: {texts[field]}")
    return {"run": run.id, "path": str(run.path), **found.to_dict(), "name": run.name}


def in_a_line(found: Label) -> str:
    """What a list of runs says of one beside its id: its name where somebody gave it one, whose it is, its tags."""
    return " ".join(filter(None, (found.name, f"by {found.owner}" if found.owner else "",
                                  f"[{', '.join(found.tags)}]" if found.tags else "")))
