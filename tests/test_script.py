"""A train.py to take home: it repeats the run digit for digit, and holds nothing that the run has no use for."""

import ast
import contextlib
import dataclasses
import io
import json
import math
import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from gptlab.data.dataset import open_dataset
from gptlab.data.tokenizers import ByteTokenizer, CharTokenizer
from gptlab.exchange import script, script_text
from gptlab.exchange.export import ExportError, export, source_of
from gptlab.exchange.script_run import done_by
from gptlab.model import cross_entropy
from gptlab.runs import steering, worker
from gptlab.threads import compute_with
from gptlab.train import device
from tiny_run import finished_run, tiny_run, tiny_workspace

# Together they have every part that a script can have on a processor. The words are what each of them must not mention.
SETTINGS = {
    "gpt2": ({"model.bias": True, "model.n_layer": 2, "train.max_steps": 24},
             "rope, rotate, RMSNorm, silu, relu, Muon, muon, Experts, dropout, checkpoint, BATCHES_PER, autocast, q_norm, output"),
    "llama": ({"model.positions": "rope", "model.norm": "rmsnorm", "model.mlp": "relu2", "model.n_head": 4, "model.n_kv_head": 2,
               "model.qk_norm": True, "model.tie_embeddings": False, "train.optimizer": "muon", "train.schedule": "wsd",
               "train.tokens_per_update": 256, "train.patience": 9, "sample.top_k": 5},
              "gelu, LayerNorm, position_embedding, Experts, dropout, cos(math, silu"),
    "experts": ({"model.positions": "rope", "model.norm": "rmsnorm", "model.mlp": "swiglu", "model.n_expert": 4, "model.n_layer": 3,
                 "model.n_expert_active": 3, "train.optimizer": "muon", "train.grad_clip": None, "train.schedule": "linear",
                 "train.order": "random", "train.gradient_checkpointing": True},
                "gelu, MLP(, q_norm, clip_grad, PATIENCE, N_KV_HEAD, randperm"),
    "dropout": ({"model.dropout": 0.2, "train.tokens_per_update": 256, "train.gradient_checkpointing": True,
                 "model.mlp": "gelu_tanh", "train.warmup_steps": 0, "sample.greedy": True},
                "ThreadPool, autograd.grad, WARMUP, multinomial"),
    "ablations": ({"model.causal": False, "model.residual": False, "model.norm": "none", "model.positions": "none",
                   "train.schedule": "constant"},
                  "is_causal, attention_norm, Norm, x + self, MIN_LEARNING_RATE, EPSILON, vectors"),
    "narrow": ({"train.precision": "bf16", "model.positions": "rope", "model.norm": "rmsnorm", "model.mlp": "swiglu",
                "model.qk_norm": True, "model.vocab_size": 64}, "relu, LayerNorm, SumInPieces"),
    "pieces": ({"model.mlp": "swiglu", "model.tie_embeddings": False, "model.vocab_size": 300}, "F.cross_entropy, gelu"),
}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As many as a small machine has, whatever there are here: parts are computed side by side."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "available_threads", lambda: 2)
    compute_with(2)
    yield
    compute_with(before)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("script"), small_text)


def trained(workspace, name, **changes):
    """A finished run of 24 short updates."""
    changes = {"model.dropout": 0.0, "train.tokens_per_update": None, "train.max_steps": 24, **changes}
    return finished_run(workspace, name, **{key.replace(".", "__"): value for key, value in changes.items()})


def printed(folder, *arguments) -> str:
    """What train.py prints, run in this process: torch is imported already."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.setattr(sys, "argv", ["train.py", *arguments])
        patch.chdir(folder)
        runpy.run_path(str(folder / "train.py"), run_name="__main__")
    return output.getvalue()


@pytest.fixture
def in_this_process(monkeypatch):
    """The export's check starts no process of its own."""
    monkeypatch.setattr(script, "_losses", lambda out, count: [
        float(line.rpartition(" ")[2]) for line in printed(out, str(count)).splitlines()])


