"""What goes on inside a model, against transformers' own hooks and against the logits it must add up to."""

import pytest
import torch
import transformers
from test_gpt import GPT2_SHAPE, LLAMA_SHAPE, VARIETY, build, copy_from_gpt2, copy_from_llama, random_ids, shake

from gptlab.inspect.tracing import contributions, logit_lens, trace, without
from gptlab.inspect.vectors import main_directions, nearest


def gpt2():
    theirs = shake(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=61, n_positions=24, n_embd=48, n_layer=3, n_head=4, attn_implementation="eager")))
    model = build(61, n_layer=3, n_head=4, n_embd=48, context_length=24, **GPT2_SHAPE)
    copy_from_gpt2(model, theirs.transformer)
    return model, theirs, theirs.transformer.ln_f


def llama():
    theirs = shake(transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=61, hidden_size=48, intermediate_size=88, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=24, rms_norm_eps=1e-5, tie_word_embeddings=False, attn_implementation="eager")))
    model = build(61, n_layer=3, n_head=4, n_kv_head=2, n_embd=48, context_length=24, mlp_hidden=88, tie_embeddings=False, **LLAMA_SHAPE)
    copy_from_llama(model, theirs)
    return model, theirs, theirs.model.norm


@pytest.mark.parametrize("family", [gpt2, llama])
def test_attention_and_lens_are_those_of_transformers(family):
    model, theirs, norm = family()
    ids = random_ids((1, 24), 61)
    with torch.no_grad():
        told = theirs(ids, output_attentions=True, output_hidden_states=True)
        lens = [theirs.lm_head(norm(stream)).softmax(-1)[0] for stream in told.hidden_states[:-1]] + [told.logits.softmax(-1)[0]]
    traced = trace(model, ids[0])
    torch.testing.assert_close(traced.attention, torch.cat(told.attentions), atol=1e-5, rtol=1e-4)
    guesses, probabilities = logit_lens(model, traced)
    best = torch.stack(lens).max(dim=-1)
    assert torch.equal(guesses, best.indices)
    torch.testing.assert_close(probabilities, best.values, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("settings", [one for one in VARIETY if one.get("residual", True)] + [dict(norm="none")])
def test_contributions_add_up_to_the_logit(settings):
    model, ids = shake(build(**settings)), random_ids((16,))
    traced = trace(model, ids)
    with torch.no_grad():
        logits = model(ids[None])[0]
    for position, token in ((15, 7), (4, 31)):
        found = contributions(model, traced, position, token)
        assert found.logit == pytest.approx(float(logits[position, token]), rel=1e-3, abs=1e-3)
        parts = found.embedding + found.heads.sum() + found.attention_biases.sum() + found.mlps.sum() + found.norm_bias
        assert found.logit == pytest.approx(float(parts), abs=1e-4) and found.heads.abs().min() > 0


def test_without_residual_connections_nothing_adds_up():
    model = build(residual=False)
    with pytest.raises(ValueError, match="Without residual connections"):
        contributions(model, trace(model, random_ids((8,))), 0, 0)


@pytest.mark.parametrize("settings", VARIETY[:3])
def test_a_part_that_is_switched_off_is_one_without_weights(settings):
    """And afterwards it is on again."""
    model, ids = shake(build(**settings)), random_ids((2, 16))
    with torch.no_grad():
        before = model(ids)
        with without(model, heads=[(0, 1), (1, 3)], mlps=[1]):
            off = model(ids)
        with without(model, attentions=[0]):
            no_attention = model(ids)
        torch.testing.assert_close(model(ids), before, atol=0, rtol=0)
        for block, head in ((model.blocks[0], 1), (model.blocks[1], 3)):
            block.attention.out.weight.view(32, 4, 8)[:, head] = 0.0
        for parameter in model.blocks[1].mlp.down.parameters():
            parameter.zero_()
        torch.testing.assert_close(off, model(ids), atol=1e-5, rtol=0)
        for parameter in model.blocks[0].attention.out.parameters():
            parameter.zero_()
    assert (no_attention - before).abs().max() > 0.1


def test_rows_of_attention_are_shares_and_look_at_nothing_to_come():
    traced = trace(build(n_kv_head=2).train(), random_ids((16,)))
    torch.testing.assert_close(traced.attention.sum(dim=-1), torch.ones(2, 4, 16))
    assert traced.attention.triu(diagonal=1).abs().max() == 0
    assert trace(build(causal=False), random_ids((16,))).attention.triu(diagonal=1).abs().max() > 0
    with pytest.raises(ValueError, match="write something"):
        trace(build(), torch.tensor([], dtype=torch.long))


def test_main_directions_and_neighbours_of_a_table_that_was_made():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(10, 10, generator=generator)).Q
    table = (torch.randn(200, 2, generator=generator) * torch.tensor([9.0, 3.0])) @ axes[:2] + 5.0 * axes[2]
    mean, directions, explained = main_directions(table)
    assert (directions @ axes[:2].T).abs().diagonal().min() > 0.99 and explained.sum() == pytest.approx(1.0)
    assert directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).min() > 0
    table[7] = 2 * table[3] + 0.001
    assert nearest(table, 3, 4)[0][0] == 7 and len(nearest(table, 3, 4)) == 4 and len(nearest(table[:2], 0)) == 1
