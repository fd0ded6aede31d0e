"""The Runs tab in a real browser: files out of a run and in again, and runs side by side."""

from __future__ import annotations

import zipfile

import pytest
from tiny_run import TINY, finished_run
from waiting import shows, tab, wait_until, wait_until_it_fits

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import prepare
from gptlab.events import Sample
from gptlab.exchange.bundle import write_bundle
from gptlab.runs import worker
from gptlab.runs.workspace import Workspace, create_run


@pytest.fixture(scope="module")
def runs(app, small_text, tmp_path_factory):
    """Two trained runs that differ in one setting."""
    workspace, source = Workspace(app.workspace), tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    return [finished_run(workspace, name, train__max_steps=24, train__max_learning_rate=rate)
            for name, rate in (("slow", 1e-3), ("quick", 4e-3))]


@pytest.fixture
def rows(runs, page):
    """The table, on view."""
    tab(page, "Runs")
    wait_until(page, "document.querySelectorAll('#runs tbody tr').length >= 2")
    return page.locator("#runs tbody tr")


def row(rows, run):
    return rows.and_(rows.page.locator(f"[data-run='{run.id}']"))


def chosen_file(page, one, action, folder):
    """Opens a run's menu, takes an entry, and saves what comes."""
    one.locator("summary").click()
    with page.expect_download() as download:
        one.locator(f".runs-menu [data-action={action}]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_files_go_out_and_a_bundle_comes_in(app, runs, rows, page, tmp_path):
    one = row(rows, runs[0])
    report = chosen_file(page, one, "run_report", tmp_path)
    assert report.name == f"{runs[0].id}-report.html" and "slow" in report.read_text(encoding="utf-8")
    wait_until(page, shows("#runs-message", "The report on slow is being downloaded"))
    numbers = chosen_file(page, one, "run_evaluations", tmp_path)
    assert numbers.name.endswith("-evaluations.csv") and numbers.read_text(encoding="utf-8").startswith("step,")
    bundle = chosen_file(page, one, "run_bundle", tmp_path)
    assert "datasets/tiny/train.bin" in zipfile.ZipFile(bundle).namelist()

    before = rows.count()
    with page.expect_file_chooser() as chooser:
        page.locator("#import-run").click()
    chooser.value.set_files(bundle)
    wait_until(page, shows("#runs-message", "Its data set was here already: tiny."))
    wait_until(page, f"document.querySelectorAll('#runs tbody tr').length === {before + 1}")
    assert Workspace(app.workspace).dataset_names().count("tiny") == 1


def test_a_bundle_from_elsewhere_brings_data_that_the_data_tab_lists(rows, page, small_text, tmp_path):
    elsewhere, source = Workspace(tmp_path / "elsewhere"), tmp_path / "lesson.txt"
    source.write_text(small_text[6000:], encoding="utf-8")
    dataset = prepare(DataConfig(source=str(source)), elsewhere.datasets / "lesson")
    config = RunConfig().replace({**TINY, "train.max_steps": 8})
    run = create_run(elsewhere, config, dataset, "handed-in")
    assert worker.run(run.path) == "finished"
    tab(page, "Data")
    wait_until(page, shows("#data-tab .prepared", "tiny"))
    tab(page, "Runs")
    with page.expect_file_chooser() as chooser:
        page.locator("#import-run").click()
    chooser.value.set_files(write_bundle(elsewhere, run, tmp_path / "lesson.zip"))
    wait_until(page, shows("#runs-message", "handed-in was added, and its data set as lesson."))
    tab(page, "Data")
    wait_until(page, shows("#data-tab .prepared", "lesson"))


def test_a_new_run_with_the_settings_of_an_old_one_shows_them_on_the_model_tab(runs, rows, page):
    """The Model tab's widgets once kept what they showed, and the next edit there undid what another tab had set."""
    def again(run):
        row(rows, run).locator("summary").click()
        row(rows, run).locator("[data-action=run_again]").click()

    def holds(setting, value):
        wait_until(page, f"document.querySelector('#{setting} input[type=number]')?.value === '{value}'")

    again(runs[0])
    holds("n-layer", 1)
    holds("max-learning-rate", 0.001)
    page.locator("#max-steps input").fill("25")
    page.keyboard.press("Tab")
    wait_until(page, "document.querySelector('#undo').textContent.includes('Steps')")
    tab(page, "Train")
    wait_until(page, shows("#live [data-is=next]", "tiny"))
    tab(page, "Runs")
    again(runs[1])
    holds("max-learning-rate", 0.004)
    holds("max-steps", 24)
    page.locator("#batch-size input[type=number]").fill("9")
    page.keyboard.press("Tab")
    wait_until(page, "document.querySelector('#undo').textContent.includes('Batch')")
    assert page.locator("#max-learning-rate input").input_value() == "0.004"
    assert page.locator("#n-layer input[type=number]").input_value() == "1"


def test_the_menu_is_worked_by_keyboard(runs, rows, page):
    menu = row(rows, runs[1]).locator(".runs-menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.action") == "run_label"
    page.keyboard.press("Escape")
    assert not menu.evaluate("menu => menu.open")
    assert page.evaluate("document.activeElement.dataset.action") == "more"
    page.keyboard.press("Enter")
    other = row(rows, runs[0]).locator("summary")
    other.focus()
    assert not menu.evaluate("menu => menu.open")


# side by side

CURVES = "document.querySelector('.compare-plot').data"


def compare(rows, runs, page):
    for run in runs:
        row(rows, run).locator("[data-action=tick]").check()
    page.locator("#runs [data-action=run_compare]").click()
    wait_until(page, f"{CURVES}?.length")


def test_two_runs_are_compared_and_the_report_on_both_is_saved(runs, rows, page, tmp_path):
    button = page.locator("#runs [data-action=run_compare]")
    assert button.is_disabled() and "Tick 2 to 8 runs" in page.locator("#runs-tally").inner_text()
    row(rows, runs[0]).get_by_label("Compare: slow").check()
    assert button.is_disabled() and "tick another one" in page.locator("#runs-tally").inner_text()
    compare(rows, runs, page)

    view = page.locator("#comparison")
    assert page.evaluate("document.activeElement.id") == "compare-title"
    assert view.locator(".compare-results tbody tr").all_inner_texts()[0].startswith("A quick")  # as in the table
    assert view.locator(".compare-results .best").count() >= 3
    assert view.locator(".compare-settings tbody tr").count() == 1 and "Learning rate" in view.inner_text()
    assert page.evaluate(f"{CURVES}.map(line => line.name + ' ' + line.line.dash)") == ["A solid", "A solid", "B dash", "B dash"]
    assert page.evaluate(f"Math.max(...{CURVES}[1].x)") == 24
    view.locator(".compare-axis").select_option("tokens")
    assert page.evaluate(f"Math.max(...{CURVES}[1].x)") == 24 * 256
    view.locator(".compare-quantity").select_option("bits")
    assert page.evaluate(f"{CURVES}.length") == 2
    assert view.locator(".compare-text").count() == 2 and "The cat" in view.locator(".compare-text").first.inner_text()

    with page.expect_download() as download:
        view.locator(".compare-report").click()
    download.value.save_as(tmp_path / "report.html")
    assert download.value.suggested_filename == "quick-and-slow-report.html"
    assert "quick and slow" in (tmp_path / "report.html").read_text(encoding="utf-8")

    light = page.evaluate(f"{CURVES}[0].line.color")
    page.evaluate("document.body.classList.toggle('dark')")
    wait_until(page, f"{CURVES}[0].line.color !== '{light}'")
    view.locator(".compare-close").click()
    assert not view.locator(".compare").is_visible()
    button.click()  # the same ones once more
    wait_until(page, "document.querySelector('.compare').offsetHeight > 0")


def test_what_runs_write_is_text_and_fits_a_phone(app, runs, rows, page):
    markup = "<img src=x onerror='window.hacked=1'> ${window.hacked=2} {{value}}"
    copies = []
    for name in ("first", "second"):
        run = finished_run(Workspace(app.workspace), name, train__max_steps=8)
        run.append(Sample(step=8, time_seconds=1.0, epoch=1.0, sample_id="x", prompt=markup, text=markup * 9, token_ids=[],
                          logprobs=[], done=True))
        copies.append(run)
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(page, f"document.querySelector('#runs [data-run=\"{copies[1].id}\"]')")
    compare(rows, copies, page)
    page.locator(".compare-prompt").select_option("1")
    assert page.locator(".compare-text p").first.inner_text() == markup * 10
    assert page.evaluate("window.hacked") is None and page.locator("#comparison img").count() == 0
    wait_until_it_fits(page, 391)
