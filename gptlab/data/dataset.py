"""Documents and a tokenizer become `train.bin`, `val.bin`, `tokenizer.json` and `manifest.json`; and opening them.

Token files are raw little-endian ids (uint16, or uint32 for vocabularies beyond 65,536), each document followed by
end-of-text. A data set appears whole or not at all, and never changes. Knows nothing of models.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gptlab.config import DataConfig
from gptlab.data import baselines, health
from gptlab.data.cleaning import StepReport, clean
from gptlab.data.sources import FEWEST_CHARACTERS, DataError, Source, read_documents, state_of_files
from gptlab.data.split import Split, plan_split
from gptlab.data.synthetic import STORY_GRAMMAR
from gptlab.data.tokenizers import Tokenizer, build_tokenizer, load_tokenizer

BATCH_CHARACTERS = 4_000_000  # encoded between two reports of progress
SPARE_BYTES = 32 * 2**20      # left free on the disk
PREVIEW_CHARACTERS = 300_000  # enough text for a preview's tokenizer and estimates, quick enough for a page

Progress = Callable[[float, str], None]


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
        """uniform, unigram, bigram, entropy_floor: nats per token, None where unknown."""
        return self.manifest["baselines"]


# --- preparing ---

def prepare(config: DataConfig, directory: Path, *, progress: Progress | None = None) -> Dataset:
    """Read, split, tokenize and write a data set to `directory`, which must not exist yet.

    `progress` is told the share done (0 to 1) and what is being done. Raises DataError for what the user can mend, a
    full disk included, and FileExistsError; in both cases nothing is left behind.
    """
    directory = Path(directory)
    tell = progress or (lambda share, message: None)
    if directory.exists():
        raise _taken(directory)
    tell(0.0, "Reading the text")
    files = state_of_files(config)  # before they are read: what changes meanwhile is another text
    source = read_documents(config)
    reports: list[StepReport] = []
    if config.cleaning:
        tell(0.05, "Cleaning the text")
        source, reports = cleaned(source, config)
    split = plan_split(source.documents, config)
    tell(0.1, "Learning the tokenizer" if config.tokenizer == "bpe" else "Preparing the tokenizer")
    tokenizer = build_tokenizer(config, source.documents, split.train)
    temporary = directory.parent / f".{directory.name}-{uuid.uuid4().hex[:8]}"
    try:
        temporary.mkdir(parents=True)
        _remove_leftovers(directory.parent)
        _check_space(temporary, tokenizer, source)
        _write(config, source, files, reports, split, tokenizer, temporary, directory.name, tell)
        os.replace(temporary, directory)
    except OSError as error:
        raise _plain(error, directory) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already where all went well
    tell(1.0, "Done")
    return open_dataset(directory)


def cleaned(source: Source, config: DataConfig) -> tuple[Source, list[StepReport]]:
    """The source with its documents cleaned, and what each step did. Raises DataError where nothing is left.

    The best possible loss is known no more once anything is changed or left out: what is left is no draw of the grammar.
    """
    texts, reports = clean(source.documents, config)
    documents = [text for text in texts if text is not None]
    if sum(map(len, documents)) < FEWEST_CHARACTERS:
        raise DataError(f"Cleaning leaves hardly anything of {source.name}: take out some of its steps "
                        f"({', '.join(config.cleaning)}).")
    logprobs = source.floor_logprobs if texts == source.documents else None
    return dataclasses.replace(source, documents=documents, floor_logprobs=logprobs), reports


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


def _remove_leftovers(folder: Path) -> None:
    """What a process that was killed while preparing left behind, an hour ago or more: nobody can be at it still."""
    for leftover in folder.glob(".*-????????"):
        if leftover.is_dir() and time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)


def _taken(directory: Path) -> FileExistsError:
    return FileExistsError(f"There is a data set named '{directory.name}' already: choose another name.")


def _plain(error: OSError, directory: Path) -> Exception:
    """The sentence for an error of the file system."""
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return _taken(directory)
    if error.errno == errno.ENOSPC:
        return DataError(f"The disk of {directory.parent} is full: free some space, then prepare again.")
    return DataError(f"{directory.parent} cannot be written to ({error}): choose another workspace.")


def _check_space(folder: Path, tokenizer: Tokenizer, source: Source) -> None:
    """No kind writes more than one token a byte."""
    tokens = sum(len(text.encode("utf-8")) + 1 for text in source.documents)
    needed = tokens * np.dtype(tokenizer.dtype).itemsize + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"Preparing may need {needed / 2**20:,.0f} MB, and {folder.parent} has {free / 2**20:,.0f} MB "
                        "free: free some space, or choose another workspace.")


def _write(config: DataConfig, source: Source, files: str | None, reports: list[StepReport], split: Split, tokenizer: Tokenizer,
           folder: Path, name: str, tell: Progress) -> None:
    """All four files, the manifest last."""
    tokenizer.save(folder / "tokenizer.json")
    share = sum(map(len, split.val)) / source.characters
    _write_tokens(split.val, tokenizer, folder / "val.bin", lambda done: tell(0.3 + 0.5 * share * done, "Writing tokens"))
    _write_tokens(split.train, tokenizer, folder / "train.bin",
                  lambda done: tell(0.3 + 0.5 * (share + (1 - share) * done), "Writing tokens"))
    tell(0.8, "Measuring what a model must beat")
    train, val = _open_tokens(folder / "train.bin", tokenizer.dtype), _open_tokens(folder / "val.bin", tokenizer.dtype)
    lengths = tokenizer.byte_lengths()
    train_bytes, val_bytes = (int(baselines.token_counts(ids, tokenizer.vocab_size) @ lengths) for ids in (train, val))
    manifest = dict(
        name=name, source=source.name, hash=_hash(folder), documents=len(source.documents),
        characters=source.characters, train_tokens=len(train), val_tokens=len(val),
        train_bytes=train_bytes, val_bytes=val_bytes,
        dtype=np.dtype(tokenizer.dtype).name, vocab_size=tokenizer.vocab_size, tokenizer=tokenizer.kind, split=split.kind,
        encoding=source.encoding, text_column=source.text_column, config=dataclasses.asdict(config),
        grammar=_grammar(config), files=files,
        baselines=dict(uniform=baselines.uniform(tokenizer.vocab_size),
                       unigram=baselines.unigram(train, val, tokenizer.vocab_size),
                       bigram=baselines.bigram(train, val, tokenizer.vocab_size, tokenizer.end_of_text),
                       entropy_floor=entropy_floor(source, split, len(val))),
        cleaning=[report.to_dict() for report in reports], left_out=dict(count=source.bad_count, first=source.bad),
        alerts=[found.to_dict() for found in health.examine(
            config, source.documents, split, tokenizer, train, val, drawn=source.drawn,
            left_out=source.bad_count)])
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _write_tokens(documents: Sequence[str], tokenizer: Tokenizer, path: Path, tell: Callable[[float], None]) -> None:
    """Every document's ids, each followed by end-of-text, flushed to disk."""
    total, done = max(1, sum(map(len, documents))), 0
    end = np.array([tokenizer.end_of_text], dtype=tokenizer.dtype)
    with open(path, "wb") as file:
        for batch in _batches(documents):
            ids = np.concatenate([part for encoded in tokenizer.encode_many(batch) for part in (encoded, end)])
            file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False))
            done += sum(map(len, batch))
            tell(done / total)
        file.flush()
        os.fsync(file.fileno())