def bound_and_used(text: str) -> tuple[set[str], set[str]]:
    """Names that a module binds at its top, imports among them; and names that anything in it reads."""
    tree = ast.parse(text)
    bound = {alias.asname or alias.name.split(".")[0] for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))
             for alias in node.names}
    bound |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    bound |= {name.id for node in tree.body if isinstance(node, ast.Assign) for name in ast.walk(node)
              if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    attributes = {name.attr for node in ast.walk(tree) if isinstance(node, ast.Assign) for name in node.targets
                  if isinstance(name, ast.Attribute)}
    read = [node for node in ast.walk(tree) if isinstance(getattr(node, "ctx", None), ast.Load)]
    return bound | attributes, {node.id for node in read if isinstance(node, ast.Name)} | {
        node.attr for node in read if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_gives_the_first_losses_digit_for_digit_and_has_no_part_too_many(workspace, name, tmp_path, in_this_process,
                                                                             monkeypatch):
    if name == "pieces":
        for module in (cross_entropy, script_text):
            monkeypatch.setattr(module, "LOGITS_AT_ONCE", 2**12)
    changes, absent = SETTINGS[name]
    run = trained(workspace, name, **changes)
    written = export(run, tmp_path / "out", "script")
    assert written.max_difference == 0.0 and written.checked == "The first 20 losses of train.py are exactly the run's."
    assert {path.name for path in written.path.iterdir()} == {"README.md", "tokens.json", "train.bin", "train.py", "val.bin"}

    text = (written.path / "train.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300 and max(map(len, text.splitlines())) <= 130
    imported = {name.split(".")[0] for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))
                for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])}
    assert imported <= {"torch"} | sys.stdlib_module_names
    bound, used = bound_and_used(text)
    assert sorted(bound - used - {"_"}) == [], "bound, and never used"
    assert [word for word in [*absent.split(", "), "{{", "[[", "]]:", "#:"] if word in text] == []


def test_trained_to_its_end_it_holds_the_runs_weights_and_writes_a_sample(workspace, tmp_path, in_this_process):
    run = trained(workspace, "whole", **{"model.bias": True, "train.optimizer": "muon"})
    folder = export(run, tmp_path / "out", "script").path
    told, _, written = printed(folder).partition("\n\n")
    assert [line.split()[1] for line in told.splitlines() if "never seen" in line][:3] == ["0:", "8:", "16:"]
    assert written.startswith("The cat") and len(written) > len("The cat\n")
    weights, expected = torch.load(folder / "model.pt"), load_file(run.checkpoint_paths()[-1] / "model.safetensors")
    assert {name: True for name in expected} == {name: torch.equal(weights[name], expected[name]) for name in expected}


def test_it_is_checked_in_a_process_that_has_nothing_but_torch(workspace, tmp_path):
    written = export(trained(workspace, "alone"), tmp_path / "out", "script")
    assert written.max_difference == 0.0 and "python train.py 20" in (written.path / "README.md").read_text(encoding="utf-8")
    assert "exactly the run's" in (written.path / "README.md").read_text(encoding="utf-8")


def test_it_makes_the_changes_that_somebody_made_while_the_run_went_on(workspace, tmp_path, in_this_process):
    """A run is made longer and slower after 8 of its 16 updates: a script that knew only its settings would be another run."""
    run = trained(workspace, "steered", **{"train.max_steps": 8})
    steering.extend(run, {"train.max_steps": 24})
    steering.set_live(run, {"train.max_learning_rate": 2e-4})
    assert worker.run(run.path) == "finished"
    written = export(run, tmp_path / "out", "script")
    assert written.max_difference == 0.0
    text = (written.path / "train.py").read_text(encoding="utf-8")
    assert "CHANGES = {8: {'MAX_LEARNING_RATE': 0.0002, 'END': 24}}" in text and "END = 8" in text and "STEPS = 8, 24" in text


def test_minutes_that_became_steps_do_so_after_as_many_updates(workspace, tmp_path, in_this_process):
    run = trained(workspace, "minutes", **{"train.max_steps": None, "train.max_minutes": 0.01, "train.warmup_steps": 2})
    written = export(run, tmp_path / "out", "script")
    assert written.max_difference == 0.0
    text = (written.path / "train.py").read_text(encoding="utf-8")
    assert "END = None" in text and f"'END': {run.status()['step']}" in text


def test_a_run_that_was_stopped_before_its_minutes_became_steps_never_knew_an_end(workspace, tmp_path, in_this_process):
    run = tiny_run(workspace, "stopped", train__max_steps=None, train__max_minutes=600, train__warmup_steps=2, model__dropout=0.0)
    assert worker.run(run.path, should_stop=lambda: b'{"type":"step"' in run.events_path.read_bytes()) == "stopped"
    written = export(run, tmp_path / "out", "script")
    assert written.max_difference == 0.0 and "MIN_LEARNING_RATE" not in (written.path / "train.py").read_text(encoding="utf-8")


