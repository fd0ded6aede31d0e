"""The sentences and labels of the Data tab's texts to download, and of several files at once. The rest of the tab's: words.py."""

from __future__ import annotations

DOWNLOAD = "Download a text"
DOWNLOAD_HELP = "Nothing is fetched before you press Download. What is downloaded stays in the workspace, also for the next time."
NO_ENTRY = "Choose a text in the list first."
GONE_ENTRY = "The text '{}' is not in the catalogue any more: choose another."
NOT_THERE = "{title} is not downloaded yet: press Download beside it ({size} from {host}). It is looked at here then."
ARRIVING = "{title} is being downloaded. It is looked at here once it is there."

INTERRUPTED = "{} was interrupted when GPT Lab was closed: prepare it again."
MORE = "and {:,} more"
NEEDS_TOKENIZER = "Below it is cut into characters until then."
SPLITS = [("automatic", ""), ("whole documents", "document"), ("blocks spread over the text", "spread"), ("its end", "tail")]
LOOK_TOO_LONG = ("A look at this text takes too long; it may still be prepared. Fewer steps of cleaning, or fewer and "
                 "smaller files, are looked at sooner.")
# What data_preview.js shows.
LOOKING = {"unreachable": "GPT Lab does not answer: look at the terminal window it runs in, then reload this page."}

# What catalogue.js shows; {…} are filled in there.
CATALOGUE = {
    "label": "Texts to download",
    "download": "Download",
    "download_what": "Download {title}, {size}",
    "go_on": "Go on",
    "here": "✓ downloaded",
    "cancel": "Cancel",
    "cancel_what": "Cancel the download of {title}",
    "began": "Downloading {title} …",
    "ended": "{title} is downloaded.",
    "connecting": "connecting …",
    "so_far": "{done} of {total}",
    "rate": "{rate}/s",
    "left": "{left} left",
}


def setting_help(help: str, filters: str) -> str:
    """A setting's help in the page's names: `filters` is what a step of cleaning is called."""
    return help.replace("cleaning step filters", f"“{filters}”").replace("Empty: documents", "Automatic: whole documents")


def gone(names: list[str], settings: str) -> str:
    """What to do to prepare a text once more whose files are not there any more."""
    which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return f"{which} {are} gone since GPT Lab was started anew: choose {them} again, then prepare with {settings}."
