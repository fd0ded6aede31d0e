"""The texts to download, as a list on the Data tab, and what is fetched of them. Asks nobody before a person does.

The list asks every second, while it is seen, how far a download is: so every page sees it, one that was reloaded too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from gptlab.data import catalog
from gptlab.data.errors import DataError
from gptlab.runs.downloading import CANCELLED, Downloads, downloaded
from gptlab.runs.workspace import Workspace
from gptlab.ui import words, words_data

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "catalogue.js")  # in this order, as one function


class Catalogue:
    """What can be downloaded into a workspace, what was, and what is on its way."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.downloads = Downloads(workspace)

    def component(self) -> gr.HTML:
        """The list. Its value is `shown`'s; its events are "choose_entry" and "fetch_entry" (of `name`), "cancel_fetch", and
        "moved": the download of the chosen text began or ended since it was chosen."""
        def now(question):  # a plain function, because gradio marks the ones a page may call
            return self.now()

        entries, problem = {}, ""
        try:
            entries = catalog.entries()
        except DataError as error:
            problem = str(error)
        return gr.HTML(
            elem_id="catalogue", html_template=(HERE / "catalogue.html").read_text(encoding="utf-8"), apply_default_css=False,
            js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), server_functions=[now],
            value=self.shown(False, None), words=words_data.CATALOGUE, problem=problem,
            entries=[_told(entry) for entry in entries.values()])

    def shown(self, visible: bool, chosen: str | None) -> dict:
        """What the list shows: whether it is there, which text is chosen in it, and whether that is "here" or "going"."""
        going = self.downloads.busy and self.downloads.current.entry.name == chosen
        state = "here" if chosen and self.files(chosen) else "going" if going else ""
        return {"visible": visible, "chosen": chosen or "", "state": state}

    def now(self) -> dict:
        """Names of the texts that are `here`, and `current`: the download that is on its way, or how the last one ended."""
        try:
            here = [entry.name for entry in catalog.entries().values() if downloaded(self.workspace, entry)]
        except DataError:
            here = []  # which the list has said when it was built
        current, told = self.downloads.current, None
        if current is not None:
            arriving = current.arriving
            told = {"name": current.entry.name, "finished": current.finished, "problem": current.problem,
                    "cancelled": current.problem == CANCELLED, "done": 0, "percent": 0, "total": current.entry.size}
            if arriving is not None:
                left = arriving.seconds_left
                told |= {"done": catalog.in_words(arriving.done_bytes), "total": catalog.in_words(arriving.total_bytes),
                         "percent": round(100 * arriving.done_bytes / max(1, arriving.total_bytes)),
                         "rate": catalog.in_words(arriving.bytes_per_second) if arriving.bytes_per_second else "",
                         "left": words.duration(left) if left is not None else ""}
        return {"here": here, "current": told}

    def names(self) -> list[str]:
        """Of the texts that there are; none where the catalogue cannot be read."""
        try:
            return list(catalog.entries())
        except DataError:
            return []

    def entry(self, name: Any) -> catalog.Entry:
        """The text of that name. Raises ValueError."""
        found = catalog.entries()
        if not isinstance(name, str) or name not in found:
            raise ValueError(words_data.GONE_ENTRY.format(name) if name else words_data.NO_ENTRY)
        return found[name]

    def files(self, name: str) -> list[Path]:
        """The files of a text, none while it is not downloaded as a whole."""
        try:
            return downloaded(self.workspace, self.entry(name))
        except ValueError:
            return []

    def missing(self, name: str) -> str:
        """Why a text cannot be looked at, in a sentence that says what to do. Raises ValueError."""
        entry, current = self.entry(name), self.downloads.current
        if self.downloads.busy and current.entry.name == name:
            return words_data.ARRIVING.format(title=entry.title)
        return words_data.NOT_THERE.format(title=entry.title, size=entry.size, host=_host(entry))


def _told(entry: catalog.Entry) -> dict:
    """An entry as the list shows it; its texts are shown as text, and its home was checked to be a web page."""
    return {"name": entry.name, "title": entry.title, "description": entry.description, "size": entry.size,
            "language": entry.language, "licence": entry.licence, "home": entry.home,
            "host": urlsplit(entry.home).hostname.removeprefix("www.")}


def _host(entry: catalog.Entry) -> str:
    return urlsplit(entry.files[0].address).hostname or "this machine"
