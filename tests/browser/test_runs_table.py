"""The table of runs in a real browser: sorted, searched, archived and named, by mouse and keyboard, wide and on a phone."""

from __future__ import annotations

import pytest
from tiny_run import tiny_run
from waiting import shows, tab, wait_here, wait_until, wait_until_it_fits

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Evaluation, Status
from gptlab.runs import archive
from gptlab.runs.workspace import Workspace

NAMES = "[...document.querySelectorAll('#runs tbody tr th button')].map(button => button.innerText)"


@pytest.fixture(scope="module")
def runs(app, small_text, tmp_path_factory):
    """Four runs by name, in the order in which they were made as their ids say; "empty" has measured nothing."""
    workspace, source = Workspace(app.workspace), tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    found = {}
    for name, layers, loss in (("a-wide", 1, 2.5), ("b-deep", 3, 1.5), ("c-empty", 2, None), ("d-10", 2, 10.5)):
        run = found[name] = tiny_run(workspace, name, model__n_layer=layers)
        if loss is not None:
            run.append(Evaluation(step=40, time_seconds=9.0, epoch=1.0, train_loss=2.0, val_loss=loss, val_perplexity=12.2,
                                  val_bits_per_byte=13 - loss))
        run.append(Status(step=40, time_seconds=9.5, state="finished"))
    return found


@pytest.fixture
def table(runs, page):
    """The table, on view, as it was at first."""
    for run in runs.values():
        run.relabel(name="", tags=(), owner="", note="", archived=False)
    tab(page, "Runs")
    wait_until(page, "document.querySelectorAll('#runs tbody tr').length >= 4")
    return page.locator("#runs")


def names(page) -> str:
    """The runs in the order of the table, each by its first letter."""
    return "".join(name[0] for name in page.evaluate(NAMES))


def test_headings_sort_and_what_has_no_number_stands_last(table, page):
    newest = names(page)
    heads = table.locator("thead th")
    assert table.locator("[aria-sort]").count() == 0 and page.locator(".runs-by").input_value() == "made"
    loss = heads.get_by_role("button", name="Best loss on unseen text")
    loss.focus()
    page.keyboard.press("Enter")
    assert names(page) == "badc" and page.evaluate("document.activeElement.innerText").startswith("Best loss")
    page.keyboard.press("Enter")
    assert names(page) == "dabc"
    assert page.evaluate("[...document.querySelectorAll('#runs [aria-sort]')].map(head => [head.innerText, head.ariaSort])") == [
        ["Best loss on unseen text", "descending"]]
    assert "compares all runs" in page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText")
    heads.get_by_role("button", name="Bits per byte").click()
    assert names(page) == "dabc" and page.locator(".runs-by").input_value() == "bits"
    heads.get_by_role("button", name="Model").click()
    assert names(page)[0] == "a" and names(page)[-1] == "b"
    page.locator(".runs-by").select_option("made")
    assert names(page) == newest and table.locator("[aria-sort]").count() == 0
    page.locator(".runs-turn").click()
    assert names(page) == newest[::-1] and "oldest or A first" in page.locator(".runs-turn").get_attribute("aria-label")


def test_a_search_finds_what_people_said_and_stays_while_the_list_follows(runs, table, page):
    runs["a-wide"].relabel(owner="Aisha", tags=["lesson 3"])
    runs["b-deep"].relabel(note="<b>Forgets</b> rhymes.\nLesson 3.")
    wait_until(page, shows("#runs", "Forgets"))
    page.locator("#runs tbody [data-action=tick]").first.check()
    page.locator("#runs tbody [data-action=tick]").nth(1).check()
    search, found = page.locator(".runs-search"), page.locator(".runs-found")
    search.fill("LESSON 3")
    assert sorted(names(page)) == ["a", "b"] and found.inner_text() == "Found: 2 of 4 runs."
    assert found.get_attribute("role") == "status"
    assert page.locator("#runs-tally").inner_text() == "2 runs are ticked. Not in the list below: 2."
    assert page.locator("#runs [data-action=run_compare]").is_enabled()
    page.locator(".runs-by").select_option("name")
    page.locator(".runs-by").focus()
    runs["d-10"].relabel(tags=["Lesson 3b"])
    wait_until(page, shows("#runs", "Lesson 3b"))
    assert names(page) == "abd" and found.inner_text() == "Found: 3 of 4 runs."
    assert page.evaluate("document.activeElement.className") == "runs-by"
    search.fill("lesson nobody")
    assert "No run has that" in found.inner_text() and not table.locator("table").is_visible()
    page.locator(".runs-clear").click()
    assert names(page) == "abcd" and found.inner_text() == ""
    assert page.evaluate("document.activeElement.className") == "runs-search"
    assert table.locator("tbody :checked").count() == 2 and table.locator("tbody b").count() == 0


