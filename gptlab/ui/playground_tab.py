"""The Playground tab: a run, a checkpoint, a prompt, and how daring to be; the text streams in as it is written."""

from __future__ import annotations

import contextlib
import html
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, RunConfig, SampleConfig
from gptlab.data.tokenizers import Tokenizer
from gptlab.events import Sample
from gptlab.generate.generator import Token
from gptlab.runs.checkpoint import best_of, list_checkpoints
from gptlab.runs.eventlog import parse_lines
from gptlab.ui import form, next_token, words, words_train
from gptlab.ui.lab import QUIET, SPEAKS, Lab, Page, guarded, kept_by_browser
from gptlab.ui.which_run import run_by_id
from gptlab.ui.writing import Writer

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "token_text.js", "playground.js")  # in this order, as one function
SETTINGS = {"sample.temperature": "temperature", "sample.max_new_tokens": "length", "sample.greedy": "greedy",
            "sample.top_k": "top-k", "sample.top_p": "top-p", "sample.min_p": "min-p", "sample.seed": "sampling-seed",
            "sample.repetition_penalty": "repetition-penalty", "sample.frequency_penalty": "frequency-penalty"}
OF_NO_USE = ("sample.temperature", "sample.top_k", "sample.top_p", "sample.min_p", "sample.seed")  # some of them, where it takes the likeliest
PAGES_AT_ONCE = 4
MOST_PROMPT = 20_000  # characters: more than any context holds, and each answer repeats them
KEYS = ("run", "checkpoint", "prompt", *SETTINGS)  # what the browser keeps
KEEP = f"""(held, ...values) =>
  ({{...held, ...Object.fromEntries({json.dumps(KEYS)}.map((key, i) => [key, values[i]]))}})"""
TAKE = """(none, shown, held) => {
  if (document.getElementById('playground-tab-button')?.ariaSelected !== 'true') return [null, shown, held];
  const run = window.gptlab?.writeWith ?? '';
  if (run) window.gptlab.writeWith = null;
  return [run, shown, held];
}"""


def build(lab: Lab, page: Page) -> None:
    """The tab's widgets and what they do."""
    parts = _widgets()
    _connect_choices(lab, page, parts)
    _connect_writing(lab, parts)
    parts.to_train.click(lambda: gr.Tabs(selected="train"), None, page.tabs, **QUIET)


@dataclass
class Parts:
    """The tab's widgets: `empty` while nothing can write, else `full`. `boxes` are those of SETTINGS, by name."""

    empty: gr.Column
    full: gr.Row
    to_train: gr.Button
    prompt: gr.Textbox
    begin: gr.Button
    stop: gr.Button
    output: gr.HTML
    run: gr.Dropdown
    checkpoint: gr.Dropdown
    boxes: dict[str, gr.components.Component]
    note: gr.HTML
    coming: gr.HTML        # what could come next
    wanted: gr.Textbox     # the run "Write with it" was pressed for, "" for none, None on another tab: TAKE says it
    held: gr.BrowserState  # what was chosen (KEYS); and `followed`, the run on view when it was last filled in

    @property
    def chosen(self) -> list:
        """What was chosen, in the order of KEYS."""
        return [self.run, self.checkpoint, self.prompt, *self.boxes.values()]


def _widgets() -> Parts:
    with gr.Column(visible=False, elem_id="playground-empty") as empty:
        gr.Markdown(words.NOTHING_TO_WRITE_WITH)
        to_train = gr.Button(words.TO_TRAINING, variant="primary", elem_id="playground-to-train", scale=0, min_width=220)
    with gr.Row(elem_classes="columns", visible=False) as full:
        with gr.Column(scale=3, min_width=320):
            prompt = gr.Textbox(label=words.PROMPT, info=words.PROMPT_HELP, elem_id="prompt", lines=3, max_lines=12)
            with gr.Row(elem_classes="tight"):
                begin = gr.Button(words.GENERATE, variant="primary", elem_id="generate", scale=3)
                stop = gr.Button(words_train.STOP, elem_id="stop-writing", scale=1)
            output = gr.HTML(elem_id="output", html_template=(HERE / "playground.html").read_text(encoding="utf-8"),
                             js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
                             apply_default_css=False, words=words.ALTERNATIVES)
            gr.Markdown(f"### {words.NEXT_TITLE}", elem_classes="group-title")
            coming = gr.HTML(elem_id="next-token", html_template=next_token.TEMPLATE, js_on_load=next_token.SCRIPT,
                             apply_default_css=False)
        with gr.Column(scale=2, min_width=320):
            listed = dict(filterable=False, interactive=True)
            run = gr.Dropdown(label=words.RUN, info=words.RUN_HELP, elem_id="run", **listed)
            checkpoint = gr.Dropdown(label=words.CHECKPOINT, info=words.CHECKPOINT_HELP, elem_id="checkpoint", **listed)
            boxes = _setting_widgets()
            note = gr.HTML(elem_id="greedy-note")
    return Parts(empty, full, to_train, prompt, begin, stop, output, run, checkpoint, boxes, note, coming,
                 wanted=gr.Textbox(visible=False), held=kept_by_browser("playground", {}))


