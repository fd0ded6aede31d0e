"""What people said of a run, for a report: whose it is, what they predicted and saw. All of it is text, never markup."""

from __future__ import annotations

from collections.abc import Sequence

from gptlab.exchange.document import escaped, section
from gptlab.runs.rundir import RunDir

TITLES = {"predicted": "I predicted", "saw": "I saw", "note": "Note"}


def under(run: RunDir) -> str:
    """A sentence for the line under a run's title; "" where nobody said anything."""
    label = run.label()
    return (f"By {label.owner}. " if label.owner else "") + (f"Tags: {', '.join(label.tags)}. " if label.tags else "")


def notes(run: RunDir) -> str:
    """A card with what was predicted, seen and noted; "" where nothing was."""
    told = "".join(f'<div><h2>{title}</h2><p class="said">{text}</p></div>'
                   for title, text in _told(run, ("predicted", "saw", "note")))
    return f'<section><div class="side">{told}</div></section>\n' if told else ""


def expectations(named: Sequence[tuple[str, RunDir]]) -> str:
    """Side by side whose the runs are and what was predicted and seen of them, each under its name; "" where nothing was."""
    cards = []
    for name, run in named:
        owner, told = run.label().owner, _told(run, ("predicted", "saw"))
        if owner or told:
            whose = f" · by {owner}" if owner else ""
            texts = "".join(f'<p class="said"><b>{title}:</b> {text}</p>' for title, text in told)
            cards.append(f"<div><h3>{escaped(name + whose)}</h3>{texts}</div>")
    return section("Predicted and seen", f'<div class="side">{"".join(cards)}</div>') if cards else ""


def _told(run: RunDir, fields: Sequence[str]) -> list[tuple[str, str]]:
    """(title, HTML) of those that hold something."""
    label = run.label()
    return [(TITLES[field], escaped(text)) for field in fields if (text := getattr(label, field))]
