"""The Train tab: start, pause, stop; the rest is the live view. Handlers write a run or a command and return at once.

Training itself belongs to nobody's page: see gptlab.runs.jobs.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from gptlab.config import ConfigError
from gptlab.runs.rundir import RunDir
from gptlab.runs.trainable import check_trainable
from gptlab.runs.workspace import create_run
from gptlab.ui import form, words
from gptlab.ui.lab import QUIET, SPEAKS, Lab, Page, draft_config, draft_dataset, guarded
from gptlab.ui.live import live_view
from gptlab.ui.next_run import default_name
from gptlab.ui.which_run import run_or_none

SHOWN_RUN = "() => window.gptlab.shownRun()"  # the page's answer in place of the live view's value

WRITE_WITH_IT = """() => {
  window.gptlab.writeWith = window.gptlab.shownRun();
  window.dispatchEvent(new Event('gptlab-write'));
}"""


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    with gr.Row(elem_classes="train-buttons"):
        begin = gr.Button(words.START, variant="primary", elem_id="start", scale=2, min_width=200)
        pause = gr.Button(words.PAUSE, elem_id="pause", scale=1, min_width=100)
        resume = gr.Button(words.RESUME, elem_id="resume", scale=1, min_width=100)
        stop = gr.Button(words.STOP, elem_id="stop", scale=1, min_width=100)
        write = gr.Button(words.WRITE_WITH_IT, elem_id="write", scale=1, min_width=130)
        name = gr.Textbox(label=words.RUN_NAME, show_label=False, container=False, elem_id="run-name", max_lines=1, scale=2,
                          min_width=240)
    live = live_view(lab)

    @guarded
    def on_start(wanted_name, draft):
        run, note = start_training(lab, wanted_name, draft)
        if not note:
            return "", run.id
        gr.Info(note, title="", duration=6)
        return "", gr.skip()  # what trains stays on view

    def named(draft):
        return gr.Textbox(placeholder=words.name_hint(default_name(lab, draft)))

    def on_button(action):
        @guarded
        def handler(shown):
            if note := action(lab, shown):
                gr.Info(note, title="", duration=5)
        return handler

    def on_write():
        return gr.Tabs(selected="playground")

    begin.click(on_start, [name, page.draft], [name, page.shown], **SPEAKS).success(
        None, page.shown, None, js="run => window.gptlab.open(run)")
    for button, action in ((pause, pause_run), (resume, resume_run), (stop, stop_run)):
        button.click(on_button(action), live, None, js=SHOWN_RUN, **SPEAKS)
    write.click(on_write, None, page.tabs, js=WRITE_WITH_IT, **QUIET)
    gr.on([page.demo.load, page.draft.change], None, [page.draft, page.shown], live,
          js="(draft, shown) => ({...draft, shown})", show_progress="hidden")
    gr.on([page.demo.load, page.draft.change], named, page.draft, name, trigger_mode="multiple", **QUIET)


def start_training(lab: Lab, wanted_name: str | None, draft: Any) -> tuple[RunDir, str]:
    """Makes the run a draft describes and hands it to the queue; (the run, a sentence if it has to wait).

    Raises ValueError (RunError and DataError are some) with what keeps it from starting; then there is no run.
    """
    dataset_name = draft_dataset(lab, draft)
    if dataset_name is None:
        raise ValueError(words.PREPARING_FIRST if lab.preparations.busy else words.NO_DATA)
    try:
        config = draft_config(lab, draft)
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None
    dataset = lab.workspace.open_dataset(dataset_name)
    check_trainable(config, dataset)
    before = lab.jobs.current
    run = create_run(lab.workspace, config, dataset, (wanted_name or "").strip() or default_name(lab, draft))
    lab.jobs.submit(run)
    return run, words.QUEUED.format(name=run.name, training=before.name) if before else ""


def pause_run(lab: Lab, shown: Any) -> str:
    """Pauses what trains: the run on view, or else the one that is at it."""
    run = working(lab, shown)
    if run is None:
        return words.NOTHING_TO_PAUSE
    run.command("pause")
    return ""


def resume_run(lab: Lab, shown: Any) -> str:
    """Goes on with the run on view: at once if it is paused, else from its last checkpoint, after those that wait."""
    run = run_or_none(lab, shown)
    if run is None:
        return words.NOTHING_TO_RESUME
    if run.state() == "paused":
        run.command("resume")
        return ""
    before = lab.jobs.current
    lab.jobs.resume(run)
    return words.QUEUED.format(name=run.name, training=before.name) if before else ""


def stop_run(lab: Lab, shown: Any) -> str:
    """Stops the run on view if it trains or waits, else the one that trains. Any number of times."""
    run = working(lab, shown)
    if run is None:
        return words.NOTHING_TO_STOP
    waiting = run.state() == "queued"
    lab.jobs.stop(run)
    return (words.TAKEN_BACK if waiting else words.STOPPING).format(name=run.name)


def working(lab: Lab, shown: Any) -> RunDir | None:
    """The run a button means: the one on view while it works or waits, else the one that trains."""
    run = run_or_none(lab, shown)
    return run if run is not None and run.state() in ("running", "paused", "queued") else lab.jobs.current
