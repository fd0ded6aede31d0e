"""The two drawings of a model: its stack, and one of its blocks in detail. Parts and settings in, SVG text out.

Knows where things stand on the paper and nothing of what they mean. Colours are classes of architecture.css, so that light and
dark follow; `data-part` tells the page's script which part is pointed at.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from gptlab.config import ModelConfig
from gptlab.ui import words_model as words

if TYPE_CHECKING:
    from gptlab.ui.architecture import Part

STACK_WIDTH, BLOCK_WIDTH = 264, 372
COLOURS = {"attention_norm": "norms", "mlp_norm": "norms", "final_norm": "norms", "router": "mlp"}  # of model_facts's bar
ROW, TWO_ROWS = 34, 54  # heights of a box with one line of text, and with two
STEP = 30               # room for an arrow beside which a shape stands
SHORT_STEP = 15
BETWEEN = 28            # from where attention is added to the next norm: its way past begins there
MOST_EXPERTS_DRAWN = 32


class Paper:
    """Grows downwards: `y` is where the next thing begins."""

    def __init__(self, width: int, left: int, right: int):
        self.width, self.left, self.right = width, left, right
        self.middle = (left + right) // 2 - 6  # leaves room beside the arrows for shapes
        self.y = 4
        self.drawn: list[str] = []

    def add(self, svg: str) -> None:
        self.drawn.append(svg)

    def text(self, x: float, y: float, text: str, kind: str, end: bool = False) -> str:
        anchor = ' text-anchor="end"' if end else ""
        return f'<text class="{kind}" x="{x:g}" y="{y:g}"{anchor}>{html.escape(text)}</text>'

    def arrow(self, height: int, shape: tuple = ()) -> None:
        """Down the middle, with the shape of what flows beside it."""
        tip = self.y + height
        self.add(f'<path class="flow" d="M{self.middle} {self.y}V{tip - 6}"/>'
                 f'<path class="tip" d="M{self.middle - 5} {tip - 7}h10l-5 7z"/>')
        if shape:
            self.add(self.text(self.middle + 11, self.y + height / 2 + 4, shape_words(shape), "shape"))
        self.y = tip

    def pill(self, name: str, part: Part) -> None:
        """What is no part of the model: what goes in and comes out, with its shape."""
        inside = (f'<rect x="{self.left}" y="{self.y}" width="{self.right - self.left}" height="{ROW}" rx="17"/>'
                  + self.text(self.left + 16, self.y + 22, part.name, "name")
                  + self.text(self.right - 16, self.y + 22, shape_words(part.shape), "number", end=True))
        self.add(self.group(name, inside, "pill"))
        self.y += ROW

    def box(self, name: str, part: Part, height: int = 0, inside: str = "", like: str = "") -> None:
        """A part with its parameters, in its colour or `like` another's; a missing one leaves a dashed hole."""
        height = height or (TWO_ROWS if part.detail else ROW)
        text = self.text(self.left + 14, self.y + 22, part.name, "name")
        if part.parameters is not None:
            text += self.text(self.right - 14, self.y + 22, f"{part.parameters:,}", "number", end=True)
        if part.detail:
            text += self.text(self.left + 14, self.y + 42, part.detail, "detail")
        rectangle = f'<rect x="{self.left}" y="{self.y}" width="{self.right - self.left}" height="{height}" rx="8"/>'
        colour = like or COLOURS.get(name, name)
        self.add(self.group(name, rectangle + text + inside, "missing" if part.missing else f"part-{colour}"))
        self.y += height

    def group(self, name: str, inside: str, kind: str) -> str:
        return f'<g class="part {kind}" data-part="{name}">{inside}</g>'

    def svg(self, kind: str) -> str:
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {self.width} {self.y + 4}" '
                f'aria-hidden="true" focusable="false">{"".join(self.drawn)}</svg>')


def shape_words(shape: tuple) -> str:
    """ "(16, 128, 74)" """
    return f"({', '.join(f'{size}' for size in shape)})"


