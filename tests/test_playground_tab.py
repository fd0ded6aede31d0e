"""The Playground's handlers, without a browser: a small trained run, and what it writes."""

import threading
from types import SimpleNamespace

import gradio as gr
import pytest
from tiny_run import tiny_run, tiny_workspace

from gptlab.config import SampleConfig
from gptlab.generate.generator import generate
from gptlab.runs import worker
from gptlab.runs.checkpoint import load_model
from gptlab.ui import form, playground_tab, words
from gptlab.ui.lab import Lab
from gptlab.ui.writing import MODELS_KEPT, Writer

LONG = SampleConfig(max_new_tokens=5000, seed=3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, small_text):
    """A workspace with one run that has checkpoints at steps 0, 8 and 16, and a younger one that has none."""
    lab = Lab(tiny_workspace(tmp_path_factory.mktemp("playground"), small_text), SimpleNamespace(current=None, queue=[]))
    worker.run(tiny_run(lab.workspace, "older", train__max_steps=16).path)
    tiny_run(lab.workspace, "untrained")
    return lab


@pytest.fixture
def run(lab):
    return lab.workspace.find_run("older")


def never():
    return False


def last(texts):
    return list(texts)[-1]


# writing

@pytest.mark.parametrize("settings", [SampleConfig(max_new_tokens=60, seed=5), SampleConfig(max_new_tokens=60, greedy=True),
                                      SampleConfig(max_new_tokens=60, temperature=0.0), SampleConfig(max_new_tokens=60, top_k=3)])
def test_it_writes_what_the_model_writes(lab, run, settings):
    model, tokenizer, _ = load_model(run, "best")
    expected = "".join(token.text for token in generate(model, tokenizer, "The cat", settings))
    for _ in range(2):  # same seed, same text, also from memory
        assert last(Writer(lab).write(run, "best", "The cat", settings, never)).text == expected


def test_the_text_only_grows_and_says_how_it_ended(lab, run):
    texts = list(Writer(lab).write(run, "last", "", SampleConfig(max_new_tokens=400, seed=1), never))
    assert all(after.text.startswith(before.text) for before, after in zip(texts, texts[1:]))
    assert [text.ending for text in texts[:-1]] == [""] * (len(texts) - 1)
    assert texts[-1].ending in ("length", "end") and (texts[-1].ending == "length") == (texts[-1].tokens == 400)


def test_stop_works_within_a_token(lab, run):
    stop = threading.Event()
    texts = Writer(lab).write(run, "last", "The", SampleConfig(max_new_tokens=100_000, seed=2, top_k=2), stop.is_set)
    seen = next(texts)
    stop.set()
    final = last(texts)
    assert final.ending in ("stopped", "end") and final.tokens < 100_000 and final.text.startswith(seen.text)


def test_a_page_that_goes_away_stops_its_writing(lab, run):
    texts = Writer(lab).write(run, "last", "The", LONG, never)
    next(texts)
    texts.close()
    for thread in threading.enumerate():
        if thread.name == "writing":
            thread.join(timeout=60)
            assert not thread.is_alive()


def test_a_second_text_of_a_page_ends_the_first(lab):
    stops = playground_tab.Stops()
    first, other_page = stops.begin("a"), stops.begin("b")
    second = stops.begin("a")
    assert first.is_set() and not second.is_set() and not other_page.is_set()
    stops.stop("a")
    stops.stop("a")
    assert second.is_set() and not other_page.is_set()


def test_few_models_are_kept_and_a_checkpoint_written_anew_is_read_anew(lab, run, tmp_path):
    writer = Writer(lab)
    steps = [path.name.removeprefix("step_").lstrip("0") or "0" for path in run.checkpoint_paths()]
    models = [writer.model(run, step)[0] for step in steps]
    assert len(steps) > MODELS_KEPT == len(writer._models)
    assert writer.model(run, steps[-1])[0] is models[-1]
    saved = run.checkpoint_paths()[-1]
    saved.touch()
    assert writer.model(run, steps[-1])[0] is not models[-1]


