"""The sentences and labels of "Look at the data" on the Data tab: its figures and its documents."""

from __future__ import annotations

UNREACHABLE = "GPT Lab does not answer. Is it still running?"
VIEW = {
    "title": "Look at the data", "of": "Look at the data: {data}", "none": "No data set is in use yet: prepare one above.",
    "counting": "Counting …", "percent": "{percent} %", "unreachable": UNREACHABLE,
    "figures": {"zipf": "How often each token occurs", "lengths": "How long the documents are",
                "change": "Bytes per token along the text", "scripts": "Which scripts the letters are in",
                "kinds": "What kinds of characters there are"},
    "axes": {"zipf": ["rank (1 is the most frequent token)", "times it occurs"],
             "lengths": ["length (tokens)", "documents (% of the side)"],
             "change": ["place in the text (%)", "bytes per token"], "scripts": ["share of the letters (%)", ""],
             "kinds": ["share of the characters (%)", ""]},
    "sides": {"train": "training", "val": "held out"}, "line": "Zipf's line, slope {slope}",
    "kinds": {"letters": "letters", "spaces": "spaces, line ends", "digits": "digits", "punctuation": "punctuation",
              "symbols": "symbols", "emoji": "emoji", "controls": "broken, invisible"},
    "hover": {"zipf": "rank {x}: {n} times", "documents": "documents"},
    "documents": "Documents", "search": "Search the documents",
    "show": "Show", "filters": {"all": "all", "train": "training", "val": "held out"}, "random": "Random document",
    "searched": "Searched {percent} % …", "found": "Found in {n} of {all} {units}.", "so_far": "Found in {n} {units} so far.",
    "nothing": "No document has “{query}”.", "one": "One document.",
    "listed": {"documents": "{n} documents.", "parts": "{n} parts, which the split cut the text into."},
    "units": {"documents": "documents", "parts": "parts"},
    "empty": "No document is on this side.", "blank": "(nothing but spaces)",
    "characters": "{n} characters", "number": "Document {n} of {all}", "pages": "{first}–{last} of {n}",
    "previous_page": "Previous page", "next_page": "Next page",
    "part": "Part {part} of {parts}", "previous_part": "Previous part", "next_part": "Next part",
    "another": "Another random one", "close": "Close", "text": "Text of the document",
}
NOTHING_TO_LOOK_AT = "This data set is not there any more: choose another."
NO_SUCH_DOCUMENT = "There is no such document: reload the page."
NONE_LISTED = "There is none to open: search for something else, or show all."
NOT_KEPT = "Prepare it again to browse its documents: it was prepared before GPT Lab kept them, or came with a run."
CUT = {"spread": "Blocks spread over the text are held out, so that training documents are what lies between them.",
       "tail": "The end of the text is held out."}
FEW = {"char": "characters", "byte": "bytes"}  # tokens, by the tokenizer
FEWEST_DOCUMENTS = 5  # fewer need no histogram


def percent(share: float) -> str:
    """A share as a person says it: 100 % (where it is all), 99.9 %, 97 %, 0.4 %, 0.0003 %."""
    value = 100 * share
    if 99 <= value < 100:
        return f"{int(10 * value) / 10} %"
    if value < 1e-4:
        return "< 0.0001 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 else f"{value:.1g} %"


def shares(named: list[list], names: dict[str, str]) -> str:
    """ "Latin 97 %, Greek 2 %"."""
    return ", ".join(f"{names.get(name, name)} {percent(share)}" for name, share in named)


def captions(figures: dict, tokenizer: str, split: str) -> dict[str, str]:
    """What is to be seen in each figure, a sentence or two, from its numbers (gptlab.data.figures.count).

    `tokenizer` and `split` are kinds, as in a manifest.
    """
    return {"zipf": _zipf(figures["tokens"], tokenizer), "lengths": _lengths(figures["lengths"], split),
            "change": _change(figures["change"]), "scripts": _scripts(figures["scripts"]), "kinds": _kinds(figures["kinds"])}


def _zipf(told: dict, tokenizer: str) -> str:
    law = "A straight line is Zipf's law: with slope −1, the tenth most frequent token occurs a tenth as often as the first."
    if told["slope"] is None:
        return f"{law} There are too few tokens here to fit one."
    first, last = told["fitted_ranks"]
    bend = f" Single {FEW[tokenizer]} bend away from it, for there are few of them; words keep to it." if tokenizer in FEW else ""
    return (f"{law} Here the slope is {told['slope']:.2f}, fitted by least squares to ranks {first:,} to {last:,} of the "
            f"training text, all seen at least 10 times.{bend}").replace("is -", "is −")


def _lengths(told: dict, split: str) -> str:
    def side(one: dict) -> str:
        if one["documents"] == 1:
            return f"one document of {one['longest']:,} tokens"
        return f"{one['documents']:,} documents, half of them up to {one['median']:,} tokens, the longest {one['longest']:,}"

    train, val = side(told["train"]), side(told["val"])
    seen = CUT.get(split, "Both sides should look alike.")
    return f"{seen} Training: {train}. Held out: {val}."


def few_documents(told: dict) -> bool:
    """Whether a histogram of lengths would show nothing."""
    return max(told[side]["documents"] for side in ("train", "val")) < FEWEST_DOCUMENTS


def _change(told: dict) -> str:
    if all_one(told):
        return "Every token stands for one byte, from beginning to end: nothing to see with this tokenizer and this text."
    return ("A step shows where the text becomes another: another language, code, a licence at its end. Waves are usual, the "
            "larger the less text there is.")


def all_one(told: dict) -> bool:
    """Whether every token stands for one byte everywhere."""
    return all(value in (1.0, None) for values in told.values() for value in values)


def _scripts(told: list[list]) -> str:
    if not told:
        return "There are no letters in this text."
    name, share = told[0]
    if len(told) == 1:
        return f"All letters are {name}."
    return (f"{percent(share)} of the letters are {name}. A little of another script may be names and quotations, or something "
            "that does not belong here: search the documents below for it.")


def _kinds(told: list[list]) -> str:
    found = dict(map(tuple, told))
    rest = (f" {percent(found['controls'])} of the characters are broken or invisible: look whether the text was read in its "
            "right encoding." if found.get("controls", 0) > 1e-5 else "")
    return f"Prose is mostly letters and spaces; many digits or symbols point to tables or code.{rest}"
