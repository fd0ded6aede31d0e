"""What keeps a run from beginning is said before there is one."""

import pytest
import torch
from tiny_run import TINY, tiny_workspace

from gptlab.config import RunConfig
from gptlab.runs.trainable import check_trainable


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("trainable"), small_text).open_dataset("tiny")


def test_what_fits_is_let_through(dataset):
    check_trainable(RunConfig().replace(TINY), dataset)


@pytest.mark.parametrize("changes, words", [
    ({"model.context_length": 4096, "train.tokens_per_update": None}, "tokens, but a context of 4,096"),
    ({"sample.prompts": ("The cat", "The ৰ")}, "never seen 'ৰ'"),
    ({"train.device": "cpu", "train.precision": "fp16"}, "'fp16', but cpu cannot train in it")])
def test_what_does_not_fit_is_one_sentence(dataset, changes, words):
    with pytest.raises(ValueError, match=words):
        check_trainable(RunConfig().replace({**TINY, **changes}), dataset)


def test_a_device_that_is_not_there(dataset, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no NVIDIA GPU"):
        check_trainable(RunConfig().replace({**TINY, "train.device": "cuda"}), dataset)
