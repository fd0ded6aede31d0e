"""Tables: CSV, JSON, JSON lines and Parquet, each row of which is a document: the text in one of its columns.

Rows that cannot be read are left out and listed.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gptlab.data import reading
from gptlab.data.errors import DataError
from gptlab.data.reading import Found, binary, kind_of, opened

GUESSED_CHARACTERS = 20_000_000  # of all columns: enough to tell which of them holds the text
LONGEST_ROW = 10_000_000          # characters of a row of CSV with several lines: more than a book, so a quote is not closed
READ_AGAIN = 20 * LONGEST_ROW     # characters of CSV, after quotes that are not closed: a bound on the time that takes
LOOKED_AT_LINES = 1000            # of those that such a quote took in, to tell rows from a text of many lines
ROWS_AT_ONCE, BYTES_AT_ONCE = 1000, 64 * 2**20  # of Parquet


def _csv(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _csv_rows(path, found, bad), path, text_column, found)


def _jsonl(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _jsonl_rows(path, found, bad), path, text_column, found)


def _parquet(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    found.encoding = "Parquet"

    def rows(bad: Callable[..., None]) -> Iterator[tuple[str, dict]]:
        with binary(path) as file:
            number, total = 0, pyarrow.parquet.ParquetFile(file).metadata.num_rows
            for row in _parquet_rows(file, path, found):
                number += 1
                found.share = number / total
                yield f"Row {number:,}", row
    try:
        yield from _table(rows, path, text_column, found)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a whole Parquet file: get it anew.") from error


def _parquet_rows(file: BinaryIO, path: Path, found: Found) -> Iterator[dict]:
    """Rows, of which lists and the like are None. Texts stay packed until their rows are asked for: one may stand for a million
    rows."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow import types

    table = pyarrow.parquet.ParquetFile(file)
    groups = [table.metadata.row_group(i) for i in range(table.metadata.num_row_groups)]
    found.check(path, max((group.column(j).total_uncompressed_size for group in groups for j in range(group.num_columns)),
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
    with opened(path, found, newline="") as (file, _):
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name} is not JSON ({_json_problem(error)}): mend it there, or save one object "
                            "a line as .jsonl.") from error
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    if len(lists) == 1:
        content = lists[0]
    items = content if isinstance(content, list) else [content]

    def rows(bad: Callable[..., None]) -> Iterator[tuple[str, dict]]:
        for number, item in enumerate(items, start=1):
            found.share = number / len(items)
            if isinstance(item, str):
                item = {"text": item}
            if isinstance(item, dict):
                yield f"Item {number:,}", item
            else:
                bad(f"Item {number:,} of {path.name} is neither an object nor a text.")
    return _table(rows, path, text_column, found)


def _csv_rows(path: Path, found: Found, bad: Callable[..., None]) -> Iterator[tuple[str, dict[str, str]]]:
    """(where it stands, row) of a CSV file with a header; commas, semicolons or tabs between columns."""
    csv.field_size_limit(LONGEST_ROW + reading.LONGEST_LINE)  # Python's own limit would refuse a text of 128 KB
    with opened(path, found, newline="") as (file, share):
        rest = reading.lines(file, path, found, bad)
        header_line = next(rest, "")
        delimiter = "\t" if kind_of(path) == ".tsv" else max(",;\t", key=header_line.count)
        lines, header, problem = _Lines(itertools.chain([header_line], rest)), [], ""
        while True:  # once more after each row that cannot be read
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            try:
                if not header:
                    header = _header(next(reader, []))
                    lines.row_is_read()
                for row in reader:
                    if row and len(row) != len(header):
                        has = "has" if len(lines.row) == 1 else "have"
                        problem = (f"{lines.where} of {path.name} {has} {len(row)} fields where the header has {len(header)}: "
                                   "put quotes around text that holds the separator.")
                        break
                    if row:
                        found.share = share()
                        yield lines.where, dict(zip(header, row))
                    lines.row_is_read()
                else:
                    return
            except csv.Error as error:
                if found.ended_early:
                    return
                what = "is opened and not closed" if "end of data" in str(error) else "stands in the wrong place"
                problem = _csv_problem(path, lines.where, what)
            if not header:
                bad(problem)
                return
            _leave_out_row(lines, path, delimiter, len(header), problem, bad)