def _setting_widgets() -> dict[str, gr.components.Component]:
    """The widgets of SETTINGS, in its order; the small ones side by side."""
    widgets = {name: form.widget(name, form.FIELDS[name].default, elem_id=SETTINGS[name])
               for name in ("sample.temperature", "sample.max_new_tokens", "sample.greedy")}
    for row in (("sample.top_k", "sample.top_p", "sample.min_p"),
                ("sample.seed", "sample.repetition_penalty", "sample.frequency_penalty")):
        with gr.Row(elem_classes="tight"):
            for name in row:
                widgets[name] = form.widget(name, form.FIELDS[name].default, elem_id=SETTINGS[name], min_width=150)
    return {name: widgets[name] for name in SETTINGS}


def _connect_choices(lab: Lab, page: Page, parts: Parts) -> None:
    """Fills in the choices as the page opens and whenever the tab does; and keeps in the browser what a person chooses."""
    @guarded
    def on_load(wanted, shown, held):
        return [*filled(lab, wanted, shown, held, opening=True), *kept_settings(held)]

    @guarded
    def on_change(wanted, shown, held):
        return filled(lab, wanted, shown, held) if wanted is not None else [gr.skip()] * len(fills)

    @guarded
    def choose(run_id):
        return checkpoints_of(lab, run_id), first_prompt(lab, run_id)

    known = [parts.wanted, page.shown, parts.held]
    fills = [parts.empty, parts.full, parts.run, parts.checkpoint, parts.prompt, parts.held]
    page.demo.load(on_load, known, [*fills, parts.note, *parts.boxes.values()], js=TAKE, **QUIET)
    page.tabs.change(on_change, known, fills, js=TAKE, **QUIET)  # not select: Gradio sends that for a person's click only
    keeping = dict(js=KEEP, show_progress="hidden", api_visibility="private", trigger_mode="multiple")
    gr.on([part.input for part in parts.chosen[1:]] + [parts.prompt.blur],  # to Gradio 6.31 pasting is no input
          None, [parts.held, *parts.chosen], parts.held, **keeping)
    parts.run.input(choose, parts.run, [parts.checkpoint, parts.prompt], preprocess=False, **SPEAKS).then(
        None, [parts.held, *parts.chosen], parts.held, **keeping)
    switches = [parts.boxes["sample.greedy"], parts.boxes["sample.temperature"]]
    gr.on([switch.input for switch in switches], greedy_note, switches, [parts.note, *(parts.boxes[name] for name in OF_NO_USE)],
          trigger_mode="always_last", **QUIET)


