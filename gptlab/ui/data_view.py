"""Look at the data: the figures of the data set in use and its documents, at the end of the Data tab.

The page's questions only read. They come from anybody's browser: a data set is named by one of the workspace's names, and how
much is read for an answer is bounded. Numbers are counted in a process of its own; a search goes on a little at each question.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from gptlab.data.documents import open_kept
from gptlab.data.errors import DataError
from gptlab.data.search import Query, Search
from gptlab.runs.counting import Counts
from gptlab.ui import words_view as words
from gptlab.ui.lab import QUIET, Lab, Page, draft_dataset, guarded
from gptlab.ui.look import plotly_script

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "data_figures.js", "data_documents.js", "data_view.js")  # in this order, as one function
SIDES = ("train", "val")
PAGE_DOCUMENTS = 20
PART_BYTES = 60_000           # of a document, shown at a time
EXCERPT_CHARACTERS, BEFORE_CHARACTERS = 220, 60
MOST_BYTES = 4                # of a character
LONGEST_QUERY = 200           # characters
SECONDS_A_QUESTION = 0.15     # that a search goes on
KEPT_DATA, KEPT_SEARCHES = 8, 16  # that nobody asks about any more, in which one may look again
MOST_KEPT = 64                # in use
IN_USE_SECONDS = 10           # from the last question on: a page asks on, several times a second, until all is searched


def build(lab: Lab, page: Page) -> None:
    """The view, closed; it is about the data set of the page's draft."""
    view = DataView(lab)

    def figures(question):  # plain functions, because gradio marks the ones a page may call
        return view.figures(question)

    def documents(question):
        return view.documents(question)

    def document(question):
        return view.document(question)

    component = gr.HTML(
        elem_id="data-view", html_template=(HERE / "data_view.html").read_text(encoding="utf-8"), apply_default_css=False,
        head=plotly_script(), words=words.VIEW, server_functions=[figures, documents, document],
        js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS))

    @guarded
    def used(draft):
        return {"data": draft_dataset(lab, draft)}

    page.draft.change(used, page.draft, component, trigger_mode="multiple", **QUIET)
    page.demo.load(used, page.draft, component, **QUIET)