# what cannot be written

def test_characters_it_never_saw_are_named(lab, run):
    with pytest.raises(ValueError, match="ж"):
        next(Writer(lab).write(run, "best", "The ж", LONG, never))


@pytest.mark.parametrize("which, said", [("5", "step 5"), ("../../x", "not a checkpoint"), ("", "not a checkpoint")])
def test_a_checkpoint_that_is_not_there_is_one_sentence(lab, run, which, said):
    with pytest.raises(ValueError, match=said):
        next(Writer(lab).write(run, which, "The", LONG, never))


def test_a_cut_off_checkpoint_is_named_and_not_offered(lab, run, tmp_path):
    weights = run.checkpoint_paths()[0] / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:100])
        step = str(int(weights.parent.name.removeprefix("step_")))
        with pytest.raises(ValueError, match="Choose another"):
            next(Writer(lab).write(run, step, "The", LONG, never))
        assert step not in [value for _, value in playground_tab.checkpoints_of(lab, run.id)["choices"]]
    finally:
        weights.write_bytes(whole)


@pytest.mark.parametrize("values, said", [({"sample.temperature": 3}, "Temperature"), ({"sample.top_p": 2}, "Top-p"),
                                          ({"sample.max_new_tokens": 0}, "Length"), ({"sample.seed": "x"}, "seed")])
def test_settings_that_cannot_be_used_are_named_as_the_page_names_them(values, said):
    with pytest.raises(ValueError, match=said):
        playground_tab.sample_settings(values)


def test_empty_boxes_mean_no_limit():
    settings = playground_tab.sample_settings({"sample.top_k": None, "sample.top_p": None, "sample.max_new_tokens": 12.0})
    assert settings == SampleConfig(max_new_tokens=12)


# what is filled in

def test_the_run_on_view_is_filled_in_where_it_can_write(lab, run):
    empty, full, runs, checkpoint, prompt, held = playground_tab.filled(lab, None, run.id, {})
    assert (empty["visible"], full["visible"], runs["value"], prompt) == (False, True, run.id, "The cat")
    assert checkpoint["value"] == "best" and {"best", "last", "16"} <= {value for _, value in checkpoint["choices"]}
    assert held == {"run": run.id, "checkpoint": "best", "prompt": "The cat", "followed": run.id}
    untrained = lab.workspace.find_run("untrained")
    assert playground_tab.filled(lab, untrained.id, None, None)[2]["value"] == run.id
    assert untrained.id not in [value for _, value in runs["choices"]]


def test_what_a_person_chose_and_typed_stays(lab, run):
    """The checkpoint once went back to "Best" at every change of tab."""
    held = {"run": run.id, "checkpoint": "8", "prompt": "My own", "followed": run.id, "sample.top_k": 3}
    *_, runs, checkpoint, prompt, kept = playground_tab.filled(lab, None, run.id, held)
    assert (runs["value"], checkpoint["value"]) == (run.id, "8")
    assert prompt == kept == gr.skip()  # left alone
    *_, runs, checkpoint, prompt, kept = playground_tab.filled(lab, None, run.id, held, opening=True)
    assert (runs["value"], checkpoint["value"], prompt, kept) == (run.id, "8", "My own", gr.skip())


def test_a_run_asked_for_comes_first_and_brings_its_own_prompt(lab, run):
    held = {"run": "another", "checkpoint": "8", "prompt": "My own", "followed": "x"}
    *_, runs, checkpoint, prompt, kept = playground_tab.filled(lab, run.id, "x", held)
    assert (runs["value"], checkpoint["value"], prompt) == (run.id, "best", "The cat")
    assert kept == {"run": run.id, "checkpoint": "best", "prompt": "The cat", "followed": "x"}


