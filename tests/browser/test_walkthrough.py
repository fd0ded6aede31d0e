"""A first-time user's ten minutes, shortened: what the acceptance walk promises, in a real browser on the real app."""

from __future__ import annotations

import json
import zipfile

import pytest
from waiting import PATIENCE_SECONDS, reload, tab, wait_until, wait_until_it_fits, wait_until_quiet

from gptlab.events import Evaluation, Step
from gptlab.runs.rundir import RunDir

STEP = "document.querySelector('#chart .js-plotly-plot')?.data?.[0]?.x?.at(-1) ?? 0"  # how far the curve is drawn


@pytest.fixture(scope="module")
def data_sets():
    """None, as for a first-time user."""
    return []


def wait_for_text(page, selector: str, pattern: str, seconds: int = PATIENCE_SECONDS) -> None:
    wait_until(page, "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.innerText)", seconds,
               arg=[selector, pattern])


def wait_for_state(page, state: str) -> None:
    wait_for_text(page, "#live [data-is=state]", f"^{state}$")


def wait_for_curve(page, beyond: int) -> int:
    wait_until(page, f"({STEP}) > {beyond}", 2 * PATIENCE_SECONDS)
    return page.evaluate(STEP)


def newest_run(app) -> RunDir:
    return RunDir(max((app.workspace / "runs").iterdir(), key=lambda path: path.name))


def test_the_page_opens_on_train_with_the_stories_ready(page):
    wait_for_text(page, "#steps", r"stories\s*✓[\s\S]*first-minute\s*✓", 2 * PATIENCE_SECONDS)
    assert page.get_by_role("tab", name="Train", exact=True).get_attribute("aria-selected") == "true"
    wait_until(page, "document.querySelector('#chart')?.innerText.includes('pure guessing')")
    assert "best possible" in page.locator("#chart").inner_text()


def test_a_run_survives_refreshing_pausing_and_the_death_of_the_app(app, page, browse):
    wait_for_text(page, "#steps", r"stories\s*✓")
    tab(page, "Model")
    page.locator("#max-steps input").fill("200000")  # a fast machine would be through with the preset's before the walk is
    page.keyboard.press("Tab")
    wait_for_text(page, "#undo", "Steps")
    tab(page, "Train")
    page.locator("#start").click()
    wait_for_state(page, "Training")
    wait_for_curve(page, 3)
    wait_until(page, "document.querySelector('#samples .written')?.innerText.length > 20")

    reload(page)
    seen = wait_for_curve(page, 3)
    second = browse(app.address)
    wait_for_curve(second, seen - 1)
    shown = [one.locator("#live [data-is=name]").inner_text() for one in (page, second)]
    assert shown[0] == shown[1] != ""

    page.locator("#pause").click()
    wait_for_state(second, "Paused")
    page.locator("#resume").click()
    wait_for_state(page, "Training")
    wait_until(page, "document.querySelectorAll('#live tbody tr').length >= 2", 2 * PATIENCE_SECONDS)

    app.kill()
    app.start()
    page.goto(app.address)
    wait_for_state(page, "Interrupted")
    done = wait_for_curve(page, 3)
    page.locator("#resume").click()
    wait_for_state(page, "Training")
    wait_for_curve(page, done)
    page.locator("#stop").click()
    wait_for_state(page, "Stopped")
    wait_for_text(page, "#live [data-is=caption]", "Kept")

    events = newest_run(app).events()
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == list(range(1, len(steps) + 1)), "the curve has a gap or an overlap"
    evaluated = [event.step for event in events if isinstance(event, Evaluation)]
    assert len(evaluated) == len(set(evaluated)) >= 2


def test_the_model_writes_the_same_text_twice_from_the_same_seed(page):
    page.locator("#write").click()
    wait_until(page, "document.querySelector('#prompt textarea')?.value")  # filled in with the run's own
    wait_until_quiet(page)  # as the page opens and as the tab does
    texts = []
    for prompt in ("Tom was", "Mia was", "Tom was"):  # another one in between, so that the last cannot be the first left over
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#generate").click()
        wait_for_text(page, "#output", rf"{prompt}[\s\S]*(It reached the length|It ended by itself)")
        texts.append(page.locator("#output .written-text").inner_text())
    assert texts[0] == texts[2] != texts[1] and len(texts[0]) > 20


def test_a_text_of_ones_own_is_prepared_and_becomes_the_next_run(page, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("".join(f"On day {day} we walked {day % 7} miles, and rested by river {day % 5}.\n" for day in range(600)),
                     encoding="utf-8")
    wait_for_text(page, "#steps", r"stories\s*✓")
    tab(page, "Data")
    page.locator("#upload input[type=file]").set_input_files(notes)
    wait_for_text(page, "#preview", "On day 0 we walked")
    page.locator("#prepare").click()
    wait_for_text(page, "#steps", r"notes\s*✓")

    tab(page, "Train")
    wait_for_text(page, "#live [data-is=next]", "notes")


def test_runs_are_listed_downloaded_deleted_and_restored(app, page, tmp_path):
    tab(page, "Runs")
    row = page.locator("#runs tbody tr").first
    row.wait_for()
    assert "Stopped" in row.inner_text()
    row.locator("summary").click()
    with page.expect_download() as download:
        row.locator("[data-action=run_download]").click()
    download.value.save_as(tmp_path / "run.zip")
    names = zipfile.ZipFile(tmp_path / "run.zip").namelist()
    assert any(name.endswith("events.jsonl") for name in names) and any(name.endswith("model.safetensors") for name in names)

    row.locator("summary").click()
    row.locator("[data-action=run_delete]").click()
    page.locator("#runs .runs-trash summary").click()
    page.locator("#runs [data-action=run_restore]").first.click()
    row.wait_for()
    assert json.loads((newest_run(app).path / "config.json").read_text(encoding="utf-8"))["data"]["source"] == "stories"


def test_at_390_pixels_nothing_sticks_out(app, browse):
    page = browse(app.address, 390, 844)
    wait_for_text(page, "#steps", "stories")
    for name in ("Data", "Model", "Train", "Playground", "Runs"):
        tab(page, name)
        page.wait_for_timeout(700)
        wait_until_it_fits(page, 391)
