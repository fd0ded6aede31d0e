"""The decoder against Hugging Face's models, and what must hold for every shape."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import transformers

from gptlab.config import ModelConfig
from gptlab.model.gpt import GPT, product

GPT2_SHAPE = dict(positions="learned", norm="layernorm", mlp="gelu_tanh", bias=True)
LLAMA_SHAPE = dict(positions="rope", norm="rmsnorm", mlp="swiglu")
# One of every kind of part; together they hold all choices.
VARIETY = [
    dict(GPT2_SHAPE, tie_embeddings=True),
    dict(GPT2_SHAPE, bias=False, mlp="relu2", qk_norm=True, tie_embeddings=False),
    dict(LLAMA_SHAPE, n_kv_head=2, tie_embeddings=False),
    dict(LLAMA_SHAPE, bias=True, qk_norm=True, n_kv_head=1),
    dict(positions="none", norm="rmsnorm", mlp="relu2", n_kv_head=2),
    dict(LLAMA_SHAPE, n_expert=4, qk_norm=True),
    dict(GPT2_SHAPE, norm="none", residual=False),
]


def build(tokens=50, seed=0, **settings) -> GPT:
    settings = dict(n_layer=2, n_head=4, n_embd=32, context_length=16) | settings
    return GPT(ModelConfig(**settings), tokens, torch.Generator().manual_seed(seed)).eval()


def random_ids(shape, vocab_size=50, seed=0):
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def shake(model: torch.nn.Module) -> torch.nn.Module:
    """Weights far from their start, gains and biases too, so that no part can hide."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval()


def copy_from_gpt2(model: GPT, theirs) -> None:
    """GPT-2 keeps its matrices the other way round."""
    model.token_embedding.weight.data.copy_(theirs.wte.weight)
    model.position_embedding.weight.data.copy_(theirs.wpe.weight)
    pairs = [(model.final_norm, theirs.ln_f, False)]
    for block, h in zip(model.blocks, theirs.h, strict=True):
        pairs += [(block.attention_norm, h.ln_1, False), (block.attention.qkv, h.attn.c_attn, True),
                  (block.attention.out, h.attn.c_proj, True), (block.mlp_norm, h.ln_2, False),
                  (block.mlp.up, h.mlp.c_fc, True), (block.mlp.down, h.mlp.c_proj, True)]
    for mine, other, turned in pairs:
        mine.weight.data.copy_(other.weight.T if turned else other.weight)
        mine.bias.data.copy_(other.bias)


def copy_from_llama(model: GPT, theirs, mlp: bool = True) -> None:
    """Llama (and Qwen 3) keep queries, keys, values, gate and up apart. `mlp`: what is no expert."""
    model.token_embedding.weight.data.copy_(theirs.model.embed_tokens.weight)
    model.final_norm.weight.data.copy_(theirs.model.norm.weight)
    if model.output is not None:
        model.output.weight.data.copy_(theirs.lm_head.weight)
    for block, layer in zip(model.blocks, theirs.model.layers, strict=True):
        attention = layer.self_attn
        block.attention_norm.weight.data.copy_(layer.input_layernorm.weight)
        block.mlp_norm.weight.data.copy_(layer.post_attention_layernorm.weight)
        block.attention.qkv.weight.data.copy_(torch.cat([attention.q_proj.weight, attention.k_proj.weight,
                                                         attention.v_proj.weight]))
        block.attention.out.weight.data.copy_(attention.o_proj.weight)
        if mlp:
            block.mlp.up.weight.data.copy_(torch.cat([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight]))
            block.mlp.down.weight.data.copy_(layer.mlp.down_proj.weight)
        if block.attention.q_norm is not None:
            block.attention.q_norm.weight.data.copy_(attention.q_norm.weight)
            block.attention.k_norm.weight.data.copy_(attention.k_norm.weight)


def both_learn(model: GPT, theirs, ids: torch.Tensor) -> None:
    """Checks that the logits are the same, and leaves the gradients of one step's loss with both."""
    logits = theirs(ids).logits
    torch.testing.assert_close(model(ids), logits, atol=1e-4, rtol=0)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    model.loss(ids[:, :-1], ids[:, 1:]).backward()


