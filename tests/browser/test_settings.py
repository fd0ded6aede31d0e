"""The Data and Model tabs in a real browser: what they show follows what is chosen, survives a reload, and is quiet when idle."""

from __future__ import annotations

from waiting import reload, tab, wait_until, wait_until_quiet

PARAMETERS = "document.querySelector('#model-size b')?.innerText"
QUIET_SECONDS = 4


def set_number(page, box: str, value: str) -> None:
    page.locator(f"{box} input[type=number]").fill(value)
    page.keyboard.press("Tab")
    wait_until_quiet(page)  # leaving a box says once more what it holds


def test_an_idle_page_asks_next_to_nothing(page):
    """Two listeners of one event once kept each other going for ever, 30 requests a second (see lab.Page)."""
    reload(page)
    wait_until(page, "document.querySelector('#live [data-is=next]').innerText.includes('stories')")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(5):  # a slow machine is still opening the page in the first
        asked.clear()
        page.wait_for_timeout(QUIET_SECONDS * 1000)
        if len(asked) <= 3 * QUIET_SECONDS:
            return
    raise AssertionError(asked)


def test_settings_move_the_numbers_survive_a_reload_and_can_be_undone(page):
    tab(page, "Model")
    wait_until(page, f"{PARAMETERS}")
    before, layers = page.evaluate(PARAMETERS), page.locator("#n-layer input[type=number]").input_value()
    set_number(page, "#n-layer", "3")
    wait_until(page, f"{PARAMETERS} !== '{before}'")
    larger = page.evaluate(PARAMETERS)
    set_number(page, "#max-learning-rate", "0.00005")
    wait_until(page, "document.querySelector('#model-message')?.innerText?.includes('“Final learning rate”')")
    page.locator("#undo").click()
    wait_until(page, "document.querySelector('#model-message')?.innerText?.includes('1 setting changed')")

    reload(page)
    tab(page, "Model")
    wait_until(page, f"{PARAMETERS} === '{larger}'")
    assert page.locator("#n-layer input[type=number]").input_value() == "3"
    page.locator("#undo").click()
    wait_until(page, f"{PARAMETERS} === '{before}'")
    assert page.locator("#n-layer input[type=number]").input_value() == layers


def test_a_number_beyond_a_sliders_end_is_cut_in_the_model_too(page):
    """The slider showed what it had cut it to, and the model was as large as what had been typed."""
    tab(page, "Model")
    wait_until(page, f"{PARAMETERS}")
    page.get_by_text("Module tree").click()
    for box, typed, cut, built in (("#n-embd", "5000", "1024", "Linear(in_features=1024"), ("#n-embd", "0", "16", "Linear(in_features=16"),
                                   ("#n-layer", "500", "24", "(0-23): 24 x Block"), ("#n-layer", "0", "1", "(0): Block")):
        set_number(page, box, typed)
        assert page.locator(f"{box} input[type=number]").input_value() == cut
        wait_until(page, f"document.querySelector('.arch-tree').innerText.includes('{built}')")
        assert "setting" in page.locator("#model-message").inner_text()
    page.locator("#reset").click()
    wait_until(page, "document.querySelector('#reset').disabled")


def test_a_file_is_only_looked_at_until_it_is_prepared(page, tmp_path):
    tab(page, "Data")
    wait_until(page, "document.querySelector('#preview')?.innerText?.includes('characters')")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "notes.txt").write_text("A note about <b>bold</b> & ${alert(1)} {{value}} lamps.\n" * 200, encoding="utf-8")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "empty.txt")
    wait_until(page, "document.querySelector('#preview')?.innerText?.includes('empty.txt is empty')")
    page.locator("#upload button[aria-label='Clear']").click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "notes.txt")
    wait_until(page, "document.querySelector('#preview')?.innerText?.includes('<b>bold</b> & ${alert(1)} {{value}} lamps.')")
    assert "Small: expect memorising." in page.locator("#preview").inner_text()
    wait_until(page, "/stories\\s*✓/.test(document.querySelector('#steps')?.innerText)")
    page.locator("#prepare").click()
    wait_until(page, "/notes\\s*✓/.test(document.querySelector('#steps')?.innerText)")
