"""The drawn architecture, the module tree and the switches that take a part away, without a browser."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from gptlab.config import ConfigError, ModelConfig
from gptlab.model.estimate import total_parameters
from gptlab.model.gpt import GPT
from gptlab.presets import presets
from gptlab.runs.workspace import Workspace
from gptlab.ui import ablations, architecture, architecture_svg, form, model_facts, model_tab
from gptlab.ui.lab import Lab, draft_config, read_draft, undo

VOCABULARY = 74
GPT_2 = ModelConfig(n_layer=3, bias=True)
LLAMA = ModelConfig(n_layer=2, n_kv_head=2, positions="rope", norm="rmsnorm", mlp="swiglu", qk_norm=True, tie_embeddings=False)
EXPERTS = dataclasses.replace(LLAMA, n_expert=8, n_expert_active=3)
BARE = ModelConfig(n_layer=1, n_head=1, positions="none", norm="none", residual=False, causal=False)
MODELS = pytest.mark.parametrize("config", [GPT_2, LLAMA, EXPERTS, BARE, dataclasses.replace(GPT_2, vocab_size=128)],
                                 ids=["gpt-2", "llama", "experts", "bare", "padded"])


@pytest.fixture
def lab(workspace_dir):
    return Lab(Workspace(workspace_dir), jobs=None)


def texts(drawing: str) -> dict[str, list[str]]:
    """What stands on every box of a drawing, which must be well-formed XML, by part."""
    boxes = {}
    for group in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}g"):
        if "data-part" in group.attrib:
            on_box = [text.text for text in group.iter("{http://www.w3.org/2000/svg}text")]
            boxes.setdefault(group.get("data-part"), []).extend(on_box)
    return boxes


def number(texts_on_box: list[str]) -> int:
    """The parameters on a box: the one text that is a whole number."""
    counts = [int(text.replace(",", "")) for text in texts_on_box if re.fullmatch(r"[\d,]+", text)]
    assert len(counts) <= 1
    return sum(counts)


@MODELS
def test_the_numbers_on_the_boxes_add_up_to_the_model(config):
    drawn = architecture.described(config, VOCABULARY, 16)
    with torch.device("meta"):
        model = GPT(config, VOCABULARY)
    in_all = sum(parameter.numel() for parameter in model.parameters())
    assert sum(map(number, texts(drawn["stack"]).values())) == in_all == total_parameters(config, VOCABULARY)
    in_a_block = sum(parameter.numel() for parameter in model.blocks[0].parameters())
    assert sum(map(number, texts(drawn["block"]).values())) == in_a_block
    assert f"{in_a_block:,} each" in texts(drawn["stack"])["blocks"]
    assert f"{in_all:,}" in drawn["alt"]


@MODELS
def test_the_tree_is_what_pytorch_prints_and_draws_no_random_numbers(config):
    before = torch.get_rng_state()
    tree = architecture.module_tree(config, VOCABULARY)
    assert torch.equal(torch.get_rng_state(), before)
    assert tree == repr(GPT(config, VOCABULARY))


def test_shapes_are_those_of_the_settings():
    drawn = architecture.described(dataclasses.replace(EXPERTS, n_embd=64), VOCABULARY, 10)
    stack, block = texts(drawn["stack"]), texts(drawn["block"])
    assert "(10, 128)" in stack["tokens"] and "(10, 128, 74)" in stack["logits"] and "74 × 64" in stack["output"]
    assert {"q (10, 4, 128, 16)", "k, v (10, 2, 128, 16)", "rotary", "QK-norm", "causal mask"} <= set(block["attention"])
    assert "(10, 128, 8)" in block["router"] and "8 SwiGLU experts" in block["mlp"]
    assert drawn["block"].count("expert lit") == 3 and "(B, 128)" in architecture.described(GPT_2, VOCABULARY, "B")["stack"]


def test_what_is_taken_away_is_missing():
    whole, bare = (architecture.described(config, VOCABULARY, 16) for config in (GPT_2, BARE))
    assert "missing" not in whole["stack"] + whole["block"] and "cheat" not in whole["block"]
    assert "no positions" in texts(bare["stack"])["position_embedding"]
    for place, drawing in (("final_norm", "stack"), ("attention_norm", "block"), ("mlp_norm", "block")):
        assert texts(bare[drawing])[place] == ["no norm"]
    assert 'class="plus"' not in bare["block"] and "residual missing" in bare["block"]
    assert "blind" not in bare["block"] and "no mask" in texts(bare["block"])["attention"]
    assert "tied: the token table" in texts(whole["stack"])["output"] and 'class="tie"' in whole["stack"]
    assert "position_embedding" not in texts(architecture.described(LLAMA, VOCABULARY, 16)["stack"])


@pytest.mark.parametrize("config", [GPT_2, EXPERTS, BARE])
def test_every_box_is_explained(config):
    drawn = architecture.described(config, VOCABULARY, 16)
    assert set(texts(drawn["stack"])) | set(texts(drawn["block"])) == set(drawn["says"])
    for says in drawn["says"].values():
        assert says.endswith(".") and "{" not in says


@pytest.mark.parametrize("few, many", [(1, 2), (2, 4), (3, 8), (8, 8), (5, 16)])
def test_as_many_experts_are_lit_as_a_token_goes_through(few, many):
    assert len(architecture_svg.spread(few, many)) == few and max(architecture_svg.spread(few, many)) < many


def test_a_page_that_opens_on_a_clash_shows_the_last_model_there_was(lab):
    draft, _ = model_tab.edited(None, {**held(None), "model.n_layer": 7})
    draft, _ = model_tab.edited(draft, {**held(draft), "model.n_expert": 4})  # without SwiGLU
    with pytest.raises(ConfigError):
        architecture.shown(lab, draft)
    assert "Block × 7" in architecture.last_shown(lab, draft)["stack"]
    assert "Block × 2" in architecture.last_shown(lab, {**draft, "history": []})["stack"]


# ---- Switches ---------------------------------------------------------------------------------------------------------


def held(draft):
    """What all widgets hold while they show a draft."""
    draft = read_draft(draft)
    base = presets()[draft["preset"]].config
    return {name: form.to_widget(name, draft["changes"].get(name, form.value_of(base, name))) for name in model_tab.SHOWN}


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_a_switch_is_one_click_there_and_one_back(preset, name, lab):
    draft = {**read_draft(None), "preset": preset, "changes": {}}
    before, one = ablations.shown(draft)["pressed"], ablations.ABLATIONS[name]
    flipped = ablations.toggled(draft, [other for other in ablations.ABLATIONS if (other in before) != (other == name)], name)
    assert (name in ablations.shown(flipped)["pressed"]) != (name in before)
    assert (form.value_of(draft_config(lab, flipped), one.setting) == one.without) != (name in before)
    architecture.shown(lab, flipped)
    back = ablations.toggled(flipped, before, name)
    assert back["changes"] == {} and undo(flipped)["changes"] == {}


def test_what_is_put_back_is_what_was_there(lab):
    draft, _ = model_tab.edited(None, {**held(None), "model.n_head": 8})
    draft, _ = model_tab.edited(draft, {**held(draft), "model.n_kv_head": 2})
    one = ablations.toggled(draft, ["heads"], "heads")
    assert draft_config(lab, one).model.kv_heads == 1  # two would not go with one head
    assert ablations.toggled(one, [], "heads")["changes"] == draft["changes"]
    assert undo(one)["changes"] == draft["changes"]


def test_a_second_click_before_the_first_is_answered_loses_neither():
    draft = read_draft(None)  # what the page still holds when both are sent
    assert ablations.toggled(draft, ["causal"], "causal")["changes"] == {"model.causal": False}
    both = ablations.toggled(draft, ["causal", "residual"], "residual")
    assert both["changes"] == {"model.causal": False, "model.residual": False}


def test_a_widget_that_takes_a_part_away_presses_the_switch():
    draft, _ = model_tab.edited(None, {**held(None), "model.norm": "none"})
    assert ablations.shown(draft)["pressed"] == ["norm"]


@pytest.mark.parametrize("pressed, last", [(["gone"], "norm"), (["norm"], "gone"), ("norm", "norm"), (None, None),
                                           ([{}], "norm")])
def test_a_switch_that_there_is_not_is_refused(pressed, last):
    with pytest.raises(ConfigError, match="no such switch"):
        ablations.toggled(None, pressed, last)


# ---- Experts ----------------------------------------------------------------------------------------------------------


def test_experts_without_what_they_need_are_one_click_from_it(lab):
    draft, _ = model_tab.edited(None, {**held(None), "model.n_expert": 3, "model.n_expert_active": 5})
    message, mend = model_tab._beside(lab, draft)[2:4]
    assert "set “MLP” to swiglu" in message and mend.visible
    assert mend.value == "Set “MLP” to swiglu and “Experts a token” to 3"
    config = draft_config(lab, model_tab.mended(draft)).model
    assert (config.mlp, config.n_expert, config.n_expert_active) == ("swiglu", 3, 3)
    assert not model_tab._beside(lab, model_tab.mended(draft))[3].visible


def test_a_number_of_experts_that_cannot_be_is_told_alone_and_not_mended_by_another_setting(lab):
    message, mend = model_tab._beside(lab, {**read_draft(None), "changes": {"model.n_expert": 0}})[2:4]
    assert "“Experts” is 0, but must be at least 2 experts, or empty.</p>" in message and not mend.visible


def test_an_empty_number_of_experts_says_that_there_are_none():
    assert form.widget("model.n_expert", None).placeholder == "no experts"


def test_the_table_and_the_picture_say_the_same(lab):
    _, table = model_facts.facts_html(lab, None)
    in_all = sum(int(count.replace(",", "")) for count in re.findall(r"<td>([\d,]+)</td>", table))
    assert f"{in_all:,} parameters" in architecture.shown(lab, None)["alt"]
