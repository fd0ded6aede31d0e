"""What the Doctor says of healthy runs, and of runs made ill on purpose.

    python benchmarks/doctor_alarms.py [--quick] [--seeds 3] [--only TEXT] [--keep FOLDER] [--again FOLDER] [--json]

Trains small models on built-in texts, as the command line does, and compares the alerts with those expected: of a healthy run
none, of an ill one its own, and no other that is not true as well. `--keep` leaves the runs in a folder; `--again` judges those
in one with the Doctor as it is now, in seconds, for whoever changes a threshold. All cases, of one seed, take about half an
hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()

from gptlab.cli.datasets import same_or_new
from gptlab.config import RunConfig
from gptlab.data import ngrams
from gptlab.data.dataset import open_dataset
from gptlab.data.sources import read_documents
from gptlab.data.synthetic import stories
from gptlab.events import Alert, Evaluation
from gptlab.presets import preset
from gptlab.runs import worker
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run
from gptlab.train.doctor import Doctor
from gptlab.train.trainer import Trainer

SMALL = {"data.documents": 2000, "data.vocab_size": 512, "model.n_layer": 2, "model.n_head": 4, "model.n_embd": 64,
         "model.context_length": 64, "model.positions": "rope", "train.max_steps": 500, "train.warmup_steps": 50,
         "train.eval_every": 25, "train.device": "cpu", "sample.max_new_tokens": 100}
MUON = {"train.optimizer": "muon", "train.max_learning_rate": 0.012, "train.min_learning_rate": 3e-4,
        "train.schedule": "linear"}
HOT = frozenset({"learning_rate_too_high", "divergence", "not_a_number"})
OVERLEARNT = frozenset({"overfitting", "memorisation"})
EXPERTS = {"model.norm": "rmsnorm", "model.mlp": "swiglu", "model.mlp_hidden": 48, "model.n_expert": 8}
DOCUMENTS = {"python-docs": 20_000, "python-source": 30, "arithmetic": 20_000, "stories": 2000}
HEALTHY_STEPS = {"train.max_steps": 300}


@dataclass(frozen=True)
class Case:
    """A run. `expected`: one of these alerts must come, none where it is empty; `also`: those that would be true as well.
    `text` makes its source where that is no built-in; `meanwhile` is what is set live after a step."""

    name: str
    settings: dict
    expected: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    text: object = None
    meanwhile: dict[int, dict] = field(default_factory=dict)
    quick: bool = False


def cases(seeds: int) -> list[Case]:
    return [*ill(), *healthy(seeds), *presets_as_they_are()]


def presets_as_they_are() -> list[Case]:
    """Those a CPU trains in minutes, whole but for Shakespeare, whose text is not built in."""
    def whole(name, **more):
        config = preset(name).config.to_dict()
        return {f"{section}.{key}": tuple(value) if isinstance(value, list) else value
                for section, values in config.items() for key, value in values.items()} | more

    return [Case("preset first-minute", whole("first-minute")),
            Case("preset overfit", whole("overfit"), frozenset({"overfitting"}), OVERLEARNT),
            Case("preset shakespeare-char-cpu on python-source",
                 whole("shakespeare-char-cpu", **{"data.source": "python-source", "data.documents": 40, "train.max_steps": 1000,
                                                  "train.eval_every": 50})),
            Case("default settings on stories", {"data.documents": 5000, "train.max_steps": 800, "train.eval_every": 50})]


def healthy(seeds: int) -> list[Case]:
    found = []
    for seed in range(1, seeds + 1):
        for source, documents in DOCUMENTS.items():
            for tokenizer in ("bpe", "char", "byte"):
                for optimizer, rates in (("adamw", {"train.max_learning_rate": 3e-3}), ("muon", MUON)):
                    found.append(Case(
                        f"{source}, {tokenizer}, {optimizer}, seed {seed}",
                        {"data.source": source, "data.documents": documents, "data.tokenizer": tokenizer, "data.seed": seed,
                         "train.seed": seed, **HEALTHY_STEPS, **rates},
                        quick=seed == 1 and optimizer == "adamw" and tokenizer == "char"))
    variants = {
        "batches of two": {"train.batch_size": 2, "train.max_steps": 1000},
        "constant rate": {"train.schedule": "constant", "train.max_learning_rate": 1e-3},
        "warm-up, stable, decay": {"train.schedule": "wsd", "train.max_learning_rate": 2e-3},
        "no warm-up": {"train.warmup_steps": 0, "train.max_learning_rate": 2e-3},
        "dropout": {"model.dropout": 0.2}, "random order": {"train.order": "random"},
        "a low rate": {"train.max_learning_rate": 3e-4, "train.min_learning_rate": 3e-5, "train.max_steps": 1000},
        "little unseen text, looked at often": {"data.val_fraction": 0.005, "train.eval_every": 5},
        "one long text, its tail unseen": {"data.source": "python-source", "data.documents": 30, "data.split": "tail"},
        "GPT-2's parts": {"model.positions": "learned", "model.bias": True, "model.tie_embeddings": False},
        "Llama's parts": {"model.norm": "rmsnorm", "model.mlp": "swiglu", "model.qk_norm": True, "model.n_kv_head": 2},
        "experts": EXPERTS, "experts, muon": EXPERTS | MUON,
        "many experts": EXPERTS | {"model.n_expert": 32, "model.n_expert_active": 4},
        "many heads": {"model.n_head": 16}, "six layers": {"model.n_layer": 6, "train.max_steps": 300},
        "no clipping": {"train.grad_clip": None}, "documents with few held out": {"data.source": "python-docs",
                                                                                  "data.documents": 60, "train.max_steps": 250},
    }
    chosen = ("batches of two", "one long text, its tail unseen")
    return found + [Case(f"healthy: {name}", HEALTHY_STEPS | settings, quick=name in chosen)
                    for name, settings in variants.items()]


def ill() -> list[Case]:
    rate, constant = "train.max_learning_rate", {"train.schedule": "constant"}
    tail, chars = {"data.split": "tail"}, {"data.tokenizer": "char"}
    return [
        Case("rate × 30, adamw", {rate: 0.09, "train.min_learning_rate": 0.009}, HOT, quick=True),
        Case("rate × 30, muon", MUON | {rate: 0.36, "train.min_learning_rate": 0.009}, HOT),
        Case("rate × 300, no clipping", {rate: 0.9, "train.min_learning_rate": 0.09, "train.grad_clip": None}, HOT),
        Case("rate × 30 on code", {"data.source": "python-source", "data.documents": 30, rate: 0.09}, HOT),
        Case("rate ÷ 100, adamw", {rate: 1e-5, "train.min_learning_rate": 1e-6}, frozenset({"learning_rate_too_low"}),
             quick=True),
        Case("rate ÷ 100, muon", MUON | {rate: 1.2e-4, "train.min_learning_rate": 3e-6},
             frozenset({"learning_rate_too_low", "underfitting"})),
        Case("rate ÷ 100 on documentation", {"data.source": "python-docs", rate: 1e-5, "train.min_learning_rate": 1e-6},
             frozenset({"learning_rate_too_low"})),
        Case("unseen text from elsewhere", tail, frozenset({"val_unlike_train"}), text=lambda: told(1500) + code(60_000),
             quick=True),
        Case("unseen text in capitals", tail, frozenset({"val_unlike_train"}),
             text=lambda: told(1500) + told(150, seed=9).upper()),
        Case("unseen text is a copy", tail | {"train.max_steps": 800}, frozenset({"leakage"}), OVERLEARNT,
             text=lambda: code(80_000) + code(10_000), quick=True),
        Case("all text stands in it twice", {"train.max_steps": 800, "data.split": "spread"}, frozenset({"leakage"}),
             OVERLEARNT, text=lambda: code(60_000) + told(40) + code(60_000)),
        Case("unseen text is easier", tail, frozenset({"val_below_train"}),
             text=lambda: garbled(told(1500)) + told(160, seed=9)),
        Case("little text, many epochs, bpe", {"data.source": "python-docs", "data.documents": 26, rate: 3e-3,
                                               "data.tokenizer": "bpe"}, frozenset({"overfitting"})),
        Case("little text, many epochs, muon", MUON | {"data.source": "python-docs", "data.documents": 26,
                                                       "data.tokenizer": "bpe"}, frozenset({"overfitting"})),
        Case("a handful of text", {"train.max_steps": 600}, OVERLEARNT, text=lambda: code(8000), quick=True),
        Case("clipped at 0.02", {"train.grad_clip": 0.02}, frozenset({"clipped"})),
        Case("twenty steps", {"train.max_steps": 20, "train.warmup_steps": 5}, frozenset({"underfitting"})),
        Case("letters at random", constant | chars, frozenset({"plateau"}), text=lambda: at_random(300_000)),
        Case("experts without balance", EXPERTS | MUON | {"model.expert_balance": 0.0}, frozenset({"expert_starves"})),
        Case("rate × 30 for a moment", constant, HOT | {"spike"}, meanwhile={250: {rate: 0.09}, 256: {rate: 3e-3}}),
        Case("rate × 30 from the middle on", constant, HOT, meanwhile={250: {rate: 0.09}}),
    ]


# --- the texts ---

def told(documents: int, seed: int = 5) -> str:
    return "\n".join(stories(documents, seed)[0])


def code(characters: int) -> str:
    """The beginning of Python's source, always the same."""
    config = RunConfig().replace({"data.source": "python-source", "data.documents": 60}).data
    return "\n".join(read_documents(config).documents)[:characters]


