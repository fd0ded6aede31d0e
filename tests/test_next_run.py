"""What a page would start next: as a run was begun, told from the nearest preset."""

from __future__ import annotations

import shutil

import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.data.sources import DataError
from gptlab.presets import preset, presets
from gptlab.runs.workspace import create_run
from gptlab.ui.lab import NEW_DRAFT, Lab, draft_config, undo
from gptlab.ui.next_run import again


@pytest.fixture
def lab(tmp_path, small_text):
    return Lab(tiny_workspace(tmp_path, small_text), jobs=None)


@pytest.mark.parametrize("name, differing", [("overfit", {"model.n_layer": 1, "sample.prompts": ["It was"]}), ("first-minute", {})])
def test_a_run_is_begun_again_as_it_was(lab, name, differing):
    begun = preset(name).config.replace(differing).replace(
        {f"data.{key}": value for key, value in lab.workspace.open_dataset("tiny").manifest["config"].items()})
    run = create_run(lab.workspace, begun, lab.workspace.open_dataset("tiny"), "lesson")
    draft = again(lab, {**NEW_DRAFT, "preset": "tiny-llama"}, run)
    assert (draft["preset"], draft["dataset"], draft["changes"]) == (name, "tiny", differing)
    assert draft_config(lab, draft).to_dict() == begun.to_dict()
    assert undo(draft)["preset"] == "tiny-llama"


def test_no_preset_for_a_gpu_is_drafted_where_there_is_none(lab):
    begun = tiny_run(lab.workspace, model__n_layer=2)
    assert not presets()[again(lab, None, begun)["preset"]].needs_gpu


def test_settings_far_from_any_preset_are_told_whole(lab):
    run = tiny_run(lab.workspace)
    draft = again(lab, None, run)
    assert draft["preset"] in presets() and draft_config(lab, draft).model == run.config().model


def test_a_run_whose_data_is_gone_cannot_be_begun_again(lab):
    run = tiny_run(lab.workspace)
    shutil.rmtree(lab.workspace.datasets / "tiny")
    with pytest.raises(DataError, match="prepare it again"):
        again(lab, None, run)
