"""What the Doctor knows of a run, and how it words an alert: shared by all diseases. Knows no disease."""

from __future__ import annotations

import math
from collections.abc import Callable

from gptlab.config import RunConfig
from gptlab.events import Alert, Checkpoint, Evaluation, Event, Setting, Step
from gptlab.model import estimate
from gptlab.train.plan import Plan

TOO_HIGH = 4.0             # times the usual rate: up to there tuned recipes go, so beyond it a symptom has its cause
TOO_LOW = 0.1              # of the usual rate: no recipe goes there
MUON_FACTOR = 10.0         # Muon's steps are of fixed length in every direction: first-minute's tuned rate is 9 × AdamW's
JUDGED_AFTER = 0.2         # of the run, and not before LEAST_STEPS: earlier, every run is still above the baselines
LEAST_STEPS = 100
BETTER = 0.005             # a loss lower by this share counts as better
TOKEN_DEVIATION = 4.0      # of a token's loss, in nats: about 2, doubled because neighbouring tokens are alike
TRAIN_WINDOWS = 128        # at most, in the train loss of an Evaluation


class Case:
    """What is known of the run, for all diseases."""

    def __init__(self, config: RunConfig, manifest: dict, val_overlap: Callable[[], float] | None, from_scratch: bool):
        self.train, self.from_scratch, self.val_overlap = config.train, from_scratch, val_overlap
        self.causal, self.model = config.model.causal, config.model
        self.split, self.val_fraction = manifest.get("split"), config.data.val_fraction
        self.total_steps = Plan(config, manifest["train_tokens"]).last_step()
        self.baselines = {name: value if value is not None else math.nan for name, value in manifest["baselines"].items()}
        self.guessing = math.log(estimate.table_rows(config.model, manifest["vocab_size"]))
        parameters = estimate.total_parameters(config.model, manifest["vocab_size"])
        # Kaplan et al. 2020 (arXiv:2001.08361, D.6): the rate that does best with Adam falls with the logarithm of the size
        self.usual_rate = max(1e-4, 0.003239 - 0.0001395 * math.log(parameters))
        tokens = min(manifest["val_tokens"], TRAIN_WINDOWS * config.model.context_length)
        self.batch_size = config.train.sequences(config.model.context_length)
        if config.train.eval_batches is not None:
            tokens = min(tokens, config.train.eval_batches * self.batch_size * config.model.context_length)
        self.chance = TOKEN_DEVIATION * math.sqrt(2 / max(1, tokens))  # between two texts alike, nats
        self.said: dict[str, Alert] = {}
        self.learning_rate = self.highest_rate = 0.0
        self.evaluation: Evaluation | None = None
        self.best_saved: int | None = None  # the step of the best checkpoint

    @property
    def factor(self) -> float:
        """Of the optimizer: how much larger its usual rate is than AdamW's."""
        return MUON_FACTOR if self.train.optimizer == "muon" else 1.0

    def note(self, event: Event) -> None:
        if isinstance(event, Step):
            self.learning_rate, self.highest_rate = event.learning_rate, max(event.learning_rate, self.highest_rate)
        elif isinstance(event, Setting) and "train.max_learning_rate" in event.changes:
            self.highest_rate = 0.0  # since somebody changed it: advice goes from where it is now
        elif isinstance(event, Checkpoint) and "best" in event.kept_as:
            self.best_saved = event.step
        elif isinstance(event, Evaluation):
            self.evaluation = event

    @property
    def rate_is_high(self) -> bool:
        return self.learning_rate > TOO_HIGH * self.factor * self.usual_rate

    @property
    def rate_is_low(self) -> bool:
        return self.highest_rate < TOO_LOW * self.usual_rate

    def gentler_rate(self) -> float:
        """What to try where the rate so far was too high."""
        return rounded(min(self.highest_rate / 3, self.factor * self.usual_rate))

    def judged(self, step: int, since: int = 0) -> bool:
        """Whether from `since` to `step` is long enough, in updates and as a share of the run, to judge by."""
        return step - since >= max(LEAST_STEPS, JUDGED_AFTER * (self.total_steps or 0))


def alert(event: Event, code: str, severity: str, message: str, evidence: str, remedy: str, *actions: dict) -> Alert:
    return Alert(step=event.step, time_seconds=event.time_seconds, code=code, severity=severity, message=message,
                 evidence=evidence, remedy=remedy, actions=list(actions))


def too_high(event: Event, case: Case, evidence: str) -> Alert:
    rate = case.gentler_rate()
    return alert(event, "learning_rate_too_high", "warning", "The learning rate is too high: every step overshoots, so the "
                 "model does not settle.", f"{evidence} The learning rate is {case.learning_rate:.2g}.",
                 f"Set train.max_learning_rate to {rate:g}.", set_rate(rate), {"action": "new", "changes": both_rates(rate)})


def set_rate(rate: float) -> dict:
    """A change of the live run."""
    return {"action": "set", "changes": {"train.max_learning_rate": rate}}


def fork(changes: dict, rate: float | None = None, step: int | None = None) -> dict:
    """A new run from the checkpoint of `step`, or from the last one."""
    action = {"action": "fork", "changes": changes | (both_rates(rate) if rate else {})}
    return action if step is None else action | {"step": step}


def both_rates(rate: float) -> dict:
    """Both ends of the schedule, the end a tenth of the top."""
    return {"train.max_learning_rate": rate, "train.min_learning_rate": rounded(rate / 10)}


def other_split(case: Case) -> tuple[str, dict]:
    """How to hold out other text, where it differs from the training text: in words, and as an action."""
    if case.split == "spread":
        share = min(0.5, rounded(2 * case.val_fraction))
        return (f"Prepare the text again with data.val_fraction at {share:g}: a larger part is more like the whole.",
                {"action": "prepare", "changes": {"data.val_fraction": share}})
    return ("Prepare the text again with data.split at spread, so that both hold some of everything.",
            {"action": "prepare", "changes": {"data.split": "spread"}})


def rounded(value: float) -> float:
    """To one digit, as people write settings."""
    return float(f"{value:.0e}")