def garbled(text: str) -> str:
    """Every other line is letters at random."""
    chance = random.Random(5)
    return "\n".join("".join(chance.choices("abcdefghij klmnop", k=len(part))) if i % 2 else part
                     for i, part in enumerate(text.split("\n"))) + "\n"


def at_random(characters: int) -> str:
    return "".join(random.Random(6).choices("abcdefghijklmnopqrstuvwxyz", k=characters))


# --- running and judging ---

def train(case: Case, workspace: Workspace) -> RunDir:
    """The run of a case, trained to its end."""
    settings = ({} if case.name.startswith("preset") else SMALL | {"train.max_learning_rate": 3e-3}) | case.settings
    if case.text is not None:
        source = workspace.datasets / f"{slug(case.name)}.txt"
        source.write_text(case.text(), encoding="utf-8")
        settings |= {"data.source": str(source)}
    config = RunConfig().replace(settings)
    run = create_run(workspace, config, same_or_new(workspace, config.data), slug(case.name))
    with mock.patch.object(worker, "Trainer", lambda *given, **named: Meddled(case.meanwhile, *given, **named)):
        worker.run(run)
    return run


class Meddled(Trainer):
    """A trainer whose settings somebody changes at certain steps, as commands would, but at just these."""

    def __init__(self, changes: dict[int, dict], *given, **named):
        super().__init__(*given, **named)
        self._changes = changes

    def run(self, *given):
        for events in super().run(*given):
            yield events
            if self.step in self._changes:
                self.change(self._changes[self.step])


