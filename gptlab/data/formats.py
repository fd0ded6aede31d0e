"""What a file holds, as documents, one at a time: text in any encoding, HTML, PDF, tables, JSON, and gz of these.

Well-kept libraries know the formats; this file knows what of them is text, and what to say of a file that holds none. Rows
and pages that cannot be read are left out and listed, as long as something else can. Knows nothing of tokens.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from gptlab.data.encodings import find_encoding
from gptlab.data.errors import DataError, TooMuchText

LARGEST_FILE_BYTES = 512 * 2**20  # read whole into memory; beyond this preparing would need more than 4 GB
MOST_LISTED = 20                  # of what could not be read
LOOKED_THROUGH = 4                # times as many characters, of all columns, are gone through for those wanted of one
ROWS_AT_ONCE, BYTES_AT_ONCE = 1000, 64 * 2**20  # of Parquet
CODE = ("py pyi js mjs ts tsx jsx java kt c h cc cpp hpp cs go rs rb php pl lua r jl swift scala hs ml sh bash ps1 sql css "
        "xml yaml yml toml ini cfg tex rst org adoc log srt vtt").split()
TEXT = ("", ".txt", ".md", ".markdown", ".text", *(f".{suffix}" for suffix in CODE))
MAGIC = {b"PK\x03\x04": "an archive (as .docx, .xlsx and .epub are): save its content as plain text (.txt) and choose that.",
         b"\x89PNG": "a picture: choose a file with text.", b"\xff\xd8\xff": "a picture: choose a file with text.",
         b"GIF8": "a picture: choose a file with text."}


@dataclass
class Found:
    """What was met while a file was read; whole once its documents are through. `bad` are sentences, the first MOST_LISTED.

    With `most_characters` reading ends after about so many, where a format allows that; `share` is how much of the file that
    was (0 to 1). `most_allowed` is how many it may hold, by default as many as the largest file has bytes.
    """

    most_characters: int | None = None
    most_allowed: int | None = None
    share: float = 1.0

    encoding: str = ""
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0

    def enough(self, characters: int, looked_through: int = 0) -> bool:
        """Whether so many are as many as were wanted, or as many were gone through as may be in looking for them."""
        return self.most_characters is not None and (characters >= self.most_characters
                                                     or looked_through >= LOOKED_THROUGH * self.most_characters)

    def check(self, name: str, characters: int) -> None:
        """Raises TooMuchText where a file holds more than may be: a few KB of Parquet can hold gigabytes."""
        if characters > (LARGEST_FILE_BYTES if self.most_allowed is None else self.most_allowed):
            raise TooMuchText(f"{name} holds more text than can be read (at most {LARGEST_FILE_BYTES // 2**20} million "
                              "characters): cut it into smaller files and choose one.")

    def left_out(self, sentence: str) -> None:
        """Notes down a row or a page that could not be read."""
        self.bad_count += 1
        if len(self.bad) < MOST_LISTED:
            self.bad.append(sentence)


def read_file(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    """A file's documents: one for a text, a page of HTML or a PDF, one for each row of a table, none of them blank.

    Raises DataError: one sentence with the file, the line where there is one, and what to do.
    """
    kind = kind_of(path)
    if kind not in READERS:
        raise DataError(f"{path.name} is of a kind that cannot be read here ({kind}): save it as text (.txt), or as one of "
                        f"{', '.join(sorted(one[1:] for one in READERS if one and one not in TEXT))}.")
    characters = 0
    try:
        for text in READERS[kind](path, text_column, found):
            found.check(path.name, characters := characters + len(text))
            if text.strip():  # JSON can spell half a character (a lone surrogate), which no encoding can hold
                yield text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is cut off or damaged ({error}): get it anew.") from error
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{path.name} begins as {found.encoding}, but goes on otherwise ({byte}): "
                        "open it in a text editor and save it with the encoding UTF-8.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read ({error}): check the file, or choose another.") from error


def kind_of(path: Path) -> str:
    """".csv" for "Table.CSV.gz"; text for a name that says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes = suffixes[:-1]
    return suffixes[-1] if suffixes else ""


