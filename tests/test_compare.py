"""Runs side by side: what differs, what compares, curves over four axes, and texts after the same prompt."""

import json
import math

import pytest
from test_history import evaluation, sample, status, step
from tiny_run import tiny_run, tiny_workspace

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Setting
from gptlab.model.estimate import flops_per_token
from gptlab.runs.compare import AXES, DRAWN_ALIKE, DRAWN_UNLIKE, OTHER_SPLIT, OTHER_TOKENS, SAME_DATA, compare
from gptlab.runs.disk import RunError
from gptlab.runs.workspace import create_run


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


def trained(run, losses=(4.0, 2.0, 3.0)):
    """As if it had been trained for 20 steps."""
    run.append(status(0, "running"), evaluation(0, losses[0]), *(step(n, 3.0) for n in range(1, 11)), evaluation(10, losses[1]),
               sample(10, "The cat", " half"), *(step(n, 3.0) for n in range(11, 21)), evaluation(20, losses[2]),
               sample(20, "The cat", " end"), status(20, "finished"))
    return run


def test_only_what_differs(workspace):
    runs = [tiny_run(workspace, "a"), tiny_run(workspace, "b", model__n_layer=2), tiny_run(workspace, "c", model__n_layer=2)]
    found = compare(runs)
    assert {one.name: one.values for one in found.differences} == {
        "parameters": [one.parameters for one in found.contenders], "model.n_layer": [1, 2, 2]}
    assert [one.label for one in found.contenders] == ["A a", "B b", "C c"]
    assert found.note == SAME_DATA
    assert compare([tiny_run(workspace, "d"), runs[0]]).differences == []


def changed(n, name, value, before):
    return Setting(step=n, time_seconds=n / 2, changes={name: value}, before={name: before})


def test_what_was_changed_while_a_run_went_on_differs(workspace):
    """Settings alike at the start, of runs that went other ways; what was rolled back never was."""
    rate, patience = "train.max_learning_rate", "train.patience"
    one, two, three = (tiny_run(workspace, name) for name in ("a", "b", "c"))
    one.append(changed(10, rate, 3e-4, 1e-3), changed(20, rate, 5e-4, 3e-4), status(15, "running", resumed=15),
               changed(30, rate, 2e-4, 3e-4), changed(30, rate, 1e-4, 2e-4))
    two.append(changed(0, rate, 2e-3, 1e-3), changed(5, rate, 1e-3, 2e-3), changed(5, rate, 2e-3, 1e-3))
    found = compare([one, two, three])
    assert [difference.name for difference in found.differences] == [rate]
    assert found.differences[0].texts() == ["0.001, then 0.0003 from step 10, then 0.0001 from step 30", "0.002", "0.001"]
    told = json.loads(json.dumps(found.to_dict()))["differences"][0]
    assert told["values"] == [1e-3, 2e-3, 1e-3] and told["later"][0][1] == {"step": 30, "value": 1e-4}
    three.append(changed(10, patience, None, 5), changed(20, patience, 3, None))
    assert compare([two, three]).differences[1].texts() == ["None", "5, then None from step 10, then 3 from step 20"]


@pytest.mark.parametrize("value", ["x" * 50, [1], {"a": 1}, True, 10**400])
def test_a_change_that_says_no_number_never_was(workspace, value):
    """Events may come from elsewhere."""
    one, two, rate = tiny_run(workspace, "a"), tiny_run(workspace, "b"), "train.max_learning_rate"
    one.append(changed(1, rate, value, 1e-3), changed(2, rate, 2e-3, value), changed(3, "no.setting", 1, 2),
               Setting(step=4, time_seconds=0.0, changes=value, before=value))
    assert [(one.values, one.later) for one in compare([one, two]).differences] == [([1e-3, 1e-3], [[(2, 2e-3)], []])]


def test_what_texts_differ_by_beside_the_models(workspace):
    def unlike(**settings):
        return compare([run, tiny_run(workspace, "b", **settings)]).to_dict()["drawn_unlike"]
    run = tiny_run(workspace, "a")
    assert unlike(model__n_layer=2, sample__prompts=("Other",)) == []
    assert unlike(sample__seed=7, sample__temperature=0.5) == ["sample.temperature", "sample.seed"]
    run = tiny_run(workspace, "c", sample__greedy=True)
    assert unlike(sample__seed=7, sample__temperature=0.0, sample__max_new_tokens=9) == ["sample.max_new_tokens"]
    both = compare([tiny_run(workspace, "d", sample__temperature=0.5), tiny_run(workspace, "e"), tiny_run(workspace, "f", sample__seed=7)])
    assert both.drawing() == DRAWN_UNLIKE + "Temperature 0.8, but A 0.5; Sampling seed 1337, but C 7."
    assert compare([one.run for one in both.contenders[:2]]).drawing() == DRAWN_UNLIKE + "Temperature A 0.5, B 0.8."
    assert compare([both.contenders[1].run, tiny_run(workspace, "g")]).drawing() == DRAWN_ALIKE
    assert set(unlike(sample__seed=7)) == {"sample.greedy", "sample.seed"}


