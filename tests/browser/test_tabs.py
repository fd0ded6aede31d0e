"""The Data, Playground and Runs tabs in a real browser: what they keep through a reload, say, and leave alone."""

from __future__ import annotations


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def wait_until(page, expression: str, seconds: int = 60) -> None:
    page.wait_for_function(expression, timeout=seconds * 1000)


def shows(selector: str, text: str) -> str:
    return f"document.querySelector('{selector}')?.innerText?.includes(`{text}`)"


# Data

def test_an_uploaded_file_and_its_settings_are_there_after_a_reload(page, tmp_path):
    """What the browser kept was once read only when the tab was opened: after the page had been filled in without it."""
    (tmp_path / "note.txt").write_text("A note of my own.\n" * 200, encoding="utf-8")
    tab(page, "Data")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "note.txt")
    wait_until(page, shows("#preview", "A note of my own."))
    page.get_by_label("Bytes", exact=True).check()
    wait_until(page, shows("#preview", "vocabulary: 257"))
    name = page.locator("#data-name").get_by_role("textbox")
    name.fill("diary")
    name.press("Tab")

    page.reload()
    tab(page, "Data")
    wait_until(page, shows("#preview", "A note of my own."))
    assert page.locator("#source input:checked").get_attribute("value") == "file"
    assert page.locator("#tokenizer input:checked").get_attribute("value") == "byte"
    assert name.input_value() == "diary" and "note" in page.locator("#upload").inner_text()


def test_a_name_is_typed_without_asking_the_server(page):
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    page.wait_for_timeout(1000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#data-name").get_by_role("textbox").press_sequentially("-2", delay=50)
    page.wait_for_timeout(1000)
    assert asked == []


def test_what_is_wrong_with_a_name_or_a_missing_file_is_said(page):
    tab(page, "Data")
    page.locator("#data-name").get_by_role("textbox").fill("a/b")
    page.locator("#prepare").click()
    wait_until(page, shows("body", "'a/b' cannot be the name of a data set"))
    page.get_by_label("Your own file", exact=True).check()
    wait_until(page, shows("#preview", "Choose a file first"))
    page.locator("#prepare").click()
    wait_until(page, "[...document.querySelectorAll('.toast-body, [data-testid=toast-body]')]"
                     ".some(toast => toast.innerText.includes('Choose a file first'))")


def test_progress_is_said_once_a_phase_and_cancelling_is_told_to_nobody_else(app, page, chromium):
    tab(page, "Data")
    wait_until(page, "!document.querySelector('#cancel-prepare')", 120)
    page.get_by_label("Python's source", exact=True).check()
    wait_until(page, shows("#preview", "documents"))
    page.get_by_label("Pieces of words (BPE)", exact=True).check()
    page.locator("#vocab-size input").fill("20000")
    page.locator("#vocab-size input").press("Tab")
    page.locator("#prepare").click()
    page.evaluate("""() => {
      window.kept = document.querySelector('#prepare-progress [role=status]');
      window.said = [];
      new MutationObserver(() => said.push(kept.innerText)).observe(kept, {subtree: true, childList: true});
    }""")
    page.locator("#cancel-prepare").click()
    wait_until(page, shows("#prepare-progress", "Cancelled: nothing was changed."))
    assert page.locator("#prepare-progress .problem").count() == 0
    assert page.evaluate("kept.isConnected && said.every((text, i) => text !== said[i - 1])")

    other = chromium.new_page()
    other.goto(app.address)
    tab(other, "Data")
    wait_until(other, shows("#preview", "characters"))
    assert "Cancelled" not in other.locator("#data-tab").inner_text()
    other.close()
