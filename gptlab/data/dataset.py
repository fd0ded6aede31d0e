"""Documents and a tokenizer become `train.bin`, `val.bin`, `tokenizer.json` and `manifest.json`; and opening them.

Token files are raw little-endian ids (uint16, or uint32 for vocabularies beyond 65,536), each document followed by
end-of-text; `documents.txt` and `documents.npy` are the text itself, for looking at it. A data set appears whole or not at all,
and never changes. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil

from gptlab.config import DataConfig
from gptlab.data import baselines, health
from gptlab.data.cleaning import StepReport, clean
from gptlab.data.documents import FILE, keep
from gptlab.data.errors import DataError
from gptlab.data.learning import build_tokenizer
from gptlab.data.near_duplicates import groups
from gptlab.data.progress import Meter, Progress
from gptlab.data.room import SPARE_BYTES
from gptlab.data.sources import FEWEST_CHARACTERS, Source, read_documents, size_of_files, state_of_files
from gptlab.data.split import Split, may_hold_out_whole, plan_split
from gptlab.data.synthetic import STORY_GRAMMAR
from gptlab.data.token_files import TokenFile, write_tokens
from gptlab.data.tokenizers import Tokenizer, load_tokenizer




@dataclass(frozen=True)
class Dataset:
    """An opened data set; `train` and `val` are memory-mapped ids (1-D)."""

    directory: Path
    manifest: dict
    tokenizer: Tokenizer
    train: np.memmap
    val: np.memmap

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def hash(self) -> str:
        return self.manifest["hash"]

    @property
    def baselines(self) -> dict[str, float | None]:
        """uniform, unigram, bigram, xz, entropy_floor: nats per token, None where unknown; xz is missing in older data sets."""
        return self.manifest["baselines"]


# --- preparing ---

def prepare(config: DataConfig, directory: Path, *, progress: Callable[[Progress], None] = lambda progress: None) -> Dataset:
    """Read, clean, split, tokenize and write a data set to `directory`, which must not exist yet.

    Text goes through files, so that memory stays bounded however much there is. Raises DataError for what the user can mend, a
    full disk included, and FileExistsError; in both cases nothing is left behind.
    """
    directory = Path(directory)
    if directory.exists():
        raise _taken(directory)
    temporary = temporary_beside(directory)
    try:
        temporary.mkdir(parents=True)
        remove_leftovers(directory.parent)
        with contextlib.ExitStack() as files:
            _make(config, temporary, directory.name, Meter(progress, _phases(config)), files)
        os.replace(temporary, directory)
    except OSError as error:
        raise _plain(error, directory) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already where all went well
    progress(Progress(1.0, "Done"))
    return open_dataset(directory)


def _make(config: DataConfig, folder: Path, name: str, meter: Meter, files: contextlib.ExitStack) -> None:
    """All files of a data set, the manifest last. `files` closes those that are kept open."""
    def room() -> BinaryIO:
        return files.enter_context(tempfile.TemporaryFile(dir=folder))

    state, size = state_of_files(config), size_of_files(config)  # before they are read: what changes meanwhile is another text
    _check_space(folder, size * (3 if config.cleaning else 1))  # what is read, what a step leaves, and what the next makes of it
    kept = files.enter_context(open(folder / FILE, "w+b"))
    meter.begin("Reading the text", size)
    source = read_documents(config, into=room() if config.cleaning else kept, tell=meter.tell)
    reports: list[StepReport] = []
    if config.cleaning:
        meter.begin("Cleaning the text", source.documents.bytes)
        given, (source, reports) = source.documents, cleaned(source, config, into=kept, room=room, tell=meter.tell)
        given.close()
    meter.begin("Dividing the text", source.documents.bytes)
    alike = None
    if may_hold_out_whole(source.documents, config) and not source.drawn:
        alike = groups(source.documents, config.near_duplicate_threshold)
    split = plan_split(source.documents, config, alike)
    keep(folder, split.train, split.val)
    meter.begin("Learning the tokenizer" if config.tokenizer == "bpe" else "Preparing the tokenizer")
    tokenizer = build_tokenizer(config, source.documents, split.train)
    _check_space(folder, (source.documents.bytes + len(source.documents)) * np.dtype(tokenizer.dtype).itemsize)
    tokenizer.save(folder / "tokenizer.json")
    meter.begin("Writing tokens", source.documents.bytes)
    held_out = split.val.bytes / source.documents.bytes
    val = write_tokens(split.val, tokenizer, folder / "val.bin", lambda done: meter.tell(held_out * done))
    train = write_tokens(split.train, tokenizer, folder / "train.bin", lambda done: meter.tell(held_out + (1 - held_out) * done))
    meter.begin("Measuring what a model must beat")
    manifest = _manifest(config, source, split, tokenizer, train, val, meter.tell) | dict(
        name=name, hash=_hash(folder), files=state, cleaning=[report.to_dict() for report in reports])
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _phases(config: DataConfig) -> dict[str, float]:
    """What is done, and about how long each takes, as shares."""
    learning = {"Learning the tokenizer": 15.0} if config.tokenizer == "bpe" else {"Preparing the tokenizer": 5.0}
    return {"Reading the text": 10.0, **({"Cleaning the text": 15.0 * len(config.cleaning)} if config.cleaning else {}),
            "Dividing the text": 10.0, **learning, "Writing tokens": 60.0 if config.tokenizer in ("bpe", "file") else 15.0,
            "Measuring what a model must beat": 20.0}


def _manifest(config: DataConfig, source: Source, split: Split, tokenizer: Tokenizer, train: TokenFile, val: TokenFile,
              tell: Callable[[float], None]) -> dict:
    """What is known of a data set, but for its name and what only its making tells."""
    lengths = tokenizer.byte_lengths()
    train_bytes, val_bytes = (int(baselines.token_counts(ids, tokenizer.vocab_size) @ lengths) for ids in (train, val))
    tell(0.1)
    measured = baselines.all_of(train, val, tokenizer.vocab_size, tokenizer.end_of_text, val_bytes, split.val,
                                entropy_floor(source, split, len(val)))
    tell(0.6)
    alerts = health.examine(config, source.documents, split, tokenizer, train, val, drawn=source.drawn, left_out=source.bad_count)
    return measured | dict(
        source=source.name, documents=len(source.documents.text_lengths), characters=source.documents.characters,
        train_tokens=len(train), val_tokens=len(val), train_bytes=train_bytes, val_bytes=val_bytes,
        dtype=np.dtype(tokenizer.dtype).name, vocab_size=tokenizer.vocab_size, tokenizer=tokenizer.kind, split=split.kind,
        encoding=source.encoding, text_column=source.text_column, config=dataclasses.asdict(config), grammar=_grammar(config),
        left_out=dict(count=source.bad_count, first=source.bad), alerts=[found.to_dict() for found in alerts])


def cleaned(source: Source, config: DataConfig, **files: Any) -> tuple[Source, list[StepReport]]:
    """The source with its documents cleaned, and what each step did. `files` as of `clean`. Raises DataError where nothing is left.

    The best possible loss is known no more once anything is changed or left out: what is left is no draw of the grammar.
    """
    documents, reports = clean(source.documents, config, **files)
    if documents.characters < FEWEST_CHARACTERS:
        raise DataError(f"Cleaning leaves hardly anything of {source.name}: take out some of its steps "
                        f"({', '.join(config.cleaning)}).")
    changed = any(report.changed or report.left_out for report in reports)
    return dataclasses.replace(source, documents=documents, floor_logprobs=None if changed else source.floor_logprobs), reports


def made_from(manifest: dict, config: DataConfig) -> bool:
    """Whether a data set with this manifest was prepared with exactly these settings, by what generates the text today."""
    return prepared_settings(manifest) == _as_json(config) and manifest.get("grammar") == _grammar(config)


def prepared_settings(manifest: dict) -> dict[str, Any]:
    """The settings a data set was prepared with, as JSON has them; a setting that came later as it is by default."""
    return {**_as_json(DataConfig()), **manifest["config"]}


def _as_json(config: DataConfig) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()}


def _grammar(config: DataConfig) -> str | None:
    """SHA-256 of the grammar that tells the stories; None for other sources."""
    return hashlib.sha256(STORY_GRAMMAR.read_bytes()).hexdigest() if config.source == "stories" else None


def temporary_beside(path: Path) -> Path:
    """A name for what shall become `path`, which tells whose it is: `remove_leftovers` removes it once this process is gone."""
    return path.parent / f".{path.name}-{_this_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def remove_leftovers(folder: Path) -> None:
    """What processes of this machine that were cancelled or killed left behind in `folder`: nobody is at it any more."""
    for leftover in folder.glob(f".*-{_this_machine()}-*-????????"):
        maker = leftover.name.split("-")[-2]
        if leftover.is_dir() and maker.isdigit() and not psutil.pid_exists(int(maker)):
            shutil.rmtree(leftover, ignore_errors=True)


def _this_machine() -> str:
    """Of a container too: another one's processes, which share the disk only, cannot be asked after."""
    return f"{zlib.crc32(platform.node().encode('utf-8')):08x}"


