"""The catalogue that comes with GPT Lab, and what is said of one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptlab.data import catalog
from gptlab.data.errors import DataError
from gptlab.data.formats import READERS
from gptlab.data.reading import kind_of
from gptlab.data.sources import BUILTINS

GOOD = {"name": "tiny", "title": "Tiny", "description": "A text.", "language": "English", "licence": "none",
        "cleaning": ["unicode"], "home": "https://example.org",
        "files": [{"address": "https://example.org/a/input.txt", "bytes": 9}]}


def written(tmp_path, *entries) -> Path:
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_what_comes_with_gpt_lab_can_be_fetched_and_read():
    found = catalog.entries(catalog.CATALOG)
    assert {"tiny-shakespeare", "julius-caesar", "tinystories", "tinystories-valid", "fineweb-edu", "wikitext-2"} <= found.keys()
    assert any(entry.language == "Bangla" for entry in found.values()) and not found.keys() & BUILTINS.keys()
    addresses = [file.address for entry in found.values() for file in entry.files]
    assert len(set(addresses)) == len(addresses) and all(address.startswith("https://") for address in addresses)
    for entry in found.values():
        assert entry.home.startswith("https://") and entry.licence
        assert all(kind_of(path) in READERS for path in entry.paths(Path("downloads")))
        assert all("gutenberg" in entry.cleaning for file in entry.files if "gutenberg" in file.address)
        assert all(file.sha256 is None for file in entry.files if file.about), "a size that is not known, of a file that is?"


def test_tiny_shakespeare_is_the_one_everybody_has():
    (file,) = catalog.entries(catalog.CATALOG)["tiny-shakespeare"].files
    assert (file.bytes, file.sha256) == (1_115_394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")


def test_files_lie_under_the_entrys_name_each_under_its_own(tmp_path):
    two = [{"address": "https://example.org/0.jsonl.gz?download=true", "bytes": 5},
           {"address": "file:///b/0.parquet", "bytes": 4}]
    entry = catalog.entries(written(tmp_path, {**GOOD, "files": two}))["tiny"]
    assert [path.as_posix() for path in entry.paths(Path("down"))] == ["down/tiny/tiny-1.jsonl.gz", "down/tiny/tiny-2.parquet"]
    assert entry.bytes == 9 and not entry.about
    assert catalog.entries(written(tmp_path, GOOD))["tiny"].paths(Path("down")) == [Path("down/tiny/tiny.txt")]


@pytest.mark.parametrize("n_bytes, said", [(999, "999 bytes"), (140_000, "140 kB"), (999_990, "1.0 MB"), (1_115_394, "1.1 MB"),
                                           (248_731_111, "249 MB"), (9_960_000, "10 MB"), (1.94e9, "1.9 GB")])
def test_sizes_are_said_as_shops_count(n_bytes, said):
    assert catalog.in_words(n_bytes) == said


def test_another_catalogue_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GPTLAB_CATALOG", str(written(tmp_path, GOOD)))
    assert list(catalog.entries()) == ["tiny"]
    monkeypatch.setenv("GPTLAB_CATALOG", str(tmp_path / "none.json"))
    with pytest.raises(DataError, match="none.json cannot be read.*GPTLAB_CATALOG"):
        catalog.entries()


@pytest.mark.parametrize("wrong, says", [
    ({"name": "../up"}, "'name' is '../up'"), ({"licence": ""}, "'licence' is ''"), ({"title": None}, "'title' is None"),
    ({"home": "javascript:alert(1)"}, "'home'"), ({"cleaning": ["wash"]}, "'wash': the steps are unicode"),
    ({"files": []}, "'files'"),
    ({"files": "https://example.org"}, "'files'"), ({"colour": "red"}, "colour"),
    ({"files": [{"address": "http://example.org/a.txt", "bytes": 1}]}, "must begin with https://"),
    ({"files": [{"address": "ftp://127.0.0.1/a.txt", "bytes": 1}]}, "must begin with https://"),
    ({"files": [{"address": "https://example.org/a.txt", "bytes": "9"}]}, "'bytes' is '9'"),
    ({"files": [{"address": "https://example.org/a.txt", "bytes": 9, "sha256": "86c4"}]}, "'sha256' is '86c4'"),
    ({"files": [{"address": "https://example.org/a.txt"}]}, "bytes"),
])
def test_what_is_wrong_with_an_entry_is_said_with_its_number(tmp_path, wrong, says):
    with pytest.raises(DataError, match="Entry 2 of the catalogue") as told:
        catalog.entries(written(tmp_path, GOOD, {**GOOD, "name": "other", **wrong}))
    assert says in str(told.value)


def test_a_catalogue_that_is_none_is_refused(tmp_path):
    for content, says in (("{", "cannot be read"), ('{"tiny": 1}', "must be a list"), ("[1]", "Entry 1"),
                          (json.dumps([GOOD, GOOD]), "two of the name 'tiny'")):
        (tmp_path / "catalog.json").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=says):
            catalog.entries(tmp_path / "catalog.json")
