"""The sentences and labels of the comparison of tokenizers on the Data tab."""

from __future__ import annotations

from gptlab.ui import words
from gptlab.ui.model_facts import share, short_count
from gptlab.ui.words_view import UNREACHABLE

COMPARE_TOKENIZERS = "Compare tokenizers"
LONGEST_SHOWN = 40
MERGES_SHOWN = 50     # at first, and with each "more" four times as many
READING_TEXT = "Reading the text …"
CUTTING_TEXT = "Cutting the text into tokens …"
WAITING = "Waiting for other comparisons …"  # one at a time, whoever asks
READING_TOO_LONG = "Reading this text took more than {} seconds: take out some steps of cleaning, or choose a smaller text."
LEARNING_TOO_LONG = ("Learning pieces of this text took more than {} seconds, as it does where a text has hardly any spaces or "
                     "line ends: compare characters and bytes, or choose another text.")
CUTTING_TOO_LONG = "Cutting this text into tokens took more than {} seconds: choose a smaller text, or another tokenizer."
NO_TOKENIZER_FILE = "Choose a tokenizer.json: the one of any model on Hugging Face will do."
FILE_TOO_LARGE = "This file is larger than {} MB: a tokenizer.json never is, so choose another one."
TOKENIZER_NAMES = {"char": "Characters", "byte": "Bytes", "bpe": "BPE", "file": "The file"}
ALL_ALIKE = {"char": "Every token is one character.", "byte": "Every token is one byte."}
NO_MERGES = {**dict.fromkeys(("char", "byte"), "Nothing is merged."), "bpe": "Nothing is merged at this size.",
             "file": "This tokenizer.json has no merges: its pieces were chosen in another way."}
# A text for each button, to be typed into the sentence: the same in scripts that tokenizers treat very differently.
EXAMPLES = {"English": "The little cat sat on the unbelievably comfortable mat.",
            "বাংলা": "ছোট্ট বিড়ালটি খুব আরামের মাদুরে বসে ছিল।", "中文": "小猫坐在非常舒服的垫子上。",
            "العربية": "جلست القطة الصغيرة على السجادة المريحة.", "Emoji": "👩‍👩‍👧‍👦 went 🚀 to 🇧🇩 — what a day! 🎉",
            "Code": "def area(r):\n\treturn 3.14159 * r ** 2  # m²\n"}

BENCH_ROWS = {  # (label, what it is)
    "vocabulary": ("Vocabulary", "How many different tokens there are, the end of a text among them."),
    "bytes_per_token": ("Bytes per token", "How much text a token holds. More: the model sees further back, and trains faster."),
    "tokens_per_word": ("Tokens per word", "Into how many pieces a word is cut, with its spaces and signs. Fewer: less to put "
                        "together."),
    "used": ("Vocabulary used", "How much of it stands in this text. A token that is never seen is never learnt."),
    "table": ("Share of the model", "What its table of tokens takes of the parameters of the model on the Model tab."),
    "exact": ("Text comes back", "Whether the tokens give back exactly what was cut up.")}
NO_SPACES = "no spaces here"

BENCH = {
    "title": COMPARE_TOKENIZERS, "sides": ["A", "B"], "tokenizer": "Tokenizer {side}", "vocabulary": "Vocabulary",
    "file": "Choose a tokenizer.json",
    "kinds": {"char": "Characters", "byte": "Bytes", "bpe": "Pieces (BPE)", "file": "tokenizer.json"},
    "use": "Use this one", "used": "Chosen above. Prepare makes the data set.",
    "better": "better", "sample": "The same text, each token in a colour",
    "longest": "Longest tokens, and how often each stands in the text",
    "merges": "Pairs it merged, in the order learnt", "more": "More", "times": "{count}×",
    "sentence": "Type a sentence to see its tokens and their numbers", "examples": "Try", "count": "{tokens} for {bytes}",
    "tokens": ["token", "tokens"], "bytes": ["byte", "bytes"], "cut": "Only the first {count} are shown.",
    "nothing": "Type something above.", "unreachable": UNREACHABLE,
    "uploading": "Reading the file …", "asking": "Measuring …", "waiting": WAITING, "token": "token {id}",
    "token_bytes": "token {id}: part of a character, by its bytes"}


def learning(vocabulary: int, characters: int) -> str:
    """What takes a while the first time."""
    return f"Learning up to {vocabulary:,} pieces from {short_count(characters)} characters …"


def measured_on(characters: int, whole: bool) -> str:
    """What the numbers are of."""
    if whole:
        return f"Learnt from and measured on all of the text: {short_count(characters)} characters."
    return (f"Learnt from and measured on a sample of the text, its first {short_count(characters)} characters; Prepare takes "
            "more of it, so its own numbers differ a little.")


def reach(name: str, bytes_per_token: float, characters_per_token: float, context_length: int) -> str:
    """What bytes per token mean for a model."""
    size = f"{bytes_per_token:.2g}"
    held = characters_per_token * context_length
    about = f"{held:,.0f}" if characters_per_token == 1 else f"about {float(f'{held:.2g}'):,.0f}"
    verb = "pack" if name in (TOKENIZER_NAMES["char"], TOKENIZER_NAMES["byte"]) else "packs"
    return (f"{name} {verb} {size} {words.plural('byte', 1 if size == '1' else 2)} in a token, so a context of "
            f"{context_length:,} tokens holds {about} characters.")


def comes_back(exact: bool) -> str:
    """Whether the tokens give back what was cut up."""
    return "exactly" if exact else "changed"


def used(count: int, of: int) -> str:
    """ "98 % (4,011 of 4,096)" """
    return f"{share(count / of)} ({count:,} of {of:,})"


def table(part: int, whole: int) -> str:
    """ "31 % (524,288 of 1.7 million)" """
    return f"{share(part / whole)} ({short_count(part)} of {short_count(whole)})"


def fewer_pieces(wanted: int, there: int) -> str:
    """That a text has no more pairs to merge."""
    return (f"This text has no more pairs that stand in it twice: {there:,} tokens, not {wanted:,}. Prepare learns "
            "from the training part alone, so it may find a few more or fewer.")
