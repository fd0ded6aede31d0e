"""Text to ids and back, held against Hugging Face's `tokenizers` reading the saved file."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as HFTokenizer, decoders, models, pre_tokenizers

from gptlab.config import DataConfig
from gptlab.data import learning, tokenizers
from gptlab.data.documents import Documents
from gptlab.data.learning import build_tokenizer, train_bpe, with_fewer_pieces
from gptlab.data.sources import DataError
from gptlab.data.tokenizers import END_OF_TEXT, CharTokenizer, StreamDecoder, UnknownCharacters, load_tokenizer, tokenizer_of

STORY = "Once upon a time there was a cat.\nThe cat sat on the mat, and the cat was glad.\n\n" * 40
NASTY = ["", " ", "a", "\n\n\n", "  two  spaces \t\ttabs  ", "\r\nWindows\r", "আমি বাংলায় গান গাই", "👩‍👩‍👧‍👦 🇧🇩 e\u0301",
         "\x00\x01\x1b[31m\x7f\x85\u2028", "\ufeffmark", "\ufffd", "a" * 5000, "日本語テキスト", f"{END_OF_TEXT}",
         f"He wrote {END_OF_TEXT} twice: {END_OF_TEXT}", "\U0010ffff", "don't won't I'll", "Ġ Ċ â", "x\n \n  y"]
KINDS = ["char", "byte", "bpe"]


def build(kind: str, text: str = STORY + "".join(NASTY), vocab_size: int = 400):
    return build_tokenizer(DataConfig(tokenizer=kind, vocab_size=vocab_size), Documents.of([text]), Documents.of([text]))


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_comes_back_exactly(kind):
    tokenizer = build(kind)
    for text in NASTY + [STORY]:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert ids.dtype == np.uint16 and ids.ndim == 1
        assert tokenizer.end_of_text not in ids
        assert tokenizer.byte_lengths()[ids].sum() == len(text.encode("utf-8"))


def test_bpe_reads_what_it_was_not_trained_on():
    tokenizer = build("bpe", STORY)
    for text in NASTY:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_other_tools_read_the_saved_file_alike(kind, tmp_path):
    tokenizer = build(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = HFTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path / "tokenizer.json")
    assert (ours.kind, ours.vocab_size, ours.end_of_text) == (kind, tokenizer.vocab_size, tokenizer.end_of_text)
    assert theirs.token_to_id(END_OF_TEXT) == ours.end_of_text and theirs.get_vocab_size() == ours.vocab_size
    theirs.encode_special_tokens = True  # a choice of the reader, not in the file
    for text in NASTY + [STORY]:
        ids = tokenizer.encode(text).tolist()
        assert theirs.encode(text).ids == ids == ours.encode(text).tolist()
        assert theirs.decode(ids) == text
    assert ours.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_without_changing_a_token(kind, tmp_path):
    tokenizer = build(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = HFTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "".join(f"line {i}\n\n  indented  \n" + "word " * (i % 9) + "\n" * (i % 4) for i in range(4000))
    alphabet_of_text = build(kind, text) if kind == "char" else tokenizer
    if kind == "char":
        assert alphabet_of_text.decode(alphabet_of_text.encode(text)) == text
    else:
        assert tokenizer.encode(text).tolist() == theirs.encode(text).ids


def test_char_ids_follow_code_points_and_end_of_text_is_last():
    tokenizer = CharTokenizer.of_alphabet("banana")
    assert tokenizer.encode("nab").tolist() == [2, 0, 1]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (4, 3)
    assert tokenizer.byte_lengths().tolist() == [1, 1, 1, 0]


def test_char_ids_are_the_alphabets_whatever_stands_around_them():
    """ASCII goes another way than the rest, in blocks; also where ids of ASCII are too large for a byte."""
    text = (STORY * 30)[:70_000] + "é" + (STORY * 30)[:70_000] + "\U0001f44d" + "end"
    by_code_point = CharTokenizer.of_alphabet(text + "".join(map(chr, range(0x100, 0x400))))
    file = json.loads(by_code_point.to_json())
    vocabulary = file["model"]["vocab"]
    vocabulary["a"], vocabulary["é"], vocabulary["\u03ff"] = vocabulary["\u03ff"], vocabulary["a"], vocabulary["é"]
    for tokenizer in (by_code_point, tokenizer_of(json.dumps(file))):
        id_of = json.loads(tokenizer.to_json())["model"]["vocab"]
        assert tokenizer.kind == "char" and tokenizer.encode(text).tolist() == [id_of[char] for char in text]
        for unknown in ("Z", "\x7f", "\u0400", "\U0010ffff"):
            for around in ("a", "é"):
                with pytest.raises(UnknownCharacters) as caught:
                    tokenizer.encode(around * 70_000 + unknown + around)
                assert caught.value.characters == [unknown]
    assert vocabulary["a"] > 255


def test_byte_ids_are_the_bytes():
    tokenizer = build("byte")
    assert tokenizer.encode("aß\x00").tolist() == [97, 0xC3, 0x9F, 0]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)


def test_bpe_learns_from_a_part_where_there_is_much_and_less_where_words_are_long(monkeypatch):
    monkeypatch.setattr(learning, "BPE_BYTES", 50_000)
    english, chinese = Documents.of(["The cat sat on the mat. " * 10_000]), Documents.of(["猫坐在垫子上。" * 10_000] * 3)
    assert learning.bpe_characters(Documents.of(["A few words."])) == 12
    assert learning.bpe_characters(english) == 50_000 and learning.bpe_characters(chinese) == 50_000 // 3 // 10
    assert build_tokenizer(DataConfig(tokenizer="bpe", vocab_size=270), english, english).kind == "bpe"


def test_many_long_texts_are_encoded_in_groups(monkeypatch):
    texts = [STORY * 30, "", "x\ny " * 9000, STORY]
    tokenizer = build("bpe")
    whole = [ids.tolist() for ids in tokenizer.encode_many(texts)]
    monkeypatch.setattr(tokenizers, "BATCH_CHARACTERS", 1)
    assert [ids.tolist() for ids in tokenizer.encode_many(texts)] == whole
    assert tokenizer.encode_ended(texts).tolist() == [i for ids in whole for i in (*ids, tokenizer.end_of_text)]


def test_bpe_learns_from_train_only_and_to_the_size_asked():
    tokenizer = build_tokenizer(DataConfig(tokenizer="bpe", vocab_size=280), Documents.of(["zebra " * 500, STORY]), Documents.of([STORY]))
    assert tokenizer.vocab_size == 280
    assert len(tokenizer.encode(" cat")) == 1 and len(tokenizer.encode(" zebra")) > 3
    assert build_tokenizer(DataConfig(tokenizer="bpe", vocab_size=257), Documents.of([STORY]), Documents.of([STORY])).kind == "bpe"


def test_merges_stand_in_the_order_learnt_and_fewer_are_what_would_have_been_learnt():
    tokenizer = train_bpe([STORY], 400)
    a, t = (tokenizer.encode(letter)[0] for letter in "at")
    at = tokenizer.encode("at")[0]  # in cat, sat, mat: the commonest pair
    assert tokenizer.merges()[0] == (a, t, at) == (a, t, 256)
    assert [tokenizer.token_text(made) for _, _, made in tokenizer.merges()[:3]] == ["at", "he", " t"]  # 5, 4 and 4 a line
    for size in (257, 258, 300, tokenizer.vocab_size - 1, 400):
        assert with_fewer_pieces(tokenizer, size).to_json() == train_bpe([STORY], size).to_json()
    assert build("byte").merges() == build("char").merges() == []


def test_unknown_characters_are_named():
    tokenizer = build("char", STORY)
    with pytest.raises(UnknownCharacters, match="never seen 'é', '☃', .*x07") as caught:
        tokenizer.encode("caté ☃ é\x07")
    assert caught.value.characters == ["é", "☃", "\x07"]
    with pytest.raises(UnknownCharacters):
        tokenizer.encode("\U0010ffff")


@pytest.mark.parametrize("kind", KINDS)
def test_special_and_padded_ids_are_never_shown(kind):
    tokenizer = build(kind)
    ids = [tokenizer.end_of_text, *tokenizer.encode("cat"), tokenizer.end_of_text, tokenizer.vocab_size + 5]
    assert tokenizer.decode(ids) == "cat"
    assert tokenizer.token_text(tokenizer.end_of_text) == END_OF_TEXT
    stream = StreamDecoder(tokenizer)
    assert "".join(stream.push(i) for i in ids) + stream.finish() == "cat"


def test_torn_characters():
    tokenizer = build("byte")
    ids = tokenizer.encode("a👍b")
    assert tokenizer.decode(ids[:3]) == "a\ufffd"
    assert tokenizer.token_text(ids[1]) == "\\xf0" and [tokenizer.is_whole(i) for i in ids[:2]] == [True, False]
    stream = StreamDecoder(tokenizer)
    assert [stream.push(i) for i in ids] == ["a", "", "", "", "👍", "b"]
    stream = StreamDecoder(tokenizer)
    assert [stream.push(i) for i in ids[:3]] == ["a", "", ""] and stream.finish() == "\ufffd"


def sentencepiece_like() -> HFTokenizer:
    """A tiny model of Llama's kind: ▁ for spaces, bytes where a character has no token, <s> and </s>."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "▁the", "▁cat", "cat", "s", ".", "t", "h", "e"]
    model = HFTokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[], unk_token="<unk>", byte_fallback=True))
    model.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    model.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
    model.add_special_tokens(["<s>", "</s>"])
    return model


