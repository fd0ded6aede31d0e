"""Static Plotly figures of what runs have said, in a light and a dark look. Knows no files and no page.

Curves are thinned as in live_history.js: a bucket's lowest and highest value stay, so spikes do. Lines differ by dash
and by a label at their end as well as by colour. Colours stand in the template alone, one entry a trace, so that the
same data can be shown in either look.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly
import plotly.graph_objects as go

from gptlab.runs.history import BUCKETS, RunHistory, last_of_each, low_and_high

HEIGHT, SMALL_HEIGHT = 400, 230  # pixels
LABEL_HEIGHT = 17                # of an end label, in pixels: nearer ones are moved apart
MARGIN = dict(l=52, r=14, t=10, b=44)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px 3px 2px 3px 2px 3px", "2px 5px")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "pentagon")
REFERENCES = (("uniform", "pure guessing", "dot"), ("unigram", "counting {unit}", "longdash"),
              ("bigram", "counting pairs", "longdashdot"), ("xz", "compressing (xz)", "2px 6px"),
              ("entropy_floor", "best possible", "dashdot"))
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Arial, sans-serif"


@dataclass(frozen=True)
class Look:
    """Colours on one kind of paper. `runs` are for runs that are compared, all readable as text on the paper."""

    text: str
    quiet: str
    grid: str
    paper: str
    train: str
    faint: str
    val: str
    counting: str
    floor: str
    runs: tuple[str, ...]

    def template(self, colours: Sequence[str]) -> go.layout.Template:
        """A template whose n-th colour is the n-th trace's."""
        font = dict(family=FONT, size=13, color=self.text)
        axis = dict(gridcolor=self.grid, linecolor=self.grid, zeroline=False, automargin=True,
                    tickfont=dict(color=self.quiet), title=dict(font=dict(color=self.quiet), standoff=8))
        traces = [dict(line=dict(color=colour), textfont=dict(color=colour, size=13),
                       marker=dict(color=colour, line=dict(color=self.paper, width=1))) for colour in colours]
        return go.layout.Template(data=dict(scatter=traces), layout=dict(
            font=font, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
            xaxis={**axis, "showgrid": False, "ticks": "outside", "tickcolor": self.grid}, yaxis=axis,
            hoverlabel=dict(bgcolor=self.paper, bordercolor=self.grid, font=font)))


LIGHT = Look(text="#0f172a", quiet="#475569", grid="#e2e8f0", paper="#ffffff", train="#2563eb",
             faint="rgba(37,99,235,0.42)", val="#c2410c", counting="#7c3aed", floor="#047857",
             runs=("#2563eb", "#c2410c", "#047857", "#7c3aed", "#be185d", "#0e7490", "#854d0e", "#334155"))
