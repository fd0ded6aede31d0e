"""The sentences and labels of what a model needs of this machine, and of the biggest model for it, on the Model tab."""

from __future__ import annotations

from gptlab.ui.words import CANCEL, COMMAND

BIGGEST_STEP = "Biggest model"  # what Undo calls it
SIZE = {  # what the page reads in the browser; {names} are filled in there
    "title": "Biggest model for this machine", "fits": "Will it fit, and how long will it take?",
    "minutes": "Minutes it may train", "find": "Find it", "again": "Find it again", "cancel": CANCEL,
    "hint": "Finds the biggest model of this kind that this machine has memory for and that can read 20 tokens for each of its "
            "parameters in that time, by timing a few. No run is touched.",
    "starting": "Starting …", "progress": "How much of the search is done",
    "others": "A model for other settings is being looked for: {going}",
    "use": "Use it", "in_use": "In use ✓", "command": COMMAND, "copy": "Copy", "copied": "Copied",
    "copy_refused": "This browser did not let it be copied", "unreachable": "GPT Lab does not answer: is it still running?"}
TIMING = "How long it takes is being timed …"
TIMED_LATER = "How long it takes is timed once nothing trains."
TIMED_WITH_DATA = "How long it takes is timed once there is data."
NOT_A_TIME = "Say how many minutes it may train, such as 10."


def going(tried: int, most: int, trying: str) -> str:
    """How far a search is."""
    return f"Timing {trying}, {tried + 1} of at most {most} …"


def at_most_minutes(limit: float) -> str:
    """No run here may train longer."""
    return f"No run may train longer than {limit:g} minutes here: say so many or fewer."


WORK = "Work a token"
WORK_PARTS = {"attention": "attention's matrices", "scores": "its scores", "mlp": "MLP", "output": "output table"}


def operations(parts: str) -> str:
    """What the work is made of."""
    return f"operations: {parts}"


def active(active: str, total: str) -> str:
    """Of a model with experts."""
    return f"{active} of {total} are active for each token."
