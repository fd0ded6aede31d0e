"""Exporting beside the app: in a process of its own, one at a time, so that neither a page nor a training waits, and Cancel is at
once. What comes of it is one zip in a folder of its own.
"""

from __future__ import annotations

import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gptlab.runs.beside import OneAtATime
from gptlab.runs.disk import check_space
from gptlab.runs.rundir import RunDir

KEPT = 8  # zips, of as many runs
CANCELLED = "Cancelled: nothing was made."


@dataclass(frozen=True)
class Wanted:
    """What is to be exported, as `gptlab.exchange.export.export` takes it; `number_format` is of gguf alone."""

    run: RunDir
    format: str
    checkpoint: str | int = "best"
    number_format: str = "f32"

    @property
    def name(self) -> str:
        """What the folder is called, and its zip without ".zip"."""
        return f"{self.run.id}-{self.format}"


@dataclass
class Exporting:
    """One export under way, or over, as any page may look at it. `file` is the zip once it is there."""

    wanted: Wanted
    folder: Path
    share: float = 0.0
    doing: str = ""
    checked: str = ""        # what was compared, in a sentence
    problem: str = ""        # why it failed, in a sentence
    finished: bool = False   # whole, failed or cancelled

    @property
    def file(self) -> Path:
        return self.folder / f"{self.wanted.name}.zip"


class Exports(OneAtATime):
    """The one export of the app that is under way, if any, and the latest of each of some runs."""

    title, cancelled = "Exporting", CANCELLED

    def __init__(self):
        super().__init__()
        self._kept: dict[RunDir, Exporting] = {}  # the latest last

    def of(self, run: RunDir) -> Exporting | None:
        """The latest export of a run, while it is kept."""
        return self._kept.get(run)

    def start(self, wanted: Wanted, folder: Path) -> Exporting:
        """Begin to export into `folder`, which is there, is empty, and goes when the zip is not kept any more. Raises ValueError
        while another one is under way."""
        with self._lock:
            if self.busy:
                raise ValueError(f"{self.current.wanted.run.name} is being exported: wait for that, or cancel it.")
            before = self._kept.pop(wanted.run, None)
            crowded = [self._kept.pop(run) for run in list(self._kept)[:max(0, len(self._kept) + 1 - KEPT)]]
            for old in [*[before] * bool(before), *crowded]:
                shutil.rmtree(old.folder, ignore_errors=True)
            self._kept[wanted.run] = exporting = Exporting(wanted, folder)
            self._begin(exporting, _export, wanted, folder)
            return exporting

    def _told(self, current: Exporting, said: tuple[float | str, str]) -> None:
        if said[0] == "done":
            current.checked = said[1]
        else:
            current.share, current.doing = said

    def _over(self, current: Exporting) -> None:
        if current.problem:
            shutil.rmtree(current.folder, ignore_errors=True)


def _export(wanted: Wanted, folder: Path, tell: Callable[[tuple[float | str, str]], None]) -> None:
    """In the spawned process."""
    from gptlab.exchange.export import export  # here, because it takes torch

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a train.py that is being tried ends with this process
    out = folder / wanted.name
    done = export(wanted.run, out, wanted.format, checkpoint=wanted.checkpoint, number_format=wanted.number_format,
                  progress=lambda share, doing: tell((0.95 * share, doing)))
    tell((0.95, "Packing it"))
    pack(out, folder / f"{wanted.name}.zip")
    tell(("done", done.checked))


def pack(directory: Path, path: Path) -> None:
    """Moves a folder into a zip at `path`, under its own name. Weights gain nothing from being squeezed, so nothing is."""
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    check_space(path.parent, sum(file.stat().st_size for file in files), f"pack {directory.name}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            packed.write(file, f"{directory.name}/{file.relative_to(directory).as_posix()}")
    shutil.rmtree(directory)
