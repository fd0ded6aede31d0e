"""The Data, Playground and Runs tabs in a real browser: what they keep through a reload, say, and leave alone."""

from __future__ import annotations

import pytest
from tiny_run import finished_run, tiny_run
from waiting import reload, shows, tab, wait_until, wait_until_quiet

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.runs.workspace import Workspace


# Data

KEPT = "localStorage.getItem('gptlab-text')"
DATA_NAME = "document.querySelector('#data-name textarea, #data-name input').value"


def test_an_uploaded_file_and_its_settings_are_there_after_a_reload(page, tmp_path):
    """What the browser kept was once read only when the tab was opened: after the page had been filled in without it."""
    (tmp_path / "note.txt").write_text("A note of my own.\n" * 200, encoding="utf-8")
    tab(page, "Data")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "note.txt")
    wait_until(page, shows("#preview", "A note of my own."))
    page.get_by_label("Bytes", exact=True).check()
    wait_until(page, shows("#preview", "vocabulary: 257"))
    name = page.locator("#data-name").get_by_role("textbox")
    before = page.evaluate(KEPT)
    name.fill("diary")
    name.press("Tab")
    wait_until(page, f"before => {KEPT} !== before", arg=before)

    reload(page)
    tab(page, "Data")
    wait_until(page, shows("#preview", "A note of my own."))
    assert page.locator("#source input:checked").get_attribute("value") == "file"
    assert page.locator("#tokenizer input:checked").get_attribute("value") == "byte"
    assert name.input_value() == "diary"
    wait_until(page, shows("#upload", "note"))


def test_a_name_is_typed_without_asking_the_server(page):
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    wait_until_quiet(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#data-name").get_by_role("textbox").press_sequentially("-2", delay=50)
    page.wait_for_timeout(1000)
    assert asked == [] and "-2" in page.evaluate(DATA_NAME)


def test_what_is_wrong_with_a_name_or_a_missing_file_is_said(page):
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    wait_until_quiet(page)
    page.locator("#data-name").get_by_role("textbox").fill("a/b")
    page.keyboard.press("Tab")
    page.locator("#prepare").click()
    wait_until(page, shows("body", "'a/b' cannot be the name of a data set"))
    page.get_by_label("Your own files", exact=True).check()
    wait_until(page, shows("#preview", "Choose a file first"))
    page.locator("#prepare").click()
    wait_until(page, "[...document.querySelectorAll('.toast-body, [data-testid=toast-body]')]"
                     ".some(toast => toast.innerText.includes('Choose a file first'))")


def test_progress_is_said_once_a_phase_and_cancelling_is_told_to_nobody_else(app, page, browse):
    tab(page, "Data")
    page.get_by_label("Python's source", exact=True).check()
    wait_until(page, f"{DATA_NAME} === 'python-source'")
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

    other = browse(app.address)
    tab(other, "Data")
    wait_until(other, shows("#prepared", "stories"))  # which comes with what there is to say of the last one
    assert "Cancelled" not in other.locator("#data-tab").inner_text()


# Playground

@pytest.fixture(scope="module")
def trained(app, small_text, tmp_path_factory):
    """Two trained runs in the app's workspace: "older", which the page does not show, and "younger", which it does."""
    workspace, source = Workspace(app.workspace), tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    return [finished_run(workspace, name, train__max_steps=16) for name in ("older", "younger")]


def chosen(page) -> dict:
    box = {name: page.locator(f"#{name} input").first for name in ("run", "checkpoint", "top-k")}
    return {**{name: found.input_value() for name, found in box.items()},
            "prompt": page.locator("#prompt textarea").input_value()}


def pick(page, dropdown: str, option: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=option).first.click()


def test_what_is_chosen_to_write_with_stays(trained, page):
    """It went back to the best checkpoint at every change of tab, and to nothing at all at a reload."""
    wait_until(page, shows("#live [data-is=name]", "younger"))
    page.locator("#write").click()
    wait_until(page, "document.querySelector('#run input')?.value.startsWith('younger')")
    page.locator("#prompt textarea").fill("Before")
    pick(page, "run", "older")
    wait_until(page, "document.querySelector('#prompt textarea').value === 'The cat'")  # with it come its checkpoints
    pick(page, "checkpoint", "Step 8")
    page.locator("#prompt textarea").fill("The birds")
    page.locator("#top-k input").fill("7")
    page.locator("#top-k input").press("Tab")
    mine = chosen(page)
    assert mine["run"].startswith("older") and mine["checkpoint"].startswith("Step 8") and mine["prompt"] == "The birds"
    for name in ("Data", "Playground"):
        tab(page, name)
        wait_until_quiet(page)
    assert chosen(page) == mine

    reload(page)
    tab(page, "Playground")
    wait_until(page, "document.querySelector('#run input')?.value")
    wait_until_quiet(page)
    assert chosen(page) == mine and mine["top-k"] == "7"
    page.locator("#generate").click()
    wait_until(page, shows("#output", "It "))
    assert page.locator("#output .prompt").inner_text() == "The birds"

    tab(page, "Train")
    page.locator("#write").click()
    wait_until(page, "document.querySelector('#run input')?.value.startsWith('younger')")
    wait_until_quiet(page)
    assert chosen(page)["run"].startswith("younger") and chosen(page)["checkpoint"].startswith("Best")


# Runs

def test_the_list_follows_while_it_is_seen_and_asks_nothing_unseen(app, trained, page):
    asked = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    for name in ("Data", "Model"):
        tab(page, name)
        wait_until_quiet(page)
    assert not [body for body in asked if '"news"' in body]
    tab(page, "Runs")
    wait_until(page, "document.querySelectorAll('#runs tbody tr').length >= 2")
    late = finished_run(Workspace(app.workspace), "late", train__max_steps=8)
    wait_until(page, f"document.querySelector('#runs tbody tr')?.dataset.run === '{late.id}'")
    tab(page, "Data")
    wait_until_quiet(page)
    asked.clear()
    page.wait_for_timeout(5000)
    assert not [body for body in asked if '"news"' in body]


def test_the_focus_goes_to_the_next_row_when_one_is_deleted(app, trained, page):
    for name in ("one", "two", "three"):
        tiny_run(Workspace(app.workspace), name)
    tab(page, "Runs")
    wait_until(page, "document.querySelectorAll('#runs tbody tr').length >= 5")
    page.evaluate("window.rows = [...document.querySelectorAll('#runs tbody tr')]")
    page.locator("#runs tbody tr").nth(1).locator("summary").click()
    page.locator("#runs tbody tr").nth(1).locator("[data-action=run_delete]").focus()
    page.keyboard.press("Enter")
    wait_until(page, "!rows[1].isConnected")
    assert page.evaluate("document.activeElement === rows[2].querySelector('summary')")
    assert page.evaluate("rows.every((row, i) => row.isConnected === (i !== 1))")
    wait_until(page, shows("#runs-message", "is in the trash below"))
