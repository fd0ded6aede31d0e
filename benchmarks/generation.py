"""Tokens a second that a model writes on this CPU, beside Hugging Face's `generate` with the same weights.

    python benchmarks/generation.py [--tokens 512] [--rounds 5] [--prompts 8] [--json]

A GPT-2 of 11 million random weights, 6 layers of 384 and a context of 1024, continues a short prompt greedily, each side
with its cache of keys and values; the sides take turns, and what is printed are medians over the rounds. Exit code 1 where
the two write different tokens. Also how much slower our last 64 tokens come than our first 64, and the rate of several
prompts written side by side. Needs transformers (pip install transformers).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()  # before torch, as the app and the command line do

import torch

from gptlab.config import ModelConfig, SampleConfig
from gptlab.data.tokenizers import CharTokenizer
from gptlab.generate.generator import generate, generate_side_by_side
from gptlab.model.gpt import GPT

try:
    import transformers
except ImportError:
    sys.exit("This benchmark compares with Hugging Face's transformers: pip install transformers")

LAYERS, HEADS, WIDTH, CONTEXT = 6, 6, 384, 1024
ALPHABET = [chr(code) for code in range(ord("!"), ord("!") + 64)]
PROMPT = "TO-BE-OR-NOT-TO-BE"
EDGE_TOKENS = 64  # at either end, whose rates are compared
WARM_UP_TOKENS = 16


def main() -> int:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenizer = CharTokenizer.of_alphabet(ALPHABET)
    theirs = hugging_face_model(tokenizer)
    sides = sides_of(same_weights(theirs), theirs, tokenizer, options.prompts)
    for write in sides.values():
        write(WARM_UP_TOKENS)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    slowing, same = [], True
    for turn in range(options.rounds):
        written = {}
        for name in sides if turn % 2 == 0 else reversed(sides):
            written[name], times = sides[name](options.tokens)
            seconds[name].append(times[-1] - times[0])
            if name == "ours":
                slowing.append((times[-1] - times[-1 - EDGE_TOKENS]) / (times[EDGE_TOKENS] - times[0]))
        same &= written["ours"] == written["hugging_face"]
    report(options, {name: statistics.median(values) for name, values in seconds.items()}, statistics.median(slowing), same)
    return 0 if same else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512, help="new tokens, at least 128 and within the context")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=8, help="written side by side")
    parser.add_argument("--threads", type=int, help="of both sides (default: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


Write = Callable[[int], tuple[list[int], list[float]]]  # a number of tokens -> ids; when it began and each was there


def sides_of(model: GPT, theirs, tokenizer: CharTokenizer, prompts: int) -> dict[str, Write]:
    """What takes turns, by name."""
    openings = [PROMPT[i % len(PROMPT):] for i in range(prompts)]  # of different lengths
    ids = torch.tensor([[int(i) for i in tokenizer.encode(PROMPT)]])

    def ours(tokens: int) -> tuple[list[int], list[float]]:
        written, times = [], [time.perf_counter()]
        for token in generate(model, tokenizer, PROMPT, SampleConfig(greedy=True, max_new_tokens=tokens)):
            written.append(token.id)
            times.append(time.perf_counter())
        return written, times

    def hugging_face(tokens: int) -> tuple[list[int], list[float]]:
        began = time.perf_counter()
        written = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
                                  use_cache=True)
        return written[0, ids.size(1):].tolist(), [began, time.perf_counter()]

    def side_by_side(tokens: int) -> tuple[list[int], list[float]]:
        began, settings = time.perf_counter(), SampleConfig(greedy=True, max_new_tokens=tokens)
        written = [token.id for _, token in generate_side_by_side(model, tokenizer, openings, settings)]
        return written, [began, time.perf_counter()]

    return {"ours": ours, "hugging_face": hugging_face, "ours_side_by_side": side_by_side}


def hugging_face_model(tokenizer: CharTokenizer):
    """A GPT-2 whose tokens depend on what it read, and that never ends a text: end-of-text's logit is always 0."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        bos_token_id=None, eos_token_id=None)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.transformer.wte.weight[tokenizer.end_of_text] = 0.0
    return model


def same_weights(theirs) -> GPT:
    """Our model with Hugging Face's weights, whose matrices are kept the other way round."""
    config = ModelConfig(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, context_length=CONTEXT, positions="learned",
                         norm="layernorm", mlp="gelu_tanh", bias=True, tie_embeddings=True)
    model, base = GPT(config, theirs.config.vocab_size).eval(), theirs.transformer
    pairs = [(model.final_norm, base.ln_f)]
    for block, h in zip(model.blocks, base.h, strict=True):
        pairs += [(block.attention_norm, h.ln_1), (block.attention.qkv, h.attn.c_attn), (block.attention.out, h.attn.c_proj),
                  (block.mlp_norm, h.ln_2), (block.mlp.up, h.mlp.c_fc), (block.mlp.down, h.mlp.c_proj)]
    with torch.no_grad():
        model.token_embedding.weight.copy_(base.wte.weight)
        model.position_embedding.weight.copy_(base.wpe.weight)
        for mine, other in pairs:
            mine.weight.copy_(other.weight.t())  # which leaves a norm's one dimension as it is
            mine.bias.copy_(other.bias)
    return model


def report(options: argparse.Namespace, seconds: dict[str, float], slowing: float, same: bool) -> None:
    """Print medians: tokens a second of each side, their ratio, and how even ours are."""
    tokens = {name: options.tokens * (options.prompts if name == "ours_side_by_side" else 1) for name in seconds}
    result = {"tokens_per_second": {name: round(tokens[name] / value, 1) for name, value in seconds.items()},
              "times_hugging_face": round(seconds["hugging_face"] / seconds["ours"], 3),
              "last_to_first_seconds": round(slowing, 3), "same_tokens": same, "tokens": options.tokens,
              "prompts": options.prompts, "rounds": options.rounds, "threads": torch.get_num_threads(),
              "torch": torch.__version__, "transformers": transformers.__version__}
    print(f"{options.tokens} new tokens, medians of {options.rounds} rounds, {torch.get_num_threads()} threads")
    for name, rate in result["tokens_per_second"].items():
        print(f"{name:>18} {rate:8,.1f} tokens/s")
    print(f"{result['times_hugging_face']:.2f} times Hugging Face's speed; the same tokens: {'yes' if same else 'NO'}")
    print(f"our last {EDGE_TOKENS} tokens take {slowing:.2f} times as long as the first {EDGE_TOKENS}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
