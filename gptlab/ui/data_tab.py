"""The Data tab: a built-in, files of the user's or a text to download; what it looks like, how it is cut into tokens; Prepare;
and what is prepared.

Nothing changes until Prepare: choosing and uploading only look. Preparing and downloading run in processes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import prepared_settings
from gptlab.data.preview import GENERATED, preview as data_preview
from gptlab.data.sources import BUILTINS
from gptlab.runs import beside
from gptlab.runs.preparing import Preparation
from gptlab.ui import data_facts, data_view, form, tokenizer_bench, words, words_data
from gptlab.ui.catalogue import Catalogue
from gptlab.ui.data_choice import (CLEANING, DOWNLOAD, FILE, KEYS, SETTINGS, chosen_source, data_config, exchanged, paths_of,
                                   restored, sources, suggested_name, uploaded)
from gptlab.ui.lab import EACH, QUIET, SPEAKS, Lab, Page, change_draft, draft_dataset, guarded, kept_by_browser, read_draft

HERE = Path(__file__).parent
LONGEST_LOOK_SECONDS = 60
# Each choice, one at a time, in their order: so the last answer is to the last choice. What is chosen stands in the page at
# once and is no part of an answer: a late one would take back what was chosen since.
CHOOSES = {**EACH, "concurrency_limit": 1, "concurrency_id": "choosing"}
TAKES_FILES = "source => ['file', source]"
ASK = "() => { window.gptlab.look?.(); }"  # data_preview.js, once the tab was opened
# "… is ready. Next: press Train" is no news any more to who sets up another text.
NO_NEWS = "(told, awaited) => told?.kind === 'busy' ? [told, awaited] : [{}, '']"
# A column that a person chose stays, as long as the table has it.
FIT = """({vocabulary, documents, columns, text_column}, chosen) => {
  const update = values => ({__type__: 'update', ...values}), kept = columns?.includes(chosen) ? {} : {value: text_column};
  return [update({visible: vocabulary}), update({visible: documents}),
    update(columns ? {choices: columns.map(one => [one, one]), visible: columns.length > 0, ...kept} : {})];
}"""
CLICK = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-use]'), mend = event.target.closest('[data-mend]');
  if (button) trigger('select', {value: button.dataset.use});
  if (mend) trigger('mend', {name: mend.dataset.mend, code: mend.dataset.code});
});"""
# Until the tab is filled in as it was left, it takes nothing: what a quick hand dropped on a slow page was put back.
READY = "() => { document.body.dataset.ready = 'yes'; }"
KEEP = f"""(...values) => Object.fromEntries({json.dumps(KEYS)}.map((key, i) => [key,
  Array.isArray(values[i]) ? values[i].map(one => one?.path ?? one) : values[i]]))"""
IN_PAGE = dict(show_progress="hidden", trigger_mode="multiple", api_visibility="private")  # what asks no server
# The status stays the same element, and is written only when its words change: else a screen reader says them at every tick.
# The rate and the time left stand outside it.
PROGRESS = """<div class="progress"><div role="status" aria-live="polite"><p hidden></p></div>
<progress max="100" hidden></progress><span class="progress-detail"></span></div>"""
SHOW_PROGRESS = """const line = element.querySelector('p'), bar = element.querySelector('progress');
const detail = element.querySelector('.progress-detail');
function show() {
  const {kind = '', text = '', percent = 0, detail: now = ''} = props.value || {};
  line.className = kind === 'busy' ? '' : `message ${kind}`;
  line.hidden = !text;
  if (line.textContent !== text) line.textContent = text;
  bar.hidden = kind !== 'busy';
  bar.value = percent;
  detail.textContent = now;
  bar.setAttribute('aria-label', text);
}
watch('value', show);
show();"""


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    catalogue = Catalogue(lab.workspace)
    parts = _widgets(catalogue)
    whatever_is_chosen = {"data.tokenizer": "char"}
    bench = tokenizer_bench.build(lab, page, _config_of(catalogue, whatever_is_chosen), parts.text[1:])
    _connect_looking(page, catalogue, parts, bench)
    _connect_downloading(page, catalogue, parts)
    _connect_preparing(lab, page, catalogue, parts)
    data_view.build(lab, page)


