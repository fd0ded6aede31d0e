"""A twin is asked for in the Train tab, trains, and stands beside its run: the comparison follows it by itself."""

from __future__ import annotations

from tiny_run import finished_run
from waiting import shows, wait_until

ROW = "document.querySelector('#comparison .compare-results tbody tr:nth-child(2)')?.innerText"


def test_a_twin_is_trained_and_compared_while_it_learns(workspace, page):
    run = finished_run(workspace, "first", train__max_steps=400)
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, f"{shows('.live-shown strong', 'first')} && document.body.dataset.run === 'finished'")
    page.get_by_role("button", name="Train a twin").click()
    wait_until(page, shows("#twin-card dialog[open] .card-said", "Choose what is different."))
    page.get_by_role("radio", name="Another setting").check()
    page.locator("#twin-card .twin-other select").select_option(label="Key/value heads")
    page.get_by_label("Key/value heads: Its value").fill("3")
    wait_until(page, shows("#twin-card .card-problem", "heads cannot share"))
    assert page.get_by_role("button", name="Train the twin").is_disabled()
    page.get_by_role("radio", name="No residual connections").check()
    wait_until(page, shows("#twin-card .card-said", "It will be called “first, no residual”, and starts at once."))
    page.get_by_role("button", name="Train the twin").click()
    wait_until(page, shows("#comparison .compare-said:not([hidden])", "first, no residual begins to train"))
    wait_until(page, f"{ROW}?.includes('first, no residual')")
    assert page.get_by_role("tab", name="Runs").get_attribute("aria-selected") == "true"
    assert page.locator("#runs [data-action=tick]:checked").count() == 2
    wait_until(page, f"/\\t400\\t/.test({ROW}) && !/Training|Waiting/.test({ROW})")  # which nobody asked for again
    assert not page.locator("#comparison .compare-said").is_visible(), "it trains no more"
    assert "Residual connections\tyes\tno" in page.locator("#comparison .compare-settings tbody").inner_text()
