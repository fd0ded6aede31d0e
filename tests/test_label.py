"""What people say of a run: kept beside it, whole or cut to size, whatever a bundle from elsewhere put there."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from gptlab.runs import label
from gptlab.runs.disk import RunError
from gptlab.runs.label import Label
from gptlab.runs.rundir import RunDir


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "20261121-101500-first"
    path.mkdir()
    return RunDir(path)


def test_a_run_is_called_as_somebody_named_it_else_as_its_id_says(run):
    assert run.name == "first"
    run.relabel(name="  four   layers,\nless dropout ", tags=["week 3", "", "week 3", "small"], predicted="It memorises.")
    assert run.name == "four layers, less dropout"
    again = RunDir(run.path).label()
    assert again == Label(name="four layers, less dropout", tags=("week 3", "small"), predicted="It memorises.")
    run.relabel(name="", archived=True)
    assert (run.name, run.label().archived, run.label().predicted) == ("first", True, "It memorises.")


def test_two_who_write_at_once_keep_each_others_words(run):
    """Each wrote back what it had read before the other was done: of 200 pairs of a note and an observation 173 lost one."""
    with ThreadPoolExecutor(2) as pool:
        for i in range(40):
            list(pool.map(lambda change: run.relabel(**change), ({"note": f"note {i}"}, {"saw": f"saw {i}"})))
            assert run.label() == Label(note=f"note {i}", saw=f"saw {i}")


@pytest.mark.parametrize("changes, words", [
    ({"name": "x" * 61}, "name has 61 characters: 60"), ({"owner": "x" * 41}, "40 are the most"),
    ({"note": "x" * 5000, "tags": ["x" * 30]}, "5,000 characters.*tag"), ({"tags": list("abcdefghi")}, "9 tags")])
def test_what_is_too_long_is_refused_and_nothing_changed(run, changes, words):
    run.relabel(note="kept")
    with pytest.raises(RunError, match=words):
        run.relabel(**changes)
    assert run.label() == Label(note="kept")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 50_000, b'{"name": 7, "tags": "no", "archived": "yes"}',
                                     json.dumps({"tags": [1, None], "owner": None}).encode()])
def test_a_label_from_elsewhere_never_raises(run, content):
    (run.path / label.FILE).write_bytes(content)
    assert run.label() == Label() and run.name == "first"


def test_a_label_from_elsewhere_holds_only_what_can_be_written_and_sent(run):
    """Half a character in a prediction would have silenced every page that asks about the run; tags were not cleaned at all."""
    sly = {"predicted": "a\ud800b\x1b[31m", "note": "one\r\n\ttwo", "tags": ["we\u202eek\n3", "\u200b"], "name": "\ud800x"}
    (run.path / label.FILE).write_text(json.dumps(sly), encoding="utf-8")
    assert run.label() == Label(name="x", predicted="ab[31m", note="one\n\ttwo", tags=("week 3",))
    assert run.relabel(saw="\udfffyes").saw == "yes" and "yes" in (run.path / label.FILE).read_text(encoding="utf-8")


def test_a_label_from_elsewhere_is_cut_and_cannot_pass_for_another_name(run):
    sly = {"name": "n" * 500, "owner": "Ai\u202esha\nBen\u200b", "note": "n" * 9000, "tags": ["t" * 99] * 20}
    (run.path / label.FILE).write_text(json.dumps(sly), encoding="utf-8")
    found = run.label()
    assert (len(found.name), found.owner, len(found.note)) == (60, "Aisha Ben", 4000)
    assert [len(tag) for tag in found.tags] == [24] * 8
