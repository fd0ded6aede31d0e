"""Look at the data: closed and silent at first; figures, a list that is searched, one document in a dialog, all as text."""

from __future__ import annotations

import json

import pytest
from waiting import tab, wait_here, wait_until, wait_until_it_fits, wait_until_quiet

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare

MARKUP = "<script>window.ran = true</script><b>bold</b> & so on"
TEXTS = [f"Number {i}. " + "The King of the sea. " * (i % 4 == 0) + "Война и мир. " * (i % 9 == 0) + MARKUP * (i == 3) + " "
         + "one two three " * (i % 11) for i in range(300)]
DRAWN = "[...document.querySelectorAll('#data-view .view-plot')].every(plot => plot.hidden || plot.querySelector('.main-svg'))"


@pytest.fixture(scope="module")
def data_sets(stories, tmp_path_factory):
    """The built-in stories, and texts of two scripts, one of them markup, one long."""
    folder = tmp_path_factory.mktemp("texts")
    source = folder / "texts.jsonl"
    source.write_text("\n".join(json.dumps({"text": text}) for text in [*TEXTS, "long text " * 15_000]), encoding="utf-8")
    prepare(DataConfig(source=str(source), tokenizer="bpe", vocab_size=300), folder / "texts")
    return [stories, folder / "texts"]


@pytest.fixture
def view(page):
    """The view, open, about "texts"."""
    tab(page, "Data")
    page.locator("#prepared [data-use=texts]").click()
    wait_until(page, "document.querySelector('.view-title')?.innerText.includes('texts')")
    page.locator(".view > summary").click()
    wait_until(page, "document.querySelectorAll('.view-row').length === 20")
    return page.locator(".view")


def requests(page) -> list[str]:
    """What the page asks from now on."""
    asked = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    return asked


def found(page, sentence: str) -> None:
    wait_until(page, f"document.querySelector('.view-found').innerText === `{sentence}`")


def test_nothing_is_asked_for_until_it_is_opened(page):
    asked = requests(page)
    tab(page, "Data")
    wait_until(page, "document.querySelector('.view-title')?.innerText === 'Look at the data: stories'")
    wait_until_quiet(page)
    assert not [body for body in asked if '"figures"' in body or '"documents"' in body]
    page.locator(".view > summary").click()
    wait_here(page, lambda: any('"figures"' in body for body in asked))
    wait_until(page, "document.querySelector('.view-found')?.innerText.endsWith(' documents.')")


def test_only_what_is_seen_asks_and_each_question_goes_on_once(page):
    """Of counting and of a search that come to no end."""
    asked = requests(page)
    answers = {"figures": {"percent": 12}, "documents": {"rows": [], "page": 0, "pages": 0, "first": 0, "found": 0, "all": 9,
                                                         "percent": 34, "done": False, "units": "documents"}}

    def answer(route):
        name = (route.request.post_data_json or {}).get("fn_name")
        route.fulfill(json=answers[name]) if name in answers else route.continue_()

    page.route("**/component_server**", answer)
    tab(page, "Data")
    wait_until(page, "document.querySelector('.view-title')?.innerText.startsWith('Look at the data: ')")
    fold = page.locator(".view > summary")
    fold.click()
    wait_until(page, "document.querySelector('.view-counting').innerText === 'Counting … 12 %'")
    wait_until(page, "document.querySelector('.view-searched').innerText === 'Searched 34 % …'")
    assert page.locator(".view-counting [role=status]").inner_text() == "Counting …"  # said once, not at each percent
    tab(page, "Model")
    wait_until_quiet(page)
    asked.clear()
    tab(page, "Data")
    wait_here(page, lambda: all(any(f'"{name}"' in body for body in asked) for name in answers))
    fold.click()
    wait_until_quiet(page)
    for _ in range(3):
        fold.click()
    asked.clear()
    page.wait_for_timeout(2000)
    assert 0 < len([body for body in asked if '"figures"' in body]) <= 5  # one every half second