@dataclass
class Parts:
    """The tab's widgets. `boxes` are those of SETTINGS, by name."""

    source: gr.Radio
    about: gr.HTML
    upload: gr.File
    texts: gr.HTML         # those to download
    entry: gr.Textbox      # the name of the one that is chosen
    boxes: dict[str, gr.components.Component]
    name: gr.Textbox
    prepare: gr.Button
    cancel: gr.Button
    progress: gr.HTML
    seen: gr.HTML
    prepared: gr.HTML
    before: gr.Textbox     # the source before files were uploaded
    held: gr.BrowserState  # what the widgets hold (KEYS)
    awaited: gr.Textbox    # the data set this page has last waited for: how that ended is news to it, and to no other page

    @property
    def text(self) -> list:
        """What describes a text, in the order of KEYS."""
        return [self.name, self.source, self.upload, self.entry, *self.settings]

    @property
    def chosen(self) -> list:
        """What a choice of a text fills in."""
        return [self.about, self.texts, self.entry, self.name, *self.settings]

    @property
    def settings(self) -> list:
        """The widgets of SETTINGS, in its order."""
        return [self.boxes[setting] for setting in SETTINGS]


def _widgets(catalogue: Catalogue) -> Parts:
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=2, min_width=320):
            source = gr.Radio(sources(), value="stories", label=words.SOURCE, elem_id="source", elem_classes="cards")
            about = gr.HTML(data_facts.source_html("stories"))
            upload = gr.File(label=words.UPLOAD, elem_id="upload", height=150, file_count="multiple")
            texts, entry = catalogue.component(), gr.Textbox(visible=False)
            boxes = _setting_widgets()
            name = gr.Textbox("stories", label=words.DATA_NAME, info=words.DATA_NAME_HELP, elem_id="data-name", max_lines=1)
            with gr.Row(elem_classes="tight"):
                prepare = gr.Button(words.PREPARE, variant="primary", elem_id="prepare", scale=3)
                cancel = gr.Button(words.CANCEL, elem_id="cancel-prepare", visible=False, scale=1)
            progress = gr.HTML(elem_id="prepare-progress", html_template=PROGRESS, js_on_load=SHOW_PROGRESS)
        with gr.Column(scale=3, min_width=320):
            seen = gr.HTML(elem_id="preview", html_template='<div class="looked"></div>', apply_default_css=False,
                           js_on_load=(HERE / "data_preview.js").read_text(encoding="utf-8"), words=words_data.LOOKING)
            gr.Markdown(f"### {words.PREPARED}", elem_classes="group-title")
            prepared = gr.HTML(elem_id="prepared", js_on_load=CLICK)
    return Parts(source, about, upload, texts, entry, boxes, name, prepare, cancel, progress, seen, prepared,
                 before=gr.Textbox(visible=False), held=kept_by_browser("text", {}), awaited=gr.Textbox(visible=False))


def _setting_widgets() -> dict[str, gr.components.Component]:
    """The widgets of SETTINGS: how the text is cut into tokens, and the rest folded."""
    boxes = {"data.tokenizer": gr.Radio([(title, kind) for kind, title in words.TOKENIZERS.items()], value="char",
                                        label=form.label("data.tokenizer"), elem_id="tokenizer", elem_classes="cards",
                                        info=words.TOKENIZER_HELP)}
    boxes["data.vocab_size"] = form.widget("data.vocab_size", DataConfig.vocab_size, visible=False)
    boxes["data.tokenizer_file"] = gr.Textbox(visible=False)  # chosen where tokenizers are compared
    # Any value: its choices are filled in by the page, of which the server hears nothing.
    boxes["data.text_column"] = gr.Dropdown([], visible=False, elem_id="text-column", label=form.label("data.text_column"),
                                            info=form.FIELDS["data.text_column"].metadata["help"], allow_custom_value=True)
    with gr.Accordion(words.CLEANING, open=False, elem_classes="settings", elem_id="cleaning-settings"):
        steps = [(title, step) for step, title in words.STEPS_OF_CLEANING.items()]
        boxes["data.cleaning"] = form.widget("data.cleaning", (), choices=steps)
        boxes |= {name: form.widget(name, form.FIELDS[name].default, info=_help(name)) for name in CLEANING[1:]}
    with gr.Accordion(words.DATA_MORE, open=False, elem_classes="settings"):
        boxes["data.split"] = gr.Radio(words_data.SPLITS, value=form.to_widget("data.split", DataConfig.split), interactive=True,
                                       label=form.label("data.split"), info=_help("data.split"), elem_id=form.elem_id("data.split"))
        boxes |= {name: form.widget(name, form.FIELDS[name].default) for name in SETTINGS if name not in boxes}
    return boxes


def _help(name: str) -> str:
    return words_data.setting_help(form.FIELDS[name].metadata["help"], words.STEPS_OF_CLEANING["filters"])


