"""The presets: each loads, and those that promise a published recipe hold its numbers."""

import json
from dataclasses import replace

import pytest

from gptlab.config import ConfigError
from gptlab.exchange.families import family_of
from gptlab.model.estimate import active_parameters, total_parameters
from gptlab.presets import DEFAULT_PRESET, FOLDER, preset, presets

FAMILIES = {"gpt2-small-cpu": "GPT-2", "llama-small-cpu": "Llama", "qwen3-small-cpu": "Qwen3", "moe-small-cpu": "Qwen3-MoE"}
NAMES = ["first-minute", "overfit", *FAMILIES, "shakespeare-char-cpu", "shakespeare-char-cpu-fast", "shakespeare-char-gpu",
         "shakespeare-char-gpu-fast", "julius-caesar-124m", "tiny-llama", "llama-1b"]


def test_the_presets_and_their_order():
    assert list(presets()) == NAMES and DEFAULT_PRESET == NAMES[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_and_what_to_expect(name):
    chosen = preset(name)
    assert chosen.name == name and chosen.title and chosen.why.endswith(".") and chosen.group
    assert set(chosen.expect) == {"cpu", "cuda"} and all(chosen.expect.values())
    assert bool(chosen.dataset) != bool(chosen.wants), "a built-in data set, or a sentence on what to bring"
    if chosen.dataset:
        assert chosen.config.data.source == chosen.dataset


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_read_whole(name):
    """Every setting in the file arrives, under the value in the file."""
    settings = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["settings"]
    arrived = preset(name).config.to_dict()
    for section, values in settings.items():
        for short, value in values.items():
            assert arrived[section][short] == value


GOLDEN = {
    # nanoGPT's README, "only have a macbook": --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128
    # --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0; the rest from config/train_shakespeare_char.py and train.py.
    "shakespeare-char-cpu": {
        "data.tokenizer": "char", "data.split": "tail", "data.val_fraction": 0.1,
        "model.n_layer": 4, "model.n_head": 4, "model.n_embd": 128, "model.context_length": 64, "model.dropout": 0.0,
        "model.positions": "learned", "model.norm": "layernorm", "model.mlp": "gelu", "model.bias": False,
        "model.tie_embeddings": True, "model.qk_norm": False, "model.n_kv_head": None, "model.mlp_hidden": None,
        "train.batch_size": 12, "train.tokens_per_update": None, "train.max_steps": 2000, "train.epochs": None,
        "train.max_learning_rate": 1e-3, "train.min_learning_rate": 1e-4, "train.warmup_steps": 100,
        "train.schedule": "cosine", "train.weight_decay": 0.1, "train.beta1": 0.9, "train.beta2": 0.99,
        "train.grad_clip": 1.0, "train.order": "random"},
    # config/train_shakespeare_char.py
    "shakespeare-char-gpu": {
        "data.tokenizer": "char", "model.n_layer": 6, "model.n_head": 6, "model.n_embd": 384,
        "model.context_length": 256, "model.dropout": 0.2, "model.bias": False, "train.batch_size": 64,
        "train.max_steps": 5000, "train.max_learning_rate": 1e-3, "train.min_learning_rate": 1e-4, "train.beta2": 0.99,
        "train.warmup_steps": 100, "train.schedule": "cosine", "train.order": "random", "train.grad_clip": 1.0},
    "julius-caesar-124m": {
        "model.n_layer": 12, "model.n_head": 12, "model.n_embd": 768, "model.context_length": 256,
        "model.vocab_size": 50257, "model.positions": "learned", "model.norm": "layernorm", "model.mlp": "gelu_tanh",
        "train.batch_size": 2, "train.epochs": 50, "train.max_steps": None, "train.max_learning_rate": 4e-4,
        "train.weight_decay": 0.1, "train.seed": 123, "sample.prompts": ("He said we came here",)},
    "tiny-llama": {
        "model.n_layer": 6, "model.n_head": 6, "model.n_embd": 288, "model.mlp_hidden": 768, "model.mlp": "swiglu",
        "model.norm": "rmsnorm", "model.positions": "rope", "model.context_length": 256, "data.vocab_size": 32000,
        "model.vocab_size": 32000},
    "llama-1b": {
        "model.n_layer": 24, "model.n_head": 32, "model.n_embd": 2048, "model.context_length": 2048,
        "model.rope_theta": 10_000.0, "model.positions": "rope", "model.mlp": "swiglu", "model.norm": "rmsnorm",
        "train.tokens_per_update": 2**19},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_recipes_are_the_published_ones(name):
    config = preset(name).config
    for setting, value in GOLDEN[name].items():
        section, _, short = setting.partition(".")
        assert getattr(getattr(config, section), short) == value, setting


def test_only_the_billion_parameters_stand_under_large():
    assert [name for name in NAMES if preset(name).group == "Large"] == ["llama-1b"]


def test_what_a_cpu_cannot_do_says_so():
    for name in NAMES:
        assert preset(name).needs_gpu == (name not in ("first-minute", "overfit", *FAMILIES, "shakespeare-char-cpu",
                                                          "shakespeare-char-cpu-fast"))
        if preset(name).needs_gpu:
            assert "GPU" in preset(name).expect["cpu"] or "Not on a CPU" in preset(name).expect["cpu"]


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="no preset 'first-minuet'. Did you mean 'first-minute'"):
        preset("first-minuet")


@pytest.mark.parametrize("classic", ["shakespeare-char-cpu", "shakespeare-char-gpu"])
def test_a_fast_recipe_has_its_classics_data_and_a_model_no_larger(classic):
    slow, fast = preset(classic).config, preset(f"{classic}-fast").config
    assert (fast.data, fast.model.context_length) == (slow.data, slow.model.context_length)
    assert total_parameters(fast.model, 66) <= total_parameters(slow.model, 66)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_preset_is_of_the_family_in_its_title(name):
    assert FAMILIES[name] in preset(name).title and family_of(preset(name).config.model).name == FAMILIES[name]
    assert preset(name).group == "Families"


def test_a_familys_preset_has_what_its_why_says():
    gpt2, llama, qwen3, moe = (preset(name).config.model for name in FAMILIES)
    assert gpt2.bias and gpt2.tie_embeddings and gpt2.mlp == "gelu_tanh" and gpt2.norm_epsilon == 1e-5
    assert llama.n_head == 2 * llama.kv_heads and not llama.bias
    assert qwen3 == replace(llama, qk_norm=True)
    assert moe == replace(qwen3, n_expert=4, n_expert_active=2, mlp_hidden=moe.mlp_hidden) and moe.expert_balance > 0


def test_families_can_be_compared_side_by_side():
    """The same text, the same training, about as many parameters for a token to go through."""
    configs = [preset(name).config for name in FAMILIES]
    assert len({config.data for config in configs}) == len({config.train for config in configs}) == 1
    assert configs[0].data == preset(DEFAULT_PRESET).config.data, "the app prepares that at its first start"
    through = [active_parameters(config.model, 512) for config in configs]
    assert max(through) < 1.2 * min(through)
