"""Documents in, cleaner documents out, and a report of what each step changed. Originals are never altered.

Steps run in the order of STEPS, whatever the order they are asked for in, and the same input gives the same output. Each
takes all documents and gives as many back, None for one it leaves out. Knows nothing of files or tokens.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gptlab.config import DataConfig

EXAMPLES = 10            # of each step
AROUND_CHARACTERS = 90   # shown before and after the first place that a step changed
REPEATED_DOCUMENTS = 5   # a line is boilerplate where it stands in so many documents, and in this share of all,
REPEATED_SHARE = 0.02    # as navigation and page heads do
LONGEST_REPEATED = 200   # characters; longer lines are text that came twice, which is the duplicates' business
SHINGLE_WORDS = 5
PERMUTATIONS, BANDS, HASH_SEED = 128, 16, 7  # of MinHash; a pair of similarity 0.8 shares a band in 95 of 100 cases

GUTENBERG_START = re.compile(r"^\s*\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*?\*\*\*[ \t]*$\n*", re.M | re.I | re.S)
GUTENBERG_END = re.compile(r"^\s*(?:End of (?:the )?Project Gutenberg|\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG).*\Z",
                           re.M | re.I | re.S)
TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>|<!--.*?-->", re.S)
HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>", re.S | re.I)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
MARKDOWN_LINK = re.compile(r"!?\[([^\]\n]*)\]\((?:https?://|/|#|www\.)[^)\s]*(?: \"[^\"\n]*\")?\)")
EMAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}\b")
IP = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)")
CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
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

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return {"step": self.step, "changed": self.changed, "left_out": self.left_out,
                "characters_removed": self.characters_removed, "examples": [list(pair) for pair in self.examples]}


def clean(documents: Sequence[str], config: DataConfig) -> tuple[list[str | None], list[StepReport]]:
    """(each document cleaned, or None for one left out, in their places; what each step of `config.cleaning` did)."""
    cleaned: list[str | None] = list(documents)
    reports = []
    for name, step in STEPS.items():
        if name in config.cleaning:
            there = [i for i, text in enumerate(cleaned) if text is not None]
            before = [cleaned[i] for i in there]
            after = [text if text and text.strip() else None for text in step(before, config)]
            reports.append(_report(name, before, after))
            for i, text in zip(there, after):
                cleaned[i] = text
    return cleaned, reports


def _report(name: str, before: Sequence[str], after: Sequence[str | None]) -> StepReport:
    report = StepReport(name)
    for old, new in zip(before, after):
        if old == new:
            continue
        report.left_out += new is None
        report.changed += new is not None
        report.characters_removed += len(old) - len(new or "")
        if len(report.examples) < EXAMPLES:
            report.examples.append(_example(old, new))
    return report


def _example(old: str, new: str | None) -> tuple[str, str]:
    """The neighbourhood of the first change; of a document that is left out, its beginning."""
    if new is None:
        return old[:2 * AROUND_CHARACTERS], ""
    at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    begin, ahead = max(0, at - AROUND_CHARACTERS // 2), AROUND_CHARACTERS
    return old[begin:at + ahead], new[begin:at + ahead]


# --- one document at a time ---

def _each(change: Callable[[str], str]) -> Callable[[Sequence[str], DataConfig], list[str | None]]:
    return lambda documents, config: [change(text) for text in documents]


def _unicode(text: str) -> str:
    """NFC; every kind of space a plain one, nothing unseen, no spaces at ends of lines, no more than two empty lines."""
    text = unicodedata.normalize("NFC", text).translate(SPACES).translate(UNSEEN)
    text = re.sub(r"\r\n?|[\u2028\u2029\x85]", "\n", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _gutenberg(text: str) -> str:
    """Without Project Gutenberg's header and licence."""
    start = GUTENBERG_START.search(text)
    if start:
        text = text[start.end():]
    end = GUTENBERG_END.search(text)
    return text[:end.start()].rstrip() + "\n" if end else text