def test_what_may_be_compared(workspace, tmp_path, small_text):
    """Same text in other tokens: bits per byte. Other text: at most a hint."""
    def run(name: str, **data):
        prepare(DataConfig(**{"source": str(tmp_path / "tiny.txt"), **data}), workspace.datasets / name)
        dataset = workspace.open_dataset(name)
        config = tiny_run(workspace, "x").config().replace({f"data.{key}": value for key, value in data.items()})
        return create_run(workspace, config, dataset, name)
    (tmp_path / "other.txt").write_text(small_text[6000:], encoding="utf-8")
    chars = run("chars")
    tokens, again = compare([chars, run("bytes", tokenizer="byte")]), compare([chars, tiny_run(workspace, "again")])
    assert tokens.note == OTHER_TOKENS and tokens.same_text and not tokens.same_data
    assert {one.name for one in tokens.differences} == {"dataset", "tokenizer", "vocab_size", "parameters"}
    assert again.same_data and again.note == SAME_DATA, "the same hash under another name is the same data"
    tail = compare([chars, run("tail", split="tail", val_fraction=0.2)])
    assert tail.note == OTHER_SPLIT and not tail.same_text
    other = compare([run("bytes-2", tokenizer="byte"), run("other", source=str(tmp_path / "other.txt"))])
    assert not other.same_text and "data sets differ" in other.note and OTHER_TOKENS in other.note


def test_who_sees_the_answer_is_never_the_best(workspace):
    """Without the causal mask the lowest loss of all says nothing."""
    def run(name: str, loss: float, causal: bool):
        return trained(tiny_run(workspace, name, model__causal=causal), (loss + 1, loss, loss + 2))
    worse, better, blind = run("worse", 2.0, True), run("better", 1.8, True), run("blind", 0.02, False)
    found = compare([worse, blind, better])
    assert found.winners == {"val_bits_per_byte": ["A", "C"], "val_loss": ["C"], "val_perplexity": ["A", "C"]}
    assert found.note.startswith(SAME_DATA) and "B blind has no causal mask: it sees the token" in found.note
    assert compare([worse, better]).note == SAME_DATA
    alone = compare([better, blind])
    assert alone.winners == alone.to_dict()["winners"] == {}, "one alone is not the best"
    several = compare([run("dark", 0.1, False), better, blind, run("dim", 0.3, False)])
    assert "But A dark, C blind and D dim have no causal mask: they see" in several.note


def test_one_name_for_different_data(workspace, tmp_path):
    """Data sets of two workspaces may share a name: the beginning of the hash tells them apart."""
    one, two = tiny_run(workspace, "a"), tiny_run(workspace, "b")
    manifest = {**two.manifest(), "hash": "f" * 64}
    (two.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    difference = compare([one, two]).differences[0]
    assert difference.name == "dataset" and difference.values == [f"tiny ({one.manifest()['hash'][:8]})", "tiny (ffffffff)"]


def test_curves_over_every_axis(workspace):
    one = compare([trained(tiny_run(workspace, "a")), trained(tiny_run(workspace, "b"))]).contenders[0]
    work = flops_per_token(one.config.model, one.manifest["vocab_size"])
    expected = {"step": [0, 10, 20], "tokens": [0, 1000, 2000], "time_seconds": [0, 5, 10], "flops": [0, 1000 * work, 2000 * work]}
    for axis in AXES:
        x, y = one.curve("val_loss", axis)
        assert x.tolist() == pytest.approx(expected[axis]) and y.tolist() == [4, 2, 3]
    x, y = one.curve("train_loss", "tokens")
    assert x.tolist() == [100.0 * n for n in range(1, 21)] and y.tolist() == [3.0] * 20
    assert one.best.step == 10
    assert one.curve("val_bits_per_byte", "step")[1].tolist() == [1.5] * 3


def test_texts_after_the_same_prompt_at_the_same_share(workspace):
    one, two = trained(tiny_run(workspace, "a")), tiny_run(workspace, "b")
    two.append(*(step(n) for n in range(1, 101)), sample(2, "The cat", " early"), sample(49, "The cat", " middle"),
               sample(49, "A dog", " only here"))
    found = compare([one, two])
    assert found.prompts() == ["The cat"]
    assert [text.text for text in found.samples("The cat")] == [" end", " middle"]
    assert [text.text for text in found.samples("The cat", share=0.5)] == [" half", " middle"]
    assert [text.text for text in found.samples("The cat", share=0)] == [" half", " early"]
    assert found.samples("A dog")[0] is None


def test_everything_is_plain_json(workspace):
    """A loss that is no number, a run that was never measured: no NaN reaches a page."""
    one, two = trained(tiny_run(workspace, "a"), losses=(4.0, math.nan, 2.0)), tiny_run(workspace, "b")
    values = json.loads(json.dumps(compare([one, two]).to_dict(), allow_nan=False))
    assert values["runs"][0]["best"]["step"] == 20 and values["runs"][1]["best"] is None
    assert values["runs"][0]["curves"]["val_loss"]["step"] == [[0, 20], [4, 2]]
    assert values["runs"][1]["curves"]["train_loss"]["flops"] == [[], []]


def test_what_cannot_be_compared(workspace):
    runs = [tiny_run(workspace, f"r{n}") for n in range(9)]
    for wrong, message in (([runs[0]], "2 to 8 runs, not 1"), (runs, "not 9"), ([runs[0], runs[0]], "named twice")):
        with pytest.raises(RunError, match=message):
            compare(wrong)
    assert len(compare(runs[:8]).contenders) == 8
    runs[1].tokenizer_path.unlink()
    with pytest.raises(RunError, match="tokenizer.json is missing"):
        compare(runs[:2])