def stack_svg(config: ModelConfig, parts: dict[str, Part]) -> str:
    """From tokens down to logits, the blocks as one pile."""
    paper = Paper(STACK_WIDTH, 20, STACK_WIDTH - 4)
    paper.pill("tokens", parts["tokens"])
    paper.arrow(SHORT_STEP)
    table = paper.y + TWO_ROWS // 2
    paper.box("token_embedding", parts["token_embedding"])
    if "position_embedding" in parts:
        plus(paper, joined=not parts["position_embedding"].missing)
        paper.box("position_embedding", parts["position_embedding"])
    paper.arrow(STEP, parts["token_embedding"].shape)
    pile(paper, parts["blocks"], min(config.n_layer, 4))
    paper.arrow(STEP, parts["blocks"].shape)
    paper.box("final_norm", parts["final_norm"])
    paper.arrow(SHORT_STEP)
    output = paper.y + TWO_ROWS // 2
    paper.box("output", parts["output"], like="token_embedding" if config.tie_embeddings else "")
    if config.tie_embeddings:
        tie = f'<path class="tie" d="M{paper.left} {table}H8V{output}H{paper.left}"/>'
        paper.add(paper.group("output", tie, "part-token_embedding"))
    paper.arrow(SHORT_STEP)
    paper.pill("logits", parts["logits"])
    return paper.svg("stack")


def plus(paper: Paper, joined: bool) -> None:
    """What stands above and below is added; where nothing is, only the way goes on."""
    if not joined:
        return paper.arrow(SHORT_STEP)
    paper.add(f'<g class="plus"><circle cx="{paper.middle}" cy="{paper.y + 9}" r="8"/>'
              f'<path d="M{paper.middle - 4} {paper.y + 9}h8M{paper.middle} {paper.y + 5}v8"/></g>')
    paper.y += 18


def pile(paper: Paper, part: Part, sheets: int) -> None:
    """All blocks, as sheets of paper behind each other."""
    right, height = paper.right - 2 * (sheets - 1), TWO_ROWS + 10
    behind = "".join(f'<rect x="{paper.left + 2 * n}" y="{paper.y + 4 * n}" width="{right - paper.left}" '
                     f'height="{height}" rx="8"/>' for n in reversed(range(sheets)))
    text = (paper.text(paper.left + 14, paper.y + 27, part.name, "name")
            + paper.text(right - 10, paper.y + 27, f"{part.parameters:,}", "number", end=True)
            + paper.text(paper.left + 14, paper.y + 48, part.detail, "detail"))
    paper.add(paper.group("blocks", behind + text, "pile"))
    paper.y += height + 4 * (sheets - 1)


def block_svg(config: ModelConfig, parts: dict[str, Part]) -> str:
    """One block: norm, attention, norm, MLP or experts; and what is carried past them."""
    paper = Paper(BLOCK_WIDTH, 48, BLOCK_WIDTH - 14)
    paper.y = 8
    each = parts["blocks"].parameters // config.n_layer
    paper.add(paper.text(16, paper.y + 22, words.one_block(each), "name"))
    paper.y += 36
    paper.arrow(STEP, parts["blocks"].shape)
    for norm in ("attention_norm", "mlp_norm"):
        around, begun = paper.y - 13, len(paper.drawn)
        paper.box(norm, parts[norm])
        paper.arrow(SHORT_STEP)
        if norm == "attention_norm":
            attention(paper, config, parts["attention"])
        else:
            mlp(paper, config, parts)
        past(paper, around, begun, parts["residual"])
    frame = f'<rect class="frame" x="2" y="2" width="{paper.width - 4}" height="{paper.y + 8}" rx="12"/>'
    paper.drawn.insert(0, frame)
    paper.y += 10
    return paper.svg("block")


