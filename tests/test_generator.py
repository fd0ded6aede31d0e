"""Streaming text from a model: within its context, up to its stops, and never half a character."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gptlab.config import DataConfig, ModelConfig, SampleConfig
from gptlab.data.documents import Documents
from gptlab.data.learning import build_tokenizer
from gptlab.data.tokenizers import UnknownCharacters
from gptlab.generate import generator
from gptlab.generate.ahead import ahead
from gptlab.generate.generator import Reader, StopFilter, generate, generate_side_by_side
from gptlab.model.gpt import GPT, KVCache

CONTEXT = 16


def build(tokens: int, **settings) -> GPT:
    """A model whose weights are large enough that its tokens depend on everything it read."""
    model = GPT(ModelConfig(**dict(n_layer=2, n_head=2, n_embd=16, context_length=CONTEXT) | settings), tokens,
                torch.Generator().manual_seed(0)).eval()
    for parameter in model.parameters():
        parameter.data.mul_(8)
    return model


def tokenizer_of(kind: str, text: str = "the quick brown fox jumps over the lazy dog"):
    return build_tokenizer(DataConfig(tokenizer=kind, vocab_size=270), Documents.of([text]), Documents.of([text]))


class Scripted:
    """Stands for a model that writes given ids whatever it reads: each token's logits point at the next one."""

    def __init__(self, tokenizer, ids):
        self.config, self.steps = ModelConfig(context_length=1024), iter(ids)
        self.token_embedding = torch.nn.Embedding(1, 1)
        self.rows = tokenizer.vocab_size

    def new_cache(self):
        return KVCache(self.config)

    def next_logits(self, ids, caches=None):
        logits = torch.full((1, self.rows), -20.0)
        logits[0, next(self.steps)] = 20.0
        return logits


def scripted(kind: str, text: str, *, end: bool = False, **settings) -> tuple[list, list[int]]:
    """What `generate` yields for a model that writes `text`, and the ids of it."""
    tokenizer = tokenizer_of(kind, text + " ")
    ids = [int(i) for i in tokenizer.encode(text)] + [tokenizer.end_of_text] * end
    settings = SampleConfig(**{"max_new_tokens": len(ids), "greedy": True} | settings)
    return list(generate(Scripted(tokenizer, ids), tokenizer, " ", settings)), ids


def text_of(tokens) -> str:
    return "".join(token.text for token in tokens)


@pytest.mark.parametrize("positions", ["learned", "rope", "none"])
def test_cache_or_not_the_logits_are_equal_past_the_context(positions):
    """Three contexts long, fed in uneven pieces, so that the keep-half rule strikes several times."""
    model = build(30, positions=positions)
    ids = torch.randint(30, (3 * CONTEXT,), generator=torch.Generator().manual_seed(1)).tolist()
    cached, plain, place = Reader(model), Reader(model, use_cache=False), 0
    for size in itertools.cycle([5, 1, 1, 7, 1, 1, 1]):
        piece, place = ids[place:place + size], place + size
        if not piece:
            break
        torch.testing.assert_close(cached.read(piece), plain.read(piece), atol=1e-4, rtol=0)


