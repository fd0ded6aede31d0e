"""Whether llama.cpp runs our GGUF files as we run the model: every architecture, tokenizer and number format.

    python benchmarks/gguf_in_llama_cpp.py [--steps 150] [--json]

Trains a tiny model of each kind on this project's README for a few seconds, exports it and loads it in llama.cpp. Compared
are the ids of texts (the README, and texts of random characters), the text of those ids, the logits of a prompt, and what
each writes greedily after it, up to the first token where rounding alone may decide: where the odds of ours and theirs are
nearer than the logits are exact. Exit code 1 where anything differs. Needs llama-cpp-python (pip install llama-cpp-python,
which builds for ten minutes or more).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch

from gptlab.config import ModelConfig, RunConfig
from gptlab.data.learning import train_bpe
from gptlab.data.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, UnknownCharacters
from gptlab.exchange import gguf_file, gguf_outside
from gptlab.exchange.export import ExportError, Source
from gptlab.exchange.formats import NUMBER_FORMATS
from gptlab.model.gpt import GPT

README = (ROOT / "README.md").read_text(encoding="utf-8")
UNUSUAL = ("“Ça va?” — naïve, 日本語, Ünder; né…\n\n  I'll\tsay it's 42 ½ ٣ — they've  left!\r\n"
           "\u00a0\u3000x 🙂👩‍👩‍👧 e\u0301\n<|endoftext|> [PAD5]\n")
TEXT = README + UNUSUAL
LLAMA = dict(positions="rope", norm="rmsnorm", mlp="swiglu")
KINDS = {
    "GPT-2": dict(bias=True, mlp="gelu_tanh"),
    "GPT-2, exact GELU, no biases, untied": dict(mlp="gelu", tie_embeddings=False),
    "Llama, shared keys": dict(**LLAMA, n_kv_head=2),
    "Llama, biases, untied": dict(**LLAMA, bias=True, tie_embeddings=False, rope_theta=500_000.0),
    "Qwen3, shared keys": dict(**LLAMA, qk_norm=True, n_kv_head=1),
    "Mixtral": dict(**LLAMA, n_kv_head=2, n_expert=4, n_expert_active=2),
    "Qwen3-MoE, untied": dict(**LLAMA, qk_norm=True, n_expert=6, n_expert_active=3, tie_embeddings=False),
}
SHAPE = dict(n_layer=3, n_head=4, n_embd=64, context_length=160)
PROMPT_TOKENS, NEW_TOKENS = 100, 60


@dataclass(frozen=True)
class Row:
    """What came of one file. `difference` is the largest between logits, `usual` that of the middle token; `greedy` how many
    tokens both wrote alike, and `explained` whether rounding accounts for it if those are not all."""

    kind: str
    tokenizer: str
    number_format: str
    same_ids: bool
    same_text: bool
    difference: float
    usual: float
    greedy: int
    explained: bool

    @property
    def right(self) -> bool:
        return self.same_ids and self.same_text and self.explained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="of training, for each model")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not gguf_outside.is_installed():
        print("Nothing was compared: llama.cpp's Python package is not installed (pip install llama-cpp-python).")
        return 0
    tokenizers = {"char": CharTokenizer.of_alphabet(TEXT), "byte": ByteTokenizer.of_all_bytes(), "bpe": train_bpe([TEXT], 600)}
    rows = []
    for kind, shape in KINDS.items():
        for name, tokenizer in tokenizers.items():
            source = trained(tokenizer, ModelConfig(**SHAPE, vocab_size=620, **shape), options.steps)
            for number_format in NUMBER_FORMATS:
                rows.append(compared(source, kind, name, number_format))
                if not options.json:
                    print(sentence(rows[-1]), flush=True)
    if options.json:
        print(json.dumps([vars(row) for row in rows]))
    wrong = sum(not row.right for row in rows)
    print(f"{len(rows)} files, {wrong} wrong", file=sys.stderr)
    return 1 if wrong else 0


def trained(tokenizer: Tokenizer, config: ModelConfig, steps: int) -> Source:
    """A model that has seen the README for a while: some of its guesses are sure, as those of real ones are."""
    model = GPT(config, tokenizer.vocab_size, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    ids = torch.from_numpy(tokenizer.encode_ended([TEXT]).astype("int64"))
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        starts = torch.randint(len(ids) - 65, (16, 1), generator=generator)
        batch = ids[starts + torch.arange(65)]  # (16, 65)
        model.loss(batch[:, :-1], batch[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    prompt = tokenizer.decode(ids[2000:2000 + PROMPT_TOKENS].tolist())
    return Source(SimpleNamespace(id="tiny"), RunConfig(model=config), model.eval(), tokenizer, {}, steps, prompt)


def compared(source: Source, kind: str, tokenizer: str, number_format: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = gguf_file.write(source, Path(folder), number_format, lambda share, doing: None).path
        except ExportError as error:
            print(f"{kind}, {tokenizer}, {number_format}: {error}", file=sys.stderr)
            return Row(kind, tokenizer, number_format, False, False, float("nan"), float("nan"), 0, False)
        llama = gguf_outside.opened(path, SHAPE["context_length"])
        texts = [TEXT, *random_texts(source.tokenizer)]
        ids = [source.tokenizer.encode(text).tolist() for text in texts]
        prompt = source.prompt_ids()[0, :PROMPT_TOKENS].tolist()
        with torch.no_grad():
            ours, theirs = source.model(torch.tensor([prompt]))[0], torch.from_numpy(gguf_outside.logits_of(llama, prompt))
        off = (theirs - ours).abs().amax(dim=1)  # (T,)
        greedy, explained = written_alike(source.model, llama, prompt)
        return Row(kind, tokenizer, number_format, [gguf_outside.ids_of(llama, text) for text in texts] == ids,
                   [gguf_outside.text_of(llama, one) for one in ids] == [source.tokenizer.decode(one) for one in ids],
                   float(off.max()), float(off.median()), greedy, explained)


def random_texts(tokenizer: Tokenizer, count: int = 300) -> list[str]:
    """Short texts of characters from all over Unicode and of those that split words, or, by characters, of the known ones."""
    draw = random.Random(0)
    known = [chr(code) for code in range(1, 0x11000) if not 0xD800 <= code < 0xE000]
    try:
        tokenizer.encode("".join(known))
    except UnknownCharacters:
        known = sorted(set(TEXT))
    splitting = [character for character in " \n\t'slvetm0.,\r" if character in known]
    return ["".join(draw.choice(splitting if draw.random() < 0.5 else known) for _ in range(draw.randint(1, 30)))
            for _ in range(count)]


@torch.no_grad()
def written_alike(model: GPT, llama, prompt: list[int]) -> tuple[int, bool]:
    """How many tokens both write alike, each always its likeliest; and whether they part where the two choices are as near
    as the logits are off."""
    cache, new = model.new_cache(), prompt
    for number in range(NEW_TOKENS):
        after = cache.length
        ours = model(torch.tensor([new]), [cache])[0, -1]
        theirs = torch.from_numpy(gguf_outside.logits_of(llama, new, after=after)[-1])
        mine, other = int(ours.argmax()), int(theirs.argmax())
        if mine != other:
            return number, bool(ours[mine] - ours[other] <= 2 * (ours - theirs).abs().max())
        new = [mine]
    return NEW_TOKENS, True


def sentence(row: Row) -> str:
    ids, text = ("same" if same else "OTHER" for same in (row.same_ids, row.same_text))
    greedy = f"greedy alike for {row.greedy}{'' if row.explained else ', AND THEN NOT'}"
    return (f"{row.kind:38} {row.tokenizer:5} {row.number_format:5} ids {ids}, text {text}, logits off by {row.difference:.1e}, "
            f"usually {row.usual:.1e}; {greedy}")


if __name__ == "__main__":
    sys.exit(main())
