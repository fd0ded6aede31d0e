"""GGUF files, read by code that follows llama.cpp's own: its names, its layouts, its way of making tokens.

The real llama.cpp takes minutes to build: `benchmarks/gguf_in_llama_cpp.py` runs the files in it.
"""

import dataclasses
import itertools
import re
import types

import gguf
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_gpt import shake
from tokenizers import pre_tokenizers

from gptlab.config import ModelConfig, RunConfig
from gptlab.data.learning import train_bpe
from gptlab.data.tokenizers import ByteTokenizer, CharTokenizer, tokenizer_of
from gptlab.exchange import gguf_file, gguf_outside
from gptlab.exchange.export import ExportError, Source
from gptlab.exchange.families import NoFamily
from gptlab.exchange.gguf_vocabulary import vocabulary_of
from gptlab.model.gpt import GPT

TEXT = "“Ça va?” she said — naïve, 日本語 … it's 42!\n\n  Ünder the  tree: né, né. The cat sat on the mat; the cat sat.\tEnd\n" * 3
TOKENIZERS = {"char": CharTokenizer.of_alphabet(TEXT), "byte": ByteTokenizer.of_all_bytes(), "bpe": train_bpe([TEXT], 300)}
LLAMA = dict(positions="rope", norm="rmsnorm", mlp="swiglu")
SHAPES = {  # as many as make a difference to what is written: tied or not, shared keys, biases
    "gpt2": dict(bias=True, mlp="gelu_tanh"), "gpt2 without biases": dict(mlp="gelu_tanh", tie_embeddings=False),
    "llama": dict(**LLAMA, n_kv_head=2, rope_theta=5000.0), "llama with biases": dict(**LLAMA, bias=True, tie_embeddings=False),
    "qwen3": dict(**LLAMA, qk_norm=True, n_kv_head=1), "mixtral": dict(**LLAMA, n_kv_head=2, n_expert=4, n_expert_active=2),
    "qwen3moe": dict(**LLAMA, qk_norm=True, n_expert=6, n_expert_active=3, tie_embeddings=False)}


def source(tokenizer="char", **shape):
    model_config = ModelConfig(**dict(n_layer=2, n_head=4, n_embd=64, mlp_hidden=96, context_length=48) | shape)
    tokenizer = TOKENIZERS[tokenizer] if isinstance(tokenizer, str) else tokenizer
    model = shake(GPT(model_config, tokenizer.vocab_size, torch.Generator().manual_seed(0))).eval()
    return Source(types.SimpleNamespace(id="tiny run"), RunConfig(model=model_config), model, tokenizer, {}, 1200, TEXT)


def write(source, folder, number_format="f32"):
    return gguf_file.write(source, folder, number_format, lambda share, doing: None)