def test_a_run_goes_into_the_archive_and_back_by_keyboard(runs, table, page):
    row = table.locator(f"tr[data-run='{runs['b-deep'].id}']")

    def archive():
        row.locator("summary").focus()
        page.keyboard.press("Enter")
        for _ in range(row.locator("button").count()):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.action") == "run_archive":
                break
        page.keyboard.press("Enter")

    archive()
    wait_until(page, shows("#runs-message", "b-deep is in the archive"))
    wait_until(page, f"!document.querySelector('#runs tr[data-run=\"{runs['b-deep'].id}\"]')")
    assert runs["b-deep"].label().archived and page.evaluate("document.activeElement.dataset.action") == "more"
    show = page.get_by_label("Show archived (1)")
    show.check()
    assert "in the archive" in row.inner_text()
    archive()
    wait_until(page, shows("#runs-message", "b-deep is out of the archive"))
    wait_until(page, "!document.querySelector('.runs-archive').offsetHeight")
    assert not runs["b-deep"].label().archived and row.count() == 1
    assert page.evaluate("document.activeElement.closest('tr').dataset.run") == runs["b-deep"].id


def test_a_run_is_named_from_its_menu(runs, table, page):
    row = table.locator(f"tr[data-run='{runs['c-empty'].id}']")
    row.locator("summary").click()
    row.get_by_role("button", name="Name, tags and notes").click()
    page.locator(".run-card [name=name]").fill("<img src=x onerror='window.hacked=1'>")
    page.locator("#run-card .card-save").click()
    wait_until(page, "document.querySelector('#runs').innerText.includes('<img src=x')")
    assert page.evaluate("window.hacked") is None and table.locator("img").count() == 0
    assert row.locator("summary").evaluate("node => node === document.activeElement")


def test_what_is_in_the_trash_is_deleted_for_good_only_after_a_question(app, runs, table, page):
    run = tiny_run(Workspace(app.workspace), "mistake")
    row, trash = table.locator(f"tr[data-run='{run.id}']"), table.locator(f"li[data-run='{run.id}']")
    row.locator("summary").click()
    row.locator("[data-action=run_delete]").click()
    table.locator(".runs-trash summary").click()
    dialog = page.locator("dialog.ask")
    trash.locator("[data-action=run_erase]").click()
    assert "Delete mistake for good?" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert (app.workspace / "trash" / run.id).exists()
    trash.locator("[data-action=run_erase]").click()
    dialog.get_by_role("button", name="Delete for good").click()
    wait_until(page, shows("#runs-message", "mistake was deleted for good."))
    trash.wait_for(state="detached")
    assert not (app.workspace / "trash" / run.id).exists()


