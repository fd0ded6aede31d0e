"""The pieces a report is made of: one HTML file with its policy and scripts, figures, tables, and values as words.

The file holds no address of anything, and its Content-Security-Policy forbids to load or send anything; of scripts it
allows the two that are in it, by their hash. Every piece escapes the text it is given, but `section`, `legend` and the
rows of `table`, which are given HTML. Knows no runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gptlab import plots

HERE = Path(__file__).parent


# --- pieces of HTML ---

def document(title: str, body: str) -> str:
    """The whole file around `body`."""
    scripts = [plots.plotly_js(), (HERE / "report.js").read_text(encoding="utf-8")]
    allowed = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode()}'"
                       for script in scripts)
    policy = (f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
              "base-uri 'none'; form-action 'none'")
    inline = "".join(f"<script>{script}</script>\n" for script in scripts)
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{escaped(title)} · GPT Lab</title>\n'
            f"<style>\n{_colours()}{(HERE / 'report.css').read_text(encoding='utf-8')}</style>\n</head>\n<body>\n{body}\n"
            f"{inline}</body>\n</html>\n")


def _colours() -> str:
    """The colours of the figures, for the text around them."""
    def of(look: plots.Look, **more: str) -> str:
        named = {"text": look.text, "quiet": look.quiet, "grid": look.grid, "paper": look.paper, "train": look.train,
                 "val": look.val, **more, **{f"run-{i}": colour for i, colour in enumerate(look.runs)}}
        return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in named.items()) + " }"
    light = of(plots.LIGHT, desk="#f8fafc", soft="#f1f5f9", accent="#4f46e5", warn="#b45309", bad="#b91c1c")
    dark = of(plots.DARK, desk="#0b1120", soft="#1b2438", accent="#a5b4fc", warn="#fbbf24", bad="#fca5a5")
    runs = " ".join(f".run-{i} {{ color: var(--run-{i}); }}" for i in range(len(plots.LIGHT.runs)))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n{runs}\n"


def figure(description: str, light: plots.go.Figure, dark: plots.go.Figure) -> str:
    """A figure to be drawn by report.js: the data once, the layout in both looks. `<` never closes its script."""
    drawn = json.loads(light.to_json())
    layouts = {"light": drawn["layout"], "dark": json.loads(dark.to_json())["layout"]}
    content = json.dumps({"data": drawn["data"], "layouts": layouts}, separators=(",", ":")).replace("<", "\\u003c")
    height = drawn["layout"]["height"]
    return (f'<figure class="frame"><div class="figure" role="img" aria-label="{escaped(description)}" '
            f'style="height: {height}px"></div><script type="application/json">{content}</script></figure>')


def head(title: str, under: str) -> str:
    """The report's title, and a quiet line under it."""
    return f'<header><h1>{escaped(title)}</h1><p class="under">{escaped(under)}</p></header>'


def section(title: str, content: str) -> str:
    """A card; `content` is HTML."""
    return f"<section><h2>{title}</h2>{content}</section>\n"


def legend(entries: Iterable[str]) -> str:
    """What the lines of a figure are; `entries` are HTML."""
    return '<ul class="legend">' + "".join(f"<li>{entry}</li>" for entry in entries) + "</ul>"


def swatch(dashes: str) -> str:
    """A piece of a line, as it is drawn."""
    line = f'<line x1="0" y1="6" x2="40" y2="6" stroke-dasharray="{dashes}"/>'
    return f'<svg viewBox="0 0 40 12" aria-hidden="true">{line}</svg>'


def facts(named: list[tuple[str, str]]) -> str:
    """Large numbers, each under its name."""
    return '<dl class="facts">' + "".join(f"<div><dt>{escaped(name)}</dt><dd><b>{escaped(value)}</b></dd></div>"
                                          for name, value in named) + "</dl>\n"


def table(columns: list[tuple[str, str]], rows: list[str]) -> str:
    """`columns`: (heading, class), or none; `rows` are HTML. Scrolls by itself where the screen is narrow."""
    heads = "".join(f'<th scope="col" class="{kind}">{escaped(name)}</th>' for name, kind in columns)
    head = f"<thead><tr>{heads}</tr></thead>" if columns else ""
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def cell(content: str) -> str:
    """A cell that holds a number."""
    return f'<td class="number">{escaped(content)}</td>'


def escaped(value: Any) -> str:
    """Any text as text: in an element, or in an attribute with quotes."""
    return html.escape(str(value))


# --- values as a person says them ---

def number(value: float | None, digits: int = 3) -> str:
    """1234.5678 -> "1,234.568"; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def epoch_text(epoch: float) -> str:
    """Whole epochs without decimals."""
    return f"{round(epoch):,}" if abs(epoch - round(epoch)) < 0.005 else f"{epoch:.2f}"


def value_text(value: Any) -> str:
    """The value of a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " / ".join(map(str, value)) or "–"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
