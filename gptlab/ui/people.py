"""Who sits at a page, and whose run is about to be stopped or deleted: what several people need who share one app.

The name is asked for once, where the app listens beyond this machine, and kept by the browser. It protects from mistakes,
not from anybody: whoever may use the app may do everything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.runs.label import OWNER_CHARACTERS, Label
from gptlab.runs.rundir import RunDir
from gptlab.ui import words
from gptlab.ui.lab import Lab, Page

TELL = "who => { window.gptlab.who = who || window.gptlab.who; }"


def head(lab: Lab) -> str:
    """The script that the page's other scripts ask (page.js)."""
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
    told = json.dumps({**words.PEOPLE, "who_length": OWNER_CHARACTERS}).replace("</", "<\\/")
    return f"<script>{{\nconst SHARED = {json.dumps(lab.shared)}, WORDS = {told};\n{script}}}</script>"


def connect(page: Page) -> None:
    """Tells the page's scripts who sits there, whenever that is known."""
    gr.on([page.demo.load, page.who.change], None, page.who, None, js=TELL, show_progress="hidden")


def person(who: Any) -> str:
    """A name as a page sends it; "" for what is none. Raises RunError for one that is too long."""
    return Label().replace(owner=who).owner if isinstance(who, str) else ""


def check_may(run: RunDir, who: Any, sure: Any) -> None:
    """Raises ValueError where a run is somebody else's and nobody was asked about this very one: `sure` is the id of the run
    that was asked about, for a page may show another by the time of the answer."""
    owner = run.label().owner
    if owner and owner != who and sure != run.id:
        raise ValueError(words.NOT_YOURS.format(owner=owner, name=run.name))
