"""Take a part away: switches on the Model tab, each of which sets one setting of the draft to "without", and back.

They show what the draft says, whoever changed it. Plain functions from a draft to a draft, and the component.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from gptlab.config import ConfigError
from gptlab.runs.twin import SWITCHES
from gptlab.ui import form, words_model
from gptlab.ui.lab import change_draft, draft_preset, read_draft

# A second click may come before the first is answered: each says which switches are to be pressed, all of them, and until
# the last is answered (or nothing comes) the buttons show what was clicked.
SCRIPT = """const buttons = [...element.querySelectorAll('button')], LONGEST_WAIT = 3000;
let wanted = null, waiting = 0;
const now = () => wanted ?? props.value?.pressed ?? [];
function show() {
  for (const button of buttons) button.ariaPressed = String(now().includes(button.name));
}
element.addEventListener('click', event => {
  const name = event.target.closest('button')?.name;
  if (!name) return;
  wanted = buttons.map(button => button.name).filter(one => now().includes(one) !== (one === name));
  show();
  trigger('toggle', {pressed: wanted, last: name});
  clearTimeout(waiting);
  waiting = setTimeout(() => { wanted = null; show(); }, LONGEST_WAIT);
});
watch('value', () => {
  if (wanted?.join() === props.value?.pressed?.join()) wanted = null;
  show();
});
show();"""


@dataclass(frozen=True)
class Ablation:
    """A model without `setting`'s part has it at `without`; `also` goes along with that."""

    setting: str
    without: Any
    also: dict[str, Any]


def _ablation(setting: str) -> Ablation:
    """What a twin of a run would leave out."""
    out = dict(SWITCHES[setting].out)
    return Ablation(setting, out.pop(setting), out)


ABLATIONS = {name: _ablation(f"model.{setting}") for name, setting in {
    "positions": "positions", "causal": "causal", "residual": "residual", "norm": "norm", "heads": "n_head",
    "tied": "tie_embeddings"}.items()}


def component() -> gr.HTML:
    """The switches. Its value is `shown`'s; its event is "toggle" (of `pressed`, all that are to be, and `last`, the one that was
    clicked)."""
    buttons = "".join(f'<button type="button" name="{name}" aria-pressed="false"><b>{html.escape(title)}</b>'
                      f'<span>{html.escape(expect)}</span></button>' for name, (title, expect) in words_model.ABLATIONS.items())
    hint = f'<p class="ablations-hint">{words_model.TAKE_AWAY_HINT}</p>'
    return gr.HTML(elem_id="ablations", apply_default_css=False, js_on_load=SCRIPT, value={},
                   html_template=f'{hint}<div class="ablations">{buttons}</div>')


def shown(draft: Any) -> dict:
    """Which switches are pressed: those whose part the draft's model lacks."""
    return {"pressed": [name for name, one in ABLATIONS.items() if _value(read_draft(draft), one.setting) == one.without]}


def toggled(draft: Any, pressed: Any, last: Any) -> dict:
    """The draft with just the switches `pressed` set; one that is set no more goes back to what was there before. Raises
    ConfigError for switches that there are not."""
    draft = read_draft(draft)
    if not isinstance(pressed, list) or any(name not in list(ABLATIONS) for name in (last, *pressed)):
        raise ConfigError([f"There is no such switch; there are: {', '.join(ABLATIONS)}."])
    changed, before = dict(draft["changes"]), shown(draft)["pressed"]
    for name, one in ABLATIONS.items():
        if (name in pressed) == (name in before):
            continue
        changed |= {one.setting: one.without, **one.also} if name in pressed else _with_it(draft, one)
    base = draft_preset(draft).config
    changed = {name: value for name, value in changed.items() if value != form.value_of(base, name)}
    return change_draft(draft, words_model.ABLATIONS[last][0], changes=changed)


def _with_it(draft: dict, one: Ablation) -> dict[str, Any]:
    """The values of an ablation's settings when the model last had that part; else the preset's; else the usual ones."""
    states = [step for step in reversed(draft["history"]) if step["preset"] == draft["preset"]]
    for state in [*states, {**draft, "changes": {}}]:
        if _value(state, one.setting) != one.without:
            return {name: _value(state, name) for name in (one.setting, *one.also)}
    return {name: form.FIELDS[name].default for name in (one.setting, *one.also)}


def _value(state: dict, name: str) -> Any:
    return state["changes"].get(name, form.value_of(draft_preset(state).config, name))
