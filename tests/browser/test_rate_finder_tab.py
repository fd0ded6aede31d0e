"""Finding a learning rate in a real browser, by keyboard: cancelled, found, used, and still there after a reload."""

from __future__ import annotations

from test_settings import set_number
from waiting import reload, shows, tab, wait_until, wait_until_it_fits

DRAWN = "document.querySelector('.rate-plot').layout?.annotations?.map(one => one.text.replace(/(<[^>]+>)+/g, ' ')).join()"


def press(page, button: str, keeps: str) -> None:
    """Presses Enter on a button; `keeps`: what has the keyboard afterwards."""
    page.locator(button).focus()
    page.keyboard.press("Enter")
    wait_until(page, f"document.activeElement.id === '{keeps}'")


def test_a_learning_rate_is_found_and_used_by_keyboard(page):
    tab(page, "Model")
    page.locator("#find-rate").wait_for()
    for box, value in (("#context-length", "32"), ("#n-layer", "1"), ("#n-embd", "64")):
        set_number(page, box, value)
    press(page, "#find-rate", keeps="cancel-rate")
    press(page, "#cancel-rate", keeps="find-rate")
    wait_until(page, shows(".rate-problem", "Cancelled: nothing was changed."))

    press(page, "#find-rate", keeps="cancel-rate")
    wait_until(page, "document.activeElement.id === 'use-rate'")
    wait_until(page, f"{DRAWN}?.includes('set now')")
    found = page.locator("#use-rate").inner_text().removeprefix("Use ")
    assert f"Suggested: {found}." in page.locator(".rate-told").inner_text()
    assert f"suggested {found}" in page.evaluate(DRAWN)
    press(page, "#use-rate", keeps="use-rate")
    wait_until(page, f"{DRAWN} === 'suggested, and set {found} '")
    assert page.locator("#max-learning-rate input").input_value() == found
    assert page.locator("#undo").inner_text() == "Undo: Learning rate"
    assert "find-rate --dataset stories" in page.locator(".rate-command code").text_content()

    page.set_viewport_size({"width": 390, "height": 844})
    reload(page)
    tab(page, "Model")
    wait_until(page, f"{DRAWN} === 'suggested, and set {found} '")
    wait_until_it_fits(page, 390)