def gradients_of(theirs):
    """The same model with its gradients in the place of its weights: so they go the weights' way into ours."""
    for parameter in theirs.parameters():
        parameter.data = parameter.grad
    return theirs


def assert_same_gradients(model: GPT, expected: GPT) -> None:
    for (name, mine), theirs in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.data, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("n_layer, n_head, n_embd, context_length", [(1, 1, 8, 8), (3, 4, 48, 24), (2, 12, 96, 64)])
def test_logits_equal_hugging_face_gpt2(n_layer, n_head, n_embd, context_length):
    theirs = shake(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=61, n_positions=context_length, n_embd=n_embd, n_layer=n_layer, n_head=n_head)))
    model = build(61, n_layer=n_layer, n_head=n_head, n_embd=n_embd, context_length=context_length, **GPT2_SHAPE)
    copy_from_gpt2(model, theirs.transformer)
    ids = random_ids((2, context_length), 61)
    both_learn(model, theirs, ids)
    expected = GPT(model.config, 61)
    copy_from_gpt2(expected, gradients_of(theirs).transformer)
    assert_same_gradients(model, expected)


@pytest.mark.parametrize("family, n_head, n_kv_head, n_embd, tied, theta", [
    ("Llama", 4, 4, 32, False, 10_000.0), ("Llama", 6, 2, 48, True, 10_000.0), ("Llama", 8, 1, 64, False, 500_000.0),
    ("Qwen3", 4, 2, 32, True, 10_000.0),  # Llama with QK-norm
])
def test_logits_equal_hugging_face_llama(family, n_head, n_kv_head, n_embd, tied, theta):
    sizes = dict(vocab_size=61, hidden_size=n_embd, intermediate_size=88, num_hidden_layers=3, num_attention_heads=n_head,
                 num_key_value_heads=n_kv_head, head_dim=n_embd // n_head, max_position_embeddings=40, rms_norm_eps=1e-5,
                 tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": theta})
    config = getattr(transformers, family + "Config")(**sizes)
    theirs = shake(getattr(transformers, family + "ForCausalLM")(config))
    model = build(61, n_layer=3, n_head=n_head, n_kv_head=n_kv_head, n_embd=n_embd, context_length=40, mlp_hidden=88,
                  rope_theta=theta, tie_embeddings=tied, qk_norm=family == "Qwen3", **LLAMA_SHAPE)
    copy_from_llama(model, theirs)
    both_learn(model, theirs, random_ids((2, 40), 61))
    expected = GPT(model.config, 61)
    copy_from_llama(expected, gradients_of(theirs))
    assert_same_gradients(model, expected)


def test_squared_relu_is_its_formula():
    mlp = shake(build(mlp="relu2", bias=True)).blocks[0].mlp
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    up, down = (x.numpy() @ mlp.up.weight.detach().double().numpy().T + mlp.up.bias.detach().numpy(), mlp.down)
    expected = (up.clip(0) ** 2) @ down.weight.detach().double().numpy().T + down.bias.detach().numpy()
    assert abs(mlp(x.float()).detach().numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("settings", VARIETY)
def test_cached_logits_equal_full_ones(settings):
    """Read at once, in pieces, or token by token: the same logits; and a cache can be cut back and read on."""
    model, ids = shake(build(**settings)), random_ids((2, 16))
    with torch.no_grad():
        full = model(ids)
        for cuts in ([16], [1] * 16, [5, 1, 7, 3]):
            caches = [model.new_cache(), model.new_cache()]
            pieces = [model(piece, caches) for piece in ids.split(cuts, dim=1)]
            torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=1e-4, rtol=0)
            assert [cache.length for cache in caches] == [16, 16]
        caches[0].truncate(6)
        caches[1].truncate(3)  # texts of different lengths, side by side
        rest = torch.stack([ids[0, 6:], ids[1, 3:13]])
        for together in (rest[:, :4], rest[:, 4:5], rest[:, 5:]):
            logits = model(together, caches)
        torch.testing.assert_close(logits[0], full[0, 11:], atol=1e-4, rtol=0)
        torch.testing.assert_close(logits[1], full[1, 8:13], atol=1e-4, rtol=0)


@pytest.mark.parametrize("rows", [64, 65, 499, 50257])  # many parts, few, a prime, GPT-2's vocabulary
@pytest.mark.parametrize("biased", [True, False])
def test_a_single_tokens_product_is_the_linear_one(rows, biased):
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(shape, generator=generator) for shape in ((rows, 2048), (1, 1, 2048)))
    bias = torch.randn(rows, generator=generator) if biased else None
    with torch.no_grad():
        torch.testing.assert_close(product(x, weight, bias), F.linear(x, weight, bias), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", VARIETY)
def test_a_later_token_never_changes_earlier_logits(settings):
    model, ids = shake(build(**settings)), random_ids((1, 16))
    changed = ids.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 50
    with torch.no_grad():
        before, after = model(ids), model(changed)
    if model.config.n_expert is None:
        assert torch.equal(before[:, :9], after[:, :9])
    else:  # how many rows an expert multiplies at once rounds differently
        torch.testing.assert_close(before[:, :9], after[:, :9], atol=1e-5, rtol=0)
    assert (before[:, 9:] - after[:, 9:]).abs().amax(dim=-1).min() > 1e-3  # and every later one sees it


@pytest.mark.parametrize("settings", VARIETY)
def test_the_gradient_reaches_every_parameter(settings):
    model = build(9, **settings).train()
    model.loss(random_ids((4, 16), 9), random_ids((4, 16), 9, seed=1)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_without_a_causal_mask_every_token_sees_the_next():
    model, ids = shake(build(causal=False)), random_ids((1, 16))
    changed = ids.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 50
    with torch.no_grad():
        assert ((model(ids) - model(changed)).abs().amax(dim=(0, 2)) > 1e-4).all()


def test_without_residual_connections_the_stream_is_what_the_last_part_wrote():
    model, ids = shake(build(residual=False)), random_ids((1, 16))
    model.blocks[-1].mlp.down.weight.data.zero_()
    assert model.hidden(ids).abs().max() == 0 < shake(build()).hidden(ids).abs().max()


@pytest.mark.parametrize("settings", [*VARIETY, dict(dropout=0.3)])
def test_gradient_checkpointing_changes_no_gradient_and_keeps_less(settings):
    ids, kept, gradients = random_ids((2, 17)), [], []
    for checkpointing in (False, True):
        model, sizes = shake(build(n_layer=4, **settings)).train(), {}
        model.checkpointing = checkpointing
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: (sizes.setdefault(x.data_ptr(), x), x)[1], lambda x: x):
            loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        kept.append(sum(x.numel() for x in sizes.values()))
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)
    assert kept[1] < 0.6 * kept[0]


