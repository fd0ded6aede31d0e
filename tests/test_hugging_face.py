"""Folders for Hugging Face's transformers: what it opens must be our model and our tokenizer, for every family."""

import dataclasses
import json
import re
from xml.etree import ElementTree

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from test_families import FAMILIES
from test_gpt import LLAMA_SHAPE, shake
from test_tokenizers import NASTY, STORY
from test_tokenizers import build as build_a_tokenizer
from tiny_run import finished_run, tiny_workspace
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from gptlab.config import ModelConfig, SampleConfig
from gptlab.data.tokenizers import tokenizer_of
from gptlab.exchange import hugging_face
from gptlab.exchange.export import ExportError, Source, export, source_of
from gptlab.exchange.families import family_of
from gptlab.exchange.hugging_face_curve import curve
from gptlab.generate.generator import generate
from gptlab.model.gpt import GPT
from gptlab.runs.history import read_history

KINDS = ("char", "byte", "bpe", "file")


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_text):
    return finished_run(tiny_workspace(tmp_path_factory.mktemp("hugging_face"), small_text), train__max_steps=8)


def somebodys_tokenizer():
    """Words in lower case with an unknown one, and tokens that its own library puts around every text."""
    words = ["[UNK]", "[CLS]", "[SEP]", *sorted(set(re.findall(r"\w+|[^\w\s]", STORY.lower())))]
    model = HFTokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    model.normalizer, model.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    model.decoder = decoders.WordPiece(cleanup=False)
    model.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    model.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    return tokenizer_of(model.to_str())


def source_with(run, kind: str, prompt: str = STORY, sample: SampleConfig = SampleConfig(), **settings) -> Source:
    """A model of random weights in the run's place."""
    tokenizer = somebodys_tokenizer() if kind == "file" else build_a_tokenizer(kind)
    config = ModelConfig(**dict(n_layer=2, n_head=4, n_embd=32, context_length=32) | settings)
    model = shake(GPT(config, tokenizer.vocab_size, torch.Generator().manual_seed(0)))
    source = source_of(run)
    return dataclasses.replace(source, config=dataclasses.replace(source.config, model=config, sample=sample), model=model,
                               tokenizer=tokenizer, prompt=prompt)


def opened(folder):
    return (AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval(),
            AutoTokenizer.from_pretrained(folder, local_files_only=True))


