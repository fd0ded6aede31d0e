"""On the Model tab: whether the draft fits this machine and how long it takes, and the biggest model that would do in N minutes.

The page's questions only read, and come from anybody's browser: every argument is checked.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, RunConfig
from gptlab.runs.sizing import CANCELLED, Sizings, identity
from gptlab.train.device import available_threads
from gptlab.train.room import room
from gptlab.ui import form, model_facts, words, words_size, words_train
from gptlab.ui.lab import Lab, change_draft, draft_config, draft_dataset, read_draft

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "biggest.js")  # in this order, as one function
MOST_MINUTES = 100_000
USUAL_MINUTES = 10


class Biggest:
    """What pages ask for and are told. Looks for one model at a time, whoever asks."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.sizings = Sizings(lab.workspace)

    def component(self) -> gr.HTML:
        """The sentence, the button and what comes of it. Its value is `shown`'s; its events are "find_biggest" (in `minutes`),
        "cancel_biggest" and "use_biggest"."""
        def now(question):  # a plain function, because gradio marks the ones a page may call
            return self.now(question)

        return gr.HTML(
            elem_id="biggest", html_template=(HERE / "biggest.html").read_text(encoding="utf-8"), apply_default_css=False,
            js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), server_functions=[now],
            words=words_size.SIZE, usual=USUAL_MINUTES, value={})

    def shown(self, draft: Any) -> dict:
        """What a draft makes of it: the `id` of its search, the `draft` itself, to ask with, and the `command`, whose minutes the
        page fills in."""
        command = model_facts.command(self.lab, draft, "biggest")
        config, _ = self._config(draft)
        kept = {name: read_draft(draft)[name] for name in ("dataset", "preset", "changes")}
        id = "" if config is None else identity(config, draft_dataset(self.lab, draft) or "")
        return {"id": id, "draft": kept, "command": command}

    def start(self, draft: Any, minutes: Any) -> dict:
        """Begins to look; what to show. Raises ValueError with what keeps it from that."""
        if type(minutes) not in (int, float) or not 0 < minutes <= MOST_MINUTES:
            raise ValueError(words_size.NOT_A_TIME)
        if self.lab.max_minutes is not None and minutes > self.lab.max_minutes:
            raise ValueError(words_size.at_most_minutes(self.lab.max_minutes))
        dataset = draft_dataset(self.lab, draft)
        if dataset is None:
            raise ValueError(words_train.PREPARING_FIRST if self.lab.preparations.busy else words.NO_DATA)
        try:
            self.sizings.start(draft_config(self.lab, draft), dataset, minutes)
        except ConfigError as problem:
            raise ValueError(form.in_words(problem)) from None
        return {**self.shown(draft), "at": time.time()}  # news to a page even where it shows the same

    def now(self, question: Any) -> dict:
        """Of the `draft`: whether it `fits`, in words (`ill` where it does not), `settled` once that will not change. Of the
        search `id`: how far it is (`going`, `percent`) while one is under way, `own` where it is that one; else its `problem`,
        `failed` where it was not just cancelled, or what it `told`, what it `warned` of, and whether the draft is so already
        (`used`)."""
        asked = question if isinstance(question, dict) else {}
        return {**self._fits(asked.get("draft")), **self._searched(asked.get("id"), asked.get("draft"))}

    def _searched(self, id: Any, draft: Any) -> dict:
        if self.sizings.busy:
            current = self.sizings.current
            return {"own": current.id == id, **_progress(current.search)}
        sizing = self.sizings.of(id)
        if sizing is None:
            return {}
        if sizing.problem:
            return {"problem": form.page_names(sizing.problem), "failed": sizing.problem != CANCELLED}
        found, (config, _) = sizing.search.found, self._config(draft)
        used = config is not None and config.replace(found.settings) == config
        return {"told": found.told, "warned": found.warned, "used": used}

    def _fits(self, draft: Any) -> dict:
        config, problem = self._config(draft)
        if config is None:
            return {"fits": problem, "ill": True, "settled": True}
        name = draft_dataset(self.lab, draft)
        found, pending = None, False
        if name is not None:
            found, pending = self.lab.estimates.of(config, name), self.lab.estimates.pending
            if found is None and not pending:  # found out between the two, or not to be found out
                found = self.lab.estimates.of(config, name)
        if found is not None:
            return {"fits": form.page_names(found.told), "ill": not found.room.fits, "settled": True}
        vocab_size = self.lab.preparations.manifest(name)["vocab_size"] if name else model_facts.usual_vocabulary(config)
        space = room(config, vocab_size, self.lab.device, available_threads())
        if not space.fits:
            return {"fits": form.page_names(space.told), "ill": True, "settled": not pending}
        if name is None:
            later, settled = words_size.TIMED_WITH_DATA, True
        elif self.lab.jobs.current is not None:
            later, settled = words_size.TIMED_LATER, False
        else:
            later, settled = words_size.TIMING, not pending
        return {"fits": f"{space.told}. " + ("" if settled and name else later), "ill": False, "settled": settled}

    def _config(self, draft: Any) -> tuple[RunConfig | None, str]:
        """A draft's settings, or why they cannot be used."""
        try:
            return draft_config(self.lab, draft), ""
        except ConfigError as problem:
            return None, form.in_words(problem)


def _progress(search: Any) -> dict:
    if search is None or not search.trying:
        return {"going": words_size.SIZE["starting"], "percent": 0}
    percent = round(100 * search.tried / search.most)
    return {"going": words_size.going(search.tried, search.most, search.trying), "percent": percent}


def with_biggest(biggest: Biggest, draft: Any) -> dict:
    """The draft with the model that was found for it. Raises ConfigError, and ValueError where none was."""
    config = draft_config(biggest.lab, draft)
    sizing = biggest.sizings.of(identity(config, draft_dataset(biggest.lab, draft) or ""))
    if sizing is None or sizing.search is None or sizing.search.found is None:
        raise ValueError("Nothing was found for these settings yet: find it first.")
    settings = sizing.search.found.settings
    config.replace(settings)
    return change_draft(draft, words_size.BIGGEST_STEP, changes={**read_draft(draft)["changes"], **settings})
