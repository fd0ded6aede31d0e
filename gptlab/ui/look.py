"""The look of the page: one calm theme, light and dark, readable from the back of a room. Loads nothing from the internet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import plotly
from gradio.themes.utils import colors, sizes

CSS = [Path(__file__).parent / name for name in ("page.css", "live.css", "runs.css", "run_card.css", "tokenizer_bench.css",
                                                 "data_view.css", "catalogue.css", "rate_finder.css", "biggest.css", "architecture.css",
                                                 "live_experts.css", "playground.css")]
# Gradio 6.31's first spinner goes on counting time at every frame after it is gone: 7 % of a core in every open page, which
# the training on the same processor misses. Once a second is enough for it; nothing else is touched.
CALM = r"""<script>{
const frame = window.requestAnimationFrame;
const counts = callback => /performance\.now\(\)-[^;]{1,20}\/1e3/.test(callback);
window.requestAnimationFrame = callback => counts(callback) ? setTimeout(callback, 1000) : frame(callback);
}</script>"""
# Gradio confines page.css to what lies inside its frame; this is for the frame itself.
FRAME = CALM + """<meta name="color-scheme" content="light dark"><style>
.gradio-container > .main.app { max-width: 1480px; margin: 0 auto; padding: 16px 32px; }
.gradio-container { overflow: clip !important; }  /* hidden, as Gradio has it, nothing in it could stick to the window */
:root { color-scheme: light; }
:root:has(body.dark) { color-scheme: dark; }
body.watching .gradio-container > .main.app { max-width: none !important; }
.toast-wrap.toast-wrap { top: auto; bottom: 20px; }
@media (max-width: 760px) { .gradio-container > .main.app { padding: 10px 12px; } }
</style>"""
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def plotly_script() -> str:
    """The head of a component that draws with window.Plotly: from the installed package, loaded once for all of them."""
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    gr.set_static_paths([script])
    return f'<script src="/gradio_api/file={script.as_posix()}"></script>'


def theme() -> gr.themes.Base:
    """Indigo on slate, on top of Gradio's base theme."""
    return gr.themes.Base(primary_hue=colors.indigo, secondary_hue=colors.indigo, neutral_hue=colors.slate,
                          text_size=sizes.text_lg, spacing_size=sizes.spacing_md, radius_size=sizes.radius_md,
                          font=SANS, font_mono=MONO).set(
        body_background_fill="*neutral_50", body_background_fill_dark="#0b1120",
        background_fill_primary="white", background_fill_primary_dark="#141c2e",
        background_fill_secondary="*neutral_100", background_fill_secondary_dark="#1b2438",
        body_text_color="#0f172a", body_text_color_dark="#f1f5f9",
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="#a9b6cb",
        border_color_primary="*neutral_200", border_color_primary_dark="#2a3650",
        block_background_fill="white", block_background_fill_dark="#141c2e",
        block_border_width="1px", block_border_color="*neutral_200", block_border_color_dark="#2a3650",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_label_border_width="0px", block_label_text_weight="600",
        block_label_text_color="*neutral_700", block_label_text_color_dark="#cbd5e1",
        block_title_text_weight="600", block_title_text_color="#0f172a", block_title_text_color_dark="#f1f5f9",
        block_info_text_color="*neutral_600", block_info_text_color_dark="#a9b6cb", block_shadow="none",
        input_background_fill="white", input_background_fill_dark="#0f1729",
        input_border_width="1px", input_border_color="*neutral_300", input_border_color_dark="#3a4865",
        input_border_color_focus="*primary_500", input_border_color_focus_dark="*primary_400",
        checkbox_label_background_fill="white", checkbox_label_background_fill_dark="#0f1729",
        checkbox_label_border_width="1px", checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="#3a4865",
        checkbox_label_background_fill_selected="*primary_50", checkbox_label_background_fill_selected_dark="#262f5c",
        checkbox_label_border_color_selected="*primary_600", checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_label_text_color_selected="*primary_800", checkbox_label_text_color_selected_dark="#e0e7ff",
        checkbox_background_color_selected="*primary_600", checkbox_background_color_selected_dark="*primary_500",
        slider_color="*primary_600", slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600", button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white", button_primary_text_color_dark="white",
        button_primary_border_color="transparent",
        button_secondary_background_fill="white", button_secondary_background_fill_dark="#1b2438",
        button_secondary_border_color="*neutral_300", button_secondary_border_color_dark="#3a4865",
        button_secondary_background_fill_hover="*neutral_100", button_secondary_background_fill_hover_dark="#26314a",
        button_secondary_text_color="#0f172a", button_secondary_text_color_dark="#f1f5f9",
        button_large_text_weight="600", button_border_width="1px")