def test_figures_in_any_light_and_width_with_words_for_those_who_do_not_see_them(page, view):
    wait_until(page, f"!document.querySelector('.view-figures').hidden && {DRAWN}")
    for name, title in (("zipf", "How often each token"), ("lengths", "How long the documents"), ("scripts", "Which scripts")):
        figure = view.locator(f"[data-figure={name}]")
        plot = figure.locator(".view-plot")
        assert title in figure.locator("h4").inner_text() and plot.get_attribute("role") == "img"
        assert figure.locator("figcaption").inner_text() and title in plot.get_attribute("aria-label")
    label = view.locator("[data-figure=scripts] .view-plot").get_attribute("aria-label")
    assert "Latin" in label and "Cyrillic" in label and "%" in label
    plots = "[...document.querySelectorAll('#data-view .view-plot')]"
    drawn = page.evaluate(f"{plots}.map(plot => plot.data?.map(one => one.x.length))")
    assert drawn[0][0] > 30 and drawn[0][1] == 2 and len(drawn[1]) == len(drawn[2]) == 2 and drawn[3] == [2]
    assert page.evaluate(f"{plots}[0].data[0].hovertext.every(text => !/<(?!\\/?b>|br>)/.test(text))")

    # dark, and on a phone
    colour = "document.querySelector('[data-figure=zipf] .view-plot').data[0].line.color"
    light = page.evaluate(colour)
    page.evaluate("document.body.classList.toggle('dark')")
    wait_until(page, f"{colour} !== '{light}'")
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until_it_fits(page, 390)
    wait_until(page, "document.querySelector('[data-figure=zipf] .main-svg').clientWidth < 390")


def test_one_is_read_by_mouse_by_keyboard_and_by_chance(page, view):
    row = view.locator(".view-row").nth(3)
    assert MARKUP in row.inner_text() and row.locator("script, .view-excerpt b").count() == 0
    row.click()
    wait_until(page, "document.querySelector('.view-document').open")
    text = view.locator(".view-text")
    assert MARKUP in text.inner_text() and text.locator("script, b").count() == 0 and text.get_attribute("dir") == "auto"
    assert page.evaluate("window.ran") is None
    page.keyboard.press("Escape")
    wait_until(page, "document.activeElement.dataset.row === '3'")

    # by keyboard, and back to where it was
    view.locator(".view-row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('.view-document').open")
    assert view.locator("#view-document-title").inner_text() == "Document 2 of 301"
    assert page.evaluate("document.activeElement.className") == "view-text"
    page.keyboard.press("Escape")
    wait_until(page, "document.activeElement.dataset.row === '1'")

    # a random one, and others of the side that is shown
    view.locator(".view-side").select_option("val")
    wait_until(page, "[...document.querySelectorAll('.view-row')].every(row => row.querySelector('.view-side-val'))")
    view.get_by_role("button", name="Random document").click()
    wait_until(page, "document.querySelector('.view-document').open")
    title = view.locator("#view-document-title")
    for _ in range(3):
        before = title.inner_text()
        view.get_by_role("button", name="Another random one").click()
        wait_until(page, f"document.querySelector('#view-document-title').innerText !== '{before}'")
        assert view.locator(".view-about").inner_text().startswith("held out")
    view.get_by_role("button", name="Close").click()
    wait_until(page, "document.activeElement.className.includes('view-random')")


def test_searching_marks_what_is_found_and_the_latest_words_win(page, view):
    search = view.locator(".view-search")
    search.fill("the KING of")
    found(page, "Found in 75 of 301 documents.")
    assert {mark.lower() for mark in view.locator(".view-row mark").all_inner_texts()} == {"the king of"}
    search.press_sequentially("z", delay=0)
    search.fill("ВОЙНА")
    found(page, "Found in 34 of 301 documents.")
    assert set(view.locator(".view-row mark").all_inner_texts()) == {"Война"}
    view.get_by_role("button", name="Next page").click()
    wait_until(page, "document.querySelector('.view-range').innerText === '21–34 of 34'")
    wait_until(page, "document.activeElement === document.querySelector('.view-row')")
    assert view.locator(".view-row").count() == 14 and view.get_by_role("button", name="Next page").is_disabled()
    search.fill("no such words")
    found(page, "No document has “no such words”.")
    assert view.locator(".view-row").count() == 0
    search.fill("")
    found(page, "301 documents.")

    # a long one in parts
    view.locator(".view-search").fill("long text")
    found(page, "Found in 1 of 301 documents.")
    view.locator(".view-row").click()
    wait_until(page, "document.querySelector('.view-part').innerText === 'Part 1 of 3'")
    before = view.get_by_role("button", name="Previous part")
    assert before.is_disabled() and view.locator(".view-another").is_hidden()
    view.get_by_role("button", name="Next part").click()
    wait_until(page, "document.querySelector('.view-part').innerText === 'Part 2 of 3'")
    assert before.is_enabled() and view.locator(".view-text mark").count() == 6000
    assert view.locator(".view-document").evaluate("node => node.offsetHeight <= innerHeight")
