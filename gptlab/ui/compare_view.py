"""Runs side by side under the table of runs: what `gptlab.runs.compare` finds, as few numbers as a page can draw.

Knows the component that asks for a comparison and the one that shows it; what they look like is compare_view.js's.
"""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.runs import family
from gptlab.runs.compare import AXES, MOST, Comparison, compare
from gptlab.runs.rundir import RunDir
from gptlab.ui import run_files, words_runs
from gptlab.ui.lab import SPEAKS, Lab, guarded
from gptlab.ui.look import plotly_script
from gptlab.ui.run_files import said
from gptlab.ui.which_run import run_by_id, status_here
from gptlab.ui.words import STATES

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "compare_view.js")  # in this order, as one function
DRAWN = ("train_loss", "val_loss", "val_bits_per_byte")
MOST_POINTS = 600  # of a curve
DIGITS = 6
ALIVE = ("running", "paused", "queued")


class Comparisons:
    """What pages ask for and are told: runs side by side, read once for all who look at the same ones."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._reading = threading.Lock()
        self._read: tuple[tuple, dict] | None = None  # (which, what is shown), the last one

    def of(self, runs: list[RunDir]) -> dict:
        """What the page takes (`shown`), with a `mark`, another one once any of the runs has said more, and whether any is
        `alive`. Raises RunError."""
        mark = self._mark(runs)
        with self._reading:
            if self._read is None or self._read[0] != (runs, mark):
                told = shown(compare(runs))
                states = [status_here(self.lab, run)["state"] for run in runs]
                for one, state in zip(told["runs"], states):
                    one["state"] = state
                self._read = (runs, mark), {**told, "mark": mark, "alive": any(state in ALIVE for state in states)}
            return self._read[1]

    def news(self, question: Any) -> dict | None:
        """The comparison of `runs`, ids, where the page's, of that `mark`, is out of date; None where nothing is new, or a run is
        gone."""
        question = question if isinstance(question, dict) else {}
        try:
            runs = chosen(self.lab, question.get("runs"))
            return None if self._mark(runs) == question.get("mark") else self.of(runs)
        except (ValueError, OSError):
            return None

    def _mark(self, runs: list[RunDir]) -> str:
        """Two looks at the disk a run: pages ask beside a training."""
        current, waiting = self.lab.jobs.standing
        sizes = [run.events_path.stat().st_size if run.events_path.exists() else 0 for run in runs]
        return json.dumps([sizes, [run == current for run in runs], [run in waiting for run in runs]])


def component(comparisons: Comparisons) -> gr.HTML:
    """What shows a comparison, and asks for it again while one of its runs trains; empty until there is one."""
    def news(question):  # a plain function, because gradio marks the ones a page may call
        return comparisons.news(question)

    return gr.HTML(elem_id="comparison", html_template=(HERE / "compare_view.html").read_text(encoding="utf-8"),
                   head=plotly_script(), server_functions=[news],
                   words={**words_runs.COMPARE, "axes": AXES, "states": STATES}, apply_default_css=False,
                   js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS))


def connect(comparisons: Comparisons, table: gr.HTML, view: gr.HTML, file: gr.DownloadButton, message: gr.HTML) -> None:
    """Compare, and the report on a comparison."""
    lab = comparisons.lab

    @guarded
    def on_compare(event: gr.EventData):
        yield gr.skip(), said(words_runs.COMPARE["reading"])  # long runs take seconds
        try:
            told = comparisons.of(chosen(lab, event.runs))
        except Exception:
            yield gr.skip(), ""
            raise
        yield {**told, "at": time.time(), "said": event.note if isinstance(event.note, str) else ""}, ""

    table.run_compare(on_compare, None, [view, message], **SPEAKS)
    run_files.connect(lab, view.report, lambda event: ("report", chosen(lab, event.runs)), file, message)


def chosen(lab: Lab, ids: Any) -> list[RunDir]:
    """The runs of these ids. Raises ValueError where one is not there."""
    return [run_by_id(lab, one) for one in ids[:MOST + 1]] if isinstance(ids, list) else []


def shown(found: Comparison) -> dict:
    """`Comparison.to_dict` as the page takes it: its values as words, and its curves as `lines`, thinned: x by axis, and y.

    `main` is the quantity that compares best.
    """
    from gptlab.exchange.document import value_text  # here, because what draws takes long to import

    told = found.to_dict()
    for run in told["runs"]:
        run["lines"] = {name: _line(run["curves"][name]) for name in DRAWN}
        del run["curves"]
        run["best"] = run["best"] and {name: value if math.isfinite(value) else None for name, value in run["best"].items()}
    told["differences"] = [{"label": one.label, "values": one.texts(value_text)} for one in found.differences]
    told["family"] = [{"name": one.name, "letter": one.letter, "depth": one.depth, "told": family.told(one, value_text)}
                      for one in found.family]
    told["drawing"] = found.drawing(value_text)
    return {**told, "main": "loss" if found.same_data or found.same_tokenizer else "bits"}


def _line(curve: dict[str, list]) -> dict:
    """One curve, the same points over each axis. The lowest and the last stay where it is thinned."""
    y = curve["step"][1]
    every = math.ceil(len(y) / MOST_POINTS) or 1
    known = [i for i, value in enumerate(y) if value is not None]
    kept = sorted({*range(0, len(y), every), *known[-1:], *([min(known, key=y.__getitem__)] if known else [])})
    return {"x": {axis: [_short(curve[axis][0][i]) for i in kept] for axis in AXES}, "y": [_short(y[i]) for i in kept]}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
