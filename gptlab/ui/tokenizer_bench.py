"""Two tokenizers side by side on the text that is chosen on the Data tab: their numbers, what they learnt, and how they cut it.

Nothing is read or learnt until it is seen. What it looks like is tokenizer_bench.js's; what was learnt is kept in bench_store.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from gptlab.config import ConfigError, DataConfig, ModelConfig
from gptlab.data import bench
from gptlab.data.errors import DataError
from gptlab.model import estimate
from gptlab.ui import words, words_bench
from gptlab.ui.bench_store import KINDS, Choice, Learnt, Store, text_key
from gptlab.ui.data_choice import uploaded
from gptlab.ui.data_facts import COLOURS
from gptlab.ui.lab import Lab, Page, draft_config, draft_preset, guarded

HERE = Path(__file__).parent
SCRIPTS = ("live_text.js", "tokenizer_bench.js")  # in this order, as one function
# Where the slider stops: powers of two and what lies halfway. The first stop is the bytes alone.
VOCABULARIES = sorted({256, *(2**n for n in range(8, 17)), *(3 * 2**n for n in range(7, 15))})
FEWEST = 257  # 256 bytes and the end of a text
SAMPLE_CHARACTERS = 500
MOST_SHOWN = 600       # tokens
MOST_TYPED = 2000      # characters of a sentence
MERGES_A_TIME = 200
OF_THE_TEXT = ("bytes_per_token", "tokens_per_word")  # numbers that say little where the text does not come back
# The text above has changed: measured anew once it is seen.
CHANGED = "() => { window.gptlab.textChanged?.(); }"


def build(lab: Lab, page: Page, config_of: Callable[..., DataConfig], chosen: list) -> gr.HTML:
    """The folded comparison. `chosen` are the widgets that describe a text; `config_of` makes settings of what they hold.

    Its event "use" has `kind`, `vocabulary` and `upload` (a path) of the tokenizer to prepare with: `settings_of` reads them.
    """
    store = Store()

    def sentence(question):  # plain functions, because gradio marks the ones a page may call
        return cut(store, question)

    def more_merges(question):
        return merges(store, question)

    def usable(choice):
        return {"problem": refusal(choice)}

    with gr.Accordion(words_bench.COMPARE_TOKENIZERS, open=False, elem_id="tokenizer-bench-fold"):
        view = gr.HTML(elem_id="tokenizer-bench", html_template=(HERE / "tokenizer_bench.html").read_text(encoding="utf-8"),
                       apply_default_css=False, server_functions=[sentence, more_merges, usable],
                       js_on_load="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
                       words=words_bench.BENCH, examples=words_bench.EXAMPLES, vocabularies=VOCABULARIES, kinds=KINDS,
                       colours=COLOURS)

    @guarded
    def on_compare(event: gr.EventData, draft, *values):
        question = event._data if isinstance(event._data, dict) else {}
        config = functools.partial(config_of, *values)
        try:
            for told in compared(store, config, model_of(lab, draft), question.get("sides")):
                yield {**told, "number": question.get("number")}
        except Exception:
            yield {"problem": words.UNEXPECTED, "number": question.get("number")}
            raise

    view.compare(on_compare, [page.draft, *chosen], view, trigger_mode="multiple", concurrency_limit=2, show_progress="hidden",
                 api_visibility="private")
    return view


def model_of(lab: Lab, draft) -> ModelConfig:
    """The model on the Model tab, or its preset's where something is wrong with it."""
    try:
        return draft_config(lab, draft).model
    except ConfigError:
        return draft_preset(draft).config.model


def settings_of(event_data: Any) -> tuple[str, int, str | None]:
    """(tokenizer, vocabulary, file) that a page wants to prepare with. Raises ValueError where there is no file yet."""
    choice = _choice(event_data)
    if choice.kind == "file" and choice.path is None:
        raise ValueError(words_bench.NO_TOKENIZER_FILE)
    return choice.kind, choice.vocabulary, choice.path if choice.kind == "file" else None


def refusal(choice: Any) -> str:
    """Why a page cannot prepare with a tokenizer, "" where it can."""
    try:
        settings_of(choice)
    except ValueError as problem:
        return str(problem)
    return ""


def compared(store: Store, config: Callable[[], DataConfig], model: ModelConfig, sides: Any) -> Iterator[dict]:
    """What a page is told, as it becomes known: `doing` while something is read or learnt; at last `problem`, or `measured`,
    `sample`, `sides` and `rows`. `config` gives the settings of the text; a side has `kind`, `vocabulary` and `upload`."""
    asked = sides if isinstance(sides, list) and len(sides) == 2 else [{}, {}]
    choices = [_choice(one) for one in asked]
    try:
        settings = config()
        key = text_key(settings)
        for text in store.text(key, settings):
            if isinstance(text, str):
                yield {"doing": text}
    except (ValueError, OSError) as problem:
        yield {"problem": str(problem)}
        return
    sample, told, found = bench.sample(text, SAMPLE_CHARACTERS), [], []
    for choice in choices:
        try:
            for learnt in store.tokenizer(key, text, choice):
                if isinstance(learnt, str):
                    yield {"doing": learnt}
            told.append(_side(choice, learnt, sample, model))
            found.append(learnt)
        except (ValueError, OSError) as problem:
            told.append({"problem": str(problem), **_of_choice(choice)})
            found.append(None)
    yield {"measured": words_bench.measured_on(text.characters, text.whole), "sides": told, "rows": rows(found, model)}


