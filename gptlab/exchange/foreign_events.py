"""What a line of events.jsonl from elsewhere may say, and JSON from elsewhere at all: the one place where it is looked at.

Readers of events take them as they are, so what passes here must do no harm to any of them: every field of its type, numbers
that others can be made of, texts that can be written down. Knows events; nothing of zips, runs or workspaces.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

from gptlab.events import EVENT_TYPES, Event, from_json

LARGEST = 1e300          # of a number: what readers make of a few of them is still one
LARGEST_WHOLE = 2**53    # of a count: a browser tells all of these apart
DEEPEST = 3              # a remedy's changes hold lists


class BadBundle(ValueError):
    """Why a zip is not opened: the rest of a sentence that begins with its name."""


def parsed(content: bytes) -> Any:
    """The value of JSON from elsewhere. Raises ValueError, or RecursionError, for what is none, and for NaN or half a character
    in it: neither can be written down again."""
    values = json.loads(content.decode("utf-8"), parse_constant=_no_number)
    if b"\\u" in content:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    return values


def check_event(filename: str, line: bytes, lines_before: int) -> bool:
    """Whether a line holds an event, or what a newer version's might be; raises BadBundle for one that does not say what its
    kind says. A torn line, which holds none, is passed over by all readers."""
    try:
        values = parsed(line)
    except (_NotWritable, UnicodeEncodeError, RecursionError) as error:
        raise BadBundle(f"{filename} is damaged ({brief(error)}).") from error
    except ValueError:
        return False
    if not isinstance(values, dict):
        raise BadBundle(f"{filename} has a line that is no event.")
    kind = values.get("type")
    if not isinstance(kind, str):
        raise BadBundle(f"{filename} has a line that is no event.")
    if kind not in EVENT_TYPES:
        return True
    try:
        event = from_json(line.decode("utf-8"))
    except ValueError as error:
        raise BadBundle(f"{filename} is damaged ({brief(error)}).") from error
    wrong = _wrong_field(event)
    if wrong is None and not 0 <= event.step <= lines_before:
        wrong = "step"
    if wrong:
        raise BadBundle(f"{filename} has an event of type {event.type} whose {wrong} cannot be.")
    return True


def brief(error: Exception) -> str:
    """What is wrong, in few characters that can all be written."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "half a character" if isinstance(error, UnicodeEncodeError) else str(error)[:120]


def number(value: Any) -> bool:
    """Whether it is a number that can be reckoned with."""
    return whole(value) or (isinstance(value, float) and abs(value) < LARGEST)


def whole(value: Any) -> bool:
    """Whether it is a count."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_WHOLE


class _NotWritable(ValueError):
    """NaN or Infinity, which Python reads and no other reader of JSON does."""


def _no_number(text: str) -> None:
    raise _NotWritable(f"{text} is no number of JSON")


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _word(value: Any) -> bool:
    return isinstance(value, str)


def _number_or_null(value: Any) -> bool:
    """As an event has it: what was null is NaN there."""
    return value is None or number(value) or (isinstance(value, float) and math.isnan(value))


def _flat(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or number(value)


def _nested(value: Any, levels: int = DEEPEST) -> bool:
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_nested(one, levels - 1) for one in inner)
    return _flat(value)


FITS: dict[str, Callable[[Any], bool]] = {  # by the annotation of an event's field
    "int": whole, "float": _number_or_null, "str": _word, "bool": lambda value: isinstance(value, bool),
    "float | None": lambda value: value is None or number(value), "int | None": lambda value: value is None or whole(value),
    "list[int]": _list_of(whole), "list[float]": _list_of(_number_or_null), "list[str]": _list_of(_word),
    "list[list[float]]": _list_of(_list_of(number)),
    "list[dict[str, Any]]": _list_of(lambda value: isinstance(value, dict) and _nested(value)),
    "dict[str, Any]": lambda value: isinstance(value, dict) and all(map(_flat, value.values()))}


def _wrong_field(event: Event) -> str | None:
    """The name of the first field that is not of its type."""
    return next((item.name for item in dataclasses.fields(event) if not FITS[item.type](getattr(event, item.name))), None)
