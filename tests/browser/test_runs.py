"""The Runs tab in a real browser: files out of a run and in again, and runs side by side."""

from __future__ import annotations

import zipfile

import pytest
from test_tabs import shows, tab, wait_until
from tiny_run import finished_run

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.runs.workspace import Workspace


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
    with page.expect_download(timeout=60_000) as download:
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


def test_the_menu_is_worked_by_keyboard(runs, rows, page):
    menu = row(rows, runs[1]).locator(".runs-menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.action") == "run_report"
    page.keyboard.press("Escape")
    assert not menu.evaluate("menu => menu.open")
    assert page.evaluate("document.activeElement.dataset.action") == "more"
    page.keyboard.press("Enter")
    other = row(rows, runs[0]).locator("summary")
    other.focus()
    assert not menu.evaluate("menu => menu.open")