@pytest.mark.parametrize("family, settings, kind", [(*shape, KINDS[i % len(KINDS)]) for i, shape in enumerate(FAMILIES)])
def test_transformers_opens_every_family(run, tmp_path, family, settings, kind):
    source = source_with(run, kind, **settings)
    written = hugging_face.write(source, tmp_path, lambda share, doing: None)
    model, tokenizer = opened(tmp_path)
    ids = torch.randint(source.tokenizer.vocab_size, (2, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, source.model(ids), atol=1e-4, rtol=0)
    assert type(model).__name__ == family_of(source.config.model).architecture and family_of(source.config.model).name == family
    assert written.max_difference <= 1e-4 and "same tokens and logits for 32 tokens" in written.checked
    assert tokenizer.eos_token_id == model.config.eos_token_id == source.tokenizer.end_of_text
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == source.model.vocab_size


@pytest.mark.parametrize("kind", KINDS)
def test_texts_have_our_ids_and_come_back(run, tmp_path, kind):
    source = source_with(run, kind)
    hugging_face.write(source, tmp_path, lambda share, doing: None)
    tokenizer = opened(tmp_path)[1]
    for text in [STORY, *NASTY]:
        ids = tokenizer(text)["input_ids"]
        assert ids == source.tokenizer.encode(text).tolist()
        assert tokenizer.decode(ids, skip_special_tokens=True) == source.tokenizer.decode(ids)
        if kind != "file":
            assert tokenizer.decode(ids) == text
    if kind == "char":
        with pytest.raises(Exception, match="Missing \\[UNK\\] token"):  # as ours refuses it
            tokenizer("ß")


def test_it_writes_what_ours_writes(run, tmp_path):
    """Greedily, up to the end of the context; rows of the table that stand for no token are never drawn."""
    greedy = SampleConfig(greedy=True, max_new_tokens=28)
    source = source_with(run, "byte", sample=greedy, vocab_size=300, tie_embeddings=False, **LLAMA_SHAPE)
    with torch.no_grad():
        source.model.output.weight[257:] = 2 * source.model.output.weight[:43].abs()  # the likeliest of all, after many a token
    hugging_face.write(source, tmp_path, lambda share, doing: None)
    model, tokenizer = opened(tmp_path)
    padding = 0
    for prompt in ("The ", "Once", "cat,", "mats"):
        tokens = tokenizer(prompt, return_tensors="pt")
        ours = [token.id for token in generate(source.model, source.tokenizer, prompt, greedy)]
        assert model.generate(**tokens)[0, 4:].tolist() == ours
        model.generation_config.suppress_tokens, suppressed = None, model.generation_config.suppress_tokens
        padding += int((model.generate(**tokens) > 256).sum())
        model.generation_config.suppress_tokens = suppressed
    assert padding > 0  # which it would have drawn


def test_the_way_of_drawing_is_the_runs(run):
    drawn = dict(do_sample=True, temperature=0.5, top_k=0, top_p=1.0)  # 0: all tokens
    assert drawn.items() <= hugging_face.way_of_writing(source_with(run, "char", sample=SampleConfig(temperature=0.5))).items()
    kept = hugging_face.way_of_writing(source_with(run, "char", sample=SampleConfig(min_p=0.1, repetition_penalty=1.3)))
    assert (kept["min_p"], kept["repetition_penalty"]) == (0.1, 1.3)
    few = hugging_face.way_of_writing(source_with(run, "char", sample=SampleConfig(top_k=7, top_p=0.9)))
    assert (few["top_k"], few["top_p"], few["max_length"]) == (7, 0.9, 32)
    for likeliest in (SampleConfig(greedy=True), SampleConfig(temperature=0.0)):
        assert "do_sample" not in hugging_face.way_of_writing(source_with(run, "char", sample=likeliest))


def other_weight(monkeypatch):
    right = hugging_face.weights_of

    def wrong(model, family):
        weights = right(model, family)
        weights["transformer.h.0.mlp.c_fc.weight"][3, 5] += 0.1
        return weights
    monkeypatch.setattr(hugging_face, "weights_of", wrong)


def other_tokenizer(monkeypatch):
    right = hugging_face.tokenizer_file

    def wrong(tokenizer):
        return right(tokenizer).replace('"t":', '"<":').replace('"e":', '"t":').replace('"<":', '"e":')
    monkeypatch.setattr(hugging_face, "tokenizer_file", wrong)


def other_shape(monkeypatch):
    right = hugging_face.configuration
    monkeypatch.setattr(hugging_face, "configuration", lambda *arguments: right(*arguments) | {"n_embd": 24})


def full_disk(monkeypatch):
    def fail(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")
    monkeypatch.setattr(hugging_face, "save_file", fail)


@pytest.mark.parametrize("tamper, words", [(other_weight, "comes to other logits"),
                                           (other_tokenizer, "reads text as other tokens"),
                                           (other_shape, "cannot open what was written"),
                                           (full_disk, "Free some space, then export again")])
def test_a_mismatch_or_a_full_disk_fails_the_export_and_leaves_nothing(run, tmp_path, monkeypatch, tamper, words):
    tamper(monkeypatch)
    with pytest.raises(ExportError, match=words):
        export(run, tmp_path / "out", "hf")
    assert list(tmp_path.iterdir()) == []


def test_without_transformers_it_is_written_and_says_that_nothing_was_compared(run, tmp_path, monkeypatch):
    with_it = export(run, tmp_path / "with", "hf")
    monkeypatch.setattr(hugging_face.importlib.util, "find_spec", lambda name: None)
    without = export(run, tmp_path / "without", "hf")
    assert without.max_difference is None and "pip install transformers" in without.checked
    for path in sorted(with_it.path.iterdir()):
        assert path.read_bytes() == (without.path / path.name).read_bytes()
    names = opened(without.path)[0].state_dict().keys() - {"lm_head.weight"}  # which is tied
    assert load_file(without.path / "model.safetensors").keys() == names


def test_the_card_tells_of_the_run_and_its_code_runs(run, tmp_path, monkeypatch, capsys):
    run.relabel(name="<b>My | first</b>\nmodel")
    written = export(run, tmp_path / "out", "hf", checkpoint="last")
    text, manifest = (written.path / "README.md").read_text(encoding="utf-8"), run.manifest()
    assert "# &lt;b&gt;My \\| first&lt;/b&gt; model\n" in text
    for known in (manifest["hash"], "| `model.n_embd` | 16 |", "| Tokens | one character each |", "step 8", "| 8 | 0.38 |"):
        assert known in text
    assert f"loss is **{run.status()['val_loss']:.4f}** nats" in text
    assert run.config().data.source not in text and "data.source" not in text  # where it lies is nobody's business
    monkeypatch.chdir(written.path)
    code = text.partition("```python\n")[2].partition("```")[0]
    exec(code, {})
    opening = re.search(r"tokenizer\('(.+)', return", code)[1]
    assert capsys.readouterr().out.startswith(opening)


def test_the_losses_can_be_read_off_the_picture(run, tmp_path):
    """By its own labels, as somebody with a ruler would."""
    written = export(run, tmp_path / "out", "hf")
    assert "](loss.svg)" in (written.path / "README.md").read_text(encoding="utf-8")
    svg = ElementTree.parse(written.path / "loss.svg").getroot()
    paths = {}
    for path in svg.iter("{http://www.w3.org/2000/svg}path"):
        points = [tuple(map(float, point.split())) for point in path.get("d")[1:].split(" L")]
        paths.setdefault(path.get("class"), []).append(points)
    labels = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text") if text.get("text-anchor") == "end"]
    heights = [grid[0][1] for grid in paths["grid"]]
    (low, high), (bottom, top) = (float(labels[0]), float(labels[len(heights) - 1])), (heights[0], heights[-1])
    read = [low + (bottom - y) / (bottom - top) * (high - low) for _, y in paths["val"][0]]
    seen = read_history(run).evaluations
    assert read == pytest.approx([one.val_loss for one in seen], abs=0.01 * (high - low))
    left, right = paths["grid"][0][0][0], paths["grid"][0][1][0]
    assert [8 * (x - left) / (right - left) for x, _ in paths["val"][0]] == pytest.approx([one.step for one in seen], abs=0.05)
    assert len(paths["train"][0]) == 8


def test_a_run_that_has_learnt_nothing_yet_has_no_picture(run, tmp_path):
    history = dataclasses.replace(read_history(run), steps={name: values[:0] for name, values in read_history(run).steps.items()})
    assert curve(history, run.manifest()["baselines"]) is None
