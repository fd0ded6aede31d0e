"""Documents in, cleaner documents out, and a report of what each step changed. Originals are never altered.

Steps run in the order of STEPS, whatever the order they are asked for in, and the same input gives the same output. Each
takes all documents and gives as many back, one at a time, None for one it leaves out. Knows nothing of formats or tokens.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from gptlab.config import DataConfig
from gptlab.data.documents import Documents, DocumentWriter
from gptlab.data.markup import without_markup
from gptlab.data.near_duplicates import near_duplicates

EXAMPLES = 10            # of each step
AROUND_CHARACTERS = 90   # shown before and after the first place that a step changed
REPEATED_TEXTS = 5       # a line is boilerplate where it stands in so many texts, and in this share of all,
REPEATED_SHARE = 0.02    # as navigation and page heads do
HASHED_LINES = 2**23     # counters, of twelve bytes: a gigabyte of short lines has about three times as many
LONGEST_REPEATED = 200   # characters; longer lines are text that came twice, which is the duplicates' business
LONGEST_MARKS = 30       # on one letter; sorting more of them takes the square of their number

GUTENBERG_START = re.compile(r"^[ \t]*+\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.{0,500}?\*\*\*[ \t]*+$\n*+",
                             re.M | re.I | re.S)
GUTENBERG_END = re.compile(r"^[ \t]*+(?:End of (?:the )?Project Gutenberg|\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG)",
                           re.M | re.I)
EMAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}\b")
IP = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)")
CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
PHONE = re.compile(r"[(\[]?[+\uff0b](?:[ \u00a0\u2010-\u2015().\[\]/-]{0,3}\d){7,17}[^\n+\uff0b]{0,20}")  # and an extension
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F], " ")
UNSEEN = dict.fromkeys([*range(0, 9), 11, *range(14, 32), 127, 0x200B, 0x2060, 0xFEFF, 0xAD])  # controls, zero width, hyphens


@dataclass
class StepReport:
    """What a step did: documents changed and left out, characters fewer, and up to EXAMPLES of (before, after)."""

    step: str
    changed: int = 0
    left_out: int = 0
    characters_removed: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    def add(self, old: str, new: str | None) -> None:
        """Counts in what became of a document."""
        if old == new:
            return
        self.left_out += new is None
        self.changed += new is not None
        self.characters_removed += len(old) - len(new or "")
        if len(self.examples) < EXAMPLES:
            self.examples.append(_example(old, new))

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return {"step": self.step, "changed": self.changed, "left_out": self.left_out,
                "characters_removed": self.characters_removed, "examples": [list(pair) for pair in self.examples]}


def clean(documents: Documents, config: DataConfig, *, into: BinaryIO | None = None,
          room: Callable[[], BinaryIO] = io.BytesIO,
          tell: Callable[[float], None] = lambda share: None) -> tuple[Documents, list[StepReport]]:
    """(the documents as `config.cleaning` leaves them, in their order; what each of its steps did).

    They are written to `into`, an empty file, by default in memory, and between two steps to what `room` gives: one step is
    done with all of them before the next, for some look at all. `tell` is told the share done (0 to 1). Raises OSError where a
    file takes no more.
    """
    steps, reports, given = [name for name in STEPS if name in config.cleaning], [], documents
    for step, name in enumerate(steps):
        writer = DocumentWriter((into or room()) if name == steps[-1] else room())
        reports.append(StepReport(name))
        read, characters = 0, max(1, documents.characters)
        for number, before, after in zip(documents.texts.tolist(), documents, STEPS[name](documents, config)):
            after = after if after and not after.isspace() else None
            reports[-1].add(before, after)
            if after is not None:
                writer.add(after, number)
            read += len(before)
            tell((step + read / characters) / len(steps))
        if documents is not given:
            documents.close()
        documents = writer.documents()
    return documents, reports


def _example(old: str, new: str | None) -> tuple[str, str]:
    """The neighbourhood of the first change; of a document that is left out, its beginning."""
    if new is None:
        return old[:2 * AROUND_CHARACTERS], ""
    at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    begin, ahead = max(0, at - AROUND_CHARACTERS // 2), AROUND_CHARACTERS
    return old[begin:at + ahead], new[begin:at + ahead]


# --- one document at a time ---

def _each(change: Callable[[str], str]) -> Callable[[Documents, DataConfig], Iterator[str | None]]:
    return lambda documents, config: map(change, documents)


def _unicode(text: str) -> str:
    """NFC; every kind of space a plain one, nothing unseen, no spaces at ends of lines, no more than two empty lines."""
    text = _composed(text).translate(SPACES).translate(UNSEEN)
    text = re.sub(r"\r\n?|[\u2028\u2029\x85]", "\n", text)
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return re.sub(r"\n{4,}+", "\n\n\n", text)


def _composed(text: str) -> str:
    """NFC, but for letters under more than LONGEST_MARKS marks, which no writing has."""
    parts, end = [], 0
    for match in _long_marks().finditer(text):
        parts += [unicodedata.normalize("NFC", text[end:match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, unicodedata.normalize("NFC", text[end:])])


@functools.cache
def _long_marks() -> re.Pattern:
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{LONGEST_MARKS + 1},}}+")


def _gutenberg(text: str) -> str:
    """Without Project Gutenberg's header and licence."""
    start = GUTENBERG_START.search(text)
    if start:
        text = text[start.end():]
    end = GUTENBERG_END.search(text)
    return text[:end.start()].rstrip() + "\n" if end else text