class File:
    """A GGUF file's settings and tensors, in f32 and with the outermost dimension first."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.settings = {name: field.contents() for name, field in reader.fields.items()}
        self.types = {tensor.name: tensor.tensor_type.name.lower() for tensor in reader.tensors}
        self.tensors = {tensor.name: torch.from_numpy(np.array(gguf.dequantize(tensor.data, tensor.tensor_type)))
                        for tensor in reader.tensors}
        self.architecture = self.settings["general.architecture"]

    def __getitem__(self, key):
        return self.settings[f"{self.architecture}.{key}"]

    def linear(self, x, name):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def norm(self, x, name):
        if self.architecture == "gpt2":
            weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
            return F.layer_norm(x, weight.shape, weight, bias, self["attention.layer_norm_epsilon"])
        weight = self.tensors[f"{name}.weight"]
        return F.rms_norm(x, weight.shape, weight, self["attention.layer_norm_rms_epsilon"])

    def rotated(self, x):
        """x (heads, T, D): llama.cpp turns neighbours in its Llama ("norm"), halves in its Qwen3 ("neox")."""
        D, T = self["rope.dimension_count"], x.size(1)
        angles = torch.outer(torch.arange(T), self["rope.freq_base"] ** (-torch.arange(0, D, 2) / D))
        pairs = x.unflatten(2, (-1, 2)) if self.architecture == "llama" else x.unflatten(2, (2, -1)).transpose(2, 3)
        turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles))
        return turned.flatten(2) if self.architecture == "llama" else turned.transpose(2, 3).flatten(2)

    def attention(self, x, block):
        heads, kv_heads = self["attention.head_count"], self["attention.head_count_kv"]
        if self.architecture == "gpt2":
            q, k, v = self.linear(x, f"{block}.attn_qkv").chunk(3, dim=-1)
        else:
            q, k, v = (self.linear(x, f"{block}.attn_{name}") for name in "qkv")
        q, k, v = q.unflatten(1, (heads, -1)), k.unflatten(1, (kv_heads, -1)), v.unflatten(1, (kv_heads, -1))
        if f"{block}.attn_q_norm.weight" in self.tensors:
            q, k = self.norm(q, f"{block}.attn_q_norm"), self.norm(k, f"{block}.attn_k_norm")
        q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)  # (heads, T, D)
        if self.architecture != "gpt2":
            q, k = self.rotated(q), self.rotated(k)
        y = F.scaled_dot_product_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), is_causal=True, enable_gqa=True)[0]
        return self.linear(y.transpose(0, 1).flatten(1), f"{block}.attn_output")

    def mlp(self, x, block):
        if self.architecture == "gpt2":
            return self.linear(F.gelu(self.linear(x, f"{block}.ffn_up"), approximate="tanh"), f"{block}.ffn_down")
        if f"{block}.ffn_gate_inp.weight" not in self.tensors:
            gate, up = self.linear(x, f"{block}.ffn_gate"), self.linear(x, f"{block}.ffn_up")
            return self.linear(F.silu(gate) * up, f"{block}.ffn_down")
        shares, chosen = self.linear(x, f"{block}.ffn_gate_inp").softmax(dim=-1).topk(self["expert_used_count"], dim=-1)
        gate, up, down = (self.tensors[f"{block}.ffn_{name}_exps.weight"] for name in ("gate", "up", "down"))
        shares = shares / shares.sum(dim=-1, keepdim=True)
        rows = [sum(share * (down[e] @ (F.silu(gate[e] @ row) * (up[e] @ row))) for share, e in zip(of, which, strict=True))
                for row, of, which in zip(x, shares, chosen, strict=True)]
        return torch.stack(rows)

    def logits(self, ids):
        x = self.tensors["token_embd.weight"][ids]
        if self.architecture == "gpt2":
            x = x + self.tensors["position_embd.weight"][:len(ids)]
        for layer in range(self["block_count"]):
            x = x + self.attention(self.norm(x, f"blk.{layer}.attn_norm"), f"blk.{layer}")
            x = x + self.mlp(self.norm(x, f"blk.{layer}.ffn_norm"), f"blk.{layer}")
        return self.linear(self.norm(x, "output_norm"), "output" if "output.weight" in self.tensors else "token_embd")

    def ids(self, text):
        """llama.cpp's byte-level BPE: in each word the pair that was learnt first is joined, wherever it stands; what is then no
        token is left out."""
        tokens = {token: i for i, token in enumerate(self.settings["tokenizer.ggml.tokens"])}
        ranks = {tuple(merge.split(" ")): i for i, merge in reversed(list(enumerate(self.settings["tokenizer.ggml.merges"])))}
        for word, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text):
            symbols = list(word)
            while pairs := [pair for pair in itertools.pairwise(symbols) if pair in ranks]:
                i = list(itertools.pairwise(symbols)).index(min(pairs, key=ranks.get))
                symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
            yield from (tokens[symbol] for symbol in symbols if symbol in tokens)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reader_made_after_llama_cpp_gets_our_logits(tmp_path, shape):
    given = source(**SHAPES[shape])
    file = File(write(given, tmp_path).path)
    ids = given.prompt_ids()
    with torch.no_grad():
        torch.testing.assert_close(file.logits(ids[0]), given.model(ids)[0], atol=1e-4, rtol=0)
    assert file.architecture == {"mixtral": "llama"}.get(shape, shape.split()[0])
    assert file["context_length"] == 48
    assert file["vocab_size"] == len(file.settings["tokenizer.ggml.tokens"]) == given.model.vocab_size


@pytest.mark.parametrize("number_format, tolerance", [("f16", 2.0 ** -11), ("q8_0", 1 / 200)])
@pytest.mark.parametrize("shape", ["gpt2", "llama", "qwen3moe"])
def test_matrices_are_rounded_and_vectors_are_not(tmp_path, shape, number_format, tolerance):
    given = source(**SHAPES[shape])
    (tmp_path / "exact").mkdir()
    exact, file = File(write(given, tmp_path / "exact").path), File(write(given, tmp_path, number_format).path)
    assert exact.types.keys() == file.types.keys() and set(exact.types.values()) == {"f32"}
    for name, values in file.tensors.items():
        whole = values.ndim == 1 or "position_embd" in name or "ffn_gate_inp" in name
        assert file.types[name] == ("f32" if whole else number_format), name
        error = (values - exact.tensors[name]).abs().max() / exact.tensors[name].abs().max().clamp(min=1)
        assert error == 0 if whole else 0 < error < tolerance, name
    assert file.settings["general.file_type"] == {"f16": 1, "q8_0": 7}[number_format]


def test_rows_that_are_no_whole_blocks_are_f16(tmp_path):
    """q8_0 has blocks of 32 numbers; llama.cpp's own converter does the same."""
    kinds = File(write(source(**LLAMA, mlp_hidden=40), tmp_path, "q8_0").path).types
    assert kinds["blk.0.ffn_down.weight"] == "f16" and kinds["blk.0.ffn_up.weight"] == "q8_0"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_file_makes_our_ids_of_a_text(tmp_path, kind):
    given = source(kind, **LLAMA, vocab_size=400)
    file = File(write(given, tmp_path).path)
    assert list(file.ids(TEXT)) == given.tokenizer.encode(TEXT).tolist()
    tokens, types = file.settings["tokenizer.ggml.tokens"], file.settings["tokenizer.ggml.token_type"]
    assert len(tokens) == len(set(tokens)) == len(types) == 400
    end = given.tokenizer.end_of_text
    assert tokens[end] == "<|endoftext|>" and types[end] == gguf.TokenType.CONTROL
    assert set(types[end + 1:]) == {gguf.TokenType.UNUSED} and set(types[:end]) == {gguf.TokenType.NORMAL}
    assert file.settings["tokenizer.ggml.eos_token_id"] == end and file.settings["tokenizer.ggml.add_bos_token"] is False


