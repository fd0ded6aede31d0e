"""The Runs tab: every run, what became of it, and what can be done with it: open, resume, name, compare, hand out, archive,
delete, restore. Sorting and searching is the browser's (runs_choice.js), over the list it has.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.exchange import bundle
from gptlab.runs import archive
from gptlab.runs.compare import FEWEST, MOST
from gptlab.runs.rundir import RunDir
from gptlab.ui import compare_view, run_files, words_export, words_runs
from gptlab.ui.lab import EACH, SPEAKS, Lab, Page, guarded, now, say
from gptlab.ui.live import OPEN
from gptlab.ui.next_run import again
from gptlab.ui.people import check_may
from gptlab.ui.remedies import go_on
from gptlab.ui.run_files import said
from gptlab.ui.runs_list import RunsList
from gptlab.ui.which_run import run_by_id

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "runs_choice.js", "runs_row.js", "runs.js")  # in this order, as one function


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do. The table asks for its list itself, while it is seen (runs.js)."""
    runs, comparisons = RunsList(lab), compare_view.Comparisons(lab)

    def news(mark):  # a plain function, because gradio marks the ones a page may call
        return runs.news_since(mark)

    table = gr.HTML(elem_id="runs", html_template=(HERE / "runs.html").read_text(encoding="utf-8"),
                    words={**words_runs.RUNS, "fewest": FEWEST, "most": MOST, "dialogs": words_export.DIALOGS},
                    apply_default_css=False, server_functions=[news],
                    js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS))
    with gr.Row(elem_classes="tight"):
        upload = gr.UploadButton(words_runs.IMPORT_RUN, file_types=[".zip"], elem_id="import-run", size="md", scale=0,
                                 min_width=330)
        file = gr.DownloadButton(elem_id="zip-file", visible="hidden")
    message = gr.HTML(elem_id="runs-message")
    comparison = compare_view.component(comparisons)
    _connect_opening(lab, page, table)
    _connect_changes(runs, page, table, message)
    _connect_trash(runs, page, table, message)
    _connect_import(runs, page, table, upload, message)
    run_files.connect(lab, table.run_file, lambda event: (event.kind, [run_by_id(lab, event.run)]), file, message)
    compare_view.connect(comparisons, table, comparison, file, message)


def _connect_opening(lab: Lab, page: Page, table: gr.HTML) -> None:
    """Open and Resume: the run on view is another, and the Train tab shows it."""
    @guarded
    def on_open(event: gr.EventData):
        return run_by_id(lab, event.run).id, gr.Tabs(selected="train")

    @guarded
    def on_resume(event: gr.EventData):
        run = run_by_id(lab, event.run)
        if note := go_on(lab, run):
            say(note, 6)
        return run.id, gr.Tabs(selected="train")

    @guarded
    def on_again(draft, event: gr.EventData):
        run = run_by_id(lab, event.run)
        drafted = again(lab, draft, run)
        say(words_runs.AGAIN.format(name=run.name), 8)
        return drafted, now(), gr.Tabs(selected="model")

    for trigger, handler in ((table.run_open, on_open), (table.run_resume, on_resume)):
        trigger(handler, None, [page.shown, page.tabs], **SPEAKS).success(None, page.shown, None, js=OPEN)
    table.run_again(on_again, page.draft, [page.draft, page.elsewhere, page.tabs], **EACH)


def _connect_changes(runs: RunsList, page: Page, table: gr.HTML, message: gr.HTML) -> None:
    """Delete, and into the archive or out of it: the list is another."""
    @guarded
    def on_delete(who, event: gr.EventData):
        run = run_by_id(runs.lab, event.run)
        check_may(run, who, event.sure)
        if run in runs.lab.jobs.queue:
            runs.lab.jobs.stop(run)
        archive.move_to_trash(runs.lab.workspace, run)
        return runs.listing(), said(words_runs.DELETED.format(name=run.name))

    @guarded
    def on_archive(event: gr.EventData):
        told = put_away(runs.lab, run_by_id(runs.lab, event.run), event.archived is True)
        return runs.listing(), said(told)

    table.run_delete(on_delete, page.who, [table, message], **EACH)
    table.run_archive(on_archive, None, [table, message], **EACH)


def _connect_trash(runs: RunsList, page: Page, table: gr.HTML, message: gr.HTML) -> None:
    """Out of the trash: back, or gone for good."""
    @guarded
    def on_restore(event: gr.EventData):
        run = archive.restore_from_trash(runs.lab.workspace, str(event.run))
        return runs.listing(), said(words_runs.RESTORED.format(name=run.name))

    @guarded
    def on_erase(who, event: gr.EventData):
        told = erase(runs.lab, str(event.run), who, event.sure)
        return runs.listing(), said(told)

    table.run_restore(on_restore, None, [table, message], **EACH)
    table.run_erase(on_erase, page.who, [table, message], **EACH)


def _connect_import(runs: RunsList, page: Page, table: gr.HTML, upload: gr.UploadButton, message: gr.HTML) -> None:
    """Adding a downloaded run or bundle."""
    @guarded
    def on_import(path):
        yield from adding(runs, Path(path))

    upload.upload(on_import, upload, [table, message, page.tick], **SPEAKS)  # a tick: the Data tab lists data sets


def put_away(lab: Lab, run: RunDir, archived: bool) -> str:
    """Puts a run into the archive or takes it out; says so. Raises ValueError for one that trains or is about to."""
    if archived and (run in lab.jobs.queue or run.is_alive()):
        raise ValueError(words_runs.NOT_TO_ARCHIVE.format(name=run.name))
    run.relabel(archived=archived)
    return (words_runs.ARCHIVED if archived else words_runs.UNARCHIVED).format(name=run.name)


def erase(lab: Lab, run_id: str, who: Any, sure: Any) -> str:
    """Deletes what lies in the trash for good; says so. Raises ValueError where it is somebody else's and nobody was asked."""
    run = next((one for one in archive.list_trash(lab.workspace) if one.id == run_id), None)
    name = "" if run is None else run.name  # which nobody can read any more afterwards
    if run is not None:
        check_may(run, who, sure)
    archive.delete_from_trash(lab.workspace, run_id)
    return words_runs.ERASED.format(name=name)


def adding(runs: RunsList, path: Path) -> Iterator[tuple]:
    """What the table, the message and the page's timer become: while a zip is added, and when what is in it is there."""
    yield gr.skip(), said(words_runs.ADDING.format(file=path.name)), gr.skip()
    try:
        told = add(runs.lab, path)
    except Exception:
        yield gr.skip(), "", gr.skip()
        raise
    yield runs.listing(), said(told), gr.Timer(active=True)


def add(lab: Lab, path: Path) -> str:
    """Takes in a run, or a bundle with its data set; a sentence that says what was added. Raises RunError."""
    if not _holds_data(path):
        return words_runs.IMPORTED.format(name=bundle.open_run_zip(lab.workspace, path).name)
    opened = bundle.open_bundle(lab.workspace, path)
    told = words_runs.IMPORTED_SHARED if opened.shared else words_runs.IMPORTED_BUNDLE
    return told.format(name=opened.run.name, dataset=opened.dataset)


def _holds_data(path: Path) -> bool:
    """Whether a zip wants to be a bundle. One that cannot be read is none: who opens it says so."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.startswith("datasets/") for name in file.namelist())
    except (*bundle.DAMAGED, OSError):
        return False
