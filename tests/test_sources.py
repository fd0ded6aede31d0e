"""Files and built-ins become documents, and every kind of bad file one sentence."""

import json

import pytest

from gptlab.config import DataConfig
from gptlab.data import formats, reading
from gptlab.data.sources import BUILTINS, DataError, files_of, read_documents, several
from gptlab.data.split import may_hold_out_whole

LONG = "The cat sat on the mat and looked at the moon for a long time. " * 3


@pytest.fixture
def read(tmp_path):
    """Write bytes or text to a file of that name and read it as a source."""
    def write_and_read(name: str, content: bytes | str, text_column: str | None = None):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return read_documents(DataConfig(source=str(path), text_column=text_column))
    return write_and_read


@pytest.mark.parametrize("name", ["a.txt", "a.md", "A.TXT", "README", "notes.rst"])
def test_a_text_is_one_document(read, name):
    source = read(name, f"# Title\n\n{LONG}<|endoftext|>\n{LONG}আমি 👍\n")
    assert source.documents == [f"# Title\n\n{LONG}<|endoftext|>\n{LONG}আমি 👍\n"]
    assert (source.name, source.encoding, source.columns) == (name, "UTF-8", ())


def test_a_byte_order_mark_and_windows_line_ends_go(read):
    source = read("a.txt", b"\xef\xbb\xbf" + f"one\r\ntwo\rthree\n{LONG}".encode())
    assert source.documents == [f"one\ntwo\rthree\n{LONG}"]
    assert source.encoding == "UTF-8 with byte-order mark"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_rows_are_documents(read, separator):
    rows = [["id", "story", "title"], ["1", f'"{LONG}, with ""quotes""\r\nand lines"', "A"], ["", "", ""], ["2", LONG.strip(), "B"]]
    source = read("a.csv", "\r\n".join(separator.join(row) for row in rows) + "\r\n\r\n")
    assert source.columns == ("id", "story", "title") and source.text_column == "story"
    assert source.documents == [f'{LONG}, with "quotes"\nand lines', LONG.strip()]


def test_csv_cells_may_be_long(read):
    assert len(read("a.csv", 'text\n"' + "long " * 100_000 + '"\n').documents[0]) == 500_000


def test_jsonl_lines_are_documents(read):
    lines = [{"text": LONG, "n": 1}, {"text": "  "}, {"text": None}, {"n": 3}, {"text": LONG + "\r\nend \ud83d", "meta": "x"}]
    source = read("a.jsonl", "\n\n".join(map(json.dumps, lines)) + "\n")
    assert source.documents == [LONG, LONG + "\nend ?"]  # half an emoji is no character
    assert source.columns == ("text", "n", "meta") and source.text_column == "text"


def test_a_column_may_be_chosen(read):
    content = "".join(json.dumps({"body": LONG * 2, "summary": LONG}) + "\n" for _ in range(3))
    assert read("a.jsonl", content).text_column == "body"
    assert read("a.jsonl", content, text_column="summary").documents == [LONG] * 3
    with pytest.raises(DataError, match="no column 'sumary'.*data.text_column.*body, summary"):
        read("a.jsonl", content, text_column="sumary")


BAD = [
    ("empty.txt", b"", "empty"),
    ("spaces.txt", b" \n\t \n" * 100, "empty"),
    ("one.txt", b"x", "only 1 character .*100"),
    ("short.md", b"Hello, world!", "only 13 characters"),
    ("a.pdf", b"%PDF-1.7" + LONG.encode(), "a.pdf is a damaged PDF"),
    ("a.docx", b"PK\x03\x04" + bytes(100), "kind that cannot be read here .*docx"),
    ("docx.txt", b"PK\x03\x04" + bytes(100), "archive.*plain text"),
    ("picture.txt", b"\x89PNG\r\n" + bytes(100), "picture"),
    ("zeros.bin", bytes(1000), "kind that cannot"),
    ("zeros.txt", bytes(1000), "zero bytes"),
    ("broken.jsonl", b'{"text": "cut of', "Line 1 of broken.jsonl is not JSON"),
    ("list.jsonl", b'["a", "b"]\n', "Line 1 of list.jsonl is not an object"),
    ("deep.jsonl", b"[" * 100_000, "Line 1 of deep.jsonl is not JSON"),
    ("numbers.jsonl", b'{"a": 1}\n{"a": 2}\n', "holds no text"),
    ("blank.jsonl", b"\n\n", "no rows"),
    ("header.csv", b"id,text\n", "no rows"),
    ("nothing.csv", b"", "no rows"),
    ("fields.csv", b"id,text\n2,a,b\n", "Line 2 of fields.csv has 3 fields where the header has 2"),
    ("quote.csv", b'id,text\n1,"never closed\n', "cannot be read as CSV at line 2"),
    ("header.tsv", b'"te"xt\tid\na\tb\n', "cannot be read as CSV at line 1"),
]