def test_a_file_of_another_kind(tmp_path):
    model = sentencepiece_like()
    model.enable_truncation(5)  # must not cut our texts
    model.enable_padding()
    model.save(str(tmp_path / "tokenizer.json"))
    tokenizer = build_tokenizer(DataConfig(tokenizer="file", tokenizer_file=str(tmp_path / "tokenizer.json")), [], [])
    assert (tokenizer.kind, tokenizer.end_of_text) == ("file", model.token_to_id("</s>"))
    text = "the s </s> é 👍 the e"
    ids = tokenizer.encode(text)
    assert tokenizer.end_of_text not in ids and tokenizer.decode(ids) == text
    assert tokenizer.byte_lengths()[ids].sum() == len((" " + text).encode("utf-8"))  # Llama puts a space in front
    assert [tokenizer.token_text(model.token_to_id(token)) for token in ("▁the", "cat", "▁", "<s>")] == [
        " the", "cat", " ", "<s>"]
    assert [tokenizer.token_text(i) for i in ids if not tokenizer.is_whole(i)] == [
        f"\\x{byte:02x}" for byte in "é👍".encode()]
    stream = StreamDecoder(tokenizer)
    pieces = [stream.push(int(i)) for i in ids]
    assert "".join(pieces) + stream.finish() == text and "👍" in pieces and "\ufffd" not in "".join(pieces)


def test_a_file_that_lacks_an_end_gets_one(tmp_path):
    model = HFTokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    model.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (4, 3)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff\xfe", b'{"version":"1.0","model":{"type":"BPE"'])
def test_a_broken_file_is_refused(tmp_path, content):
    path: Path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="choose"):
        load_tokenizer(path)
    with pytest.raises(DataError, match="choose"):
        load_tokenizer(tmp_path / "missing.json")
