"""A run's model handed out in a format of other programs: a Hugging Face folder, a GGUF file, or a script to take home.

Owns what all formats share: loading the model, the place it is written to, whole or not at all. Each format's module writes
its files into a folder, then loads them back and compares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gptlab.config import RunConfig
from gptlab.data.dataset import open_dataset
from gptlab.data.errors import DataError
from gptlab.data.tokenizers import Tokenizer
from gptlab.events import Sample
from gptlab.exchange.formats import FORMATS
from gptlab.model.gpt import GPT
from gptlab.runs.checkpoint import find_checkpoint, load_model
from gptlab.runs.disk import check_space, explained, remove_tree, replace, temporary_sibling
from gptlab.runs.history import counting_events
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import find_dataset

PROMPT_TOKENS = 256

Progress = Callable[[float, str], None]  # the share that is done, and what is being done


class ExportError(ValueError):
    """What was written is not the model, or cannot be written where it should be: one sentence."""


@dataclass(frozen=True)
class Source:
    """What is exported: a checkpoint's model on the CPU, in eval mode, and all that is known of it.

    `prompt` is a real opening, to compare on; `manifest` is that of the data the run was made with.
    """

    run: RunDir
    config: RunConfig
    model: GPT
    tokenizer: Tokenizer
    manifest: dict
    step: int
    prompt: str

    def prompt_ids(self) -> Tensor:
        """As much of the prompt as fits the context, (1, T) int64."""
        ids = self.tokenizer.encode(self.prompt)[:self.config.model.context_length]
        return torch.from_numpy(ids.astype("int64")).unsqueeze(0)


@dataclass(frozen=True)
class Exported:
    """What was written at `path`. `max_difference` is the largest absolute one between our logits and those of an outside
    library, on a real prompt; None where that is not installed. `checked` is a sentence on what was compared, or why not."""

    path: Path
    max_difference: float | None
    checked: str


def export(run: RunDir, out: Path, format: str, *, checkpoint: str | int = "best", number_format: str = "f32",
           progress: Progress = lambda share, doing: None) -> Exported:
    """Write the model of a checkpoint to the new folder `out`, and check it there.

    `number_format` is of gguf alone. Raises ExportError for a folder that is there already and for a mismatch, NoFamily
    (formats hf and gguf) where other programs have no such model, RunError for a checkpoint that is missing or a full disk:
    in all cases nothing is left.
    """
    out = Path(out)
    if format not in FORMATS:
        raise ExportError(f"There is no format '{format}': choose one of {', '.join(FORMATS)}.")
    if number_format != "f32" and format != "gguf":
        raise ExportError(f"Only GGUF has the number format {number_format}: leave it out, or export as gguf.")
    if out.exists():
        raise ExportError(f"{out} is there already: choose another folder, or delete that one first.")
    if not out.parent.is_dir():
        raise ExportError(f"There is no folder {out.parent}: make it first, or choose another one.")
    progress(0.0, "Loading the model")
    source = source_of(run, checkpoint)
    check_space(out.parent, sum(tensor.nbytes for tensor in source.model.state_dict().values()), f"export {run.id}")
    temporary = temporary_sibling(out)
    try:
        with explained(out, f"export {run.id}"):
            temporary.mkdir()
            written = _write(source, temporary, format, number_format, progress)
            replace(temporary, out)
    finally:
        remove_tree(temporary)
    progress(1.0, "Done")
    return dataclasses.replace(written, path=out / written.path.relative_to(temporary))


def source_of(run: RunDir, checkpoint: str | int = "best") -> Source:
    """What there is to export. Raises RunError."""
    saved = find_checkpoint(run, checkpoint)
    model, tokenizer, config = load_model(run, saved.step)
    return Source(run, config, model, tokenizer, run.manifest(), saved.step, _prompt(run, tokenizer))


def _prompt(run: RunDir, tokenizer: Tokenizer) -> str:
    """The beginning of unseen text; of what the run wrote, where its data set is elsewhere."""
    try:
        val = open_dataset(find_dataset(run.path.parent.parent / "datasets", run)).val
        return tokenizer.decode(val[:PROMPT_TOKENS])
    except DataError:
        written = [event.prompt + event.text for event in counting_events(run) if isinstance(event, Sample)]
        return next(filter(None, reversed(written)), "") or tokenizer.decode(range(tokenizer.vocab_size))


def _write(source: Source, folder: Path, format: str, number_format: str, progress: Progress) -> Exported:
    """Has the format's module write its files into `folder`, which is empty, and check them."""
    if format == "hf":
        from gptlab.exchange import hugging_face
        return hugging_face.write(source, folder, progress)
    if format == "gguf":
        from gptlab.exchange import gguf_file
        return gguf_file.write(source, folder, number_format, progress)
    from gptlab.exchange import script
    return script.write(source, folder, progress)