def _taken(directory: Path) -> FileExistsError:
    return FileExistsError(f"There is a data set named '{directory.name}' already: choose another name.")


def _plain(error: OSError, directory: Path) -> Exception:
    """The sentence for an error of the file system."""
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return _taken(directory)
    if error.errno == errno.ENOSPC:
        return DataError(f"The disk of {directory.parent} is full: free some space, then prepare again.")
    return DataError(f"{directory.parent} cannot be written to ({error}): choose another workspace.")


def _check_space(folder: Path, needed: int) -> None:
    """Raises DataError where so many bytes would not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise DataError(f"Preparing may need {(needed + SPARE_BYTES) / 2**20:,.0f} MB, and {folder.parent} has "
                        f"{free / 2**20:,.0f} MB free: free some space, or choose another workspace.")


def _hash(folder: Path) -> str:
    """SHA-256 over tokenizer and tokens: two data sets with one hash train alike."""
    digest = hashlib.sha256()
    for name in ("tokenizer.json", "train.bin", "val.bin"):
        digest.update(f"{name} {(folder / name).stat().st_size}\n".encode())
        with open(folder / name, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def entropy_floor(source: Source, split: Split, val_tokens: int) -> float | None:
    """The best possible loss on val, nats per token: known where the text was generated and documents are held out whole.

    Minus the sum of the log-probabilities of exactly the val documents, over their tokens, end-of-text included.
    """
    if source.floor_logprobs is None or split.val_indices is None:
        return None
    return -sum(source.floor_logprobs[i] for i in split.val_indices) / val_tokens


# --- opening ---

def open_dataset(directory: Path) -> Dataset:
    """Open a prepared data set. Raises DataError where it is missing, cut off or not one."""
    directory = Path(directory)
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        name, dtype = manifest["name"], np.dtype(manifest["dtype"])
        files = {file: manifest[f"{file}_tokens"] * dtype.itemsize for file in ("train", "val")}
    except FileNotFoundError:
        raise DataError(f"There is no data set at {directory}: prepare it first.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The data set at {directory} cannot be read ({error!r}): prepare it again.") from error
    for file, expected in files.items():
        path = directory / f"{file}.bin"
        size = path.stat().st_size if path.is_file() else 0
        if size != expected:
            raise DataError(f"Data set '{name}' is cut off ({path.name} has {size:,} of {expected:,} bytes): prepare it again.")
    tokenizer = load_tokenizer(directory / "tokenizer.json")
    if tokenizer.vocab_size != manifest["vocab_size"]:
        raise DataError(f"Data set '{name}' has a tokenizer with {tokenizer.vocab_size:,} tokens where its manifest says "
                        f"{manifest['vocab_size']:,}: prepare it again.")
    train, val = (_open_tokens(directory / f"{file}.bin", dtype) for file in files)
    return Dataset(directory, manifest, tokenizer, train, val)


def _open_tokens(path: Path, dtype) -> np.memmap:
    return np.memmap(path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
