"""What people say of a run: its name, whose it is, tags, notes. Kept beside it in `label.json`, which nobody needs to have.

A label may come from elsewhere, in a bundle: whatever it holds, reading it gives texts of these lengths. Knows one file,
nothing of training.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptlab.runs.disk import RunError, retry, write_atomic

FILE = "label.json"
NAME_CHARACTERS = 60
OWNER_CHARACTERS = 40
TEXT_CHARACTERS = 4000
TAG_CHARACTERS = 24
MOST_TAGS = 8
MOST_BYTES = 100_000  # of the file; the texts above take less
LENGTHS = {"name": NAME_CHARACTERS, "owner": OWNER_CHARACTERS, "note": TEXT_CHARACTERS, "predicted": TEXT_CHARACTERS,
           "saw": TEXT_CHARACTERS}
UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
WHAT = {"name": "name", "owner": "person's name", "note": "note", "predicted": "prediction", "saw": "observation"}
_changing = threading.Lock()  # many pages of one app write on the same run; each changes what the one before left


@dataclass(frozen=True)
class Label:
    """`name` is what the run is called ("": as its id says), `owner` who began it ("": nobody said), `predicted` and `saw`
    a student's expectation and what came of it; `archived` runs are kept, but not listed with the others."""

    name: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    predicted: str = ""
    saw: str = ""
    archived: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**dataclasses.asdict(self), "tags": list(self.tags)}

    def replace(self, **changes: Any) -> Label:
        """With other texts, trimmed; a name or tag is one line. Raises RunError for one that is too long, or too many tags."""
        problems = []
        for field, value in changes.items():
            if field in LENGTHS:
                changes[field] = value = _one_line(value) if field in ("name", "owner") else _lines(value)
                if len(value) > LENGTHS[field]:
                    problems.append(f"The {WHAT[field]} has {len(value):,} characters: {LENGTHS[field]:,} are the most.")
        if "tags" in changes:
            tags = changes["tags"] = tuple(dict.fromkeys(tag for one in changes["tags"] if (tag := _one_line(one))))
            problems += [f"The tag '{tag[:TAG_CHARACTERS]}…' has {len(tag)} characters: {TAG_CHARACTERS} are the most."
                         for tag in tags if len(tag) > TAG_CHARACTERS]
            if len(tags) > MOST_TAGS:
                problems.append(f"{len(tags)} tags are more than a run can have: {MOST_TAGS} are the most.")
        if problems:
            raise RunError(" ".join(problems))
        return dataclasses.replace(self, **changes)


def read(directory: Path) -> Label:
    """The label of the run in a directory; an empty one where there is none that can be read."""
    try:
        with open(directory / FILE, "rb") as file:
            values = json.loads(file.read(MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return Label()
    if not isinstance(values, dict):
        return Label()
    texts = {field: (_one_line if field in ("name", "owner") else _lines)(value[:LENGTHS[field]])
             for field in LENGTHS if isinstance(value := values.get(field), str)}
    tags = values.get("tags")
    tags = [_one_line(one[:TAG_CHARACTERS]) for one in tags if isinstance(one, str)] if isinstance(tags, list) else []
    return Label(**texts, tags=tuple(filter(None, tags))[:MOST_TAGS], archived=values.get("archived") is True)


def change(directory: Path, **changes: Any) -> Label:
    """Changes fields of the label beside a run; what it then is. Two threads that change different fields keep both changes.

    Raises RunError for a text that is too long or when the disk is full, OSError where it cannot be written.
    """
    with _changing:
        label = read(directory).replace(**changes)
        retry(lambda: write_atomic(directory / FILE, json.dumps(label.to_dict(), indent=2, ensure_ascii=False)))
    return label


def _lines(text: Any) -> str:
    """Without what no file or page can hold (halves of characters) or a terminal would obey (control characters)."""
    return UNWRITABLE.sub("", str(text)).strip()


def _one_line(text: Any) -> str:
    """Without what ends lines, turns the direction of writing or is not seen at all: a name must not pass for another."""
    return re.sub(r"\s+", " ", "".join(" " if c.isspace() else c for c in str(text) if c.isspace() or c.isprintable())).strip()