def test_a_quick_hand_and_a_late_answer(app, runs, table, page):
    """Of two runs restored in a moment one stayed in the trash, and a list asked for before a run was deleted showed it again."""
    workspace = Workspace(app.workspace)
    two = [tiny_run(workspace, name) for name in ("mistake-1", "mistake-2")]
    here = f"{[run.id for run in two]!r}.filter(id => document.querySelector(`#runs tr[data-run='${{id}}']`)).length"
    for run in two:
        archive.move_to_trash(workspace, run)
    wait_until(page, "document.querySelectorAll('#runs li[data-run] [data-action=run_restore]').length === 2")
    page.evaluate("document.querySelectorAll('#runs [data-action=run_restore]').forEach(button => button.click())")
    wait_until(page, f"{here} === 2")

    held = []

    def hold(route):  # the first list that tells of the note
        if held or '"news"' not in (route.request.post_data or ""):
            route.continue_()
            return
        answer = route.fetch()
        if two[0].id in answer.text():
            held.append((route, answer))
        else:
            route.fulfill(response=answer)

    page.route("**/component_server**", hold)
    two[0].relabel(note="a note")
    wait_here(page, lambda: held)
    for run in two:
        page.evaluate("id => document.querySelector(`#runs tr[data-run='${id}'] [data-action=run_delete]`).click()", run.id)
    wait_until(page, f"{here} === 0")
    table.evaluate("""(table, rows) => {
      new MutationObserver(() => { window.back ||= table.querySelectorAll('tbody tr').length > rows; })
        .observe(table, {childList: true, subtree: true});
    }""", len(runs))
    with page.expect_response("**/component_server**"):
        held[0][0].fulfill(response=held[0][1])
    page.wait_for_timeout(200)
    assert page.evaluate("window.back") is None
    for run in two:
        archive.delete_from_trash(workspace, run.id)


def test_the_row_of_a_run_that_trains_follows_under_a_still_focus(app, runs, table, page):
    """Each answer once made the row anew: who had the focus in it heard the same button again every few seconds."""
    run = tiny_run(Workspace(app.workspace), "long", train__max_steps=1_000_000)
    row = f"document.querySelector('#runs tr[data-run=\"{run.id}\"]')"
    wait_until(page, f"{row}?.querySelector('[data-action=run_resume]')")
    page.evaluate(f"{row}.querySelector('[data-action=run_resume]').click()")
    wait_until(page, shows("#live [data-is=name]", "long"))
    tab(page, "Runs")
    wait_until(page, f"{row}?.innerText.includes('Training')")
    page.locator(".runs-turn").click()  # the newest comes last, where there is room above it
    more = table.locator(f"tr[data-run='{run.id}'] summary")
    more.focus()
    page.evaluate("document.activeElement.addEventListener('focus', () => { window.again = true; })")
    steps = f"{row}.querySelector('[data-key=step]').innerText"
    before = page.evaluate(steps)
    wait_until(page, f"{steps} !== {before!r}")
    assert more.evaluate("node => node === document.activeElement") and page.evaluate("window.again") is None
    page.set_viewport_size({"width": 1440, "height": 600})
    more.evaluate("node => node.scrollIntoView({block: 'end'})")
    more.click()
    wait_until(page, f"{row}.querySelector('.runs-menu .up')")  # no room below; and there it stays under a still focus
    page.keyboard.press("Tab")
    page.evaluate("window.focused = document.activeElement")
    before = page.evaluate(steps)
    wait_until(page, f"{steps} !== {before!r}")
    assert page.evaluate("window.focused.closest('.up') && window.focused === document.activeElement")
    assert table.locator(f"tr[data-run='{run.id}'] [data-action=run_archive]").count() == 0  # nor Delete, while it trains
    run.command("stop")
    wait_until(page, f"{row}.innerText.includes('Stopped')")
    assert page.locator("#runs .runs-menu[open] [data-action=run_archive]").is_visible()
    archive.move_to_trash(Workspace(app.workspace), run)


def test_the_table_fits_every_width_and_compare_stays_in_reach(app, runs, table, page):
    runs["a-wide"].relabel(name="W" * 60, owner="O" * 40, tags=["T" * 24] * 2, note="N" * 400)
    wait_until(page, shows("#runs", "W" * 60))
    for width, height in ((1440, 400), (1000, 400), (800, 600), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("document.querySelector('#runs tbody tr:last-child').scrollIntoView()")
        page.locator("#runs tbody tr").last.locator("summary").click()
        wait_until_it_fits(page, width)
        wait_until(page, "document.querySelector('#runs table').offsetWidth <= document.querySelector('#runs').offsetWidth")
        for box in table.locator("[data-action=tick]").all()[:2]:
            box.check()
        wait_until(page, """() => {
          const {top, bottom} = document.querySelector('#runs [data-action=run_compare]').getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        }""")
    assert table.locator("thead").is_hidden()  # so the order is chosen in a list
    page.locator(".runs-by").select_option("bits")
    assert names(page)[0] == "d"