def _connect_writing(lab: Lab, parts: Parts) -> None:
    writer, stops = Writer(lab), Stops()

    def written(session, run_id, which, text, values, begun=(), number=0):
        settings = sample_settings(dict(zip(SETTINGS, values)))
        found, stopping = run_by_id(lab, run_id), stops.begin(session)
        read, shown, cut = read_prompt(text or "")
        tokenizer, tokens = writer.model(found, which or "best")[1], []
        for so_far in writer.write(found, which or "best", read, settings, stopping.is_set, begun):
            tokens = tokens + [told(token, tokenizer) for token in so_far.pieces[len(tokens):]]
            yield {"prompt": shown, "cut": bool(cut), "tokens": tokens,
                   "number": number, "writing": not so_far.ending, "note": f"{words.written_note(so_far)} {cut}".rstrip()}

    @guarded
    def write(request: gr.Request, run_id, which, text, *values):
        yield from written(request.session_hash, run_id, which, text, values)

    @guarded
    def branch(request: gr.Request, event: gr.EventData, run_id, which, text, *values):
        prompt, begun, number = branched(event._data)
        yield from written(request.session_hash, run_id, which, prompt, values, begun, number)

    @guarded
    def peek(event: gr.EventData, run_id, which, text, *values):
        number = event._data.get("number") if isinstance(event._data, dict) else None
        try:
            settings, prompt = sample_settings(dict(zip(SETTINGS, values))), read_prompt(text or "")[0]
            shown = next_token.bars(*writer.next_logits(run_by_id(lab, run_id), which or "best", prompt), settings)
        except ValueError as problem:  # whoever types is not to be interrupted; Generate says it aloud
            shown = f'<p class="next-said">{html.escape(str(problem))}</p>'
        return {"html": shown, "number": number}

    @guarded
    def on_stop(request: gr.Request):
        stops.stop(request.session_hash)

    gr.on([parts.begin.click, parts.prompt.submit], write, parts.chosen, parts.output, preprocess=False, trigger_mode="once",
          show_progress="hidden", concurrency_limit=PAGES_AT_ONCE, concurrency_id="writing", api_visibility="private")
    parts.output.branch(branch, parts.chosen, parts.output, preprocess=False, trigger_mode="multiple", show_progress="hidden",
                        concurrency_limit=PAGES_AT_ONCE, concurrency_id="writing", api_visibility="private")
    chosen = [part.input for part in (parts.checkpoint, parts.prompt, *parts.boxes.values())]
    chosen += [parts.run.change, parts.prompt.blur]  # to Gradio 6.31 pasting is no input
    gr.on(chosen, None, js=next_token.ASK, show_progress="hidden", api_visibility="private", trigger_mode="multiple")
    parts.coming.peek(peek, parts.chosen, parts.coming, preprocess=False, show_progress="hidden", trigger_mode="multiple",
                      concurrency_limit=2, api_visibility="private")
    parts.stop.click(on_stop, None, None, **QUIET)


class Stops:
    """Which page wants its writing to stop. A page writes one text at a time."""

    def __init__(self):
        self._events: dict[str, threading.Event] = {}

    def begin(self, session: str | None) -> threading.Event:
        """What the next `stop` of that page sets; a text it may still be writing ends."""
        self.stop(session)
        self._events[session or ""] = threading.Event()
        return self._events[session or ""]

    def stop(self, session: str | None) -> None:
        """Harmless when nothing is being written."""
        if event := self._events.pop(session or "", None):
            event.set()


def filled(lab: Lab, wanted: Any, shown: Any, held: Any, opening: bool = False) -> list:
    """(empty, full, run, checkpoint, prompt, held): the choices as a page finds them, `opening` or coming back to the tab.

    The run is the wanted one, else the one on view if that is another than last time, else the one chosen before, else the
    latest; of those that can write. The checkpoint and the prompt stay with the run they were chosen for.
    """
    held = held if isinstance(held, dict) else {}
    runs = {run.id: run for run in lab.workspace.list_runs() if run.checkpoint_paths()}
    if not runs:
        return [gr.update(visible=True), gr.update(visible=False), gr.skip(), gr.skip(), gr.skip(), gr.skip()]
    before = held.get("run")
    followed = shown if shown != held.get("followed") else None
    picked = next(run_id for run_id in (wanted, followed, before, *runs) if isinstance(run_id, str) and run_id in runs)
    checkpoint = checkpoints_of(lab, picked, held.get("checkpoint") if picked == before else None)
    typed = held.get("prompt") if picked == before else None
    prompt = typed if isinstance(typed, str) else first_prompt(lab, picked)
    now = {**held, "run": picked, "checkpoint": checkpoint["value"], "prompt": prompt, "followed": shown}
    choices = [(words.run_label(run.id, run.name), run.id) for run in runs.values()]
    return [gr.update(visible=False), gr.update(visible=True), gr.update(choices=choices, value=picked), checkpoint,
            prompt if opening or prompt != typed else gr.skip(),  # not under the hands of who types
            now if now != held else gr.skip()]


