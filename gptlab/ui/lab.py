"""What the tabs share: the workspace, the queue, the draft of the next run, and the boundary where errors become words.

A tab is a module with `build(lab, page)`. Tabs never import tabs: what one changes, another hears by `page.draft.change`.
Knows no widget but the draft.
"""

from __future__ import annotations

import functools
import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from gptlab.config import ConfigError, DataConfig, RunConfig, all_settings, changes
from gptlab.presets import DEFAULT_PRESET, Preset, preset, presets
from gptlab.runs.preparing import Preparations
from gptlab.train.preflight import EFFICIENCY, matrix_rate
from gptlab.train.plan import Plan
from gptlab.ui import words

if TYPE_CHECKING:
    from gptlab.runs.jobs import Jobs
    from gptlab.runs.workspace import Workspace

NEW_DRAFT = {"dataset": None, "preset": DEFAULT_PRESET, "changes": {}, "history": [], "shown": None,
             "preparing": None}  # the data set this page waits for, to use it once it is there
UNDO_STEPS = 30
ONE_GESTURE_SECONDS = 2.0


@dataclass
class Lab:
    """What there is once on the server, however many pages look at it."""

    workspace: Workspace
    jobs: Jobs
    max_minutes: float | None = None  # no run may train longer
    device: str = "cpu"               # what `train.device` auto means here: cpu, cuda or mps
    gpu_note: str = ""                # a sentence where torch cannot use a GPU that is there
    preparations: Preparations = field(init=False)

    def __post_init__(self) -> None:
        self.preparations = Preparations(self.workspace)

    @property
    def has_gpu(self) -> bool:
        """Whether presets that would take a processor days can run here."""
        return self.device == "cuda"

    @functools.cached_property
    def operations_per_second(self) -> float:
        """About what training reaches here, measured by a few matrix products when first asked for."""
        return EFFICIENCY * matrix_rate(self.device, "fp32")


@dataclass
class Page:
    """What there is once in each page. `draft` is what that page would start next (NEW_DRAFT's keys), kept by the browser.

    Whatever is written to `draft`, even the same, makes it "change": what answers a change must not write to it, and must say
    `trigger_mode="multiple"`. With Gradio 6.31's "always_last", the default, a listener that is done sends the event again to
    all of them: two listeners then keep each other going for ever, 30 requests a second.
    """

    demo: gr.Blocks
    draft: gr.BrowserState
    tick: gr.Timer       # twice a second, but only while a data set is being prepared
    tabs: gr.Tabs = None


def new_draft_state() -> gr.BrowserState:
    """The draft of a page. A fixed key and secret let it survive reloads and restarts of the app."""
    return gr.BrowserState(NEW_DRAFT, storage_key="gptlab-draft", secret="gptlab-draft")


def read_draft(draft: Any) -> dict:
    """A whole draft from what the browser kept, which may come from another version or another workspace."""
    known = {name: draft[name] for name in NEW_DRAFT if name in draft} if isinstance(draft, dict) else {}
    whole = {**NEW_DRAFT, **known}
    whole["preset"] = whole["preset"] if whole["preset"] in presets() else DEFAULT_PRESET
    changed = whole["changes"] if isinstance(whole["changes"], dict) else {}
    whole["changes"] = {name: changed[name] for name, _ in all_settings() if name in changed}
    whole["history"] = list(whole["history"] or [])[-UNDO_STEPS:]
    return whole


def change_draft(draft: Any, what: str, **values: Any) -> dict:
    """A draft with `values` replaced, and a step back in its history. `what` names the change ("Layers").

    Changes of the same thing in quick succession (a slider being dragged) are one step.
    """
    draft = read_draft(draft)
    if all(draft[name] == value for name, value in values.items()):
        return draft
    before = {"what": what, "at": time.time(), **{name: draft[name] for name in ("dataset", "preset", "changes")}}
    history = draft["history"]
    if history and history[-1]["what"] == what and before["at"] - history[-1]["at"] < ONE_GESTURE_SECONDS:
        history = [*history[:-1], {**history[-1], "at": before["at"]}]
    else:
        history = [*history, before][-UNDO_STEPS:]
    return {**draft, **values, "history": history}


def undo(draft: Any) -> dict:
    """The draft as it was before the last change."""
    draft = read_draft(draft)
    if not draft["history"]:
        return draft
    last = draft["history"][-1]
    return {**draft, "dataset": last["dataset"], "preset": last["preset"], "changes": last["changes"],
            "history": draft["history"][:-1]}


def draft_preset(draft: Any) -> Preset:
    """The preset a draft starts from."""
    return preset(read_draft(draft)["preset"])


def draft_dataset(lab: Lab, draft: Any) -> str | None:
    """The prepared data set a draft would train on: the chosen one, else the one its preset goes with; None if not there."""
    draft = read_draft(draft)
    names = lab.workspace.dataset_names()
    if draft["dataset"] in names:
        return draft["dataset"]
    if draft["dataset"] is not None or draft_preset(draft).dataset is None:
        return None
    return lab.preparations.find(draft_preset(draft).config.data)


def draft_config(lab: Lab, draft: Any) -> RunConfig:
    """The settings a draft would train with: its preset's, its changes, its data set's.

    Raises ConfigError, also where the data set is too short for them.
    """
    config = draft_preset(draft).config.replace(read_draft(draft)["changes"])
    name = draft_dataset(lab, draft)
    if name is None:
        return config
    prepared = lab.preparations.manifest(name)["config"]
    config = config.replace({f"data.{key}": value for key, value in prepared.items() if key in DataConfig.__annotations__})
    try:
        Plan(config, lab.preparations.manifest(name)["train_tokens"])
    except ValueError as too_short:
        raise ConfigError([str(too_short)]) from None
    return config


def draft_changes(draft: Any) -> dict[str, Any]:
    """What differs from the preset, as "3 settings differ" counts it; without the data set's own settings. Raises ConfigError."""
    base = draft_preset(draft).config
    return changes(base.replace(read_draft(draft)["changes"]), base)


def guarded(handler: Callable) -> Callable:
    """The one boundary between exceptions and the page: a mendable problem is shown as its sentence, any other as a plain
    one with the traceback on stderr. Inputs and outputs of the page stay as they were. For functions and generators.
    """
    def in_words(error: Exception) -> gr.Error:
        if isinstance(error, (ValueError, FileExistsError)):
            return gr.Error(str(error), title=words.TRY_AGAIN, duration=12, print_exception=False)
        traceback.print_exception(error)
        return gr.Error(words.UNEXPECTED, title=words.TRY_AGAIN, duration=12, print_exception=False)

    @functools.wraps(handler)
    def function(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            raise in_words(error) from None

    @functools.wraps(handler)
    def generator(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            raise in_words(error) from None

    return generator if inspect.isgeneratorfunction(handler) else function
