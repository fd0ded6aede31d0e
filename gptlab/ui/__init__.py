"""The page: `build()` reads as its table of contents. The only package that imports gradio."""

from __future__ import annotations

import gradio as gr

from gptlab.ui import data_tab, model_tab, page, people, playground_tab, runs_tab, train_tab, words
from gptlab.ui import evaluate_view, export_view, run_card, twin
from gptlab.ui.lab import NEW_DRAFT, Lab, Page, kept_by_browser

TABS = {"data": data_tab, "model": model_tab, "train": train_tab, "playground": playground_tab, "runs": runs_tab}


def build(lab: Lab) -> gr.Blocks:
    """The whole page for one workspace."""
    with gr.Blocks(title=words.TITLE, analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True) as demo:
        this = Page(demo=demo, draft=kept_by_browser("draft", NEW_DRAFT), shown=kept_by_browser("shown", None),
                    elsewhere=gr.Textbox(visible="hidden", elem_id="changed-elsewhere"), who=kept_by_browser("who", ""),
                    tick=gr.Timer(0.5, active=False))
        header = page.header()
        with gr.Tabs(selected=page.OPENS_ON, elem_id="tabs") as this.tabs:
            for name, tab in TABS.items():
                with gr.Tab(words.TABS[name], id=name, elem_id=f"{name}-tab"):
                    tab.build(lab, this)
        run_card.build(lab)
        twin.build(lab, this)
        export_view.build(lab)
        evaluate_view.build(lab)
        page.connect(lab, this, header)
        people.connect(this)
    return demo
