"""What the tabs share: the workspace, the queue, the draft of the next run, and the boundary where errors become words.

A tab is a module with `build(lab, page)`. Tabs never import tabs: what one changes, another hears by `page.draft.change`.
Knows no widget but the draft.
"""

from __future__ import annotations

import functools
import html
import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context

from gptlab.config import ConfigError, DataConfig, RunConfig, all_settings, changes
from gptlab.presets import DEFAULT_PRESET, Preset, preset, presets
from gptlab.runs.preparing import Preparations
from gptlab.train.preflight import EFFICIENCY, matrix_rate
from gptlab.train.plan import Plan
from gptlab.ui import words

if TYPE_CHECKING:
    from gptlab.runs.jobs import Jobs
    from gptlab.runs.workspace import Workspace
    from gptlab.ui.next_run import Estimates

NEW_DRAFT = {"dataset": None, "preset": DEFAULT_PRESET, "changes": {}, "history": [],
             "preparing": None}  # the data set this page waits for, to use it once it is there
DRAFT_KEYS = ("dataset", "preset", "changes")  # what a step back brings back
UNDO_STEPS = 30
ONE_GESTURE_SECONDS = 2.0
# How an event is sent. Gradio 6.31 shows gr.Error and gr.Info of queued events only: what a person does that may be refused
# SPEAKS, and sends EACH time where the next thing may be done before the server is done with the last: else Gradio drops it.
# What is quick and cannot go wrong, or answers with its problem as text, is QUIET.
SPEAKS = dict(concurrency_limit=None, show_progress="hidden", api_visibility="private")
EACH = {**SPEAKS, "trigger_mode": "multiple"}
QUIET = dict(queue=False, show_progress="hidden", api_visibility="private")


@dataclass
class Lab:
    """What there is once on the server, however many pages look at it."""

    workspace: Workspace
    jobs: Jobs
    max_minutes: float | None = None  # no run may train longer
    device: str = "cpu"               # what `train.device` auto means here: cpu, cuda or mps
    gpu_note: str = ""                # a sentence where torch cannot use a GPU that is there
    shared: bool = False              # whether the app listens beyond this machine: then several people use it
    watch_code: str = ""              # a picture (data: address) that leads phones to the large view, beyond this machine only
    preparations: Preparations = field(init=False)

    def __post_init__(self) -> None:
        self.preparations = Preparations(self.workspace)

    @property
    def has_gpu(self) -> bool:
        """Whether presets that would take a processor days can run here."""
        return self.device == "cuda"

    @functools.cached_property
    def estimates(self) -> Estimates:
        """What runs would need and take here, each measured once, whoever asks."""
        from gptlab.ui.next_run import Estimates  # here, because it knows drafts

        return Estimates(self)

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
    shown: gr.BrowserState  # the id of the run it shows; not in the draft, whose edits a slow Start would undo
    elsewhere: gr.Textbox   # hidden; written to when settings of the draft were changed outside the Model tab (`now`)
    who: gr.BrowserState    # the name a person gave, where several use the app
    tick: gr.Timer       # twice a second, but only while a data set is being prepared
    tabs: gr.Tabs = None


def now() -> str:
    """What to write to `Page.elsewhere`: something that was not written before."""
    return repr(time.time())


def kept_by_browser(name: str, value: Any) -> gr.BrowserState:
    """Something of a page's that survives reloads and restarts of the app: both need a fixed key and secret.

    Its place is the page, wherever it is made: what stands in a tab Gradio mounts when the tab is opened, too late for
    what the page is filled in from.
    """
    state = gr.BrowserState(value, storage_key=f"gptlab-{name}", secret=f"gptlab-{name}")
    state.parent.children.remove(state)
    Context.root_block.add(state)
    return state


def read_draft(draft: Any) -> dict:
    """A whole draft from what the browser kept, which may come from another version or another workspace."""
    known = {name: draft[name] for name in NEW_DRAFT if name in draft} if isinstance(draft, dict) else {}
    whole = _whole({**NEW_DRAFT, **known})
    history = whole["history"] if isinstance(whole["history"], list) else []
    steps = [_whole(step) for step in history if isinstance(step, dict) and step.keys() >= {"what", "at", *DRAFT_KEYS}]
    return {**whole, "history": steps[-UNDO_STEPS:]}


def _whole(draft: dict) -> dict:
    """The same, with a preset that there is and changes of settings that there are."""
    name, changed = draft["preset"], draft["changes"] if isinstance(draft["changes"], dict) else {}
    return {**draft, "preset": name if isinstance(name, str) and name in presets() else DEFAULT_PRESET,
            "changes": {name: changed[name] for name, _ in all_settings() if name in changed}}


def change_draft(draft: Any, what: str, **values: Any) -> dict:
    """A draft with `values` replaced, and a step back in its history. `what` names the change ("Layers").

    Changes of the same thing in quick succession (a slider being dragged) are one step.
    """
    draft = read_draft(draft)
    if all(draft[name] == value for name, value in values.items()):
        return draft
    before = {"what": what, "at": time.time(), **{name: draft[name] for name in DRAFT_KEYS}}
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
    return {**draft, **{name: last[name] for name in DRAFT_KEYS}, "history": draft["history"][:-1]}


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

    Raises ConfigError, also where the data set is cut off, or too short for them.
    """
    config = draft_preset(draft).config.replace(read_draft(draft)["changes"])
    if lab.max_minutes is not None and (config.train.max_minutes is None or config.train.max_minutes > lab.max_minutes):
        config = config.replace({"train.max_minutes": lab.max_minutes})
    name = draft_dataset(lab, draft)
    if name is None:
        return config
    try:
        manifest = lab.preparations.manifest(name)
        config = config.replace({f"data.{key}": value for key, value in manifest["config"].items()
                                 if key in DataConfig.__annotations__})
        Plan(config, manifest["train_tokens"])
    except ConfigError:
        raise
    except ValueError as problem:
        raise ConfigError([str(problem)]) from None
    return config


def draft_changes(draft: Any) -> dict[str, Any]:
    """What differs from the preset, as "3 settings differ" counts it; without the data set's own settings. Raises ConfigError."""
    base = draft_preset(draft).config
    return changes(base.replace(read_draft(draft)["changes"]), base)


def say(note: str, seconds: float) -> None:
    """Shows a sentence for a while. As text: Gradio 6.31 takes messages for HTML, and a run's name may hold anything."""
    gr.Info(html.escape(note, quote=False), title="", duration=seconds)


def guarded(handler: Callable) -> Callable:
    """The one boundary between exceptions and the page: a mendable problem is shown as its sentence, any other as a plain
    one with the traceback on stderr. Inputs and outputs of the page stay as they were. For functions and generators.
    """
    def in_words(error: Exception) -> gr.Error:
        if isinstance(error, (ValueError, FileExistsError)):
            return gr.Error(html.escape(str(error), quote=False), title=words.TRY_AGAIN, duration=12, print_exception=False)
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
