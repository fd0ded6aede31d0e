"""The Train tab: start, pause, stop; the rest is the live view. Handlers write a run or a command and return at once.

Training itself belongs to nobody's page: see gptlab.runs.jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from gptlab.config import ConfigError
from gptlab.runs import steering
from gptlab.runs.rundir import RunDir, clean_name
from gptlab.runs.trainable import check_trainable
from gptlab.runs.workspace import create_run
from gptlab.ui import form, words, words_train
from gptlab.ui.lab import QUIET, SPEAKS, Lab, Page, change_draft, draft_changes, draft_config, draft_dataset, guarded, read_draft
from gptlab.ui.live import OPEN, live_view
from gptlab.ui.next_run import default_name
from gptlab.ui.people import check_may, person
from gptlab.ui.which_run import run_by_id, run_or_none

SHOWN_RUN = "() => window.gptlab.shownRun()"  # the page's answer in place of the live view's value
# Asked for once, where several people share the app: who sits here. Turned away from, nothing is started.
START_WITH = "async (name, draft) => [name, draft, window.gptlab.shownRun(), await window.gptlab.name()]"
STOP_WITH = """async () => {
  const meant = window.gptlab.stopMeans?.() ?? null;
  return [window.gptlab.shownRun(), window.gptlab.who, meant ? await window.gptlab.may('stop', meant) : true];
}"""

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

    @guarded
    def on_start(wanted_name, draft, on_view, who):
        if who is None:
            return gr.skip(), on_view, gr.skip()
        run, note = start_training(lab, wanted_name, draft, person(who))
        if not note:
            return "", run.id, person(who)
        gr.Info(note, title="", duration=6)
        return "", on_view, person(who)  # stays on view; what the browser kept may be a run of yesterday

    @guarded
    def on_stop(shown, who, sure):
        if sure and (note := stop_run(lab, shown, who, sure)):
            gr.Info(note, title="", duration=5)

    def named(draft):
        return gr.Textbox(placeholder=words_train.name_hint(default_name(lab, draft)))

    def on_button(action):
        @guarded
        def handler(shown):
            if note := action(lab, shown):
                gr.Info(note, title="", duration=5)
        return handler

    @guarded
    def on_sample(event: gr.EventData):
        if note := sample_now(lab, event.run):
            gr.Info(note, title="", duration=5)

    @guarded
    def on_remedy(draft, who, event: gr.EventData):
        done = do_remedy(lab, draft, event.run, event.remedy, who, event.sure)
        gr.Info(done.note, title="", duration=8)
        return (done.run.id, gr.skip() if done.draft is None else done.draft,
                gr.skip() if done.tab is None else gr.Tabs(selected=done.tab))

    def on_write():
        return gr.Tabs(selected="playground")

    begin.click(on_start, [name, page.draft, live, page.who], [name, page.shown, page.who], js=START_WITH, **SPEAKS).success(
        None, page.shown, None, js=OPEN)
    for button, action in ((pause, pause_run), (resume, resume_run)):
        button.click(on_button(action), live, None, js=SHOWN_RUN, **SPEAKS)
    stop.click(on_stop, [live, page.who, page.shown], None, js=STOP_WITH, **SPEAKS)
    live.sample_now(on_sample, None, None, **SPEAKS)
    live.remedy(on_remedy, [page.draft, page.who], [page.shown, page.draft, page.tabs], **SPEAKS).success(None, page.shown, None, js=OPEN)
    write.click(on_write, None, page.tabs, js=WRITE_WITH_IT, **QUIET)
    gr.on([page.demo.load, page.draft.change], None, [page.draft, page.shown], live,
          js="(draft, shown) => ({...draft, shown})", show_progress="hidden")
    gr.on([page.demo.load, page.draft.change], named, page.draft, name, trigger_mode="multiple", **QUIET)


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
    before = lab.jobs.current
    run = create_run(lab.workspace, config, dataset, (wanted_name or "").strip() or default_name(lab, draft),
                     owner=owner)
    lab.jobs.submit(run)
    return run, words_train.QUEUED.format(name=run.name, training=before.name) if before else ""


def pause_run(lab: Lab, shown: Any) -> str:
    """Pauses what trains: the run on view, or else the one that is at it."""
    run = working(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_PAUSE
    run.command("pause")
    return ""


def sample_now(lab: Lab, shown: Any) -> str:
    """Asks the run on view, while it trains, for a text of every prompt."""
    run = run_or_none(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_SAMPLE
    run.command("sample")
    return ""


def resume_run(lab: Lab, shown: Any) -> str:
    """Goes on with the run on view: at once if it is paused, else from its last checkpoint, after those that wait."""
    run = run_or_none(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_RESUME
    if run.state() == "paused":
        run.command("resume")
        return ""
    before = lab.jobs.current
    lab.jobs.resume(run)
    return words_train.QUEUED.format(name=run.name, training=before.name) if before else ""


def stop_run(lab: Lab, shown: Any, who: Any = "", sure: Any = False) -> str:
    """Stops the run on view if it trains or waits, else the one that trains. Any number of times.

    Raises ValueError for somebody else's, unless `who` is sure.
    """
    run = working(lab, shown)
    if run is None:
        return words_train.NOTHING_TO_STOP
    check_may(run, who, sure)
    waiting = run.state() == "queued"
    lab.jobs.stop(run)
    return (words_train.TAKEN_BACK if waiting else words_train.STOPPING).format(name=run.name)


def working(lab: Lab, shown: Any) -> RunDir | None:
    """The run a button means: the one on view while it works or waits, else the one that trains."""
    run = run_or_none(lab, shown)
    return run if run is not None and run.state() in ("running", "paused", "queued") else lab.jobs.current


@dataclass(frozen=True)
class Done:
    """What came of a remedy: the run to be on view, a sentence, and where they change the draft and the tab."""

    run: RunDir
    note: str
    draft: dict | None = None
    tab: str | None = None


def do_remedy(lab: Lab, draft: Any, shown: Any, remedy: Any, who: Any = "", sure: Any = False) -> Done:
    """Does one of an alert's actions (`gptlab.events.Alert`) to the run it is about. Raises ValueError with what is in the way.

    What a page sends is checked like anything a person types: by the settings' own bounds, and by `steering`.
    """
    run, (kind, changes, step) = run_by_id(lab, shown), read_remedy(remedy)
    said = words_train.settings_said({form.label(name): value for name, value in changes.items()})
    try:
        match kind:
            case "stop" if run.state() in ("running", "paused", "queued"):
                return Done(run, stop_run(lab, run.id, who, sure))
            case "new":
                changed = change_draft(draft, words_train.FROM_THE_DOCTOR, changes={**read_draft(draft)["changes"], **changes})
                draft_changes(changed)  # raises where they do not go together
                return Done(run, words_train.FOR_NEXT_RUN.format(changes=said), draft=changed)
            case "prepare":
                return Done(run, words_train.PREPARE_WITH.format(changes=said) if said else words_train.PREPARE_AGAIN, tab="data")
            case "set":
                steering.set_live(run, changes)
                return Done(run, words_train.CHANGED_NOW.format(name=run.name, changes=said))
            case "restore_best":
                steering.roll_back(run)
                lab.jobs.resume(run)
                return Done(run, words_train.GOES_BACK.format(name=run.name))
            case "fork":
                forked = steering.fork(lab.workspace, run, "last" if step is None else step, within_limit(lab, run, changes),
                                       clean_name(f"{run.name[:50]}-fork"), person(who))
                lab.jobs.submit(forked)
                return Done(forked, words_train.FORK_BEGINS.format(name=forked.name, changes=said or words_train.SAME_SETTINGS))
            case "extend":
                steering.extend(run, within_limit(lab, run, changes))
                lab.jobs.resume(run)
                return Done(run, words_train.EXTENDED.format(name=run.name, changes=said))
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None
    raise ValueError(words_train.NOT_A_REMEDY)


def read_remedy(remedy: Any) -> tuple[str, dict[str, Any], int | None]:
    """An action's kind, its changes, its step. Raises ValueError for what is none."""
    remedy = remedy if isinstance(remedy, dict) else {}
    kind, changes, step = remedy.get("action"), remedy.get("changes") or {}, remedy.get("step")
    if not isinstance(kind, str) or not isinstance(changes, dict) or not (step is None or type(step) is int):
        raise ValueError(words_train.NOT_A_REMEDY)
    if not changes.keys() <= form.FIELDS.keys():
        raise ValueError(words_train.NOT_A_REMEDY)
    return kind, changes, step


def within_limit(lab: Lab, run: RunDir, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, such that the run trains no longer than this app allows."""
    if lab.max_minutes is None:
        return changes
    minutes = changes.get("train.max_minutes", run.config().train.max_minutes)
    allowed = minutes is not None and minutes <= lab.max_minutes
    return changes if allowed else {**changes, "train.max_minutes": lab.max_minutes}