def judged_again(run: RunDir, workspace: Workspace) -> list[Alert]:
    """What the Doctor would say today, from the run's events. Heads need the model: of them, what was said."""
    dataset = open_dataset(workspace.dataset_of(run))
    length = 4 * ngrams.stretch_length(dataset.manifest["train_tokens"], dataset.manifest["train_bytes"])
    doctor = Doctor(run.config(), dataset.manifest, val_overlap=lambda: ngrams.overlap(dataset.val, dataset.train, length))
    events = run.events()
    found = [alert for event in events if not isinstance(event, Alert) for alert in doctor.see(event)]
    return found + [event for event in events if isinstance(event, Alert) and event.code == "dead_heads"]


def verdict(case: Case, codes: set[str]) -> str:
    missed = case.expected and not case.expected & codes
    false = codes - case.expected - case.also
    return ", ".join([*["MISSED"] * bool(missed), *(f"FALSE {code}" for code in sorted(false))]) or "right"


def result(case: Case, run: RunDir, alerts: list[Alert]) -> dict:
    evaluations = [event for event in run.events() if isinstance(event, Evaluation)]
    best = min(evaluations, key=lambda event: event.val_loss)
    last, status = evaluations[-1], run.status()
    return {"case": case.name, "state": status["state"], "steps": status["step"], "epochs": round(status["epoch"], 1),
            "seconds": round(status["time_seconds"]), "train_loss": last.train_loss, "best_val_loss": best.val_loss,
            "val_loss": last.val_loss, "expected": sorted(case.expected), "evidence": [one.evidence for one in alerts],
            "alerts": [f"{one.code} @ {one.step}" for one in alerts], "verdict": verdict(case, {one.code for one in alerts})}


def line(row: dict) -> str:
    return (f"{row['case']:<45}{row['steps']:>6}{row['epochs']:>7}{row['seconds']:>5} s{row['train_loss']:>8.3f}"
            f"{row['best_val_loss']:>8.3f}{row['val_loss']:>8.3f}  {row['verdict']:<32} {', '.join(row['alerts']) or 'none'}")


def slug(name: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name).split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a dozen of them")
    parser.add_argument("--seeds", type=int, default=3, help="of each healthy combination")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--keep", type=Path, help="a folder to leave the runs in; those in it already are not trained again")
    parser.add_argument("--again", type=Path, help="judge the runs in this folder anew, train none")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gptlab-doctor-", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(args.again or args.keep or Path(folder))
        rows = examine([case for case in cases(args.seeds) if args.only in case.name and (case.quick or not args.quick)],
                       workspace, args.again is not None)
    wrong = [row for row in rows if row["verdict"] != "right"]
    print(json.dumps(rows) if args.json else f"{len(rows)} runs, {len(wrong)} judged wrongly")


def examine(asked: list[Case], workspace: Workspace, again: bool) -> list[dict]:
    """The result of each case, told as it comes."""
    known = {run.id.split("-", 2)[2]: run for run in workspace.list_runs() if run.state() in ("finished", "failed")}
    print(f"{'case':<45}{'steps':>6}{'epochs':>7}{'time':>7}{'train':>8}{'best':>8}{'val':>8}  {'verdict':<32} alerts",
          file=sys.stderr)
    rows = []
    for case in asked:
        run = known.get(slug(case.name))
        if run is None and again:
            continue
        run = run or train(case, workspace)
        alerts = judged_again(run, workspace) if again else [event for event in run.events() if isinstance(event, Alert)]
        rows.append(result(case, run, alerts))
        print(line(rows[-1]), file=sys.stderr, flush=True)
        if rows[-1]["verdict"] != "right":
            print("\n".join(f"    {one.code}: {one.evidence}" for one in alerts), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
