"""The map of experts in a real browser: it shows what was measured, also earlier on, after a resume and a reload, and only of a
run that has experts."""

import pytest
from test_live_view import evaluation, resumed, step
from tiny_run import tiny_run
from waiting import reload, wait_until, wait_until_it_fits

from gptlab.events import Experts, Status

MAP = "document.querySelector('.experts-map')"
DRAWN = f"{MAP}?.data?.[0]?.z?.map(row => Array.from(row))"
SAID = "document.querySelector('.experts-said')?.textContent"


def experts(number, *layers):
    return Experts(step=number, time_seconds=number / 10, tokens=4096, loads=[list(layer) for layer in layers])


def test_it_follows_a_run_and_looks_back(workspace, page):
    plain, run = tiny_run(workspace, "dense"), tiny_run(workspace, "with-experts", train__max_steps=200)
    plain.append(evaluation(0, 4.0), step(1), Status(step=1, time_seconds=0.1, state="stopped"))
    with run.lock():
        run.append(Status(step=0, time_seconds=0, state="running"), evaluation(0, 4.0), experts(0, [0.5, 0.5], [0.25, 0.75]))
        page.evaluate("id => window.gptlab.open(id)", run.id)
        wait_until(page, f"JSON.stringify({DRAWN}) === '[[1,1],[0.5,1.5]]'")  # times an even share
        run.append(*[step(n) for n in range(1, 51)], evaluation(50, 3.0), experts(50, [0.4, 0.6], [0.0, 1.0]))
        wait_until(page, f"JSON.stringify({DRAWN}) === '[[0.8,1.2],[0,2]]'")
        assert "The least goes to layer 2 expert 1 (under 0.1 %)" in page.evaluate(SAID)
        assert "Layer 1: from 40 % (expert 1) to 60 % (expert 2)." in page.locator(".experts-layers").text_content()

        # a person looks back, and what comes next does not take it away
        slider = page.locator(".experts-when input")
        slider.press("ArrowLeft")
        assert page.locator(".experts-when output").inner_text() == "Step 0" and page.evaluate(DRAWN)[1] == [0.5, 1.5]
        run.append(*[step(n) for n in range(51, 101)], evaluation(100, 2.5), experts(100, [0.1, 0.9], [0.5, 0.5]))
        wait_until(page, "document.querySelector('.experts-when input').max === '2'")
        assert page.evaluate(DRAWN)[1] == [0.5, 1.5]
        slider.press("End")
        wait_until(page, f"{DRAWN}?.[0][0] === 0.2")

        # what a resume supersedes is gone
        run.append(resumed(50))
        wait_until(page, f"{DRAWN}?.[0][0] === 0.8")
        run.append(Status(step=50, time_seconds=5.0, state="stopped"))
    wait_until(page, "document.body.dataset.run === 'stopped'")
    page.evaluate("id => window.gptlab.open(id)", plain.id)
    wait_until(page, "!document.querySelector('.live-experts').checkVisibility()")
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, f"document.querySelector('.live-experts').checkVisibility() && {DRAWN}?.[0][0] === 0.8")
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until_it_fits(page, 390)
    reload(page)
    wait_until(page, f"{DRAWN}?.[0][0] === 0.8")
    assert page.locator(".experts-when output").inner_text() == "Step 50"
    assert page.evaluate(f"{MAP}.getBoundingClientRect().width") == pytest.approx(
        page.evaluate(f"{MAP}.querySelector('svg').getBoundingClientRect().width"), abs=1)
