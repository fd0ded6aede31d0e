"""The Playground tab: a run, a checkpoint, a prompt, and how daring to be; the text streams in as it is written."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, RunConfig, SampleConfig
from gptlab.events import Sample
from gptlab.runs.checkpoint import best_of, list_checkpoints
from gptlab.runs.eventlog import parse_lines
from gptlab.ui import form, words
from gptlab.ui.lab import QUIET, SPEAKS, Lab, Page, guarded
from gptlab.ui.which_run import run_by_id
from gptlab.ui.writing import Writer

HERE = Path(__file__).parent
SETTINGS = {"sample.temperature": "temperature", "sample.max_new_tokens": "length", "sample.greedy": "greedy",
            "sample.top_k": "top-k", "sample.top_p": "top-p", "sample.seed": "sampling-seed"}
PAGES_AT_ONCE = 4


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    writer, stops = Writer(lab), Stops()
    with gr.Column(visible=False, elem_id="playground-empty") as empty:
        gr.Markdown(words.NOTHING_TO_WRITE_WITH)
        to_train = gr.Button(words.TO_TRAINING, variant="primary", elem_id="playground-to-train", scale=0, min_width=220)
    with gr.Row(elem_classes="columns", visible=False) as full:
        with gr.Column(scale=3, min_width=320):
            prompt = gr.Textbox(label=words.PROMPT, info=words.PROMPT_HELP, elem_id="prompt", lines=3, max_lines=12)
            with gr.Row(elem_classes="tight"):
                begin = gr.Button(words.GENERATE, variant="primary", elem_id="generate", scale=3)
                stop = gr.Button(words.STOP, elem_id="stop-writing", scale=1)
            output = gr.HTML(elem_id="output", html_template=(HERE / "playground.html").read_text(encoding="utf-8"),
                             js_on_load=(HERE / "playground.js").read_text(encoding="utf-8"), apply_default_css=False,
                             words={"blank": words.BLANK})
        with gr.Column(scale=2, min_width=320):
            listed = dict(filterable=False, interactive=True)
            run = gr.Dropdown(label=words.RUN, info=words.RUN_HELP, elem_id="run", **listed)
            checkpoint = gr.Dropdown(label=words.CHECKPOINT, info=words.CHECKPOINT_HELP, elem_id="checkpoint", **listed)
            widgets = _settings()
            note = gr.HTML(elem_id="greedy-note")
        followed = gr.Textbox(visible=False)  # the run on view when this page last filled in its own
    boxes = [widgets[name] for name in SETTINGS]

    @guarded
    def refill(shown, chosen, shown_before):
        return [*filled(lab, shown if shown != shown_before else None, chosen), shown]

    @guarded
    def take(event: gr.EventData):
        return filled(lab, event.run, None)

    @guarded
    def choose(run_id):
        return checkpoints_of(lab, run_id), first_prompt(lab, run_id)

    @guarded
    def write(request: gr.Request, run_id, which, text, *values):
        settings = sample_settings(dict(zip(SETTINGS, values)))
        found, stopping = run_by_id(lab, run_id), stops.begin(request.session_hash)
        text = text or ""
        for so_far in writer.write(found, which or "best", text, settings, stopping.is_set):
            yield {"prompt": text, "text": so_far.text, "writing": not so_far.ending, "note": words.written_note(so_far)}

    @guarded
    def on_stop(request: gr.Request):
        stops.stop(request.session_hash)

    shown = [empty, full, run, checkpoint, prompt]
    # A number box that is made empty shows 0; one that is emptied shows that it is empty.
    page.demo.load(lambda: [form.to_widget(name, form.FIELDS[name].default) for name in SETTINGS], None, boxes, **QUIET)
    gr.on([page.demo.load, page.tabs.select], refill, [page.shown, run, followed], [*shown, followed], preprocess=False,
          **QUIET)
    output.write_with(take, None, shown, **SPEAKS)
    run.input(choose, run, [checkpoint, prompt], preprocess=False, **SPEAKS)
    gr.on([begin.click, prompt.submit], write, [run, checkpoint, prompt, *boxes], output, preprocess=False, trigger_mode="once",
          show_progress="hidden", concurrency_limit=PAGES_AT_ONCE, api_visibility="private")
    stop.click(on_stop, None, None, **QUIET)
    of_no_use = [widgets[name] for name in ("sample.temperature", "sample.top_k", "sample.top_p", "sample.seed")]
    switches = [widgets["sample.greedy"], widgets["sample.temperature"]]
    gr.on([switch.input for switch in switches], greedy_note, switches, [note, *of_no_use], trigger_mode="always_last", **QUIET)
    to_train.click(lambda: gr.Tabs(selected="train"), None, page.tabs, **QUIET)


class Stops:
    """Which page wants its writing to stop. A page writes one text at a time."""

    def __init__(self):
        self._events: dict[str, threading.Event] = {}

    def begin(self, session: str | None) -> threading.Event:
        """What the next `stop` of that page sets; a text it may still be writing ends."""
        self.stop(session)
        self._events[session or ""] = threading.Event()
        return self._events[session or ""]

    def stop(self, session: str | None) -> None:
        """Harmless when nothing is being written."""
        if event := self._events.pop(session or "", None):
            event.set()


def _settings() -> dict[str, gr.components.Component]:
    """The widgets by setting; the small ones side by side."""
    widgets = {name: form.widget(name, form.FIELDS[name].default, elem_id=SETTINGS[name])
               for name in ("sample.temperature", "sample.max_new_tokens", "sample.greedy")}
    with gr.Row(elem_classes="tight"):
        for name in ("sample.top_k", "sample.top_p", "sample.seed"):
            widgets[name] = form.widget(name, form.FIELDS[name].default, elem_id=SETTINGS[name], min_width=150)
    return widgets


def filled(lab: Lab, wanted: str | None, chosen: str | None) -> list:
    """The widgets as a page finds them: the wanted run if it can write, else the one chosen before, else the latest."""
    runs = {run.id: run for run in lab.workspace.list_runs() if run.checkpoint_paths()}
    if not runs:
        return [gr.update(visible=True), gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()]
    picked = next(run_id for run_id in (wanted, chosen, *runs) if run_id in runs)
    choices = [(words.run_label(run.id, run.name), run.id) for run in runs.values()]
    prompt = gr.skip() if picked == chosen else first_prompt(lab, picked)
    return [gr.update(visible=False), gr.update(visible=True), gr.Dropdown(choices=choices, value=picked),
            checkpoints_of(lab, picked), prompt]


def checkpoints_of(lab: Lab, run_id: Any) -> Any:
    """The choice of a run's checkpoints: best, last, and every step that is kept."""
    saved = [one for one in list_checkpoints(run_by_id(lab, run_id)) if one.problem is None]
    best, last = best_of(saved), saved[-1] if saved else None
    choices = [(words.checkpoint_label("best", best.step, best.val_loss), "best")] if best else []
    choices += [(words.checkpoint_label("last", last.step, last.val_loss), "last")] if last else []
    choices += [(words.checkpoint_label("step", one.step, one.val_loss), str(one.step)) for one in reversed(saved)]
    return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None)


def first_prompt(lab: Lab, run_id: Any) -> str:
    """What a run was asked to continue while it trained, as a beginning to try."""
    run = run_by_id(lab, run_id)
    if prompts := run.config().sample.prompts:
        return prompts[0]
    events, _ = parse_lines(run.read_events(0)[0])
    return next((event.prompt for event in events if isinstance(event, Sample)), "")


def sample_settings(values: dict[str, Any]) -> SampleConfig:
    """Checked settings from the widgets' values. Raises ValueError with every problem."""
    try:
        return RunConfig().replace({name: form.from_widget(name, value) for name, value in values.items()}).sample
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None


def greedy_note(greedy: bool, temperature: float) -> list:
    """Says and shows which controls have no effect when the likeliest token is always taken."""
    always = bool(greedy) or temperature == 0
    note = words.GREEDY_NOTE if greedy else words.ZERO_NOTE if always else ""
    free = [gr.update(interactive=not greedy), *[gr.update(interactive=not always)] * 3]
    return [f'<p class="message" role="status">{note}</p>' if note else "", *free]
