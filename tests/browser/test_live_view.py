"""The live view in a real browser: what is drawn is what the run said, also after a resume, a zoom, or a page's reload."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from pathlib import Path

import pytest
from tiny_run import tiny_run
from waiting import reload, tab, wait_until, wait_until_it_fits

from gptlab.events import Checkpoint, Evaluation, Sample, Setting, Status, Step, to_json
from gptlab.runs.curves import Curves
from gptlab.runs.eventlog import effective_events

UI = Path(__file__).resolve().parents[2] / "gptlab" / "ui"
DRAWN = "document.querySelector('#chart .js-plotly-plot')?.data?.map(line => [Array.from(line.x), Array.from(line.y)])"
NAME = "document.querySelector('#live [data-is=name]')?.textContent"
PROMPT = "document.querySelector('#samples .prompt')?.innerText"
MARKUP = '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{value}} <b>bold</b>'


def step(number, loss=None, **fields):
    return Step(**{**dict(step=number, time_seconds=number / 10, epoch=number / 50, tokens=number * 256, learning_rate=1e-3,
                          loss=3.0 - number / 100 if loss is None else loss, grad_norm=1.0, tokens_per_second=900.0), **fields})


def evaluation(number, val, train=None):
    return Evaluation(step=number, time_seconds=number / 10, epoch=number / 50, train_loss=val if train is None else train,
                      val_loss=val, val_perplexity=math.exp(val), val_bits_per_byte=val)


def sample(number, text, done=True, prompt="The cat"):
    return Sample(step=number, time_seconds=number / 10, sample_id=f"{number}-0", epoch=number / 50, prompt=prompt, text=text,
                  token_ids=[], logprobs=[], done=done)


def resumed(step):
    return Status(step=step, time_seconds=step / 10, state="running", resumed_from_step=step)


# the scripts alone

@pytest.fixture
def scripts(chromium):
    """A page that knows nothing but what the live view is made of."""
    page = chromium.new_page()
    for name in ("live_history.js", "live_text.js", "live_chart.js", "live_alerts.js"):
        page.add_script_tag(content=(UI / name).read_text(encoding="utf-8"))
    yield page
    page.close()


def history(page, events, slices=1):
    """What the page makes of events that come in `slices`."""
    lines = [to_json(event) + "\n" for event in events]
    cuts = [len(lines) * i // slices for i in range(slices + 1)]
    return page.evaluate("""slices => { const history = new RunHistory(); slices.forEach(lines => history.add(lines));
        const {loss_low: loss, smooth} = history.curves.columns;
        return {loss, smooth, evaluations: history.evaluations, samples: [...history.samples.values()],
                step: history.step, best: history.best, table: history.table(50)}; }""",
                         ["".join(lines[a:b]) for a, b in zip(cuts, cuts[1:])])


def test_what_a_resume_supersedes_is_forgotten_just_as_the_run_itself_says(scripts):
    events = [Status(step=0, time_seconds=0, state="running"), evaluation(0, 4.0), sample(0, "noise")]
    events += [step(n) for n in range(1, 31)] + [evaluation(30, 2.5), sample(30, "lost")]
    events += [resumed(20), *[step(n, loss=1.0) for n in range(21, 26)], sample(25, "kept"), resumed(22)]
    events += [step(n, loss=0.5) for n in range(23, 41)] + [evaluation(40, 2.2), evaluation(40, 2.2)][:1]
    counts = effective_events(events)
    for slices in (1, 7):
        seen = history(scripts, events, slices)
        assert seen["loss"] == [event.loss for event in counts if isinstance(event, Step)]
        assert [one["step"] for one in seen["evaluations"]] == [event.step for event in counts if isinstance(event, Evaluation)]
        assert [one["text"] for one in seen["samples"]] == [event.text for event in counts if isinstance(event, Sample)]
    never_cut = history(scripts, counts)
    assert seen["smooth"] == never_cut["smooth"]
    assert history(scripts, [*events, resumed(-1)])["step"] == 0  # begins again from nothing


def test_a_damaged_line_does_not_hide_the_rest(scripts):
    damaged = ['{"type":"step",', "not json", "null", "7", "[]", '"step"', "{}", '{"type":"toString","step":1}',
               '{"type":"evaluation","step":1,"time_seconds":1,"epoch":0.1,"train_loss":2.0}',
               '{"type":"setting","step":1,"time_seconds":1,"before":{}}',
               '{"type":"sample","step":1,"time_seconds":1,"epoch":0}',
               *(to_json(event).replace('"step":1', f'"step":{number}') for number in ("null", '"1"', "[1]")
                 for event in (evaluation(1, 2.0), sample(1, "text"), resumed(1)))]
    assert scripts.evaluate("""lines => { const history = new RunHistory(); history.add(lines);
        return [history.curves.columns.loss_low, history.evaluations, history.settings, history.samples.size]; }""",
                            "\n".join([to_json(step(1)), *damaged, to_json(step(2)), ""])) == [[2.99, 2.98], [], [], 0]


def test_of_many_samples_some_are_kept_evenly_and_the_latest_all(scripts):
    """Two prompts each time: a step's samples stay together. The longest work is told of what was thinned, too."""
    samples = [dataclasses.replace(sample(n, "text", prompt=prompt), sample_id=f"{n}-{prompt}")
               for n in range(0, 20_000, 10) for prompt in "AB"]
    steps, worked, back = scripts.evaluate("""lines => { const history = new RunHistory(); history.add(lines);
        const kept = [...history.samples.values()].map(one => one.step), {worked} = history;
        history.goBack(10_000);
        return [kept, worked, history.worked]; }""", "".join(to_json(event) + "\n" for event in samples))
    assert 400 <= len(steps) <= 810 and all(steps.count(n) == 2 for n in steps) and steps[0] == 0
    assert steps[-8:] == [event.step for event in samples[-8:]]
    assert max(b - a for a, b in zip(steps, steps[1:])) <= 20_000 / 50, "the beginning of a run is as dear as what came after"
    assert worked == 1999 and 900 <= back <= 1000


