"""Tables: CSV, JSON, JSON lines and Parquet, each row of which is a document: the text in one of its columns.

Rows that cannot be read are left out and listed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gptlab.data import reading
from gptlab.data.errors import DataError
from gptlab.data.reading import Found, binary, kind_of, opened

GUESSED_CHARACTERS = 20_000_000  # of all columns: enough to tell which of them holds the text
ROWS_AT_ONCE, BYTES_AT_ONCE = 1000, 64 * 2**20  # of Parquet


def _csv(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _csv_rows(path, found, bad), path, text_column, found)


def _jsonl(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    return _table(lambda bad: _jsonl_rows(path, found, bad), path, text_column, found)


def _parquet(path: Path, text_column: str | None, found: Found) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    found.encoding = "Parquet"

    def rows(bad: Callable[[str], None]) -> Iterator[tuple[str, dict]]:
        with binary(path) as file:
            number, total = 0, pyarrow.parquet.ParquetFile(file).metadata.num_rows
            for row in _parquet_rows(file, path, found):
                number += 1
                found.share = number / total
                yield f"Row {number:,}", row
    try:
        yield from _table(rows, path, text_column, found)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a whole Parquet file ({str(error).splitlines()[0]}): get it anew.") from error


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
    return _table(rows, path, text_column, found)


def _csv_rows(path: Path, found: Found, bad: Callable[[str], None]) -> Iterator[tuple[str, dict[str, str]]]:
    """(where it stands, row) of a CSV file with a header; commas, semicolons or tabs between columns."""
    csv.field_size_limit(reading.LARGEST_UNPACKED)  # Python's own limit would refuse a text of 128 KB
    with opened(path, found, newline="") as (file, share):
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
    with opened(path, found, newline="\n") as (file, share):
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


def _table(rows: Callable[[Callable[[str], None]], Iterator[tuple[str, dict]]], path: Path, wanted: str | None,
           found: Found) -> Iterator[str]:
    """The texts of the wanted column, else of the one that holds the most text. Goes through the rows twice, the first time not far."""
    name, column = path.name, _column(rows, path, wanted, found)
    found.text_column = column
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


def _column(rows: Callable[[Callable[[str], None]], Iterator[tuple[str, dict]]], path: Path, wanted: str | None,
            found: Found) -> str:
    """Which column holds the text, as far as the first GUESSED_CHARACTERS tell. Raises DataError for one that is not there or holds
    none."""
    problems: list[str] = []
    characters: dict[str, int] = {}
    looked_through, only_begun, name = 0, False, path.name
    for _, row in rows(problems.append):
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


TABLES: dict[str, Callable[[Path, str | None, Found], Iterator[str]]] = {
    ".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet}
