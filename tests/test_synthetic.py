"""The floor is honest: every story and sum can be written in one way only, and its log-probability is that way's."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from gptlab.data.learning import build_tokenizer
from gptlab.data.sources import read_documents
from gptlab.data.split import plan_split
from gptlab.data.synthetic import Grammar, Slot, arithmetic, stories, story_grammar, sums_right
from gptlab.presets import DEFAULT_PRESET, preset

STORY = Slot("story", None, None)


@pytest.fixture(scope="module")
def drawn():
    return stories(4000, seed=1)


# --- a reader that shares nothing with the writer but the rules: it takes a text apart in every way there is ---

def derivations(grammar: Grammar, text: str, start: str = "story") -> list[float]:
    """The log-probability of each way in which `grammar` can write exactly `text`."""

    def read(todo, at, known, logprob) -> Iterator[float]:
        if todo is None:
            if at == len(text):
                yield logprob
            return
        piece, rest = todo
        if isinstance(piece, str):
            if text.startswith(piece, at):
                yield from read(rest, at + len(piece), known, logprob)
        elif isinstance(piece, tuple) and piece[0] == "end of a rule in capitals":
            _, name, group, begin = piece
            yield from read(rest, at, known | {name: (text[begin:at], group)}, logprob)
        elif piece.rule in known:
            yield from read((known[piece.rule][0], rest), at, known, logprob)
        else:
            group = known[piece.like][1] if piece.like else piece.group
            ways = [way for way in grammar.rules[piece.rule] if group in (None, way.group)]
            for way in ways:
                after = rest
                if piece.rule.isupper():
                    after = (("end of a rule in capitals", piece.rule, way.group, at), rest)
                for part in reversed(way.pieces):
                    after = (part, after)
                yield from read(after, at, known, logprob - math.log(len(ways)))

    return list(read((Slot(start, None, None), None), 0, {}, 0.0))


def test_a_story_can_be_written_in_one_way_with_the_probability_it_carries(drawn):
    for text, logprob in zip(drawn[0][:300], drawn[1]):
        assert derivations(story_grammar(), text) == [pytest.approx(logprob)]


def test_the_reader_finds_every_way_to_write_an_ambiguous_text():
    ambiguous = Grammar("story: {a}{b}\na: x / xy\nb: yz / z")
    assert derivations(ambiguous, "xyz") == [pytest.approx(math.log(1 / 4))] * 2
    assert derivations(ambiguous, "yz") == []


# --- and no story is ambiguous: of a rule's alternatives none writes what another begins with ---

def next_characters(grammar: Grammar, todo) -> dict[str, set]:
    """Every character that can be written next (None: nothing is left to write), and what may be left after it."""
    found, waiting = {}, [todo]
    while waiting:
        todo = waiting.pop()
        if todo is None:
            found[None] = {None}
        elif isinstance(todo[0], str):
            text, rest = todo
            found.setdefault(text[0], set()).add((text[1:], rest) if text[1:] else rest)
        else:
            slot, rest = todo
            waiting += [chain(way.pieces, rest) for way in grammar.rules[slot.rule] if slot.group in (None, way.group)]
    return found


def chain(pieces, rest=None):
    for piece in reversed(pieces):
        rest = (piece, rest)
    return rest


def clash(grammar: Grammar, one, other) -> str | None:
    """A text that `one` can write and `other` begin with, or the other way round. A repeated slot may say anything
    its rule can say, so this errs on the side of a clash."""
    waiting, seen = [(chain(one.pieces), chain(other.pieces), "")], set()
    while waiting:
        left, right, text = waiting.pop()
        left, right = next_characters(grammar, left), next_characters(grammar, right)
        if None in left or None in right:
            return text
        for character in left.keys() & right.keys():
            for pair in itertools.product(left[character], right[character]):
                if pair not in seen:
                    seen.add(pair)
                    waiting.append((*pair, text + character))
    return None


def slots(grammar: Grammar) -> set[Slot]:
    return {piece for ways in grammar.rules.values() for way in ways for piece in way.pieces if isinstance(piece, Slot)}


def clashes(grammar: Grammar) -> list[str]:
    """Every breach of the rule. Groups of a rule are held against each other only where a slot draws from them all."""
    across = {slot.rule for slot in slots(grammar) if slot.group is None and slot.like is None}
    return [f"{name}: {text!r}" for name, ways in grammar.rules.items()
            for one, other in itertools.combinations(ways, 2) if one.group == other.group or name in across
            for text in [clash(grammar, one, other)] if text is not None]


@pytest.mark.parametrize("rules, found", [
    ("story: a {b}\nb: cap / cape", ["b: 'cap'"]),
    ("story: {a} sat / {a} sat down\na: he", ["story: 'he sat'"]),
    ("story: {a} sat. / {a} sat down.\na: he / she", []),
    ("story: {A} {b:A}\nA one: x\nA two: y\nb one: cap\nb two: cape", []),
])
def test_the_prefix_rule_is_told_from_its_breach(rules, found):
    assert clashes(Grammar(rules)) == found


def test_no_alternative_writes_what_another_begins_with():
    assert clashes(story_grammar()) == []


def test_every_slot_has_its_rule_and_its_group():
    rules = story_grammar().rules
    assert {slot.rule for slot in slots(story_grammar())} | {"story"} == set(rules), "a rule is missing, or never used"
    for slot in slots(story_grammar()):
        groups = {way.group for way in rules[slot.rule]}
        assert slot.group is None or slot.group in groups, slot
        assert slot.like is None or {way.group for way in rules[slot.like]} <= groups, slot


# --- the interpreter ---

TOY = "story: {WHO} has {its:WHO} {x} / no one\nWHO he: Tom\nWHO she: Mia / Ann\nits he: his\nits she: her\nx: hat / {WHO}"


def test_a_small_grammar_is_drawn_as_often_as_it_says():
    generator, n = random.Random(0), 20_000
    drawn = [Grammar(TOY).write("story", generator) for _ in range(n)]
    probability = {text: math.exp(logprob) for text, logprob in drawn}
    assert set(probability) == {"no one", "Tom has his hat", "Tom has his Tom", "Mia has her hat", "Mia has her Mia",
                                "Ann has her hat", "Ann has her Ann"}
    assert sum(probability.values()) == pytest.approx(1)
    for text, count in Counter(text for text, _ in drawn).items():
        assert abs(count / n - probability[text]) < 5 * math.sqrt(probability[text] / n)


def test_a_line_above_every_rule_is_refused():
    with pytest.raises(ValueError, match="No rule stands above"):
        Grammar("  hat / coat")


# --- what the stories are like ---

def test_stories_are_as_hard_to_guess_as_they_should_be(drawn):
    documents, logprobs = drawn
    assert 0.35 <= -sum(logprobs) / sum(len(text) + 1 for text in documents) <= 0.9
    assert max(logprobs) < -math.log(1e9)  # even the likeliest kind of story is one of over 10^9


def test_no_phrase_of_eight_words_is_in_many_stories(drawn):
    seen = Counter()
    for text in drawn[0]:
        words = text.split()
        seen.update({" ".join(words[i:i + 8]) for i in range(len(words) - 7)})
    assert seen.most_common(1)[0][1] < 0.05 * len(drawn[0])


def test_stories_are_plain_text_in_one_paragraph(drawn):
    for text in drawn[0]:
        assert text.isascii() and text.isprintable() and text == text.strip() and "  " not in text
        assert text.endswith((".", "!"))


def test_every_story_of_the_default_data_fits_the_default_context():
    """Train and val, each with its end-of-text, in the default preset's own tokens: else no window would be one story.

    It holds for these stories, not for all the grammar can tell: the longest would take about 200 tokens, and of a
    hundred thousand others none took more than 158. A story's tokens are those of its words, which begin at spaces.
    """
    config = preset(DEFAULT_PRESET).config
    documents = read_documents(config.data).documents
    tokenizer = build_tokenizer(config.data, documents, plan_split(documents, config.data).train)
    words = [[document.split(" ")[0], *(f" {word}" for word in document.split(" ")[1:])] for document in documents]
    different = sorted(set().union(*words))
    tokens = dict(zip(different, map(len, tokenizer.encode_many(different))))
    lengths = [sum(tokens[word] for word in story) + 1 for story in words]
    assert [len(ids) + 1 for ids in tokenizer.encode_many(documents[:200])] == lengths[:200]
    assert len(lengths) == config.data.documents and max(lengths) <= config.model.context_length


def test_stories_follow_from_the_seed_alone(drawn):
    assert stories(5, seed=1)[0] == drawn[0][:5]
    assert stories(5, seed=2)[0] != drawn[0][:5]


# --- sums ---

def test_sums_are_right_and_as_likely_as_they_say():
    documents, logprobs = arithmetic(200, seed=3)
    for text, logprob in zip(documents, logprobs):
        right, lines = sums_right(text)
        assert right == lines == len(text.split("\n"))
        choices = [{1: 10, 2: 90, 3: 900}[len(number)] for line in text.split("\n")
                   for number in line.partition("=")[0].split("+")]
        assert logprob == pytest.approx(-sum(math.log(3 * n) for n in choices))


def test_sums_right_counts_exact_answers_only():
    assert sums_right("47+85=132\n1+1=3\n\nhello\n9+9=") == (1, 4)
