"""The picture of the model in a real browser: it follows what is set, explains its parts, and its words stay in their boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from waiting import reload, tab, wait_until

from gptlab.config import ModelConfig
from gptlab.ui import architecture

UI = Path(architecture.__file__).parent
LARGE = {  # the shapes of Llama 3 70B, Mixtral 8x22B and Qwen3 235B, or nearly so
    "llama-70b": ModelConfig(n_layer=80, n_head=64, n_kv_head=8, n_embd=8192, context_length=8192, positions="rope",
                             norm="rmsnorm", mlp="swiglu", mlp_hidden=28_672, tie_embeddings=False, vocab_size=128_256),
    "mixtral": ModelConfig(n_layer=56, n_head=48, n_kv_head=8, n_embd=6144, context_length=8192, positions="rope", norm="rmsnorm",
                           mlp="swiglu", mlp_hidden=16_384, n_expert=8, tie_embeddings=False),
    "qwen3-moe": ModelConfig(n_layer=94, n_head=64, n_kv_head=4, n_embd=4096, context_length=8192, positions="rope",
                             norm="rmsnorm", qk_norm=True, mlp="swiglu", mlp_hidden=1536, n_expert=128,
                             n_expert_active=8, vocab_size=151_936),
}
BARE = ModelConfig(positions="none", norm="none", residual=False, causal=False)
# Texts of a drawing that leave it, or stand on another text.
BADLY_PLACED = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBBox()]), paper = svg.viewBox.baseVal;
  const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y + 2 || b.y + b.height <= a.y + 2;
  const outside = texts.filter(([_, box]) => box.x < 2 || box.x + box.width > paper.width - 2);
  return [...outside.map(([text]) => text),
          ...texts.flatMap(([text, box], n) => texts.slice(n + 1).filter(other => !apart(box, other[1]))
                                                    .map(other => `${text} on ${other[0]}`))];
})"""

IN_SIGHT = """ids => ids.every(id => { const box = document.querySelector(id)?.getBoundingClientRect();
  return box && box.height > 0 && box.top >= 0 && box.bottom <= innerHeight; })"""


@pytest.mark.parametrize("config", [ModelConfig(), BARE, *LARGE.values()], ids=["usual", "bare", *LARGE])
def test_words_stay_in_their_boxes(chromium, config):
    drawn = architecture.described(config, 32_768, 64)
    css = (UI / "architecture.css").read_text(encoding="utf-8")
    page = chromium.new_page()
    page.set_content(f"<style>body {{ font-family: system-ui, sans-serif }} {css}</style><div class='arch-picture'>"
                     f"<div class='arch-stack'>{drawn['stack']}</div><div class='arch-block'>{drawn['block']}</div></div>")
    assert page.evaluate(BADLY_PLACED) == []
    page.close()


def picture(page) -> str:
    return page.locator(".arch-picture").inner_html()


def test_switches_picture_and_settings_stay_in_step(page):
    tab(page, "Model")
    wait_until(page, "document.querySelector('.arch-stack svg')")
    page.get_by_text("More about the model").click()
    whole = picture(page)
    for name in ("causal", "residual", "norm"):  # quicker than they are answered
        page.locator(f"#ablations [name={name}]").click()
    wait_until(page, "document.querySelectorAll('#architecture .residual.missing').length === 2")
    wait_until(page, "document.querySelector('#architecture .cheat')")
    wait_until(page, "document.querySelectorAll('#architecture .missing').length === 5")
    wait_until(page, "document.querySelectorAll('#ablations [aria-pressed=true]').length === 3")
    wait_until(page, "!document.querySelector('#causal input').checked && !document.querySelector('#residual input').checked")
    page.locator("#causal input").check()
    wait_until(page, "document.querySelector('#ablations [name=causal]').ariaPressed === 'false'")
    page.locator("#reset").click()
    wait_until(page, "document.querySelectorAll('#ablations [aria-pressed=true]').length === 0")
    wait_until(page, "!document.querySelector('#architecture .missing')")
    assert picture(page) == whole


