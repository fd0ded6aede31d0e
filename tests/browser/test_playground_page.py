"""The Playground's text in a browser: how likely each token was, what else could have stood there, and going on with that."""

from __future__ import annotations

import pytest
from tiny_run import tiny_run
from waiting import shows, tab, wait_until

from gptlab.config import SampleConfig
from gptlab.generate.generator import generate
from gptlab.runs import worker
from gptlab.runs.checkpoint import load_model

WHOLE = "!document.querySelector('#output .writing') && document.querySelectorAll('#output .token').length >= {}"


@pytest.fixture(scope="module")
def run(workspace):
    run = tiny_run(workspace, "writer", train__max_steps=30)
    worker.run(run)
    return run


def test_another_token_is_chosen_by_keyboard_and_the_text_goes_on_from_there(run, page):
    tab(page, "Playground")
    wait_until(page, "document.querySelector('#run input')?.value.startsWith('writer')")
    page.locator("#prompt textarea").fill("The cat")
    page.locator("#length input[type=number]").fill("30")
    page.locator("#length input[type=number]").press("Tab")
    page.locator("#generate").click()
    wait_until(page, WHOLE.format(30))
    first = page.locator("#output .written").inner_text()
    model, tokenizer, config = load_model(run, "best")
    settings = SampleConfig(max_new_tokens=30, temperature=0.8)
    tokens = list(generate(model, tokenizer, "The cat", settings, alternatives=10))
    assert first.split() == "".join(token.text for token in tokens).split()  # the page shows what the Python API gives

    page.locator("#output .written").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    shares = page.locator("#output .alternative")
    assert shares.count() == 10 and page.locator("#output .alternative.taken").count() <= 1
    place = page.evaluate("[...document.querySelectorAll('#output .token')].findIndex(one => one.classList.contains('at'))")
    kept = first[:place]
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    other = page.evaluate("document.activeElement.querySelector('.alternative-token').textContent")
    page.keyboard.press("Enter")
    wait_until(page, shows("#output .branches", "instead of"))
    wait_until(page, WHOLE.format(place + 31))
    second = page.locator("#output .written").inner_text()
    chosen = {"space": " ", "new line": "\n"}.get(other, other.strip("“”"))
    assert second.startswith(kept + chosen) and second[:place + 1] != first[:place + 1]

    page.get_by_role("button", name="First text").click()
    wait_until(page, f"document.querySelector('#output .written').innerText === {first!r}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_could_come_next_follows_the_settings(run, page):
    cut = "document.querySelectorAll('#next-token .next-cut').length === {}"
    tab(page, "Playground")
    page.locator("#next-token").scroll_into_view_if_needed()
    wait_until(page, "document.querySelectorAll('#next-token li').length === 12")
    wait_until(page, cut.format(0))
    page.locator("#top-k input").fill("3")
    wait_until(page, cut.format(9))
    page.get_by_label("Greedy", exact=True).check()
    wait_until(page, cut.format(11))
    page.locator("#prompt textarea").fill("The cat ☃")
    page.locator("#prompt textarea").press("Tab")
    wait_until(page, shows("#next-token", "☃"))