class _Lines:
    """Lines for a csv.reader, which takes as many as a row has. A row's are kept until it is read, so that one that a quote made
    of many can be gone back on."""

    def __init__(self, rest: Iterator[str]):
        self._rest, self._again = rest, deque()
        self.row: list[str] = []
        self.number = self.characters = 0  # of the last line; of all lines of the row
        self.read_again = 0                # characters

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.characters > LONGEST_ROW and len(self.row) > 1:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._rest)
        self.row.append(line)
        self.number += 1
        self.characters += len(line)
        return line

    @property
    def where(self) -> str:
        """Which lines the row has."""
        first = self.number - len(self.row) + 1
        return f"Line {self.number:,}" if len(self.row) == 1 else f"Lines {first:,} to {self.number:,}"

    def row_is_read(self) -> None:
        self.row.clear()
        self.characters = 0

    def go_back(self) -> None:
        """To the second line of the row."""
        self.read_again += self.characters
        self._again.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1
        del self.row[1:]


def _leave_out_row(lines: _Lines, path: Path, delimiter: str, columns: int, problem: str, bad: Callable[..., None]) -> None:
    """Lists a row that cannot be read. Where it is a line with a quote that is not closed, and rows after it, these are read."""
    alone = [len(next(csv.reader([line], delimiter=delimiter), [])) == columns
             for line in itertools.islice(lines.row, 1, 1 + LOOKED_AT_LINES)]
    if 2 * sum(alone) <= len(alone):
        bad(problem)
    elif lines.read_again <= READ_AGAIN:
        lines.go_back()
        bad(_csv_problem(path, lines.where, "is opened and not closed"))
    else:
        bad(_csv_problem(path, lines.where, "is opened and not closed"), len(lines.row))
    lines.row_is_read()


def _csv_problem(path: Path, where: str, what: str) -> str:
    return f"{path.name} cannot be read as CSV at {where.lower()}, where a quote {what}: mend it there, or save the table anew."


def _header(fields: list[str]) -> list[str]:
    """Names of columns, those that are missing or come twice numbered: else one would take the other's place."""
    names: list[str] = []
    for number, field_name in enumerate(fields, start=1):
        name = field_name.strip() or f"column {number}"
        names.append(name if name not in names else f"{name} (column {number})")
    return names


def _jsonl_rows(path: Path, found: Found, bad: Callable[..., None]) -> Iterator[tuple[str, dict]]:
    """(where it stands, object) of each line that is not blank."""
    with opened(path, found, newline="\n") as (file, share):
        for number, line in enumerate(reading.lines(file, path, found, bad), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                bad(f"Line {number:,} of {path.name} is not JSON ({_json_problem(error, in_line=True)}): mend or delete that line.")
                continue
            if isinstance(row, str):
                row = {"text": row}
            if isinstance(row, dict):
                found.share = share()
                yield f"Line {number:,}", row
            else:
                bad(f"Line {number:,} of {path.name} is not an object such as {{\"text\": \"…\"}}: mend or delete that line.")


def _json_problem(error: Exception, in_line: bool = False) -> str:
    """Where what is read as JSON is none; `in_line` where a line of the file was read by itself."""
    if isinstance(error, json.JSONDecodeError):
        return f"at character {error.colno:,}" if in_line else f"at line {error.lineno:,}, character {error.colno:,}"
    return "nested too deeply" if isinstance(error, RecursionError) else "it holds a number of too many digits"


def _table(rows: Callable[[Callable[..., None]], Iterator[tuple[str, dict]]], path: Path, wanted: str | None,
           found: Found) -> Iterator[str]:
    """The texts of the wanted column, else of the one that holds the most text. Goes through the rows twice, the first time not far."""
    name, column = path.name, _column(rows, path, wanted, found)
    found.text_column, found.ended_early = column, False
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
    if not found.ended_early:
        found.share = 1.0


def _column(rows: Callable[[Callable[..., None]], Iterator[tuple[str, dict]]], path: Path, wanted: str | None,
            found: Found) -> str:
    """Which column holds the text, as far as the first GUESSED_CHARACTERS tell. Raises DataError for one that is not there or holds
    none."""
    problems = Found()
    characters: dict[str, int] = {}
    looked_through, only_begun, name = 0, False, path.name
    for _, row in rows(problems.left_out):
        for column, value in row.items():
            length = len(value.strip()) if isinstance(value, str) else 0
            characters[column] = characters.get(column, 0) + length
            looked_through += length
        found.check(path, max(characters.values(), default=0) if wanted is None else characters.get(wanted, 0))
        if looked_through > GUESSED_CHARACTERS and (wanted is None or characters.get(wanted)):
            break
        if found.enough(looked_through if wanted is None else characters.get(wanted, 0), looked_through):
            only_begun = True
            break
    only_begun |= found.ended_early
    found.columns = tuple(characters)
    others = ", ".join(characters)
    if not characters:
        raise DataError(problems.bad[0] if problems.bad else f"{name} has no rows with text: it needs a header or named fields, and a "
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


TABLES: dict[str, Callable[[Path, str | None, Found], Iterator[str]]] = {
    ".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet}
