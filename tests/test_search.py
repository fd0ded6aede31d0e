"""Finding documents: against Python's own regular expressions, in any script, and whatever the blocks cut through."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from gptlab.data import search as module
from gptlab.data.documents import Documents, DocumentWriter
from gptlab.data.search import Query, Search

TEXTS = ["The King saw THE king.", "", "Straße, STRASSE, straẞe", "ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", "Война и МИР", "বাংলা ভাষা", "红楼梦 三国",
         "😀 ok", "two\nlines", "a.b*c (d) [e]", "thé THÉ", "tail king"]
QUERIES = ["king", "KING", "the k", "straße", "σευς", "война", "мир", "বাংলা", "国", "😀", "two lines",
           ".b*", "thé", "e", "zebra", "king."]


def found(documents: Documents, query: str) -> list[int]:
    search = Search(documents, Query(query))
    while not search.done:
        search.advance(0.0)
    return search.rows.tolist()


@pytest.mark.parametrize("block", [1, 7, 2**18])
def test_what_is_found_is_what_a_regular_expression_finds(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    documents = Documents.of(TEXTS)
    for query in QUERIES:
        expected = re.compile(re.escape(query).replace(r"\ ", r"\s"), re.IGNORECASE)
        assert found(documents, query) == [i for i, text in enumerate(TEXTS) if expected.search(text)], query


def test_random_text_in_two_alphabets(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 64)
    chance = random.Random(3)
    texts = ["".join(chance.choices("aAbBäÄкК ", k=chance.randrange(30))) for _ in range(200)]
    documents = Documents.of(texts)
    for length in (1, 2, 3, 4):
        query = "".join(chance.choices("abäк", k=length))
        assert found(documents, query) == [i for i, text in enumerate(texts) if query in text.lower()]


def test_a_match_lies_in_one_document():
    """Their bytes stand one after the other in the file; what was left out, between them."""
    assert found(Documents.of(["one ki", "ng two"]), "king") == []
    assert found(Documents.of(["one", "king", "two"]).take([0, 2]), "king") == []


def test_it_goes_on_from_where_it_was_and_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    search = Search(Documents.of([f"document {i:04d} of many" for i in range(100)]), Query("DOCUMENT"))
    shares = []
    while not search.done:
        search.advance(0.0)
        shares.append(search.share)
    assert len(shares) == 21 and shares == sorted(shares) and 0 < shares[0] < 0.1 and shares[-1] == 1.0
    assert search.rows.tolist() == list(range(100)) and search.places.tolist() == [21 * i for i in range(100)]
    assert Search(Documents.of([]), Query("x")).done


def test_where_it_first_stands_in_a_document():
    documents = Documents.of(["no", "é then King, and king"])
    search = Search(documents, Query("king"))
    search.advance(1.0)
    documents.file.seek(int(search.places[0]))
    assert documents.file.read(5) == b"King,"


def test_what_is_marked_is_what_was_found():
    assert Query("straße").marked("Straße, STRAẞE.") == ["", "Straße", ", ", "STRAẞE", "."]
    assert Query("GRÖSSE").marked("Größe, GRÖẞE, Gröſſe") == ["", "Größe", ", ", "GRÖẞE", ", ", "Gröſſe", ""]
    assert Query(" [a] ").marked("x[A]y") == ["x", "[A]", "y"] and Query("x").marked("none") == ["none"]
    with pytest.raises(ValueError, match="nothing to search for"):
        Query("  \n")


@pytest.mark.parametrize("query", ["STRASSE", "straße", "ss", "ß", "aẞe"])
def test_two_s_are_found_as_sharp_s_and_the_other_way(query):
    assert found(Documents.of(["Straße.", "STRASSE", "straẞe, ", "Strase s s"]), query) == [0, 1, 2]


def test_the_bytes_of_half_a_character_are_never_found(tmp_path):
    with open(tmp_path / "file", "w+b") as file:
        writer = DocumentWriter(file)
        writer.add("\u0141\u0142")  # Łł: C5 81 C5 82
        assert found(writer.documents(), "\u0142") == [0] and found(writer.documents(), "\u0401") == []
    block = np.frombuffer("sſSK\u212ak".encode(), np.uint8)
    assert [list(map(int, one)) for one in Query("s").places(block)] == [[0, 1, 3], [1, 3, 4]]
    assert [list(map(int, one)) for one in Query("k").places(block)] == [[4, 5, 8], [5, 8, 9]]
