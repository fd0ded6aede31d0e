"""What tokenizers make of a text, in numbers worked out by hand; and that every kind gives any script back."""

import re

import numpy as np
import pytest
from tokenizers import Tokenizer as HFTokenizer, decoders, models, pre_tokenizers

from gptlab.config import DataConfig
from gptlab.data import bench
from gptlab.data.bench import Text
from gptlab.data.errors import DataError
from gptlab.data.learning import train_bpe, with_fewer_pieces
from gptlab.data.tokenizers import load_tokenizer, tokenizer_of
from gptlab.runs import beside

SCRIPTS = {"English": "The cat sat.\n\n  Twice!\r\n", "Bangla": "ছোট্ট বিড়ালটি ক্ষমা ও র‍্যাব।", "Chinese": "小猫坐在垫子上。𠮷野家",
           "emoji": "👩‍👩‍👧‍👦🇧🇩👍🏽❤️ e\u0301", "Arabic": "جلستِ القطّة، 12 مرّة؟", "Hebrew": "הַחָתוּל יָשַׁב (כאן).",
           "mixed": "a\u202eالف\u202cb ‏x",
           "code": "def f(x):\n\tif x:\n\t\treturn {'a': [1, 2]}  # ½\n"}

BYTES = re.compile(rb"\\x([0-9a-f]{2})")  # as a part of a character is shown


def sentencepiece_like() -> HFTokenizer:
    """A file of Llama's kind: ▁ for spaces, and bytes where a character has no token."""
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "c", "a", "t"]
    model = HFTokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[], unk_token="<unk>",
                                   byte_fallback=True))
    model.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    model.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
    model.add_special_tokens(["<s>", "</s>"])
    return model


def of_kind(kind: str):
    everything = Text(list(SCRIPTS.values()), whole=True)
    if kind == "bpe":
        return train_bpe(everything.documents * 3, 400)
    return tokenizer_of(sentencepiece_like().to_str()) if kind == "file" else bench.built(kind, everything)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe", "file"])
def test_every_script_comes_back_and_is_shown_whole(kind):
    tokenizer = of_kind(kind)
    chance = np.random.default_rng(3)
    letters = np.array(list("".join(SCRIPTS.values())))
    for text in [*SCRIPTS.values(), *("." + "".join(chance.choice(letters, size=40)) for _ in range(50))]:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        shown = bench.shown_tokens(tokenizer, text)
        assert [i for _, i, _ in shown] == ids.tolist()
        pieces = [token.encode() if whole else BYTES.sub(lambda byte: bytes.fromhex(byte[1].decode()), token.encode())
                  for token, _, whole in shown[kind == "file":]]  # Llama's own space in front is no part of the text
        assert b"".join(pieces).decode() == text  # nothing is lost between the pieces that a person sees


def test_what_is_measured_of_a_text_worked_out_by_hand():
    text = Text(["aa bb", "é\nbb"], whole=True)  # 9 characters, 10 bytes, 4 words; alphabet: \n space a b é
    char, byte = (bench.measure(bench.built(kind, text), text) for kind in ("char", "byte"))
    assert (char.tokens, char.characters, char.bytes, char.words) == (9, 9, 10, 4)
    assert (char.bytes_per_token, char.characters_per_token, char.tokens_per_word) == (10 / 9, 1.0, 9 / 4)
    assert char.used == len(char.counts) == 6 and char.counts.tolist() == [1, 1, 2, 4, 1, 2]  # and two ends of a text
    assert (byte.tokens, byte.bytes_per_token, byte.tokens_per_word) == (10, 1.0, 10 / 4)
    assert (byte.used, len(byte.counts)) == (7, 257)
    assert char.exact and byte.exact


