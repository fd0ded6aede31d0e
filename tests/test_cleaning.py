"""Each step on the text it is for, and on text it must leave alone; together, in one order, with a report."""

from __future__ import annotations

import dataclasses
import random

import pytest

from gptlab.config import CLEANING, DataConfig, RunConfig
from gptlab.data.cleaning import EXAMPLES, STEPS, clean
from gptlab.data.documents import Documents

PLAY = "ACT I\n\nScene I. Rome. A street.\n\nFLAVIUS.\nHence! home, you idle creatures, get you home.\n"
LICENCE = ("*** END OF THE PROJECT GUTENBERG EBOOK JULIUS CAESAR ***\n\nUpdated editions will replace the previous one.\n"
           "Redistribution is subject to the trademark license.\n")
HEADER = ("The Project Gutenberg eBook of Julius Caesar\n\nTitle: Julius Caesar\n\n"
          "*** START OF THE PROJECT GUTENBERG EBOOK JULIUS CAESAR ***\n\n")


def cleaned(step, *documents, **settings):
    """What one step makes of documents, and its report."""
    config = dataclasses.replace(DataConfig(), cleaning=(step,), **settings)
    given = Documents.of(documents)
    texts = [text if text and not text.isspace() else None for text in STEPS[step](given, config)]
    left, reports = clean(given, config)
    assert left == [text for text in texts if text is not None]
    return texts, reports[0]


def one(step, text, **settings):
    return cleaned(step, text, **settings)[0][0]


@pytest.mark.parametrize("step, before, after", [
    ("unicode", "cafe\u0301\u00a0\u200bau lait  \r\nx\t\n\n\n\n\n\ny\u00ad\x00", "café au lait\nx\n\n\ny"),
    ("gutenberg", HEADER + PLAY + "\n" + LICENCE, PLAY),
    ("gutenberg", PLAY + "\n\nEnd of the Project Gutenberg EBook of Julius Caesar\n" + LICENCE, PLAY),
    ("markup", "<p class='a'>Fish &amp; chips<br/>for <b>two</b></p><script>x<y</script>", "\nFish & chips\nfor two\n"),
    ("markup", "See [the docs](https://example.org/a_b) and ![a cat](/cat.png).", "See the docs and a cat."),
    ("markup", "a<!-- x > y <p> -->b<SCRIPT src='x'>if (a<b) {}</Script >c<!doctype html>&#65;&lt; 3", "abcA< 3"),
    ("markup", "<a href='x' download title=\"a > b\">here</a>, <input disabled/><font color=red>red</FONT>", "here, red"),
    ("markup", "<div class=x data-b='<q>'>hi</div ><br / >x <<b>i>y<unknown> &amp;&lt;", "\nhi\n\nx y<unknown> &<"),
    ("markup", "[![built](https://x.org/a.svg)](https://x.org) [a [b](/c)", "built [a b"),
    ("gutenberg", "\n\n*** START OF THIS PROJECT GUTENBERG\nEBOOK X *** \n\n" + PLAY, PLAY),
    ("personal", "(+44) 20 7946 0958 ext. 12, +49 30 901820;\n+1+1 2+2 3", "<phone>, <phone>;\n+1+1 2+2 3"),
    ("personal", "Mail ann.b+c@mail.example.org, or 10.0.0.255.", "Mail <email>, or <ip>."),
    ("personal", "Call +44 20 7946 0958 now.", "Call <phone> now."),
    ("personal", "Pay 4539 1488 0343 6467 or GB82 WEST 1234 5698 7654 32.", "Pay <card> or <iban>.")])
def test_what_a_step_is_for(step, before, after):
    assert one(step, before) == after
    assert one(step, after) == after, "done twice is done once"


