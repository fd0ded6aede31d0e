"""Two to eight runs side by side: curves over four axes, the settings that differ, what may be compared, their texts, and
who was forked from whom.

Runs are called A, B, C, … in the order they were given, the same on every chart and in every table. Knows nothing of
drawing, and needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gptlab.config import RunConfig, all_settings
from gptlab.events import Evaluation, Sample
from gptlab.model.estimate import flops_per_token, total_parameters
from gptlab.runs.changes import course
from gptlab.runs.curves import history_in_sum
from gptlab.runs.disk import RunError
from gptlab.runs.family import Member, family
from gptlab.runs.history import RunHistory, last_of_each, read_history
from gptlab.runs.rundir import RunDir

FEWEST, MOST = 2, 8
LETTERS = "ABCDEFGH"
AXES = {"step": "training steps", "tokens": "tokens read", "time_seconds": "seconds of work", "flops": "FLOPs"}
QUANTITIES = ("train_loss", "val_loss", "val_perplexity", "val_bits_per_byte")
LEARNT_FROM = ("source", "documents", "characters", "split", "train_bytes", "val_bytes")  # of a manifest: the same text?
LENGTH = ("sample.max_new_tokens", "sample.stop")  # where a text ends
DRAWING = ("sample.seed", "sample.greedy", "sample.temperature", "sample.top_k", "sample.top_p")

SAME_DATA = "All were trained and measured on exactly the same data, so every number compares."
OTHER_TOKENS = ("The tokenizers differ, so a token is not the same amount of text: compare bits per byte, not loss or "
                "perplexity.")
OTHER_DATA = ("The data sets differ: each number was measured on unseen text of its own, so a lower one may only mean "
              "easier text. Bits per byte are the fairest of them.")
OTHER_SPLIT = ("The data sets differ, though the tokenizer is the same: each loss was measured on unseen text of its own, "
               "so a lower one may only mean easier text.")
SEES_THE_ANSWER = "But {name} has no causal mask: it sees the token it is to predict, so its loss says nothing."
SEE_THE_ANSWER = "But {names} have no causal mask: they see the token they are to predict, so their losses say nothing."

DRAWN_ALIKE = "All were drawn alike and with the same seed: what differs is what the models learnt."
DRAWN_UNLIKE = "They were not drawn alike, so they differ by more than the models: "


@dataclass(frozen=True, eq=False)
class Contender:
    """One of the runs that are compared."""

    letter: str
    run: RunDir
    state: str
    config: RunConfig
    manifest: dict
    tokenizer: str  # SHA-256 of its tokenizer.json
    history: RunHistory

    @property
    def label(self) -> str:
        """ "A first": how charts and tables call it."""
        return f"{self.letter} {self.run.name}"

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest loss on unseen text."""
        return self.history.best

    @property
    def sees_the_answer(self) -> bool:
        """Whether it has no causal mask, so that its loss says nothing."""
        return not self.config.model.causal

    @property
    def parameters(self) -> int:
        return total_parameters(self.config.model, self.manifest["vocab_size"])

    def curve(self, quantity: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of one of QUANTITIES over one of AXES. `train_loss` is the smoothed loss of the steps, thinned."""
        history = self.history
        if quantity == "train_loss":
            kept = last_of_each(history.steps["step"], history.smooth)
            steps, y = history.steps["step"][kept].astype(int).tolist(), history.smooth[kept]
            seconds = history.steps["time_seconds"][kept]
        else:
            measured = [one for one in history.evaluations if math.isfinite(one.val_loss)]
            steps, y = [one.step for one in measured], np.array([getattr(one, quantity) for one in measured], dtype=float)
            seconds = np.array([one.time_seconds for one in measured], dtype=float)
        if axis == "step":
            return np.array(steps, dtype=float), y
        if axis == "time_seconds":
            return seconds, y
        tokens = history.at("tokens", steps)
        return (tokens if axis == "tokens" else tokens * flops_per_token(self.config.model, self.manifest["vocab_size"])), y

    def sample_near(self, prompt: str, share: float) -> Sample | None:
        """What it wrote after `prompt` nearest to this share of its training; the later of two equally near ones."""
        aim = share * self.history.last_step
        texts = [one for one in self.history.samples if one.prompt == prompt]
        return min(texts, key=lambda one: (abs(one.step - aim), -one.step), default=None)


@dataclass(frozen=True)
class Difference:
    """Something that differs; `values` has what each run began with, as JSON would say it, and `later` what became of it
    while the run went on: (after how many updates, the new value)."""

    name: str
    label: str
    values: list[Any]
    later: list[list[tuple[int, Any]]]

    def texts(self, text: Callable[[Any], str] = str) -> list[str]:
        """ "0.001, then 0.0003 from step 400" for each run; `text` says a value in words."""
        return [", then ".join([text(value), *(f"{text(new)} from step {step:,}" for step, new in later)])
                for value, later in zip(self.values, self.later)]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found."""

    contenders: list[Contender]

    @cached_property
    def same_data(self) -> bool:
        """Whether all have the same tokens, to learn from and to be measured on."""
        return self._all_alike(one.manifest["hash"] for one in self.contenders)

    @cached_property
    def same_tokenizer(self) -> bool:
        return self._all_alike(one.tokenizer for one in self.contenders)

    @cached_property
    def same_text(self) -> bool:
        """Whether all were measured on the same text, in whatever tokens: as far as can be told from what is known of it."""
        return self.same_data or self._all_alike(
            [one.manifest[key] for key in LEARNT_FROM]
            + [getattr(one.config.data, name) for name in ("source", "text_column", "val_fraction", "seed")]
            for one in self.contenders)

    @property
    def note(self) -> str:
        """Which of the numbers compare, in a sentence."""
        if self.same_data:
            said = SAME_DATA
        elif self.same_text and not self.same_tokenizer:
            said = OTHER_TOKENS
        else:
            said = OTHER_SPLIT if self.same_tokenizer else f"{OTHER_DATA} {OTHER_TOKENS}"
        cheats = [one.label for one in self.contenders if one.sees_the_answer]
        if not cheats:
            return said
        if len(cheats) == 1:
            return f"{said} {SEES_THE_ANSWER.format(name=cheats[0])}"
        return f"{said} {SEE_THE_ANSWER.format(names=' and '.join((', '.join(cheats[:-1]), cheats[-1])))}"

    @cached_property
    def winners(self) -> dict[str, list[str]]:
        """The letters of who has the lowest of each quantity that compares: of those measured that do not see the answer, if
        they are two at least."""
        able = [one for one in self.contenders if one.best is not None and not one.sees_the_answer]
        if len(able) < FEWEST:
            return {}
        fair = ["val_bits_per_byte"] * self.same_text + ["val_loss", "val_perplexity"] * self.same_data
        lowest = {name: min(getattr(one.best, name) for one in able) for name in fair}
        return {name: [one.letter for one in able if getattr(one.best, name) == lowest[name]] for name in fair}

    @cached_property
    def differences(self) -> list[Difference]:
        """Only what differs: data set, tokenizer, vocabulary and size first, then settings in the order of the form."""
        facts = [("dataset", "Data set", self._dataset_names()),
                 ("tokenizer", "Tokenizer", self._tokenizer_names()),
                 ("vocab_size", "Vocabulary", [one.manifest["vocab_size"] for one in self.contenders]),
                 ("parameters", "Parameters", [one.parameters for one in self.contenders])]
        for name, item in all_settings():
            if name == "data.tokenizer":
                continue  # said above
            section, _, short = name.partition(".")
            values = [getattr(getattr(one.config, section), short) for one in self.contenders]
            facts.append((name, item.metadata["label"], [list(v) if isinstance(v, tuple) else v for v in values]))
        found = []
        for name, label, values in facts:
            courses = [course(one.history.settings, name, value) for one, value in zip(self.contenders, values)]
            if not self._all_alike(courses):
                found.append(Difference(name, label, [first for first, _ in courses], [later for _, later in courses]))
        return found

    @cached_property
    def drawn_unlike(self) -> list[Difference]:
        """The settings by which their texts would differ even if the models were the same: seed, temperature, length …"""
        greedy = all(one.config.sample.greedy or one.config.sample.temperature == 0 for one in self.contenders)
        return [one for one in self.differences if one.name in (LENGTH if greedy else LENGTH + DRAWING)]

    def drawing(self, text: Callable[[Any], str] = str) -> str:
        """Whether their texts were drawn alike, in a sentence; `text` says a value in words."""
        if not self.drawn_unlike:
            return DRAWN_ALIKE

        def named(one: Difference) -> str:
            texts = one.texts(text)
            usual = max(texts, key=texts.count)
            if texts.count(usual) == 1:
                return f"{one.label} " + ", ".join(map(" ".join, zip(LETTERS, texts)))
            others = ", ".join(f"{letter} {value}" for letter, value in zip(LETTERS, texts) if value != usual)
            return f"{one.label} {usual}, but {others}"
        return DRAWN_UNLIKE + "; ".join(map(named, self.drawn_unlike)) + "."

    @cached_property
    def family(self) -> list[Member]:
        """The family trees that they belong to; [] where none of them is a fork or was forked."""
        return family({one.letter: one.run for one in self.contenders})

    def prompts(self) -> list[str]:
        """What at least two of the runs were given to continue, in the order it came up."""
        asked = [list(dict.fromkeys(sample.prompt for sample in one.history.samples)) for one in self.contenders]
        everything = dict.fromkeys(prompt for prompts in asked for prompt in prompts)
        return [prompt for prompt in everything if sum(prompt in prompts for prompts in asked) >= FEWEST]

    def samples(self, prompt: str, share: float = 1.0) -> list[Sample | None]:
        """What each run wrote after `prompt` at the same share of its training (1: at its end); None for who never did."""
        return [one.sample_near(prompt, share) for one in self.contenders]

    def to_dict(self) -> dict:
        """Everything as plain JSON values: what --json prints, and a page can draw."""
        return {
            "runs": [{"run": one.run.id, "name": one.run.name, "letter": one.letter, "state": one.state,
                      "dataset": one.manifest["name"], "parameters": one.parameters, "step": one.history.last_step,
                      "best": _best(one.best),
                      "curves": {quantity: {axis: [_plain(values) for values in one.curve(quantity, axis)] for axis in AXES}
                                 for quantity in QUANTITIES}} for one in self.contenders],
            "same_data": self.same_data, "same_tokenizer": self.same_tokenizer, "note": self.note,
            "winners": self.winners,
            "differences": [{"name": one.name, "label": one.label, "values": one.values,
                             "later": [[{"step": step, "value": value} for step, value in later] for later in one.later]}
                            for one in self.differences],
            "drawn_unlike": [one.name for one in self.drawn_unlike],
            "samples": [{"prompt": prompt, "texts": [one and {"step": one.step, "text": one.text}
                                                     for one in self.samples(prompt)]} for prompt in self.prompts()],
            "family": [asdict(one) for one in self.family]}

    def _dataset_names(self) -> list[str]:
        """Names; with the beginning of the hash where one name stands for different data."""
        names = [one.manifest["name"] for one in self.contenders]
        hashes = [one.manifest["hash"] for one in self.contenders]
        ambiguous = len(set(zip(names, hashes))) > len(set(names))
        return [f"{name} ({hash[:8]})" if ambiguous else name for name, hash in zip(names, hashes)]

    def _tokenizer_names(self) -> list[str]:
        names = [one.manifest["tokenizer"] for one in self.contenders]
        ambiguous = len({(name, one.tokenizer) for name, one in zip(names, self.contenders)}) > len(set(names))
        return [f"{name} ({one.tokenizer[:8]})" if ambiguous else name for name, one in zip(names, self.contenders)]

    @staticmethod
    def _all_alike(values) -> bool:
        return len({json.dumps(value) for value in values}) == 1


def compare(runs: Sequence[RunDir]) -> Comparison:
    """Reads 2 to 8 different runs. Raises RunError for too few, too many, the same one twice, or a damaged one."""
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise RunError("The same run is named twice: name different ones.")
    if not FEWEST <= len(runs) <= MOST:
        raise RunError(f"Comparing takes {FEWEST} to {MOST} runs, not {len(runs)}.")
    return Comparison([contender(run, letter, history_in_sum) for run, letter in zip(runs, LETTERS)])


def contender(run: RunDir, letter: str = "", history: Callable[[RunDir], RunHistory] = read_history) -> Contender:
    """What is known of one run; `history` reads what it said. Raises RunError for a damaged one."""
    try:
        tokenizer = hashlib.sha256(run.tokenizer_path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise RunError(f"{run.path} is not a whole run: tokenizer.json is missing. Restore it, or delete the run.") from None
    return Contender(letter, run, run.state(), run.config(), run.manifest(), tokenizer, history(run))


def _best(best: Evaluation | None) -> dict | None:
    if best is None:
        return None
    return {"step": best.step, **{name: getattr(best, name) for name in QUANTITIES[1:]}}


def _plain(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