def _batches(documents: Sequence[str]) -> Iterator[list[str]]:
    """Documents in groups of about BATCH_CHARACTERS."""
    batch, size = [], 0
    for text in documents:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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


# --- looking before preparing ---

def preview_tokenizer(config: DataConfig, documents: Sequence[str]) -> Tokenizer:
    """The tokenizer `prepare` would build, or for bpe, which takes long to learn, one learnt from the first part only."""
    return build_tokenizer(config, documents, _first_part(documents))


def estimate_tokens(tokenizer: Tokenizer, documents: Sequence[str]) -> int:
    """Tokens of all documents, end-of-texts included, as far as their first part tells."""
    part = _first_part(documents)
    share = sum(map(len, tokenizer.encode_many(part))) / max(1, sum(map(len, part)))
    return round(share * sum(map(len, documents))) + len(documents)


def token_preview(tokenizer: Tokenizer, text: str, limit: int = 200) -> list[tuple[str, int]]:
    """(text, id) of the first tokens of a text, for showing them in colours."""
    return [(tokenizer.token_text(int(i)), int(i)) for i in tokenizer.encode(text[:limit * 20])[:limit]]


def excerpts(source: Source, count: int = 5, characters: int = 600) -> list[str]:
    """The beginnings of the first documents, those cut short ending in an ellipsis."""
    return [text if len(text) <= characters else text[:characters] + "…" for text in source.documents[:count]]


def _first_part(documents: Sequence[str]) -> list[str]:
    """Documents, the last one cut, up to PREVIEW_CHARACTERS."""
    part, left = [], PREVIEW_CHARACTERS
    for text in documents:
        part.append(text[:left])
        left -= len(part[-1])
        if left <= 0:
            break
    return part
