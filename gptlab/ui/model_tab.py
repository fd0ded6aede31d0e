"""The Model tab: a preset, the settings it sets, and beside them what they make: parameters, memory, tokens a parameter.

The widgets are the truth while a page is open: every change sends all of them and the draft keeps what differs from the preset.
Where another tab changes that, they are filled in anew.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from gptlab.config import ConfigError, RunConfig
from gptlab.presets import presets
from gptlab.ui import ablations, architecture, form, model_facts, rate_finder, words, words_model
from gptlab.ui.biggest import Biggest, with_biggest
from gptlab.ui.lab import (EACH, QUIET, SPEAKS, Lab, Page, change_draft, draft_changes, draft_dataset, draft_preset, guarded,
                           read_draft, undo)

SHOWN = [name for name in form.FIELDS if not name.startswith("data.")]
UNCHANGED = object()
GROUPS = {"model": words.MODEL_GROUP, "train": words.TRAIN_GROUP}
MOST_WIDTH = form.FIELDS["model.n_embd"].metadata["maximum"]
CONSTRAINED = {"model.n_head": ("model.n_embd", "model.positions"), "model.n_kv_head": ("model.n_head",),
               "model.n_embd": ("model.n_head", "model.positions")}  # a widget's range, and what it depends on


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    base, finder, sizer = presets()[read_draft(None)["preset"]].config, rate_finder.RateFinder(lab), Biggest(lab)
    with gr.Row(elem_classes="columns"):
        with gr.Column(min_width=320):
            chooser = gr.Radio(preset_choices(lab), value=read_draft(None)["preset"], label=words.PRESET, elem_id="preset",
                               elem_classes="cards")
            about = gr.HTML(model_facts.preset_html(lab, None), elem_id="preset-about")
            own_data = gr.Button(words.USE_PRESET_DATA, size="sm", visible=False, elem_id="use-preset-data")
            widgets, rates, switches = _settings(base, finder)
        with gr.Column(min_width=320, elem_classes="beside"):
            size = gr.HTML(elem_id="model-size")
            with gr.Column(elem_id="model-told"):
                message = gr.HTML(elem_id="model-message")
                mend = gr.Button(visible=False, size="sm", elem_id="mend")
            picture = architecture.component()
            with gr.Row(elem_classes="tight"):
                back = gr.Button(words.UNDO, size="sm", elem_id="undo", interactive=False)
                reset = gr.Button(words.RESET, size="sm", elem_id="reset", interactive=False)
                onward = gr.Button(words.TO_TRAIN, variant="primary", size="sm", elem_id="to-train")
            needs = sizer.component()
            facts = gr.HTML(elem_id="model-facts")
            with gr.Accordion(words.COMMAND, open=False):
                command = gr.Textbox(show_label=False, container=False, lines=2, interactive=False, elem_id="model-command",
                                     buttons=["copy"], max_lines=6)
    filled = gr.Textbox(visible="hidden")  # the value of `page.elsewhere` that the widgets show
    data = gr.Textbox(visible="hidden")  # the data set of what stands beside them
    boxes = [widgets[name] for name in SHOWN]
    beside = [size, facts, message, mend, back, reset, command, about, own_data, picture, switches, data]

    @guarded
    def edit(draft, wanted, at, *values):
        if wanted != at:  # another tab has changed the settings, and the widgets do not show that yet: they say what was
            return [gr.skip()] * (1 + len(CONSTRAINED) + len(beside))
        draft, moved = edited(draft, dict(zip(SHOWN, values)))
        return [draft, *_ranges(lab, draft, moved), *_beside(lab, draft)]

    @guarded
    def refill(draft, wanted=""):
        return [wanted, *shown(draft)]

    def shown(draft):
        *others, drawn, pressed, of_data = _beside(lab, draft)
        first = architecture.last_shown(lab, draft) if drawn == gr.skip() else drawn  # a page just opened shows none yet
        return [read_draft(draft)["preset"], *shown_values(lab, draft), *others, first, pressed, of_data]

    def changed(draft):
        return [draft, *shown(draft)]

    @guarded
    def other_data(draft, of_data):
        """What changes settings has said already what comes of it; said once more, late, it would undo what was said since."""
        return [gr.skip()] * len(beside) if of_data == _data(lab, draft) else _beside(lab, draft)

    @guarded
    def choose(draft, name):
        return changed(change_draft(draft, words.PRESET, preset=name, changes={}))

    @guarded
    def toggle(draft, event: gr.EventData):
        return changed(ablations.toggled(draft, event._data.get("pressed"), event._data.get("last")))

    @guarded
    def use_rate(draft, event: gr.EventData):
        return changed(rate_finder.with_found(lab, draft, event.rate))

    @guarded
    def find_biggest(draft, event: gr.EventData):
        return sizer.start(draft, event.minutes)

    all_shown = [chooser, *boxes, *beside]
    everything = [page.draft, *all_shown]
    pasted = [box.blur for box in boxes if isinstance(box, (gr.Textbox, gr.Number))]  # Gradio 6.31: pasting is no "input"
    cut = [box.release for box in boxes if isinstance(box, gr.Slider)]  # a number beyond its ends, once its box is left: no "input"
    gr.on([*(box.input for box in boxes), *pasted, *cut], edit, [page.draft, page.elsewhere, filled, *boxes],
          [page.draft, *(widgets[name] for name in CONSTRAINED), *beside], preprocess=False, trigger_mode="always_last", **QUIET)
    chooser.input(choose, [page.draft, chooser], everything, **SPEAKS)
    back.click(guarded(lambda draft: changed(undo(draft))), page.draft, everything, **SPEAKS)
    reset.click(guarded(lambda draft: changed(change_draft(draft, words.RESET, changes={}))), page.draft, everything, **SPEAKS)
    mend.click(guarded(lambda draft: changed(mended(draft))), page.draft, everything, **SPEAKS)
    switches.toggle(toggle, page.draft, everything, **{**EACH, "concurrency_limit": 1})  # one after the other, as clicked
    own_data.click(guarded(lambda draft: change_draft(draft, words.TABS["data"], dataset=None)), page.draft, page.draft,
                   **QUIET)
    onward.click(lambda: gr.Tabs(selected="train"), None, page.tabs, **QUIET)
    rates.find_rate(guarded(finder.start), page.draft, rates, **SPEAKS)
    rates.cancel_rate(guarded(finder.findings.cancel), None, None, **SPEAKS)
    rates.use_rate(use_rate, page.draft, everything, **SPEAKS)
    needs.find_biggest(find_biggest, page.draft, needs, **SPEAKS)
    needs.cancel_biggest(guarded(sizer.sizings.cancel), None, None, **SPEAKS)
    needs.use_biggest(guarded(lambda draft: changed(with_biggest(sizer, draft))), page.draft, everything, **SPEAKS)
    for shown_in, its in ((rates, finder), (needs, sizer)):
        gr.on([page.demo.load, page.draft.change], guarded(its.shown), page.draft, shown_in, trigger_mode="multiple", **QUIET)
    page.draft.change(other_data, [page.draft, data], beside, trigger_mode="multiple", **QUIET)
    gr.on([page.demo.load, page.elsewhere.change], refill, [page.draft, page.elsewhere], [filled, *all_shown], **QUIET)


def _settings(base: RunConfig, finder: rate_finder.RateFinder) -> tuple[dict[str, gr.components.Component], gr.HTML, gr.HTML]:
    """The widgets by setting, the common ones open, the rest folded; what finds a learning rate, under that; and the switches
    that take a part of the model away."""
    widgets: dict[str, gr.components.Component] = {}

    def add(section: str, common: bool) -> None:
        for name in SHOWN:
            if name.startswith(f"{section}.") and form.FIELDS[name].metadata["common"] == common:
                own_id = {"elem_id": f"sample-{form.elem_id(name)}"} if section == "sample" else {}
                widgets[name] = form.widget(name, form.value_of(base, name), **own_id)

    for section, (title, more) in GROUPS.items():
        gr.Markdown(f"### {title}", elem_classes="group-title")
        with gr.Group(elem_classes="settings"):
            add(section, True)
            rates = finder.component() if section == "train" else None
        with gr.Accordion(more, open=False, elem_classes="settings"):
            add(section, False)
        if section == "model":
            gr.Markdown(f"### {words_model.TAKE_AWAY}", elem_classes="group-title")
            switches = ablations.component()
    with gr.Accordion(words.SAMPLE_GROUP, open=False, elem_classes="settings"):
        add("sample", True)
        add("sample", False)
    return widgets, rates, switches


def preset_choices(lab: Lab) -> list[tuple[str, str]]:
    """(title, name) of every preset; those that would take hours here say so."""
    return [(found.title + (words.NEEDS_GPU if found.needs_gpu and not lab.has_gpu else ""), name)
            for name, found in presets().items()]


def edited(draft, values: dict) -> tuple[dict, list[str]]:
    """The draft after widgets came to hold `values`, and the settings that moved."""
    draft = read_draft(draft)
    base = draft_preset(draft).config
    new = {}
    for name, held in values.items():
        value = form.from_widget(name, held)
        if value != _plain(form.value_of(base, name)):
            new[name] = value
    old = draft["changes"]
    moved = [name for name in values if new.get(name, UNCHANGED) != old.get(name, UNCHANGED)]
    what = form.label(moved[0]) if moved else ""
    return change_draft(draft, what, changes=new), moved


def shown_values(lab: Lab, draft) -> list:
    """An update for every widget, so that it shows the draft; what cannot be used is shown as it is."""
    draft = read_draft(draft)
    base = draft_preset(draft).config
    try:
        config = base.replace(draft["changes"])
    except ConfigError:
        config = None
    return [form.show(name, draft["changes"].get(name, form.value_of(base, name)), config and config.model) for name in SHOWN]


def _ranges(lab: Lab, draft: dict, moved: list[str]) -> list:
    """New ranges for widgets that depend on what moved; their values stay.

    Where the settings clash, the heads still offer what would go with the width that was typed; the width waits.
    """
    base, changed = draft_preset(draft).config, draft["changes"]
    clash = False
    try:
        model = base.replace(changed).model
    except ConfigError:
        clash, width = True, changed.get("model.n_embd", base.model.n_embd)
        if not isinstance(width, int) or not 0 < width <= MOST_WIDTH:
            return [gr.skip()] * len(CONSTRAINED)
        model = dataclasses.replace(base.model, n_embd=width, positions=changed.get("model.positions", base.model.positions))
    updates = []
    for name, depends_on in CONSTRAINED.items():
        new = set(moved) & set(depends_on) and (not clash or name == "model.n_head")
        updates.append(form.show(name, changed.get(name, form.value_of(base, name)), model) if new else gr.skip())
    return updates


def _beside(lab: Lab, draft) -> list:
    """What stands beside the settings: size, facts, message and what mends it, Undo, Reset, command, the preset's words, its
    data, the picture, the switches, `_data`. Where the settings clash, the last numbers and the last picture stay."""
    draft = read_draft(draft)
    undo_words = words.UNDO + (f": {draft['history'][-1]['what']}" if draft["history"] else "")
    goes_with = draft_preset(draft).dataset
    has_changes = bool(draft["changes"])
    try:
        size, facts = model_facts.facts_html(lab, draft)
        message = model_facts.message_html(words.changes_count(len(draft_changes(draft))))
        picture, mends = architecture.shown(lab, draft), {}
    except ConfigError as error:
        message = model_facts.message_html(form.in_words(error), "problem")
        size = facts = picture = gr.skip()
        mends = experts_need(draft)
    mend_words = words_model.set_to({form.label(name): value for name, value in mends.items()})
    return [size, facts, message, gr.Button(mend_words, visible=bool(mends)),
            gr.Button(undo_words, interactive=bool(draft["history"])), gr.Button(interactive=has_changes),
            model_facts.command(lab, draft), model_facts.preset_html(lab, draft),
            gr.Button(words.USE_PRESET_DATA.format(goes_with), visible=_other_data(lab, draft)), picture, ablations.shown(draft),
            _data(lab, draft)]


def _data(lab: Lab, draft) -> str:
    """What tells the data of one draft from another's, to know whether what stands beside the settings is still true."""
    return f"{read_draft(draft)['dataset']} {draft_dataset(lab, draft)}"


def experts_need(draft) -> dict:
    """What else must be set, and to what, for the number of experts in a draft to make a model; nothing where nothing must."""
    draft = read_draft(draft)
    count, kind, active = (draft["changes"].get(name, form.value_of(draft_preset(draft).config, name))
                           for name in ("model.n_expert", "model.mlp", "model.n_expert_active"))
    if not isinstance(count, int) or count < form.FIELDS["model.n_expert"].metadata["minimum"]:
        return {}
    too_many = isinstance(active, int) and active > count
    return ({"model.mlp": "swiglu"} if kind != "swiglu" else {}) | ({"model.n_expert_active": count} if too_many else {})


def mended(draft) -> dict:
    """The draft with what its experts need."""
    draft, needed = read_draft(draft), experts_need(draft)
    return change_draft(draft, form.label("model.n_expert"), changes={**draft["changes"], **needed})


def _other_data(lab: Lab, draft: dict) -> bool:
    """Whether the preset has data of its own and the draft another."""
    preset = draft_preset(draft)
    return bool(preset.dataset and draft["dataset"]) and lab.preparations.find(preset.config.data) != draft["dataset"]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