def _choice(asked: Any) -> Choice:
    """What a page asks for, with nothing that cannot be. (A `path` that is gone Gradio would refuse, without an answer.)"""
    asked = asked if isinstance(asked, dict) else {}
    kind, vocabulary = asked.get("kind"), asked.get("vocabulary")
    vocabulary = vocabulary if type(vocabulary) is int else bench.MOST_VOCABULARY
    vocabulary = min(max(vocabulary, FEWEST), bench.MOST_VOCABULARY)
    return Choice(kind if kind in KINDS else "char", vocabulary, uploaded(asked.get("upload")))


def _of_choice(choice: Choice) -> dict:
    named = Path(choice.path).name if choice.kind == "file" and choice.path else words_bench.TOKENIZER_NAMES[choice.kind]
    return {"kind": choice.kind, "name": named, "file": choice.path is not None}


def _side(choice: Choice, learnt: Learnt, sample: list[str], model: ModelConfig) -> dict:
    """One tokenizer as a page shows it, but for its numbers."""
    measured, named, there = learnt.measured, _of_choice(choice), learnt.tokenizer.vocab_size
    text, fewer = learnt.tokenizer.token_text, choice.kind == "bpe" and there < choice.vocabulary
    return {**named, "id": learnt.id, "sample": _cut(learnt, *sample),
            "sentence": words_bench.reach(named["name"], measured.bytes_per_token, measured.characters_per_token,
                                          model.context_length),
            "note": words_bench.fewer_pieces(choice.vocabulary, there) if fewer else "",
            "longest": [(text(i), count, learnt.tokenizer.is_whole(i)) for i, count in learnt.longest],
            "merges": _merges(learnt, 0, words_bench.MERGES_SHOWN), "merge_count": len(learnt.merges),
            "no_merges": words_bench.NO_MERGES[choice.kind], "all_alike": words_bench.ALL_ALIKE.get(choice.kind, "")}


def rows(found: list[Learnt | None], model: ModelConfig) -> list[dict]:
    """The numbers of both sides: `label`, `help`, `values` as words, and which is `better`, None where neither is."""
    def row(name: str, value, text, better=None) -> dict:
        values = [None if one is None else value(one) for one in found]
        shown = ["–" if one is None else text(*one) if isinstance(one, tuple) else text(one) for one in values]
        compare = [one[0] / one[1] if isinstance(one, tuple) else one for one in values]
        best = None
        if better is not None and None not in compare and shown[0] != shown[1]:
            best = compare.index(better(compare))
            if name in OF_THE_TEXT and not found[best].measured.exact:
                best = None  # it is short because something is left out
        label, help = words_bench.BENCH_ROWS[name]
        return {"label": label, "help": help, "values": shown, "better": best}

    def tokens_per_word(one: Learnt) -> float | None:
        return one.measured.tokens_per_word

    numbers = [
        row("vocabulary", lambda one: one.tokenizer.vocab_size, "{:,}".format),
        row("bytes_per_token", lambda one: one.measured.bytes_per_token, "{:.2f}".format, max),
        row("tokens_per_word", tokens_per_word, "{:.2f}".format, min),
        row("used", lambda one: (one.measured.used, one.tokenizer.vocab_size), words_bench.used, max),
        row("table", lambda one: table(model, one.tokenizer.vocab_size), words_bench.table, min),
        row("exact", lambda one: one.measured.exact, words_bench.comes_back, max)]
    if any(one is not None and tokens_per_word(one) is None for one in found):
        numbers[2]["values"] = [words_bench.NO_SPACES if one else "–" for one in found]
    return numbers


def table(model: ModelConfig, vocab_size: int) -> tuple[int, int]:
    """(parameters that stand for tokens, where they are read and where they are predicted; all parameters)."""
    parts = estimate.parameters(model, vocab_size)
    return parts["token_embedding"] + parts["output"], sum(parts.values())


def cut(store: Store, question: Any) -> dict:
    """For a page: `sides`, for each of `ids` how it cuts a `text`, or None where it is not known any more."""
    question = question if isinstance(question, dict) else {}
    text, ids = question.get("text"), question.get("ids")
    text = text[:MOST_TYPED] if isinstance(text, str) else ""
    found = [store.learnt(one) for one in ids[:2]] if isinstance(ids, list) else []
    return {"sides": [None if one is None else _cut(one, text) for one in found]}


def merges(store: Store, question: Any) -> dict:
    """For a page: `merges` of the tokenizer `id`, so many from `first` on; None where it is not known any more."""
    question = question if isinstance(question, dict) else {}
    learnt, first = store.learnt(question.get("id")), question.get("first")
    first = max(0, first) if type(first) is int else 0
    return {"merges": None if learnt is None else _merges(learnt, first, MERGES_A_TIME)}


def _merges(learnt: Learnt, first: int, count: int) -> list[list]:
    """[left, right, made] as texts, with whether each is text by itself."""
    text, whole = learnt.tokenizer.token_text, learnt.tokenizer.is_whole
    return [[(text(i), whole(i)) for i in merge] for merge in learnt.merges[first:first + count].tolist()]


def _cut(learnt: Learnt, *texts: str) -> dict:
    """`tokens` as bench.shown_tokens gives them, with the end of a text between two; how many there are in all and of how many
    bytes; or the `problem`."""
    tokenizer, tokens = learnt.tokenizer, []
    for number, text in enumerate(texts):
        tokens += [(tokenizer.token_text(tokenizer.end_of_text), tokenizer.end_of_text, True)] if number else []
        try:
            tokens += bench.shown_tokens(tokenizer, text)
        except DataError as problem:
            return {"problem": str(problem)}
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return {"tokens": tokens[:MOST_SHOWN], "count": len(tokens), "bytes": size}
