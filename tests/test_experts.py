"""Mixtures of experts against Hugging Face's, their balance, and what must hold of any routing."""

import pytest
import torch
import torch.nn.functional as F
import transformers
from test_gpt import build, copy_from_llama, random_ids, shake
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from gptlab.config import ConfigError, ModelConfig, RunConfig, TrainConfig
from gptlab.model import estimate
from gptlab.model.experts import balance_loss, loads
from gptlab.train import optim

MOE = dict(positions="rope", norm="rmsnorm", mlp="swiglu", n_expert=4, n_expert_active=2, mlp_hidden=24)


def copy_experts(model, theirs) -> None:
    """Both keep the experts of a layer in one tensor, the gates before the values."""
    for block, layer in zip(model.blocks, theirs.model.layers, strict=True):
        block.mlp.router.data.copy_(layer.mlp.gate.weight)
        block.mlp.up.data.copy_(layer.mlp.experts.gate_up_proj)
        block.mlp.down.data.copy_(layer.mlp.experts.down_proj)


@pytest.mark.parametrize("family, n_head, n_kv_head, n_embd, E, A", [
    ("Mixtral", 4, 2, 32, 4, 2), ("Mixtral", 2, 2, 48, 8, 1), ("Qwen3Moe", 4, 1, 32, 6, 3), ("Qwen3Moe", 8, 8, 64, 2, 2)])
def test_logits_and_gradients_equal_hugging_face(family, n_head, n_kv_head, n_embd, E, A):
    sizes = dict(vocab_size=61, hidden_size=n_embd, num_hidden_layers=3, num_attention_heads=n_head, rms_norm_eps=1e-5,
                 num_key_value_heads=n_kv_head, head_dim=n_embd // n_head, max_position_embeddings=40, num_experts_per_tok=A,
                 tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})
    if family == "Mixtral":
        sizes |= dict(num_local_experts=E, intermediate_size=88)
    else:
        sizes |= dict(num_experts=E, moe_intermediate_size=88, norm_topk_prob=True)
    config = getattr(transformers, family + "Config")(**sizes)
    theirs = shake(getattr(transformers, family + "ForCausalLM")(config)).train()
    model = build(61, n_layer=3, n_head=n_head, n_kv_head=n_kv_head, n_embd=n_embd, context_length=40, tie_embeddings=False,
                  qk_norm=family == "Qwen3Moe", **MOE | dict(n_expert=E, n_expert_active=A, mlp_hidden=88, expert_balance=0.0))
    copy_from_llama(model, theirs, mlp=False)
    copy_experts(model, theirs)
    ids = random_ids((2, 41), 61)
    logits = theirs(ids[:, :-1]).logits
    torch.testing.assert_close(model(ids[:, :-1]), logits, atol=1e-4, rtol=0)
    F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    for block, layer in zip(model.blocks, theirs.model.layers, strict=True):
        for mine, other in ((block.mlp.router, layer.mlp.gate.weight), (block.mlp.up, layer.mlp.experts.gate_up_proj),
                            (block.mlp.down, layer.mlp.experts.down_proj),
                            (block.attention.out.weight, layer.self_attn.o_proj.weight)):
            torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(model.token_embedding.weight.grad, theirs.model.embed_tokens.weight.grad, atol=1e-5, rtol=1e-3)


def test_the_balance_loss_of_a_layer_is_hugging_faces():
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    for active in (1, 2, 6):
        theirs = load_balancing_loss_func((logits,), 6, active)
        torch.testing.assert_close(balance_loss([logits.softmax(dim=-1)] * 3, active), theirs)
    even = torch.eye(6).repeat(10, 1)
    assert balance_loss([even], 1).item() == pytest.approx(1.0)  # each expert got the same


def test_balancing_moves_gradients_but_not_the_loss():
    ids = random_ids((4, 17))
    losses, routers = [], []
    for weight in (0.0, 0.5):
        model = shake(build(**MOE, expert_balance=weight))
        loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        losses.append(loss.item())
        routers.append(model.blocks[0].mlp.router.grad)
    assert losses[0] == losses[1] and not torch.equal(*routers)
    expected = build(**MOE).loss  # without gradients nothing is balanced
    with torch.no_grad():
        assert expected(ids[:, :-1], ids[:, 1:], reduction="sum").ndim == 0


