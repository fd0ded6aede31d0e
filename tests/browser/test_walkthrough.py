"""A first-time user's ten minutes, shortened: what the acceptance walk promises, in a real browser on the real app."""

from __future__ import annotations

import json
import zipfile

from gptlab.events import Evaluation, Step
from gptlab.runs.rundir import RunDir

POINTS = "document.querySelector('#chart .js-plotly-plot')?.data?.[0]?.x?.length ?? 0"
SECONDS = 1000


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def wait_for_text(page, selector: str, pattern: str, seconds: int = 60) -> None:
    page.wait_for_function("([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.innerText)",
                           arg=[selector, pattern], timeout=seconds * SECONDS)


def wait_for_state(page, state: str, seconds: int = 60) -> None:
    wait_for_text(page, "#live [data-is=state]", f"^{state}$", seconds)


def wait_for_points(page, more_than: int, seconds: int = 90) -> int:
    page.wait_for_function(f"{POINTS} > {more_than}", timeout=seconds * SECONDS)
    return page.evaluate(POINTS)


def newest_run(app) -> RunDir:
    return RunDir(max((app.workspace / "runs").iterdir(), key=lambda path: path.name))


def test_the_page_opens_on_train_with_the_stories_ready(page):
    wait_for_text(page, "#steps", r"stories\s*✓[\s\S]*first-minute\s*✓")
    assert page.get_by_role("tab", name="Train", exact=True).get_attribute("aria-selected") == "true"
    page.wait_for_function("document.querySelector('#chart')?.innerText.includes('pure guessing')")
    assert "best possible" in page.locator("#chart").inner_text()


def test_a_run_survives_refreshing_pausing_and_the_death_of_the_app(app, page, chromium):
    wait_for_text(page, "#steps", r"stories\s*✓")
    page.locator("#start").click()
    wait_for_state(page, "Training")
    wait_for_points(page, 3)
    page.wait_for_function("document.querySelector('#samples .written')?.innerText.length > 20")

    page.reload()
    seen = wait_for_points(page, 3)
    second = chromium.new_page()
    second.goto(app.address)
    wait_for_points(second, seen - 1)
    shown = [one.locator("#live [data-is=name]").inner_text() for one in (page, second)]
    assert shown[0] == shown[1] != ""

    page.locator("#pause").click()
    wait_for_state(second, "Paused")
    second.close()
    page.locator("#resume").click()
    wait_for_state(page, "Training")
    page.wait_for_function("[...document.querySelectorAll('#live tbody tr')].length >= 2", timeout=120 * SECONDS)

    app.kill()
    app.start()
    page.goto(app.address)
    wait_for_state(page, "Interrupted")
    done = wait_for_points(page, 3)
    page.locator("#resume").click()
    wait_for_state(page, "Training")
    wait_for_points(page, done)
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
    page.wait_for_function("document.querySelector('#prompt textarea')?.value")  # filled in with the run's own
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
    with page.expect_download(timeout=60 * SECONDS) as download:
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


def test_at_390_pixels_nothing_sticks_out(app, chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(app.address)
    wait_for_text(page, "#steps", "stories")
    for name in ("Data", "Model", "Train", "Playground", "Runs"):
        tab(page, name)
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= 391, name
    context.close()
