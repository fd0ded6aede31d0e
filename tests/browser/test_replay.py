"""A run that is over, replayed: what the page shows is the run as it stood at that time, and time goes on as the bar says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_run import tiny_run
from waiting import tab, wait_until

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Alert, Evaluation, Sample, Status, Step, to_json
from gptlab.runs.workspace import Workspace

UI = Path(__file__).resolve().parents[2] / "gptlab" / "ui"
STEPS = 400  # ten a second of work
TEXT = "#samples .large .written"
LAST_STEP = "Math.max(0, ...(document.querySelector('#chart .js-plotly-plot')?.data?.[0]?.x ?? []))"


def story(steps=STEPS, name="text"):
    """A run of `steps`: each 100 steps an evaluation and a sample, an alert at step 150."""
    yield Status(step=0, time_seconds=0, state="running")
    for step in range(steps + 1):
        at = {"step": step, "time_seconds": step / 10}
        if step:
            yield Step(**at, epoch=step / 50, tokens=step * 256, loss=3.0 - step / 200, learning_rate=1e-3, grad_norm=1.0,
                       tokens_per_second=900.0)
        if step % 100 == 0:
            yield Evaluation(**at, epoch=step / 50, train_loss=2.0, val_loss=3.0 - step / 200, val_perplexity=1.0,
                             val_bits_per_byte=1.0)
            yield Sample(**at, sample_id=f"{step}-0", epoch=step / 50, prompt="The cat", text=f"{name} of {step}",
                         token_ids=[], logprobs=[], done=True, copied_share=0.0)
        if step == 150:
            yield Alert(**at, code="plateau", severity="warning", message="It learns nothing any more.", evidence="Flat.",
                        remedy="Fork it.", actions=[{"action": "extend", "changes": {"train.max_steps": 900}}])
    yield Status(step=steps, time_seconds=steps / 10, state="finished", reason="All steps done.")


# the scripts alone

@pytest.fixture(scope="module")
def scripts(chromium):
    page = chromium.new_page()
    page.add_script_tag(content=(UI / "live_history.js").read_text(encoding="utf-8"))
    yield page
    page.close()


AT = """([lines, seconds]) => { const whole = new RunHistory(); whole.add(lines);
    let past; const seen = seconds.map(one => { past = whole.until(one, past); return {step: past.step, curves: past.curves,
        evaluations: past.evaluations.map(one => one.step), samples: [...past.samples.values()].map(one => one.text),
        alerts: past.alerts.length, rewrites: past.rewrites}; });
    return {seen, whole: whole.curves, worked: whole.worked}; }"""


def lines(events):
    return "".join(to_json(event) + "\n" for event in events)


@pytest.mark.parametrize("steps", [200, 3000])  # each step by itself; and 16 to a bucket
def test_a_history_cut_at_a_time_is_what_the_run_had_said_by_then(scripts, steps):
    events = list(story(steps))
    cuts = [0, 5.07, 16.0, steps / 10 - 0.01, steps / 10, 1e9]
    found = scripts.evaluate(AT, [lines(events), cuts])
    width = found["whole"]["width"]
    for cut, seen in zip(cuts, found["seen"]):
        said = [event for event in events if event.time_seconds <= cut]
        assert seen["evaluations"] == [event.step for event in said if isinstance(event, Evaluation)]
        assert seen["samples"] == [event.text for event in said if isinstance(event, Sample)]
        assert seen["alerts"] == (cut >= 15)
        reached = max((event.step for event in said if isinstance(event, Step)), default=0)
        until = reached if reached == steps else reached // width * width  # whole buckets
        assert seen["curves"]["step"] == until
        buckets = -(-until // width)
        assert seen["curves"]["columns"] == {name: values[:buckets] for name, values in found["whole"]["columns"].items()}
    assert found["worked"] == steps / 10 and width == (1 if steps == 200 else 16)


def test_only_going_back_makes_what_was_drawn_untrue(scripts):
    found = scripts.evaluate(AT, [lines(story()), [3, 7, 7, 20, 5, 5, 30]])
    assert [one["rewrites"] for one in found["seen"]] == [0, 0, 0, 0, 1, 1, 1]


def test_copied_text_is_the_mean_of_a_steps_samples_where_somebody_looked(scripts):
    first, second = [event for event in story(100) if isinstance(event, Sample)]
    samples = [dataclasses.replace(first, copied_share=None), dataclasses.replace(second, copied_share=0.5),
               dataclasses.replace(second, sample_id="100-1", prompt="A", copied_share=0.25)]
    assert scripts.evaluate("lines => { const history = new RunHistory(); history.add(lines); return history.copied('step'); }",
                            lines([*story(100), *samples])) == {"x": [100], "y": [0.375]}


# in the page

@pytest.fixture(scope="module")
def runs(app, small_text, tmp_path_factory):
    """Two runs that are over."""
    workspace, source = Workspace(app.workspace), tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    both = {name: tiny_run(workspace, name, train__max_steps=STEPS) for name in ("first", "second")}
    for name, run in both.items():
        run.append(*story(name=name))
    return both


def opened(page, run):
    """The run, on view and read."""
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, f"document.querySelector('#live [data-is=name]').textContent === '{run.name}' && {LAST_STEP} === {STEPS}")
    return page.locator(".live-replay")


def shown(page, name):
    return page.locator(f"#live [data-is={name}]").inner_text()


def test_a_replay_shows_the_run_as_it_stood_and_reaches_the_end(runs, page):
    bar = opened(page, runs["first"])
    finished = shown(page, "state")
    assert not bar.is_visible() and page.locator(".alert-do").is_visible()
    page.locator("#live [data-do=replay]").click()
    assert shown(page, "state") == "Replay" and page.evaluate("document.activeElement.dataset.replay") == "play"
    pause = "document.querySelector('[data-replay=play]')"  # in that very moment: a slow machine is at the end a moment later
    wait_until(page, f"{LAST_STEP} > 0 && {LAST_STEP} < {STEPS} && {pause}.textContent === 'Pause' && ({pause}.click(), true)")
    bar.get_by_role("button", name="Play").wait_for()
    assert "&replay=10" in page.locator("#live [data-is=watch]").get_attribute("href")

    # the slider, by keyboard
    slider = bar.get_by_role("slider")
    slider.press("Home")
    wait_until(page, f"{LAST_STEP} === 0")
    assert page.locator(TEXT).inner_text() == "first of 0" and page.locator(".live-epochs tbody tr").count() == 1
    assert page.locator(".live-alerts li").count() == 0 and "All steps done" not in shown(page, "caption")
    for _ in range(5):
        slider.press("PageUp")
    wait_until(page, f"{LAST_STEP} === {STEPS // 2}")
    assert page.locator(TEXT).inner_text() == "first of 200" and page.locator(".live-epochs tbody tr").count() == 3
    assert slider.get_attribute("aria-valuetext") == "20 s · step 200" and page.locator("[data-fact=step]").inner_text() == "200"
    assert page.locator(".live-alerts li").is_visible()
    assert not page.locator(".alert-do").is_visible(), "told, but not to be acted on"

    # going on by itself
    bar.get_by_label("Speed").select_option("1")
    bar.get_by_role("button", name="Play").click()
    wait_until(page, f"{LAST_STEP} > {STEPS // 2} && {LAST_STEP} < {STEPS}")
    bar.get_by_label("Speed").select_option("20")
    wait_until(page, f"{LAST_STEP} === {STEPS}")
    assert page.locator(TEXT).inner_text() == "first of 400" and bar.get_by_role("button", name="Play").is_visible()
    bar.get_by_role("button", name="Back to the end").click()
    assert shown(page, "state") == finished and not bar.is_visible() and page.locator(".alert-do").is_visible()
    assert page.evaluate("document.activeElement.dataset.do") == "replay"


def test_a_replay_ends_when_another_run_is_opened(runs, page):
    bar = opened(page, runs["first"])
    page.locator("#live [data-do=replay]").click()
    bar.get_by_label("Speed").select_option("1")
    opened(page, runs["second"])
    page.wait_for_timeout(600)  # more than a tick of what must not go on
    assert not bar.is_visible() and page.locator(TEXT).inner_text() == "second of 400" and page.evaluate(LAST_STEP) == STEPS


def test_time_stands_still_while_nobody_can_look(runs, page):
    bar = opened(page, runs["first"])
    page.locator("#live [data-do=replay]").click()
    wait_until(page, f"{LAST_STEP} > 0")
    tab(page, "Data")
    wait_until(page, "document.querySelector('#live').offsetParent === null")
    before = bar.locator("[data-replay=at]").text_content()
    page.wait_for_timeout(600)
    assert bar.locator("[data-replay=at]").text_content() == before
    tab(page, "Train")
    wait_until(page, f"{LAST_STEP} === {STEPS}")


def test_the_large_view_replays_at_once_and_ends_with_the_run(app, runs, page):
    page.add_init_script(f"""window.between = [];
      const look = setInterval(() => {{
        const state = document.querySelector('#live [data-is=state]')?.textContent;
        if (state === 'Replay' && {LAST_STEP} > 0 && {LAST_STEP} < {STEPS}) between.push({LAST_STEP});
        if (state === 'Finished' && between.length) clearInterval(look);
      }}, 20);""")
    page.goto(f"{app.address}?view=watch&run={runs['second'].id}&replay=10")
    wait_until(page, "between.length > 0")
    assert not page.locator(".live-replay").is_visible()
    wait_until(page, f"{LAST_STEP} === {STEPS} && document.querySelector('#live [data-is=state]').textContent === 'Finished'")
    page.wait_for_timeout(600)
    assert shown(page, "state") == "Finished" and not page.locator("#live [data-do=replay]").is_visible()
    page.evaluate("id => window.gptlab.open(id)", runs["first"].id)
    wait_until(page, f"document.querySelector('#live [data-is=name]').textContent === 'first' && {LAST_STEP} === {STEPS}")
    page.wait_for_timeout(300)
    assert shown(page, "state") == "Finished", "only the run of the address is replayed"
