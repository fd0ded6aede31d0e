"""What only an NVIDIA GPU can show: that a run which stops gives its memory back, and one that has too little goes on."""

import pytest
import torch
from test_trainer import dataset
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.config import RunConfig
from gptlab.events import Alert, Step
from gptlab.runs import worker
from gptlab.train.choosing import choose
from gptlab.train.room import needed_bytes
from gptlab.train.trainer import Trainer

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


def test_a_run_whose_batch_does_not_fit_goes_on_in_parts(tmp_path, small_text):
    """With half the room that it would take; the losses are those of whole batches."""
    workspace = tiny_workspace(tmp_path, small_text)
    settings = {**LARGER, "model__dropout": 0.0, "model__context_length": 128, "train__batch_size": 64, "train__precision": "fp32",
                "train__tokens_per_update": None, "train__max_steps": 6, "sample__max_new_tokens": 1}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    whole = finished_run(workspace, "whole", **settings)
    needed, total = torch.cuda.max_memory_allocated() - before, torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.5 * needed) / total)
    try:
        run = finished_run(workspace, "parts", **settings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    [alert] = [event for event in run.events() if isinstance(event, Alert) and event.code == "out_of_memory"]
    assert alert.step == 1 and "batches of 64 are computed in parts of" in alert.message and "out of memory" in alert.evidence
    losses = [[event.loss for event in one.events() if isinstance(event, Step)] for one in (whole, run)]
    assert len(losses[1]) == 6 and losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_what_a_gpu_is_best_at_is_chosen_with_room_for_it():
    data = dataset(n_train=2_000_000, n_val=5000)
    choice = choose(RunConfig().replace({"train.batch_size": None, "train.device": "cuda"}), data)
    assert choice.threads is None and choice.precision in ("bf16", "fp16", "fp32") and choice.batch_size >= 4
    assert choice.words.startswith("On the GPU: ")


@pytest.mark.parametrize("settings", [
    {}, {"train.gradient_checkpointing": True}, {"train.precision": "fp32"}, {"model.dropout": 0.1},
    {"model.mlp": "swiglu", "model.norm": "rmsnorm", "model.positions": "rope", "model.n_kv_head": 2},
    {"model.mlp": "swiglu", "model.n_expert": 4, "model.mlp_hidden": 256}, {"train.optimizer": "muon"}])
def test_a_gpu_holds_what_is_estimated(settings):
    """To a tenth of torch's own count."""
    config = RunConfig().replace({"model.n_layer": 8, "model.n_head": 8, "model.n_embd": 512, "model.context_length": 256,
                                  "train.batch_size": 16, "train.precision": "bf16", "train.device": "cuda", **settings})
    data = dataset(n_train=100_000, n_val=5000)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trainer = Trainer(config, data)
    for _ in range(2):
        trainer.update()
    trainer.flush()
    held = torch.cuda.max_memory_allocated() - before
    estimated = needed_bytes(config, data.tokenizer.vocab_size, "cuda", None, trainer.precision)
    assert sum(estimated.values()) == pytest.approx(held, rel=0.1), estimated
