"""Files of every kind, made on the spot: each gives its documents, its beginning, or one sentence."""

from __future__ import annotations

import gzip
import json

import pytest

from gptlab.config import DataConfig
from gptlab.data import reading, tables
from gptlab.data.errors import DataError
from gptlab.data.formats import read_file
from gptlab.data.reading import Found
from gptlab.data.sources import read_documents

TEXT = "The cat sat on the mat and looked at the moon for a long time. " * 2
ROWS = [{"id": i, "body": f"{TEXT}Number {i}.", "title": "A"} for i in range(50)]


def pdf(path, pages, password=None):
    """A PDF with a page for each text (Latin letters only), written by pypdf from plain objects."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(width=600, height=800)
        font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
                                 NameObject("/BaseFont"): NameObject("/Helvetica")})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
        stream = DecodedStreamObject()
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.split("\n"))
        stream.set_data(f"BT /F1 10 Tf 20 700 Td {lines} ET".encode("latin-1") if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    with open(path, "wb") as file:
        writer.write(file)


def parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=10)


def documents(path, column=None, most=None):
    found = Found(most)
    return list(read_file(path, column, found)), found


def test_a_web_page_is_its_text(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<html><head><style>p{}</style><script>var x = 1;</script></head><body><h1>&Uuml;ber &amp; out</h1>"
                    "<p>One <b>bold</b> word.<br>Next line.</p><ul><li>first</li><li>second</li></ul></body>", encoding="utf-8")
    assert documents(path)[0] == ["Über & out\n\nOne bold word.\nNext line.\n\nfirst\nsecond"]


def test_a_pdf_is_the_text_of_its_pages(tmp_path):
    path = tmp_path / "paper.pdf"
    pdf(path, ["First page.\nIts second line.", "", "Third page."])
    texts, found = documents(path)
    assert texts == ["First page.\nIts second line.\nThird page.\n"] and found.encoding == "PDF"


@pytest.mark.parametrize("pages, password, words", [(["Secret."], "open sesame", "locked with a password"), (["", ""], None, "a scan")])
def test_a_pdf_without_text_says_why(tmp_path, pages, password, words):
    path = tmp_path / "bad.pdf"
    pdf(path, pages, password)
    with pytest.raises(DataError, match=words):
        documents(path)


def test_every_kind_of_table_gives_the_same_documents(tmp_path):
    parquet(tmp_path / "a.parquet", ROWS)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"version": 1, "rows": ROWS}), encoding="utf-8")
    (tmp_path / "texts.json").write_text(json.dumps([row["body"] for row in ROWS]), encoding="utf-8")
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        lines = [separator.join(map(str, row.values())) for row in ROWS]
        (tmp_path / name).write_text("\n".join([separator.join(ROWS[0]), *lines]) + "\n", encoding="utf-8")
    for path in list(tmp_path.iterdir()):
        texts, found = documents(path)
        assert texts == [row["body"] for row in ROWS], path.name
        assert found.text_column == ("text" if path.name == "texts.json" else "body") and not found.bad
        with gzip.open(tmp_path / f"{path.name}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        assert documents(tmp_path / f"{path.name}.gz")[0] == texts, path.name
    assert documents(tmp_path / "a.parquet", "title")[0] == ["A"] * 50


def test_of_a_long_file_the_beginning_is_read_and_its_share_known(tmp_path):
    parquet(tmp_path / "a.parquet", ROWS * 20)
    (tmp_path / "a.json").write_text(json.dumps(ROWS * 20), encoding="utf-8")
    pdf(tmp_path / "a.pdf", [TEXT] * 40)
    for path in list(tmp_path.iterdir()):
        all_of_it, whole = documents(path)
        some, part = documents(path, most=2000)
        assert (whole.share, 2000 <= len("".join(some)) < 4000) == (1.0, True), path.name
        assert part.share == pytest.approx(len("".join(some)) / len("".join(all_of_it)), rel=0.15), path.name
    (tmp_path / "short.txt").write_text(TEXT, encoding="utf-8")
    assert documents(tmp_path / "short.txt", most=2000)[1].share == 1.0


@pytest.mark.parametrize("name, content, count, first", [
    ("a.jsonl", '{{"text": "{0}"}}\n[1]\n{{"text": "{0}"}}\n{{"text": 7}}\n{{"text": "cut', 3, "Line 2 of a.jsonl is not an object"),
    ("a.csv", "id,text\n1,{0}\n2,a,b\n3,{0}\n", 1, "Line 3 of a.csv has 3 fields where the header has 2"),
    ("b.csv", 'id,text\n1,{0}\n2,{0}\n3,"never closed\n5,{0}\n', 1, "b.csv cannot be read as CSV at line 4, where a quote is opened"),
    ("c.csv", 'id,text\n1,{0}\n2,"a"b\n3,{0}\n4,"x"y\n5,a,b\n', 3, "c.csv cannot be read as CSV at line 3"),
    ("a.json", '[{{"text": "{0}"}}, 5, {{"text": "{0}"}}]', 1, "Item 2 of a.json is neither"),
    ("a.txt", None, 1, "bytes that are no character")])
def test_what_is_good_in_a_partly_bad_file_is_kept_and_the_rest_listed(tmp_path, name, content, count, first):
    raw = ("naïve café\n" * 90).encode() + b"\xff\xfe." if content is None else content.format(TEXT).encode()
    (tmp_path / name).write_bytes(raw)
    texts, found = documents(tmp_path / name)
    assert found.bad_count == len(found.bad) == count and first in found.bad[0]
    assert texts[:2] == [TEXT, TEXT] if content else texts[0].startswith("naïve")


def test_after_a_bad_quote_a_table_is_read_on(tmp_path):
    """One bad quote dropped the rest of 100,000 rows, told as one row."""
    good = f"1,\"{TEXT}\nand more\"\n"
    (tmp_path / "a.csv").write_text("id,text\n" + good * 3 + '2,"so "called" table"\n' + good * 50 + "3,a,b\n", encoding="utf-8")
    texts, found = documents(tmp_path / "a.csv")
    assert texts == [f"{TEXT}\nand more"] * 53
    assert [sentence.partition(", where")[0].partition(" has")[0] for sentence in found.bad] == [
        "a.csv cannot be read as CSV at line 8", "Line 109 of a.csv"]


STRAY = "id,text\n" + "".join(f'{i},"stray {TEXT}\n' if i == 200 else f"{i},{TEXT}\n" for i in range(2000))


@pytest.mark.parametrize("after, bad", [("", 1), (f'2000,"{TEXT}"\n', 1), (f'2000,"{TEXT}\nmore"\n', 1), ('2000,x,"quoted"\n', 2),
                                        (f'2000,"{TEXT}\n2001,{TEXT}\n', 2)])
def test_a_quote_that_is_never_closed_costs_its_line(tmp_path, after, bad):
    """It cost 1,800 of 2,000 rows, told as one."""
    (tmp_path / "a.csv").write_text(STRAY + after, encoding="utf-8")
    texts, found = documents(tmp_path / "a.csv")
    assert len([text for text in texts if text == TEXT]) >= 1999 and not any("stray" in text for text in texts)
    assert found.bad[0].startswith("a.csv cannot be read as CSV at line 202, where a quote is opened and not closed: ")
    assert found.bad_count == bad, found.bad


def test_a_long_quoted_text_is_no_stray_quote(tmp_path, monkeypatch):
    book = "A line of it, with a comma.\n" * 10_000
    (tmp_path / "a.csv").write_text(f'id,text\n1,"{book}"\n2,{TEXT}\n', encoding="utf-8")
    assert documents(tmp_path / "a.csv")[0] == [book, TEXT]
    (tmp_path / "b.csv").write_text(f'id,text\n1,"one\ntwo\nthree",x\n2,{TEXT}\n', encoding="utf-8")
    texts, found = documents(tmp_path / "b.csv")
    assert texts == [TEXT] and found.bad == ["Lines 2 to 4 of b.csv have 3 fields where the header has 2: put quotes "
                                             "around text that holds the separator."]


def test_many_quotes_that_are_never_closed_take_bounded_time_and_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_ROW", 10_000)
    monkeypatch.setattr(tables, "READ_AGAIN", 50_000)
    (tmp_path / "a.csv").write_text("id,text\n" + f"1,{TEXT}\n" * 3 + '2,",never closed\n' * 5000, encoding="utf-8")
    texts, found = documents(tmp_path / "a.csv")
    assert texts[:3] == [TEXT] * 3 and len(texts) - 3 + found.bad_count == 5000


def test_a_line_that_is_too_long_is_left_out_unread(tmp_path, monkeypatch):
    """1 MB of packed JSON lines, one blank line of a gigabyte, took 2 GB in the app."""
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    row = json.dumps({"text": TEXT}) + "\n"
    (tmp_path / "a.jsonl").write_text(row + " " * 5000 + "\n" + row + json.dumps({"text": "x" * 3000}) + "\n" + row, encoding="utf-8")
    (tmp_path / "a.csv").write_text(f"text\n{TEXT}\n{'x' * 5000}\n{TEXT}\n{'x' * 5000}\n{TEXT}\n", encoding="utf-8")
    for name, first, second in (("a.jsonl", 2, 4), ("a.csv", 3, 5)):
        texts, found = documents(tmp_path / name)
        assert texts == [TEXT] * 3 and found.bad == [
            f"Line {line} of {name} has more than 1,000 characters, too many for one row: divide it into several."
            for line in (first, second)]
        texts, found = documents(tmp_path / name, most=240)
        assert texts == [TEXT] and "more than 960 characters: it and what follows cannot be shown" in found.bad[0]
        assert read_documents(DataConfig(source=str(tmp_path / name)), 240).share < 1
    monkeypatch.setattr(reading, "LARGEST_UNPACKED", 10_000)
    for name in ("blank.jsonl.gz", "blank.csv.gz"):
        for content in (" " * 10**7, "\n" * 10**7):
            (tmp_path / name).write_bytes(gzip.compress(content.encode()))
            with pytest.raises(DataError, match="holds more text than can be read"):
                documents(tmp_path / name)


def test_for_a_beginning_no_more_than_that_is_gone_through(tmp_path, monkeypatch):
    """Of a table in which no row could be read all of it was, to show its beginning."""
    monkeypatch.setattr(reading, "MOST_LOOKED_AT", 10_000)
    (tmp_path / "a.csv").write_text("id,text\n" + f"1,{TEXT},\n" * 1000 + f"1,{TEXT}\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": 7}\n' * 1000 + json.dumps({"text": TEXT}) + "\n", encoding="utf-8")
    for name, says in (("a.csv", "Line 2 of a.csv has 3 fields"), ("a.jsonl", "no text in column 'text' of the first part")):
        assert documents(tmp_path / name, "text")[0] == [TEXT]
        with pytest.raises(DataError, match=says):
            documents(tmp_path / name, "text", most=4000)
    (tmp_path / "b.csv").write_text(f'id,text\n1,{TEXT}\n2,"' + "one line\n" * 2000 + '"\n', encoding="utf-8")
    texts, found = documents(tmp_path / "b.csv", most=40_000)
    assert texts == [TEXT] and not found.bad, "a quote was not closed in what was looked at"


def test_columns_of_one_name_are_all_there(tmp_path):
    (tmp_path / "a.csv").write_text("text,text,\n" + f"{TEXT},short,x\n" * 5, encoding="utf-8")
    texts, found = documents(tmp_path / "a.csv")
    assert texts == [TEXT] * 5 and found.columns == ("text", "text (column 2)", "column 3")
    assert documents(tmp_path / "a.csv", "text (column 2)")[0] == ["short"] * 5


def test_a_small_table_that_holds_gigabytes_is_refused(tmp_path, monkeypatch):
    """5.5 KB of Parquet held 24 GB, one text in a million rows."""
    import pyarrow
    import pyarrow.parquet

    monkeypatch.setattr(reading, "LARGEST_UNPACKED", 2**20)
    monkeypatch.setattr(reading, "LARGEST_RATIO", 10)
    monkeypatch.setattr(tables, "BYTES_AT_ONCE", 2**16)
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 50_000, type=pyarrow.int32()), pyarrow.array([TEXT * 100]))
    table = pyarrow.table({"text": texts, "id": range(50_000), "tags": [["a"]] * 50_000})
    pyarrow.parquet.write_table(table, tmp_path / "bomb.parquet")
    pyarrow.parquet.write_table(table.slice(0, 50), tmp_path / "few.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x" * 2**21]}), tmp_path / "zeros.parquet")
    for name in ("bomb", "zeros"):
        with pytest.raises(DataError, match=f"{name}.parquet holds more text than can be read"):
            documents(tmp_path / f"{name}.parquet")
    assert len(documents(tmp_path / "bomb.parquet", most=10**5)[0]) == 8
    texts, found = documents(tmp_path / "few.parquet")
    assert texts == [TEXT * 100] * 50 and found.columns == ("text", "id", "tags")


def test_the_beginning_of_a_table_may_be_without_the_wanted_text(tmp_path):
    """A column that is empty at the start was said to hold no text, of a file that preparing reads well."""
    rows = [{"a": "x" * 100, "b": None if i < 500 else TEXT} for i in range(600)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert len(documents(tmp_path / "a.jsonl", "b")[0]) == 100
    with pytest.raises(DataError, match="no text in column 'b' of the first part.*preparing reads all.*a, b"):
        documents(tmp_path / "a.jsonl", "b", most=1000)
    assert len(documents(tmp_path / "a.jsonl", "b", most=13_000)[0]) == 9, "looked for in four times as much"
    (tmp_path / "b.jsonl").write_text(json.dumps({"a": TEXT, "b": None}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="Column 'b' of b.jsonl holds no text"):
        documents(tmp_path / "b.jsonl", "b", most=1000)


def test_what_a_preview_does_not_check_it_does_not_stumble_over(tmp_path):
    """Its rows held more bytes than characters of text: it read on beyond what it knew to be UTF-8."""
    row = json.dumps({"n": list(range(300)), "text": "abc"}) + "\n"
    (tmp_path / "a.jsonl").write_bytes(row.encode() * 500 + '{"n": [], "text": "café"}\n'.encode("cp1252"))
    assert len(documents(tmp_path / "a.jsonl", "text", most=4000)[0]) == 501
    assert documents(tmp_path / "a.jsonl", "text")[1].encoding != "UTF-8"


def test_no_more_is_listed_than_a_page_can_show(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": TEXT}) + "\n" + "no\n" * 500, encoding="utf-8")
    found = documents(tmp_path / "a.jsonl")[1]
    assert (found.bad_count, len(found.bad)) == (500, reading.MOST_LISTED)
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": TEXT}) + "\nno\n[]\n", encoding="utf-8")
    (tmp_path / "zeros.txt").write_bytes(bytes(300))
    (tmp_path / "z.jsonl").write_text("no\n" * 30, encoding="utf-8")
    source = read_documents(DataConfig(source=str(tmp_path)))
    assert source.bad_count == 504 and [sentence.split(" is not")[0] for sentence in source.bad] == [
        "Line 1 of z.jsonl", "zeros.txt", *(f"Line {i} of a.jsonl" for i in range(2, 7)), "And 495 more of a.jsonl.",
        "Line 2 of b.jsonl", "Line 3 of b.jsonl"]


@pytest.mark.parametrize("name, content, sentence", [
    ("a.jsonl", b'{"text": "good"} {"text"', "Line 1 of a.jsonl is not JSON (at character 18): mend or delete that line."),
    ("a.jsonl", b"[" * 100_000, "Line 1 of a.jsonl is not JSON (nested too deeply): mend or delete that line."),
    ("a.jsonl", b"1" * 5000, "Line 1 of a.jsonl is not JSON (it holds a number of too many digits): mend or delete that line."),
    ("a.json", b'[\n"text" 5]', "a.json is not JSON (at line 2, character 8): mend it there, or save one object a line as .jsonl."),
    ("a.parquet", b"PAR1" + bytes(100), "a.parquet is not a whole Parquet file: get it anew."),
    ("a.txt.gz", gzip.compress(b"text " * 100)[:-4], "a.txt.gz is cut off or damaged: get it anew."),
    ("a.pdf", b"%PDF-1.7 cut", "a.pdf is a damaged PDF: get it anew, or save its text as .txt.")], ids=range(7))
def test_what_is_wrong_is_told_in_plain_words(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as told:
        documents(tmp_path / name)
    assert str(told.value) == sentence


def test_a_file_that_must_be_read_whole_is_shown_only_if_it_is_small(tmp_path, monkeypatch):
    """The app read 256 MB of JSON to show its first rows."""
    monkeypatch.setattr(reading, "LARGEST_SHOWN_BYTES", 5000)
    (tmp_path / "a.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress((tmp_path / "a.json").read_bytes()))
    for name in ("a.json", "a.json.gz"):
        assert len(documents(tmp_path / name)[0]) == 50
        with pytest.raises(DataError, match="too large to be shown before preparing.*Prepare it unseen, or save it as JSON"):
            documents(tmp_path / name, most=1000)


def test_a_packed_file_that_is_cut_or_too_large_unpacked_is_one_sentence(tmp_path, monkeypatch):
    whole = gzip.compress((TEXT * 3000).encode())
    (tmp_path / "cut.txt.gz").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(DataError, match="cut.txt.gz is cut off or damaged"):
        documents(tmp_path / "cut.txt.gz")
    (tmp_path / "bomb.txt.gz").write_bytes(whole)
    monkeypatch.setattr(reading, "LARGEST_UNPACKED", 100_000)
    with pytest.raises(DataError, match="bomb.txt.gz holds more text than can be read"):
        read_documents(DataConfig(source=str(tmp_path / "bomb.txt.gz")))


def test_a_folder_is_all_its_files_without_the_bad_ones(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "part").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config.txt").write_text("hidden " * 50, encoding="utf-8")
    (folder / "b.txt").write_text(f"b {TEXT}", encoding="utf-8")
    (folder / "a.txt").write_bytes(f"a {TEXT} café. C'était déjà l'été, à Nîmes.".encode("cp1252"))
    (folder / "part" / "code.py").write_text("print('hello')\n" * 20, encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "zeros.txt").write_bytes(bytes(500))
    source = read_documents(DataConfig(source=str(folder)))
    assert [text[:5] for text in source.documents] == ["a The", "b The", "print"]
    assert source.encoding == "UTF-8, Windows-1252" and source.bad_count == 2
    assert "zeros.txt is not text" in source.bad[0] and "picture.png is of a kind" in source.bad[1]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "zeros.txt").write_bytes(bytes(500))
    with pytest.raises(DataError, match="zero bytes"):
        read_documents(DataConfig(source=str(tmp_path / "bad")))


def test_a_kind_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "book.docx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"\(.docx\): save it as text.*parquet"):
        documents(tmp_path / "book.docx")
