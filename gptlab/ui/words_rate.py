"""The sentences and labels of the learning-rate finder on the Model tab."""

from __future__ import annotations

from gptlab.ui.words import CANCEL, COMMAND, duration

RATE = {  # what the page reads in the browser; {names} are filled in there
    "find": "Find a learning rate", "again": "Find it again", "cancel": CANCEL,
    "hint": "Trains a throw-away model at ever higher learning rates, for about a hundred steps, and marks a good one. "
            "No run is touched.",
    "starting": "Starting …", "progress": "How much of the test is done",
    "others": "Settings other than these are being tested: {going}",
    "plot": "Loss against learning rate. {told}",
    "lines": "Thin: the loss of each batch. Thick: the same, evened out.",
    "as_well": "What is set, {rate}, did at least as well: it can stay.",
    "use": "Use {rate}", "in_use": "{rate} is set ✓", "command": COMMAND, "copy": "Copy", "copied": "Copied",
    "copy_refused": "This browser did not let it be copied", "unreachable": "GPT Lab does not answer: is it still running?"}


def going(done: int, updates: int, seconds_left: float) -> str:
    """How far a test is."""
    return f"Step {done} of {updates}, about {duration(seconds_left)} left"
