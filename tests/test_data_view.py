"""What the page is told of a data set and its documents: arguments of any kind, searches in stages, long texts."""

import json
import time

import pytest

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.data.documents import FILE, TABLE
from gptlab.runs.workspace import Workspace
from gptlab.ui import data_view, words_view
from gptlab.ui.data_view import PAGE_DOCUMENTS, DataView
from gptlab.ui.lab import Lab

TEXTS = [f"Text {i}. " + ("The King sat down. " if i % 3 == 0 else "") + "Sea and sky. " * (1 + i % 5) for i in range(90)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The data sets "texts" (90 documents), "long" (one text of two scripts) and "older", which has kept none."""
    folder = tmp_path_factory.mktemp("view")
    workspace = Workspace(folder / "workspace")
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    (folder / "long.txt").write_text("A line of the text.\n" * 4000 + "চতুর্থ রাজা " * 9000 + "the very end\n", encoding="utf-8")
    for name, source in (("texts", "texts.jsonl"), ("older", "texts.jsonl"), ("long", "long.txt")):
        split = "tail" if name == "long" else None
        prepare(DataConfig(source=str(folder / source), split=split), workspace.dataset_path(name))
    for file in (FILE, TABLE):
        (workspace.dataset_path("older") / file).unlink()
    return workspace


@pytest.fixture
def view(workspace):
    return DataView(Lab(workspace, jobs=None))


def listed(view, **question) -> dict:
    """The answer once all is searched."""
    while not (answer := view.documents({"data": "texts", **question})).get("done", True):
        pass
    return answer


def figures(view, name: str) -> dict:
    deadline = time.monotonic() + 60
    while "percent" in (answer := view.figures({"data": name})):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def test_figures_are_counted_beside_the_app_and_kept(view):
    assert view.figures({"data": "texts"})["percent"] == 0
    told = figures(view, "texts")
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["plain"] == ["change"] and set(told["captions"]) == set(words_view.VIEW["figures"])
    assert told["figures"]["characters"] == sum(map(len, TEXTS))
    assert told["told"]["scripts"] == "Latin 100 %" and told["captions"]["scripts"] == "All letters are Latin."
    assert view.figures({"data": "texts"}) == told
    older = figures(view, "older")
    assert older["figures"] == told["figures"]


def test_what_cannot_be_counted_is_said(view, workspace, tmp_path):
    path = workspace.dataset_path("older") / "train.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        assert "is cut off" in figures(view, "older")["problem"]
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("data", [None, 7, "", "../texts", "texts/../texts", "nothing", ["texts"], {"a": 1}])
def test_only_data_sets_of_the_workspace_are_read(view, data):
    for ask in (view.figures, view.documents, view.document):
        assert ask({"data": data, "row": 0})["problem"] == words_view.NOTHING_TO_LOOK_AT
        assert ask(data)["problem"] == words_view.NOTHING_TO_LOOK_AT


def test_a_data_set_without_documents_says_so(view):
    for ask in (view.documents, view.document):
        assert ask({"data": "older", "row": 0}) == {"problem": words_view.NOT_KEPT}


def test_pages_hold_every_document_once(view):
    seen, first = [], listed(view)
    assert (first["found"], first["all"], first["pages"], first["percent"]) == (90, 90, 5, 100)
    for page in range(first["pages"]):
        answer = listed(view, page=page)
        assert answer["first"] == page * PAGE_DOCUMENTS
        seen += [(row["row"], row["characters"]) for row in answer["rows"]]
    assert seen == list(enumerate(map(len, TEXTS)))
    assert "".join(first["rows"][0]["pieces"]) == TEXTS[0]
    assert listed(view, page=10**9)["page"] == 4 and listed(view, page="x")["page"] == 0


def test_sides_and_words_together(view):
    sides = {side: {row["row"] for page in range(5) for row in listed(view, side=side, page=page)["rows"]}
             for side in ("train", "val")}
    assert sides["train"] | sides["val"] == set(range(90)) and not sides["train"] & sides["val"] and len(sides["val"]) >= 5
    kings = {side: listed(view, side=side, query="THE KING ")["found"] for side in ("train", "val", "all")}
    assert kings["train"] + kings["val"] == kings["all"] == 30
    row = listed(view, query="king")["rows"][1]
    assert row["row"] == 3 and row["pieces"][1::2] == ["King"] and "".join(row["pieces"]) == TEXTS[3]


def test_a_search_goes_on_at_each_question(view, monkeypatch):
    monkeypatch.setattr(data_view, "SECONDS_A_QUESTION", 0.0)
    monkeypatch.setattr("gptlab.data.search.BLOCK_BYTES", 500)
    told = [view.documents({"data": "texts", "query": "sky"})]
    while not told[-1]["done"]:
        told.append(view.documents({"data": "texts", "query": "sky"}))
    found = [answer["found"] for answer in told]
    assert len(told) > 5 and found == sorted(found) and found[0] < 20 and found[-1] == 90
    assert [answer["percent"] for answer in told][-1] == 100 and all(answer["rows"] for answer in told)


def test_searches_of_many_people_all_come_to_their_end(view, monkeypatch):
    monkeypatch.setattr(data_view, "SECONDS_A_QUESTION", 0.0)
    monkeypatch.setattr("gptlab.data.search.BLOCK_BYTES", 2000)
    people = [f"text {i}" for i in range(2 * data_view.KEPT_SEARCHES)]
    rounds = 0
    while people:  # each asks on as long as it is not done, in turn
        people = [query for query in people if not view.documents({"data": "texts", "query": query})["done"]]
        rounds += 1
        assert rounds < 10
    assert rounds > 2


def test_what_nobody_asks_about_any_more_is_let_go_and_what_is_kept_has_an_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gptlab.ui.data_view.time.monotonic", lambda: now[0])
    kept, made = data_view.Kept(2), []
    for key in (*range(200), 199, 150):
        kept.get(key, lambda: made.append(key) or key)
    assert len(kept) == data_view.MOST_KEPT and made == list(range(200))
    now[0] = data_view.IN_USE_SECONDS
    assert (kept.get(150, str), kept.get(199, str)) == (150, 199) and len(kept) == 2


def test_parts_that_the_split_made_are_not_called_documents(view, workspace):
    assert listed(view)["units"] == "documents" and listed(view, data="long")["units"] == "parts"


def test_a_random_one_is_another_and_of_those_listed(view):
    kings = {i for i in range(90) if i % 3 == 0}
    drawn = {view.document({"data": "texts", "row": None, "query": "king"})["row"] for _ in range(60)}
    assert drawn <= kings and len(drawn) > 5
    one = {"data": "texts", "row": None, "query": "Text 33."}
    assert view.document({**one, "but": 33})["row"] == 33 and not view.document(one)["others"]
    two = {"data": "texts", "row": None, "query": "Text 3", "but": 3}
    assert 3 not in {view.document(two)["row"] for _ in range(40)}
    assert view.document({"data": "texts", "row": None, "query": "zebra"}) == {"problem": words_view.NONE_LISTED}


@pytest.mark.parametrize("row", [-1, 90, 10**30, "1", 1.0, True, [1]])
def test_what_is_no_document(view, row):
    assert view.document({"data": "texts", "row": row}) == {"problem": words_view.NO_SUCH_DOCUMENT}


def test_a_long_one_is_read_in_parts_and_opened_where_the_words_are(view):
    rows = listed(view, data="long")["rows"]
    assert [row["side"] for row in rows] == ["train", "val"]
    texts = []
    for row in rows:
        parts = view.document({"data": "long", "row": row["row"], "part": 0})["parts"]
        told = [view.document({"data": "long", "row": row["row"], "part": part}) for part in range(parts)]
        texts.append("".join("".join(one["pieces"]) for one in told))
        assert len(texts[-1]) == row["characters"] and (parts > 1 or row["side"] == "val")
    assert "".join(texts).endswith("the very end\n") and "\N{REPLACEMENT CHARACTER}" not in "".join(texts)
    assert listed(view, data="long", query="very END")["rows"][0]["row"] == 1
    opened = view.document({"data": "long", "row": 1, "query": "very END"})
    assert opened["part"] == opened["parts"] - 1 and opened["pieces"][1] == "very end"
    assert view.document({"data": "long", "row": 1, "query": "very END", "part": 0})["part"] == 0


def test_shares_in_words():
    said = [words_view.percent(share) for share in (1.0, 0.99999, 0.974, 0.0212, 0.0037, 3e-6, 1e-9)]
    assert said == ["100 %", "99.9 %", "97 %", "2.1 %", "0.4 %", "0.0003 %", "< 0.0001 %"]