def test_characters_never_seen_are_left_out_and_join_nothing(tmp_path):
    """Of “ and ” the first two bytes are the same; é shares its first with ç."""
    tokenizer = CharTokenizer.of_alphabet("”éa b")
    given = dataclasses.replace(source(tokenizer, **LLAMA), prompt="a ”é")
    file = File(write(given, tmp_path).path)
    assert list(file.ids("“a ç”éb—x")) == tokenizer.encode("a ”éb").tolist()


def test_another_tokenizer_is_refused_with_what_to_do():
    lowercasing = TOKENIZERS["bpe"].to_json().replace('"normalizer":null', '"normalizer":{"type":"Lowercase"}')
    with pytest.raises(ExportError, match="splits text in a way that llama.cpp cannot be told to.*Export as hf"):
        vocabulary_of(tokenizer_of(lowercasing), 400)


def test_what_llama_cpp_cannot_run_is_refused_and_says_why(tmp_path):
    with pytest.raises(ExportError, match="no biases: train one with model.bias false"):
        write(source(**SHAPES["qwen3moe"] | dict(bias=True)), tmp_path)
    with pytest.raises(NoFamily, match="no causal mask"):
        write(source(**LLAMA, causal=False), tmp_path)
    large = source(**LLAMA)
    large.model.blocks[0].mlp.down.weight.data[3, 5] = 1e6
    with pytest.raises(ExportError, match="of blk.0.ffn_down.weight cannot be stored as f16, the first 1e[+]06: export as f32"):
        write(large, tmp_path, "f16")


