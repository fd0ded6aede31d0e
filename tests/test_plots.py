"""Figures: every spike, every name, told apart without colour, the same data in both looks."""

import json
import math
import re

import pytest
from test_history import evaluation, status, step
from tiny_run import tiny_run, tiny_workspace

from gptlab import plots
from gptlab.runs.history import read_history

BASELINES = {"uniform": 4.0, "unigram": 3.0, "bigram": 2.0, "xz": 1.5, "entropy_floor": 0.5}


@pytest.fixture
def run(tmp_path, small_text):
    return tiny_run(tiny_workspace(tmp_path, small_text))


@pytest.fixture
def history(run):
    run.append(status(0, "running"), evaluation(0, 4.0), *(step(n, 30.0 if n == 77 else 3.0) for n in range(1, 1001)),
               evaluation(500, 1.0), evaluation(1000, 2.0))
    return read_history(run)


def traces(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


def test_the_loss_figure(history):
    figure = plots.loss(history, BASELINES, unit="characters")
    found = traces(figure)
    raw = found["train, every step"]
    assert 30.0 in raw.y and len(raw.y) < 700, "thinned, and the spike is there"
    assert list(found["unseen text (val)"].x) == [0, 500, 1000] and list(found["best"].x) == [500]
    assert found["best"].marker.symbol == "star"
    assert [note.text for note in figure.layout.annotations] == [
        "pure guessing  4.00", "counting characters  3.00", "counting pairs  2.00",
        "compressing (xz)  1.50", "best possible  0.50"]
    low, high = figure.layout.yaxis.range
    assert low <= 0.5 and 4.0 < high < 30.0, "a spike leaves the picture, not the data"
    dashes = [found[name].line.dash for name in ("train, smoothed", "unseen text (val)", "pure guessing", "best possible")]
    assert len(set(dashes)) == 4


def test_a_reference_that_is_not_known_is_not_drawn(history):
    names = set(traces(plots.loss(history, {**BASELINES, "entropy_floor": None})))
    assert "best possible" not in names and "pure guessing" in names
    older = {name: value for name, value in BASELINES.items() if name != "xz"}  # prepared before there was such a line
    assert set(traces(plots.loss(history, BASELINES))) - set(traces(plots.loss(history, older))) == {"compressing (xz)"}


def test_a_run_that_said_nothing_can_be_drawn(run):
    empty = read_history(run)
    for figure in (plots.loss(empty, BASELINES), plots.perplexity(empty), plots.learning_rate(empty), plots.grad_norm(empty),
                   plots.comparison([plots.Curve("A", "A x", [], [])], "steps", "loss")):
        json.loads(figure.to_json())


def test_numbers_that_are_none(run):
    """A loss that was no number is left out, and moves no axis."""
    run.append(*(step(n, math.nan if n == 2 else 3.0) for n in range(1, 4)), evaluation(1, 3.0), evaluation(3, math.nan))
    figure = plots.loss(read_history(run), BASELINES)
    assert 2 not in traces(figure)["train, every step"].x and list(traces(figure)["unseen text (val)"].x) == [1]
    assert all(map(math.isfinite, figure.layout.yaxis.range))


def test_small_figures(history):
    assert list(plots.perplexity(history).data[0].x) == [0, 500, 1000]
    assert plots.perplexity(history).layout.yaxis.type == plots.grad_norm(history).layout.yaxis.type == "log"
    assert set(plots.learning_rate(history).data[0].y) == {1e-3}


@pytest.mark.parametrize("values", [[6.0, 500.0], [0.7, 1.4], [1.0, 1.0], [1e-4, 1e4]])
def test_a_logarithmic_axis_has_labels(values):
    axis = plots._log_axis(values)
    assert 2 <= len(axis["tickvals"]) <= 12 or values == [1.0, 1.0]
    low, high = axis["range"]
    assert all(low <= math.log10(tick) <= high for tick in axis["tickvals"])
    assert low < math.log10(min(values)) and math.log10(max(values)) < high


def test_eight_runs_are_told_apart_without_colour():
    """Dash and marker differ, and each line bears its label at its end, no two labels on each other."""
    curves = [plots.Curve("ABCDEFGH"[i], f"run {i}", [0, 10], [3.0, 1.0 + i / 1000]) for i in range(8)]
    figure = plots.comparison(curves, "steps", "loss")
    assert len({trace.line.dash for trace in figure.data}) == len({trace.marker.symbol for trace in figure.data}) == 8
    low, high = figure.layout.yaxis.range
    pixels = (figure.layout.height - plots.MARGIN["t"] - plots.MARGIN["b"]) / (high - low)
    places = sorted(note.y * pixels + note.yshift for note in figure.layout.annotations)
    assert min(b - a for a, b in zip(places, places[1:])) >= plots.LABEL_HEIGHT - 0.01
    assert [re.sub("<.*?>", "", note.text) for note in figure.layout.annotations] == list("ABCDEFGH")


def test_a_run_that_ended_early_keeps_its_label_at_its_end():
    """Labels are moved only for those beside them, and never onto the axis."""
    curves = [plots.Curve(letter, letter, [0, end], [3.0, 1.0]) for letter, end in (("A", 10), ("B", 4), ("C", 10), ("D", 10))]
    shifts = {re.sub("<.*?>", "", note.text): note for note in plots.comparison(curves, "steps", "loss").layout.annotations}
    assert shifts["B"].x == 4 and abs(shifts["B"].yshift) < plots.LABEL_HEIGHT / 2
    figure = plots.comparison(curves, "steps", "loss")
    low, high = figure.layout.yaxis.range
    pixels = (figure.layout.height - plots.MARGIN["t"] - plots.MARGIN["b"]) / (high - low)
    assert min((note.y - low) * pixels + note.yshift for note in shifts.values()) >= plots.LABEL_HEIGHT / 2


def test_names_are_text():
    figure = plots.comparison([plots.Curve("<b>", "<a href='x'>x</a>", [1], [1])], "steps", "loss")
    assert figure.data[0].name.startswith("&lt;a") and "&lt;b&gt;" in figure.layout.annotations[0].text


def test_both_looks_have_the_same_data_and_a_colour_for_each_trace(history):
    light, dark = (json.loads(plots.loss(history, BASELINES, look).to_json()) for look in (plots.LIGHT, plots.DARK))
    assert light["data"] == dark["data"]
    assert all("color" not in trace.get("line", {}) for trace in light["data"]), "colours are the template's"
    for look in (light, dark):
        assert len(look["layout"]["template"]["data"]["scatter"]) == len(light["data"])


@pytest.mark.parametrize("look", [plots.LIGHT, plots.DARK])
def test_everything_can_be_read_on_its_paper(look):
    """WCAG 2: text 4.5 : 1."""
    def luminance(colour: str) -> float:
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
                   for weight, c in zip((0.2126, 0.7152, 0.0722), parts))
    paper = luminance(look.paper)
    for colour in (look.text, look.quiet, look.train, look.val, look.counting, look.floor, *look.runs):
        high, low = sorted((luminance(colour), paper), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


def test_the_library_comes_with_the_package():
    script = plots.plotly_js()
    assert "plotly.js v" in script[:200] and "</script" not in script.lower()


def test_a_range_test_is_drawn_with_both_rates_marked_or_one_line_where_they_are_the_same():
    rates, losses = [10.0 ** (-5 + i / 10) for i in range(50)], [4 - 0.05 * i for i in range(48)] + [6.0, 60.0]
    figure = plots.range_test(rates, losses, losses, 0.003, 0.012)
    assert [note.text for note in figure.layout.annotations] == ["suggested<br><b>0.003</b>", "set now<br><b>0.012</b>"]
    assert [note.xanchor for note in figure.layout.annotations] == ["right", "left"], "on the side where the other is not"
    assert list(traces(figure)["suggested"].x) == [0.003, 0.003] and figure.layout.xaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < min(losses) and 4.0 < high < 6.0, "what blows up leaves the picture"
    assert list(figure.layout.xaxis.ticktext) == ["0.0001", "0.001", "0.01", "0.1"]
    assert [note.text for note in plots.range_test(rates, losses, losses, 0.003, 0.003).layout.annotations] == [
        "suggested, and set<br><b>0.003</b>"]
    far = plots.range_test(rates, losses, losses, None, 1.0)
    assert far.layout.xaxis.range[1] == 0 and len(far.data) == 3, "a rate that is set beyond what was tried is seen"
    json.loads(plots.range_test([], [], [], None, None).to_json())
