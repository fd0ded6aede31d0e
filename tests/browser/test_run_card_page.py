"""The dialog in which a run is named and written on: by keyboard, on a phone, and when what was typed is refused."""

from __future__ import annotations

import pytest
from tiny_run import TINY, finished_run
from waiting import shows, tab, wait_here, wait_until

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import prepare
from gptlab.runs.label import Label
from gptlab.runs.workspace import Workspace, create_run

EVIL = "<img src=x onerror=alert(1)> & \"layers\""
CARD = "document.querySelector('#run-card dialog')"
FOCUS = "document.activeElement.name || document.activeElement.dataset.do"


@pytest.fixture
def workspace(app, small_text, tmp_path):
    """With the data set "tiny"."""
    workspace = Workspace(app.workspace)
    if "tiny" not in workspace.dataset_names():
        (tmp_path / "tiny.txt").write_text(small_text[:6000], encoding="utf-8")
        prepare(DataConfig(source=str(tmp_path / "tiny.txt")), workspace.dataset_path("tiny"))
    return workspace


def look_at(page, run):
    """The run on view, and its button."""
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, f"{shows('.live-shown strong', run.name)} && !['none', 'running'].includes(document.body.dataset.run)")
    button = page.locator("[data-do=notes]")
    button.wait_for()
    return button


def test_a_run_is_named_and_written_on_by_keyboard_and_a_name_is_text(workspace, page):
    run = finished_run(workspace, "first")
    look_at(page, run).press("Enter")
    wait_until(page, f"{CARD}.open")
    assert page.evaluate(FOCUS) == "name" and page.get_by_label("Name", exact=True).get_attribute("placeholder") == "first"
    page.keyboard.type(EVIL)
    for text in ("Aisha", "week 3, small", "It memorises."):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.get_by_label("Name", exact=True).press("Enter")
    wait_until(page, f"!{CARD}.open && {shows('[data-is=predicted]', 'Predicted: It memorises.')}")
    assert page.evaluate(FOCUS) == "notes" and "Saved." in page.locator("#run-card .card-told").inner_text()
    assert run.label() == Label(name=EVIL, owner="Aisha", tags=("week 3", "small"), predicted="It memorises.")
    assert page.locator(".live-shown strong").inner_text() == EVIL

    page.locator("[data-do=notes]").press("Enter")
    wait_until(page, f"{CARD}.open")
    assert "This is Aisha's run." in page.get_by_role("dialog").inner_text() and EVIL in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    tab(page, "Playground")
    wait_until(page, f"document.querySelector('#run input')?.value.startsWith({EVIL!r})")
    tab(page, "Runs")
    wait_until(page, f"document.querySelector('#runs tbody').innerText.includes({EVIL!r})")
    assert page.locator("img[src=x]").count() == 0

    page.goto(page.url.split("?")[0] + f"?run={run.id}&view=watch")
    wait_until(page, shows("[data-is=predicted]", "It memorises."))
    assert not page.locator("[data-do=notes]").is_visible()


def test_what_is_refused_or_not_saved_yet_is_not_lost(workspace, page):
    run = finished_run(workspace, "second")
    page.set_viewport_size({"width": 390, "height": 844})
    look_at(page, run).click()
    wait_until(page, f"{CARD}.open")
    tags, saw = page.get_by_label("Tags"), page.get_by_label("I saw")
    tags.fill("a,b,c,d,e,f,g,h,i")
    saw.fill("It did.")
    page.get_by_role("button", name="Save").click()
    problem = page.get_by_role("dialog").get_by_role("alert")
    wait_until(page, shows(".card-problem", "9 tags are more than a run can have"))
    save, card = page.get_by_role("button", name="Save").bounding_box(), page.locator("#run-card dialog").bounding_box()
    assert save["y"] + save["height"] <= 844 and card["x"] >= 0 and card["x"] + card["width"] <= 390
    assert page.evaluate(f"{CARD}.scrollWidth <= {CARD}.clientWidth")

    page.keyboard.press("Escape")
    wait_until(page, shows(".card-problem", "not saved yet"))
    assert saw.input_value() == "It did." and run.label() == Label()
    tags.fill("a, b")
    assert problem.inner_text() == ""
    page.get_by_role("button", name="Save").click()
    wait_until(page, f"!{CARD}.open && {shows('[data-is=saw]', 'Saw: It did.')}")
    assert run.label() == Label(tags=("a", "b"), saw="It did.")

    page.evaluate("id => { window.gptlab.editLabel(id).then(saved => { window.answered = saved; }); }", run.id)
    wait_until(page, f"{CARD}.open")
    saw.fill("something else")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    wait_until(page, f"!{CARD}.open && window.answered === false")
    assert run.label().saw == "It did."


def test_what_is_typed_while_it_saves_is_not_lost(workspace, page):
    """The answer to the save closed the dialog over it."""
    run, held = finished_run(workspace, "third"), []
    page.route("**/gradio_api/**", lambda route: held.append(route) if not held and "at first" in (
        route.request.post_data or "") else route.continue_())
    look_at(page, run).click()
    wait_until(page, f"{CARD}.open")
    page.get_by_label("Note", exact=True).fill("at first")
    page.get_by_role("button", name="Save").click()
    wait_until(page, shows(".card-save", "Saving"))
    page.get_by_label("Note", exact=True).fill("at first, then more")
    wait_here(page, lambda: held)
    held[0].continue_()
    wait_until(page, shows(".card-problem", "Saved, but not what you changed since"))
    assert page.evaluate(f"{CARD}.open") and run.label().note == "at first"
    page.get_by_role("button", name="Save").click()
    wait_until(page, f"!{CARD}.open")
    assert run.label() == Label(note="at first, then more")


def test_who_watches_a_run_train_is_asked_what_to_expect(workspace, page):
    config = RunConfig().replace({**TINY, "train.max_steps": 1_000_000})
    run = create_run(workspace, config, workspace.open_dataset("tiny"), "long")
    button = look_at(page, run)
    assert button.inner_text() == "Notes"  # it waits for nobody
    page.locator("#resume").click()
    wait_until(page, shows("[data-do=notes]", "What do you expect?"))
    button.click()
    wait_until(page, f"{CARD}.open && document.activeElement.name === 'predicted'")
    page.keyboard.type("Nothing much.")
    page.get_by_role("button", name="Save").click()
    wait_until(page, f"{shows('[data-is=predicted]', 'Nothing much.')} && {shows('[data-do=notes]', 'Notes')}")
    page.locator("#stop").click()
    wait_until(page, "document.body.dataset.run === 'stopped'")


def test_a_run_that_is_gone_is_said_in_the_dialog(page):
    page.evaluate("() => { window.gptlab.editLabel('gone'); }")
    wait_until(page, shows(".card-problem", "That run is not there any more"))
    assert page.get_by_role("button", name="Save").is_disabled()
    page.keyboard.press("Escape")
    wait_until(page, f"!{CARD}.open")
