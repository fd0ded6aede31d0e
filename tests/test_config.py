"""Settings: bounds, names, text values, clashes, and the way to JSON and back."""

import dataclasses
import json

import pytest

from gptlab.config import (ConfigError, RunConfig, TrainConfig, all_settings, changes, check, field_type, nearest_widths,
                           read_value, valid_heads, written)


def problems_of(changed: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        RunConfig().replace(changed)
    return caught.value.problems


def test_the_defaults_have_no_problems():
    assert check(RunConfig()) == []


@pytest.mark.parametrize("name", [name for name, item in all_settings() if item.metadata["minimum"] is not None])
def test_each_bound_is_held_and_the_sentence_names_value_and_limit(name):
    section, _, short = name.partition(".")
    item = dict(all_settings())[name]
    for limit, beyond, words in ((item.metadata["minimum"], item.metadata["minimum"] - 1, "at least"),
                                 (item.metadata["maximum"], item.metadata["maximum"] + 1, "at most")):
        config = RunConfig()
        at_limit, past = (dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section),
                                                                                    **{short: value})})
                          for value in (limit, beyond))
        assert not [p for p in check(at_limit) if p.startswith(f"{name} is")]
        [problem] = [p for p in check(past) if p.startswith(f"{name} is")]
        assert str(beyond) in problem and f"{words} {written(limit, ',')}" in problem


@pytest.mark.parametrize("name", [name for name, item in all_settings() if item.metadata["choices"]])
def test_choices_are_listed_when_another_is_given(name):
    [problem] = problems_of({name: "neither"})
    assert "'neither'" in problem
    for choice in dict(all_settings())[name].metadata["choices"]:
        assert choice is None or choice in problem


@pytest.mark.parametrize("wrong, right", [("train.max_learning_rat", "train.max_learning_rate"),
                                          ("model.n_layers", "model.n_layer"),
                                          ("learning_rate", "train.max_learning_rate"),
                                          ("data.tokeniser", "data.tokenizer"),
                                          ("n_head", "model.n_head")])
def test_an_unknown_name_is_refused_with_the_nearest(wrong, right):
    [problem] = problems_of({wrong: 1})
    assert f"'{wrong}'" in problem and f"Did you mean '{right}'?" in problem


@pytest.mark.parametrize("wrong, listed", [("model.qqq", "n_layer"), ("train.qqq", "train.epochs, train.max_steps"),
                                           ("qqq", "data.…, model.…, train.…, sample.…")])
def test_where_no_name_is_near_there_is_a_list(wrong, listed):
    [problem] = problems_of({wrong: 1})
    assert "Did you mean" not in problem and listed in problem


def test_all_problems_come_at_once():
    problems = problems_of({"model.n_layers": 2, "model.n_embd": 130, "train.seed": -1, "data.tokenizer": "words",
                            "train.max_steps": "many", "train.eval_every": None})
    assert len(problems) == 6
    for word in ("n_layers", "n_embd 130", "seed", "words", "'many' is not a whole number", "eval_every: needs a value"):
        assert any(word in problem for problem in problems), word


def test_json_and_back():
    config = RunConfig().replace({"model.positions": "none", "model.bias": True, "train.epochs": 3, "train.max_steps": None,
                                  "sample.prompts": ["Once upon\ta time", "নদী"], "sample.stop": ["The end."],
                                  "data.split": "tail", "train.max_learning_rate": 1 / 3})
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_json_leaves_out_keeps_its_default():
    assert RunConfig.from_dict({"model": {"n_layer": 2}}) == RunConfig().replace({"model.n_layer": 2})


def test_none_is_taken_only_where_it_means_something():
    for name, _ in all_settings():
        if field_type(name)[1]:
            assert read_value(name, None) is None and read_value(name, "none") is None
        else:
            with pytest.raises(ValueError):
                read_value(name, None)


def test_none_and_off_are_values_of_settings_that_cannot_be_empty():
    """`--set model.positions=none` and `--set model.bias=off` once answered "needs a value"."""
    config = RunConfig().replace({"model.positions": "none", "model.bias": "off"})
    assert config.model.positions == "none" and config.model.bias is False