class Kept:
    """What was made last, by a key: the oldest goes first, but what is in use only where there are more than MOST_KEPT."""

    def __init__(self, most_idle: int):
        self._most_idle = most_idle
        self._kept: dict[Hashable, tuple[float, Any]] = {}  # when it was asked for (s), and itself; the latest last

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept under a key, else what `make` gives."""
        _, found = self._kept.pop(key, None) or (0.0, make())
        now = time.monotonic()
        self._kept[key] = now, found
        while len(self._kept) > self._most_idle:
            oldest = next(iter(self._kept))
            if len(self._kept) <= MOST_KEPT and now - self._kept[oldest][0] < IN_USE_SECONDS:
                break
            del self._kept[oldest]
        return found


class Opened:
    """The documents of one data set, opened, and what was searched for in them. One reader at a time: `lock`."""

    def __init__(self, directory: Path):
        self.documents, self.held_out = open_kept(directory)
        self.lock = threading.Lock()
        self.searches = Kept(KEPT_SEARCHES)  # by what is looked for

    def search(self, text: str) -> Search | None:
        """For a text, a little further than it was; None for an empty one."""
        try:
            query = Query(text)
        except ValueError:
            return None
        search = self.searches.get(text, lambda: Search(self.documents, query))
        search.advance(SECONDS_A_QUESTION)
        return search

    def listed(self, search: Search | None, side: str | None) -> np.ndarray:
        """Numbers of the documents that were found (all, without a search) and are on that side (None: any)."""
        rows = np.arange(len(self.documents)) if search is None else search.rows
        return rows if side is None else rows[self.held_out[rows] == (side == "val")]

    def place(self, search: Search | None, row: int) -> int | None:
        """The byte of the file where a document first has what is looked for, if it was found."""
        if search is None:
            return None
        rows = search.rows
        at = int(np.searchsorted(rows, row))
        return int(search.places[at]) if at < len(rows) and rows[at] == row else None

    def read(self, start: int, end: int) -> str:
        """Some of the file, without what is torn at either end."""
        self.documents.file.seek(start)
        return self.documents.file.read(max(0, end - start)).decode("utf-8", "ignore")

    def about(self, row: int) -> dict:
        """Number, side and length of a document."""
        return {"row": row, "side": SIDES[int(self.held_out[row])], "characters": int(self.documents.lengths[row])}

    def excerpt(self, search: Search | None, row: int) -> list[str]:
        """How a document begins, or what stands around what was found, in pieces as `Query.marked` has them."""
        start, end = (int(at) for at in self.documents.table[row, :2])
        place = self.place(search, row)
        before = self.read(max(start, (place or start) - MOST_BYTES * BEFORE_CHARACTERS), place or start)
        after = self.read(place or start, min(end, (place or start) + MOST_BYTES * EXCERPT_CHARACTERS))
        cut = "…" if len(before) > BEFORE_CHARACTERS else ""
        text = cut + before[-BEFORE_CHARACTERS:] + after[:EXCERPT_CHARACTERS]
        return search.query.marked(text) if search else [text]


class DataView:
    """Answers the page's questions. Each has `data`, the name of a data set; an answer may be a `problem`, in a sentence."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._counts = Counts()
        self._opened = Kept(KEPT_DATA)
        self._lock = threading.Lock()

    def figures(self, question: Any) -> dict:
        """`percent` counted so far; or `figures` (see gptlab.data.figures.count), their `captions`, `told` (all shares, in
        words), and `plain`: which of them a sentence says as well."""
        try:
            name = self._name(_asked(question))
            count, manifest = self._counts.of(self.lab.workspace.dataset_path(name)), self.lab.preparations.manifest(name)
        except (DataError, OSError) as problem:
            return {"problem": str(problem)}
        if count.problem:
            return {"problem": count.problem}
        if count.figures is None:
            return {"percent": int(100 * count.share_done)}
        found = count.figures
        empty = {"zipf": not found["tokens"]["ranks"], "lengths": words.few_documents(found["lengths"]),
                 "change": words.all_one(found["change"]), "scripts": not found["scripts"]}
        captions = words.captions(found, manifest["tokenizer"], manifest["split"])
        return {"figures": found, "captions": captions, "plain": [name for name, is_so in empty.items() if is_so],
                "told": {name: words.shares(found[name], words.VIEW["kinds"]) for name in ("scripts", "kinds")}}

    def documents(self, question: Any) -> dict:
        """A page of the documents that have `query` in them and are on a `side` (train, val; else both): `rows`, each with its
        excerpt in `pieces`; how many were found so far, of how many; how far the search is, and whether it is `done`. `units`:
        what they are, "documents" or "parts" that the split made of them."""
        asked = _asked(question)
        try:
            kept, split = self._open(asked), self.lab.preparations.manifest(asked["data"])["split"]
        except DataError as problem:
            return {"problem": str(problem)}
        with kept.lock:
            search = kept.search(_text(asked))
            listed = kept.listed(search, _side(asked))
            pages = -(-len(listed) // PAGE_DOCUMENTS)
            page = min(_whole(asked.get("page")), max(0, pages - 1))
            rows = listed[page * PAGE_DOCUMENTS:(page + 1) * PAGE_DOCUMENTS].tolist()
            told = [{**kept.about(row), "pieces": kept.excerpt(search, row)} for row in rows]
            share = search.share if search else 1.0
            return {"rows": told, "page": page, "pages": pages, "first": page * PAGE_DOCUMENTS, "found": len(listed),
                    "all": len(kept.documents), "percent": int(100 * share), "done": search is None or search.done,
                    "units": "parts" if split in words.CUT else "documents"}

    def document(self, question: Any) -> dict:
        """One of them, a `part` at a time: that with what is looked for, unless one is asked for. Without a `row`, any of those
        that are listed, but not the one in `but` where there are `others`."""
        asked = _asked(question)
        try:
            kept = self._open(asked)
            with kept.lock:
                search = kept.search(_text(asked))
                listed = kept.listed(search, _side(asked))
                if asked.get("row") is None and not len(listed):
                    return {"problem": words.NONE_LISTED}
                row = _any_of(listed, asked.get("but")) if asked.get("row") is None else asked["row"]
                if type(row) is not int or not 0 <= row < len(kept.documents):
                    return {"problem": words.NO_SUCH_DOCUMENT}
                start, end = (int(at) for at in kept.documents.table[row, :2])
                parts = max(1, -(-(end - start) // PART_BYTES))
                found = ((kept.place(search, row) or start) - start) // PART_BYTES
                part = min(parts - 1, found if asked.get("part") is None else _whole(asked["part"]))
                text = kept.read(self._whole_character(kept, start + part * PART_BYTES),
                                 self._whole_character(kept, min(end, start + (part + 1) * PART_BYTES)))
                return {**kept.about(row), "all": len(kept.documents), "others": len(listed) > 1, "part": part, "parts": parts,
                        "pieces": search.query.marked(text) if search else [text]}
        except DataError as problem:
            return {"problem": str(problem)}

    @staticmethod
    def _whole_character(kept: Opened, at: int) -> int:
        """The same byte, or the next that begins a character."""
        kept.documents.file.seek(at)
        following = kept.documents.file.read(MOST_BYTES)
        return at + next((i for i, byte in enumerate(following) if byte & 0xC0 != 0x80), 0)

    def _name(self, asked: dict) -> str:
        """The data set that is asked about. Raises DataError."""
        if asked.get("data") not in self.lab.workspace.dataset_names():
            raise DataError(words.NOTHING_TO_LOOK_AT)
        return asked["data"]

    def _open(self, asked: dict) -> Opened:
        """Its documents. Raises DataError where it has none."""
        directory = self.lab.workspace.dataset_path(self._name(asked))
        try:
            key = str(directory), (directory / "manifest.json").stat().st_mtime_ns
            with self._lock:  # its file is closed once it is not kept and nobody reads it
                return self._opened.get(key, lambda: Opened(directory))
        except OSError:
            raise DataError(words.NOT_KEPT) from None


def _any_of(rows: np.ndarray, but: Any) -> int:
    """One of them by chance, from a source that training doesn't draw from."""
    others = rows[rows != but] if type(but) is int else rows
    rows = others if len(others) else rows
    return int(rows[secrets.randbelow(len(rows))])


def _asked(question: Any) -> dict:
    asked = question if isinstance(question, dict) else {}
    return {**asked, "data": asked["data"] if isinstance(asked.get("data"), str) else None}


def _text(asked: dict) -> str:
    return asked["query"][:LONGEST_QUERY] if isinstance(asked.get("query"), str) else ""


def _side(asked: dict) -> str | None:
    return asked["side"] if asked.get("side") in SIDES else None


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0
