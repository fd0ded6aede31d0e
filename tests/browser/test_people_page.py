"""Several people on one app: a name asked for once, and a question before another's run is stopped or deleted."""

from __future__ import annotations

import pytest
from tiny_run import TINY
from waiting import shows, tab, wait_until

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import prepare
from gptlab.runs.workspace import Workspace, create_run


@pytest.fixture
def run(app, small_text, tmp_path):
    """Aisha's, which waits for nobody any more."""
    workspace, source = Workspace(app.workspace), tmp_path / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    name = workspace.free_dataset_name("tiny")
    return create_run(workspace, RunConfig().replace(TINY), prepare(DataConfig(source=str(source)), workspace.dataset_path(name)),
                      "first", owner="Aisha")


def delete(row):
    row.locator("summary").click()
    row.locator("[data-action=run_delete]").click()


def test_anothers_run_is_deleted_only_after_a_question(run, page):
    tab(page, "Runs")
    row = page.locator(f"#runs tbody tr[data-run='{run.id}']")
    dialog = page.locator("dialog.ask")
    delete(row)
    assert "This is Aisha's run: first." in dialog.inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Leave it alone"
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    delete(row)
    dialog.get_by_role("button", name="Leave it alone").click()
    dialog.wait_for(state="detached")
    assert run.path.exists() and row.is_visible()
    delete(row)
    dialog.get_by_role("button", name="Delete it all the same").click()
    wait_until(page, shows("#runs-message", "first is in the trash below"))
    assert not run.path.exists()


def test_ones_own_run_is_deleted_at_once_and_a_name_is_asked_for_once(run, page):
    asked = page.evaluate_handle("""() => {
      const asked = window.gptlab.ask('Who?', {yes: 'Me', no: 'No', field: ''});
      document.querySelector('dialog.ask input').value = ' Aisha ';
      return {asked};
    }""")
    page.keyboard.press("Enter")
    assert page.evaluate("async ({asked}) => (window.gptlab.who = await asked)", asked) == "Aisha"
    assert page.evaluate("window.gptlab.name()") == "", "an app of one person asks nobody"
    tab(page, "Runs")
    delete(page.locator(f"#runs tbody tr[data-run='{run.id}']"))
    wait_until(page, shows("#runs-message", "first is in the trash below"))
