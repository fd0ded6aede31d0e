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
from gptlab.ui import form, queue_view, words, words_train
from gptlab.ui.lab import EACH, QUIET, SPEAKS, Lab, Page, draft_config, draft_dataset, guarded, now, say
from gptlab.ui.live import OPEN, live_view
from gptlab.ui.next_run import default_name
from gptlab.ui.people import person
from gptlab.ui.remedies import do_remedy, in_queue, pause_run, resume_run, sample_now, steer, stop_run

SHOWN_RUN = "() => window.gptlab.shownRun()"  # the page's answer in place of the live view's value
# Asked for once, where several people share the app: who sits here. Turned away from, nothing is started.
START_WITH = "async (name, draft) => [name, draft, window.gptlab.shownRun(), await window.gptlab.name()]"
# The run that was asked about, by its id; false where a person turned away; null where the page knows of none.
STOP_WITH = """async () => {
  const {who, shownRun, stopMeans} = window.gptlab, meant = stopMeans?.() ?? null;
  if (!meant) return [shownRun(), who, null];
  return [meant.run, who, await window.gptlab.may('stop', meant) && meant.run];
}"""
OPEN_MADE = "run => run && window.gptlab.open(run)"

WRITE_WITH_IT = "() => { window.gptlab.writeWith = window.gptlab.shownRun(); }"


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    with gr.Row(elem_classes="train-buttons"):
        begin = gr.Button(words_train.START, variant="primary", elem_id="start", scale=2, min_width=200)
        pause = gr.Button(words_train.PAUSE, elem_id="pause", scale=1, min_width=100)
        resume = gr.Button(words_train.RESUME, elem_id="resume", scale=1, min_width=100)
        stop = gr.Button(words_train.STOP, elem_id="stop", scale=1, min_width=100)
        write = gr.Button(words_train.WRITE_WITH_IT, elem_id="write", scale=1, min_width=130)
        name = gr.Textbox(label=words_train.RUN_NAME, show_label=False, container=False, elem_id="run-name", max_lines=1, scale=2,
                          min_width=240)
    live = live_view(lab)

    _connect_buttons(lab, page, live, begin, pause, resume, stop, name)
    _connect_view(lab, page, live)
    queue_view.connect(lab, page, live)
    write.click(lambda: gr.Tabs(selected="playground"), None, page.tabs, js=WRITE_WITH_IT, **QUIET)
    gr.on([page.demo.load, page.draft.change], None, [page.draft, page.shown], live,
          js="(draft, shown) => ({...draft, shown})", show_progress="hidden")


def _connect_buttons(lab: Lab, page: Page, live: gr.HTML, begin: gr.Button, pause: gr.Button, resume: gr.Button, stop: gr.Button,
                     name: gr.Textbox) -> None:
    """Start, pause, resume, stop; and what a run is called that nobody names."""
    @guarded
    def on_start(wanted_name, draft, on_view, who):
        if who is None:
            return gr.skip(), on_view, gr.skip()
        run, note = start_training(lab, wanted_name, draft, person(who))
        if not note:
            return "", run.id, person(who)
        say(note, 6)
        return "", on_view, person(who)  # stays on view; what the browser kept may be a run of yesterday

    @guarded
    def on_stop(shown, who, sure):
        if sure is not False and (note := stop_run(lab, shown, who, sure)):
            say(note, 5)

    def on_button(action):
        @guarded
        def handler(shown):
            if note := action(lab, shown):
                say(note, 5)
        return handler

    def named(draft):
        return gr.Textbox(placeholder=words_train.name_hint(default_name(lab, draft)))

    begin.click(on_start, [name, page.draft, live, page.who], [name, page.shown, page.who], js=START_WITH, **SPEAKS).success(
        None, page.shown, None, js=OPEN)
    for control, action in ((pause, pause_run), (resume, resume_run)):
        control.click(on_button(action), live, None, js=SHOWN_RUN, **SPEAKS)
    stop.click(on_stop, [live, page.who, page.shown], None, js=STOP_WITH, **SPEAKS)
    gr.on([page.demo.load, page.draft.change], named, page.draft, name, trigger_mode="multiple", **QUIET)


def _connect_view(lab: Lab, page: Page, live: gr.HTML) -> None:
    """What is done from the live view: a sample, a remedy of the Doctor's, the steering panel."""
    @guarded
    def on_sample(event: gr.EventData):
        if note := sample_now(lab, event.run):
            say(note, 5)

    made = gr.Textbox(visible="hidden")  # the id of a run that was made, which is to be on view

    def answer(done, asked, named):
        """A run that was made is on view; of any other a person may have turned away meanwhile."""
        if done.note:
            say(done.note, 8)
        opened = ("", gr.skip()) if done.run.id == asked else (done.run.id, done.run.id)
        return *opened, person(named) if named else gr.skip()

    @guarded
    def on_remedy(draft, who, event: gr.EventData):
        done = do_remedy(lab, draft, event.run, event.remedy, event.who or who, event.sure)
        drafted = [gr.skip()] * 2 if done.draft is None else [done.draft, now()]
        tab = gr.skip() if done.tab is None else gr.Tabs(selected=done.tab)
        return *answer(done, event.run, event.who), *drafted, tab

    @guarded
    def on_steer(who, event: gr.EventData):
        done = steer(lab, event.question, event.who or who, event.sure)
        return answer(done, event.question["run"], event.who)

    live.sample_now(on_sample, None, None, **SPEAKS)
    opened = [made, page.shown, page.who]
    live.remedy(on_remedy, [page.draft, page.who], [*opened, page.draft, page.elsewhere, page.tabs], **EACH).success(
        None, made, None, js=OPEN_MADE)
    live.steer(on_steer, page.who, opened, **EACH).success(None, made, None, js=OPEN_MADE)


def start_training(lab: Lab, wanted_name: str | None, draft: Any, owner: str = "") -> tuple[RunDir, str]:
    """Makes the run a draft describes, `owner`'s, and hands it to the queue; (the run, a sentence if it has to wait).

    Raises ValueError (RunError and DataError are some) with what keeps it from starting; then there is no run.
    """
    dataset_name = draft_dataset(lab, draft)
    if dataset_name is None:
        raise ValueError(words_train.PREPARING_FIRST if lab.preparations.busy else words.NO_DATA)
    try:
        config = draft_config(lab, draft)
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None
    dataset = lab.workspace.open_dataset(dataset_name)
    check_trainable(config, dataset)
    run = create_run(lab.workspace, config, dataset, (wanted_name or "").strip() or default_name(lab, draft),
                     owner=owner)
    return run, in_queue(lab, run)