@pytest.mark.parametrize("step, text", [
    ("gutenberg", "He told the story of Project Gutenberg, which began in 1971.\n" + PLAY),
    ("markup", "if a < b and c > d: print('&')  # x<y, AT&T; list[0](x)"),
    ("markup", "if a <b and c> d: List<String> x = (T) <K>y;  #include <stdio.h> <ann@example.org>"),
    ("markup", "Write &lt;p&gt; for a paragraph, &amp;lt; for &amp;gt;, and [x](y)."), ("markup", "<!-- never <script closed <style"),
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


def test_a_text_that_is_there_five_times_does_not_vanish_as_repeated_lines():
    """Every line of it stood in five documents: all copies went, and there was nothing left to be a duplicate."""
    texts = [f"{PLAY}{i}\n" for i in range(3)] + ["A speech.\nOf two lines."] * 6
    assert cleaned("repeated-lines", *texts)[0] == texts


def test_near_duplicates_go_and_what_only_shares_words_stays():
    chance = random.Random(3)
    words = [f"word{i}" for i in range(400)]
    texts = [" ".join(chance.choice(words) for _ in range(150)) for _ in range(40)]
    nearly = texts[7].split()
    nearly[20] = nearly[90] = "other"
    assert cleaned("near-duplicates", *texts, " ".join(nearly))[0] == [*texts, None]
    assert cleaned("near-duplicates", *texts, " ".join(nearly), near_duplicate_threshold=0.99)[0][-1] is not None


def test_steps_run_in_their_own_order_and_the_report_says_what_each_did():
    documents = Documents.of([HEADER + PLAY + LICENCE, PLAY, "   "])
    backwards = dataclasses.replace(DataConfig(), cleaning=("duplicates", "gutenberg"))
    texts, reports = clean(documents, backwards)
    assert texts == [PLAY] and [report.step for report in reports] == ["gutenberg", "duplicates"]
    assert reports[0].characters_removed == len(HEADER) + len(LICENCE) + 3 and (reports[0].changed, reports[0].left_out) == (1, 1)
    assert reports[1].to_dict()["left_out"] == 1
    assert clean(documents, dataclasses.replace(backwards, cleaning=()))[0] == documents


def test_settings_name_the_steps_there_are():
    assert tuple(STEPS) == CLEANING
    assert RunConfig().replace({"data.cleaning": "unicode, duplicates"}).data.cleaning == ("unicode", "duplicates")
    with pytest.raises(ValueError, match="data.cleaning is 'spelling', but must be one of: unicode, gutenberg"):
        RunConfig().replace({"data.cleaning": ["unicode", "spelling"]})


def similar_pair(chance, words, similarity):
    """Two texts of about 200 words whose stretches of five are just about so much alike: the second goes on otherwise."""
    same = [chance.choice(words) for _ in range(200)]
    other = [chance.choice(words) for _ in range(round(200 * (1 - similarity) / (1 + similarity)))]
    cut = len(other)
    return " ".join(same), " ".join(same[:200 - cut] + other)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_pairs_as_alike_as_the_threshold_are_found_and_others_are_not(threshold):
    """With 16 bands of 8 rows, whatever the threshold, hardly any of the pairs of 0.5 were."""
    chance, words = random.Random(1), [f"word{i}" for i in range(5000)]
    found = {0.02: 0, -0.03: 0}
    for more in found:
        for _ in range(100):
            pair = similar_pair(chance, words, threshold + more)
            found[more] += cleaned("near-duplicates", *pair, near_duplicate_threshold=threshold)[0][1] is None
    assert found[0.02] >= 95 and found[-0.03] == 0


def test_near_duplicates_are_found_where_words_are_not_set_apart():
    text = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。闰余成岁，律吕调阳。云腾致雨，露结为霜。金生丽水，玉出昆冈。"
    assert cleaned("near-duplicates", text, text[:-3] + "新的。", text[::-1])[0] == [text, None, text[::-1]]


def test_a_phone_number_late_in_a_long_text_is_masked_too():
    """The matcher gave up a text after 65,535 numbers that were none."""
    years = "+ In 1999 there were 12 and 34. " * 25_000
    assert one("personal", f"+49 30 901820 {years} +49 30 901820.") == f"<phone> {years} <phone>."


LONG = 200_000
HOSTILE = {  # each once took time that grew with the square of its length: of these lengths, minutes to hours
    "empty lines": ("gutenberg", "a\n" + "\n" * LONG + "b", None),
    "starts without end": ("gutenberg", "*** START OF THE PROJECT GUTENBERG x\n" * (LONG // 37), None),
    "comments not closed": ("markup", "<!-- " * (LONG // 5), None), "scripts not closed": ("markup", "<script " * (LONG // 8), None),
    "tags not closed": ("markup", "<a x='" * (LONG // 6), None), "attributes": ("markup", "<a " + "x" * LONG + ">", None),
    "brackets": ("markup", "[" * LONG, None), "addresses": ("markup", "[](/" * (LONG // 4), None),
    "titles": ("markup", '[](/ "' * (LONG // 6), None), "spaces": ("unicode", "a" + " " * LONG + "b", None),
    "lines of spaces": ("unicode", (" " * 999 + "\n") * (LONG // 1000) + "b", "\n\n\nb"),
    "marks": ("unicode", "a" + "\u0323\u0301" * (LONG // 2), None), "plus": ("personal", "+1" * (LONG // 2), None),
    "at": ("personal", "a@" * (LONG // 2), None), "domains": ("personal", "a@" + "a." * (LONG // 2), None),
    "digits": ("personal", "1." * (LONG // 2), None)}


@pytest.mark.parametrize("step, text, after", HOSTILE.values(), ids=list(HOSTILE))
def test_a_text_made_to_take_for_ever_comes_back_right(step, text, after):
    """A preview cleans in the app's own process: a file must not be able to stop it."""
    assert one(step, text) == (text if after is None else after)


@pytest.mark.parametrize("step", list(STEPS))
def test_any_text_is_borne(step):
    for text in ("x", "\ud83d", "\0", "+", "<" * 5000, "*** START OF THE PROJECT GUTENBERG" * 50, "1" * 5000, "# " * 3000):
        texts, report = cleaned(step, text, text)
        assert len(texts) == 2 and all(one is None or one in text.replace("\ud83d", "?") for one in texts)
        assert report.left_out == texts.count(None)