@pytest.mark.parametrize("name, content, message", BAD, ids=[name for name, _, _ in BAD])
def test_a_bad_file_gives_one_sentence(read, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(name, content)
    assert "\n" not in str(caught.value)


def test_a_huge_file_of_a_kind_that_is_read_whole_is_refused_unread(tmp_path):
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(reading.LARGEST_WHOLE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(DataError, match="of its kind at most 256 MB.*save it as JSON lines"):
        read_documents(DataConfig(source=str(tmp_path / "huge.json")))


def test_a_long_text_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "LONGEST_DOCUMENT", 1000)
    text = "".join(f"Line {i} ends here.\r\n" * 3 + "\r\n" for i in range(200))
    (tmp_path / "long.txt").write_bytes(text.encode())
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": text}) + "\n" + json.dumps({"text": "short " * 5}), encoding="utf-8")
    source = read_documents(DataConfig(source=str(tmp_path / "long.txt")))
    assert "".join(source.documents) == text.replace("\r\n", "\n") and len(source.documents.text_lengths) == 1
    assert len(source.documents) > 10 and all(part.endswith("\n\n") and len(part) <= 1000 for part in source.documents)
    rows = read_documents(DataConfig(source=str(tmp_path / "rows.jsonl")))
    assert "".join(rows.documents) == text.replace("\r\n", "\n") + "short " * 5 and len(rows.documents.text_lengths) == 2
    assert not may_hold_out_whole(source.documents, DataConfig())  # however many parts there are


def test_several_files_are_read_in_the_order_they_are_given(tmp_path):
    for name in ("b.txt", "a.txt", "zeros.txt"):
        (tmp_path / name).write_text(f"{name} {LONG}", encoding="utf-8")
    (tmp_path / "zeros.txt").write_bytes(bytes(300))
    source = read_documents(DataConfig(source=several([tmp_path / name for name in ("b.txt", "zeros.txt", "a.txt")])))
    assert [text[:5] for text in source.documents] == ["b.txt", "a.txt"] and source.name == "b.txt and 2 more"
    twice = read_documents(DataConfig(source=several([tmp_path, tmp_path / "b.txt"])))
    assert [text[:5] for text in twice.documents] == ["a.txt", "b.txt"]
    assert source.bad_count == 1 and "zeros.txt" in source.bad[0]


def test_how_much_is_read_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": LONG}) + "\n" for _ in range(1000)), encoding="utf-8")
    (tmp_path / "b.txt").write_text(LONG * 1000, encoding="utf-8")
    told = []
    read_documents(DataConfig(source=str(tmp_path)), tell=told.append)
    assert told == sorted(told) and told[0] < 0.1 and any(0.1 < share < 0.4 for share in told) and told[-1] == 1


def test_a_folders_files_come_in_one_order_on_every_system(tmp_path):
    """Paths of Windows are in order whatever their capitals: a data set had another hash there."""
    for name in ("b/z.txt", "B.txt", "a.txt", "b.txt", "A/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert [path.relative_to(tmp_path).as_posix() for path in files_of(str(tmp_path))] == ["A/c.txt", "B.txt", "a.txt", "b.txt", "b/z.txt"]


def test_a_folder_of_many_files_is_counted_once_each(tmp_path, monkeypatch):
    """Characters of all documents were added up after every file: of 300,000 rows and 300 files, 90 million times."""
    counted = []
    monkeypatch.setattr(reading.Found, "enough", lambda found, characters, *more: counted.append(characters))
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(LONG, encoding="utf-8")
    assert len(read_documents(DataConfig(source=str(tmp_path))).documents) == 3
    assert counted[1::2] == [len(LONG), 2 * len(LONG), 3 * len(LONG)]


def test_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="Did you mean 'stories'.*arithmetic"):
        read_documents(DataConfig(source="storys"))
    with pytest.raises(DataError, match="holds no file that can be read"):
        read_documents(DataConfig(source=str(tmp_path)))
    with pytest.raises(DataError, match="no file or built-in"):
        read_documents(DataConfig(source="a\0b"))


@pytest.mark.parametrize("name", list(BUILTINS))
def test_built_ins_need_no_network_and_are_the_same_each_time(name):
    first, again = (read_documents(DataConfig(source=name, documents=30)) for _ in range(2))
    assert first == again and len(first.documents) == 30 and all(text.strip() for text in first.documents)
    assert (first.floor_logprobs is not None) == (name in ("stories", "arithmetic"))
    assert first.documents != read_documents(DataConfig(source=name, documents=30, seed=2)).documents


def test_no_passage_of_the_docs_comes_twice():
    """Topics of the reference share passages; held out in one and trained on in the other, they would flatter."""
    documents = read_documents(DataConfig(source="python-docs")).documents
    long = [p.strip() for text in documents for p in text.split("\n\n") if len(p.strip()) > 80]
    assert len(long) == len(set(long)) > 500 and sum(map(len, documents)) > 300_000


def test_of_a_long_text_the_part_that_was_read_is_known_wherever_it_is_cut(tmp_path):
    """Cut before the line that was not whole it once held less than was wanted, and was taken for all of the text."""
    path = tmp_path / "long.txt"
    path.write_text("thirty-three characters in a line\n" * 20_000, encoding="utf-8")
    for most in (10_000, 100_000, 100_001):
        source = read_documents(DataConfig(source=str(path)), most)
        assert source.documents[0].endswith("line\n") and source.share == pytest.approx(most / 680_000, abs=0.03)
