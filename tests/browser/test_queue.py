"""The queue as a room sees it: several pages on one app, which moves, takes out and asks. Nothing is trained: what stands in
for the worker holds its run and says how long it will take."""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace

import pytest
from tiny_run import tiny_run, tiny_workspace, wait_for
from waiting import reload, shows, tab, wait_here, wait_until, wait_until_it_fits

from gptlab.events import Status
from gptlab.runs import worker
from gptlab.runs.jobs import Jobs
from gptlab.ui import serve
from gptlab.ui.lab import Lab

LEFT = 600  # seconds, of what trains
WHO = "localStorage.getItem('gptlab-who')"


def hold(run, should_stop):
    """Stands in for `worker.run`: the run counts as running, with ten minutes left, until it is stopped."""
    with run.lock():
        run.append(Status(step=1, time_seconds=1.0, state="running"))
        run.write_status({**run.status(), "state": "running", "step": 1, "tokens": 256, "tokens_per_second": 10.0,
                          "eta_seconds": LEFT, "events_bytes": run.events_path.stat().st_size})
        while not should_stop():
            time.sleep(0.02)
        run.append(Status(step=1, time_seconds=1.0, state="stopped"))


@pytest.fixture(scope="module")
def room(chromium, tmp_path_factory, small_text):
    """An app that several people use, in this process, and how one of them opens it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(worker, "run", hold)
    workspace = tiny_workspace(tmp_path_factory.mktemp("room"), small_text)
    lab = Lab(workspace, Jobs(workspace), shared=True)
    where = argparse.Namespace(host="127.0.0.1", port=7990, auth=None, allow_host=[], no_browser=True)
    demo = serve.launch_somewhere(argparse.ArgumentParser(), lab, where)
    yield SimpleNamespace(lab=lab, address=demo.local_url)
    lab.jobs.stop_all()
    lab.preparations.close()
    demo.close(verbose=False)
    patch.undo()


@pytest.fixture
def visit(room, browse):
    """Opens the page as somebody."""
    def visit(who="", width=1440):
        page = browse(room.address, width)
        page.evaluate("who => { window.gptlab.who = who; }", who)
        tab(page, "Train")
        return page

    return visit


@pytest.fixture
def queue(room):
    """One run trains, three of Aisha, Ben and nobody wait."""
    jobs, runs = room.lab.jobs, [tiny_run(room.lab.workspace, name) for name in ("held", "one", "two", "three")]
    for run, owner in zip(runs, ("Ben", "Aisha", "Ben", ""), strict=True):
        run.relabel(owner=owner)
        jobs.submit(run)
    wait_for(lambda: runs[0].state() == "running")
    yield runs
    for run in jobs.queue:
        jobs.stop(run)
    if jobs.current:
        jobs.stop(jobs.current)
    assert jobs.wait(60)


def names(*expected: str) -> str:
    """A condition: what waits on the page, in order."""
    shown = "[...document.querySelectorAll('.live-queue li .live-link')].map(one => one.innerText).join()"
    return f"{shown} === '{','.join(expected)}'"


def press(page, label: str):
    """A button of the panel, by what a screen reader calls it."""
    return page.locator(".live-queue").get_by_role("button", name=label, exact=True)


def test_two_pages_see_one_queue_and_a_keyboard_moves_it(queue, visit):
    aisha, ben = visit("Aisha"), visit("Ben")
    for page in (aisha, ben):
        wait_until(page, names("one", "two", "three"))
    for text in ("held", "by Ben", "you", "10 min left", "starts in about 10 min"):
        wait_until(aisha, shows(".live-queue", text))
    assert press(aisha, "Up: one").get_attribute("aria-disabled") == "true"

    press(aisha, "Up: three").focus()
    aisha.keyboard.press("Enter")
    for page in (aisha, ben):
        wait_until(page, names("one", "three", "two"))
        wait_until(page, "document.querySelector('.live-queue + [role=status]').textContent === 'three is now 2nd of 3.'")
    assert aisha.evaluate("document.activeElement.ariaLabel") == "Up: three"
    aisha.keyboard.press("Enter")
    for page in (aisha, ben):
        wait_until(page, names("three", "one", "two"))
    assert aisha.evaluate("document.activeElement.ariaLabel") == "Up: three"
    aisha.keyboard.press("Enter")  # there is no further up
    press(ben, "Down: three").click()
    wait_until(aisha, names("one", "three", "two"))

    press(ben, "three").click()
    wait_until(ben, "document.querySelector('[data-is=caption]').innerText.includes('It waits its turn: 2nd of 3.')")
    assert "starts in about" in ben.locator("[data-is=about]").inner_text()


def test_ones_own_is_taken_out_at_once_anothers_after_a_question(queue, visit, room):
    held, one, two, three = queue
    aisha, ben = visit("Aisha"), visit("Ben")
    wait_until(aisha, names("one", "two", "three"))
    press(aisha, "Take out: one").focus()
    aisha.keyboard.press("Enter")
    for page in (aisha, ben):
        wait_until(page, names("two", "three"))
    assert one.state() == "stopped"
    assert aisha.evaluate("document.activeElement.ariaLabel") == "Take out: two"

    aisha.keyboard.press("Enter")
    dialog = aisha.locator("dialog.ask")
    assert "This is Ben's run: two." in dialog.inner_text()
    aisha.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert room.lab.jobs.queue == [two, three]
    press(aisha, "Take out: two").click()
    dialog.locator(".ask-yes").click()
    for page in (aisha, ben):
        wait_until(page, names("three"))
    room.lab.jobs.stop(held)  # what is left begins
    wait_until(aisha, "document.querySelector('.live-queue + [role=status]').textContent === 'three begins to train.'")
    wait_until(aisha, names())
    assert not aisha.evaluate("document.querySelector('.live-queue + [role=status]').closest('[hidden]')")


def test_start_asks_for_a_name_once_and_it_can_be_changed(queue, visit, room):
    page = visit()
    tab(page, "Data")
    page.locator("#prepared [data-use=tiny]").click()
    wait_until(page, "/tiny\\s*✓/.test(document.querySelector('#steps').innerText)")
    tab(page, "Train")
    assert not page.locator(".live-who").is_visible()
    before = page.evaluate(WHO)
    page.locator("#start").click()
    page.locator("dialog.ask input").fill("Chidi")
    page.keyboard.press("Enter")
    wait_here(page, lambda: len(room.lab.jobs.queue) == 4)
    assert room.lab.jobs.queue[-1].label().owner == "Chidi"
    wait_until(page, "document.querySelector('.live-who').innerText.includes('Your runs carry the name Chidi')")
    wait_until(page, f"before => {WHO} !== before", arg=before)  # Start is answered; until then, pressed twice is once
    page.locator("#start").click()
    wait_here(page, lambda: len(room.lab.jobs.queue) == 5)

    page.get_by_role("button", name="Change", exact=True).click()
    assert page.locator("dialog.ask input").input_value() == "Chidi"
    page.locator("dialog.ask input").fill("Chidi A.")
    before = page.evaluate(WHO)
    page.keyboard.press("Enter")
    wait_until(page, f"before => {WHO} !== before", arg=before)
    wait_until(page, "document.querySelector('.live-who').innerText.includes('Chidi A.')")
    reload(page)
    wait_until(page, "document.querySelector('.live-who').innerText.includes('Chidi A.')")
    assert [run.label().owner for run in room.lab.jobs.queue[-2:]] == ["Chidi", "Chidi"]


def test_on_a_phone_long_names_leave_the_buttons_in_reach(queue, visit):
    queue[2].relabel(name="A name as long as a name can be, which is some sixty letters")
    page = visit("Aisha", width=390)
    wait_until(page, "document.querySelectorAll('.live-queue li').length === 3")
    beyond = """() => [...document.querySelectorAll('.live-queue *')].filter(one => one.checkVisibility())
      .map(one => one.getBoundingClientRect()).filter(({left, right}) => left < 0 || right > innerWidth).length"""
    wait_until(page, f"({beyond})() === 0")
    wait_until_it_fits(page, 390)
    assert page.locator(".live-queue .queue-buttons button").count() == 9
