"""Where text comes from: a file of the user's, or a built-in. Gives documents; knows nothing of tokens.

A text or Markdown file is one document; a CSV or JSON-lines file gives one a row. Files are read as data only.
"""

from __future__ import annotations

import csv
import io
import json
import random
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gptlab.config import DataConfig, unknown_name

LARGEST_FILE_BYTES = 512 * 2**20  # read whole into memory; beyond this preparing would need more than 4 GB
FEWEST_CHARACTERS = 100
DOCS_PART_CHARACTERS = 4000
MAGIC = {b"%PDF": "a PDF", b"PK\x03\x04": "an archive (as .docx, .xlsx and .epub are)", b"\x1f\x8b": "compressed",
         b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture"}


class DataError(ValueError):
    """A problem with data that the user can mend: one sentence that says what is wrong and what to do."""


@dataclass(frozen=True)
class Source:
    """Documents and where they are from. `columns` and `text_column` are set for CSV and JSON lines only.

    `floor_logprobs` holds each document's exact log-probability in nats (end included) where the text was generated.
    """

    name: str
    description: str
    documents: list[str]
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    floor_logprobs: list[float] | None = None

    @property
    def characters(self) -> int:
        """Characters in all documents."""
        return sum(map(len, self.documents))


@dataclass(frozen=True)
class Builtin:
    """A data set that needs no file and no network. `generate` gives documents and their log-probabilities, if known."""

    title: str
    description: str
    generate: Callable[[DataConfig], tuple[list[str], list[float] | None]]


def read_documents(config: DataConfig) -> Source:
    """The documents of a built-in or a file. Raises DataError: one sentence that says what to do."""
    if config.source in BUILTINS:
        builtin = BUILTINS[config.source]
        documents, logprobs = builtin.generate(config)
        return Source(config.source, builtin.description, documents, floor_logprobs=logprobs)
    source = _read_file(Path(config.source), config.text_column)
    if source.characters < FEWEST_CHARACTERS:
        characters = "1 character" if source.characters == 1 else f"{source.characters} characters"
        raise DataError(f"{source.name} holds only {characters} of text: at least {FEWEST_CHARACTERS} "
                        "are needed, and some thousands for a model to learn anything.")
    return source


def _read_file(path: Path, text_column: str | None) -> Source:
    text, encoding = read_text(path)
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix.lower() in readers:
        def rows():
            return readers[path.suffix.lower()](text, path.name)
        columns, column = _choose_column(rows(), text_column, path.name)
        documents = _texts(rows(), column, path.name)
        description = f"{path.name}: {len(documents):,} rows, text from column '{column}'"
        return Source(path.name, description, documents, encoding, columns, column)
    if not text.strip():
        raise DataError(f"{path.name} is empty: choose a file with some thousand characters of text.")
    return Source(path.name, f"{path.name}: one text of {len(text):,} characters", [text], encoding)


def read_text(path: Path) -> tuple[str, str]:
    """(text, encoding) of a UTF-8 file, Windows' line ends made \\n, a byte-order mark left out. Raises DataError."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise DataError(f"{path} is a folder: choose one file in it.")
        if size > LARGEST_FILE_BYTES:
            raise DataError(f"{path.name} is {size / 2**20:,.0f} MB: at most {LARGEST_FILE_BYTES // 2**20} MB can be read, "
                            "so cut it into smaller files and choose one.")
        raw = path.read_bytes()
    except FileNotFoundError:
        hint = unknown_name(str(path), BUILTINS, "file or built-in data set")
        raise DataError(f"{hint} Built-in are {', '.join(BUILTINS)}; anything else is the path of a text file.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read ({error}): check the file, or choose another.") from error
    return _decode(raw, path.name)


def _decode(raw: bytes, name: str) -> tuple[str, str]:
    """UTF-8 bytes as text, or the sentence that says what they are instead."""
    kind = next((what for magic, what in MAGIC.items() if raw.startswith(magic)), None)
    if kind:
        raise DataError(f"{name} is {kind}, not text: save its content as plain text (.txt) and choose that.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name} is UTF-16, not UTF-8: open it in a text editor and save it with the encoding UTF-8.")
    if b"\0" in raw:
        raise DataError(f"{name} is not text (it holds zero bytes): choose a text file, saved as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name} is not UTF-8 (line {line:,} holds the byte 0x{raw[error.start]:02x}): open it in a text "
                        "editor and save it with the encoding UTF-8.") from None
    return text.replace("\r\n", "\n"), "utf-8 with byte-order mark" if raw.startswith(b"\xef\xbb\xbf") else "utf-8"


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with a header; commas, semicolons or tabs between columns."""
    csv.field_size_limit(LARGEST_FILE_BYTES)  # Python's own limit would refuse a text of 128 KB
    header_line = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header_line.count), strict=True)
    try:
        header = [column.strip() or f"column {n}" for n, column in enumerate(next(reader, []), start=1)]
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(f"Line {reader.line_num:,} of {name} has {len(row)} fields where the header has "
                                f"{len(header)}: put quotes around text that holds the separator.")
            if row:
                yield reader.line_num, dict(zip(header, row))
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as CSV at line {reader.line_num:,} ({error}): "
                        "mend that line, or save the table anew.") from None


