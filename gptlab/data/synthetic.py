"""Corpora whose entropy is known exactly: little stories from a grammar, and sums.

Every document comes with the natural logarithm of the probability with which it is drawn, its end included. That is
its exact entropy floor, because it can be drawn in one way only: at every choice no alternative can write a text that
another alternative begins with. So someone who knows the grammar and reads from left to right can tell each choice,
and the end, from the text. (Prefix-free codes stay so when strung together; tests/test_synthetic.py holds the grammar
of the stories against this rule.) Knows nothing of tokens, of other data, or of how documents are split.

The grammar of the stories is data, and explains its own notation: data/story_grammar.txt.
"""

from __future__ import annotations

import math
import random
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

STORY_GRAMMAR = Path(__file__).resolve().parents[2] / "data" / "story_grammar.txt"
SUMS_PER_DOCUMENT = 8
MOST_DIGITS = 3  # of the numbers that are added


def stories(n: int, seed: int) -> tuple[list[str], list[float]]:
    """`n` independent stories, and the log-probability of each in nats. The first ones do not depend on `n`."""
    grammar, generator = story_grammar(), random.Random(seed)
    written = [grammar.write("story", generator) for _ in range(n)]
    return [text for text, _ in written], [logprob for _, logprob in written]


def arithmetic(n: int, seed: int) -> tuple[list[str], list[float]]:
    """`n` documents of eight sums such as 47+85=132, one a line, and the log-probability of each in nats.

    Every number to be added has one, two or three digits with equal odds, so there are more pairs of long numbers than a
    model will see; what it adds them up to is certain, and costs nothing.
    """
    generator = random.Random(seed)
    documents, logprobs = [], []
    for _ in range(n):
        lines, logprob = [], 0.0
        for _ in range(SUMS_PER_DOCUMENT):
            (a, logprob_a), (b, logprob_b) = _number(generator), _number(generator)
            lines.append(f"{a}+{b}={a + b}")
            logprob += logprob_a + logprob_b
        documents.append("\n".join(lines))
        logprobs.append(logprob)
    return documents, logprobs


def sums_right(text: str) -> tuple[int, int]:
    """How many lines of `text` are sums whose answer is exactly right, and how many lines there are (blank ones left out)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    sums = [re.fullmatch(r"([0-9]+)\+([0-9]+)=([0-9]+)", line) for line in lines]
    return sum(int(a) + int(b) == int(c) for a, b, c in (match.groups() for match in sums if match)), len(lines)


def _number(generator: random.Random) -> tuple[int, float]:
    """A number to add, and its log-probability: first how many digits, then which of the numbers with so many."""
    digits = 1 + int(generator.random() * MOST_DIGITS)
    smallest = 0 if digits == 1 else 10 ** (digits - 1)
    choices = 10**digits - smallest
    return smallest + int(generator.random() * choices), -math.log(MOST_DIGITS * choices)


@lru_cache
def story_grammar() -> Grammar:
    """The grammar of the built-in stories; `write("story", generator)` tells one."""
    return Grammar(STORY_GRAMMAR.read_text(encoding="utf-8"))


class Slot(NamedTuple):
    """`{rule}` in a template; `{rule.group}`: only that group of it; `{rule:LIKE}`: the group that LIKE was drawn from."""

    rule: str
    group: str | None
    like: str | None


class Alternative(NamedTuple):
    """One way to fill a slot: the group it belongs to ("" where the rule has none), and its text and slots in order."""

    group: str
    pieces: tuple[str | Slot, ...]


class Grammar:
    """Templates filled in by equally likely choices. A rule in capitals is drawn once and repeated from then on."""

    def __init__(self, text: str):
        self.rules = parse_rules(text)

    def alternatives(self, slot: Slot, groups: dict[str, str]) -> list[Alternative]:
        """What may fill a slot, given the groups that rules in capitals were drawn from so far."""
        group = groups[slot.like] if slot.like else slot.group
        return [one for one in self.rules[slot.rule] if group is None or one.group == group]

    def write(self, start: str, generator: random.Random) -> tuple[str, float]:
        """One text drawn from the rule `start`, and its log-probability in nats."""
        drawn: dict[str, str] = {}
        groups: dict[str, str] = {}
        written: list[str] = []
        ways = 1  # a whole number, so nothing is rounded: the text's probability is 1 / ways

        def fill(slot: Slot) -> None:
            nonlocal ways
            if slot.rule in drawn:
                written.append(drawn[slot.rule])
                return
            choices = self.alternatives(slot, groups)
            ways *= len(choices)
            group, pieces = choices[int(generator.random() * len(choices))]
            first = len(written)
            for piece in pieces:
                if isinstance(piece, str):
                    written.append(piece)
                else:
                    fill(piece)
            if slot.rule.isupper():
                drawn[slot.rule], groups[slot.rule] = "".join(written[first:]), group

        fill(Slot(start, None, None))
        return "".join(written), -math.log(ways)


def parse_rules(text: str) -> dict[str, list[Alternative]]:
    """The rules in a grammar file; the notation is explained at the top of data/story_grammar.txt.

    Raises ValueError for a line that stands above every rule.
    """
    rules: dict[str, list[Alternative]] = {}
    name = group = None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            header, _, line = line.partition(":")
            name, _, group = header.partition(" ")
        if name is None:
            raise ValueError(f"No rule stands above the line {line!r}: begin it with a name and a colon.")
        for template in line.split(" / "):
            if template.strip():
                rules.setdefault(name, []).append(Alternative(group, _pieces(template.strip())))
    return rules


def _pieces(template: str) -> tuple[str | Slot, ...]:
    """ "the {THING}" -> ("the ", Slot("THING", None, None)) """
    pieces: list[str | Slot] = []
    for text, rule, mark, detail in re.findall(r"([^{}]+)|\{(\w+)(?:([.:])(\w+))?\}", template):
        pieces.append(text or Slot(rule, detail if mark == "." else None, detail if mark == ":" else None))
    return tuple(pieces)