def past(paper: Paper, around: int, begun: int, part: Part) -> None:
    """The way past a norm and what reads it, from `around` on, to where both are added; drawn before them."""
    end = paper.y + SHORT_STEP + 9
    if part.missing:
        way = (f'<path class="way" d="M{paper.middle} {around}H24V{end}H{paper.middle - 10}"/>'
               f'<path class="cut" d="M18 {(around + end) // 2 - 6}l12 12m0 -12l-12 12"/>')
        paper.drawn.insert(begun, paper.group("residual", way, "residual missing"))
        return paper.arrow(SHORT_STEP + 18 + BETWEEN)
    way = (f'<path class="way" d="M{paper.middle} {around}H24V{end}H{paper.middle - 15}"/>'
           f'<path class="tip" d="M{paper.middle - 16} {end - 5}v10l7 -5z"/>'
           f'<circle class="dot" cx="{paper.middle}" cy="{around}" r="3.5"/>')
    paper.drawn.insert(begun, paper.group("residual", way, "residual"))
    paper.arrow(SHORT_STEP)
    plus(paper, joined=True)
    paper.arrow(BETWEEN)


def attention(paper: Paper, config: ModelConfig, part: Part) -> None:
    """With the shapes inside it, what turns or normalises queries and keys, and who sees whom."""
    B, T, _ = part.shape
    heads = shape_words((B, config.n_head, T, config.head_size))
    shared = shape_words((B, config.kv_heads, T, config.head_size))
    y = paper.y + 62
    x = paper.left + 14
    inside = paper.text(x, y, f"q {heads}", "shape") + paper.text(x, y + 18, f"k, v {shared}", "shape")
    for chip in words.marks(config):
        width = 18 + 7.6 * len(chip)
        inside += (f'<rect class="chip" x="{x:g}" y="{y + 28}" width="{width:g}" height="22" rx="11"/>'
                   + paper.text(x + 9, y + 43, chip, "detail"))
        x += width + 8
    inside += mask(paper, paper.right - 78, y - 12, config.causal)
    paper.box("attention", part, 124, inside)


def mask(paper: Paper, x: int, y: int, causal: bool) -> str:
    """Who sees whom: a row for each token, a square for each token it sees."""
    ahead = "blind" if causal else "sees cheat"
    squares = "".join(f'<rect class="{"sees" if column <= row else ahead}" x="{x + 17 + 9 * column}" y="{y + 9 * row}" '
                      f'width="8" height="8" rx="1.5"/>' for row in range(5) for column in range(5))
    called, kind = (words.CAUSAL, "detail") if causal else (words.NO_CAUSAL, "detail alarm")
    return squares + paper.text(x + 64, y + 60, called, kind, end=True)


def mlp(paper: Paper, config: ModelConfig, parts: dict[str, Part]) -> None:
    """The MLP; or the router, and experts of which some are lit."""
    part = parts["mlp"]
    inner = shape_words((*part.shape[:2], config.hidden))
    if config.n_expert is None:
        inside = paper.text(paper.right - 14, paper.y + 42, inner, "shape", end=True)
        return paper.box("mlp", part, inside=inside)
    shape = paper.text(paper.right - 14, paper.y + 42, shape_words(parts["router"].shape), "shape", end=True)
    paper.box("router", parts["router"], inside=shape)
    paper.arrow(SHORT_STEP)
    count, wide = min(config.n_expert, MOST_EXPERTS_DRAWN), paper.right - paper.left - 28
    pitch = min(wide / count, 40)
    lit = spread(max(1, round(config.n_expert_active * count / config.n_expert)), count)  # the same share of those drawn
    squares = "".join(f'<rect class="expert{" lit" * (n in lit)}" x="{paper.left + 14 + pitch * n:g}" y="{paper.y + 54}" '
                      f'width="{0.85 * pitch:g}" height="18" rx="4"/>' for n in range(count))
    return paper.box("mlp", part, 84, squares)


def spread(few: int, many: int) -> set[int]:
    """Some `few` of `many` places, as a router may choose them: not the first."""
    return {(n * many // few + 1) % many for n in range(few)}
