"""What a command names as its text: a built-in, files and folders, texts to download, or standard input."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gptlab.config import CLEANING, DataConfig, unknown_name
from gptlab.data import catalog
from gptlab.data.dataset import remove_leftovers, temporary_beside
from gptlab.data.download import Arriving
from gptlab.data.errors import DataError
from gptlab.data.room import SPARE_BYTES
from gptlab.data.sources import BUILTINS, several
from gptlab.runs.downloading import download, downloaded
from gptlab.runs.rundir import clean_name
from gptlab.runs.workspace import Workspace

STDIN = "-"
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Text:
    """What `data.source` should be, what a data set made of it is called, and what the catalogue says should be cleaned of it."""

    source: str
    name: str
    cleaning: tuple[str, ...] = ()


@contextlib.contextmanager
def given(workspace: Workspace, wanted: Sequence[str]) -> Iterator[Text]:
    """The text that is named so, or for "-" what is on standard input, for as long as the `with` lasts. Raises DataError."""
    if list(wanted) != [STDIN]:
        yield named(workspace, wanted)
        return
    remove_leftovers(workspace.datasets)
    folder = temporary_beside(workspace.datasets / "stdin")
    folder.mkdir()
    try:
        path = folder / "stdin"
        with open(path, "wb") as file:
            while block := sys.stdin.buffer.read(BLOCK_BYTES):
                if shutil.disk_usage(folder).free < len(block) + SPARE_BYTES:
                    raise DataError(f"Standard input does not fit on the disk of {workspace.path}: free some space, or choose "
                                    "another workspace.")
                file.write(block)
        yield Text(str(path), "stdin")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def named(workspace: Workspace, wanted: Sequence[str], prepared: Sequence[str] = ()) -> Text:
    """The text that is named so; one of the catalogue is downloaded, unless it was. Raises DataError, with the names there are,
    among them those `prepared`."""
    texts = [_one(workspace, one, prepared) for one in wanted]
    if len(texts) == 1:
        return texts[0]
    if builtin := [text.source for text in texts if text.source in BUILTINS]:
        raise DataError(f"'{builtin[0]}' is built in and is not mixed with files: prepare it by itself.")
    steps = {step for text in texts for step in text.cleaning}
    return Text(several(text.source for text in texts), texts[0].name, tuple(step for step in CLEANING if step in steps))


def cleaned(data: DataConfig, text: Text, explicit: dict[str, str]) -> tuple[str, ...]:
    """The steps of cleaning: those that were typed or preset, else what the catalogue says, which is told."""
    if data.cleaning or not text.cleaning or "data.cleaning" in explicit:
        return data.cleaning
    print(f"Cleaned as the catalogue says: {', '.join(text.cleaning)}. For none: --set data.cleaning=", file=sys.stderr)
    return text.cleaning


def _one(workspace: Workspace, wanted: str, prepared: Sequence[str]) -> Text:
    if wanted in BUILTINS:
        return Text(wanted, wanted)
    path = Path(wanted).expanduser()
    if path.exists():
        if "\n" in str(path.resolve()):  # several paths are kept one a line
            raise DataError(f"The path {str(path)!r} has a line break in it and cannot be read: rename the file or folder.")
        return Text(str(path.resolve()), clean_name(path.resolve().stem, "text"))
    entries = catalog.entries()
    if wanted in entries:
        return Text(several(_downloaded(workspace, entries[wanted])), wanted, entries[wanted].cleaning)
    known = [*prepared, *(name for name in BUILTINS if name not in prepared)]
    raise DataError(f"{unknown_name(wanted, [*known, *entries], 'data set or file')} There are: {', '.join(known)}; to download: "
                    f"{', '.join(entries)}.")


def _downloaded(workspace: Workspace, entry: catalog.Entry) -> list[Path]:
    """The files of a text of the catalogue, fetched with a progress bar on stderr unless they are there."""
    if paths := downloaded(workspace, entry):
        return paths
    print(f"Downloading {entry.title} ({entry.licence}) from {entry.home}", file=sys.stderr)
    with tqdm(total=entry.bytes, unit="B", unit_scale=True, desc=entry.title, leave=False, disable=None) as bar:
        def show(arriving: Arriving) -> None:
            bar.total = arriving.total_bytes
            bar.update(arriving.done_bytes - bar.n)

        return download(workspace, entry, show)
