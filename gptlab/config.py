"""Every setting of a run: one dataclass field each, with its default, bounds, unit and help.

Forms, the command line, validation and the JSON on disk all derive from these fields. Imports of ours only values.py,
no torch. `None` means off, "as the data says" or "as the machine says"; each field's help says which.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import re
import types
import typing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gptlab import values


class ConfigError(ValueError):
    """Settings that cannot be used. `problems` lists every one, each a sentence with value, limit and remedy."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


def setting(default, label: str, help: str, *, minimum=None, maximum=None, step=None, choices=None, unit=None,
            common=False):
    """A dataclass field that carries all anybody needs to show or check it.

    `common` settings stand open in a form, the rest are folded. `choices` lists the allowed values.
    """
    metadata = dict(label=label, help=help, minimum=minimum, maximum=maximum, step=step, choices=choices, unit=unit,
                    common=common)
    return field(default=default, metadata=metadata)


USUAL_BATCH_SIZE = 16  # sequences
CLEANING = ("unicode", "gutenberg", "markup", "repeated-lines", "personal", "filters", "duplicates", "near-duplicates")


@dataclass(frozen=True)
class DataConfig:
    """How a text becomes tokens on disk."""

    source: str = setting("stories", "Source", "A built-in data set by name, or the path of a file or folder.")
    text_column: str | None = setting(None, "Text column", "For tables and JSON: which column holds the text. "
                                      "Empty: the one that holds the most text.")
    documents: int = setting(20_000, "Documents to write", "For built-in data that is generated: how many documents.",
                             minimum=20, maximum=1_000_000, step=1000, unit="documents")
    cleaning: tuple[str, ...] = setting((), "Cleaning", "What is mended before anything is learnt; the file itself stays as "
                                        "it is. Nothing: the text as it stands.", choices=CLEANING)
    min_characters: int = setting(50, "Shortest document", "Where short documents are left out (cleaning step filters): shorter than this.",
                                  minimum=1, maximum=1_000_000, step=10, unit="characters")
    max_symbol_share: float = setting(0.4, "Most symbols", "Where documents that are mostly symbols are left out (cleaning step "
                                      "filters): a larger share than this of neither letters nor digits.",
                                      minimum=0.0, maximum=1.0, step=0.05)
    script: str | None = setting(None, "Script", "Where documents are left out (cleaning step filters): the script that most letters "
                                 "must be in, such as Latin, Cyrillic, Bengali or CJK. Empty: any.")
    near_duplicate_threshold: float = setting(0.8, "Nearly the same", "How alike two documents must be to count as one (1: word for "
                                              "word). Such stay on one side of the split; cleaning can leave them out.",
                                              minimum=0.5, maximum=1.0, step=0.05)
    tokenizer: str = setting("char", "Tokenizer", "What a token is: a character, a byte, a frequent piece of text "
                             "learnt from the data (bpe), or whatever a tokenizer.json says (file).",
                             choices=("char", "byte", "bpe", "file"), common=True)
    tokenizer_file: str | None = setting(None, "Tokenizer file", "The tokenizer.json to use when the tokenizer is 'file'.")
    vocab_size: int = setting(4096, "Vocabulary", "How many different tokens a bpe tokenizer may learn.",
                              minimum=257, maximum=200_000, step=256, unit="tokens", common=True)
    val_fraction: float = setting(0.1, "Held out for validation", "The share of the text the model never trains on, so "
                                  "that its loss there tells whether it has learnt or memorised.",
                                  minimum=0.001, maximum=0.5, step=0.01)
    split: str | None = setting(None, "Split", "How validation text is chosen: whole documents, blocks spread over one "
                                "long text, or its tail. Empty: documents where there are at least ten, else spread.",
                                choices=(None, "document", "spread", "tail"))
    seed: int = setting(1337, "Data seed", "Decides which documents are held out, and what generated data says.",
                        minimum=0, maximum=2**31 - 1, step=1)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the decoder."""

    n_layer: int = setting(4, "Layers", "How many transformer blocks stand on each other. More: finer, slower.",
                           minimum=1, maximum=96, step=1, unit="blocks", common=True)
    n_head: int = setting(4, "Attention heads", "In how many ways each block can look back over the text. "
                          "Must divide the width.", minimum=1, maximum=128, step=1, unit="heads", common=True)
    n_kv_head: int | None = setting(None, "Key/value heads", "Grouped-query attention: fewer key and value heads than "
                                    "query heads. Must divide the heads. Empty: as many as heads.",
                                    minimum=1, maximum=128, step=1, unit="heads")
    n_embd: int = setting(128, "Width", "How many numbers stand for one token inside the model.",
                          minimum=8, maximum=8192, step=8, unit="channels", common=True)
    context_length: int = setting(128, "Context", "How many tokens back the model can see.",
                                  minimum=8, maximum=8192, step=8, unit="tokens", common=True)
    vocab_size: int | None = setting(None, "Padded vocabulary", "Rows in the token table, if more than the tokenizer "
                                     "has. Empty: as many as the tokenizer has.",
                                     minimum=2, maximum=300_000, step=1, unit="tokens")
    positions: str = setting("learned", "Positions", "How the model knows the order of tokens: a learned table, "
                             "rotation of queries and keys (rope), or not at all.", choices=("learned", "rope", "none"))
    rope_theta: float = setting(10_000.0, "RoPE base", "The base of the rotary wavelengths.",
                                minimum=100.0, maximum=10_000_000.0, step=100.0)
    causal: bool = setting(True, "Causal mask", "Each token sees only what stands before it. Without the mask the model sees the "
                           "very token it is to predict: its loss falls to nothing and its texts are noise.")
    residual: bool = setting(True, "Residual connections", "Each part of a block adds to the stream. Without: each part replaces it, "
                             "and what a token is has to survive every layer.")
    norm: str = setting("layernorm", "Normalisation", "LayerNorm (GPT-2), RMSNorm (Llama), or none, to see what it is good for.",
                        choices=("layernorm", "rmsnorm", "none"))
    norm_epsilon: float = setting(1e-5, "Norm epsilon", "Keeps the normalisation from dividing by zero.",
                                  minimum=1e-8, maximum=1e-2, step=1e-6)
    mlp: str = setting("gelu", "MLP", "The feed-forward part of a block: GELU (exact; or by tanh, as in GPT-2's "
                       "own weights), SwiGLU (Llama) or ReLU².", choices=("gelu", "gelu_tanh", "swiglu", "relu2"))
    mlp_hidden: int | None = setting(None, "MLP width", "Width inside the feed-forward part. Empty: 4 times the width, "
                                     "or for SwiGLU 8/3 of it, rounded up to a multiple of 8.",
                                     minimum=8, maximum=65_536, step=8, unit="channels")
    n_expert: int | None = setting(None, "Experts", "Mixture of experts: each block has so many SwiGLU parts instead of one, and "
                                   "a router that sends each token to a few of them. Empty: no experts.",
                                   minimum=2, maximum=128, step=1, unit="experts")
    n_expert_active: int = setting(2, "Experts a token", "How many of the experts each token goes through. With one, the router learns "
                                   "from nothing but the balance.",
                                   minimum=1, maximum=128, step=1, unit="experts")
    expert_balance: float = setting(0.01, "Balance of experts", "How strongly the router is kept from sending all to a few experts. "
                                    "0: not at all.", minimum=0.0, maximum=1.0, step=0.005)
    bias: bool = setting(False, "Biases", "Add a learned bias in every linear layer and LayerNorm, as GPT-2 does; "
                         "never in experts.")
    qk_norm: bool = setting(False, "QK-norm", "Normalise queries and keys: steadier at high learning rates.")
    tie_embeddings: bool = setting(True, "Tie embeddings", "Use one table both to read tokens and to predict them.")
    embedding_deviation: float = setting(0.02, "Spread of embeddings", "Standard deviation of the tables that tokens (and positions) "
                                         "are read from, at the start. 0.02 suits AdamW; where tables are not tied, Muon "
                                         "learns faster with 1.", minimum=0.001, maximum=2.0, step=0.01)
    dropout: float = setting(0.0, "Dropout", "Share of values zeroed while training. Helps when the data is small and "
                             "the run is long.", minimum=0.0, maximum=0.9, step=0.05, common=True)

    @property
    def kv_heads(self) -> int:
        """Key/value heads, resolved."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head

    @property
    def head_size(self) -> int:
        """Channels of one head."""
        return self.n_embd // self.n_head

    @property
    def hidden(self) -> int:
        """Width inside the MLP, resolved."""
        if self.mlp_hidden is not None:
            return self.mlp_hidden
        return 8 * math.ceil(self.n_embd * 8 / 3 / 8) if self.mlp == "swiglu" else 4 * self.n_embd


