"""Texts of many languages, in the encodings their programs write, read as they were."""

from __future__ import annotations

import gzip
import io

import pytest

from gptlab.data import encodings
from gptlab.data.encodings import find_encoding
from gptlab.data.errors import DataError

FRENCH = "Le café était déjà fermé, et l’élève dut rentrer à la maison sans goûter. « Où est-il ? » demanda-t-elle, naïve. "
GERMAN = "Über den Wolken muß die Freiheit wohl grenzenlos sein. Äpfel, Öl und Übermut: schön! Straße. "
POLISH = "Zażółć gęślą jaźń. Łódź jest piękna, a święta są długie. "
RUSSIAN = "Широка страна моя родная, много в ней лесов, полей и рек. "
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いていた。"
CHINESE = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。"
BANGLA = "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। চিরদিন তোমার আকাশ, তোমার বাতাস। "
EMOJI = "Good 👍, better 🎉, best 🏆: it works! "

CASES = [(FRENCH, "utf-8"), (FRENCH, "utf-8-sig"), (FRENCH, "utf-16"), (FRENCH, "utf-16-le"), (FRENCH, "utf-16-be"), (FRENCH, "utf-32"),
         (FRENCH, "cp1252"), (FRENCH.replace("’", "'"), "latin-1"), (GERMAN, "cp1252"), (POLISH, "cp1250"), (RUSSIAN, "cp1251"),
         (RUSSIAN, "koi8-r"), (JAPANESE, "shift_jis"), (JAPANESE, "euc_jp"), (JAPANESE, "utf-16"), (CHINESE, "gb18030"),
         (BANGLA, "utf-8"), (BANGLA, "utf-16"), (EMOJI, "utf-8"), (EMOJI, "utf-16-le")]


@pytest.mark.parametrize("text, codec", CASES)
def test_a_text_is_read_as_it_was_written(text, codec):
    raw = (text * 5).encode(codec)
    found = find_encoding(io.BytesIO(raw), "a.txt")
    assert raw.decode(found.codec, found.errors) == text * 5


def test_what_is_not_ascii_may_come_late(monkeypatch):
    monkeypatch.setattr(encodings, "SAMPLE_BYTES", 1000)
    monkeypatch.setattr(encodings, "BLOCK_BYTES", 999)
    for codec in ("utf-8", "cp1252"):  # in UTF-8 its characters lie across the ends of blocks
        raw = ("plain words. " * 2000 + FRENCH * 20).encode(codec)
        found = find_encoding(io.BytesIO(raw), "a.txt")
        assert raw.decode(found.codec, found.errors).endswith(FRENCH)


def test_a_few_broken_bytes_do_not_turn_a_text_into_another():
    raw = (FRENCH * 50).encode("utf-8")
    at = raw.index("ê".encode()) if "ê".encode() in raw else raw.index("é".encode())
    found = find_encoding(io.BytesIO(raw[:at + 1] + raw[at + 2:]), "a.txt")
    assert (found.codec, found.errors) == ("utf-8", "replace") and "broken" in found.name


@pytest.mark.parametrize("plain", [200, 20_000])
def test_one_broken_byte_among_few_special_characters_does_not_either(plain):
    """It was taken for Windows-1252: “Hello” became â€œHelloâ€\x9d."""
    raw = ("It was fine. " * plain + "“Hello” – she said. " + "It was fine. " * plain).encode()
    found = find_encoding(io.BytesIO(raw + b"\xff" + b"more text " * 20), "a.txt")
    assert (found.codec, found.errors) == ("utf-8", "replace")


def test_utf16_may_end_its_sample_within_a_character():
    """An emoji across byte 200,000 made the text none."""
    raw = ("a" * (encodings.SAMPLE_BYTES // 2 - 1) + EMOJI * 50).encode("utf-16-le")
    assert find_encoding(io.BytesIO(raw), "a.txt").codec == "utf-16-le"


@pytest.mark.parametrize("raw", [bytes(range(256)) * 40, gzip.compress(b"x" * 1000) * 20, b"text\0text" * 100, bytes(5000)])
def test_what_is_no_text_is_refused(raw):
    with pytest.raises(DataError, match="a.bin is "):
        find_encoding(io.BytesIO(raw), "a.bin")


def test_nothing_is_utf8():
    assert find_encoding(io.BytesIO(b""), "a.txt").codec == "utf-8"