def _connect_looking(page: Page, catalogue: Catalogue, parts: Parts, bench: gr.HTML) -> None:
    """Choosing, uploading and settings change what is looked at; and what the browser keeps, which nothing else writes: a slow
    preview would carry old values back into it."""
    @guarded
    def reopen(draft, held):
        return restored(catalogue, draft, held)

    @guarded
    def choose(draft, source, files, entry):
        return chosen_source(catalogue, draft, source, files, entry)

    @guarded
    def take_files(draft, before, files):
        return exchanged(files) if before == FILE else chosen_source(catalogue, draft, FILE, files, None)

    @guarded
    def drop_files(source, files):
        return exchanged(files if source == FILE else None)

    @guarded
    def take_tokenizer(event: gr.EventData):
        return tokenizer_bench.settings_of(event._data)

    @guarded
    def look(event: gr.EventData, source, files, entry, *values):
        number = event._data.get("number") if isinstance(event._data, dict) else None
        try:
            yield {**preview(catalogue, source, files, entry, dict(zip(SETTINGS, values))), "number": number}
        except Exception:
            yield {"problem": words.UNEXPECTED, "number": number}  # else the page would wait for it
            raise

    boxes, upload, seen = parts.boxes, parts.upload, parts.seen
    _look(parts, _keep(parts, parts.source.input(choose, [page.draft, parts.source, upload, parts.entry], parts.chosen, **CHOOSES)))
    taken = upload.upload(None, parts.source, [parts.source, parts.before], js=TAKES_FILES, **IN_PAGE)
    _look(parts, _keep(parts, taken.then(take_files, [page.draft, parts.before, upload], parts.chosen, **CHOOSES)))
    for trigger in (upload.delete, upload.clear):
        _look(parts, _keep(parts, trigger(drop_files, [parts.source, upload], parts.chosen, **CHOOSES)))
    _look(parts, _keep(parts, bench.use(
        take_tokenizer, None, [boxes[f"data.{name}"] for name in ("tokenizer", "vocab_size", "tokenizer_file")], **CHOOSES)))
    inputs = [box.input for box in parts.settings]
    gr.on(inputs, None, js=ASK, **IN_PAGE)
    news = [parts.progress, parts.awaited]
    gr.on([*inputs, parts.source.input, upload.upload], None, news, news, js=NO_NEWS, **IN_PAGE)
    parts.texts.choose_entry(None, news, news, js=NO_NEWS, **IN_PAGE)
    typed = [parts.name.input, parts.name.blur]  # to Gradio 6.31 pasting is no input
    gr.on([*typed, *inputs], None, parts.text, parts.held, js=KEEP, **IN_PAGE)
    _look(parts, page.demo.load(reopen, [page.draft, parts.held], [upload, parts.source, *parts.chosen], **QUIET).then(
        None, None, None, js=READY))

    seen.look(look, parts.text[1:], seen, **{**EACH, "concurrency_limit": 2})
    fits = seen.fit(None, [seen, boxes["data.text_column"]],
                    [boxes[f"data.{name}"] for name in ("vocab_size", "documents", "text_column")], js=FIT, **IN_PAGE)
    fits.then(None, js=tokenizer_bench.CHANGED)


def _connect_downloading(page: Page, catalogue: Catalogue, parts: Parts) -> None:
    """The list of texts to download: one is chosen, fetched, cancelled; and looked at once it is there."""
    @guarded
    def choose(draft, event: gr.EventData):
        return chosen_source(catalogue, draft, DOWNLOAD, None, catalogue.entry(event.name).name)

    @guarded
    def fetch(draft, event: gr.EventData):
        entry = catalogue.entry(event.name)
        catalogue.downloads.start(entry)
        return chosen_source(catalogue, draft, DOWNLOAD, None, entry.name)

    for trigger, handler in ((parts.texts.choose_entry, choose), (parts.texts.fetch_entry, fetch)):
        _look(parts, _keep(parts, trigger(handler, page.draft, parts.chosen, **CHOOSES)))
    parts.texts.cancel_fetch(guarded(catalogue.downloads.cancel), None, None, **SPEAKS)
    parts.texts.moved(None, js=ASK, **IN_PAGE)


def _config_of(catalogue: Catalogue, always: dict[str, Any] | None = None) -> Callable[..., DataConfig]:
    """From what the widgets of `Parts.text` but the name hold to the settings to prepare with, `always` instead of some. Raises
    ValueError."""
    def config_of(source, files, entry, *values) -> DataConfig:
        return data_config(catalogue, source, files, entry, {**dict(zip(SETTINGS, values)), **(always or {})})

    return config_of


def _keep(parts: Parts, event: Any) -> Any:
    """After an event, the browser keeps what the widgets hold."""
    return event.then(None, parts.text, parts.held, js=KEEP, **IN_PAGE)


def _look(parts: Parts, event: Any) -> None:
    """After an event, the text is looked at."""
    event.then(None, js=ASK, **IN_PAGE)


