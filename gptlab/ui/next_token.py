"""What could come next in the Playground, as bars: how likely the model finds each token, and what the settings make of that.

Plain functions from probabilities to HTML. All that a text or a model says is escaped.
"""

from __future__ import annotations

import html

from torch import Tensor

from gptlab.config import SampleConfig
from gptlab.data.tokenizers import Tokenizer
from gptlab.generate.sampling import next_token_probabilities
from gptlab.ui import words

TOKENS = 12  # of the likeliest
# Asks when it comes into view and whenever something is chosen, one question at a time: while one is open, the last choice
# waits. An answer that does not come counts as lost after a while.
TEMPLATE = '<div class="next-shown"></div>'
SCRIPT = """const box = element.querySelector('.next-shown'), PATIENCE = 20_000;  // milliseconds
let asked = 0, open = 0, since = false;
function ask() {
  since = open && performance.now() - open < PATIENCE;
  if (since || !element.offsetParent) return;
  open = performance.now();
  trigger('peek', {number: ++asked});
}
watch('value', () => {
  if (props.value?.number !== asked) return;
  open = 0;
  if (since) { ask(); return; }
  box.innerHTML = props.value.html;  // made by next_token.py, which escapes what is not GPT Lab's own
});
window.gptlab.peek = ask;
new IntersectionObserver(entries => { if (entries.some(one => one.isIntersecting)) ask(); }).observe(element);"""
ASK = "() => { window.gptlab.peek?.(); }"


def bars(logits: Tensor, seen: Tensor, tokenizer: Tokenizer, settings: SampleConfig) -> str:
    """The likeliest tokens by the logits (V,) of the model and those by the settings, whose text holds each token `seen` (V,)
    times: a bar for the model's own odds, and on it one for those that tokens are drawn with."""
    logits = logits[:tokenizer.vocab_size].float()
    own = logits.softmax(dim=0)
    drawn = next_token_probabilities(logits, settings, seen)
    shown = sorted({*own.topk(min(TOKENS, len(own))).indices.tolist(), int(drawn.argmax())}, key=lambda id: -float(own[id]))[:TOKENS]
    rows = "".join(_row(_named(tokenizer, id), float(own[id]), float(drawn[id])) for id in shown)
    kept = int((drawn > 0).sum())
    said = words.KEPT_TOKENS.format(kept=f"{kept:,}", all=f"{len(own):,}", share=_percent(float(own[drawn > 0].sum())))
    return f'<p class="next-said">{said}</p><ol class="next-tokens">{rows}</ol><p class="next-key">{words.NEXT_KEY}</p>'


def _named(tokenizer: Tokenizer, id: int) -> str:
    names = words.ALTERNATIVES["names"]
    piece = "" if id == tokenizer.end_of_text else tokenizer.token_text(id)
    return names.get(piece, f"“{piece}”")


def _row(name: str, own: float, drawn: float) -> str:
    cut = drawn == 0
    told = words.NEXT_CUT if cut else f"{_percent(drawn)} %"
    return (f'<li class="{"next-cut" if cut else ""}"><span class="next-name">{html.escape(name)}</span>'
            f'<span class="next-bar" style="--own: {100 * own:.2f}%; --drawn: {100 * drawn:.2f}%"></span>'
            f'<span class="next-own">{_percent(own)} %</span><span class="next-drawn">{told}</span></li>')


def _percent(share: float) -> str:
    """As people read it: whole where that says enough."""
    if share == 0 or share >= 0.0995:
        return f"{100 * share:.0f}"
    return f"{100 * share:.1f}" if share >= 0.0005 else "under 0.1"