def test_bpe_is_measured_on_what_it_merged_by_hand():
    text = Text(["abab abab abab"], whole=True)
    tokenizer = train_bpe(text.documents, 260)  # ab, abab, " abab": 14 bytes in three tokens
    measured = bench.measure(tokenizer, text)
    assert [tokenizer.token_text(made) for _, _, made in tokenizer.merges()] == ["ab", "abab", " abab"]
    assert (measured.tokens, measured.bytes_per_token, measured.tokens_per_word) == (3, 14 / 3, 1.0)
    assert (measured.used, len(measured.counts)) == (3, 260)  # abab, " abab" and the end of the text
    assert bench.longest_tokens(tokenizer, measured.counts, 3) == [(258, 2), (257, 1), (256, 0)]


@pytest.mark.parametrize("separator", ["\n", "\n\n", "  "])
def test_a_long_text_is_measured_in_parts_as_in_one(separator):
    lines = [f"line {i} of many,  {'x' * (i % 50)}" for i in range(3000)]
    text = Text([separator.join(lines), "last"], whole=True)
    tokenizer = train_bpe(text.documents, 500)
    assert text.characters > 3 * bench.PART_CHARACTERS
    assert len(list(bench._parts(text.documents[0]))) > 3
    measured = bench.measure(tokenizer, text)
    assert measured.tokens == sum(len(tokenizer.encode(one)) for one in text.documents)
    assert (measured.characters, measured.counts.sum()) == (text.characters, measured.tokens + 2)


def test_a_script_without_spaces_has_no_words_to_count():
    text = Text(["小猫坐在垫子上。" * 9 + " " + "它很高兴。" * 9], whole=True)
    assert bench.measure(bench.built("byte", text), text).tokens_per_word is None


def test_text_that_does_not_come_back_is_noticed(tmp_path):
    model = HFTokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    model.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert not bench.measure(tokenizer, Text(["a  b c"], True)).exact
    assert not bench.measure(tokenizer, Text(["a", *["b"] * 30_000, "a  b c"], True)).exact  # wherever it is lost
    with pytest.raises(DataError, match="no token"):
        bench.measure(tokenizer, Text(["  "], True))


def test_a_text_is_read_clean_and_a_long_one_in_part(tmp_path, monkeypatch):
    path = tmp_path / "notes.txt"
    path.write_text("Write to a@example.org about it.\n" * 3000, encoding="utf-8")
    whole = bench.read_text(DataConfig(source=str(path), cleaning=("personal",)))
    assert whole.whole and "example" not in whole.documents[0]
    monkeypatch.setattr(bench, "MOST_CHARACTERS", 10_000)
    part = bench.read_text(DataConfig(source=str(path)))
    assert not part.whole and 0 < part.characters <= 10_000
    monkeypatch.setattr(bench, "MOST_GENERATED", 20)
    assert not bench.read_text(DataConfig(source="arithmetic", documents=21)).whole
    monkeypatch.setattr(bench, "MOST_GENERATED", 5000)
    monkeypatch.setattr(bench, "MOST_CHARACTERS", 10_000_000)
    assert bench.read_text(DataConfig(source="python-docs", documents=20_000)).whole  # there are not as many


def test_what_is_learnt_serves_all_smaller_vocabularies():
    text = Text(["the cat sat on the mat and the cat was glad " * 20], whole=True)
    largest = tokenizer_of(bench.learn(text))
    assert with_fewer_pieces(largest, 270).to_json() == train_bpe(text.documents, 270).to_json()


# in a process of its own

def test_a_process_gives_what_its_function_gives_raises_what_it_raises_and_has_its_time(tmp_path):
    assert beside.call(bench.learn, Text(["abab abab abab"], True), seconds=60) == bench.learn(Text(["abab abab abab"], True))
    bench.built("char", Text(["abc"], True)).save(tmp_path / "abc.json")
    with pytest.raises(DataError, match="never seen 'd', 'e':"):  # as it was said there
        beside.call(bench.compare, Text(["abcde"], True), "file", 0, str(tmp_path / "abc.json"), None, 3, seconds=60)
    with pytest.raises(DataError, match="^There is no file"):
        beside.call(bench.read_text, DataConfig(source="nowhere.txt"), seconds=60)
    with pytest.raises(TimeoutError):
        beside.call(bench.learn, Text(["abab"], True), seconds=0)
