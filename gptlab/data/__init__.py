"""Text to tokens on disk.

    from gptlab.config import DataConfig
    from gptlab.data import prepare

    dataset = prepare("play.txt", DataConfig(tokenizer="bpe", vocab_size=4096), "datasets/play")
    dataset.train, dataset.val, dataset.manifest["alerts"]
"""

from __future__ import annotations

import atexit
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gptlab.config import DataConfig

if TYPE_CHECKING:
    from gptlab.data.dataset import Dataset
    from gptlab.data.progress import Progress


def prepare(source: str | Path | Iterable[str | Path], config: DataConfig = DataConfig(), directory: str | Path | None = None, *,
            progress: Callable[[Progress], None] = lambda progress: None) -> Dataset:
    """Turn text into tokens on disk: a built-in by name, a file, a folder, or several of them. All settings but the source are
    those of `config`.

    `directory` must not exist yet; without one the data set lies in a temporary folder that goes when Python ends. `progress` is
    told how far it is. Raises DataError: one sentence that says what to do; FileExistsError.
    """
    from gptlab.data.dataset import prepare as prepare_dataset  # here: `gptlab.data.errors` alone must not load all of it
    from gptlab.data.sources import several

    named = str(source) if isinstance(source, (str, Path)) else several(source)
    if directory is None:
        temporary = tempfile.mkdtemp(prefix="gptlab-data-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        directory = Path(temporary) / "text"
    return prepare_dataset(dataclasses.replace(config, source=named), Path(directory), progress=progress)
