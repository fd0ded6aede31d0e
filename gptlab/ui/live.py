"""The live view of a run: the server's half, which only reads, and the HTML component that carries the page's half.

The page asks with a cursor and gets a raw slice of the run's events, which the browser parses: an answer costs under 2 ms,
for the same processor may be training. A lost answer heals itself. Knows files of runs, nothing of training.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.model import estimate
from gptlab.runs import curves
from gptlab.runs.disk import RunError
from gptlab.runs.label import OWNER_CHARACTERS
from gptlab.runs.rundir import RunDir
from gptlab.ui import form, words, words_export, words_train
from gptlab.ui.lab import Lab
from gptlab.ui.look import plotly_script
from gptlab.ui.machine import Machine
from gptlab.ui.next_run import NextRun
from gptlab.ui.queue_view import QueueNow
from gptlab.ui.sample_tokens import SampleTokens
from gptlab.ui.steering_panel import SteeringPanel
from gptlab.ui.which_run import named, run_or_none, status_here

HERE = Path(__file__).parent
SCRIPTS = ("live_history.js", "live_chart.js", "live_text.js", "token_text.js", "live_samples.js", "live_table.js", "live_experts.js",
           "live_alerts.js", "live_numbers.js", "live_queue.js", "live_replay.js", "live_steer.js",
           "live.js")  # in this order, as one function
OPEN = "run => window.gptlab.open(run)"  # for events whose answer is the id of a run to show
SLICE_BYTES = 65_536
NOTE_CHARACTERS = 400
SHOWN_STATUS = ("state", "reason", "step", "total_steps", "epoch", "tokens", "tokens_per_second", "eta_seconds", "time_seconds")


class LiveRuns:
    """Answers the page's questions about runs. Questions come from anybody's browser: every argument is checked."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._about: dict[str, dict] = {}  # what never changes about a run
        self._machine = Machine()
        self._queue = QueueNow(lab)
        self._building = threading.Lock()
        self._built: tuple[tuple[str, int], dict] | None = None  # of the long run without a cache that was asked for last

    def poll(self, question: Any) -> dict:
        """What is new. `question`: `run` (an id or None), `offset` (bytes of its events already known), `opening` (choose).

        A long run is not told from its beginning: its first answer has `curves` (see gptlab.runs.curves).
        The answer has `run`, `training` (the run that trains now) and `queue` (see gptlab.ui.queue_view), `machine`; and where
        there is a run `shown` (it, by id, name and owner), `offset`, `lines`, `more` (whether to ask again at once), `status`,
        and for offset 0 `about`.
        """
        question = question if isinstance(question, dict) else {}
        asked = run = run_or_none(self.lab, question.get("run"))
        if run is None or question.get("opening") is True:
            run = self.choose(run)
        answer = {"run": run.id if run else None, **self._queue.told(), "machine": self._machine.load()}
        return {**answer, **self._news(run, question.get("offset") if run == asked else 0)} if run else answer

    def choose(self, shown_before: RunDir | None) -> RunDir | None:
        """What a page that opens shows: the run that trains, else what it showed before, else the latest."""
        runs = self.lab.workspace.list_runs()
        return self.lab.jobs.current or shown_before or (runs[0] if runs else None)

    def _news(self, run: RunDir, offset: Any) -> dict:
        status = status_here(self.lab, run)
        size = run.events_path.stat().st_size if run.events_path.exists() else 0
        known = offset if isinstance(offset, int) and 0 <= offset <= size else 0
        news: dict[str, Any] = {"status": {name: status[name] for name in SHOWN_STATUS}, "shown": _on_view(run)}
        if known == 0:
            news["about"] = self.about(run)
            if size > curves.LONG_BYTES:  # not told from the beginning, but in sum
                told = self._curves(run, size)
                return {**news, "curves": told, "offset": told["events_bytes"], "lines": "", "more": told["events_bytes"] < size}
        lines, following = run.read_events(known, SLICE_BYTES)
        return {**news, "offset": following, "lines": lines.decode("utf-8", errors="replace"),
                "more": bool(lines) and following < size}

    def _curves(self, run: RunDir, size: int) -> dict:
        """A long run in few numbers: as its worker keeps them, else put together here, once for all who ask."""
        if (kept := curves.load(run)) is not None:
            return kept
        with self._building:
            if self._built is None or self._built[0] != (run.id, size):
                self._built = (run.id, size), curves.built(run)
            return self._built[1]

    def about(self, run: RunDir) -> dict:
        """Data set, tokenizer, baselines and size of a run; little for a damaged one, whose state says so."""
        if run.id not in self._about:
            try:
                config, manifest = run.config(), run.manifest()
                count = estimate.total_parameters(config.model, manifest["vocab_size"])
                self._about[run.id] = {
                    "dataset": manifest["name"], "tokenizer": manifest["tokenizer"],
                    "baselines": dict(manifest["baselines"]), "parameters": words.parameters(count)}
            except (RunError, KeyError, TypeError, ValueError):  # a file that is missing, cut off, or not whole
                return {}
        return self._about[run.id]


def _on_view(run: RunDir) -> dict:
    """A run by id, name and owner, and the beginnings of what somebody predicted and saw: a view has three lines for each."""
    label = run.label()
    return {**named(run, label), "predicted": label.predicted[:NOTE_CHARACTERS], "saw": label.saw[:NOTE_CHARACTERS]}


def live_view(lab: Lab) -> gr.HTML:
    """The view: chart, numbers, samples, table. Its value is the page's draft; the rest it asks for itself."""
    runs, next_run, tokens, panel = LiveRuns(lab), NextRun(lab), SampleTokens(lab), SteeringPanel(lab)

    def poll(question):  # plain functions, because gradio marks the ones a page may call
        return runs.poll(question)

    def ahead(draft):
        return next_run.ahead(draft)

    def pieces(question):
        return tokens.pieces(question)

    def copied(question):
        return tokens.copied(question)

    def steering(question):
        return panel.options(question)

    def foreseen(question):
        return panel.foresee(question)

    return gr.HTML(
        elem_id="live", html_template=(HERE / "live.html").read_text(encoding="utf-8"), apply_default_css=False,
        head=plotly_script(), code=lab.watch_code, shared=lab.shared,
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        server_functions=[poll, ahead, pieces, copied, steering, foreseen],
        words={**words_train.LIVE, "queue": {**words_train.QUEUE, "who_length": OWNER_CHARACTERS},
               "notes": words_train.NOTES,
               "dialogs": [{"name": name, "label": label} for name, label in words_export.DIALOGS.items()],
               "replay": words_train.REPLAY, "steer": words_train.STEER, "experts": words_train.EXPERTS,
               "settings": {name: form.label(name) for name in form.FIELDS}})