def kept_settings(held: Any) -> list:
    """(note, boxes…): the settings as the browser kept them; the defaults for what it did not, or what cannot be."""
    values = {}
    for name in SETTINGS:
        values[name] = form.to_widget(name, form.FIELDS[name].default)
        if isinstance(held, dict) and name in held:
            with contextlib.suppress(ConfigError):
                RunConfig().replace({name: form.from_widget(name, held[name])})
                values[name] = held[name]
    # With a value, for a number box that is made empty shows 0: only one that is emptied shows that it is empty.
    boxes = {name: gr.update(value=value) for name, value in values.items()}
    note, *free = greedy_note(values["sample.greedy"], values["sample.temperature"])
    boxes |= {name: {**boxes[name], **use} for name, use in zip(OF_NO_USE, free)}
    return [note, *boxes.values()]


def checkpoints_of(lab: Lab, run_id: Any, chosen: Any = None) -> dict:
    """An update with the choice of a run's checkpoints: best, last, every step that is kept; `chosen` if it is among them."""
    saved = [one for one in list_checkpoints(run_by_id(lab, run_id)) if one.problem is None]
    best, last = best_of(saved), saved[-1] if saved else None
    choices = [(words.checkpoint_label("best", best.step, best.val_loss), "best")] if best else []
    choices += [(words.checkpoint_label("last", last.step, last.val_loss), "last")] if last else []
    choices += [(words.checkpoint_label("step", one.step, one.val_loss), str(one.step)) for one in reversed(saved)]
    values = [value for _, value in choices]
    return gr.update(choices=choices, value=chosen if chosen in values else values[0] if values else None)


def first_prompt(lab: Lab, run_id: Any) -> str:
    """What a run was asked to continue while it trained, as a beginning to try."""
    run = run_by_id(lab, run_id)
    if prompts := run.config().sample.prompts:
        return prompts[0]
    events, _ = parse_lines(run.read_events(0)[0])
    return next((event.prompt for event in events if isinstance(event, Sample)), "")


def told(token: Token, tokenizer: Tokenizer) -> list:
    """A token as the page takes it: [id, text, log-probability, [[id, text, log-probability], …]]."""
    likeliest = [[id, "" if id == tokenizer.end_of_text else tokenizer.token_text(id), round(logprob, 5)]
                 for id, logprob in token.alternatives]
    return [token.id, token.text, round(token.logprob, 5), likeliest]


def branched(asked: Any) -> tuple[str, list[int], int]:
    """(prompt, ids behind it, the page's number for it) of a text that is to go on with another token. Raises ValueError."""
    asked = asked if isinstance(asked, dict) else {}
    prompt, begun, number = asked.get("prompt"), asked.get("begun"), asked.get("number")
    if not (isinstance(prompt, str) and isinstance(begun, list) and len(begun) <= MOST_PROMPT and isinstance(number, int)
            and all(isinstance(id, int) for id in begun)):
        raise ValueError(words.OTHER_TOKENS)
    return prompt, begun, number


def read_prompt(text: str) -> tuple[str, str, str]:
    """(what is read of a beginning, how it is shown, a sentence where it is cut)."""
    if len(text) <= MOST_PROMPT:
        return text, text, ""
    return text[-MOST_PROMPT:], "…" + text[-MOST_PROMPT:], words.PROMPT_CUT.format(MOST_PROMPT)


def sample_settings(values: dict[str, Any]) -> SampleConfig:
    """Checked settings from the widgets' values. Raises ValueError with every problem."""
    try:
        return RunConfig().replace({name: form.from_widget(name, value) for name, value in values.items()}).sample
    except ConfigError as problem:
        raise ValueError(form.in_words(problem)) from None


def greedy_note(greedy: bool, temperature: float) -> list:
    """Says and shows which controls have no effect when the likeliest token is always taken."""
    always = bool(greedy) or temperature == 0
    note = words.GREEDY_NOTE if greedy else words.ZERO_NOTE if always else ""
    free = [gr.update(interactive=not greedy), *[gr.update(interactive=not always)] * (len(OF_NO_USE) - 1)]
    return [f'<p class="message" role="status">{note}</p>' if note else "", *free]