def _personal(text: str) -> str:
    """E-mail addresses, phone numbers written with + and country, IP addresses, and card and IBAN numbers whose checksum
    holds, each as a placeholder."""
    from stdnum import iban, luhn

    text = EMAIL.sub("<email>", text)
    text = IBAN.sub(lambda match: "<iban>" if iban.is_valid(match[0]) else match[0], text)
    text = CARD.sub(lambda match: "<card>" if luhn.is_valid(re.sub(r"[ -]", "", match[0])) else match[0], text)
    text = IP.sub("<ip>", text)
    return PHONE.sub(_phone, text)


def _phone(match: re.Match) -> str:
    """A stretch that begins like a phone number, its number masked. The matcher is shown no more: it gives up a whole text after
    65,535 numbers that are none."""
    import phonenumbers

    found = next(iter(phonenumbers.PhoneNumberMatcher(match[0], None, phonenumbers.Leniency.POSSIBLE)), None)
    return f"{match[0][:found.start]}<phone>{match[0][found.end:]}" if found else match[0]


# --- all of them together ---

def _repeated_lines(documents: Documents, config: DataConfig) -> Iterator[str | None]:
    """Without lines that stand in many texts: navigation, page heads, notices."""
    repeated = _lines_of_many(documents, max(REPEATED_TEXTS, REPEATED_SHARE * len(documents.text_lengths)))
    for text in documents:
        yield "\n".join(line for line in text.split("\n") if line.strip() not in repeated) if repeated else text


def _lines_of_many(documents: Documents, fewest: float) -> set[str]:
    """Lines with letters that stand in so many texts; in copies of one text once, else all of it would go. All are counted by hash
    first, in a table that takes the same memory for any text; then, one by one, those that may be."""
    counts, last = np.zeros(HASHED_LINES, dtype=np.int32), np.full(HASHED_LINES, -1, dtype=np.int64)
    first = documents.take(_first_copies(documents))
    numbers = first.texts.tolist()
    for number, text in zip(numbers, first):
        places = np.unique(np.fromiter((hash(line) % HASHED_LINES for line in _short_lines(text)), dtype=np.int64))
        places = places[last[places] != number]  # a line counts once for a text, in however many parts that comes
        counts[places] += 1
        last[places] = number
    often = counts >= fewest
    if not often.any():
        return set()
    standing: dict[str, int] = {}
    seen: dict[str, int] = {}
    for number, text in zip(numbers, first):
        for line in _short_lines(text):
            if often[hash(line) % HASHED_LINES] and seen.get(line) != number:
                seen[line] = number
                standing[line] = standing.get(line, 0) + 1
    return {line for line, count in standing.items() if count >= fewest and any(c.isalnum() for c in line)}


def _short_lines(text: str) -> set[str]:
    return {line for line in map(str.strip, text.split("\n")) if 0 < len(line) <= LONGEST_REPEATED}


def _filtered(documents: Documents, config: DataConfig) -> Iterator[str | None]:
    """Without documents that are too short, mostly symbols, or hardly in the script that is wanted."""
    return (text if _passes(text, config) else None for text in documents)


def _passes(text: str, config: DataConfig) -> bool:
    visible = [c for c in text if not c.isspace()]
    if len(text.strip()) < config.min_characters or not visible:
        return False
    symbols = sum(not (c.isalnum() or unicodedata.category(c).startswith("M")) for c in visible)
    if symbols > config.max_symbol_share * len(visible):
        return False
    letters = [c for c in visible if c.isalpha()]
    if config.script is None or not letters:
        return True
    return sum(unicodedata.name(c, "").startswith(config.script.upper()) for c in letters) >= 0.5 * len(letters)


def _exact_duplicates(documents: Documents, config: DataConfig) -> Iterator[str | None]:
    """Without what came before word for word, whatever its spaces and capitals."""
    first = set(_first_copies(documents))
    return (text if i in first else None for i, text in enumerate(documents))


def _first_copies(documents: Documents) -> list[int]:
    """The numbers of those that no document before is word for word, whatever its spaces and capitals."""
    first: dict[bytes, int] = {}
    for i, text in enumerate(documents):
        first.setdefault(hashlib.blake2b(" ".join(text.lower().split()).encode("utf-8"), digest_size=16).digest(), i)
    return list(first.values())


def _near_duplicates(documents: Documents, config: DataConfig) -> Iterator[str | None]:
    """Without what is nearly a text before it."""
    repeats = near_duplicates(documents, config.near_duplicate_threshold)
    return (None if repeat else text for text, repeat in zip(documents, repeats))


STEPS: dict[str, Callable[[Documents, DataConfig], Iterator[str | None]]] = {
    "unicode": _each(_unicode), "gutenberg": _each(_gutenberg), "markup": _each(without_markup),
    "repeated-lines": _repeated_lines, "personal": _each(_personal), "filters": _filtered,
    "duplicates": _exact_duplicates, "near-duplicates": _near_duplicates}