def test_a_file_with_another_number_or_setting_is_not_handed_out(tmp_path, monkeypatch):
    given = source(**LLAMA)
    right = gguf_file._write

    def slipped(path, architecture, metadata, tensors, number_format):
        right(path, architecture, metadata, tensors | {"output_norm.weight": tensors["output_norm.weight"] + 1e-6}, number_format)
    monkeypatch.setattr(gguf_file, "_write", slipped)
    with pytest.raises(ExportError, match="numbers of output_norm.weight"):
        write(given, tmp_path)

    def longer(path, architecture, metadata, *rest):
        right(path, architecture, metadata | {"llama.context_length": 49}, *rest)
    monkeypatch.setattr(gguf_file, "_write", longer)
    with pytest.raises(ExportError, match="llama.context_length reads back as 49, not 48"):
        write(given, tmp_path)


def test_without_llama_cpp_no_difference_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_outside, "is_installed", lambda: False)
    exported = write(source(**LLAMA), tmp_path, "q8_0")
    assert exported.max_difference is None and exported.path.name == "tiny run-q8_0.gguf"
    assert "read back" in exported.checked and "llama.cpp has not run the file" in exported.checked


class Outside:
    """Stands in for llama.cpp, and answers with our own numbers."""

    def __init__(self, monkeypatch, given):
        self.off, self.seen = torch.zeros(()), []
        monkeypatch.setattr(gguf_outside, "is_installed", lambda: True)
        monkeypatch.setattr(gguf_outside, "opened", lambda path, tokens: self.seen.append((path, tokens)) or self)
        monkeypatch.setattr(gguf_outside, "ids_of", lambda llama, text: given.tokenizer.encode(text).tolist())
        monkeypatch.setattr(gguf_outside, "logits_of", self.logits_of)
        self.model = given.model

    def close(self):
        self.seen.append("closed")

    def logits_of(self, llama, ids):
        return (self.model(torch.tensor([ids]))[0].detach() + self.off).numpy()


def test_llama_cpp_is_asked_where_it_is_installed(tmp_path, monkeypatch):
    given = source(**LLAMA)
    outside = Outside(monkeypatch, given)
    outside.off = torch.zeros(48, 1)
    outside.off[3] = 0.25  # as where rounding sends one token to another expert
    exported = write(given, tmp_path)
    assert outside.seen == [(exported.path, 48), "closed"]
    assert exported.max_difference == pytest.approx(0.25, abs=1e-6)
    assert "logits that differ from ours by at most 0.25, and by 0 or less on half of the tokens" in exported.checked


def test_other_tokens_or_logits_in_llama_cpp_fail_the_export(tmp_path, monkeypatch):
    given = source(**LLAMA)
    outside = Outside(monkeypatch, given)
    outside.off = torch.tensor(0.03)
    with pytest.raises(ExportError, match="differ from ours by 0.03 on most tokens, more than rounding does [(]0[)]"):
        write(given, tmp_path)
    write(given, tmp_path, "q8_0")  # which rounds more than that
    monkeypatch.setattr(gguf_outside, "ids_of", lambda llama, text: [1, 2])
    with pytest.raises(ExportError, match="other tokens of a text"):
        write(given, tmp_path)


def test_what_exact_gelu_loses_is_told(tmp_path, monkeypatch):
    """llama.cpp knows GPT-2's GELU by tanh alone; the other formula moves logits a little."""
    monkeypatch.setattr(gguf_outside, "is_installed", lambda: False)
    tanh, exact = (write(source(bias=True, mlp=mlp), tmp_path).checked for mlp in ("gelu_tanh", "gelu"))
    assert "by tanh" not in tanh and "stay the same" in tanh
    assert 0 < float(re.search(r"GELU by tanh as llama.cpp has it,.* move by at most (\S+)[.] ", exact)[1]) < 0.01
