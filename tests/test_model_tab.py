"""The Model tab's handlers, without a browser."""

import html
import re
import shlex

import pytest

from gptlab.cli.arguments import parser
from gptlab.config import RunConfig
from gptlab.data.dataset import prepare
from gptlab.model.gpt import GPT
from gptlab.presets import presets
from gptlab.runs.workspace import Workspace
from gptlab.ui import form, model_facts, model_tab
from gptlab.ui.lab import Lab, draft_changes, draft_config, draft_dataset, read_draft, undo


@pytest.fixture
def lab(workspace_dir):
    return Lab(Workspace(workspace_dir), jobs=None)


@pytest.fixture
def with_text(lab, text_file):
    prepare(RunConfig().replace({"data.source": str(text_file)}).data, lab.workspace.dataset_path("notes"))
    return {**read_draft(None), "dataset": "notes"}


def held(draft):
    """What all widgets hold while they show a draft."""
    config = presets()[read_draft(draft)["preset"]].config
    changed = read_draft(draft)["changes"]
    return {name: form.to_widget(name, changed.get(name, form.value_of(config, name))) for name in model_tab.SHOWN}


def text_of(fragment):
    return html.unescape(re.sub(r"<[^>]+>", " ", fragment))


OTHER_VALUES = {  # for every kind of setting, something that differs from any preset and works
    "model.n_head": 2, "model.n_kv_head": 2, "model.n_embd": 64, "train.tokens_per_update": 7680,
    "train.min_learning_rate": 1e-6, "sample.prompts": "Once\nTwice", "sample.stop": "The end", "train.max_learning_rate": 0.0123,
}


@pytest.mark.parametrize("name", model_tab.SHOWN)
def test_every_widget_reaches_the_run(name, lab):
    needed = {"model.mlp": "swiglu"} if name == "model.n_expert" else {}
    draft = {**read_draft(None), "changes": needed}
    before = held(draft)[name]
    choices = form.FIELDS[name].metadata["choices"]
    if name in OTHER_VALUES:
        value = OTHER_VALUES[name]
    elif choices:
        value = next(choice for choice in choices if choice not in (before, None, "auto"))
    elif isinstance(before, bool):
        value = not before
    else:
        value = (before or form.FIELDS[name].metadata["minimum"]) + (form.FIELDS[name].metadata["step"] or 1)
    after, moved = model_tab.edited(draft, {**held(draft), name: value})
    assert moved == [name] and list(after["changes"]) == [*needed, name]
    config = draft_config(lab, after)
    assert form.to_widget(name, form.value_of(config, name)) == value
    assert set(draft_changes(after)) == {*needed, name}


def test_moving_a_slider_back_leaves_no_change():
    draft, _ = model_tab.edited(None, {**held(None), "model.n_layer": 6})
    draft, moved = model_tab.edited(draft, held(None))
    assert moved == ["model.n_layer"] and draft["changes"] == {}


def test_undo_takes_back_one_gesture_not_every_stop_of_the_slider():
    draft = read_draft(None)
    for layers in (9, 10, 11, 8):
        draft, _ = model_tab.edited(draft, {**held(draft), "model.n_layer": layers})
    draft, _ = model_tab.edited(draft, {**held(draft), "model.bias": True})
    assert draft["changes"] == {"model.n_layer": 8, "model.bias": True}
    draft = undo(draft)
    assert draft["changes"] == {"model.n_layer": 8}
    assert undo(draft)["changes"] == {} and undo(undo(draft))["changes"] == {}


@pytest.mark.parametrize("preset", ["first-minute", "overfit", "tiny-llama"])
def test_the_parameters_shown_are_the_models(preset, lab, with_text):
    draft = {**with_text, "preset": preset, "changes": {"model.context_length": 64}}
    _, table = model_facts.facts_html(lab, draft)
    shown = sum(int(count.replace(",", "")) for count in re.findall(r"<td>([\d,]+)</td>", table))
    config = draft_config(lab, draft)
    model = GPT(config.model, lab.preparations.manifest("notes")["vocab_size"])
    assert shown == sum(parameter.numel() for parameter in model.parameters())


def test_a_clash_is_told_in_the_pages_words_and_the_facts_stay(lab):
    draft = {**read_draft(None), "changes": {"model.n_embd": 100, "model.n_head": 8}}
    size, facts, message, *_ = model_tab._beside(lab, draft)
    assert "“Attention heads”" in text_of(message) and 'class="message problem"' in message
    assert "__type__" in size and "value" not in size and facts == size  # skipped: the last facts stay


def test_a_text_shorter_than_the_context_says_what_to_set(lab, with_text):
    _, _, message, *_ = model_tab._beside(lab, {**with_text, "changes": {"model.context_length": 8192}})
    assert "“Context”" in text_of(message) and "problem" in message


def test_the_command_starts_the_same_run(lab, with_text):
    draft = {**with_text, "changes": {"model.n_layer": 2, "sample.prompts": ["It's here", "There"], "train.grad_clip": None}}
    options = parser().parse_args(shlex.split(model_facts.command(lab, draft))[3:])
    assert options.dataset == "notes" and options.preset == "first-minute" and str(options.workspace) == str(lab.workspace.path)


def test_presets_that_need_a_gpu_say_so_here(lab):
    titles = dict((name, title) for title, name in model_tab.preset_choices(lab))
    assert "needs a GPU" in titles["tiny-llama"] and "needs a GPU" not in titles["first-minute"]
    assert re.search(r"needs a GPU, about \d+ h here|needs a GPU, about [\d,]+ days here",
                     text_of(model_facts.preset_html(lab, {"preset": "tiny-llama"})))
    lab.device = "cuda"
    assert "needs a GPU" not in " ".join(title for title, _ in model_tab.preset_choices(lab))


def test_a_damaged_draft_becomes_a_usable_one(lab):
    for kept in (None, 7, {"preset": "gone", "changes": [], "history": None}, {"dataset": "gone"}):
        draft = read_draft(kept)
        assert draft["preset"] == "first-minute" and draft["changes"] == {}
        assert draft_dataset(lab, draft) is None
        assert draft_config(lab, draft) == presets()["first-minute"].config
    assert len(model_tab.shown_values(lab, {"changes": {"model.gone": 3}})) == len(model_tab.SHOWN)


@pytest.mark.parametrize("number, text", [(950, "950"), (12_345, "12,345"), (812_345, "812 thousand"),
                                          (124_439_808, "124 million"), (1.34e9, "1.34 billion")])
def test_numbers_as_a_person_says_them(number, text):
    assert model_facts.short_count(number) == text


def test_heads_that_go_with_a_typed_width_are_offered_even_while_it_clashes(lab):
    """Width 100 with 4 heads of 25 channels cannot be: the heads went on offering what had gone with the old width."""
    draft, moved = model_tab.edited(None, {**held(None), "model.n_embd": 100})
    heads = dict(zip(model_tab.CONSTRAINED, model_tab._ranges(lab, draft, moved)))["model.n_head"]
    assert {number for _, number in heads.choices} == {1, 2, 4, 5, 10, 25}  # 4 is what is set: it stays to be seen
