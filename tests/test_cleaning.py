"""Each step on the text it is for, and on text it must leave alone; together, in one order, with a report."""

from __future__ import annotations

import dataclasses
import random

import pytest

from gptlab.config import CLEANING, DataConfig, RunConfig
from gptlab.data.cleaning import EXAMPLES, STEPS, clean

PLAY = "ACT I\n\nScene I. Rome. A street.\n\nFLAVIUS.\nHence! home, you idle creatures, get you home.\n"
LICENCE = ("*** END OF THE PROJECT GUTENBERG EBOOK JULIUS CAESAR ***\n\nUpdated editions will replace the previous one.\n"
           "Redistribution is subject to the trademark license.\n")
HEADER = ("The Project Gutenberg eBook of Julius Caesar\n\nTitle: Julius Caesar\n\n"
          "*** START OF THE PROJECT GUTENBERG EBOOK JULIUS CAESAR ***\n\n")


def cleaned(step, *documents, **settings):
    """What one step makes of documents, and its report."""
    config = dataclasses.replace(DataConfig(), cleaning=(step,), **settings)
    texts, reports = clean(documents, config)
    return texts, reports[0]


def one(step, text, **settings):
    return cleaned(step, text, **settings)[0][0]


@pytest.mark.parametrize("step, before, after", [
    ("unicode", "cafe\u0301\u00a0\u200bau lait  \r\nx\t\n\n\n\n\n\ny\u00ad\x00", "café au lait\nx\n\n\ny"),
    ("gutenberg", HEADER + PLAY + "\n" + LICENCE, PLAY),
    ("gutenberg", PLAY + "\n\nEnd of the Project Gutenberg EBook of Julius Caesar\n" + LICENCE, PLAY),
    ("markup", "<p class='a'>Fish &amp; chips<br/>for <b>two</b></p><script>x<y</script>", "\nFish & chips\nfor two\n"),
    ("markup", "See [the docs](https://example.org/a_b) and ![a cat](/cat.png).", "See the docs and a cat."),
    ("personal", "Mail ann.b+c@mail.example.org, or 10.0.0.255.", "Mail <email>, or <ip>."),
    ("personal", "Call +44 20 7946 0958 now.", "Call <phone> now."),
    ("personal", "Pay 4539 1488 0343 6467 or GB82 WEST 1234 5698 7654 32.", "Pay <card> or <iban>.")])
def test_what_a_step_is_for(step, before, after):
    assert one(step, before) == after
    assert one(step, after) == after, "done twice is done once"


@pytest.mark.parametrize("step, text", [
    ("gutenberg", "He told the story of Project Gutenberg, which began in 1971.\n" + PLAY),
    ("markup", "if a < b and c > d: print('&')  # x<y, AT&T; list[0](x)"),
    ("personal", "Version 1.2.3.4.5, 4539 1488 0343 6468, GB83 WEST 1234 5698 7654 32, 3 + 4 = 7, me@home, on 2026-11-21."),
    ("unicode", "naïve 👍🏽 বাংলা\n\n\nthree lines"), ("repeated-lines", PLAY), ("filters", PLAY), ("duplicates", PLAY)])
def test_what_a_step_leaves_alone(step, text):
    texts, report = cleaned(step, text)
    assert texts == [text] and (report.changed, report.left_out, report.characters_removed, report.examples) == (0, 0, 0, [])


def test_lines_that_stand_in_many_documents_go():
    pages = [f"Home | About | Contact\nStory {i} tells of a fox.\n***\nPage\n" for i in range(10)]
    texts, report = cleaned("repeated-lines", *pages, PLAY)
    assert texts == [f"Story {i} tells of a fox.\n***\n" for i in range(10)] + [PLAY]
    assert report.changed == len(report.examples) == EXAMPLES and "Home | About" in report.examples[0][0]


def test_filters_leave_out_the_short_the_symbolic_and_the_foreign():
    bangla = "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। চিরদিন তোমার আকাশ। " * 4
    texts = [PLAY * 2, "Too short.", "=-=-=-=-" * 50, bangla]
    assert cleaned("filters", *texts)[0] == [PLAY * 2, None, None, bangla]
    assert cleaned("filters", *texts, script="Bengali")[0] == [None, None, None, bangla]
    assert cleaned("filters", *texts, min_characters=1, max_symbol_share=1.0)[0] == texts
    assert cleaned("filters", *texts)[1].left_out == 2


def test_duplicates_go_whatever_their_spaces_the_first_stays():
    texts, report = cleaned("duplicates", PLAY, "Another.", PLAY.upper().replace("\n", "  "), "Another.")
    assert texts == [PLAY, "Another.", None, None]
    assert report.examples[0] == (PLAY.upper().replace("\n", "  ")[:180], "")


def test_near_duplicates_go_and_what_only_shares_words_stays():
    chance = random.Random(3)
    words = [f"word{i}" for i in range(400)]
    texts = [" ".join(chance.choice(words) for _ in range(150)) for _ in range(40)]
    nearly = texts[7].split()
    nearly[20] = nearly[90] = "other"
    assert cleaned("near-duplicates", *texts, " ".join(nearly))[0] == [*texts, None]
    assert cleaned("near-duplicates", *texts, " ".join(nearly), near_duplicate_threshold=0.99)[0][-1] is not None


def test_steps_run_in_their_own_order_and_the_report_says_what_each_did():
    documents = [HEADER + PLAY + LICENCE, PLAY, "   "]
    backwards = dataclasses.replace(DataConfig(), cleaning=("duplicates", "gutenberg"))
    texts, reports = clean(documents, backwards)
    assert texts == [PLAY, None, None] and [report.step for report in reports] == ["gutenberg", "duplicates"]
    assert reports[0].characters_removed == len(HEADER) + len(LICENCE) + 3 and (reports[0].changed, reports[0].left_out) == (1, 1)
    assert reports[1].to_dict()["left_out"] == 1
    assert clean(documents, dataclasses.replace(backwards, cleaning=()))[0] == documents


def test_settings_name_the_steps_there_are():
    assert tuple(STEPS) == CLEANING
    assert RunConfig().replace({"data.cleaning": "unicode, duplicates"}).data.cleaning == ("unicode", "duplicates")
    with pytest.raises(ValueError, match="data.cleaning is 'spelling', but must be one of: unicode, gutenberg"):
        RunConfig().replace({"data.cleaning": ["unicode", "spelling"]})


@pytest.mark.parametrize("step", list(STEPS))
def test_any_text_is_borne(step):
    for text in ("x", "\ud83d", "\0", "+", "<" * 5000, "*** START OF THE PROJECT GUTENBERG" * 50, "a@" * 3000, "1" * 5000, "1." * 3000):
        clean([text, text], dataclasses.replace(DataConfig(), cleaning=(step,)))