def test_what_it_cannot_repeat_is_refused_and_leaves_nothing(workspace, tmp_path, monkeypatch):
    run = trained(workspace, "refused", **{"train.max_steps": 8})
    fork = steering.fork(workspace, run, "last", {}, "forked")
    assert worker.run(fork.path) == "finished"
    with pytest.raises(ExportError, match="is a fork.*begins with random ones"):
        export(fork, tmp_path / "out", "script")

    for wrong in (2.0, math.nan):
        monkeypatch.setattr(script, "_losses", lambda out, count: [wrong] * count)
        with pytest.raises(ExportError, match="gave 0 exactly; the largest difference is .*not this run"):
            export(run, tmp_path / "out", "script")

    for path in run.checkpoint_paths():
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        del state["trainer"]["batches"]["draws"]
        (path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(ExportError, match="older version"):
        export(run, tmp_path / "out", "script")
    assert not list(tmp_path.iterdir())


def test_a_script_that_fails_is_told_by_its_last_words(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "script_text", lambda *_: "raise ValueError('no such thing')\n")
    with pytest.raises(ExportError, match="does not run .ValueError: no such thing"):
        export(trained(workspace, "failing", **{"train.max_steps": 2}), tmp_path / "out", "script")


def test_other_last_digits_are_said_and_no_failure(workspace, tmp_path, monkeypatch):
    run = trained(workspace, "elsewhere", **{"train.max_steps": 4})
    losses = [event.loss for event in run.events() if event.type == "step"]
    monkeypatch.setattr(script, "_losses", lambda out, count: [loss + 1e-6 for loss in losses])
    written = export(run, tmp_path / "out", "script")
    assert 0 < written.max_difference < 2e-6
    assert "gave 0 exactly; the largest difference is 1e-06, because sums come out with other last digits" in written.checked


def test_the_script_of_a_gpus_run_runs_on_a_processor_too(workspace, tmp_path, in_this_process, monkeypatch):
    """What a GPU computes no script can repeat exactly; that is said, and no failure."""
    run = trained(workspace, "gpu", **{**SETTINGS["experts"][0], "model.n_head": 4, "model.n_kv_head": 2, "model.qk_norm": True})
    monkeypatch.setattr(script, "done_by", lambda *of: dataclasses.replace(
        done_by(*of), device="cuda", precision="bf16", inexact=["the run was trained on a GPU"]))
    written = export(run, tmp_path / "out", "script")
    assert 0 < written.max_difference < 0.05 and written.checked.endswith("because the run was trained on a GPU.")
    text = (written.path / "train.py").read_text(encoding="utf-8")
    assert 'DEVICE = "cuda" if' in text and "THREADS" not in text and "CORES" not in text


def test_with_everything_at_once_it_is_still_short(workspace, monkeypatch, tmp_path):
    """Such a model has no room for a sample; it compiles all the same."""
    changes = {**SETTINGS["llama"][0], "model.mlp": "swiglu", "model.n_expert": 4, "model.bias": True, "train.precision": "bf16",
               "train.gradient_checkpointing": True, "model.vocab_size": 300, "model.n_embd": 64}
    monkeypatch.setattr(script_text, "LOGITS_AT_ONCE", 2**12)
    run = trained(workspace, "everything", **{**changes, "train.max_steps": 2})
    source, dataset = source_of(run), open_dataset(workspace.datasets / "tiny")
    text = script_text.script_text(source, dataset, done_by(source, dataset))
    compile(text, "train.py", "exec")
    assert 250 < len(text.splitlines()) < 300


@pytest.mark.parametrize("tokenizer", [ByteTokenizer.of_all_bytes(), CharTokenizer.of_alphabet("aßé世 ")])
def test_tokens_become_text_again_whatever_a_token_is(tokenizer):
    tokens = json.loads(script_text.tokens_json(SimpleNamespace(tokenizer=tokenizer)))
    assert b"".join(tokens[i].encode("latin-1") for i in tokenizer.encode("aß é世")).decode("utf-8") == "aß é世"
    assert tokens[tokenizer.end_of_text] == "<|endoftext|>"


def test_a_data_sets_name_is_not_run(workspace, tmp_path, in_this_process):
    """A bundle from elsewhere names its data: no name may end the script's text and begin its code."""
    run = trained(workspace, "named", **{"train.max_steps": 2})
    manifest = json.loads((run.path / "manifest.json").read_text(encoding="utf-8"))
    manifest["name"] = '"""\nraise SystemExit("run")\n"""'
    (run.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    folder = export(run, tmp_path / "out", "script").path
    assert "SystemExit(" not in (folder / "train.py").read_text(encoding="utf-8")
