"""The sentences and labels of the Runs tab: the table, files in and out, runs side by side."""

from __future__ import annotations

from gptlab.ui.words import STATES, plural

RUNS = {
    "columns": {"name": "Run", "state": "State", "data": "Data", "parameters": "Model", "best": "Best loss on unseen text",
                "bits": "Bits per byte", "step": "Steps", "seconds": "Time"},
    "by": "by {owner}", "of": "of {steps}", "actions": "What can be done",
    "fair": "Bits per byte compares all runs, even where tokenizers or data differ; the loss compares only runs on the same data, "
            "cut into the same tokens.",
    "search": "Search name, tags, data, owner, state, note", "clear": "Clear", "sort": "Sort by",
    "orders": {"made": "Date made", "name": "Name"}, "up": "Lowest, oldest or A first: turn round",
    "down": "Highest, newest or Z first: turn round",
    "found": "Found: {n} of {all} runs.", "nothing": "No run has that in its name, tags, data, owner, state or note.",
    "show_archived": "Show archived", "all_archived": "All runs are in the archive: tick Show archived to see them.",
    "archived": "in the archive", "archive": "Archive", "unarchive": "Take out of the archive", "label": "Name, tags and notes …",
    "again": "New run with its settings",
    "empty": "No runs yet. Press Start training on the Train tab; every run is kept here.",
    "trash": "Trash", "open": "Open", "resume": "Resume", "download": "Download (zip)", "delete": "Delete", "restore": "Restore",
    "erase": "Delete for good", "keep": "Keep it", "erase_question": "Delete {name} for good? Nothing brings it back.",
    "erase_others": "This is {owner}'s run. Delete {name} for good? Nothing brings it back.",
    "compare": "Compare", "tick": "Compare", "tally": [
        "Tick {fewest} to {most} runs to see them side by side.", "One is ticked: tick another one.", "{n} runs are ticked.",
        "{n} runs are ticked, and at most {most} can be compared: untick some."], "unseen": "Not in the list below: {n}.",
    "more": "More", "files": {"report": "Report (one HTML file)", "steps": "Numbers of every step (CSV)",
                              "evaluations": "Losses on unseen text (CSV)", "bundle": "Bundle: run and data set (zip)"},
    "states": STATES,
}
IMPORT_RUN = "Add a run or bundle (.zip)"
DELETED = "{name} is in the trash below; Restore brings it back."
RESTORED = "{name} is back."
ERASED = "{name} was deleted for good."
ARCHIVED = "{name} is in the archive: tick Show archived to see it."
UNARCHIVED = "{name} is out of the archive."
NOT_TO_ARCHIVE = "{name} is being trained, or waits for its turn: stop it first, then archive it."
FORKED = "from {name} at step {step:,}"
ADDING = "Adding {file} …"
IMPORTED = "{name} was added."
IMPORTED_BUNDLE = "{name} was added, and its data set as {dataset}."
IMPORTED_SHARED = "{name} was added. Its data set was here already: {dataset}."
AGAIN = "These are the settings of {name}, on its data. Change what you like, then start training."
DAMAGED = "{file} is damaged. Restore it, or delete the run."
A_FILE_DAMAGED = "A file of this run is damaged. Restore it, or delete the run."
NO_SUCH_FILE = "That file is not made here: reload the page."
FILES = {  # of runs: what is said while each is made, and when it is there
    "download": ("Packing {name} into one zip …",
                 "{name} is being downloaded as one zip ({size}). It opens on any machine with GPT Lab."),
    "bundle": ("Packing {name} and its data set into one zip …",
               "{name} and its data set are being downloaded as one zip ({size}). Any GPT Lab adds it, without a network."),
    "report": ("Writing the report on {name} …",
               "The report on {name} is being downloaded as one HTML file ({size}). Any browser shows it, without a network."),
    "steps": ("Writing the numbers of {name} …",
              "The numbers of {name} are being downloaded as CSV, one row a step ({size})."),
    "evaluations": ("Writing the losses of {name} …",
                    "The losses of {name} on unseen text are being downloaded as CSV, one row an evaluation ({size})."),
}


COMPARE = {
    "reading": "Reading the runs …", "title": "Compared", "report": "Report (one HTML file)", "close": "Close",
    "results": "At their best", "curves": "Curves", "differ": "What differs", "family": "Where they come from",
    "written": "What they write",
    "columns": ["Run", "Loss (val)", "Perplexity", "Bits per byte", "At step", "Steps", "Parameters", "Data"],
    "show": "Show", "over": "over", "whole": "Show all", "chart": "Curves of the runs; the table above holds their best numbers.",
    "quantities": {"loss": "loss", "bits": "bits per byte"},
    "over_axes": {"step": "steps", "tokens": "tokens", "time_seconds": "time", "flops": "FLOPs"},
    "heights": {"loss": "loss (nats a token)", "bits": "bits per byte of unseen text"},
    "times": ["hours of work", "minutes of work", "seconds of work"],
    "legends": {"loss": "Thick, with marks: loss on unseen text (val). Thin: loss on the text it trains on, smoothed.",
                "bits": "Bits per byte of unseen text. It compares across tokenizers."},
    "setting": "Setting", "alike": "Nothing: all settings are alike.",
    "prompt": "After the beginning", "nothing": "(nothing)", "at": "at step {step}", "never": "It was not given this beginning.",
    "unasked": "They were given no beginning in common.",
}


def runs_left_out(shown: int, runs: int, archived: int, deleted: int) -> str:
    """That not all are listed, if so; how many there are of each kind, of which `shown` are listed."""
    counts = {"runs": runs, "in the archive": archived, "in the trash": deleted}
    parts = [f"{count:,} {what}" for what, count in counts.items() if count > shown]
    return f"Listed are the newest {shown} of {' and of '.join(parts)}; the others are kept all the same." if parts else ""


def model_shape(layers: int, width: int) -> str:
    """ "4 layers × 128 wide"."""
    return f"{layers} {plural('layer', layers)} × {width:,} wide"