def is_table(path: Path) -> bool:
    """Whether a file has columns, of which one holds the text."""
    return kind_of(path) in TABLES


# --- plain text, and what is written in it ---

def _text(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    with _opened(path, found, newline="") as (file, share):
        text = file.read(-1 if found.most_characters is None else found.most_characters)
        if found.enough(len(text)):
            found.share = share()
            text = text[:text.rfind("\n") + 1] or text  # without the line that was cut
    yield text


def _html(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import html_text  # here, as with every format's library: most people read text
    import lxml.etree

    with _opened(path, found, newline="") as (file, _):
        try:
            text = html_text.extract_text(file.read())
        except lxml.etree.LxmlError as error:
            raise DataError(f"{path.name} is not HTML ({error}): open it in a browser and save it as text.") from error
    if not text.strip():
        raise DataError(f"{path.name} shows no text: it may be made by a script. Open it in a browser, copy the text, and save "
                        "that as .txt.")
    yield text


def _pdf(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of what it mends
    try:
        with _binary(path) as file:
            reader = pypdf.PdfReader(io.BytesIO(file.read()))
            if reader.is_encrypted and not reader.decrypt(""):
                raise DataError(f"{path.name} is locked with a password: open it with that, print it to a new PDF, and choose "
                                "that one.")
            pages, characters = [], 0
            for number, page in enumerate(reader.pages, start=1):
                try:
                    pages.append(page.extract_text())
                    characters += len(pages[-1])
                    found.check(path.name, characters)
                except DataError:
                    raise
                except Exception as error:  # whatever a damaged page makes of a parser; the others may be whole
                    found.left_out(f"Page {number:,} of {path.name} cannot be read ({type(error).__name__}).")
                if found.enough(characters):
                    found.share = number / len(reader.pages)
                    break
    except (pypdf.errors.PyPdfError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path.name} is a damaged PDF ({error}): get it anew, or save its text as .txt.") from error
    text = "\n".join(page.strip("\n") for page in pages if page.strip())
    if not text:
        raise DataError(f"{path.name} holds pictures of pages and no text (a scan): run a text recognition (OCR) on it first.")
    found.encoding = "PDF"
    yield text + "\n"


# --- tables ---

def _csv(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _csv_rows(path, found, bad), path.name, text_column, found)


def _jsonl(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _jsonl_rows(path, found, bad), path.name, text_column, found)


def _parquet(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    found.encoding = "Parquet"

    def rows(bad: Callable[[str], None]) -> Iterator[tuple[str, dict]]:
        with _binary(path) as file:
            number, total = 0, pyarrow.parquet.ParquetFile(file).metadata.num_rows
            for row in _parquet_rows(file, path.name, found):
                number += 1
                found.share = number / total
                yield f"Row {number:,}", row
    try:
        yield from _table(rows, path.name, text_column, found)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a whole Parquet file ({str(error).splitlines()[0]}): get it anew.") from error


def _parquet_rows(file: BinaryIO, name: str, found: Found) -> Iterator[dict]:
    """Rows, of which lists and the like are None. Texts stay packed until their rows are asked for: one may stand for a million
    rows."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow import types

    table = pyarrow.parquet.ParquetFile(file)
    groups = [table.metadata.row_group(i) for i in range(table.metadata.num_row_groups)]
    found.check(name, max((group.column(j).total_uncompressed_size for group in groups for j in range(group.num_columns)),
                          default=0))
    nested = dict.fromkeys(column.name for column in table.schema_arrow if types.is_nested(column.type))
    plain = [column for column in table.schema_arrow if column.name not in nested]
    texts = [column.name for column in plain if types.is_string(column.type) or types.is_large_string(column.type)]
    table = pyarrow.parquet.ParquetFile(file, read_dictionary=texts)
    for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column.name for column in plain]):
        at_once = len(batch) if _unpacked_bytes(batch) <= BYTES_AT_ONCE else 1
        for start in range(0, len(batch), at_once):
            for row in batch.slice(start, at_once).to_pylist():
                yield row | nested


def _unpacked_bytes(batch: Any) -> int:
    import pyarrow
    import pyarrow.compute

    size = batch.nbytes
    for column in batch.columns:
        if pyarrow.types.is_dictionary(column.type):
            lengths = pyarrow.compute.binary_length(column.dictionary)
            size += pyarrow.compute.sum(pyarrow.compute.take(lengths, column.indices)).as_py() or 0
    return size


def _json(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    """A list of objects or of texts, alone or as the only list in an object; or one object, as one row."""
    with _opened(path, found, newline="") as (file, _):
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name} is not JSON ({error}): mend it there, or save one object a line as .jsonl.") from error
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    if len(lists) == 1:
        content = lists[0]
    items = content if isinstance(content, list) else [content]

    def rows(bad: Callable[[str], None]) -> Iterator[tuple[str, dict]]:
        for number, item in enumerate(items, start=1):
            found.share = number / len(items)
            if isinstance(item, str):
                item = {"text": item}
            if isinstance(item, dict):
                yield f"Item {number:,}", item
            else:
                bad(f"Item {number:,} of {path.name} is neither an object nor a text.")
    return _table(rows, path.name, text_column, found)


def _csv_rows(path: Path, found: Found, bad: Callable[[str], None]) -> Iterator[tuple[str, dict[str, str]]]:
    """(where it stands, row) of a CSV file with a header; commas, semicolons or tabs between columns."""
    csv.field_size_limit(LARGEST_FILE_BYTES)  # Python's own limit would refuse a text of 128 KB
    with _opened(path, found, newline="") as (file, share):
        header_line = file.readline()
        delimiter = "\t" if kind_of(path) == ".tsv" else max(",;\t", key=header_line.count)
        lines, header, passed = _chained(header_line, file), [], 0
        while True:  # once more after each row that cannot be read
            reader, row_begins = csv.reader(lines, delimiter=delimiter, strict=True), passed + 1
            try:
                if not header:
                    header, row_begins = _header(next(reader, [])), reader.line_num + 1
                for row in reader:
                    line, row_begins = passed + reader.line_num, passed + reader.line_num + 1
                    if row and len(row) != len(header):
                        bad(f"Line {line:,} of {path.name} has {len(row)} fields where the header has {len(header)}: "
                            "put quotes around text that holds the separator.")
                    elif row:
                        found.share = share()
                        yield f"Line {line:,}", dict(zip(header, row))
                return
            except csv.Error as error:
                passed += reader.line_num
                if "end of data" in str(error):
                    bad(f"{path.name} cannot be read as CSV from line {row_begins:,} on, where a quote is opened and never "
                        "closed: nothing after it was read. Mend that line, or save the table anew.")
                    return
                bad(f"{path.name} cannot be read as CSV at line {passed:,} ({error}): mend that line, or save the table anew.")
                if not header:
                    return


def _header(fields: list[str]) -> list[str]:
    """Names of columns, those that are missing or come twice numbered: else one would take the other's place."""
    names: list[str] = []
    for number, field_name in enumerate(fields, start=1):
        name = field_name.strip() or f"column {number}"
        names.append(name if name not in names else f"{name} (column {number})")
    return names


def _chained(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _jsonl_rows(path: Path, found: Found, bad: Callable[[str], None]) -> Iterator[tuple[str, dict]]:
    """(where it stands, object) of each line that is not blank."""
    with _opened(path, found, newline="\n") as (file, share):
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                bad(f"Line {number:,} of {path.name} is not JSON ({error}): mend or delete that line.")
                continue
            if isinstance(row, str):
                row = {"text": row}
            if isinstance(row, dict):
                found.share = share()
                yield f"Line {number:,}", row
            else:
                bad(f"Line {number:,} of {path.name} is not an object such as {{\"text\": \"…\"}}: mend or delete that line.")


def _table(rows: Callable[[Callable[[str], None]], Iterator[tuple[str, dict]]], name: str, wanted: str | None,
           found: Found) -> Iterator[str]:
    """The texts of the wanted column, else of the one that holds the most text. Goes through the rows twice."""
    column = found.text_column = _column(rows, name, wanted, found)
    read = looked_through = 0
    for where, row in rows(found.left_out):
        value = row.get(column)
        looked_through += sum(len(text) for text in row.values() if isinstance(text, str))
        if isinstance(value, str):
            read += len(value)
            yield value
        elif value is not None:
            found.left_out(f"{where} of {name} holds {json.dumps(value, default=str)[:40]} in '{column}' where a text should be.")
        if found.enough(read, looked_through):
            return
    found.share = 1.0


def _column(rows: Callable[[Callable[[str], None]], Iterator[tuple[str, dict]]], name: str, wanted: str | None,
            found: Found) -> str:
    """Which column holds the text. Raises DataError for one that is not there or holds none."""
    problems: list[str] = []
    characters: dict[str, int] = {}
    looked_through, only_begun = 0, False
    for _, row in rows(problems.append):
        for column, value in row.items():
            length = len(value.strip()) if isinstance(value, str) else 0
            characters[column] = characters.get(column, 0) + length
            looked_through += length
        found.check(name, max(characters.values(), default=0) if wanted is None else characters.get(wanted, 0))
        if found.enough(looked_through if wanted is None else characters.get(wanted, 0), looked_through):
            only_begun = True
            break
    found.columns = tuple(characters)
    others = ", ".join(characters)
    if not characters:
        raise DataError(problems[0] if problems else f"{name} has no rows with text: it needs a header or named fields, and a "
                        "text in each row.")
    if only_begun and wanted is not None and not characters.get(wanted):
        raise DataError(f"There is no text in column '{wanted}' of the first part of {name}, so there is nothing to show yet: "
                        f"preparing reads all of it. Its columns: {others}.")
    if wanted is not None and wanted not in characters:
        raise DataError(f"{name} has no column '{wanted}': set data.text_column to one of {others}.")
    column = wanted if wanted is not None else max(characters, key=characters.get)
    if not characters[column]:
        raise DataError(f"Column '{column}' of {name} holds no text: set data.text_column to another of {others}.")
    return column


# --- bytes ---

@contextlib.contextmanager
def _opened(path: Path, found: Found, newline: str) -> Iterator[tuple[io.TextIOWrapper, Callable[[], float]]]:
    """(a file as text, what says how much of it is read). Its encoding is found out first, which reads it once. Raises
    DataError for what is no text."""
    with _binary(path) as file:
        head = file.read(8)
    for magic, what in MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} is {what}")
    with _binary(path) as file:
        encoding = find_encoding(file, path.name, found.most_characters)
    if encoding.errors == "replace" and found.encoding != encoding.name:  # a table is opened twice
        found.left_out(f"{path.name} is UTF-8, but for bytes that are no character: each became \N{REPLACEMENT CHARACTER}.")
    found.encoding = encoding.name
    errors = encoding.errors  # of a part, no more than its beginning was checked
    if found.most_characters is not None and encoding.codec == "utf-8":
        errors = "replace"
    size = max(1, path.stat().st_size)
    with open(path, "rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw) if _is_packed(path) else raw
        with io.TextIOWrapper(unpacked, encoding=encoding.codec, errors=errors, newline=newline) as file:
            yield file, lambda: min(1.0, raw.tell() / size)


def _is_packed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _binary(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where they are packed."""
    return gzip.open(path, "rb") if _is_packed(path) else open(path, "rb")


def check_size(path: Path) -> None:
    """Raises DataError for a file that is larger, packed or unpacked, than can be read."""
    size = path.stat().st_size
    packed = _is_packed(path)
    if packed and size <= LARGEST_FILE_BYTES:
        size = 0
        with _binary(path) as file:
            while size <= LARGEST_FILE_BYTES and (block := file.read(2**20)):
                size += len(block)
    if size > LARGEST_FILE_BYTES:
        raise DataError(f"{path.name} is {'more than ' * packed}{size / 2**20:,.0f} MB: at most "
                        f"{LARGEST_FILE_BYTES // 2**20} MB can be read, so cut it into smaller files and choose one.")


TABLES: dict[str, Any] = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet}
READERS: dict[str, Callable[[Path, str | None, Found], Iterator[str]]] = {
    **dict.fromkeys(TEXT, _text), **dict.fromkeys((".html", ".htm", ".xhtml"), _html), ".pdf": _pdf, **TABLES}
