"""The Runs tab: every run, what became of it, and what can be done with it: open, resume, download, delete, restore."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.runs import archive
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.ui import words
from gptlab.ui.lab import QUIET, SPEAKS, Lab, Page, guarded
from gptlab.ui.which_run import run_by_id, status_here

HERE = Path(__file__).parent
RESUMABLE = ("stopped", "failed", "interrupted")
OPEN = "run => window.gptlab.open(run)"
SAVE = "() => document.querySelector('#zip-file a, #zip-file')?.click()"


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    table = gr.HTML(elem_id="runs", html_template=(HERE / "runs.html").read_text(encoding="utf-8"), words=words.RUNS,
                    js_on_load=(HERE / "runs.js").read_text(encoding="utf-8"), apply_default_css=False)
    with gr.Row(elem_classes="tight"):
        upload = gr.UploadButton(words.IMPORT_RUN, file_types=[".zip"], elem_id="import-run", size="md", scale=0, min_width=330)
        zipped = gr.DownloadButton(elem_id="zip-file", visible="hidden")
    message = gr.HTML(elem_id="runs-message")

    @guarded
    def refresh():
        return listing(lab)

    @guarded
    def on_open(event: gr.EventData):
        return run_by_id(lab, event.run).id, gr.Tabs(selected="train")

    @guarded
    def on_resume(event: gr.EventData):
        run = run_by_id(lab, event.run)
        lab.jobs.resume(run)
        return run.id, gr.Tabs(selected="train")

    @guarded
    def on_download(event: gr.EventData):
        run = run_by_id(lab, event.run)
        yield gr.skip(), said(words.ZIPPING.format(name=run.name))
        path = zip_for_download(run)
        yield gr.DownloadButton(value=str(path)), said(words.zipped(run.name, path.stat().st_size))

    @guarded
    def on_delete(event: gr.EventData):
        run = run_by_id(lab, event.run)
        if run in lab.jobs.queue:
            lab.jobs.stop(run)
        archive.move_to_trash(lab.workspace, run)
        return listing(lab), said(words.DELETED.format(name=run.name))

    @guarded
    def on_restore(event: gr.EventData):
        run = archive.restore_from_trash(lab.workspace, str(event.run))
        return listing(lab), said(words.RESTORED.format(name=run.name))

    @guarded
    def on_import(path):
        run = archive.import_zip(lab.workspace, Path(path))
        return listing(lab), said(words.IMPORTED.format(name=run.name))

    gr.on([page.demo.load, page.tabs.select, page.shown.change], refresh, None, table, trigger_mode="multiple", **QUIET)
    for trigger, handler in ((table.run_open, on_open), (table.run_resume, on_resume)):
        trigger(handler, None, [page.shown, page.tabs], **SPEAKS).success(None, page.shown, None, js=OPEN)
    table.run_download(on_download, None, [zipped, message], **SPEAKS).success(None, None, None, js=SAVE)
    table.run_delete(on_delete, None, [table, message], **SPEAKS)
    table.run_restore(on_restore, None, [table, message], **SPEAKS)
    upload.upload(on_import, upload, [table, message], **SPEAKS)


def listing(lab: Lab) -> dict:
    """What the table shows: `runs`, newest first, and `trash`."""
    return {"runs": [row(lab, run) for run in lab.workspace.list_runs()],
            "trash": [{"run": run.id, "name": run.name, "made": made(run)} for run in archive.list_trash(lab.workspace)]}


def row(lab: Lab, run: RunDir) -> dict:
    """One run for the table; a damaged one says what is wrong."""
    status = status_here(lab, run)
    state = status["state"]
    try:
        dataset = run.manifest()["name"]
    except RunError:
        dataset = "–"
    return {"run": run.id, "name": run.name, "made": made(run), "state": state, "data": dataset,
            "best": status["best_val_loss"], "step": status["step"], "total_steps": status["total_steps"],
            "seconds": status["time_seconds"], "reason": status["reason"] if state in ("failed", "damaged") else "",
            "resumable": state in RESUMABLE, "alive": state in ("running", "paused")}


def made(run: RunDir) -> str:
    """When a run was made, from its id: "2026-11-21 02:03"."""
    date, _, rest = run.id.partition("-")
    if len(date) != 8 or not (date + rest[:6]).isdigit():
        return ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {rest[:2]}:{rest[2:4]}"


def zip_for_download(run: RunDir) -> Path:
    """A run as one zip where Gradio may serve it from (and clears it away after a day)."""
    folder = Path(tempfile.mkdtemp(prefix="zip-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    return archive.zip_run(run, folder / f"{run.id}.zip")


def said(text: str) -> str:
    """A line of news, as HTML; names of runs are letters, digits, - and _ only."""
    return f'<p class="message" role="status" aria-live="polite">{text}</p>'
