"""What a page would start next: in a sentence, as a command, with its baselines and how long it would take here.

Knows drafts and data sets, nothing of widgets. How long is measured by a few real steps, in the background, never while
something trains.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

from gptlab.config import ConfigError, RunConfig, SampleConfig, changes
from gptlab.presets import presets
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.runs.workspace import Workspace
from gptlab.ui import form, model_facts, words, words_train
from gptlab.ui.lab import Lab, change_draft, draft_changes, draft_config, draft_dataset, draft_preset, read_draft

if TYPE_CHECKING:
    from gptlab.train.preflight import Preflight


class NextRun:
    """Answers what Start training would start, for the draft of any page."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.estimates = lab.estimates

    def ahead(self, draft: Any) -> dict:
        """`sentence`, `command`, `dataset`, `tokenizer`, `baselines`, `total_steps`; `settled`: asking again is no use."""
        draft = read_draft(draft)
        name = draft_dataset(self.lab, draft)
        try:
            config, changed = draft_config(self.lab, draft), draft_changes(draft)
        except ConfigError as problem:
            return {"sentence": words_train.next_blocked(form.in_words(problem)), "settled": True}
        if name is None:
            busy = self.lab.preparations.busy
            return {"sentence": words_train.PREPARING_FIRST if busy else words.NO_DATA, "settled": False}
        manifest = self.lab.preparations.manifest(name)
        found = self.estimates.of(config, name)
        preset = draft_preset(draft)
        as_meant = not changed and preset.dataset and name == self.lab.preparations.find(preset.config.data)
        expected = preset.expect.get(self.lab.device, preset.expect["cpu"]) if as_meant else ""
        uses = found.choice.words if found and self.lab.jobs.current is None else ""  # else the run's own line says it
        return {"sentence": words_train.next_run(name, preset.title, len(changed), found and found.total_seconds, expected, uses),
                "command": model_facts.command(self.lab, draft), "dataset": name, "tokenizer": manifest["tokenizer"],
                "baselines": manifest["baselines"], "total_steps": total_steps(config),
                "settled": found is not None or not self.estimates.pending}


def again(lab: Lab, draft: Any, run: RunDir) -> dict:
    """The draft that would train as a run was begun, on the same data: told from the preset it is nearest to. Raises RunError,
    and DataError where that data is not here."""
    config, dataset = run.config(), lab.workspace.dataset_of(run).name
    settings = config.to_dict()
    differing = {name: [one for one in changes(config, base.config) if not one.startswith("data.")]
                 for name, base in presets().items() if lab.has_gpu or not base.needs_gpu}
    nearest = min(differing, key=lambda name: len(differing[name]))
    wanted = {one: settings[one.partition(".")[0]][one.partition(".")[2]] for one in differing[nearest]}
    drafted = change_draft(draft, words_train.AS_BEFORE.format(name=run.name), dataset=dataset, preset=nearest, changes=wanted)
    return {**drafted, "preparing": None}  # what it waited for it does not wait for any more


def default_name(lab: Lab, draft: Any) -> str:
    """What a run is called when nobody says otherwise."""
    preset = draft_preset(draft)
    return clean_name("-".join(part for part in (draft_dataset(lab, draft) or preset.dataset, preset.name) if part))


def total_steps(config: RunConfig) -> int | None:
    """Where a run's axis ends, if only steps limit it."""
    return config.train.max_steps if config.train.epochs is None and config.train.max_minutes is None else None


class Estimates:
    """How long runs would take here, and with what, each measured once in a background thread; the latest question first."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._known: dict[tuple[RunConfig, str], Preflight | None] = {}
        self._asked: tuple[RunConfig, str] | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        """Whether something is being measured."""
        return self._thread is not None and self._thread.is_alive()

    def of(self, config: RunConfig, dataset: str) -> Preflight | None:
        """What a whole run would take; None while not known, in which case it is being found out, unless something trains."""
        question = (dataclasses.replace(config, sample=SampleConfig()), dataset)  # what it writes costs next to nothing
        with self._lock:
            if question not in self._known and self.lab.jobs.current is None:
                self._asked = question
                if not self.pending:
                    # Not a daemon: ended inside torch it would take the program with it. It ends by itself in a moment.
                    self._thread = threading.Thread(target=self._measure, name="preflight")
                    self._thread.start()
            return self._known.get(question)

    def _measure(self) -> None:
        while True:
            with self._lock:
                question = self._asked
                if question is None or question in self._known or self.lab.jobs.current is not None:
                    return
            found = measure(question[0], self.lab.workspace, question[1])
            with self._lock:
                self._known[question] = found


def measure(config: RunConfig, workspace: Workspace, dataset_name: str) -> Preflight | None:
    """What a run would take, from a few steps of a model that is thrown away; None where it cannot be tried."""
    from gptlab.train import preflight

    try:
        return preflight.measure(config, workspace.open_dataset(dataset_name))
    except (ValueError, RuntimeError, MemoryError):  # text too short, no room for it: Start says which
        return None
