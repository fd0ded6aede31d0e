"""The words of the picture of a model and of the switches that take a part of it away, on the Model tab."""

from __future__ import annotations

from gptlab.config import ModelConfig
from gptlab.ui.words import plural

PICTURE = {"hint": "Point at a part, or choose it with the arrow keys, to see what it does.",
           "tree": "Module tree, as PyTorch prints it", "copy": "Copy",
           "copied": "Copied", "copy_refused": "The browser refused: mark the text and copy it."}
MLP_KINDS = {"gelu": "GELU", "gelu_tanh": "GELU (tanh)", "swiglu": "SwiGLU", "relu2": "ReLU²"}
NORMS = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm", "none": "no norm"}
ROTARY = "rotary"
QK_NORM = "QK-norm"
CAUSAL = "causal mask"
NO_CAUSAL = "no mask"
TOKENS = "Tokens"
TOKEN_TABLE = "Token table"
POSITION_TABLE = "Position table"
NO_POSITIONS = "no positions"
FINAL_NORM = "Final {norm}"
OUTPUT_TABLE = "Output table"
TIED = "tied: the token table"
LOGITS = "Logits"
ATTENTION = "Attention"
ROUTER = "Router"

SAYS = {
    "tokens": "The text in numbers: {B} pieces of {T} tokens each.",
    "token_embedding": "Looks up a row of {C} numbers for each token; there are {V:,} rows.",
    "position_embedding": "Adds a learned row of {C} numbers for each of the {T:,} places, so that order counts.",
    "no_positions": "Nothing says where a token stands; only the causal mask still gives a hint.",
    "blocks": "{L} blocks of one shape, each with weights of its own; one of them is drawn in detail.",
    "norm": "Brings each token's {C} numbers to the same size before the next part reads them.",
    "no_norm": "Nothing keeps the numbers at one size: they may grow or fade from layer to layer.",
    "residual": "What went in is added to what comes out: each part adds to the stream, and deep models can learn.",
    "no_residual": "Nothing is added back: each part takes the place of what went in, and what a token is can get lost.",
    "router": "Scores all {E} experts for each token and sends it to the best {A}, weighted by their scores.",
    "experts": "{E} parts that look at a token alone; each token goes through {A} of them, {active:,} parameters a block.",
    "mlp": "Looks at each token alone: widens it to {hidden:,} channels, bends them ({kind}), and comes back to {C:,}.",
    "final_norm": "The same once more, before the model says what comes next.",
    "no_final_norm": "Nothing scales the stream before the model says what comes next.",
    "tied": "The token table is used once more, turned round: no parameters of its own.",
    "output": "Compares each token's {C} numbers with a row of its own for each of the {V:,} tokens.",
    "logits": "A score for each of the {V:,} tokens, at each place: softmax makes them the odds of what comes next.",
}


def looks(config: ModelConfig) -> str:
    """What attention does, in a sentence or two."""
    H, K = config.n_head, config.kv_heads
    ways = "in one way" if H == 1 else f"in {H} ways (heads)"
    sees = "at the tokens up to itself" if config.causal else "at all tokens, also those it is to predict, and so can cheat"
    more = [f"{H} heads share the keys and values of {K}"] * (K < H)
    more += ["rotation tells where tokens stand"] * (config.positions == "rope")
    more += ["queries and keys are normalised"] * config.qk_norm
    also = "; ".join(more)
    return f"Each token looks {ways} {sees}." + (f" {also[0].upper()}{also[1:]}." if also else "")


def heads(config: ModelConfig) -> str:
    """ "4 heads of 32 channels, 2 key/value"."""
    shared = f", {config.kv_heads} key/value" if config.kv_heads < config.n_head else ""
    return f"{config.n_head} {plural('head', config.n_head)} of {config.head_size} channels{shared}"


def marks(config: ModelConfig) -> list[str]:
    """What is done to queries and keys."""
    return [ROTARY] * (config.positions == "rope") + [QK_NORM] * config.qk_norm


def blocks(L: int) -> str:
    """ "Block × 12"."""
    return f"Block × {L}"


def of_each(parameters: int) -> str:
    """What one block holds."""
    return f"{parameters:,} each"


def one_block(parameters: int) -> str:
    """The title of the drawing of a block."""
    return f"One block: {parameters:,} parameters"


def experts(E: int, kind: str) -> str:
    """ "8 SwiGLU experts"."""
    return f"{E} {kind} experts"


def expert(C: int, hidden: int, active: int) -> str:
    """What one expert does, and how many a token goes through."""
    return f"{C:,} → {hidden:,} → {C:,} in each; {active} a token"


def legend(B: int | str, T: int, C: int) -> str:
    """What the letters of the shapes are."""
    texts = "as many texts as the machine says" if B == "B" else f"{B} texts"
    return f"(B, T, C): {texts} at a time, {T:,} tokens of each, {C:,} channels a token."


def in_words(config: ModelConfig, parts: dict, total: int) -> str:
    """The picture for those who do not see it: every part in the order of the way through the model. `parts` are
    architecture.Part, by name."""
    def one(name: str) -> str:
        part = parts[name]
        number = "" if part.parameters is None else f", {part.parameters:,} parameters"
        details = [part.detail] if part.detail else []
        if name == "attention":
            details += [*marks(config), CAUSAL if config.causal else NO_CAUSAL]
        described = f" ({', '.join(details)})" if details else ""
        return f"{part.name}{described}{number}"

    inside = [one(name) for name in ("attention_norm", "attention", "mlp_norm", "router", "mlp") if name in parts]
    before = [one(name) for name in ("tokens", "token_embedding", "position_embedding") if name in parts]
    after = [one(name) for name in ("final_norm", "output", "logits")]
    residual = "with" if config.residual else "without"
    return (f"The model, drawn, {total:,} parameters. {'; '.join(before)}; then {config.n_layer} times a block {residual} "
            f"residual connections of: {'; '.join(inside)}; then {'; '.join(after)}.")


# ---- Switches ---------------------------------------------------------------------------------------------------------

TAKE_AWAY = "Take a part away"
TAKE_AWAY_HINT = "One click takes a part out of the model, or puts it back. Then train, and see what it was good for."
ABLATIONS = {  # what is taken away, and what to expect of a model without it
    "positions": ("No positions",
                  "Order is lost but for the hint that the causal mask gives: words come muddled and the loss stays higher."),
    "causal": ("No causal mask",
               "The cheating demo: the model sees the token it is to predict. The loss falls to nothing; samples are noise."),
    "residual": ("No residual connections",
                 "Each part replaces what it read. Two layers learn slowly; many hardly learn at all."),
    "norm": ("No normalisation",
             "Learning gets touchy: the loss ends higher, or jumps until you lower the learning rate. QK-norm stays as it is set."),
    "heads": ("One head",
              "Each token can look back in only one way at a time, for the same work: the loss ends a little higher."),
    "tied": ("Untied embeddings",
             "Reading and predicting get a table each: more parameters, and a small model learns more slowly at first."),
}


def set_to(values: dict[str, object]) -> str:
    """A button that makes settings go together; `values` by their labels."""
    return "Set " + " and ".join(f"“{label}” to {value}" for label, value in values.items())