def _connect_preparing(lab: Lab, page: Page, catalogue: Catalogue, parts: Parts) -> None:
    """Prepare, cancel, how far it is; and taking into use what is prepared."""
    @guarded
    def state(draft, awaited):
        awaited = read_draft(draft)["preparing"] or awaited
        return (data_facts.progress(lab, draft, awaited), gr.Button(visible=lab.preparations.busy),
                data_facts.prepared_html(lab, draft_dataset(lab, draft)), awaited)

    @guarded
    def begin(draft, wanted, source, files, entry, *values):
        config = _config_of(catalogue)(source, files, entry, *values)
        started = lab.preparations.start(config, wanted.strip() or suggested_name(source, files, entry))
        draft = {**read_draft(draft), "preparing": started.name}
        return draft, gr.Timer(active=True), *state(draft, started.name)

    @guarded
    def pick(draft, event: gr.EventData):
        return use(lab, draft, event.value)

    @guarded
    def on_mend(draft, event: gr.EventData):
        started = mend(lab, event.name, event.code)
        draft = {**read_draft(draft), "preparing": started.name}
        return draft, gr.Timer(active=True), *state(draft, started.name)

    known, shown = [page.draft, parts.awaited], [parts.progress, parts.cancel, parts.prepared, parts.awaited]
    parts.prepare.click(begin, [page.draft, *parts.text], [page.draft, page.tick, *shown], **SPEAKS)
    parts.cancel.click(guarded(lab.preparations.cancel), None, None, **SPEAKS)
    parts.prepared.select(pick, page.draft, page.draft, **EACH)
    parts.prepared.mend(on_mend, page.draft, [page.draft, page.tick, *shown], **SPEAKS)
    page.tick.tick(state, known, shown, **QUIET)
    page.draft.change(state, known, shown, trigger_mode="multiple", **QUIET)
    page.demo.load(state, known, shown, **QUIET)


def preview(catalogue: Catalogue, source: str, files: list[str] | None, entry: str | None, values: dict) -> dict:
    """What is chosen now, for data_preview.js: its `html`; whether `vocabulary` and `documents` are asked for; the `columns` to
    choose `text_column` from, or None where they are not known."""
    told = {"vocabulary": values["data.tokenizer"] == "bpe", "documents": source in BUILTINS, "columns": None}
    try:
        paths_of(catalogue, source, files, entry)
    except ValueError as missing:
        return {**told, "html": data_facts.nothing_html(str(missing)), "columns": []}
    needed = ""
    if values["data.tokenizer"] == "file" and uploaded(values["data.tokenizer_file"]) is None:
        needed = data_facts.problem_html(f"{words.CHOOSE_TOKENIZER} {words_data.NEEDS_TOKENIZER}")
        values = {**values, "data.tokenizer": "char"}
    try:
        config = data_config(catalogue, source, files, entry, values)
        seen = data_preview(config) if config.source in GENERATED else beside.call(data_preview, config, seconds=LONGEST_LOOK_SECONDS)
    except TimeoutError:
        return {**told, "html": data_facts.problem_html(words_data.LOOK_TOO_LONG)}
    except RuntimeError:
        return {**told, "html": data_facts.problem_html(words.UNEXPECTED)}
    except (ValueError, OSError) as problem:
        return {**told, "html": data_facts.problem_html(str(problem))}
    return {**told, "html": needed + data_facts.seen_html(config, seen), "columns": list(seen.columns), "text_column": seen.text_column}


def mend(lab: Lab, name: Any, code: Any) -> Preparation:
    """Begins to prepare a data set's text once more, with what one of its alerts says would mend it. Raises ValueError."""
    if name not in lab.workspace.dataset_names():
        raise ValueError(words.NO_SUCH_MEND)
    manifest = lab.preparations.manifest(name)
    gone = data_facts.gone_files(manifest)
    for alert in manifest["alerts"]:
        if code is not None and alert.get("code") == code and alert.get("changes"):
            if gone:
                said = {form.label(name): value for name, value in alert["changes"].items() if name in form.FIELDS}
                raise ValueError(words_data.gone(gone, words.new_settings(said)))
            settings = {f"data.{key}": value for key, value in prepared_settings(manifest).items()}
            config = RunConfig().replace({key: value for key, value in settings.items() if key in form.FIELDS} | alert["changes"])
            return lab.preparations.start(config.data, name)
    raise ValueError(words.NO_SUCH_MEND)


def use(lab: Lab, draft, name: str) -> dict:
    """The draft with another prepared data set."""
    if name not in lab.workspace.dataset_names():
        raise ValueError(words.NO_SUCH_DATA.format(name))
    return change_draft(draft, words.TABS["data"], dataset=name)
