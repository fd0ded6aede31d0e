"""Steering in a real browser: a change made while it trains stands on the chart, a fork is on view, a command is copied."""

from __future__ import annotations

import shlex

import pytest
from tiny_run import finished_run, tiny_run
from waiting import comes_up, tab, wait_until, wait_until_it_fits

from gptlab.cli.arguments import parser
from gptlab.events import Status

ANNOTATIONS = "document.querySelector('#chart .js-plotly-plot')?.layout?.annotations?.map(one => one.text) ?? []"
SLOW = {"train__max_steps": 1_000_000, "train__batch_size": 64, "train__tokens_per_update": None}


@pytest.fixture(scope="module")
def finished(workspace):
    return finished_run(workspace, "parent", train__max_steps=24, train__checkpoint_every=8)


def shown(page, run):
    """Opens a run in the Train tab, and the panel."""
    tab(page, "Train")
    wait_until(page, "document.querySelector('.live-steer')")
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, "id => window.gptlab.shownRun() === id && !document.querySelector('.live-steer').hidden", arg=run.id)
    if page.locator(".live-steer").get_attribute("open") is None:
        page.locator(".live-steer summary").click()
    page.locator("[data-steer=action]").wait_for()


def said(page, text):
    wait_until(page, "text => document.querySelector('[data-steer=said]').textContent.includes(text)", arg=text)


def test_settings_are_changed_while_it_trains(workspace, page):
    run = tiny_run(workspace, "steered", **SLOW)
    shown(page, run)
    page.locator("[data-steer=action]").select_option("resume")  # it was made by hand, and waits for nobody
    page.locator("[data-steer=do]").click()
    wait_until(page, "document.body.dataset.run === 'running'")
    uses = page.locator("[data-is=uses]")  # of this machine
    try:
        assert uses.inner_text().startswith("On the processor: ") and "batches of 64" in uses.inner_text()
        wait_until(page, "[...document.querySelector('[data-steer=action]').options].some(one => one.value === 'pause')")
        page.locator("[data-steer=action]").select_option("set")
        page.get_by_label("Learning rate", exact=True).fill("0.0005")
        said(page, "Learning rate from 0.001 to 0.0005")
        page.get_by_role("button", name="Change one more").click()
        page.keyboard.press("e")  # the list has the keyboard: "Evaluate every"
        page.keyboard.press("Tab")
        page.keyboard.type("50")
        said(page, "Evaluate every from 8 to 50")
        page.keyboard.press("Enter")
        wait_until(page, f"({ANNOTATIONS}).some(text => /0\\.0005/.test(text))")
        wait_until(page, "document.querySelector('.steer-row input').placeholder === 'now 0.0005'")
        assert page.evaluate("document.activeElement.closest('.steer-row') !== null")  # the keyboard is where it was
        assert page.locator(".steer-row").count() == 1 and page.get_by_label("Learning rate", exact=True).input_value() == ""
    finally:
        page.locator("#stop").click()
    wait_until(page, "document.body.dataset.run === 'stopped'")
    assert not uses.is_visible()
    options = page.locator("[data-steer=action] option")
    wait_until(page, "[...document.querySelector('[data-steer=action]').options].some(one => one.value === 'extend')")
    assert "Pause" not in options.all_inner_texts()


def test_a_fork_with_another_rate_is_on_view(workspace, finished, page):
    other = tiny_run(workspace, "other")
    other.append(Status(step=0, time_seconds=0.0, state="finished"), Status(step=8, time_seconds=1.0, state="stopped"))
    shown(page, other)
    page.locator("[data-steer=action]").select_option("set")
    page.get_by_label("Learning rate", exact=True).fill("0.0005")
    said(page, "Learning rate from 0.001 to 0.0005")
    page.evaluate("id => { document.querySelector('[data-steer=do]').click(); window.gptlab.open(id); }", finished.id)
    page.get_by_text("other goes on with learning rate 0.0005").wait_for()

    shown(page, finished)  # and what was done to the other did not pull it back
    assert page.evaluate("window.gptlab.shownRun()") == finished.id
    page.locator("[data-steer=action]").select_option("fork")
    page.locator("[data-steer=from]").select_option("8")
    said(page, "by step 8; the optimizer starts afresh, because that checkpoint holds weights alone.")
    assert "weights only" in page.locator("[data-steer=from] option[value='8']").inner_text()
    page.get_by_label("Name of the new run").fill("no/name")
    said(page, "for example 'no-name'")
    page.get_by_label("Name of the new run").fill("branch")
    page.get_by_role("button", name="Change one more").click()
    page.get_by_label("Learning rate", exact=True).fill("0.002")
    said(page, "by step 8;")
    page.locator("[data-steer=do]").click()
    wait_until(page, "document.querySelector('#live [data-is=name]').textContent === 'branch'")
    wait_until(page, "document.body.dataset.run === 'finished'")
    run = next(run for run in workspace.list_runs() if run.name == "branch")
    assert run.config().train.max_learning_rate == 0.002 and run.parent() == {"run": finished.id, "step": 8}
    assert page.locator(".steer-row").count() <= 1 and page.locator("[data-steer=name]").input_value() == ""


def test_the_command_is_copied_also_on_a_phone_and_by_keyboard(finished, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_viewport_size({"width": 390, "height": 844})
    shown(page, finished)
    page.locator("[data-steer=action]").select_option("extend")
    said(page, "Choose what ends the run")
    assert not page.locator("[data-steer=same]").is_visible()
    page.locator("[data-steer=action]").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.type("20")
    said(page, "would end at once")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("48")
    said(page, "“Steps” from 24 to 48")
    page.locator("[data-steer=copy]").focus()
    with comes_up(page, "document.querySelector('[data-steer=copy]').textContent === 'Copied'"):
        page.keyboard.press("Enter")
    copied = page.evaluate("navigator.clipboard.readText()")
    options = parser().parse_args(shlex.split(copied)[3:])
    assert (options.run, options.settings) == (finished.id, [("train.max_steps", "48")])
    wait_until_it_fits(page, 390)
    assert finished.config().train.max_steps == 24  # nothing was done
