"""A value as JSON, a command line or a form gives it, read as the type it is for. Knows no setting."""

from __future__ import annotations

import math
from typing import Any

LARGEST = 2**53  # whole numbers beyond are none in JSON, nor in a browser
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def read(value: Any, kind: type, *, optional: bool, of_choices: bool) -> Any:
    """`value` as a `kind` (int, float, str, bool, or tuple: of texts); None where that is allowed (`optional`). `of_choices`: its
    texts are names, which commas may part. Raises ValueError with the rest of a sentence that begins with what it is for."""
    none = ("", "none", "off") if optional else ("",)  # "none" is a kind of positions, "off" a bool
    if value is None or (isinstance(value, str) and kind is not tuple and value.strip().lower() in none):
        if optional:
            return None
        raise ValueError("needs a value.")
    if kind is tuple:
        return _texts(value, of_choices)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text.")
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).strip().lower() in WORDS:
            return WORDS[str(value).strip().lower()]
        raise ValueError(f"{value!r} is neither true nor false.")
    return _number(value, kind)


def _texts(value: Any, of_choices: bool) -> tuple[str, ...]:
    if isinstance(value, str) and of_choices:  # other texts may hold commas
        value = [line.strip() for line in value.replace(",", "\n").split("\n")]
    lines = value.split("\n") if isinstance(value, str) else value
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"{value!r} is not text, or a list of texts.")
    return tuple(line for line in lines if line)


def _number(value: Any, kind: type) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (kind is int and number != int(number)):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{value!r} is not {'a whole number' if kind is int else 'a number'}.") from None
    if kind is int and abs(number) >= LARGEST:
        raise ValueError(f"{value!r} is too large a number.")
    return int(value) if kind is int and isinstance(value, str) and value.strip().lstrip("+-").isdigit() else kind(number)