def test_without_positions_a_last_token_sees_a_bag_of_words():
    """And with positions it does not: in one layer, only they tell the order of what came before."""
    ids = random_ids((1, 16))
    turned = torch.cat([ids[:, :15].flip(1), ids[:, 15:]], dim=1)
    for positions, same in (("none", True), ("learned", False), ("rope", False)):
        model = shake(build(n_layer=1, positions=positions))
        with torch.no_grad():
            assert torch.allclose(model(ids)[0, -1], model(turned)[0, -1], atol=1e-4) == same


@pytest.mark.parametrize("n_layer, n_head, n_embd, vocab_sizes", [
    (1, 1, 8, (10, 4096)), (4, 4, 128, (10, 65, 2000)), (1, 8, 512, (10, 65)), (12, 8, 64, (65,)), (1, 16, 1024, (10,))])
def test_the_first_loss_is_that_of_pure_guessing(n_layer, n_head, n_embd, vocab_sizes):
    kinds = itertools.product(vocab_sizes, ("learned", "rope"), ("gelu", "swiglu"), (True, False))
    for vocab_size, positions, mlp, tied in kinds:
        model = build(vocab_size, n_layer=n_layer, n_head=n_head, n_embd=n_embd, context_length=32, positions=positions,
                      mlp=mlp, tie_embeddings=tied, norm="rmsnorm" if positions == "rope" else "layernorm")
        ids, targets = random_ids((6, 32), vocab_size), random_ids((6, 32), vocab_size, seed=1)
        with torch.no_grad():
            loss = float(model.loss(ids, targets))
        assert loss == pytest.approx(math.log(vocab_size), rel=0.05), (vocab_size, positions, mlp, tied)


