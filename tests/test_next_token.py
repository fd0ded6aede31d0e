"""The bars of what could come next: the model's odds, and what the settings keep of them."""

import html
import re

import pytest
import torch

from gptlab.config import SampleConfig
from gptlab.data.tokenizers import CharTokenizer
from gptlab.ui import next_token

ODDS = {"a": 0.5, "b": 0.25, "<": 0.125, "\n": 0.0625, "e": 0.0625}


@pytest.fixture
def tokenizer():
    return CharTokenizer.of_alphabet(sorted(ODDS))


def rows(tokenizer, settings, seen=()):
    logits = torch.full((tokenizer.vocab_size + 3,), -30.0)  # of padded rows, none is a token
    for character, odds in ODDS.items():
        logits[int(tokenizer.encode(character)[0])] = torch.tensor(odds).log()
    counts = torch.tensor([int(tokenizer.encode(one)[0]) for one in seen], dtype=torch.long).bincount(minlength=tokenizer.vocab_size)
    told = next_token.bars(logits, counts, tokenizer, settings)
    cells = re.findall(r'next-name">(.*?)</span>.*?next-own">(.*?)</span><span class="next-drawn">(.*?)</span>', told)
    return html.unescape(re.findall(r'next-said">(.*?)</p>', told)[0]), [tuple(map(html.unescape, cell)) for cell in cells], told


def test_own_odds_stand_beside_those_that_are_drawn_with(tokenizer):
    said, cells, told = rows(tokenizer, SampleConfig(temperature=1.0, top_k=2))
    assert cells[:4] == [("“a”", "50 %", "67 %"), ("“b”", "25 %", "33 %"), ("“<”", "12 %", "cut"), ("new line", "6.2 %", "cut")]
    assert said.startswith(f"With these settings, 2 of {tokenizer.vocab_size} tokens") and "75 % together" in said
    assert "&lt;" in told and told.count("next-cut") == len(cells) - 2


@pytest.mark.parametrize("settings, kept", [(dict(greedy=True), 1), (dict(temperature=0.0), 1), (dict(min_p=0.2), 3), (dict(top_p=0.8), 3)])
def test_what_is_cut_is_what_is_never_drawn(tokenizer, settings, kept):
    _, cells, _ = rows(tokenizer, SampleConfig(**{"temperature": 1.0} | settings))
    assert sum(drawn != "cut" for _, _, drawn in cells) == kept


def test_penalties_show_by_what_stands_in_the_text(tokenizer):
    before, after = (dict((name, drawn) for name, _, drawn in rows(tokenizer, SampleConfig(temperature=1.0, frequency_penalty=9.0), seen)[1])
                     for seen in ((), "a"))
    assert before["“a”"] == "50 %" and after["“a”"] == "under 0.1 %" and after["“b”"] == "50 %"