@dataclass(frozen=True)
class TrainConfig:
    """How the model learns, and how often it shows what it has learnt."""

    epochs: int | None = setting(None, "Epochs", "Times through the training text. Empty: no limit. The earliest of "
                                 "epochs, steps and minutes ends the run.",
                                 minimum=1, maximum=100_000, step=1, unit="epochs", common=True)
    max_steps: int | None = setting(2000, "Steps", "Updates of the weights. Empty: no limit.",
                                    minimum=1, maximum=100_000_000, step=100, unit="steps", common=True)
    max_minutes: float | None = setting(None, "Minutes", "Training time; turned into a number of steps after the first "
                                        "timed ones. Empty: no limit.",
                                        minimum=0.01, maximum=100_000, step=0.5, unit="minutes", common=True)
    batch_size: int | None = setting(USUAL_BATCH_SIZE, "Batch size", "How many pieces of text are looked at together. Empty: as "
                                     "the machine says, by timing some.",
                                     minimum=1, maximum=4096, step=1, unit="sequences", common=True)
    tokens_per_update: int | None = setting(None, "Tokens per update", "Gather gradients over several batches before "
                                            "each update. A multiple of batch size × context. Empty: one batch.",
                                            minimum=8, maximum=2**26, step=8, unit="tokens")
    optimizer: str = setting("adamw", "Optimizer", "What turns gradients into steps: AdamW, or Muon for the matrices inside "
                             "the blocks (fewer steps for the same loss, each a little dearer) and AdamW for the rest.",
                             choices=("adamw", "muon"))
    max_learning_rate: float = setting(1e-3, "Learning rate", "The largest step size. Too high: the loss jumps or "
                                       "stalls; too low: it crawls.",
                                       minimum=1e-6, maximum=1.0, step=1e-4, common=True)
    min_learning_rate: float = setting(1e-4, "Final learning rate", "Where the schedule ends.",
                                       minimum=0.0, maximum=1.0, step=1e-5)
    warmup_steps: int = setting(100, "Warm-up", "Steps over which the learning rate rises from zero.",
                                minimum=0, maximum=1_000_000, step=10, unit="steps")
    schedule: str = setting("cosine", "Schedule", "How the learning rate falls: along a cosine, a line, not at all, or "
                            "only over the last fifth (warm-up, stable, decay: wsd).",
                            choices=("cosine", "linear", "constant", "wsd"))
    weight_decay: float = setting(0.1, "Weight decay", "Pulls matrices towards zero; never biases, norms or gains.",
                                  minimum=0.0, maximum=1.0, step=0.01)
    beta1: float = setting(0.9, "Beta 1", "AdamW: how long the mean of the gradients remembers.",
                           minimum=0.0, maximum=0.9999, step=0.01)
    beta2: float = setting(0.99, "Beta 2", "AdamW: how long the mean of the squared gradients remembers.",
                           minimum=0.0, maximum=0.99999, step=0.001)
    grad_clip: float | None = setting(1.0, "Clip gradients at", "Scale gradients down to this norm. Empty: never.",
                                      minimum=0.01, maximum=1000.0, step=0.1)
    precision: str = setting("auto", "Precision", "Number format of the matrix products. auto: the fastest here, found by "
                             "timing: bf16 (or fp16) on most GPUs, mostly fp32 on a processor.",
                             choices=("auto", "fp32", "bf16", "fp16"))
    compile: str = setting("auto", "Compile", "Also compile the training step, beside the training, which goes on; the faster "
                           "of both is kept. auto: on an NVIDIA GPU, where minutes are left.", choices=("auto", "on", "off"))
    gradient_checkpointing: bool = setting(False, "Gradient checkpointing", "Keep only what goes into each block and compute the rest "
                                           "again on the way back: far less memory, about a third more time.")
    device: str = setting("auto", "Device", "Where to train. auto: an NVIDIA GPU, else Apple's, else the processor.",
                          choices=("auto", "cpu", "cuda", "mps"))
    seed: int = setting(1337, "Seed", "Same seed, same run on the same machine with as many threads and the same number "
                      "format, which are chosen by timing: set OMP_NUM_THREADS and Precision to pin them.",
                      minimum=0, maximum=2**31 - 1, step=1)
    order: str = setting("epoch", "Order", "Read all the text once an epoch, shuffled; or pick windows at random.",
                         choices=("epoch", "random"))
    eval_every: int = setting(200, "Evaluate every", "Steps between measurements of the loss on unseen text. Also done "
                              "at the ends of epochs.", minimum=1, maximum=1_000_000, step=10, unit="steps")
    eval_batches: int | None = setting(None, "Evaluation batches", "How many batches of unseen text to measure on. "
                                       "Empty: all of it, up to about 262,144 tokens.",
                                       minimum=1, maximum=1_000_000, step=1, unit="batches")
    sample_every: int | None = setting(None, "Sample every", "Steps between sample texts. Empty: at each epoch's end "
                                       "and at least every 15 seconds, never less than 5 seconds apart.",
                                       minimum=1, maximum=1_000_000, step=10, unit="steps")
    checkpoint_every: int | None = setting(None, "Save every", "Steps between checkpoints. Empty: at every evaluation, "
                                           "as long as saving takes less than a tenth of the time.",
                                           minimum=1, maximum=1_000_000, step=10, unit="steps")
    keep_checkpoints: int = setting(20, "Checkpoints kept", "How many older checkpoints to keep beside best and last, "
                                    "thinned out so that the whole history can be replayed.",
                                    minimum=0, maximum=1000, step=1, unit="checkpoints")
    patience: int | None = setting(None, "Patience", "Stop after this many evaluations without a better loss on unseen "
                                   "text. Empty: never.", minimum=1, maximum=10_000, step=1, unit="evaluations")


    def sequences(self, context_length: int) -> int:
        """Of a batch: `batch_size`, or what is taken for it until a run begins and chooses: the usual size, or the largest
        below that which divides `tokens_per_update`."""
        if self.batch_size is not None:
            return self.batch_size
        an_update = (self.tokens_per_update or 0) // context_length
        return next(n for n in range(USUAL_BATCH_SIZE, 0, -1) if an_update % n == 0)