def _jsonl_rows(text: str, name: str) -> Iterator[tuple[int, dict]]:
    """(line number, object) of each line that is not blank."""
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Line {number:,} of {name} is not JSON ({error}): mend or delete that line.") from None
        if not isinstance(row, dict):
            raise DataError(f"Line {number:,} of {name} is not an object such as {{\"text\": \"…\"}}: mend or delete that line.")
        yield number, row


def _choose_column(rows: Iterator[tuple[int, dict]], wanted: str | None, name: str) -> tuple[tuple[str, ...], str]:
    """(all columns, the one with the text): the wanted one, else the one that holds the most text."""
    characters: dict[str, int] = {}
    for _, row in rows:
        for column, value in row.items():
            characters[column] = characters.get(column, 0) + (len(value.strip()) if isinstance(value, str) else 0)
    columns = tuple(characters)
    if not columns:
        raise DataError(f"{name} has no rows with text: it needs a header or named fields, and a text in each row.")
    if wanted is not None and wanted not in characters:
        raise DataError(f"{name} has no column '{wanted}': set data.text_column to one of {', '.join(columns)}.")
    chosen = wanted if wanted is not None else max(columns, key=characters.get)
    if not characters[chosen]:
        raise DataError(f"Column '{chosen}' of {name} holds no text: set data.text_column to another of {', '.join(columns)}.")
    return columns, chosen


def _texts(rows: Iterator[tuple[int, dict]], column: str, name: str) -> list[str]:
    """The column's texts; rows where it is missing or blank are left out."""
    texts = []
    for number, row in rows:
        value = row.get(column)
        if value is None:
            continue
        if not isinstance(value, str):
            raise DataError(f"Line {number:,} of {name} holds {json.dumps(value)[:40]} in '{column}' where a text should be: "
                            "mend that line, or choose another column.")
        if value.strip():  # JSON can spell half a character (a lone surrogate), which no encoding can hold
            texts.append(value.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8"))
    return texts


def _stories(config: DataConfig) -> tuple[list[str], list[float]]:
    from gptlab.data import synthetic  # here, so that reading a file never builds the grammar
    return synthetic.stories(config.documents, config.seed)


def _arithmetic(config: DataConfig) -> tuple[list[str], list[float]]:
    from gptlab.data import synthetic
    return synthetic.arithmetic(config.documents, config.seed)


def _python_docs(config: DataConfig) -> tuple[list[str], None]:
    """Parts of about a page. What several topics share stands in the first only: held-out text must be unseen."""
    from pydoc_data.topics import topics  # half a megabyte, read only when asked for
    documents, seen = [], set()
    for name in sorted(topics):
        part = ""
        for paragraph in topics[name].strip().split("\n\n"):
            if paragraph.strip() in seen:
                continue
            if len(paragraph) > 80:  # shorter ones are headings and lines of code, which may come again
                seen.add(paragraph.strip())
            if part and len(part) + len(paragraph) > DOCS_PART_CHARACTERS:
                documents.append(part)
                part = ""
            part += paragraph.strip("\n") + "\n\n"
        documents.append(part)
    return _some([document.strip("\n") + "\n" for document in documents if document.strip()], config), None


def _python_source(config: DataConfig) -> tuple[list[str], None]:
    folder = Path(sysconfig.get_path("stdlib"))
    generated = ("_sysconfigdata", "sitecustomize")  # written by whoever built this Python, not part of the library
    files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith(generated)]
    if not files:
        raise DataError("This Python comes without the source of its library: choose another built-in, such as python-docs.")
    return _some([path.read_text(encoding="utf-8", errors="replace") for path in files], config), None


def _some(documents: list[str], config: DataConfig) -> list[str]:
    """All of them, or `config.documents` drawn by `config.seed`, in their order."""
    if len(documents) <= config.documents:
        return documents
    kept = sorted(random.Random(config.seed).sample(range(len(documents)), config.documents))
    return [documents[i] for i in kept]


BUILTINS: dict[str, Builtin] = {
    "stories": Builtin("Stories", "Small children's stories from a grammar, with a known best possible loss.", _stories),
    "arithmetic": Builtin("Arithmetic", "Sums with their answers, with a known best possible loss.", _arithmetic),
    "python-docs": Builtin("Python's documentation", "The language reference that every Python carries.", _python_docs),
    "python-source": Builtin("Python's source", "The modules of Python's standard library: code to learn from.",
                             _python_source),
}
