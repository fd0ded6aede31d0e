"""What the live view shows of samples, the epoch table and alerts, in a real browser: by keyboard, by mouse, and as text."""

from __future__ import annotations

import csv
import io
import json
import math
import string

import pytest
from tiny_run import tiny_run
from waiting import comes_up, reload, wait_here, wait_until

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Alert, Checkpoint, Evaluation, Sample, Status, Step
from gptlab.runs.workspace import Workspace

MARKED = """document.querySelector('#chart .js-plotly-plot').layout.shapes.filter(line => line.yref === 'paper')
  .map(line => line.x0)"""
LARGE = "document.querySelector('.large .written').textContent"
TOLD = "beginning => document.querySelector('.sample-told').innerText.startsWith(beginning)"
MARKUP = '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{value}} <b>bold</b>'


@pytest.fixture(scope="module")
def workspace(app, small_text, tmp_path_factory):
    source = tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000] + MARKUP + string.ascii_letters + string.digits + ",", encoding="utf-8")
    workspace = Workspace(app.workspace)
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    return workspace


@pytest.fixture
def run(workspace):
    """A run that "trains" as long as the test holds it: samples of two prompts at steps 0, 20, … 100."""
    run = tiny_run(workspace, "watched", train__max_steps=1000)
    with run.lock():
        run.append(Status(step=0, time_seconds=0, state="running"), *events(workspace, range(0, 101)))
        yield run
        run.append(Status(step=100, time_seconds=10, state="stopped"))


def events(workspace, steps):
    tokenizer, found = workspace.open_dataset("tiny").tokenizer, []
    for n in steps:
        if n:
            found.append(Step(step=n, time_seconds=n / 10, epoch=n / 50, tokens=n * 256, learning_rate=1e-3, grad_norm=1.0,
                              loss=3.0 - n / 100, tokens_per_second=900.0))
        if n % 20 == 0:
            found.append(Evaluation(step=n, time_seconds=n / 10, epoch=n / 50, train_loss=3 - n / 100, val_loss=3.0 - n / 200,
                                    val_perplexity=math.exp(3 - n / 200), val_bits_per_byte=1.0))
            found += [sample(tokenizer, n, i, f"{word} at {n}") for i, word in enumerate(("First", "Second"))]
    return found


