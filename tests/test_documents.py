"""Documents on disk: what is written is read, alone, all together and in part."""

from __future__ import annotations

import numpy as np
import pytest

from gptlab.data import documents as module
from gptlab.data.documents import Documents, DocumentWriter, keep, open_kept

TEXTS = ["One.", "", "zwei Ümläute\n", "三つ", "🙂" * 5, "six\ud800"]
READ = [*TEXTS[:5], "six?"]


@pytest.mark.parametrize("at_once", [1, 12, 10**6])
def test_what_is_written_is_read(monkeypatch, at_once):
    monkeypatch.setattr(module, "AT_ONCE_BYTES", at_once)
    monkeypatch.setattr(module, "WRITTEN_BYTES", at_once)
    documents = Documents.of(TEXTS)
    assert list(documents) == READ and [documents[i] for i in range(6)] == READ and documents[-1] == "six?"
    assert documents.lengths.tolist() == [len(text) for text in READ]
    assert documents.byte_lengths.tolist() == [len(text.encode()) for text in READ]
    assert list(documents.take([4, 0, 2])) == [READ[4], READ[0], READ[2]] and list(documents[1:3]) == READ[1:3]
    assert (documents.characters, documents.bytes) == (sum(map(len, READ)), sum(len(text.encode()) for text in READ))


def test_a_part_is_spread_over_all_of_them(monkeypatch):
    monkeypatch.setattr(module, "STRETCHES", 3)
    documents = Documents.of(["abcdefghij", "k", "", "lm", "nopqrstuvwxyz"])
    assert list(documents.spread(26)) == list(documents)
    assert "".join(documents.spread(9)) == "abc" + "lmn" + "xyz"
    assert "".join(documents.take([0]).spread(6)) == "abefij"


def test_none_at_all():
    assert list(Documents.of([])) == [] and Documents.of([]).characters == 0


def test_a_data_set_keeps_them_with_their_sides(tmp_path):
    with open(tmp_path / "documents.txt", "w+b") as file:
        writer = DocumentWriter(file)
        for text in TEXTS:
            writer.add(text)
        documents = writer.documents()
        keep(tmp_path, documents.take([0, 2, 3]), documents.take([5, 4]))
    kept, held_out = open_kept(tmp_path)
    assert list(kept) == [READ[0], *READ[2:]] and np.flatnonzero(held_out).tolist() == [3, 4]
    kept.close()