def test_a_part_is_explained_where_it_is_pointed_at_or_chosen_by_keys(page):
    tab(page, "Model")
    wait_until(page, "document.querySelector('.arch-stack svg')")
    said = "document.querySelector('#arch-caption').innerText"
    assert "The model, drawn" in page.locator(".arch-picture").get_attribute("aria-label")
    page.locator("[data-part=attention] rect").first.hover()
    wait_until(page, f"{said}.startsWith('Each token looks')")
    page.mouse.move(5, 5)
    wait_until(page, f"{said}.startsWith('(B, T, C)')")
    page.locator(".arch-picture").focus()
    for key, expected in (("ArrowDown", "The text in numbers"), ("ArrowDown", "Looks up"), ("ArrowUp", "The text in numbers"),
                          ("Escape", "(B, T, C)")):
        page.keyboard.press(key)
        wait_until(page, f"{said}.startsWith('{expected}')")
    wait_until(page, IN_SIGHT, arg=["#model-size", ".biggest-fits", "#arch-caption"])
    page.locator(".arch-more summary").click()
    assert page.locator(".arch-tree").inner_text().startswith("GPT(")
    wait_until(page, "(tree => tree.scrollWidth <= tree.clientWidth)(document.querySelector('.arch-tree'))")


def test_a_clash_greys_the_picture_and_one_click_mends_it(page):
    tab(page, "Model")
    wait_until(page, "document.querySelector('.arch-stack svg')")
    page.get_by_text("More about the model").click()
    before = picture(page)
    page.locator("#n-expert input").fill("4")
    page.keyboard.press("Tab")
    wait_until(page, "document.querySelector('#model-message')?.innerText.includes('Experts are SwiGLU parts')")
    assert picture(page) == before
    for scrolled, reach in (("document.querySelector('.beside').scrollTop = 1e6", (1440, 900)), ("0", (390, 844))):
        page.set_viewport_size({"width": reach[0], "height": reach[1]})
        page.locator("#n-expert").scroll_into_view_if_needed()
        page.evaluate(scrolled)
        wait_until(page, IN_SIGHT, arg=["#model-message", "#mend"])
    page.set_viewport_size({"width": 1440, "height": 900})
    wait_until(page, "getComputedStyle(document.querySelector('.arch-picture')).opacity < 1")
    reload(page)
    tab(page, "Model")
    wait_until(page, "document.querySelector('.arch-stack svg')")
    assert picture(page) == before
    page.locator("#mend").click()
    wait_until(page, "document.querySelector('#architecture [data-part=router]')")
    wait_until(page, "!document.querySelector('#mend')?.offsetParent")
    page.get_by_text("More about the model").click()
    wait_until(page, "document.querySelector('#mlp input[value=swiglu]')?.checked")
    page.locator("#reset").click()
    wait_until(page, "!document.querySelector('#architecture [data-part=router]')")


def test_the_picture_never_goes_back_while_a_slider_moves_on(page):
    """Each answer was given twice, the second time late: the picture jumped back and forth behind a quick hand."""
    tab(page, "Model")
    wait_until(page, "document.querySelector('.arch-stack svg')")
    page.evaluate("""window.seen = []; new MutationObserver(() => window.seen.push(document.querySelector('.pile .name').textContent))
                     .observe(document.querySelector('.arch-stack'), {childList: true}); 0""")
    page.locator("#n-layer input[type=range]").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
    wait_until(page, "window.seen.at(-1) === 'Block × 14'")
    seen = [int(name.removeprefix("Block × ")) for name in page.evaluate("window.seen")]
    assert seen == sorted(seen)
    page.locator("#reset").click()
    wait_until(page, "document.querySelector('.pile .name').textContent === 'Block × 2'")