def test_training_with_balance_wakes_experts_that_get_nothing():
    ids, least = random_ids((16, 17)), {}
    for weight in (0.0, 1.0):
        model = build(**MOE | dict(n_expert_active=1), expert_balance=weight).train()
        with torch.no_grad():
            for block in model.blocks:
                block.mlp.router[1] = -block.mlp.router[0]
                block.mlp.router[2:] = 0.0  # never more than the larger of two opposites
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            model.loss(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
        routed = []
        model.hidden(ids[:, :-1], routed=routed)
        least[weight] = min(loads(probabilities.argmax(dim=1), 4).min().item() / len(probabilities) for probabilities in routed)
    assert least[0.0] < 0.05 < 0.1 < least[1.0]


def test_an_expert_nobody_is_sent_to_gets_no_gradient_and_no_token_is_dropped():
    model = shake(build(**MOE))
    mlp = model.blocks[0].mlp
    x = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(2)) + 1.0
    with torch.no_grad():
        mlp.router[3] = -5.0  # with inputs around 1, always the least likely
    routed = []
    y = mlp(x, routed)
    assert (y.flatten(0, 1).abs().sum(dim=1) > 0).all()
    y.square().sum().backward()
    assert (routed[0].topk(2).indices != 3).all() and mlp.up.grad[3].abs().max() == 0 < mlp.up.grad[0].abs().max()


def test_gradients_are_the_same_every_time_on_several_threads():
    """Of three experts a token or more: what each gave back was added up in any order, and a resumed run was another one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model, ids = build(**MOE | dict(n_expert=8, n_expert_active=4, n_embd=64), context_length=128), random_ids((16, 129))
        for parameter, *others in zip(*([p.grad for p in _after_a_step(model, ids).parameters()] for _ in range(4)), strict=True):
            assert all(torch.equal(parameter, other) for other in others)
    finally:
        torch.set_num_threads(before)


def _after_a_step(model, ids):
    model.zero_grad(set_to_none=True)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    return model


@pytest.mark.parametrize("tokens", [1, 5])
def test_one_expert_a_token_is_that_experts_swiglu(tokens):
    mlp = shake(build(**MOE | dict(n_expert_active=1))).blocks[0].mlp
    x, routed = torch.randn(1, tokens, 32), []
    with torch.no_grad():
        y = mlp(x, routed)
        for token in range(tokens):
            e = routed[0][token].argmax()
            gate, value = (mlp.up[e] @ x[0, token]).chunk(2)
            torch.testing.assert_close(y[0, token], mlp.down[e] @ (F.silu(gate) * value), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_muon_orthogonalises_each_expert_by_itself(threads):
    """A parameter of E matrices moves as E parameters of one matrix do."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(3)
        whole = torch.nn.Parameter(torch.randn(4, 24, 32, generator=generator))
        single = [torch.nn.Parameter(matrix.detach().clone()) for matrix in whole]
        adamw = [torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]) for _ in range(2)]
        optimizers = [optim.Muon({whole: [24]}, adamw[0], 0.9, 0.1), optim.Muon({one: [24] for one in single}, adamw[1], 0.9, 0.1)]
        for _ in range(3):
            whole.grad = torch.randn(4, 24, 32, generator=generator)
            for one, gradient in zip(single, whole.grad):
                one.grad = gradient.clone()
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = 0.01
                optimizer.step()
        torch.testing.assert_close(whole.detach(), torch.stack([one.detach() for one in single]), atol=1e-5, rtol=1e-4)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("settings", [dict(), dict(n_expert=3, n_expert_active=1, tie_embeddings=False, vocab_size=64)])
def test_parameters_are_those_of_the_built_model(settings):
    config = ModelConfig(n_layer=3, n_embd=32, context_length=16, **MOE | settings)
    model = build(50, **{name: getattr(config, name) for name in config.__dataclass_fields__})
    assert estimate.total_parameters(config, 50) == sum(parameter.numel() for parameter in model.parameters())
    idle = sum(2 * block.mlp.up[0].numel() // 2 + block.mlp.down[0].numel() for block in model.blocks)
    assert estimate.active_parameters(config, 50) == (estimate.total_parameters(config, 50)
                                                      - idle * (config.n_expert - config.n_expert_active))
    names = {name for name, p in model.named_parameters() if name.startswith("blocks.") and p.dim() >= 2}
    muon = optim.build_optimizer(model, TrainConfig(optimizer="muon"))
    assert {id(p) for p in muon.param_groups[0]["params"]} == {id(model.get_parameter(name)) for name in names}


@pytest.mark.parametrize("changes, words", [({"model.n_expert": 4}, "Experts are SwiGLU parts, but model.mlp is gelu"),
                                            ({"model.n_expert": 2, "model.mlp": "swiglu", "model.n_expert_active": 3},
                                             "A token cannot go through 3 of 2 experts"),
                                            ({"model.n_expert": 4, "model.mlp": "swiglu", "model.mlp_hidden": 10},
                                             "model.mlp_hidden is 10: set it to 16"),
                                            ({"model.n_expert": 4, "model.mlp": "swiglu", "model.n_embd": 20, "model.n_head": 2},
                                             "model.n_embd is 20: set it to 24")])
def test_what_makes_no_experts_says_why(changes, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig().replace(changes)
