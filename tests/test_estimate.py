"""What settings say a model costs, against the built model, autograd's own memory, and torch's count of operations."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gptlab.config import ModelConfig, TrainConfig
from gptlab.model import cross_entropy, estimate
from gptlab.model.gpt import GPT
from gptlab.presets import presets
from gptlab.train import optim


def part_of(name: str) -> str:
    """Which part of the estimate a parameter of the model belongs to."""
    if "norm" in name:
        return "norms"
    return name.split(".")[2] if name.startswith("blocks.") else name.split(".")[0]


@pytest.mark.parametrize("positions, norm, mlp", list(itertools.product(
    ("learned", "rope", "none"), ("layernorm", "rmsnorm"), ("gelu", "swiglu", "relu2"))))
def test_parameters_are_those_of_the_built_model(positions, norm, mlp):
    for bias, qk_norm, tied, n_kv_head, padded in itertools.product((False, True), (False, True), (False, True),
                                                                    (None, 2), (None, 64)):
        config = ModelConfig(n_layer=3, n_head=4, n_embd=40, context_length=16, positions=positions, norm=norm, mlp=mlp,
                             bias=bias, qk_norm=qk_norm, tie_embeddings=tied, n_kv_head=n_kv_head, vocab_size=padded)
        with torch.device("meta"):
            model = GPT(config, 50)
        built = dict.fromkeys(estimate.parameters(config, 50), 0)
        for name, parameter in model.named_parameters():
            built[part_of(name)] += parameter.numel()
        assert estimate.parameters(config, 50) == built
        assert estimate.total_parameters(config, 50) == sum(parameter.numel() for parameter in model.parameters())


def test_published_sizes():
    """GPT-2's 124,439,808 parameters, and the 1.3 billion of Llama's shape with 24 layers of 2048."""
    gpt2 = ModelConfig(n_layer=12, n_head=12, n_embd=768, context_length=1024, bias=True)
    assert estimate.total_parameters(gpt2, 50257) == 124_439_808
    llama = presets()["llama-1b"].config.model
    assert estimate.total_parameters(llama, 32000) == 24 * (4 * 2048**2 + 3 * 2048 * 5464 + 2 * 2048) + 2048 * 64001


def kept_for_backward(model: GPT, ids: torch.Tensor) -> int:
    """Bytes that the forward pass keeps, weights and tables aside; each piece of memory counted once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # alive, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.loss(ids, ids)
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)


@pytest.mark.parametrize("settings", [
    dict(), dict(positions="rope", n_kv_head=2), dict(mlp="swiglu"), dict(mlp="relu2", qk_norm=True),
    dict(positions="rope", qk_norm=True), dict(bias=True, tie_embeddings=False), dict(vocab_size=700),
])
def test_activations_are_what_autograd_keeps(settings):
    config, train = ModelConfig(n_layer=3, n_embd=64, context_length=64, **settings), TrainConfig(batch_size=4)
    model = GPT(config, 100)
    estimated = estimate.training_memory_bytes(config, train, 100)["activations"]
    logits_and_gradient = 2 * 4 * 64 * model.vocab_size * 4  # held at the peak, but not kept by autograd
    assert estimated == pytest.approx(kept_for_backward(model, torch.zeros(4, 64, dtype=torch.long)) + logits_and_gradient,
                                      rel=0.05)


def test_the_loss_of_a_large_vocabulary_keeps_no_logits(monkeypatch):
    monkeypatch.setattr(estimate, "LOGITS_AT_ONCE", 32 * 700)
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", 32 * 700)
    config, train = ModelConfig(n_layer=1, n_embd=64, context_length=64), TrainConfig(batch_size=4)
    kept = kept_for_backward(GPT(config, 700), torch.zeros(4, 64, dtype=torch.long))
    in_one_piece = 3 * 32 * 700 * 4
    assert estimate.training_memory_bytes(config, train, 700)["activations"] == pytest.approx(kept + in_one_piece, rel=0.05)


def test_memory_of_weights_gradients_and_optimizer():
    config, train = ModelConfig(), TrainConfig()
    model = GPT(config, 65)
    optimizer = torch.optim.AdamW(model.parameters())
    model.loss(torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, dtype=torch.long)).backward()
    optimizer.step()
    memory = estimate.training_memory_bytes(config, train, 65)
    assert memory["weights"] == memory["gradients"] == sum(p.grad.nbytes for p in model.parameters())
    assert memory["optimizer"] == sum(state[name].nbytes for state in optimizer.state.values()
                                      for name in ("exp_avg", "exp_avg_sq"))
    narrow = estimate.training_memory_bytes(config, train, 65, "bf16")
    assert narrow["optimizer"] == memory["optimizer"] and narrow["gradients"] == memory["gradients"]
    assert narrow["activations"] < memory["activations"] and narrow["weights"] > memory["weights"]


@pytest.mark.parametrize("settings", [dict(), dict(bias=True, tie_embeddings=False, vocab_size=70, qk_norm=True),
                                      dict(mlp="swiglu", norm="rmsnorm", positions="rope", n_kv_head=2)])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_memory_of_each_optimizer_is_what_it_keeps(optimizer, settings):
    config, train = ModelConfig(n_layer=2, n_embd=32, context_length=16, **settings), TrainConfig(optimizer=optimizer)
    model = GPT(config, 65)
    built = optim.build_optimizer(model, train)
    model.loss(torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, dtype=torch.long)).backward()
    built.step()
    kept = {name: tensor for name, tensor in optim.state_tensors(model, built).items() if not name.endswith(".step")}
    assert estimate.training_memory_bytes(config, train, 65)["optimizer"] == sum(t.nbytes for t in kept.values())


@pytest.mark.parametrize("settings", [dict(bias=True), dict(positions="rope", mlp="swiglu", norm="rmsnorm", n_kv_head=2),
                                      dict(tie_embeddings=False, vocab_size=128)])
def test_work_is_what_torch_counts(settings):
    config = ModelConfig(n_layer=2, n_embd=64, context_length=32, **settings)
    with torch.device("meta"):
        model = GPT(config, 100)
        ids = torch.zeros(3, 32, dtype=torch.long)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        with FlopCounterMode(display=False) as counter:
            model.loss(ids, ids).backward()
    # The counted attention computes the causal triangle and throws the upper half away; the estimate leaves it out.
    unseen = config.n_layer * 12 * 64 * (32 - (32 + 1) / 2)
    assert math.isclose(estimate.flops_per_token(config, 100) + unseen, counter.get_total_flops() / (3 * 32), rel_tol=1e-9)


def test_estimates_need_no_torch():
    code = "import sys, gptlab.model.estimate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
