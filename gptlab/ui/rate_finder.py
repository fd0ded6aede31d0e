"""Find a learning rate: under the learning rate on the Model tab, a range test of the settings in the draft, and its curve.

The page's questions only read, and come from anybody's browser: every argument is checked.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, read_value
from gptlab.runs.rate_finding import CANCELLED, Findings, identity
from gptlab.train.rate_finder import RangeTest, with_rate
from gptlab.ui import form, model_facts, words, words_train
from gptlab.ui.lab import Lab, change_draft, draft_config, draft_dataset, read_draft
from gptlab.ui.look import plotly_script
from gptlab.ui.words_rate import RATE, going

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "rate_finder.js")  # in this order, as one function


class RateFinder:
    """What pages ask for and are told. Works on one test at a time, whoever asks."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.findings = Findings(lab.workspace)

    def component(self) -> gr.HTML:
        """The button and what comes of it. Its value is `shown`'s; its events are "find_rate", "cancel_rate" and "use_rate" (of
        `rate`)."""
        def now(question):  # a plain function, because gradio marks the ones a page may call
            return self.now(question)

        return gr.HTML(
            elem_id="rate-finder", html_template=(HERE / "rate_finder.html").read_text(encoding="utf-8"), apply_default_css=False,
            js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), server_functions=[now],
            head=plotly_script(), words=RATE, value={})

    def shown(self, draft: Any) -> dict:
        """What a draft makes of it: the `id` of its test, the rate that is set (`present`), the `command`, and whether anything
        is `known` of such a test."""
        command = model_facts.command(self.lab, draft, "find-rate")
        dataset = draft_dataset(self.lab, draft)
        try:
            config = draft_config(self.lab, draft)
        except ConfigError:
            return {"id": "", "present": None, "command": command, "known": False}
        id = identity(config, dataset or "")
        return {"id": id, "present": config.train.max_learning_rate, "command": command,
                "known": self.findings.of(id) is not None}

    def start(self, draft: Any) -> dict:
        """Begins to test what a draft would train; what to show. Raises ValueError with what keeps it from that."""
        dataset = draft_dataset(self.lab, draft)
        if dataset is None:
            raise ValueError(words_train.PREPARING_FIRST if self.lab.preparations.busy else words.NO_DATA)
        try:
            self.findings.start(draft_config(self.lab, draft), dataset)
        except ConfigError as problem:
            raise ValueError(form.in_words(problem)) from None
        return {**self.shown(draft), "at": time.time()}  # news to a page even where it shows the same

    def now(self, question: Any) -> dict:
        """Of the test `id`: how far it is (`going`, `percent`) while one is under way, `own` where it is that one; else its
        `problem`, `failed` where it was not just cancelled, or what it `told` and the `rate` it suggests. With its `figure`, in
        which the `present` rate is marked, unless the page has that: `have` is then its `at`."""
        asked = question if isinstance(question, dict) else {}
        id, present = asked.get("id"), asked.get("present")
        if self.findings.busy:
            current = self.findings.current
            return {"own": current.id == id, **_progress(current.test)}
        finding = self.findings.of(id)
        if finding is None:
            return {}
        if finding.problem:
            return {"problem": form.page_names(finding.problem), "failed": finding.problem != CANCELLED}
        test = finding.test
        rate = present if type(present) in (int, float) and 0 < present <= 1 else None
        drawn = None if asked.get("have") == finding.begun else _figure(test, rate)
        told = form.page_names(test.told)
        if rate and rate != test.suggested_learning_rate and test.did_as_well(rate):
            told += f" {RATE['as_well'].format(rate=f'{rate:g}')}"
        return {"told": told, "rate": test.suggested_learning_rate, "at": finding.begun, "figure": drawn}


def _progress(test: RangeTest | None) -> dict:
    if test is None:
        return {"going": RATE["starting"], "percent": 0}
    done = len(test.rates)
    return {"going": going(done, test.updates, test.seconds_left), "percent": round(100 * done / test.updates)}


def _figure(test: RangeTest, present: float | None) -> dict:
    """`data`, and `layouts` for both looks, as Plotly takes them."""
    from gptlab import plots  # here, because what draws takes long to import

    light, dark = (json.loads(plots.range_test(test.rates, test.losses, test.smoothed, test.suggested_learning_rate, present,
                                               look).to_json()) for look in (plots.LIGHT, plots.DARK))
    return {"data": light["data"], "layouts": {"light": light["layout"], "dark": dark["layout"]}}


def with_found(lab: Lab, draft: Any, rate: Any) -> dict:
    """The draft with a learning rate that was found. Raises ConfigError for what is none."""
    config = draft_config(lab, draft)
    wanted = with_rate(config, read_value("train.max_learning_rate", rate))
    config.replace(wanted)
    return change_draft(draft, form.label("train.max_learning_rate"), changes={**read_draft(draft)["changes"], **wanted})
