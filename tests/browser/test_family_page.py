"""Forks in a comparison: a list of lists, names as text, and lines that differ by more than colour."""

import json

import pytest
from tiny_run import finished_run, tiny_run, tiny_workspace
from waiting import wait_until, wait_until_it_fits

from gptlab.runs.workspace import Workspace

LONG = "<b>A name</b> that says everything there is to say of a run"


@pytest.fixture(scope="module")
def runs(app, tmp_path_factory, small_text):
    """Three generations, of which one was renamed, and a fork whose parent is gone."""
    made = tiny_workspace(tmp_path_factory.mktemp("made"), small_text)
    workspace = Workspace(app.workspace)
    (made.datasets / "tiny").rename(workspace.datasets / "tiny")
    first = finished_run(workspace, "first", train__max_steps=16)
    child = finished_run(workspace, "child", train__max_steps=16, train__max_learning_rate=3e-3)
    grandchild, orphan = tiny_run(workspace, "grandchild"), tiny_run(workspace, "orphan")
    for run, parent in ((child, first.id), (grandchild, child.id), (orphan, "../20260101-120000-gone")):
        (run.path / "parent.json").write_text(json.dumps({"run": parent, "step": 16}), encoding="utf-8")
    grandchild.relabel(name=LONG)
    return [first, child, grandchild, orphan]


def test_the_family_tree_of_the_runs_compared(runs, page):
    page.get_by_role("tab", name="Runs").click()
    for run in (runs[0], runs[1], runs[3]):
        page.locator(f"#runs tr[data-run='{run.id}'] input[type=checkbox]").check()
    page.locator("#runs [data-action=run_compare]").click()
    view = page.locator("#comparison .compare")
    wait_until(page, "document.querySelector('.compare-plot')?.data?.length")
    tree = view.locator(".compare-family")
    top = tree.locator(":scope > ul > li")
    assert top.count() == 2 and tree.locator("script, b b").count() == 0
    first = top.filter(has_text="first")
    assert first.locator(":scope > .compare-run").inner_text().endswith("first")
    child = first.locator(":scope > ul > li")
    assert child.count() == 1 and "from step 16 · finished" in child.inner_text() and "Learning rate 0.001 → 0.003" in child.inner_text()
    grandchild = child.locator(":scope > ul > li")
    assert LONG in grandchild.inner_text() and grandchild.locator("b").count() == 0, "not compared, and its name is text"
    assert "a run that is not here any more" in top.filter(has_text="gone").inner_text()
    letters = tree.locator(".compare-run > b")
    assert sorted(letters.all_inner_texts()) == ["A", "B", "C"]
    assert len({letters.nth(i).evaluate("node => getComputedStyle(node).color") for i in range(3)}) == 3
    drawn = page.evaluate("document.querySelector('.compare-plot').data.map(one => [one.name, one.line.dash, one.marker.symbol])")
    assert len({dash for _, dash, _ in drawn}) == len({symbol for *_, symbol in drawn}) == 3
    assert view.locator(".compare-lines svg line").count() == 3
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until_it_fits(page, 390)
