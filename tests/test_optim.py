"""Groups, schedules in closed form, and the update that leaves no trace."""

import dataclasses
import math

import pytest
import torch

from gptlab.config import ModelConfig, TrainConfig
from gptlab.model.gpt import GPT
from gptlab.train import optim

MODEL = ModelConfig(n_layer=2, n_head=2, n_embd=16, context_length=8, bias=True, qk_norm=True)


def rates(total: int | None, **settings) -> list[float]:
    config = TrainConfig(max_learning_rate=1.0, min_learning_rate=0.1, **settings)
    return [optim.learning_rate(step, total, config) for step in range((total or 100) + 1)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_warm_up_is_a_line_that_does_not_begin_at_zero(schedule):
    assert rates(50, schedule=schedule, warmup_steps=4)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates(50, schedule=schedule, warmup_steps=0)[0] == 1.0


@pytest.mark.parametrize("schedule, expected", [
    ("cosine", lambda x: 0.1 + 0.9 * (1 + math.cos(math.pi * x)) / 2),
    ("linear", lambda x: 1.0 - 0.9 * x),
    ("constant", lambda x: 1.0),
    ("wsd", lambda x: 1.0 if x <= 0.75 else 1.0 - 0.9 * (x - 0.75) / 0.25),  # the last fifth of 100 steps, 20 of them warm-up
])
def test_schedules_fall_as_their_names_say(schedule, expected):
    got = rates(100, schedule=schedule, warmup_steps=20)
    assert got[20:] == pytest.approx([expected((step - 20) / 80) for step in range(20, 101)])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_where_the_end_is_not_known_the_rate_does_not_fall(schedule):
    assert set(rates(None, schedule=schedule, warmup_steps=3)[3:]) == {1.0}


def test_a_run_shorter_than_its_warm_up_only_warms_up():
    assert rates(5, schedule="wsd", warmup_steps=9) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


@pytest.mark.parametrize("tied", [True, False])
def test_only_matrices_decay_and_every_parameter_has_one_group(tied):
    model = GPT(ModelConfig(**{**vars(MODEL), "tie_embeddings": tied}), vocab_size=10)
    decaying, others = optim.build_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in others["params"]} == {n for n in names.values() if "norm" in n or n.endswith("bias")}
    assert sorted(names[id(p)] for group in (decaying, others) for p in group["params"]) == sorted(names.values())


def one_good_and_one_ruined_update(kind: str, skip: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """All weights and the optimizer's memory after a sound update, and after one more whose gradients are no numbers,
    with this flag."""
    model = GPT(MODEL, vocab_size=10)
    optimizer, states = optim.build_optimizer(model, TrainConfig(optimizer=kind)), []
    for flag, gradient in ((0.0, 0.5), (skip, math.nan)):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optim.step_unless(torch.tensor(flag), optimizer)
        states.append([t.detach().clone() for t in [*model.parameters(), *optim.state_tensors(model, optimizer).values()]])
    return states[0], states[1]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_skipped_update_leaves_weights_and_optimizer_as_they_were(kind):
    before, after = one_good_and_one_ruined_update(kind, skip=1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_without_the_flag_it_would_have_been_ruined(kind):
    before, after = one_good_and_one_ruined_update(kind, skip=0.0)
    assert all(t.isnan().all() for t in after if t.dim() > 0)


@pytest.mark.parametrize("shape", [(3, 12, 12), (2, 8, 24), (2, 24, 8)])
def test_newton_schulz_moves_singular_values_to_about_one_and_keeps_the_directions(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7.0
    U, S, Vh = torch.linalg.svd(matrices, full_matrices=False)
    moved = U.mT @ optim.orthogonalised(matrices) @ Vh.mT  # diagonal where the directions are kept
    values = torch.diagonal(moved, dim1=1, dim2=2)
    assert (moved - torch.diag_embed(values)).abs().max() < 1e-3
    large = S > 0.1 * S.amax(dim=1, keepdim=True)  # tiny ones would need more iterations
    assert values[large].min() > 0.6 and values[large].max() < 1.3


def test_muon_takes_the_matrices_inside_the_blocks_and_steps_as_long_as_adamw():
    model = GPT(MODEL, vocab_size=10)
    optimizer = optim.build_optimizer(model, TrainConfig(optimizer="muon", max_learning_rate=0.01, weight_decay=0.0))
    assert {n for n, p in model.named_parameters() if any(p is q for q in optimizer.param_groups[0]["params"])} == {
        n for n, p in model.named_parameters() if n.startswith("blocks.") and p.dim() == 2}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    optimizer.step()
    moved = {name: (p - before[name]).square().mean().sqrt().item() for name, p in model.named_parameters()}
    assert moved["token_embedding.weight"] == pytest.approx(0.01, rel=0.01)  # AdamW's first step is the learning rate
    # an orthogonal (m, n) matrix has a root mean square of 1/√max(m, n), so 0.2 of the learning rate is left
    assert moved["blocks.0.mlp.up.weight"] == pytest.approx(0.2 * 0.01, rel=0.25)


def newton_schulz(x: torch.Tensor) -> torch.Tensor:
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x


@pytest.mark.parametrize("kv_heads, threads", [(2, 1), (2, 2), (1, 2)])
def test_muon_moves_matrices_as_its_definition_in_float64_does(kv_heads, threads):
    """Momentum with Nesterov's look ahead, five Newton–Schulz iterations, decoupled decay: Jordan's text, line by line.
    Queries, keys and values are three matrices, of unequal height where heads share keys and values."""
    beta1, rate, decay = 0.9, 0.02, 0.1
    model = GPT(dataclasses.replace(MODEL, n_kv_head=kv_heads), vocab_size=10, generator=torch.Generator().manual_seed(2))
    rows = {16 + 16 * kv_heads: [16, 8 * kv_heads, 8 * kv_heads]}
    optimizer = optim.build_optimizer(model, TrainConfig(optimizer="muon", beta1=beta1, weight_decay=decay))
    matrices = optimizer.param_groups[0]["params"]
    assert {tuple(p.shape) for p in matrices} == {(16 + 16 * kv_heads, 16), (16, 16), (64, 16), (16, 64)}
    expected = [p.detach().double() for p in matrices]
    momenta, generator = [torch.zeros_like(p) for p in expected], torch.Generator().manual_seed(3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for group in optimizer.param_groups:
            group["lr"] = rate
        for _ in range(4):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
            for number, parameter in enumerate(matrices):
                gradient = parameter.grad.double()
                momenta[number] = beta1 * momenta[number] + (1 - beta1) * gradient
                ahead = beta1 * momenta[number] + (1 - beta1) * gradient
                x = torch.cat([newton_schulz(part) for part in ahead.split(rows.get(len(ahead), len(ahead)))])
                expected[number] = (1 - rate * decay) * expected[number] - rate * 0.2 * max(x.shape) ** 0.5 * x
    finally:
        torch.set_num_threads(before)
    for parameter, wanted in zip(matrices, expected):
        torch.testing.assert_close(parameter.detach().double(), wanted, rtol=0, atol=1e-5 * rate)
