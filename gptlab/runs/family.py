"""Who was forked from whom: the family trees that some runs belong to, from the first of each to its latest fork.

A run is looked for beside the ones that are asked for. A `parent.json` may come from elsewhere, in a bundle: whatever it
says, it is looked up among the names of the runs that are there and never used as a path. Knows nothing of drawing, and
needs no torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptlab.config import ConfigError, RunConfig, all_settings
from gptlab.config import changes as differing
from gptlab.events import STATES, Setting
from gptlab.runs.changes import config_at, settings_of, value_of
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.runs.workspace import MAX_ID_LENGTH

MOST_FORKS = 100   # in all, beside the runs that are asked for and those they come from
LONGEST = 100      # generations that are followed back
DEEPEST = 20       # a longer line of forks goes on at this depth
MOST_STEPS = 10**12
NAMED = 3          # changed settings that are named
VALUE_CHARACTERS = 30
GONE = "a run that is not here any more"


@dataclass(frozen=True)
class Change:
    """A setting that is another one than in the run it was forked from, at the step of the fork."""

    name: str
    label: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Member:
    """A run in its family tree. `depth` 0 begins a tree; every other one was forked, at `step`, from the nearest above it
    that is one less deep.

    `letter` is how it is called where it is one of those asked for. `state` None: it is not here any more, and `run` is as much
    of its id as can be one. `changes` None: they cannot be told. `left_out`: how many forks of it are not shown.
    """

    run: str
    name: str
    depth: int
    step: int | None
    letter: str | None
    state: str | None
    best_val_loss: float | None
    changes: list[Change] | None
    left_out: int


def family(runs: Mapping[str, RunDir]) -> list[Member]:
    """The trees that these runs, by their letters, belong to, one after the other: a run, then its forks by their steps,
    each followed by its own. Runs that were never forked and are no forks are left out."""
    folders = dict.fromkeys(run.path.parent for run in runs.values())
    return [member for folder in folders for member in _Folder(
        folder, {run.id: letter for letter, run in runs.items() if run.path.parent == folder}).members()]


def told(member: Member, text: Callable[[Any], str] = str) -> str:
    """ "from step 400 · finished · best val loss 1.2345 · 2 settings changed: Learning rate 0.001 → 0.0003, Steps 200 → 400":
    all but what it is called. `text` says a value in words."""
    facts = [f"from step {member.step:,}"] if member.step is not None else []
    facts.append(member.state or GONE)
    if member.best_val_loss is not None:
        facts.append(f"best val loss {member.best_val_loss:.4f}")
    if member.changes is not None:
        facts.append(_changes_told(member.changes, text))
    if member.left_out:
        facts.append(f"{member.left_out:,} more forks of it are not shown")
    return " · ".join(facts)


def _changes_told(changes: list[Change], text: Callable[[Any], str]) -> str:
    def short(value: Any) -> str:
        words = text(value)
        return words if len(words) <= VALUE_CHARACTERS else words[:VALUE_CHARACTERS] + "…"
    if not changes:
        return "the same settings"
    named = [f"{one.label} {short(one.before)} → {short(one.after)}" for one in changes[:NAMED]]
    more = [f"and {len(changes) - NAMED} more"] if len(changes) > NAMED else []
    return f"{len(changes)} setting{'s' * (len(changes) > 1)} changed: {', '.join(named + more)}"


class _Folder:
    """The runs that lie in one folder; `letters` by the ids of those asked for."""

    def __init__(self, folder: Path, letters: dict[str, str]):
        self.letters = letters
        self.here = {path.name: RunDir(path) for path in sorted(folder.iterdir())
                     if path.is_dir() and not path.name.startswith(".")}
        self.parents = {id: parent for id, run in self.here.items() if (parent := _parent(run))}
        self.forks: dict[str, list[str]] = {}
        for id, (parent, _) in sorted(self.parents.items(), key=lambda item: (item[1][1], item[0])):
            self.forks.setdefault(parent, []).append(id)
        self._settings: dict[str, tuple[RunConfig, list[Setting]] | None] = {}  # of parents: each has them read once

    def members(self) -> list[Member]:
        """Depth first."""
        firsts, lines = self._firsts()
        above = self._shown(firsts, lines)
        shown = {*firsts, *above}
        members, stack = [], [(first, 0) for first in reversed(firsts)]
        while stack:
            id, depth = stack.pop()
            forks = [fork for fork in self.forks.get(id, ()) if above.get(fork) == id]
            if forks or id in above:  # else a tree of one
                members.append(self._member(id, depth, above.get(id), len(set(self.forks.get(id, ())) - shown)))
            stack += [(fork, min(depth + 1, DEEPEST)) for fork in reversed(forks)]
        return members

    def _firsts(self) -> tuple[list[str], set[str]]:
        """Where the trees begin, and all that lie between there and the runs that are asked for."""
        firsts, lines = [], set()
        for id in self.letters:
            if id in lines:
                continue
            line = [id]
            while (parent := self.parents.get(line[-1])) and parent[0] not in lines and parent[0] not in line \
                    and len(line) < LONGEST:  # in `line`: it turns in a circle, which no fork ever did
                line.append(parent[0])
            if not (parent and parent[0] in lines):
                firsts.append(line[-1])
            lines.update(line)
        return firsts, lines

    def _shown(self, firsts: list[str], lines: set[str]) -> dict[str, str]:
        """Who is shown, by whom it hangs on: all in `lines`, and the nearest others as long as there is room."""
        above: dict[str, str] = {}
        room, known, queue = MOST_FORKS, set(firsts), list(firsts)
        for id in queue:  # grows while it is walked
            for fork in self.forks.get(id, ()):
                if fork not in known and (fork in lines or room > 0):
                    room -= fork not in lines
                    known.add(fork)
                    above[fork] = id
                    queue.append(fork)
        return above

    def _member(self, id: str, depth: int, above: str | None, left_out: int) -> Member:
        run, step = self.here.get(id), self.parents[id][1] if above is not None else None
        if run is None:
            lost = re.sub(r"[^A-Za-z0-9_-]+", "-", id[:MAX_ID_LENGTH]).strip("-") or "run"
            return Member(lost, clean_name(RunDir(Path(lost)).first_name), depth, step, None, None, None, None, left_out)
        status = run.status()
        state = status["state"] if status["state"] in (*STATES, "interrupted") else "damaged"
        best = status["best_val_loss"]
        return Member(id, run.name, depth, step, self.letters.get(id), state, best if _is_loss(best) else None,
                      self._changes(above, step, run) if above in self.here else None, left_out)

    def _changes(self, parent: str, step: int, run: RunDir) -> list[Change] | None:
        """Which settings a run was given that its parent did not have at that step."""
        if parent not in self._settings:
            self._settings[parent] = _settings(self.here[parent])
        try:
            if (known := self._settings[parent]) is None:
                return None
            before, after = config_at(*known, step), run.config()
        except (RunError, ConfigError):
            return None  # damaged, as its state says
        labels = {name: item.metadata["label"] for name, item in all_settings()}
        return [Change(name, labels[name], value_of(before, name), value) for name, value in differing(after, before).items()]


def _parent(run: RunDir) -> tuple[str, int] | None:
    """(the id of the run it was forked from, at which step), where its parent.json says something that can be."""
    try:
        found = run.parent()
    except (OverflowError, RecursionError):  # 1e999, or ten thousand brackets
        return None
    return (found["run"], found["step"]) if found and found["run"] != run.id and 0 <= found["step"] < MOST_STEPS else None


def _settings(run: RunDir) -> tuple[RunConfig, list[Setting]] | None:
    """What a run was started with, and how that changed; None of a damaged one, as its state says."""
    try:
        return run.config(), settings_of(run)
    except (RunError, TypeError):  # events from elsewhere may have no step to go by
        return None


def _is_loss(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