@dataclass(frozen=True)
class SampleConfig:
    """How text is drawn from the model."""

    prompts: tuple[str, ...] = setting((), "Prompts", "Openings that the model continues while it trains, one a line. "
                                       "Empty: openings of unseen documents.", common=True)
    max_new_tokens: int = setting(240, "Length", "Tokens to write.", minimum=1, maximum=100_000, step=10, unit="tokens",
                                  common=True)
    temperature: float = setting(0.8, "Temperature", "How daring: 0 always takes the likeliest token, 1 follows the "
                                 "model's odds, 2 is near chaos.", minimum=0.0, maximum=2.0, step=0.05, common=True)
    top_k: int | None = setting(None, "Top-k", "Choose only among the k likeliest tokens. Empty: all.",
                                minimum=1, maximum=100_000, step=1, unit="tokens")
    top_p: float | None = setting(None, "Top-p", "Choose only among the likeliest tokens that together have this "
                                  "probability. Empty: all.", minimum=0.01, maximum=1.0, step=0.01)
    min_p: float | None = setting(None, "Min-p", "Choose only among tokens at least this share as likely as the likeliest. "
                                  "Empty: all.", minimum=0.001, maximum=1.0, step=0.01)
    repetition_penalty: float = setting(1.0, "Repetition penalty", "How much less likely a token becomes that stands in the text already: "
                                        "its logit is divided by this, or multiplied if below 0. 1: not at all.",
                                        minimum=1.0, maximum=10.0, step=0.05)
    frequency_penalty: float = setting(0.0, "Frequency penalty", "Taken from a token's logit for each time it stands in the text already. "
                                       "0: nothing.", minimum=0.0, maximum=10.0, step=0.05)
    greedy: bool = setting(False, "Greedy", "Always take the likeliest token; temperature, top-k, top-p and min-p then do nothing.")
    seed: int = setting(1337, "Sampling seed", "Same seed, same text.", minimum=0, maximum=2**31 - 1, step=1)
    stop: tuple[str, ...] = setting((), "Stop at", "Stop when the text contains one of these, one a line.")


