"""The Data tab in a real browser: a text is downloaded, looked at and prepared; files are uploaded, cleaned and prepared."""

from __future__ import annotations

import json

import pytest
from text_site import Site
from waiting import reload, shows, tab, wait_here, wait_until, wait_until_quiet

from gptlab.data.catalog import in_words
from gptlab.data.dataset import open_dataset

LICENCE = "*** END OF THE PROJECT GUTENBERG EBOOK A PLAY ***\nPlease read this licence.\n"
DATA_NAME = "document.querySelector('#data-name textarea, #data-name input').value"


@pytest.fixture(scope="module")
def site(small_text):
    running = Site((small_text + LICENCE).encode())
    yield running
    running.goes_on.set()
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def data_sets(stories, site, tmp_path_factory):
    """The app starts with a catalogue of two texts of `site`."""
    told = {"description": "A text to try.", "language": "English", "licence": "Public domain", "home": "https://example.org/",
            "cleaning": ["gutenberg"]}
    files = [{"address": site.address, "bytes": len(site.content)}]
    path = tmp_path_factory.mktemp("catalogue") / "catalog.json"
    path.write_text(json.dumps([{**told, "name": "play", "title": "A play", "files": files},
                                {**told, "name": "novel", "title": "A novel", "files": files}]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPTLAB_CATALOG", str(path))
        yield [stories]


@pytest.fixture
def listing(site):
    """Opens a page's list of texts to download."""
    site.asked.clear()

    def open_list(page):
        tab(page, "Data")
        page.get_by_label("Download a text", exact=True).check()
        wait_until(page, "document.querySelector('#catalogue li')?.offsetParent")
        return page.locator("#catalogue")

    yield open_list
    site.goes_on.set()
    site.status = 200


def test_a_text_is_downloaded_looked_at_and_prepared(app, page, browse, site, listing, small_text):
    site.goes_on.clear()
    texts = listing(page)
    wait_until(page, shows("#preview", "Choose a text in the list"))
    texts.get_by_role("radio", name="A play").check()
    wait_until(page, shows("#preview", "A play is not downloaded yet"))
    assert site.asked == [], "nothing is fetched before the click"
    link = texts.get_by_role("link", name="example.org").first
    assert (link.get_attribute("href"), link.get_attribute("rel")) == ("https://example.org/", "noopener noreferrer")

    texts.get_by_role("button", name="Download A play").click()
    how_far = shows("#catalogue", f" of {in_words(len(site.content))}")
    wait_until(page, how_far)
    wait_until(page, shows("#preview", "A play is being downloaded"))
    reload(page)
    tab(page, "Data")
    wait_until(page, how_far)
    other = browse(app.address)
    elsewhere = listing(other)
    wait_until(other, how_far)
    part, half = app.workspace / "downloads" / "play" / "play.txt.part", len(site.content) // 2
    wait_here(page, lambda: part.stat().st_size == half)
    elsewhere.get_by_role("button", name="Cancel the download of A play").click()
    wait_until(page, shows("#catalogue", "Cancelled. What came so far is kept"))
    wait_until(page, shows("#preview", "A play is not downloaded yet"))

    site.goes_on.set()
    texts.get_by_role("button", name="Download A play").click()
    wait_until(page, shows("#catalogue", "✓ downloaded"))
    wait_until(page, shows("#preview", small_text[:40].splitlines()[0]))
    assert site.asked[-1][1] == f"bytes={half}-"
    wait_until(page, shows("#preview", "Project Gutenberg's header and licence: 1 document changed"))
    wait_until(page, f"{DATA_NAME} === 'play'")
    page.locator("#prepare").click()
    wait_until(page, shows("#steps", "play"))
    wait_until(page, shows("#prepared .current", "play"))
    manifest = open_dataset(app.workspace / "datasets" / "play").manifest
    assert manifest["characters"] == len(small_text) and manifest["config"]["cleaning"] == ["gutenberg"]
    assert manifest["config"]["source"] == str(app.workspace / "downloads" / "play" / "play.txt")


def test_a_download_that_fails_says_why_beside_its_text(page, site, listing):
    site.status = 404
    texts = listing(page)
    texts.get_by_role("button", name="Download A novel").click()
    wait_until(page, shows("#catalogue", "A novel is no longer at 127.0.0.1 (HTTP 404): look for it on https://example.org/"))
    wait_until(page, shows("#preview", "A novel is not downloaded yet"))
    page.locator("#prepare").click()
    wait_until(page, "[...document.querySelectorAll('.toast-body, [data-testid=toast-body]')]"
                     ".some(toast => toast.innerText.includes('press Download beside it'))")


def test_files_are_uploaded_cleaned_looked_at_and_prepared(app, page, tmp_path, small_text):
    letters, table = tmp_path / "letters.txt", tmp_path / "table.csv"
    letters.write_text(small_text[:5000] + "Write to someone@example.org about it.\n", encoding="utf-8")
    rows = [f'"Row {i % 20} says that day {i % 20} was fine, and that the rain had gone."\n' for i in range(40)]
    table.write_text("said\n" + "".join(rows), encoding="utf-8")
    tab(page, "Data")
    page.locator("#upload input[type=file]").set_input_files([letters, table])
    wait_until(page, shows("#preview", "41 documents"))
    wait_until(page, shows("#preview", "Row 1 says"))
    wait_until(page, f"{DATA_NAME} === 'letters'")

    page.get_by_text("Clean it first", exact=True).click()
    for step, does in (("The same document twice", "20 documents left out"),
                       ("E-mail addresses, phone, card, bank and network numbers", "1 document changed")):
        page.get_by_label(step, exact=True).check()
        wait_until(page, shows("#preview", f"{step}: {does}"))
    wait_until(page, shows("#preview", "21 documents"))

    reload(page)  # both files and the steps are there again
    tab(page, "Data")
    wait_until(page, shows("#preview", "21 documents"))
    wait_until(page, shows("#upload", "table"))
    page.locator("#prepare").click()
    wait_until(page, shows("#prepared .current", "letters"))
    dataset = open_dataset(app.workspace / "datasets" / "letters")
    assert dataset.manifest["source"] == "letters.txt and 1 more" and dataset.manifest["documents"] == 21
    written = "".join(dataset.tokenizer.decode(list(map(int, ids))) for ids in (dataset.train, dataset.val))
    assert "someone@example.org" not in written and "Write to" in written and "Row 19 says" in written

    page.get_by_role("button", name="Remove this file").first.click()
    wait_until(page, shows("#preview", "20 documents"))


# a hand that is quicker than the page

CHOSEN = "document.querySelector('#source input:checked').value"
LOOKING = "document.querySelector('#preview [aria-busy=true]')"


def asks(page):
    """A context: returns once the page has asked for a look after what is done within, however quick the answer is."""
    return page.expect_request(lambda request: "queue/join" in request.url and '"number"' in (request.post_data or ""))


def wait_until_looked(page):
    """Returns once everything that was chosen is looked at."""
    wait_until_quiet(page)
    wait_until(page, f"!{LOOKING}")


@pytest.fixture
def table(page, tmp_path):
    """The page with a table of two columns that could be the text, large enough that each look at it takes a while."""
    rows = "".join(f"Headline {i} of all the headlines.,The text below headline {i} goes on for a good while longer.\n"
                   for i in range(8_000))
    (tmp_path / "news.csv").write_text("headline,body\n" + rows, encoding="utf-8")
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    with asks(page):
        page.locator("#upload input[type=file]").set_input_files(tmp_path / "news.csv")
    return page


def test_the_text_chosen_last_is_what_is_shown_however_slow_a_look_before_it(table):
    """The preview of a file came after that of the text chosen next, and stayed."""
    assert table.evaluate(CHOSEN) == "file"
    table.get_by_label("Arithmetic", exact=True).check()
    wait_until(table, shows("#preview", "="))
    wait_until_looked(table)
    assert "headline" not in table.locator("#preview").inner_text()
    assert table.evaluate(CHOSEN) == "arithmetic" and table.evaluate(DATA_NAME) == "arithmetic"

    table.get_by_label("Your own files", exact=True).check()
    wait_until(table, shows("#preview", "The text below headline 1 "))
    table.get_by_text("Clean it first", exact=True).click()
    with asks(table):
        table.get_by_label("Nearly the same document twice", exact=True).check()
    table.get_by_label("Stories", exact=True).check()
    wait_until(table, "!document.querySelector('#preview').innerText.includes('headline')")
    wait_until_looked(table)
    assert "headline" not in table.locator("#preview").inner_text() and table.evaluate(DATA_NAME) == "stories"


def test_a_column_that_was_chosen_is_not_put_back_by_a_look_that_began_before(table):
    wait_until(table, shows("#preview", "The text below headline 1 "))
    wait_until_looked(table)
    with asks(table):
        table.get_by_label("Bytes", exact=True).check()
    table.locator("#text-column input").click()
    table.get_by_role("option", name="headline").click()
    wait_until(table, shows("#preview .texts pre", "Headline 0 of all"))
    wait_until_looked(table)
    assert table.locator("#text-column input").input_value() == "headline"
    assert table.locator("#tokenizer input:checked").get_attribute("value") == "byte"


def test_a_second_choice_right_after_the_first_counts(page, listing):
    """It was passed over, and then the first one was chosen again by its late answer; in the list the last click was lost."""
    texts = listing(page)
    for quick in ("A play", "A novel", "A play"):
        texts.get_by_role("radio", name=quick).click()
    wait_until(page, f"{DATA_NAME} === 'play'")
    for quick in ("Stories", "Arithmetic"):
        page.get_by_label(quick, exact=True).click()
    wait_until(page, shows("#preview", "="))
    wait_until_looked(page)
    assert page.evaluate(f"[{CHOSEN}, {DATA_NAME}]") == ["arithmetic", "arithmetic"]
    listing(page)
    wait_until(page, f"{DATA_NAME} === 'play'")
    assert texts.get_by_role("radio", name="A play").is_checked()