def test_initial_weights_keep_the_size_of_what_goes_through_them():
    model = build(400, n_layer=8, n_embd=64, bias=True, tie_embeddings=False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert torch.equal(parameter, torch.ones(64))
        else:
            std = 0.02 if "embedding" in name or name == "output.weight" else parameter.size(1) ** -0.5
            if "attention.out" in name or "mlp.down" in name:
                std = 0.02 / 4  # 16 of them write to the stream
            assert float(parameter.detach().std()) == pytest.approx(std, rel=0.06), name


def test_weights_come_from_the_given_generator_alone():
    before = torch.get_rng_state()
    one, same, other = build(seed=1, bias=True), build(seed=1, bias=True), build(seed=2, bias=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.token_embedding.weight, same.token_embedding.weight)
    assert not torch.equal(one.token_embedding.weight, other.token_embedding.weight)
    torch.manual_seed(3)
    drawn = GPT(one.config, 50)
    torch.manual_seed(3)
    assert torch.equal(GPT(one.config, 50).blocks[1].mlp.up.weight, drawn.blocks[1].mlp.up.weight)


def test_loss_counts_targets_that_are_not_minus_100():
    model, ids = build(), random_ids((2, 16))
    targets = random_ids((2, 16), seed=1)
    targets[0, 3:] = -100
    with torch.no_grad():
        each = model.loss(ids, targets, reduction="none")
        expected = -F.log_softmax(model(ids), dim=-1).gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
        expected[0, 3:] = 0
        torch.testing.assert_close(each, expected)
        torch.testing.assert_close(model.loss(ids, targets, reduction="sum"), expected.sum())
        torch.testing.assert_close(model.loss(ids, targets), expected.sum() / 19)


def test_dropout_works_while_training_only():
    """On the embeddings, in attention and in the MLP: each alone makes two passes differ."""
    model, ids = build(dropout=0.5), random_ids((1, 16))
    with torch.no_grad():
        assert torch.equal(model(ids), model(ids))
        for part in (model, model.blocks[0].attention, model.blocks[0].mlp):
            part.training = True
            assert not torch.equal(model(ids), model(ids))
            part.training = False


def test_padded_rows_and_shared_tables():
    assert build(50, vocab_size=64)(random_ids((1, 4))).shape == (1, 4, 64)
    assert build(50, vocab_size=10).vocab_size == 50  # a table never has fewer rows than the tokenizer has tokens
    stored = [t.untyped_storage().data_ptr() for t in build(tie_embeddings=True).state_dict().values()]
    assert len(stored) == len(set(stored))  # safetensors refuses tensors that share memory


def test_a_text_beyond_the_context_is_refused():
    model = build()
    with pytest.raises(ValueError, match="17 tokens do not fit a context of 16"):
        model(random_ids((1, 17)))
    caches = [model.new_cache()]
    model(random_ids((1, 16)), caches)
    with pytest.raises(ValueError, match="17 tokens"):
        model(random_ids((1, 1)), caches)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("settings", VARIETY)
def test_bf16_on_cuda_stays_near_fp32_on_the_processor(settings):
    model, ids = build(**settings), random_ids((2, 16))
    with torch.no_grad():
        expected = model(ids)
        model = model.to("cuda")
        with torch.autocast("cuda", dtype=torch.bfloat16):
            mixed, caches = model(ids.cuda()), [model.new_cache(), model.new_cache()]
            cached = torch.cat([model(piece, caches) for piece in ids.cuda().split([9, 1, 6], dim=1)], dim=1)
        whole = model.to(torch.bfloat16)(ids.cuda())
    for logits in (mixed, cached, whole):
        torch.testing.assert_close(logits.float().cpu(), expected, atol=0.05, rtol=0.05)
