"""What only an NVIDIA GPU can show: that a run which stops gives its memory back."""

import pytest
import torch
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.runs import worker

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
LARGER = {"model__n_layer": 4, "model__n_embd": 256, "train__device": "cuda"}  # about 50 MB with its optimizer


@pytest.mark.parametrize("ending", ["stopped", "failed"])
def test_a_run_that_ends_frees_the_gpus_memory(tmp_path, small_text, ending):
    workspace = tiny_workspace(tmp_path, small_text)
    finished_run(workspace, "first", train__max_steps=8, **LARGER)  # CUDA's own work space stays, once
    before, held = [torch.cuda.memory_allocated(), torch.cuda.memory_reserved()], []

    def should_stop():
        held.append(torch.cuda.memory_allocated())
        if len(held) > 20 and ending == "failed":
            raise ValueError("Enough.")
        return len(held) > 20

    assert worker.run(tiny_run(workspace, "second", **LARGER), should_stop=should_stop) == ending
    after = [torch.cuda.memory_allocated(), torch.cuda.memory_reserved()]
    assert max(held) > before[0] + 2**24
    assert after[0] <= before[0] + 2**20 and after[1] <= before[1] + 2**22, (before, after)