def sample(tokenizer, n, index, text, done=True, logprob=math.log(0.37)):
    ids = tokenizer.encode(text).tolist()
    logprobs = [logprob, math.log(0.004)] * (len(ids) // 2) + [logprob] * (len(ids) % 2)
    return Sample(step=n, time_seconds=n / 10, sample_id=f"{n}-{index}", epoch=n / 50, prompt=("The cat", "A dog")[index],
                  text=text, token_ids=ids, logprobs=logprobs, done=done)


def opened(page, run):
    reload(page)
    page.evaluate("id => window.gptlab.open(id)", run.id)
    wait_until(page, "id => window.gptlab.shownRun() === id && document.querySelector('.live-epochs tbody tr')", arg=run.id)


def test_each_token_tells_how_likely_it_was_by_keyboard_mouse_and_shade(workspace, page, run):
    tokenizer = workspace.open_dataset("tiny").tokenizer
    opened(page, run)
    run.append(sample(tokenizer, 101, 0, MARKUP, done=False))
    wait_until(page, "document.querySelectorAll('.large .token').length > 20 && document.querySelector('.large.writing')")
    written = page.locator(".large .written")
    text = written.text_content()
    assert text.startswith("<") and page.evaluate("window.hacked") is None
    page.locator("#sample-slider").focus()
    page.keyboard.press("Tab")  # the shading
    page.keyboard.press("Tab")  # the box that scrolls
    page.keyboard.press("Tab")
    assert written.evaluate("node => node === document.activeElement")
    wait_until(page, TOLD, arg=f"“{text[0]}”: 37 %")
    page.keyboard.press("ArrowRight")
    wait_until(page, TOLD, arg=f"“{text[1]}”: 0.4 %")
    run.append(sample(tokenizer, 101, 0, MARKUP + " and on"))  # it grows under one's hands
    wait_until(page, f"{LARGE}.endsWith(' and on')")
    wait_until(page, TOLD, arg=f"“{text[1]}”: 0.4 %")
    assert page.locator(".large .at").inner_text() == text[1]
    last = "[...document.querySelectorAll('.large .token')].at(-1).textContent"
    wait_until(page, f"{last} === 'n'")  # the server has said where the tokens end
    page.keyboard.press("End")
    wait_until(page, TOLD, arg="“n”")
    page.locator(".large .token").nth(2).hover()
    wait_until(page, TOLD, arg=f"“{text[2]}”: 37 %")
    shade = "[...document.querySelectorAll('.large .token')].slice(0, 2).map(token => getComputedStyle(token).backgroundColor)"
    likely, unlikely = page.evaluate(shade)
    assert likely != unlikely
    page.get_by_label("Shade what the model found unlikely").uncheck()
    assert len(set(page.evaluate(shade))) == 1
    opened(page, run)
    assert not page.get_by_label("Shade what the model found unlikely").is_checked()


def test_a_slider_leads_through_all_samples_and_marks_the_chart(workspace, page, run):
    opened(page, run)
    slider = page.get_by_label("Sample", exact=False).and_(page.locator("#sample-slider"))
    assert (page.evaluate(LARGE), slider.get_attribute("max"), page.evaluate(MARKED)) == ("First at 100", "5", [])
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(LARGE) == "First at 60" and slider.get_attribute("aria-valuetext") == "Step 60 · epoch 1.20"
    wait_until(page, f"{MARKED}.includes(60)")
    page.get_by_label("Beginning").locator("visible=true").first.select_option("A dog")
    assert page.evaluate(LARGE) == "Second at 60"
    run.append(*events(workspace, range(101, 121)))
    wait_until(page, "document.querySelector('#sample-slider').max === '6'")
    assert page.evaluate(LARGE) == "Second at 60"  # what a person looks at stays
    page.keyboard.press("Home")
    slider.focus()
    page.keyboard.press("Home")
    assert page.evaluate(LARGE) == "Second at 0"
    page.keyboard.press("End")
    assert page.evaluate(LARGE) == "Second at 120"
    wait_until(page, f"{MARKED}.length === 0")
    run.append(*events(workspace, range(121, 141)))
    wait_until(page, f"{LARGE} === 'Second at 140'")  # at the newest it follows
    page.get_by_role("button", name="Step 40 · epoch 0.80").first.click()
    assert page.evaluate(LARGE).endswith("at 40")


def test_sample_now_reaches_the_worker(page, run):
    opened(page, run)
    page.get_by_role("button", name="Sample now").click()
    wait_for_command(page, run, "sample")


def wait_for_command(page, run, kind):
    wait_here(page, lambda: run.control_path.exists() and run.control_path.read_text(encoding="utf-8").endswith("\n"))
    command = json.loads(run.control_path.read_text(encoding="utf-8").splitlines()[-1])
    assert command["command"] == kind
    return command


def wait_for_step(page, step):
    wait_until(page, f"document.querySelector('[data-fact=step]').textContent === '{step}'")


def test_the_table_underlines_what_is_copied_and_is_copied_as_csv(workspace, page, run):
    dataset = workspace.open_dataset("tiny")
    train = dataset.tokenizer.decode(dataset.train)
    copied, text = train[200:290], 'e "quoted", comma\nand a second line'
    run.append(sample(dataset.tokenizer, 100, 0, text), sample(dataset.tokenizer, 100, 1, copied),
               Evaluation(step=120, time_seconds=12, epoch=2.4, train_loss=1.0, val_loss=2.0, val_perplexity=7.0,
                          val_bits_per_byte=1),
               sample(dataset.tokenizer, 120, 0, "eeee" + copied))
    opened(page, run)
    page.locator(".live-epochs tbody tr").last.scroll_into_view_if_needed()
    page.locator(".copied-note").wait_for()
    underlined = page.locator(".live-epochs tbody u").all_text_contents()
    assert "".join(underlined) == copied[:200]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with comes_up(page, "document.querySelector('[data-do=csv]').textContent === 'Copied'"):
        page.get_by_role("button", name="Copy as CSV").click()
    told = page.evaluate("navigator.clipboard.readText()")
    rows = list(csv.reader(io.StringIO(told, newline="")))
    assert rows[0] == ["epoch", "step", "train", "val", "gap", "sample"] and {len(row) for row in rows} == {6}
    last = {row[1]: row for row in rows[1:]}["120"]
    assert last[2:5] == ["1.0000", "2.0000", "1.0000"] and last[5] == "The cateeee" + copied


ALERT = Alert(step=50, time_seconds=5, code="learning_rate_too_high", severity="warning",
              message="The learning rate is too high " + MARKUP, evidence="It jumps.", remedy="Set train.max_learning_rate to 0.0003.", actions=[
                  {"action": "set", "changes": {"train.max_learning_rate": 0.0003}},
                  {"action": "new", "changes": {"model.dropout": 0.2, "train.patience": 5}},
                  {"action": "restore_best", "step": 40}, {"action": "fork", "changes": {}},
                  {"action": "delete"}])


def test_an_alert_is_a_card_whose_buttons_do_what_can_be_done_now(workspace, page, run):
    run.append(ALERT)
    opened(page, run)
    card = page.locator(".live-alerts li")
    card.wait_for()
    assert "Warning" in card.inner_text() and MARKUP in card.inner_text() and page.evaluate("window.hacked") is None
    assert "Set “Learning rate” to 0.0003." in card.inner_text() and "It jumps." not in card.inner_text()
    card.get_by_text("Why?").click()
    assert "It jumps." in card.inner_text()
    assert card.locator(".alert-do").all_inner_texts() == ["Lower the learning rate to 0.0003 now",
                                                           "Next run: dropout 0.2, patience 5"]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with comes_up(page, "document.querySelector('.alert-actions .live-link')?.textContent === 'Copied'"):
        card.get_by_role("button", name="Copy as command: Lower the learning rate").click()
    assert f"gptlab set {run.id} --set train.max_learning_rate=0.0003" in page.evaluate("navigator.clipboard.readText()")
    page.evaluate("""() => {  // the second as the first is on its way, and not answered: it once got lost
      const [first, second] = document.querySelectorAll('.alert-do'), send = window.fetch;
      window.fetch = (to, ...rest) => {
        if (String(to).includes('queue/join')) { window.fetch = send; second.click(); }
        return send(to, ...rest);
      };
      first.click();
    }""")
    assert wait_for_command(page, run, "set")["changes"]["train.max_learning_rate"] == 0.0003
    page.get_by_text("2 settings changed").first.wait_for()
    assert page.evaluate("window.gptlab.shownRun()") == run.id
    run.append(Checkpoint(step=40, time_seconds=4, path="checkpoints/step_00000040", kept_as=["best", "last"]))
    card.get_by_role("button", name="New run from the last checkpoint").wait_for()
    assert card.get_by_role("button", name="Go back").count() == 0  # not while it trains
    card.get_by_role("button", name="Dismiss").click()
    assert card.count() == 0
    run.append(*events(workspace, range(101, 110)))
    wait_for_step(page, 109)
    assert card.count() == 0


def test_a_new_alert_is_announced_once_and_an_old_one_not(workspace, page, run):
    run.append(ALERT)
    opened(page, run)
    page.locator(".live-alerts li").wait_for()
    said = page.locator(".live-alerts [role=status]")
    assert said.text_content() == ""
    page.evaluate("""() => { window.said = []; new MutationObserver(() => window.said.push(
        document.querySelector('.live-alerts [role=status]').textContent)).observe(
        document.querySelector('.live-alerts'), {subtree: true, characterData: true, childList: true}); }""")
    run.append(Alert(step=100, time_seconds=10, code="spike", severity="info", message="It jumped.", evidence="", remedy="Wait.",
                     actions=[{"action": "prepare"}]))
    wait_until(page, "window.said.includes('Note: It jumped.')")
    run.append(*events(workspace, range(101, 110)))
    wait_for_step(page, 109)
    assert page.evaluate("new Set(window.said.filter(Boolean)).size") == 1
    page.get_by_role("button", name="Go to the data").click()
    page.locator("#source").wait_for()