def noisy(count):
    chance = random.Random(count)
    losses = [math.nan if chance.random() < 0.02 else 5 + chance.gauss(0, 1) for _ in range(count)]
    losses[count // 2] = 50.0  # one spike
    return [step(n, loss, grad_norm=chance.random()) for n, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize("count", [1, 5, 299, 300, 301, 3000])
def test_thinning_keeps_every_buckets_extremes_in_order(scripts, count):
    events = noisy(count)
    width, drawn = scripts.evaluate("""lines => { const history = new RunHistory(); history.add(lines);
        return [history.curves.width, history.curves.lowAndHigh('loss', 'step', 0, history.curves.buckets)]; }""",
                                    "".join(to_json(event) + "\n" for event in events))
    values = [event.loss for event in events]
    assert all(a < b for a, b in zip(drawn["x"], drawn["x"][1:])) and len(drawn["x"]) <= 600
    assert all(values[x - 1] == y for x, y in zip(drawn["x"], drawn["y"])) and 50.0 in drawn["y"]
    for start in range(0, count, width):
        bucket = [value for value in values[start:start + width] if not math.isnan(value)]
        kept = [y for x, y in zip(drawn["x"], drawn["y"]) if start < x <= start + width]
        assert (min(bucket, default=0), max(bucket, default=0)) == (min(kept, default=0), max(kept, default=0))


@pytest.mark.parametrize("count, known", [(50, 20), (1000, 700), (2500, 1)])
def test_the_page_goes_on_where_the_server_summed_up(scripts, count, known):
    """The server's curves of the first `known` steps and the page's of the rest are what one of them makes of all."""
    events = [evaluation(0, 4.0), *noisy(count), evaluation(count, 2.0), sample(count, "text")]
    first, all_of_it = Curves(), Curves()
    first.add(events[:known + 1])
    all_of_it.add(events)
    seen = scripts.evaluate("""([summed, lines]) => { const history = new RunHistory();
        history.restore(summed);
        history.add(lines);
        const {width, step, columns} = history.curves;
        return {width, step, columns, evaluations: history.evaluations.map(one => one.step), samples: history.samples.size}; }""",
                            [first.to_dict(), "".join(to_json(event) + "\n" for event in events[known + 1:])])
    expected = all_of_it.to_dict()
    assert (seen["width"], seen["step"]) == (expected["width"], expected["step"])
    for name, values in expected["columns"].items():
        numbers = [[math.nan if value is None else value for value in one] for one in (seen["columns"][name], values)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5, nan_ok=True), name
    assert seen["evaluations"] == [0, count] and seen["samples"] == 1


def test_a_resume_within_a_bucket_asks_for_everything_again(scripts):
    def outdated(at):
        return scripts.evaluate("lines => { const history = new RunHistory(); history.add(lines); return history.outdated; }",
                                "".join(to_json(event) + "\n" for event in [*noisy(1000), resumed(at)]))
    assert outdated(501) and not outdated(500) and not outdated(1000)


def test_told_again_what_was_superseded_is_left_out(scripts):
    """A run of middle length was once read from its beginning for ever."""
    events = [*noisy(1000), resumed(501), *[step(n) for n in range(502, 700)], resumed(303), *[step(n) for n in range(304, 900)]]
    never_cut = Curves()
    never_cut.add(effective_events(events))
    readings, width, loss, at = scripts.evaluate("""lines => { let history = new RunHistory(), readings = 1;
        for (history.add(lines); history.outdated && readings < 9; readings += 1) {
          history = new RunHistory(history.resumes);
          history.add(lines);
        }
        const {width, columns} = history.curves;
        return [readings, width, columns.loss_low, columns.loss_low_at]; }""", "".join(to_json(event) + "\n" for event in events))
    expected = never_cut.to_dict()
    assert readings <= 3 and width == expected["width"] and at == expected["columns"]["loss_low_at"]
    assert loss == pytest.approx(expected["columns"]["loss_low"])


def test_steps_lie_where_their_tokens_epochs_and_times_are(scripts):
    along = scripts.evaluate("""lines => { const history = new RunHistory(); history.add(lines);
        const along = axis => [1, 400, 777, 1000].map(at => history.curves.along(axis, at));
        return ['step', 'tokens', 'epoch', 'time'].map(along); }""",
                             "".join(to_json(event) + "\n" for event in noisy(1000)))
    for values, each in zip(along, (1, 256, 1 / 50, 1 / 10)):
        assert values == pytest.approx([number * each for number in (1, 400, 777, 1000)])


def test_the_epoch_table_has_a_row_an_epoch_and_never_drops_the_best(scripts):
    events = [evaluation(n, 4 - n / 100 if n <= 170 else 3.0 + n / 1000) for n in range(0, 500, 10)]
    rows = history(scripts, events)["table"]
    whole_epochs = [row for row in rows if row["epoch"] == int(row["epoch"])]
    assert [row["epoch"] for row in whole_epochs] == list(range(10))
    assert 170 in [row["step"] for row in rows] and rows[-1]["step"] == 490
    few = [evaluation(n, 3.0) for n in range(0, 100, 10)]
    assert len(history(scripts, few)["table"]) == 10


def test_a_rate_is_lowered_or_raised_from_the_one_in_force(scripts):
    """Not from the highest there ever was: warm-up and decay are none of the setting's doing."""
    changed = Setting(step=20, time_seconds=2.0, changes={"train.max_learning_rate": 1e-4}, before={})
    for events, said in (([step(1)], "lower"), ([step(1), changed], "raise")):
        assert scripts.evaluate("""lines => { const history = new RunHistory(); history.add(lines);
            const words = {remedies: {lower: 'lower', raise: 'raise'}, settings: {}};
            const action = {action: 'set', changes: {'train.max_learning_rate': 0.0005}};
            return Alerts.prototype.label.call({words}, action, history); }""",
                                "".join(to_json(event) + "\n" for event in events)) == said


BASELINES = {"uniform": 4.0, "unigram": 3.0, "bigram": 2.4, "entropy_floor": None}
FLOOR = {**BASELINES, "entropy_floor": 1.0}


@pytest.mark.parametrize("baselines, losses, name", [
    (BASELINES, [], "before"), (BASELINES, [4.05], "guessing"), (BASELINES, [4.05, 3.5], "hardly"),
    (BASELINES, [4.05, 2.9], "single"), (BASELINES, [4.05, 2.3], "pairs"), (FLOOR, [4.05, 2.3], "closer 56"), (FLOOR, [4.05, 1.15], "close 95"),
    (FLOOR, [4.05, 0.6], "impossible"),
    (BASELINES, [4.05, 1.5, 1.6, 1.8], "memorising"), (BASELINES, [4.05, 1.5, 1.505, 1.51], "gap"),
    (BASELINES, [4.05, 1.5, 2.8], "lost"),
    ({name: None for name in BASELINES}, [4.05, 1.5], ""), (BASELINES, [4.05, math.nan], "broken")])
def test_one_sentence_says_where_the_run_stands(scripts, baselines, losses, name):
    lines = "".join(to_json(evaluation(n * 10, loss, train=4 - n)) + "\n" for n, loss in enumerate(losses))
    said = scripts.evaluate("""([lines, baselines]) => { const history = new RunHistory(); history.add(lines);
        const names = ['broken', 'before', 'guessing', 'hardly', 'single', 'pairs', 'closer', 'close', 'memorising', 'gap',
          'lost', 'impossible'];
        const words = {captions: Object.fromEntries(names.map(name => [name, name + ' {share}']))};
        return caption(history, baselines, words, {}); }""", [lines, baselines])
    assert said.removesuffix(" {share}") == name  # the share of (4.0 - loss) in (4.0 - 1.0)


def test_names_of_reference_lines_do_not_lie_on_each_other(scripts):
    """Compressing and counting pairs come to much the same on some texts."""
    raised = scripts.evaluate("""baselines => { const words = {references: {}};
        for (const name in baselines) words.references[name] = name + ' {units}';
        const references = referenceLines(baselines, words, {units: 'letters'});
        const chart = {plot: {_fullLayout: {_size: {h: 400}}}, size: pixels => pixels};
        Chart.prototype.raiseNames.call(chart, references, [0, 5], value => value);
        return references.map(one => [one.label, one.raised]); }""",
                              {"uniform": 4.0, "unigram": 3.0, "bigram": 2.45, "xz": 2.4, "entropy_floor": None})
    assert raised == [["uniform letters", 0], ["unigram letters", 0], ["bigram letters", 16], ["xz letters", 0]]  # 0.05 are 4 of 20


# in the page

def test_a_run_being_written_is_followed_and_comes_back_after_a_reload(workspace, page):
    run = tiny_run(workspace, "followed", train__max_steps=200)
    with run.lock():
        run.append(Status(step=0, time_seconds=0, state="running"), evaluation(0, 4.0), sample(0, "", done=False))
        reload(page)
        wait_until(page, f"document.body.dataset.run === 'running' && {NAME} === 'followed'")
        run.append(sample(0, MARKUP), *[step(n) for n in range(1, 61)], evaluation(50, 2.0),
                   Checkpoint(step=50, time_seconds=5.0, path="checkpoints/step_00000050", kept_as=["best", "last"]))
        wait_until(page, f"{DRAWN}?.[0][0].length === 60 && {DRAWN}?.[2][0].length === 2")
        ends = page.evaluate("document.querySelector('#chart .js-plotly-plot').layout.annotations.map(one => one.text)")
        assert {"train", "unseen"} <= set(ends), "the lines are not named where they end"
        assert page.locator("#samples .written").first.inner_text() == MARKUP and page.evaluate("window.hacked") is None
        assert page.locator(".live-epochs tbody tr").count() == 2 and page.locator(".live-epochs tr.best").count() == 1

        # looking closer is not undone by what comes next
        box = page.locator("#chart .nsewdrag").bounding_box()
        page.mouse.move(box["x"] + 60, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 240, box["y"] + 200, steps=5)
        page.mouse.up()
        wait_until(page, "document.querySelector('#chart .js-plotly-plot').layout.xaxis.range[0] > 0")
        closer = page.evaluate("document.querySelector('#chart .js-plotly-plot').layout.xaxis.range")
        run.append(*[step(n) for n in range(61, 101)])
        wait_until(page, f"{DRAWN}?.[0][0].length === 100")
        assert page.evaluate("document.querySelector('#chart .js-plotly-plot').layout.xaxis.range") == closer
        page.locator(".reset-zoom").click()
        wait_until(page, "document.querySelector('#chart .js-plotly-plot').layout.xaxis.range[0] === 0")

        # a line that is damaged, then killed and resumed: no overlap, no gap
        with open(run.events_path, "a", encoding="utf-8") as file:
            file.write("null\n")
        run.append(resumed(80), *[step(n, loss=1.0) for n in range(81, 121)], evaluation(120, 1.0))
        wait_until(page, f"{DRAWN}?.[0][0].length === 120")
        x, y = page.evaluate(DRAWN)[0]
        assert x == list(range(1, 121)) and y[80:] == [1.0] * 40

        reload(page)
        wait_until(page, f"{DRAWN}?.[0][0].length === 120")
        assert page.evaluate(DRAWN)[0] == [x, y]
        run.append(Status(step=120, time_seconds=12.0, state="stopped", reason="Stopped."))
    wait_until(page, "document.body.dataset.run === 'stopped'")
    assert page.locator("#resume").is_visible() and page.locator("#write").is_visible()
    assert not page.locator("#pause").is_visible()


def test_another_run_brings_nothing_of_the_one_before(workspace, page):
    """Samples of two runs have the same ids, and a zoom once stayed."""
    runs = [tiny_run(workspace, name) for name in ("first", "second")]
    for run in runs:
        run.append(evaluation(0, 4.0), sample(0, f"text of {run.name}", prompt=f"prompt of {run.name}"),
                   *[step(n) for n in range(1, 101)], Status(step=100, time_seconds=10, state="stopped"))
    reload(page)
    for run in (runs[0], runs[1], runs[0]):
        page.evaluate("id => window.gptlab.open(id)", run.id)
        wait_until(page, f"{DRAWN}?.[0][0].length === 100 && {PROMPT} === 'prompt of {run.name}'")
        assert page.locator("#samples .written").all_inner_texts() == [f"text of {run.name}"]
        assert page.evaluate("document.querySelector('#chart .js-plotly-plot').layout.xaxis.range") == [0, 101]
        assert not page.locator(".reset-zoom").is_visible()
        page.evaluate("""Plotly.relayout(document.querySelector('#chart .js-plotly-plot'),
            {'xaxis.range[0]': 20, 'xaxis.range[1]': 30})""")
        assert page.locator(".reset-zoom").is_visible()


def test_curves_can_be_drawn_over_tokens_or_time_and_on_a_log_scale(workspace, page):
    run = tiny_run(workspace, "scaled")
    run.append(evaluation(0, 4.0), *[step(n) for n in range(1, 101)],
               evaluation(100, run.manifest()["baselines"]["bigram"] + 0.03), Status(step=100, time_seconds=10, state="stopped"))
    reload(page)
    wait_until(page, f"{NAME} === 'scaled' && {DRAWN}?.[0][0].length === 100")
    wait_until(page, "document.querySelector('#chart .infolayer').textContent.includes('unseen')")
    names = page.evaluate("""[...document.querySelectorAll('#chart .annotation')]
      .map(one => [one.textContent, one.getBoundingClientRect()])
      .map(([text, {left, right, top, bottom}]) => ({text, left, right, top, bottom}))""")
    assert {"train", "unseen"} <= {one["text"] for one in names}
    for one, other in itertools.combinations(names, 2):
        apart = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert apart or one["bottom"] <= other["top"] + 1 or other["bottom"] <= one["top"] + 1, (one, other)
    for axis, each, val_at in (("tokens", 256, 25600), ("time", 0.1, 10), ("epoch", 0.02, 2)):
        page.locator("[data-do=axis]").select_option(axis)
        wait_until(page, f"Math.abs({DRAWN}?.[0][0].at(-1) - {100 * each}) < 1e-6 && {DRAWN}[2][0].at(-1) === {val_at}")
        assert page.evaluate(DRAWN)[0][0] == pytest.approx([n * each for n in range(1, 101)])
    page.get_by_label("log scale").check()
    wait_until(page, "document.querySelector('#chart .js-plotly-plot').layout.yaxis.type === 'log'")
    layout = page.evaluate("(({yaxis, annotations}) => ({type: yaxis.type, range: yaxis.range, at: annotations[0].y}))("
                           "document.querySelector('#chart .js-plotly-plot').layout)")
    guessing = run.manifest()["baselines"]["uniform"]
    assert layout["type"] == "log" and layout["at"] == pytest.approx(math.log10(guessing)) and layout["range"][1] < 1


def test_it_is_usable_on_a_phone_and_by_keyboard(workspace, page):
    page.set_viewport_size({"width": 390, "height": 844})
    reload(page)
    wait_until(page, "document.querySelector('#chart .js-plotly-plot')?.offsetWidth > 200")
    wait_until_it_fits(page, 390)
    term = page.locator(".live-facts .term").first
    term.focus()
    page.keyboard.press("Enter")
    assert term.get_attribute("aria-expanded") == "true" and "nudge" in page.locator(".live-progress .live-help").inner_text()


def test_what_a_button_has_to_say_is_seen(workspace, page, tmp_path):
    """Gradio shows errors and notes of queued events only; a refused run once left the page silent."""
    page.locator("#run-name").locator("input, textarea").first.fill("a/b")
    page.locator("#start").click()
    page.get_by_text("'a/b' cannot be the name of a run").wait_for()
    page.locator("#stop").click()
    page.get_by_text("Nothing is training.").wait_for()
    tab(page, "Runs")
    (tmp_path / "no.zip").write_bytes(b"PK nonsense")
    with page.expect_file_chooser() as chooser:
        page.locator("#import-run").click()
    chooser.value.set_files(tmp_path / "no.zip")
    page.get_by_text("no.zip cannot be opened").wait_for()