@pytest.mark.parametrize("name, text, value", [
    ("train.max_learning_rate", "1e-3", 0.001), ("train.max_steps", "2000", 2000), ("train.max_steps", "2e3", 2000),
    ("train.max_steps", " None ", None), ("train.grad_clip", "off", None), ("model.bias", "Yes", True),
    ("model.tie_embeddings", "0", False), ("data.source", "my notes.txt", "my notes.txt"),
    ("sample.prompts", "one\ntwo\n\n", ("one", "two")), ("sample.prompts", "", ())])
def test_text_is_read_as_the_type_of_the_setting(name, text, value):
    read = read_value(name, text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("name, value", [("train.max_steps", "2.5"), ("train.max_steps", 2.5), ("train.max_steps", True),
                                         ("train.max_steps", "1e999"), ("train.max_learning_rate", "nan"),
                                         ("train.max_learning_rate", [1]), ("model.bias", "perhaps"), ("data.source", 3),
                                         ("data.source", ""), ("sample.prompts", [1])])
def test_values_of_another_type_are_refused(name, value):
    with pytest.raises(ValueError):
        read_value(name, value)


@pytest.mark.parametrize("changed, remedy", [
    ({"model.n_embd": 120, "model.n_head": 7}, "model.n_embd to 112 or 168, or model.n_head to 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24 or 30."),
    ({"model.n_embd": 120, "model.n_head": 24, "model.positions": "rope"}, "even number of channels a head, not 5: set model.n_embd to 96 or 144, or"),
    ({"model.n_embd": 99, "model.positions": "rope"}, "set model.n_embd to 96 or 104."),
    ({"model.n_embd": 8191}, "set model.n_embd to 8184 or 8192, or model.n_head to 1."),
    ({"model.n_head": 8, "model.n_kv_head": 3}, "set model.n_kv_head to 1, 2, 4 or 8."),
    ({"train.min_learning_rate": 0.01}, "set train.min_learning_rate to 0.001 or less"),
    ({"train.max_learning_rate": 5e-5}, "set train.min_learning_rate to 0.00005 or less"),
    ({"train.batch_size": 4, "model.context_length": 64, "train.tokens_per_update": 1000}, "768 or 1,024"),
    ({"train.batch_size": None, "model.context_length": 64, "train.tokens_per_update": 100}, "the context (64): set it to 64 or 128"),
    ({"train.max_steps": None}, "train.epochs, train.max_steps or train.max_minutes"),
    ({"data.tokenizer": "file"}, "data.tokenizer_file")])
def test_clashes_say_which_setting_to_move_and_where_to(changed, remedy):
    [problem] = problems_of(changed)
    assert remedy in problem


@pytest.mark.parametrize("changed, problem", [
    ({"model.n_expert": 0}, "model.n_expert is 0, but must be at least 2 experts, or empty."),
    ({"model.n_embd": 3}, "model.n_embd is 3, but must be at least 8 channels."),
    ({"model.n_layer": 0}, "model.n_layer is 0, but must be at least 1."),
    ({"train.max_learning_rate": 1e-7, "train.min_learning_rate": 0}, "is 0.0000001, but must be at least 0.000001.")])
def test_beyond_its_bounds_a_setting_is_told_nothing_else(changed, problem):
    [said] = problems_of(changed)
    assert said.endswith(problem)


@pytest.mark.parametrize("n_head", [1, 3, 4, 7, 24, 128])
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_the_widths_that_are_named_work(n_head, positions):
    for n_embd in (8, 98, 99, 100, 777, 8191):
        widths = nearest_widths(n_embd, n_head, even=positions == "rope")
        assert widths
        for width in widths:
            RunConfig().replace({"model.n_embd": width, "model.n_head": n_head, "model.positions": positions})


def test_the_remedies_for_clashes_work():
    RunConfig().replace({"train.batch_size": 4, "model.context_length": 64, "train.tokens_per_update": 768})
    for n_head in valid_heads(120):
        RunConfig().replace({"model.n_embd": 120, "model.n_head": n_head})


def test_changes_are_what_replace_needs():
    base, changed = RunConfig(), {"model.n_layer": 6, "train.max_steps": None, "train.epochs": 2}
    assert changes(base.replace(changed), base) == changed
    assert base.replace(changes(base.replace(changed), base)) == base.replace(changed)


def test_every_setting_says_what_it_is():
    for name, item in all_settings():
        assert item.metadata["label"] and item.metadata["help"].endswith("."), name
        assert (item.metadata["minimum"] is None) == (item.metadata["maximum"] is None), name


def test_settings_cannot_be_changed_behind_anybodys_back():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().max_steps = 1