def test_when_the_context_is_full_its_last_half_is_read_again():
    model = build(30)
    ids = torch.randint(30, (CONTEXT + 3,), generator=torch.Generator().manual_seed(1)).tolist()
    reader = Reader(model)
    with torch.no_grad():
        reader.read(ids[:CONTEXT - 1])
        for end, seen in ((CONTEXT, ids[:CONTEXT]), (CONTEXT + 1, ids[CONTEXT + 1 - CONTEXT // 2:CONTEXT + 1]),
                          (CONTEXT + 2, ids[CONTEXT + 1 - CONTEXT // 2:CONTEXT + 2])):
            logits = reader.read([ids[end - 1]])
            torch.testing.assert_close(logits, model(torch.tensor([seen]))[0, -1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
@pytest.mark.parametrize("prompt", ["", "the fox", "the quick brown fox jumps over the lazy dog"])
def test_the_seed_decides_the_text_and_the_cache_does_not(kind, prompt):
    tokenizer = tokenizer_of(kind)
    model = build(tokenizer.vocab_size, vocab_size=300)
    before = torch.get_rng_state()

    def ids(seed=1, **options):
        settings = SampleConfig(max_new_tokens=40, seed=seed, temperature=1.5)
        return [token.id for token in generate(model, tokenizer, prompt, settings, **options)]

    assert ids() == ids() == ids(use_cache=False)
    assert ids() != ids(seed=2)
    assert max(ids()) < tokenizer.vocab_size  # of 300 rows, the padded ones are never drawn
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("settings", [dict(greedy=True), dict(temperature=1.5, seed=3)], ids=["greedy", "sampled"])
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_side_by_side_each_prompt_gets_the_text_it_gets_alone(positions, settings):
    """Different lengths, one beyond the context, all past it in the end, at different turns; some end before the others."""
    tokenizer = tokenizer_of("char")
    model = build(tokenizer.vocab_size, positions=positions, n_kv_head=1)
    whole = text_of(generate(model, tokenizer, "the fox", SampleConfig(max_new_tokens=40, **settings)))
    settings = SampleConfig(max_new_tokens=40, stop=(whole[9:12],), **settings)
    prompts = ["", "the fox", "dog", "the quick brown fox jumps over the lazy dog", "the fox"]
    texts = [[] for _ in prompts]
    for i, token in generate_side_by_side(model, tokenizer, prompts, settings):
        texts[i].append(token)
    for prompt, tokens in zip(prompts, texts, strict=True):
        alone = list(generate(model, tokenizer, prompt, settings))
        assert [(token.id, token.text) for token in tokens] == [(token.id, token.text) for token in alone]
        assert [token.logprob for token in tokens] == pytest.approx([token.logprob for token in alone], abs=0.01)
    assert texts[1] == texts[4] and len({len(tokens) for tokens in texts}) > 1


def test_which_texts_are_computed_together_does_not_depend_on_who_takes_them(monkeypatch):
    """A text that had met a stop string was left out as soon as that was noticed, and the other's logits had other last digits."""
    tokenizer, model, together = tokenizer_of("byte"), build(257), []
    computed = model.next_logits
    monkeypatch.setattr(model, "next_logits", lambda ids, caches: together.append(len(ids)) or computed(ids, caches))

    def taken(seconds: float) -> tuple[list, list[int]]:
        together.clear()
        tokens = []
        for token in generate_side_by_side(model, tokenizer, ["abc", "zzz"], SampleConfig(max_new_tokens=40, stop=tuple("abcdefghi"))):
            time.sleep(seconds)
            tokens.append(token)
        return tokens, list(together)

    slowly = taken(0.01)
    monkeypatch.setattr(generator, "ahead", lambda turns: turns)  # as on a GPU: nothing is ahead
    assert slowly == taken(0.0)
    lengths = sorted(sum(i == text for i, _ in slowly[0]) for text in (0, 1))
    assert 2 < lengths[0] + 5 < lengths[1]  # one goes on alone


def test_a_failure_of_who_takes_a_text_leaves_no_thread_behind():
    def fails_at_last(looks=itertools.count()) -> bool:
        if next(looks) == 3:
            raise ValueError("no")
        return False

    with pytest.raises(ValueError) as failure:
        list(generate(build(257), tokenizer_of("byte"), "abc", SampleConfig(max_new_tokens=40), should_stop=fails_at_last))
    assert failure.value.__traceback__ and not [one for one in threading.enumerate() if one.name == "one-core"]


def test_one_core_is_one_cores_and_no_other_threads_matter():
    """The number of threads of whoever asks, and of threads to come, stays."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert next(ahead(torch.get_num_threads() for _ in range(1))) == 1
        with ThreadPoolExecutor(1) as new:
            assert torch.get_num_threads() == new.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_made_ahead_is_bounded_in_order_and_ends_with_who_takes_it():
    made, threads = [], threading.active_count()

    def items():
        for item in range(100):
            made.append(item)
            yield item

    taking = ahead(items())
    assert [next(taking), next(taking)] == [0, 1]
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    taking.close()
    assert made == [0, 1, 2, 3] and threading.active_count() == threads
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    failing = ahead(1 // number for number in (1, 0))
    assert next(failing) == 1
    with pytest.raises(ZeroDivisionError):
        next(failing)
    assert threading.active_count() == threads


def test_weights_may_change_once_a_text_is_no_longer_taken():
    """A training goes on right after a sample that was stopped: nothing may read the model then."""
    tokenizer = tokenizer_of("char")
    model, reading = build(tokenizer.vocab_size), []
    next_logits = model.next_logits
    model.next_logits = lambda *arguments: (reading.append(1), next_logits(*arguments), reading.append(-1))[1]
    for _ in range(5):
        tokens = generate(model, tokenizer, "the fox", SampleConfig(max_new_tokens=1000, stop=("never",)))
        for _ in range(7):
            next(tokens)
        tokens.close()
        count = len(reading)
        assert sum(reading) == 0
        time.sleep(0.02)
        assert len(reading) == count


def test_greedy_follows_the_likeliest_and_reports_its_logprob():
    tokenizer = tokenizer_of("char")
    model = build(tokenizer.vocab_size)
    read = [int(i) for i in tokenizer.encode("the fox")]
    for token in generate(model, tokenizer, "the fox", SampleConfig(max_new_tokens=9, greedy=True), alternatives=3):
        assert token.alternatives[0] == (token.id, pytest.approx(token.logprob, abs=1e-5)) and len(token.alternatives) == 3
        with torch.no_grad():
            logprobs = model(torch.tensor([read]))[0, -1].log_softmax(0)
        assert token.id == int(logprobs.argmax()) and token.logprob == pytest.approx(float(logprobs.max()), abs=1e-4)
        read.append(token.id)


def test_an_empty_prompt_begins_after_end_of_text():
    tokenizer = tokenizer_of("char")
    model = build(tokenizer.vocab_size)
    with torch.no_grad():
        expected = int(model(torch.tensor([[tokenizer.end_of_text]]))[0, -1].argmax())
    assert next(generate(model, tokenizer, "", SampleConfig(greedy=True))).id == expected


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@pytest.mark.parametrize("text", ["আমার সোনার বাংলা", "naïve 🙂 fox", "e\u0301👩‍👩‍👧"])
def test_characters_are_never_torn(kind, text):
    """Each piece is whole; cut off at any token, what is shown is a beginning of the text."""
    tokens, ids = scripted(kind, text)
    assert [token.id for token in tokens] == ids
    assert text_of(tokens) == text and not any("\ufffd" in token.text for token in tokens)
    for length in range(1, len(ids)):
        assert text.startswith(text_of(scripted(kind, text, max_new_tokens=length)[0]))


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_end_of_text_ends_and_never_shows(kind):
    tokens, ids = scripted(kind, "the fox", end=True, max_new_tokens=100)
    assert [token.id for token in tokens] == ids and text_of(tokens) == "the fox"


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
@pytest.mark.parametrize("stop, shown", [
    (("fox",), "a foa fo "), (("x a", "fox"), "a foa fo "), (("a foa",), ""), (("foxy",), "a foa fo fox and fo"),
    (("", "zzz"), "a foa fo fox and fo"), (("o f",), "a foa f"),
])
def test_a_stop_string_never_shows_and_false_starts_do(kind, stop, shown):
    tokens, _ = scripted(kind, "a foa fo fox and fo", stop=stop)
    assert text_of(tokens) == shown
    for length in range(len(tokens)):  # nothing shown early is taken back
        assert shown.startswith(text_of(tokens[:length]))


def test_stop_filter_equals_cutting_the_whole_text():
    """Every text of a and b up to eight letters, letter by letter, against `str.partition`."""
    for stops in (["aab"], ["abab"], ["aa", "bab"], ["b"]):
        for letters in itertools.chain.from_iterable(itertools.product("ab", repeat=n) for n in range(9)):
            text, shown, stopping = "".join(letters), "", StopFilter(stops)
            for letter in letters:
                shown += stopping.push(letter)
                if stopping.stopped:
                    break
            else:
                shown += stopping.finish()
            # Streaming stops at the first letter that makes a stop whole.
            ends = [n for n in range(len(text) + 1) if any(text[:n].endswith(stop) for stop in stops)]
            whole = text[:ends[0]] if ends else text
            assert shown == min((whole.partition(stop)[0] for stop in stops), key=len), (stops, text)


def test_should_stop_ends_after_the_token_with_nothing_left_back():
    tokens = []
    tokenizer = tokenizer_of("char", "aaab")
    stream = generate(Scripted(tokenizer, [0] * 10), tokenizer, "a", SampleConfig(greedy=True, stop=("aaab",)),
                      should_stop=lambda: len(tokens) >= 2)
    for token in stream:
        tokens.append(token)
    assert len(tokens) == 3 and text_of(tokens) == "aaa"  # held back for "aaab" until it was over


def test_an_unreadable_prompt_is_refused_at_once():
    tokenizer = tokenizer_of("char", "abc")
    with pytest.raises(UnknownCharacters, match="'ß'"):
        generate(build(tokenizer.vocab_size), tokenizer, "abß", SampleConfig())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_writes_the_same_text_and_bf16_writes():
    tokenizer = tokenizer_of("byte")
    model, settings = build(tokenizer.vocab_size), SampleConfig(max_new_tokens=60, seed=3)
    expected = [token.id for token in generate(model, tokenizer, "the fox", settings)]
    model = model.cuda()
    assert [token.id for token in generate(model, tokenizer, "the fox", settings)] == expected
    model = model.to(torch.bfloat16)
    assert len(list(generate(model, tokenizer, "the fox", settings))) > 0
    with torch.autocast("cuda", dtype=torch.float16):
        assert len(list(generate(model.float(), tokenizer, "the fox", settings))) > 0


def test_penalties_count_the_prompt_and_what_was_written():
    tokenizer = tokenizer_of("char")
    model, read = build(tokenizer.vocab_size), [int(i) for i in tokenizer.encode("the fox")]
    settings = SampleConfig(max_new_tokens=CONTEXT - len(read), greedy=True, frequency_penalty=4.0)
    written = [token.id for token in generate(model, tokenizer, "the fox", settings)]
    for id in written:
        with torch.no_grad():
            logits = model(torch.tensor([read]))[0, -1]
        assert id == int((logits - 4.0 * torch.tensor(read).bincount(minlength=len(logits))).argmax())
        read.append(id)
    assert written != [token.id for token in generate(model, tokenizer, "the fox", SampleConfig(max_new_tokens=len(written), greedy=True))]