@pytest.mark.parametrize("held", [None, 7, {"run": ["x"], "checkpoint": {}, "prompt": 3}, {"run": "../..", "followed": []}])
def test_what_a_browser_kept_is_checked(lab, run, held):
    *_, runs, checkpoint, prompt, _ = playground_tab.filled(lab, None, None, held, opening=True)
    assert (runs["value"], checkpoint["value"], prompt) == (run.id, "best", "The cat")


def test_settings_come_back_but_only_such_as_can_be(lab):
    held = {"sample.temperature": 0.0, "sample.top_k": 7, "sample.top_p": "much", "sample.seed": None}
    note, *boxes = playground_tab.kept_settings(held)
    values = dict(zip(playground_tab.SETTINGS, [box["value"] for box in boxes]))
    assert values == {**{name: form.FIELDS[name].default for name in values}, "sample.temperature": 0.0, "sample.top_k": 7}
    assert words.ZERO_NOTE in note and not boxes[list(values).index("sample.top_k")]["interactive"]
    assert [box["value"] for box in playground_tab.kept_settings(None)[1:]] == \
        [form.to_widget(name, form.FIELDS[name].default) for name in playground_tab.SETTINGS]


def test_with_no_trained_run_it_says_what_to_do(tmp_path, small_text):
    empty = Lab(tiny_workspace(tmp_path, small_text), SimpleNamespace(current=None, queue=[]))
    shown = playground_tab.filled(empty, None, None, {})
    assert (shown[0]["visible"], shown[1]["visible"]) == (True, False)
    with pytest.raises(ValueError, match=words.NO_SUCH_RUN):
        playground_tab.checkpoints_of(empty, "../..")


@pytest.mark.parametrize("greedy, temperature, free", [(False, 0.8, [True] * 5), (False, 0, [True, False, False, False, False]),
                                                       (True, 0.8, [False] * 5), (True, 0, [False] * 5)])
def test_greedy_switches_off_what_it_makes_useless_and_says_so(greedy, temperature, free):
    note, *boxes = playground_tab.greedy_note(greedy, temperature)
    assert [box["interactive"] for box in boxes] == free and bool(note) == (not all(free))


def test_of_a_book_for_a_beginning_the_end_is_read_and_that_is_said():
    assert playground_tab.read_prompt("Tom was") == ("Tom was", "Tom was", "")
    read, shown, note = playground_tab.read_prompt("x" * 10**6 + "Tom was")
    assert len(read) == playground_tab.MOST_PROMPT and read.endswith("xTom was") and shown == "…" + read and "20,000" in note


@pytest.mark.parametrize("asked", [None, {}, {"prompt": 3, "begun": [], "number": 1}, {"prompt": "a", "begun": ["x"], "number": 1},
                                   {"prompt": "a", "begun": [1], "number": None}])
def test_what_no_page_of_ours_asks_for_is_refused(asked):
    with pytest.raises(ValueError, match="press Generate"):
        playground_tab.branched(asked)


def test_a_text_goes_on_behind_tokens_chosen_by_hand(lab, run):
    """As if it had written them itself: what follows is what follows the same ids without a cache; not another model's ids."""
    model, tokenizer, _ = load_model(run, "best")
    settings = SampleConfig(max_new_tokens=8, greedy=True)
    begun = [int(id) for id in tokenizer.encode(" sat")]
    written = last(Writer(lab).write(run, "best", "The cat", settings, never, begun))
    assert written.text == "".join(token.text for token in generate(model, tokenizer, "The cat sat", settings, use_cache=False))
    told = playground_tab.told(written.pieces[0], tokenizer)
    assert told[:2] == [written.pieces[0].id, written.pieces[0].text] and told[3][0][:2] == told[:2] and len(told[3]) == 10
    with pytest.raises(ValueError, match="press Generate"):
        last(Writer(lab).write(run, "best", "The cat", settings, never, [tokenizer.vocab_size]))
