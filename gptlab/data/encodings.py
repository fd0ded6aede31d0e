"""Which encoding a text is in: found out from its bytes, because hardly any file says so. Gives codecs; reads no file's name.

UTF-8 is checked over the whole text, byte-order marks and the zero bytes of UTF-16 and UTF-32 are looked at; the rest is
chardet's judgement of a sample.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import BinaryIO

from gptlab.data.errors import DataError

BLOCK_BYTES = 2**22
SAMPLE_BYTES = 200_000
CONTINUING = bytes(range(0x80, 0xC0))  # the second, third and fourth bytes of characters in UTF-8
NEAR_BYTES = 32_000  # looked at on both sides of the first byte that is not UTF-8
MARKS = ((codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with byte-order mark"), (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
         (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"), (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
         (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"))  # UTF-32's begins with UTF-16's


@dataclass(frozen=True)
class Encoding:
    """Python's name for it, and people's; `errors` is "replace" for a text that is broken in a few places."""

    codec: str
    name: str
    errors: str = "strict"


def find_encoding(file: BinaryIO, name: str, most_bytes: int | None = None) -> Encoding:
    """The encoding of a text, which is read to its end or for about `most_bytes`. Raises DataError for what is no text, calling
    the file `name`."""
    head = file.read(SAMPLE_BYTES)
    for mark, codec, title in MARKS:
        if head.startswith(mark):
            return Encoding(codec, title)
    if (wide := _wide(head)) is not None:
        return wide
    bad = _first_bad_byte(head, file, most_bytes)
    if bad is None:
        return Encoding("utf-8", "UTF-8")
    at, near, valid = bad
    if b"\0" in head or b"\0" in near:
        raise DataError(f"{name} is not text (it holds zero bytes): choose a text file.")
    if _nearly_utf8(near, valid):
        return Encoding("utf-8", "UTF-8, broken in places", errors="replace")
    return _guessed(head, near, name, at)


def _wide(head: bytes) -> Encoding | None:
    """UTF-16 without a mark: every other byte of a text in a European language is zero, and spaces' are in any."""
    even, odd = head[::2], head[1::2]
    if not head or b"\0" not in head:
        return None
    for high, low, codec in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if high.count(0) > 0.02 * len(high) and low.count(0) == 0:
            try:
                text = codecs.getincrementaldecoder(codec)("strict").decode(head, final=False)  # it may end within a character
            except UnicodeDecodeError:
                continue
            if sum(c.isprintable() or c.isspace() for c in text) > 0.97 * len(text):
                return Encoding(codec, "UTF-16")
    return None


def _first_bad_byte(head: bytes, file: BinaryIO, most_bytes: int | None) -> tuple[int, bytes, int] | None:
    """(where the text is not UTF-8, the bytes about there, how many bytes before go on a character of UTF-8); None where all of
    it is UTF-8, without zero bytes."""
    decoder, offset, block, before, valid = codecs.getincrementaldecoder("utf-8")("strict"), 0, head, b"", 0
    while True:
        try:
            text = decoder.decode(block, final=not block)
            at = block.find(0) if "\0" in text else None
        except UnicodeDecodeError as error:
            at = max(0, error.start - (len(error.object) - len(block)))  # it counts from what was left of the block before
        if at is not None:
            around = before[-NEAR_BYTES:] + block[max(0, at - NEAR_BYTES):at + NEAR_BYTES]
            return offset + at, around, valid + _continuing(block[:at])
        offset += len(block)
        if not block or (most_bytes is not None and offset >= most_bytes):
            return None
        valid += _continuing(block)
        before, block = block, file.read(BLOCK_BYTES)


def _continuing(raw: bytes) -> int:
    return len(raw) - len(raw.translate(None, CONTINUING))


def _nearly_utf8(near: bytes, valid: int) -> bool:
    """Whether there is more that only UTF-8 has than is broken: in any other encoding nearly all of what is not ASCII would be.
    `valid` counts what is known of the text before `near`, too."""
    text = near.decode("utf-8", "replace")
    broken = text.count("\N{REPLACEMENT CHARACTER}")
    return valid + sum(not c.isascii() for c in text) - broken > broken


def _guessed(head: bytes, near: bytes, name: str, at: int) -> Encoding:
    import chardet  # here: most texts are UTF-8

    guess = chardet.detect(head if at < len(head) else near)["encoding"]
    try:
        if guess is not None:
            codec = codecs.lookup(guess).name
            codec = {"gb2312": "gb18030", "shift_jis": "cp932", "ascii": "cp1252"}.get(codec, codec)  # larger kin
            codecs.getincrementaldecoder(codec)("strict").decode(head, final=False)
            return Encoding(codec, guess if codec != "cp1252" else "Windows-1252")
    except (LookupError, UnicodeDecodeError):
        pass
    raise DataError(f"{name} is in no encoding that was recognised (its byte {at + 1:,} is the first that is not UTF-8): open it "
                    "in a text editor and save it with the encoding UTF-8.")
