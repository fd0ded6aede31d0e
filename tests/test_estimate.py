"""What settings say a model costs, against the built model, autograd's own memory, and torch's count of operations."""

import dataclasses
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
from gptlab.train.device import using_threads


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


EXPERTS = dict(positions="rope", norm="rmsnorm", mlp="swiglu", n_expert=8, mlp_hidden=48)


@pytest.mark.parametrize("settings", [
    dict(), dict(positions="rope", n_kv_head=2), dict(mlp="swiglu", norm="rmsnorm"), dict(mlp="relu2", qk_norm=True),
    dict(positions="rope", qk_norm=True), dict(bias=True, tie_embeddings=False), dict(vocab_size=700), dict(norm="none"),
    dict(norm="none", residual=False, causal=False, positions="none"), dict(dropout=0.1), dict(dropout=0.1, n_kv_head=2),
    EXPERTS, dict(EXPERTS, n_expert_active=1, dropout=0.1),
])
def test_activations_are_what_autograd_keeps(settings):
    config = ModelConfig(n_layer=3, n_embd=64, context_length=64, **settings)
    model, tokens = GPT(config, 100), 4 * 64
    estimated = tokens * (estimate.activation_bytes_per_token(config, 4) + 4 * model.vocab_size)  # and the loss's softmax
    assert estimated == pytest.approx(kept_for_backward(model, torch.zeros(4, 64, dtype=torch.long)), rel=0.02)


def test_without_a_fused_kernel_attention_keeps_its_matrices():
    """As on a GPU in float32 with fewer key/value heads than heads, and on Apple's."""
    config = ModelConfig(n_layer=3, n_embd=64, context_length=64)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        kept = kept_for_backward(model := GPT(config, 100), torch.zeros(4, 64, dtype=torch.long))
    estimated = 4 * 64 * (estimate.activation_bytes_per_token(config, 4, "mps") + 4 * model.vocab_size)
    assert estimated == pytest.approx(kept, rel=0.02)
    assert estimate.activation_bytes_per_token(config, 4, "cuda") < estimate.activation_bytes_per_token(config, 4, "mps")


def allocated_peak(model: GPT, ids: torch.Tensor) -> int:
    """Bytes allocated at the worst moment of one way there and back, above what there was."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        model.loss(ids, ids).backward()
    held = peak = 0
    for event in sorted(profiled.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


@pytest.mark.parametrize("settings", [dict(), EXPERTS, dict(dropout=0.1)])
def test_gradient_checkpointing_saves_what_it_is_said_to(settings):
    config, peaks = ModelConfig(n_layer=8, n_embd=64, context_length=64, **settings), []
    for checkpointing in (False, True):
        with using_threads(1):
            model = GPT(config, 100)
            model.checkpointing = checkpointing
            peaks.append(allocated_peak(model, torch.zeros(8, 64, dtype=torch.long)))
        train = TrainConfig(batch_size=8, gradient_checkpointing=checkpointing)
        parts = {**estimate.training_memory_bytes(config, train, 100), "weights": 0, "optimizer": 0}
        if not checkpointing:
            parts = {"activations": parts["activations"] / estimate.HEAP_HOLES}
        assert sum(parts.values()) == pytest.approx(peaks[-1], rel=0.12)
    assert peaks[1] < 0.6 * peaks[0]


@pytest.mark.parametrize("settings, more", [
    (dict(), 1), (dict(tokens_per_update=4 * 64 * 3), 2)])
def test_each_core_holds_gradients_of_its_own(settings, more):
    """As `cores.add_gradients` has them: one set for each core, and one of the update's earlier batches."""
    config, train = ModelConfig(n_layer=1, n_embd=64, context_length=64), TrainConfig(batch_size=4, **settings)
    alone = estimate.training_memory_bytes(config, train, 100)
    side_by_side = estimate.training_memory_bytes(config, train, 100, cores=2)
    assert alone["gradients"] == alone["weights"]
    assert side_by_side["gradients"] == (1 + more) * alone["gradients"]
    assert {**side_by_side, "gradients": 0} == {**alone, "gradients": 0}


@pytest.mark.parametrize("settings", [dict(), dict(n_layer=1, n_embd=256, context_length=8)])
def test_a_gpus_peak_is_its_largest_moment(settings):
    """A deep model's is the loss, when there are no gradients yet; a wide one's with few tokens the optimizer's step."""
    config, train = ModelConfig(**settings), TrainConfig(batch_size=4 if settings else 16)
    parts = estimate.training_memory_bytes(config, train, 100, device="cuda")
    assert parts["gradients"] == (parts["weights"] if settings else 0)
    assert (parts["activations"] > parts["weights"]) == (not settings)


def test_the_loss_of_a_large_vocabulary_keeps_no_logits(monkeypatch):
    monkeypatch.setattr(estimate, "LOGITS_AT_ONCE", 32 * 700)
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", 32 * 700)
    config = ModelConfig(n_layer=1, n_embd=64, context_length=64)
    kept = kept_for_backward(GPT(config, 700), torch.zeros(4, 64, dtype=torch.long))
    in_one_piece = 3 * 32 * 700 * 4
    estimated = 256 * estimate.activation_bytes_per_token(config, 4) + estimate.loss_bytes(config, 256, 700)
    assert estimated == pytest.approx(kept + in_one_piece, rel=0.05)


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
    stepping = estimate.muon_bytes(config) if optimizer == "muon" else 0
    assert estimate.training_memory_bytes(config, train, 65)["optimizer"] - stepping == sum(t.nbytes for t in kept.values())


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
    by_module = counter.get_flop_counts()  # forward and backward, of a module and all within it
    per_token = {name: sum(counts.values()) / (3 * 32) for name, counts in by_module.items()}
    parts = estimate.flops_by_part(config, 100)
    of_blocks = [sum(flops for name, flops in per_token.items() if name.endswith(f".{part}")) for part in ("attention", "mlp")]
    assert of_blocks == pytest.approx([parts["attention"] + parts["scores"] + unseen, parts["mlp"]])


def test_without_a_mask_attention_looks_at_the_whole_context():
    config = ModelConfig(n_layer=2, n_embd=64, context_length=32, causal=False)
    causal = dataclasses.replace(config, causal=True)
    looked = [estimate.flops_by_part(one, 100)["scores"] for one in (config, causal)]
    assert looked[0] == 2 * 12 * 64 * 32 and looked[1] == looked[0] * 33 / 64


def test_estimates_need_no_torch():
    code = "import sys, gptlab.model.estimate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
