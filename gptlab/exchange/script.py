"""A run as one readable file to take home: a train.py that needs torch alone, with this model, this loop and this seed.

Writes it beside its tokens, then runs its first updates in a process of its own and compares their losses with the run's.
The text is made by `script_text`, from what `script_run` finds out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from gptlab.data.dataset import Dataset, open_dataset
from gptlab.data.errors import DataError
from gptlab.exchange.export import Exported, ExportError, Progress, Source
from gptlab.exchange.script_run import FIRST_LOSSES, Done, done_by
from gptlab.exchange.script_text import script_text, tokens_json
from gptlab.runs.disk import check_space
from gptlab.runs.workspace import find_dataset

MOST_SECONDS = 120.0  # of the check: of a model that is slow, fewer losses are compared
ROUNDING = 1e-3       # how far losses may be apart where sums have other last digits
NARROW = 0.05         # … and where one of them was computed in a narrower number format, or on a GPU

OUR_FAULT = "Nothing was exported: this is a fault of GPT Lab, please report it with the run's settings."


def write(source: Source, out: Path, progress: Progress) -> Exported:
    """Writes train.py, train.bin, val.bin, tokens.json and README.md to `out`, and compares the script's first losses with the
    run's. `max_difference` is the largest one between them; the run's model itself plays no part.

    Raises ExportError for a fork, for data that is not there any more, and where losses differ without a reason.
    """
    progress(0.1, "Writing the script")
    try:
        dataset = open_dataset(find_dataset(source.run.path.parent.parent / "datasets", source.run))
    except DataError as error:
        raise ExportError(f"A train.py needs the data that the run was made with. {error}") from error
    done = done_by(source, dataset)
    files = [dataset.directory / name for name in ("train.bin", "val.bin")]
    check_space(out, sum(file.stat().st_size for file in files), f"export {source.run.id}")
    (out / "train.py").write_text(script_text(source, dataset, done), encoding="utf-8", newline="\n")
    (out / "tokens.json").write_text(tokens_json(source), encoding="ascii", newline="\n")
    for file in files:
        shutil.copyfile(file, out / file.name)
    progress(0.4, "Running its first updates")
    max_difference, checked = _check(out, done)
    (out / "README.md").write_text(_readme(source, dataset, checked), encoding="utf-8", newline="\n")
    return Exported(out, max_difference, checked)


def _check(out: Path, done: Done) -> tuple[float | None, str]:
    """(the largest difference between the run's first losses and the script's, that in a sentence). Raises ExportError."""
    expected = done.losses
    if not expected:
        return None, "Its losses could not be compared: the run has none of its first updates."
    found = _losses(out, len(expected))
    if not found:
        return None, f"Its losses could not be compared: it had not done one update after {MOST_SECONDS:.0f} s."
    differences = [abs(one - other) for one, other in zip(expected, found)]
    difference, equal, limit = max(differences), differences.count(0.0), NARROW if done.inexact else ROUNDING
    told = f"Of the run's first {len(found)} losses, train.py gave {equal} exactly"
    if equal == len(found):
        return difference, f"The first {equal} losses of train.py are exactly the run's."
    if not all(one <= limit for one in differences):  # also where one is no number
        raise ExportError(f"{told}; the largest difference is {difference:.3g}, so that it is not this run. {OUR_FAULT}")
    why = " and ".join(done.inexact) or "sums come out with other last digits on another machine or with another version of torch"
    return difference, f"{told}; the largest difference is {difference:.2g}, because {why}."


def _losses(out: Path, count: int) -> list[float]:
    """The script's first losses, as many as it gives in time. Raises ExportError where it fails."""
    command = [sys.executable, "-I", "train.py", str(count)]
    try:
        ran = subprocess.run(command, cwd=out, capture_output=True, timeout=MOST_SECONDS)
        output = ran.stdout
        if ran.returncode != 0:
            last = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise ExportError(f"The script does not run ({last or f'it ended with {ran.returncode}'}). {OUR_FAULT}")
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    whole_lines = output.decode("ascii", "replace").rpartition("\n")[0].splitlines()
    return [float(line.rpartition(" ")[2]) for line in whole_lines]


def _readme(source: Source, dataset: Dataset, checked: str) -> str:
    return f"""# Run {source.run.id}

`train.py` is the whole of it: the model, the optimizer, the data and the loop in one file, with the settings of the run.
Read it from top to bottom. To run it, install torch (`pip install torch`), nothing else:

    python train.py
    python train.py {FIRST_LOSSES}

The first trains the model anew from its seed, writes a sample and saves the weights as `model.pt`. The second prints the first
{FIRST_LOSSES} losses with all their digits, to compare. {checked}
On another machine or with another version of torch, the last digits may differ.

| file | what it is |
|---|---|
| `train.bin` | the text to learn from: {len(dataset.train):,} tokens, a {dataset.train.dtype.name} each |
| `val.bin` | the text held out, to measure on: {len(dataset.val):,} tokens |
| `tokens.json` | what each of the {source.tokenizer.vocab_size:,} tokens stands for, a character for each byte |

The weights that the run ended with are not in here: `model.pt` will hold those that this script makes. The loss on unseen text is
measured in windows of equal length, and differs a little from the run's where that measured document by document.
"""