def _markup(text: str) -> str:
    """Without tags and addresses of links; &amp; as &. What only looks like a tag (a < b) stays."""
    text = HIDDEN.sub("", text)
    text = TAG.sub(lambda match: "\n" if re.match(r"</?(?:p|br|div|li|h\d|tr)\b", match[0], re.I) else "", text)
    text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return MARKDOWN_LINK.sub(r"\1", text)


def _personal(text: str) -> str:
    """E-mail addresses, phone numbers written with + and country, IP addresses, and card and IBAN numbers whose checksum
    holds, each as a placeholder."""
    from stdnum import iban, luhn

    text = EMAIL.sub("<email>", text)
    text = IBAN.sub(lambda match: "<iban>" if iban.is_valid(match[0]) else match[0], text)
    text = CARD.sub(lambda match: "<card>" if luhn.is_valid(re.sub(r"[ -]", "", match[0])) else match[0], text)
    text = IP.sub("<ip>", text)
    return _phones(text) if "+" in text else text


def _phones(text: str) -> str:
    import phonenumbers

    parts, end = [], 0
    for match in phonenumbers.PhoneNumberMatcher(text, None, phonenumbers.Leniency.POSSIBLE):
        parts += [text[end:match.start], "<phone>"]
        end = match.end
    return "".join([*parts, text[end:]])


# --- all of them together ---

def _repeated_lines(documents: Sequence[str], config: DataConfig) -> list[str | None]:
    """Without lines that stand in many documents: navigation, page heads, notices."""
    standing = Counter(line for text in documents for line in {line.strip() for line in text.split("\n")}
                       if 0 < len(line) <= LONGEST_REPEATED)
    fewest = max(REPEATED_DOCUMENTS, REPEATED_SHARE * len(documents))
    repeated = {line for line, count in standing.items() if count >= fewest and any(c.isalnum() for c in line)}
    if not repeated:
        return list(documents)
    return ["\n".join(line for line in text.split("\n") if line.strip() not in repeated) for text in documents]


def _filtered(documents: Sequence[str], config: DataConfig) -> list[str | None]:
    """Without documents that are too short, mostly symbols, or hardly in the script that is wanted."""
    return [text if _passes(text, config) else None for text in documents]


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


def _exact_duplicates(documents: Sequence[str], config: DataConfig) -> list[str | None]:
    """Without what came before word for word, whatever its spaces and capitals."""
    seen: set[bytes] = set()
    kept: list[str | None] = []
    for text in documents:
        digest = hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "replace")).digest()
        kept.append(None if digest in seen else text)
        seen.add(digest)
    return kept


def _near_duplicates(documents: Sequence[str], config: DataConfig) -> list[str | None]:
    """Without what is nearly a text before it: MinHash of five-word stretches (Broder 1997), similarity from the threshold on."""
    import rensa

    index, kept = rensa.RMinHashLSH(config.near_duplicate_threshold, PERMUTATIONS, BANDS), []
    hashes: dict[int, Any] = {}
    for i, text in enumerate(documents):
        words = text.lower().encode("utf-8", "replace").decode("utf-8").split()
        one = rensa.RMinHash(PERMUTATIONS, HASH_SEED)
        one.update([" ".join(words[j:j + SHINGLE_WORDS]) for j in range(max(1, len(words) - SHINGLE_WORDS + 1))])
        near = any(hashes[other].jaccard(one) >= config.near_duplicate_threshold for other in index.query(one))
        kept.append(None if near else text)
        if not near:
            hashes[i] = one
            index.insert(i, one)
    return kept


STEPS: dict[str, Callable[[Sequence[str], DataConfig], list[str | None]]] = {
    "unicode": _each(_unicode), "gutenberg": _each(_gutenberg), "markup": _each(_markup), "repeated-lines": _repeated_lines,
    "personal": _each(_personal), "filters": _filtered, "duplicates": _exact_duplicates, "near-duplicates": _near_duplicates}