DARK = Look(text="#f1f5f9", quiet="#a9b6cb", grid="#2a3650", paper="#141c2e", train="#60a5fa",
            faint="rgba(96,165,250,0.46)", val="#fdba74", counting="#c4b5fd", floor="#34d399",
            runs=("#60a5fa", "#fdba74", "#34d399", "#c4b5fd", "#f9a8d4", "#67e8f9", "#fde047", "#cbd5e1"))


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a comparison: what it is called where it ends, its whole name, and its points."""

    label: str
    name: str
    x: np.ndarray
    y: np.ndarray


# --- one run ---

def loss(history: RunHistory, baselines: dict[str, float | None], look: Look = LIGHT, unit: str = "tokens") -> go.Figure:
    """Loss on training text, raw (faint) and evened out, and on unseen text with the best starred, under named references.

    `baselines` as in a manifest: uniform, unigram, bigram, xz, entropy_floor; None where unknown. `unit`: what tokens are.
    """
    step, raw = history.steps["step"], history.steps["loss"]
    spikes, smooth = low_and_high(step, raw), last_of_each(step, history.smooth)
    measured = _thinned([one for one in history.evaluations if math.isfinite(one.val_loss)], history.best)
    best = [history.best] if history.best and len(measured) > 1 else []
    references = [(baselines[name], label.format(unit=unit), dash) for name, label, dash in REFERENCES
                  if baselines.get(name) is not None]
    end = max(1, history.last_step) * 1.01
    traces = [
        _line("train, every step", step[spikes], raw[spikes], width=1.2, hoverinfo="skip"),
        _line("train, smoothed", step[smooth], history.smooth[smooth], width=2.5),
        _line("unseen text (val)", [one.step for one in measured], [one.val_loss for one in measured], width=2.5,
              dash="dash", mode="lines" if len(measured) > 60 else "lines+markers", marker=dict(size=7)),
        _line("best", [one.step for one in best], [one.val_loss for one in best], mode="markers",
              marker=dict(size=15, symbol="star")),
    ]
    traces += [_line(label, [0, end], [value, value], width=1.4, dash=dash, hoverinfo="skip")
               for value, label, dash in references]
    colours = {"pure guessing": look.quiet, "best possible": look.floor}
    reference_colours = [colours.get(label, look.counting) for _, label, _ in references]
    template = look.template([look.faint, look.train, look.val, look.val, *reference_colours])
    figure = _figure(traces, template, HEIGHT, "training steps", "loss (nats a token)")
    seen = [*raw[spikes].tolist(), *(one.val_loss for one in measured)]
    low, high = _loss_range(seen, [value for value, _, _ in references])
    figure.update_layout(hovermode="x unified", xaxis_range=[0, end], yaxis_range=[low, high], annotations=_names(
        references, reference_colours, low, (HEIGHT - MARGIN["t"] - MARGIN["b"]) / (high - low)))
    return figure


def _names(references: list[tuple[float, str, str]], colours: list[str], low: float, pixels: float) -> list[dict]:
    """Each reference's name over its line, at the right; the lowest, where there is room, under it: curves come from above.

    The axis begins at `low`; `pixels` is the height of 1 nat.
    """
    order = sorted(range(len(references)), key=lambda i: references[i][0])
    shifts = dict(zip(order, _apart([(references[i][0] - low) * pixels for i in order])))
    annotations = []
    for i, ((value, label, _), colour) in enumerate(zip(references, colours)):
        below = label == "best possible" and value > 0.06 * references[0][0]
        annotations.append(dict(x=1, xref="paper", xanchor="right", y=value, yanchor="top" if below else "bottom",
                                yshift=shifts[i] - (1 if below else 0), text=f"{label}  {value:.2f}", showarrow=False,
                                font=dict(color=colour)))
    return annotations


def perplexity(history: RunHistory, look: Look = LIGHT) -> go.Figure:
    """Among how many equally likely tokens it picks on unseen text; a logarithmic axis."""
    measured = _thinned([one for one in history.evaluations if math.isfinite(one.val_loss)], history.best)
    y = [one.val_perplexity for one in measured]
    trace = _line("perplexity", [one.step for one in measured], y, width=2.5, dash="dash",
                  mode="lines" if len(measured) > 60 else "lines+markers", marker=dict(size=6))
    figure = _figure([trace], look.template([look.val]), SMALL_HEIGHT, "training steps", "perplexity")
    return figure.update_layout(yaxis=_log_axis(y))


def learning_rate(history: RunHistory, look: Look = LIGHT) -> go.Figure:
    """How large the nudges were."""
    return _of_steps(history, "learning_rate", "learning rate", look, ".2g")


def grad_norm(history: RunHistory, look: Look = LIGHT) -> go.Figure:
    """How strongly each batch pulled at the weights, before clipping; a logarithmic axis, because spikes are what counts."""
    figure = _of_steps(history, "grad_norm", "gradient norm", look, ".3g")
    return figure.update_layout(yaxis=_log_axis(figure.data[0].y))


# --- several runs ---

def comparison(curves: Sequence[Curve], x_title: str, y_title: str, look: Look = LIGHT, height: int = HEIGHT) -> go.Figure:
    """One line a run, told apart by dash, marker, colour and the label at its end; up to eight."""
    traces, ends = [], []
    for i, curve in enumerate(curves):
        few = len(curve.x) <= 40
        traces.append(_line(html.escape(curve.name), curve.x, curve.y, width=2.4, dash=DASHES[i], marker=dict(
            size=7 if len(curves) < 5 else 5, symbol=MARKERS[i]), mode="lines+markers" if few else "lines"))
        if len(curve.x):
            ends.append((float(curve.x[-1]), float(curve.y[-1]), i))
    figure = _figure(traces, look.template(look.runs), height, x_title, y_title)
    low, high = _range([value for curve in curves for value in np.asarray(curve.y).tolist()])
    pixels = (height - MARGIN["t"] - MARGIN["b"]) / (high - low)
    annotations = [dict(x=x, y=y, xanchor="left", xshift=7, yshift=shift, showarrow=False, bgcolor=look.paper, borderpad=0,
                        text=f"<b>{html.escape(curves[i].label)}</b>", font=dict(size=15, color=look.runs[i]))
                   for group in _side_by_side(ends)
                   for (x, y, i), shift in zip(group, _apart([(y - low) * pixels for _, y, _ in group]))]
    return figure.update_layout(annotations=annotations, yaxis_range=[low, high], margin_r=34, xaxis_rangemode="tozero")


def plotly_js() -> str:
    """The library that draws figures in a browser, as the installed package carries it: one script, no network."""
    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


# --- a range test ---

def range_test(rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float | None,
               present: float | None, look: Look = LIGHT) -> go.Figure:
    """Loss against a learning rate that rose, raw (faint) and evened out; `suggested` and the `present` rate are marked."""
    named = {"suggested": suggested, "set now": present}
    if suggested is not None and suggested == present:
        named = {"suggested, and set": suggested}
    marked = {name: rate for name, rate in named.items() if rate is not None}
    low, high = _range_of_test(losses, smoothed)
    traces = [
        _line("each batch", rates, losses, width=1.2, hoverinfo="skip"),
        _line("smoothed", rates, smoothed, width=2.8, hovertemplate="loss %{y:.3f} at %{x:.2g}<extra></extra>"),
        *(_line(name, [rate, rate], [low, high], width=2, dash="dot" if name == "set now" else "solid", hoverinfo="skip")
          for name, rate in marked.items())]
    colours = [look.val if name == "set now" else look.floor for name in marked]
    figure = _figure(traces, look.template([look.faint, look.train, *colours]), HEIGHT, "learning rate", "loss (nats a token)")
    side = ["center"] if len(marked) < 2 else ["right", "left"] if suggested < present else ["left", "right"]
    figure.update_traces(cliponaxis=True)
    return figure.update_layout(yaxis_range=[low, high], xaxis=_decades([*rates, *marked.values()]), margin_t=48, annotations=[
        dict(x=math.log10(rate), xanchor=anchor, align=anchor, y=1, yref="paper", yanchor="bottom", showarrow=False,
             text=f"{name}<br><b>{rate:.3g}</b>", font=dict(color=colour))
        for (name, rate), anchor, colour in zip(marked.items(), side, colours)])


def _range_of_test(losses: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """From below the lowest loss to above where it began: what blows up leaves the picture, not the data."""
    low, first = min(losses, default=0.0), max(smoothed[:1], default=1.0)
    air = 0.06 * ((first - low) or 1.0)
    return low - air, first + 4 * air


def _decades(rates: Sequence[float]) -> dict:
    """A logarithmic axis with powers of ten written out, those that fit a phone: nobody need read 1e-05."""
    low, high = math.log10(min(rates, default=1e-5)), math.log10(max(rates, default=1.0))
    powers = range(max(-4, math.ceil(low - 0.01)), math.floor(high + 0.01) + 1)
    return dict(type="log", range=[low, high], tickvals=[10.0**power for power in powers],
                ticktext=[f"{10.0**power:.{max(0, -power)}f}" for power in powers])


# --- pieces ---

def _line(name: str, x, y, *, width: float = 2, dash: str = "solid", mode: str = "lines", **more) -> go.Scatter:
    more = more if "hoverinfo" in more else {"hovertemplate": "%{y:.4g}", **more}
    return go.Scatter(name=name, x=list(x), y=list(y), mode=mode, line=dict(width=width, dash=dash), cliponaxis=False,
                      **more)


def _figure(traces: list, template: go.layout.Template, height: int, x_title: str, y_title: str) -> go.Figure:
    return go.Figure(traces, dict(template=template, height=height, margin=MARGIN, showlegend=False, hovermode="closest",
                                  xaxis=dict(title_text=x_title, nticks=7), yaxis=dict(title_text=y_title, nticks=7)))


def _of_steps(history: RunHistory, name: str, title: str, look: Look, digits: str) -> go.Figure:
    step, values = history.steps["step"], history.steps[name]
    kept = low_and_high(step, values)
    trace = _line(title, step[kept], values[kept], width=1.6, hovertemplate=f"%{{y:{digits}}} at step %{{x}}<extra></extra>")
    return _figure([trace], look.template([look.train]), SMALL_HEIGHT, "training steps", title)


def _thinned(evaluations: list, best) -> list:
    """No more than about BUCKETS of them; the best and the last always."""
    every = max(1, math.ceil(len(evaluations) / BUCKETS))
    return [one for i, one in enumerate(evaluations) if i % every == 0 or one is best or one is evaluations[-1]]


def _loss_range(seen: list[float], references: list[float]) -> list[float]:
    """From just below the best to just above pure guessing; a spike beyond twice that leaves the picture, not the data."""
    seen = [value for value in seen if value == value]
    low, top, guessing = min([*seen, *references], default=0.0), max(seen, default=0.0), max(references, default=0.0)
    high = max(guessing, min(top, 2 * guessing)) if guessing else top or 5.0
    unit = 0.5 if high > 4 else 0.25
    return [max(0.0, math.floor(low / unit - 0.3) * unit), math.ceil(high / unit + 0.4) * unit]


def _range(values: list[float]) -> tuple[float, float]:
    """Room for all of them, with a little air."""
    values = [value for value in values if value == value]
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = 0.05 * ((high - low) or abs(high) or 1.0)
    return low - air, high + air


def _log_axis(values) -> dict:
    """A logarithmic axis over positive values, labelled at powers of ten, and at multiples between where these are few."""
    exponents = [math.log10(value) for value in values if value > 0]
    low, high = min(exponents, default=0.0), max(exponents, default=1.0)
    air = max(0.04, 0.06 * (high - low))
    low, high = low - air, high + air
    every = max(1, round((high - low) / 4))
    factors = range(1, 10) if high - low < 0.8 else (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1, every) for factor in factors
             if low <= math.log10(factor) + power <= high]
    return dict(type="log", range=[low, high], tickvals=ticks, ticktext=[f"{tick:,.6g}" for tick in ticks])


def _side_by_side(ends: list[tuple[float, float, int]]) -> list[list[tuple[float, float, int]]]:
    """Ends of curves, (x, y, which), in groups whose labels could cover each other, each from the lowest up."""
    groups: list[list[tuple[float, float, int]]] = []
    near = 0.08 * max((x for x, _, _ in ends), default=0.0)
    for end in sorted(ends):
        if groups and end[0] - groups[-1][-1][0] <= near:
            groups[-1].append(end)
        else:
            groups.append([end])
    return [sorted(group, key=lambda end: end[1]) for group in groups]


def _apart(positions: list[float]) -> list[float]:
    """How far to move labels at these rising positions, in pixels above the axis, so that none covers another or the axis."""
    places = list(positions)
    for _ in range(100):  # push neighbours apart until all have room
        for i in range(1, len(places)):
            if (missing := LABEL_HEIGHT - (places[i] - places[i - 1])) > 0:
                places[i - 1] -= missing / 2
                places[i] += missing / 2
    lowest = LABEL_HEIGHT / 2
    for i, place in enumerate(places):
        places[i] = max(place, lowest)
        lowest = places[i] + LABEL_HEIGHT
    return [place - position for place, position in zip(places, positions)]
