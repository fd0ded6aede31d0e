"""A run's loss over its steps as a small SVG that a model card can show: drawn by hand, readable on light and dark paper."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping

from gptlab.runs.history import RunHistory, last_of_each

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 44, 44  # margins, in pixels
TICKS = 5
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a; }
path { fill: none; stroke-width: 2; stroke-linejoin: round; }
.grid { stroke: #8b949e; stroke-opacity: .3; stroke-width: 1; }
.known { stroke: #8b949e; stroke-dasharray: 2 4; stroke-width: 1.5; }
.train { stroke: #4f46e5; }
.val { stroke: #c2410c; stroke-dasharray: 9 5; }
@media (prefers-color-scheme: dark) { text { fill: #9da7b3; } .train { stroke: #a5b4fc; } .val { stroke: #fdba74; } }
"""
KNOWN = {"bigram": "counting pairs", "entropy_floor": "best possible"}  # losses to be seen beside


def curve(history: RunHistory, baselines: Mapping[str, float | None]) -> str | None:
    """The SVG; None where there is no line to draw yet."""
    steps, smooth = history.steps["step"], history.smooth
    shown = last_of_each(steps, smooth)
    train = list(zip(steps[shown].tolist(), smooth[shown].tolist()))
    val = [(one.step, one.val_loss) for one in history.evaluations if math.isfinite(one.val_loss)]
    if len(train) < 2 or len(val) < 2:
        return None
    known = {words: baselines[name] for name, words in KNOWN.items() if baselines.get(name) is not None}
    losses = [loss for _, loss in [*train, *val]] + list(known.values())
    at = Scale(max(history.last_step, 1), min(losses), max(losses))
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>Loss over {history.last_step:,} steps</title>", f"<style>{STYLE}</style>",
        *_grid(at), *_known(at, known), _line("train", map(at, train)), _line("val", map(at, val)), *_legend(), "</svg>", ""))


class Scale:
    """(step, loss) to pixels. `ticks` are round losses a little beyond the range."""

    def __init__(self, last_step: int, lowest: float, highest: float):
        self.last_step = last_step
        rough = max(highest - lowest, 1e-6) / TICKS
        size = 10.0 ** math.floor(math.log10(rough))
        self.tick = next(size * many for many in (1, 2, 5, 10) if size * many >= rough)
        first, last = math.floor(lowest / self.tick), math.ceil(highest / self.tick)
        self.ticks = [number * self.tick for number in range(first, last + 1)]

    def __call__(self, point: tuple[float, float]) -> tuple[float, float]:
        step, loss = point
        low, high = self.ticks[0], self.ticks[-1]
        return (LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step,
                TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low))


def _grid(at: Scale) -> Iterable[str]:
    digits = max(0, -math.floor(math.log10(at.tick) + 1e-9))
    for loss in at.ticks:
        _, y = at((0, loss))
        yield _line("grid", [(LEFT, y), (WIDTH - RIGHT, y)])
        yield _text(LEFT - 8, y + 4, f"{loss:.{digits}f}", "end")
    for step in (0, at.last_step // 2, at.last_step):
        x, _ = at((step, 0))
        yield _text(x, HEIGHT - BOTTOM + 18, f"{step:,}", "start" if step == 0 else "end" if step == at.last_step else "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "step", "middle")
    yield _text(8, TOP - 14, "loss (nats a token)", "start")


def _known(at: Scale, known: Mapping[str, float]) -> Iterable[str]:
    for words, loss in known.items():
        _, y = at((0, loss))
        yield _line("known", [(LEFT, y), (WIDTH - RIGHT, y)])
        yield _text(WIDTH - RIGHT, y - 5, words, "end")


def _legend() -> Iterable[str]:
    for x, name, words in ((WIDTH - 400, "train", "text it trains on (smoothed)"), (WIDTH - 165, "val", "unseen text (val)")):
        yield _line(name, [(x, TOP - 18), (x + 30, TOP - 18)])
        yield _text(x + 38, TOP - 14, words, "start")


def _line(name: str, points: Iterable[tuple[float, float]]) -> str:
    return f'<path class="{name}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'