SECTIONS: dict[str, type] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig, "sample": SampleConfig}
NAMED = re.compile(rf"\b(?:{'|'.join(SECTIONS)})\.\w+")  # a setting's name in a sentence


@dataclass(frozen=True)
class RunConfig:
    """All settings of one run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Nested plain values, ready for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]]) -> RunConfig:
        """A checked configuration; what is not named keeps its default. Raises ConfigError with all problems."""
        return cls().replace({f"{section}.{name}": value for section, settings in values.items()
                              for name, value in (settings.items() if isinstance(settings, dict) else [("", settings)])})

    def replace(self, changes: dict[str, Any]) -> RunConfig:
        """A copy with `{"train.max_learning_rate": 1e-3, …}` changed, checked. Raises ConfigError with all problems.

        Values may be text (from a command line), which is read as the field's type; "none" is None.
        """
        problems: list[str] = []
        sections = {section.name: getattr(self, section.name) for section in dataclasses.fields(self)}
        changed: dict[str, dict[str, Any]] = {name: {} for name in sections}
        known = dict(all_settings())
        for name, value in changes.items():
            if name not in known:
                section = [k for k in known if k.startswith(name.partition(".")[0] + ".")]
                problems.append(unknown_name(name, known, "setting", choices=section or [f"{s}.…" for s in SECTIONS]))
                continue
            section, _, short = name.partition(".")
            try:
                changed[section][short] = read_value(name, value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        config = RunConfig(**{name: dataclasses.replace(sections[name], **changed[name]) for name in sections})
        problems += check(config)
        if problems:
            raise ConfigError(problems)
        return config


def all_settings() -> list[tuple[str, dataclasses.Field]]:
    """Every setting as ("train.max_learning_rate", its field), in the order they are declared."""
    return [(f"{section}.{item.name}", item) for section, cls in SECTIONS.items() for item in dataclasses.fields(cls)]


def unknown_name(name: str, known, kind: str, choices=()) -> str:
    """A sentence refusing `name`, with the nearest known one, or where none is near with the `choices`."""
    section, _, short = name.rpartition(".")
    near = [k for k in known if short and short in k]  # "learning_rate" should find "train.max_learning_rate"
    if not near and section in SECTIONS:  # that much is right, and makes no other setting of the section any nearer
        near = [f"{section}.{k}" for k in difflib.get_close_matches(short, _names(section), n=1, cutoff=0.5)]
    elif not near:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if near:
        return f"There is no {kind} '{name}'. Did you mean '{near[0]}'?"
    return f"There is no {kind} '{name}'." + (f" There are: {', '.join(choices)}." if choices else "")


def _names(section: str) -> list[str]:
    return [item.name for item in dataclasses.fields(SECTIONS[section])]


@functools.lru_cache(maxsize=None)
def field_type(name: str) -> tuple[type, bool]:
    """For "train.max_steps": (the type of a set value, whether None is allowed); tuples of text give `tuple`."""
    section, _, short = name.partition(".")
    hint = typing.get_type_hints(SECTIONS[section])[short]
    if isinstance(hint, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not type(None)), True
    return typing.get_origin(hint) or hint, False


def _field(name: str) -> dataclasses.Field:
    section, _, short = name.partition(".")
    return SECTIONS[section].__dataclass_fields__[short]


def read_value(name: str, value: Any) -> Any:
    """`value` (a JSON value, or text from a command line or a form) as the type of setting `name`. Raises ValueError."""
    kind, optional = field_type(name)
    return values.read(value, kind, optional=optional, of_choices=bool(_field(name).metadata["choices"]))


def check(config: RunConfig) -> list[str]:
    """Every reason why these settings cannot be used, each a sentence naming the value, the limit and what to change.

    What a setting clashes with is not said while it is beyond its own bounds.
    """
    problems, beyond = [], set()
    for name, item in all_settings():
        section, _, short = name.partition(".")
        value, meta = getattr(getattr(config, section), short), item.metadata
        if value is None:
            continue
        chosen = value if isinstance(value, tuple) else (value,)
        if meta["choices"] and not set(chosen) <= set(meta["choices"]):
            allowed = ", ".join(str(c) for c in meta["choices"] if c is not None)
            wrong = next(one for one in chosen if one not in meta["choices"])
            problems.append(f"{name} is '{wrong}', but must be one of: {allowed}.")
        for bound, word, past in (("minimum", "least", -1), ("maximum", "most", 1)):
            if meta[bound] is not None and past * value > past * meta[bound]:
                unit = f" {meta['unit']}" if meta["unit"] and meta[bound] != 1 else ""
                empty = ", or empty" if field_type(name)[1] and past < 0 else ""
                problems.append(f"{name} is {written(value)}, but must be at {word} {written(meta[bound], ',')}{unit}{empty}.")
                beyond.add(name)
    return problems + [clash for clash in clashes(config) if beyond.isdisjoint(NAMED.findall(clash))]


def written(value: int | float, separator: str = "") -> str:
    """A number as people write it: 0.000001, not 1e-06. `separator` "," parts thousands."""
    return f"{Decimal(repr(value)):{separator}f}"


def alternatives(numbers: list[int]) -> str:
    """ "1, 2 or 5" """
    *others, last = (f"{number}" for number in numbers)
    return f"{', '.join(others)} or {last}" if others else last


def clashes(config: RunConfig) -> list[str]:
    """Settings that are fine alone but not together; each sentence says which one to move, and where to."""
    model, train, data, problems = config.model, config.train, config.data, []
    rope = model.positions == "rope"
    if model.n_head >= 1 and (model.n_embd % model.n_head or (rope and model.head_size % 2)):
        fitting = valid_heads(model.n_embd, even=rope)
        if model.n_embd % model.n_head:
            problem = f"model.n_embd {model.n_embd} does not divide into {model.n_head} heads"
        else:
            problem = f"Rotary positions need an even number of channels a head, not {model.head_size}"
        other_heads = f", or model.n_head to {alternatives(fitting)}" if fitting else ""
        widths = alternatives(nearest_widths(model.n_embd, model.n_head, even=rope))
        problems.append(f"{problem}: set model.n_embd to {widths}{other_heads}.")
    if model.kv_heads >= 1 and model.n_head % model.kv_heads:
        problems.append(f"{model.n_head} heads cannot share {model.kv_heads} key/value heads: set model.n_kv_head "
                        f"to {alternatives([n for n in range(1, model.n_head + 1) if model.n_head % n == 0])}.")
    if model.n_expert is not None:
        if model.mlp != "swiglu":
            problems.append(f"Experts are SwiGLU parts, but model.mlp is {model.mlp}: set model.mlp to swiglu, or leave model.n_expert empty.")
        if model.n_expert_active > model.n_expert:
            problems.append(f"A token cannot go through {model.n_expert_active} of {model.n_expert} experts: set "
                            f"model.n_expert_active to {model.n_expert} or less, or model.n_expert to more.")
        for name, width in (("model.n_embd", model.n_embd), ("model.mlp_hidden", model.hidden)):
            if width % 8:
                problems.append(f"With experts (model.n_expert) widths must be multiples of 8, but {name} is {width}: set it to "
                                f"{8 * math.ceil(width / 8)}.")
    if train.min_learning_rate > train.max_learning_rate > 0:
        largest = written(train.max_learning_rate)
        problems.append(f"train.min_learning_rate {written(train.min_learning_rate)} is above train.max_learning_rate "
                        f"{largest}: set train.min_learning_rate to {largest} or less.")
    tokens_per_batch = (1 if train.batch_size is None else train.batch_size) * model.context_length
    if train.tokens_per_update is not None and tokens_per_batch > 0 and train.tokens_per_update % tokens_per_batch:
        lower = max(1, train.tokens_per_update // tokens_per_batch) * tokens_per_batch
        what = "the context" if train.batch_size is None else "batch size × context"
        problems.append(f"train.tokens_per_update {train.tokens_per_update:,} is not a multiple of {what} "
                        f"({tokens_per_batch:,}): set it to {lower:,} or {lower + tokens_per_batch:,}.")
    if train.epochs is None and train.max_steps is None and train.max_minutes is None:
        problems.append("Nothing ends this run: set train.epochs, train.max_steps or train.max_minutes.")
    if data.tokenizer == "file" and not data.tokenizer_file:
        problems.append("data.tokenizer is 'file': set data.tokenizer_file to a tokenizer.json.")
    return problems


def valid_heads(n_embd: int, even: bool = False) -> list[int]:
    """Numbers of heads that divide a width with at least 4 channels each (an even number of them if `even`)."""
    return [n for n in range(1, 129) if n_embd % n == 0 and n_embd // n >= 4 and not (even and n_embd // n % 2)]


def nearest_widths(n_embd: int, n_head: int, even: bool = False) -> list[int]:
    """The widths next to `n_embd`, below and above, that go with so many heads and everything else; as `valid_heads`."""
    item = _field("model.n_embd").metadata
    step = math.lcm(item["step"], n_head * (2 if even else 1))
    below = n_embd // step * step
    return [width for width in (below, below + step) if item["minimum"] <= width <= item["maximum"]]


def changes(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """{"model.n_layer": 6, …}: where `config` differs from `base`; what "3 settings differ" and a copied command show."""
    differing = {}
    for name, _ in all_settings():
        section, _, short = name.partition(".")
        value = getattr(getattr(config, section), short)
        if value != getattr(getattr(base, section), short):
            differing[name] = value
    return differing
