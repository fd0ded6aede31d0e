"""The frame around the tabs: the line above them that always says what comes next, and what happens as data gets ready."""

from __future__ import annotations

import html
import json

import gradio as gr

from gptlab.config import ConfigError
from gptlab.ui import form, words
from gptlab.ui.lab import QUIET, Lab, Page, change_draft, draft_config, draft_dataset, draft_preset, guarded, now, read_draft

OPENS_ON = "train"
CLICK = """element.addEventListener('click', event => {
  const step = event.target.closest('[data-tab]');
  if (step) trigger('select', {value: step.dataset.tab});
});"""
# What a tick has to say of the draft, unless the page has begun to wait for another data set meanwhile.
TAKE_IN = """(draft, settled) => {
  const {awaited, changed} = JSON.parse(settled);
  return (draft?.preparing ?? null) === awaited ? {...draft, ...changed} : draft;
}"""


def header() -> gr.HTML:
    """The line above the tabs: Data: stories ✓ › Model: first-minute ✓ › Train."""
    return gr.HTML(elem_id="steps", js_on_load=CLICK)


def connect(lab: Lab, page: Page, line: gr.HTML) -> None:
    """Keep the line true, make its steps clickable, and open the page on the first unfinished one."""

    def show(draft):
        return gr.Timer(active=waits(lab, draft)), steps_html(lab, draft)

    @guarded
    def follow(draft):
        news = advance(lab, draft)
        return (news if news != read_draft(draft) else gr.skip()), *show(news)

    @guarded
    def opened(draft, request: gr.Request):
        followed = follow(draft)  # before the tab is chosen: it may begin to prepare what is missing
        first = next_step(lab, draft)
        stays = first == OPENS_ON or request.query_params.get("view") == "watch"
        return (gr.skip() if stays else gr.Tabs(selected=first)), *followed  # not under the hands of a quick user

    @guarded
    def changed(draft):
        advance(lab, draft)  # begins to prepare what a newly chosen preset needs; a tick takes it into use
        return show(draft)

    def go(event: gr.EventData):
        return gr.Tabs(selected=event.value)

    @guarded
    def ticked(draft):
        news = advance(lab, draft)
        return (settled_news(draft, news) if news != read_draft(draft) else gr.skip()), *show(news)

    settled = gr.Textbox(visible="hidden")
    page.demo.load(opened, page.draft, [page.tabs, page.draft, page.tick, line], **QUIET)
    page.tick.tick(ticked, page.draft, [settled, page.tick, line], **QUIET)
    settled.change(None, [page.draft, settled], page.draft, js=TAKE_IN, show_progress="hidden")
    page.draft.change(changed, page.draft, [page.tick, line], trigger_mode="multiple", **QUIET)
    line.select(go, None, page.tabs, **QUIET)


def advance(lab: Lab, draft) -> dict:
    """The draft as of now: its preset's own data set begun where it is missing, and one it waited for taken into use."""
    draft = read_draft(draft)
    awaited, preparations = draft["preparing"], lab.preparations
    if awaited is not None and not (preparations.busy and preparations.current.name == awaited):
        draft = {**draft, "preparing": None}
        the_presets = draft["dataset"] is None and draft_dataset(lab, draft) == awaited  # goes on following the preset
        if awaited in lab.workspace.dataset_names() and not the_presets:
            draft = change_draft(draft, words.TABS["data"], dataset=awaited)
    if draft["preparing"] is None and draft["dataset"] is None and draft_dataset(lab, draft) is None:
        preparations.ensure_builtin(draft["preset"])
        if preparations.busy and preparations.current.config == draft_preset(draft).config.data:
            draft = {**draft, "preparing": preparations.current.name}
    return draft


def settled_news(draft, news: dict) -> str:
    """What a tick changes of a draft, for TAKE_IN: when it is answered, the page may wait for something else already."""
    before = read_draft(draft)
    changed = {key: value for key, value in news.items() if value != before[key]}
    return json.dumps({"awaited": before["preparing"], "changed": changed, "at": now()})


def waits(lab: Lab, draft) -> bool:
    """Whether the page must ask again soon: something is being prepared, or it is there and not yet taken into use."""
    return lab.preparations.busy or read_draft(draft)["preparing"] is not None


def problems(lab: Lab, draft) -> dict[str, str]:
    """What still keeps each step from being done, in a sentence; "" where it is."""
    data = "" if draft_dataset(lab, draft) else words.NO_DATA
    try:
        draft_config(lab, draft)
    except ConfigError as error:
        return {"data": data, "model": form.in_words(error)}
    return {"data": data, "model": ""}


def next_step(lab: Lab, draft) -> str:
    """The tab of the first step that isn't done; data on its way counts as done."""
    missing = problems(lab, draft)
    if lab.preparations.busy:
        missing["data"] = ""
    return next((tab for tab, problem in missing.items() if problem), "train")


def data_words(lab: Lab, draft) -> str:
    """The data set of a draft, or how far it is."""
    name, current = draft_dataset(lab, draft), lab.preparations.current
    if name is not None:
        return name
    if lab.preparations.busy and read_draft(draft)["preparing"] == current.name:
        return f"{current.name}, {words.PREPARING.format(share=round(100 * current.progress.share_done))}"
    return words.NOT_CHOSEN


def steps_html(lab: Lab, draft) -> str:
    """The line, its next step marked; every name from outside is escaped."""
    what = {"data": data_words(lab, draft), "model": read_draft(draft)["preset"]}
    missing, following, parts = problems(lab, draft), next_step(lab, draft), []
    for tab in ("data", "model", "train"):
        value = f'<span class="step-value">{html.escape(what[tab])}</span>' if tab in what else ""
        done = '<span class="step-done" role="img" aria-label="done">✓</span>' if missing.get(tab) == "" else ""
        here = ' aria-current="step"' if tab == following else ""
        title = html.escape(missing.get(tab, "") or words.STEP_TITLES[tab])
        name = f'<span class="step-name">{words.TABS[tab]}{":" if value else ""}</span>'
        parts.append(f'<button type="button" data-tab="{tab}"{here} title="{title}">{name} {value} {done}</button>')
    note = f'<p class="gpu-note">{html.escape(lab.gpu_note)}</p>' if lab.gpu_note else ""
    line = '<span aria-hidden="true">›</span>'.join(parts)
    return f'<nav class="steps" aria-label="{words.STEPS}"><b class="brand">{words.TITLE}</b>{line}</nav>{note}'
