"""What a file holds, as documents, one at a time: text in any encoding, HTML, PDF, tables, JSON, and gz of these.

Well-kept libraries know the formats; this file knows what of them is text, and what to say of a file that holds none. Rows
and pages that cannot be read are left out and listed, as long as something else can. Knows nothing of tokens.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from gptlab.data.errors import DataError
from gptlab.data.reading import Found, binary, check_size, kind_of, opened
from gptlab.data.tables import TABLES

CODE = ("py pyi js mjs ts tsx jsx java kt c h cc cpp hpp cs go rs rb php pl lua r jl swift scala hs ml sh bash ps1 sql css "
        "xml yaml yml toml ini cfg tex rst org adoc log srt vtt").split()
LONGEST_DOCUMENT = 8_000_000  # characters; a longer text is given in parts, so that each can be worked on in memory
REST_OF_LINE = 10_000         # characters that a part may be longer, so that it ends with a line
WHOLE = dict.fromkeys((".html", ".htm", ".xhtml", ".pdf"), "cut it into smaller files") | {
    ".json": "save it as JSON lines (.jsonl), one object a line"}  # kinds read whole, and what to do with one that is too large
TEXT = ("", ".txt", ".md", ".markdown", ".text", *(f".{suffix}" for suffix in CODE))


def read_file(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    """A file's documents: one for a text, a page of HTML or a PDF, one for each row of a table, none of them blank.

    Raises DataError: one sentence with the file, the line where there is one, and what to do.
    """
    kind = kind_of(path)
    if kind not in READERS:
        raise DataError(other_kind(path))
    if kind in WHOLE:
        check_size(path, WHOLE[kind], to_show=found.most_characters is not None and kind != ".pdf")  # of a PDF some pages will do
    characters, found.name = 0, path.name
    try:
        for text in READERS[kind](path, text_column, found):
            found.check(path, characters := characters + len(text))
            if text and not text.isspace():
                found.texts = 1 if kind in TEXT else found.texts + 1  # a plain text comes in parts
                yield from _parts(text.replace("\r\n", "\n"))
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is cut off or damaged: get it anew.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} begins as {found.encoding}, but goes on otherwise: "
                        "open it in a text editor and save it with the encoding UTF-8.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise DataError(f"{path.name} cannot be read{why}: check the file, or choose another.") from error


def other_kind(path: Path) -> str:
    """The sentence on a file of a kind that is not among READERS."""
    return (f"{path.name} is of a kind that cannot be read here ({kind_of(path)}): save it as text (.txt), or as one of "
            f"{', '.join(sorted(one[1:] for one in READERS if one and one not in TEXT))}.")


def is_table(path: Path) -> bool:
    """Whether a file has columns, of which one holds the text."""
    return kind_of(path) in TABLES


# --- plain text, and what is written in it ---

def _text(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    most = LONGEST_DOCUMENT if found.most_characters is None else found.most_characters
    with opened(path, found, newline="") as (file, share):
        text = file.read(most)
        while len(text) == most and found.most_characters is None:
            end = _end_of_part(text)
            found.share = share()
            yield text[:end]
            text = text[end:] + file.read(end)
        found.share = share()
        if found.enough(len(text)):
            text += file.readline(REST_OF_LINE)  # no less than was wanted, for that is how a part is told from the whole
    yield text


def _parts(text: str) -> Iterator[str]:
    """A text, or parts of no more than LONGEST_DOCUMENT of a longer one."""
    start = 0
    while len(text) - start > LONGEST_DOCUMENT:
        part = text[start:start + LONGEST_DOCUMENT]
        end = _end_of_part(part)
        yield part[:end]
        start += end
    yield text[start:]


def _end_of_part(text: str) -> int:
    """Where to cut a text at its end: after a paragraph, line or word of its last quarter, if it has one."""
    low = len(text) - len(text) // 4
    ends = (text.rfind(mark, low) + len(mark) for mark in ("\n\n", "\r\n\r\n", "\n", " ") if text.rfind(mark, low) >= 0)
    return next(ends, len(text))


def _html(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import html_text  # here, as with every format's library: most people read text
    import lxml.etree

    with opened(path, found, newline="") as (file, _):
        try:
            text, found.share = html_text.extract_text(file.read()), 1.0
        except lxml.etree.LxmlError as error:
            raise DataError(f"{path.name} is not HTML: open it in a browser and save it as text.") from error
    if not text.strip():
        raise DataError(f"{path.name} shows no text: it may be made by a script. Open it in a browser, copy the text, and save "
                        "that as .txt.")
    yield text


def _pdf(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of what it mends
    try:
        with binary(path) as file:
            reader = pypdf.PdfReader(io.BytesIO(file.read()))
            if reader.is_encrypted and not reader.decrypt(""):
                raise DataError(f"{path.name} is locked with a password: open it with that, print it to a new PDF, and choose "
                                "that one.")
            pages, characters = [], 0
            for number, page in enumerate(reader.pages, start=1):
                try:
                    pages.append(page.extract_text())
                    characters += len(pages[-1])
                    found.check(path, characters)
                except DataError:
                    raise
                except Exception:  # whatever a damaged page makes of a parser; the others may be whole
                    found.left_out(f"Page {number:,} of {path.name} is damaged and cannot be read.")
                found.share = number / len(reader.pages)
                if found.enough(characters):
                    break
    except (pypdf.errors.PyPdfError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path.name} is a damaged PDF: get it anew, or save its text as .txt.") from error
    text = "\n".join(page.strip("\n") for page in pages if page.strip())
    if not text:
        raise DataError(f"{path.name} holds pictures of pages and no text (a scan): run a text recognition (OCR) on it first.")
    found.encoding = "PDF"
    yield text + "\n"


READERS: dict[str, Callable[[Path, str | None, Found], Iterator[str]]] = {
    **dict.fromkeys(TEXT, _text), **dict.fromkeys((".html", ".htm", ".xhtml"), _html), ".pdf": _pdf, **TABLES}
