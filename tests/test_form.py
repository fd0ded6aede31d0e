"""form.py: every setting has a widget that shows it and gives it back, and offers only what works."""

import gradio as gr
import pytest

from gptlab.config import ConfigError, RunConfig, all_settings, field_type
from gptlab.presets import presets
from gptlab.ui import form

NAMES = [name for name, _ in all_settings()]


def value_of(config, name):
    section, _, short = name.partition(".")
    return getattr(getattr(config, section), short)


@pytest.mark.parametrize("preset", presets())
def test_what_a_widget_shows_is_what_comes_back(preset):
    config = presets()[preset].config
    read_back = {name: form.from_widget(name, form.to_widget(name, value_of(config, name))) for name in NAMES}
    assert RunConfig().replace(read_back) == config


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_labelled_widget_with_its_help(name):
    widget = form.widget(name, value_of(RunConfig(), name))
    kind, optional = field_type(name)
    assert widget.label and widget.info and widget.elem_id == form.elem_id(name)
    assert isinstance(widget, gr.Checkbox) == (kind is bool)
    if optional:  # off can be chosen or left empty
        emptied = "" if isinstance(widget, (gr.Radio, gr.Dropdown)) else None
        assert form.from_widget(name, emptied) is None


def test_ids_are_unique_and_named_after_the_fields():
    ids = [form.elem_id(name) for name in NAMES]
    assert len(set(ids)) == len(ids)
    assert form.elem_id("train.max_learning_rate") == "max-learning-rate" and form.elem_id("model.n_layer") == "n-layer"


def test_small_numbers_are_not_rounded():
    widget = form.widget("train.max_learning_rate", 3e-4)
    assert isinstance(widget, gr.Number)
    assert form.from_widget("train.max_learning_rate", widget.preprocess(0.00012345)) == 0.00012345


@pytest.mark.parametrize("n_head, positions", [(4, "rope"), (6, "learned"), (12, "rope"), (7, "none")])
def test_the_width_slider_stops_only_where_the_heads_divide(n_head, positions):
    config = RunConfig().replace({"model.n_head": n_head, "model.n_embd": 336, "model.positions": positions})
    offered = form.slider_range("model.n_embd", 336, config.model)
    for n_embd in range(offered["minimum"], offered["maximum"] + 1, offered["step"]):
        config.replace({"model.n_embd": n_embd})  # raises where it doesn't work


@pytest.mark.parametrize("name", form.DIVISORS)
@pytest.mark.parametrize("n_embd, positions", [(128, "rope"), (384, "learned"), (768, "rope")])
def test_heads_offered_all_work(name, n_embd, positions):
    config = RunConfig().replace({"model.n_embd": n_embd, "model.positions": positions})
    offered = [number for _, number in form.offered(name, config.model.n_head, config.model) if number != ""]
    assert len(offered) > 2
    for number in offered:
        config.replace({name: number})


def test_a_heads_choice_that_no_longer_works_stays_visible():
    config = RunConfig().replace({"model.n_embd": 128})
    assert 6 in [number for _, number in form.offered("model.n_head", 6, config.model)]


@pytest.mark.parametrize("name", form.SLIDERS)
def test_a_slider_reaches_every_preset(name):
    for preset in presets().values():
        value = value_of(preset.config, name)
        reach = form.slider_range(name, value, preset.config.model)
        assert reach["minimum"] <= value <= reach["maximum"]


def test_problems_use_the_words_of_the_page():
    with pytest.raises(ConfigError) as caught:
        RunConfig().replace({"model.n_embd": 100, "model.n_head": 8})
    sentence = form.in_words(caught.value)
    assert "“Attention heads”" in sentence and "n_head" not in sentence


def test_a_switch_is_turned_on_or_off():
    text = "it cheats (set model.causal to true); biases (set model.bias to false); set model.mlp to swiglu; set model.gone to true"
    assert form.page_names(text) == ("it cheats (turn “Causal mask” on); biases (turn “Biases” off); set “MLP” to swiglu; "
                                     "set model.gone to true")


def test_a_value_survives_the_command_line():
    for name in NAMES:
        for preset in presets().values():
            value = value_of(preset.config, name)
            assert value_of(preset.config.replace({name: form.value_text(name, value)}), name) == value
