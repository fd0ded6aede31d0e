"""Where text comes from: a file or a folder of the user's, or a built-in. Gives documents; knows nothing of tokens.

A text is one document; a table gives one a row (see formats.py). Files are read as data only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import random
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gptlab.config import DataConfig, unknown_name
from gptlab.data import formats, reading
from gptlab.data.documents import DocumentWriter, Documents
from gptlab.data.errors import DataError

FEWEST_CHARACTERS = 100
DOCS_PART_CHARACTERS = 4000


@dataclass(frozen=True)
class Source:
    """Documents and where they are from. `columns` and `text_column` are set for one table only; `bad` says what of the files
    could not be read, `bad_count` how much.

    `floor_logprobs` holds each document's exact log-probability in nats (end included) where the text was generated.
    """

    name: str
    documents: Documents
    encoding: str = "UTF-8"
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0
    share: float = 1.0
    floor_logprobs: list[float] | None = None
    drawn: bool = False  # by a grammar, each by itself: some may well be alike


@dataclass(frozen=True)
class Builtin:
    """A data set that needs no file and no network. `generate` gives documents and their log-probabilities, if known."""

    title: str
    description: str
    generate: Callable[[DataConfig], tuple[list[str], list[float] | None]]


def read_documents(config: DataConfig, most_characters: int | None = None, *, into: BinaryIO | None = None,
                   fewest_characters: int = FEWEST_CHARACTERS, tell: Callable[[float], None] = lambda share: None) -> Source:
    """The documents of a built-in, of files or of folders, or about so many characters of their beginning: `share` says how much
    that is. They are written to `into`, an empty file, or kept in memory. `tell` is told the share read (0 to 1).

    Raises DataError: one sentence that says what to do, also where files hold fewer than `fewest_characters`; OSError where
    `into` takes no more.
    """
    writer = DocumentWriter(into or io.BytesIO())
    if config.source in BUILTINS:
        builtin = BUILTINS[config.source]
        texts, logprobs = builtin.generate(config)
        for text in texts:
            writer.add(text)
        return Source(config.source, writer.documents(), floor_logprobs=logprobs, drawn=logprobs is not None)
    source = _read_files(config, most_characters, writer, tell)
    if source.documents.characters < fewest_characters:
        count = source.documents.characters
        characters = "1 character" if count == 1 else f"{count} characters"
        raise DataError(f"{source.name} holds only {characters} of text: at least {fewest_characters} "
                        "are needed, and some thousands for a model to learn anything.")
    return source


def _read_files(config: DataConfig, most_characters: int | None, writer: DocumentWriter, tell: Callable[[float], None]) -> Source:
    """The documents of all files. One of several that cannot be read is left out and listed, as long as another can."""
    files, name = files_of(config.source), _name(config.source)
    sizes = [path.stat().st_size for path in files]
    total, done = max(1, sum(sizes)), 0
    texts, encodings, whole, share = 0, set(), reading.Found(most_characters), 1.0
    for number, (file, size) in enumerate(zip(files, sizes), start=1):
        found, before = reading.Found(most_characters), writer.characters
        try:
            for text in formats.read_file(file, config.text_column, found):
                writer.add(text, texts + found.texts)
                tell((done + found.share * size) / total)
        except DataError as error:
            if len(files) == 1:
                raise
            found.unreadable(str(error))
        texts, done = texts + found.texts, done + size
        encodings |= {found.encoding} if writer.characters > before else set()
        whole.add(found)
        if whole.enough(writer.characters):
            share = found.share if len(files) == 1 else number / len(files)
            break
    documents = writer.documents()
    if not len(documents):
        if len(files) == 1:
            raise DataError(whole.bad[0] if whole.bad else f"{name} is empty: choose a file with text in it.")
        raise DataError(f"No file of {name} can be read. {whole.bad[0] if whole.bad else 'All are empty.'}")
    for folder in filter(Path.is_dir, paths_of(config.source)):
        for other in _all_in(folder):
            if reading.kind_of(other) not in formats.READERS:
                whole.unreadable(formats.other_kind(other))
    source = Source(name, documents, ", ".join(sorted(encodings)), bad=whole.bad, bad_count=whole.bad_count, share=share)
    return source if len(files) > 1 else dataclasses.replace(source, columns=found.columns, text_column=found.text_column)


def several(paths: Iterable[str | Path]) -> str:
    """What `data.source` says of several files or folders: their paths, one a line."""
    return "\n".join(map(str, paths))


def paths_of(source: str) -> list[Path]:
    """The paths in `data.source`."""
    return [Path(line) for line in source.split("\n") if line]


def _name(source: str) -> str:
    """What to call it: a file's or a folder's name, "a.txt and 2 more" for several."""
    paths = paths_of(source)
    return paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def files_of(source: str) -> list[Path]:
    """The files that `data.source` names, and those that can be read of the folders, in the order of their names, each once. Raises
    DataError."""
    files: dict[Path, Path] = {}
    for path in paths_of(source) or [Path(source)]:
        for file in _files_of(path):
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _files_of(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path]
        if path.is_dir():
            if files := [one for one in _all_in(path) if reading.kind_of(one) in formats.READERS]:
                return files
            raise DataError(f"The folder {path.name} holds no file that can be read: choose one with texts, tables or PDFs.")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read ({error}): check the file, or choose another.") from error
    hint = unknown_name(str(path), BUILTINS, "file or built-in data set")
    raise DataError(f"{hint} Built-in are {', '.join(BUILTINS)}; anything else is the path of a text file.")


def _all_in(folder: Path) -> list[Path]:
    """The files below a folder, whatever their kind, but for hidden ones."""
    files = [one for one in folder.rglob("*") if one.is_file()
             and not any(part.startswith(".") for part in one.relative_to(folder).parts)]
    return sorted(files, key=lambda one: one.relative_to(folder).as_posix())  # alike on every system


def state_of_files(config: DataConfig) -> str | None:
    """SHA-256 of the names, sizes and times of what a data set is made of; None where no file is. Raises DataError."""
    files = []
    if config.source not in BUILTINS:
        files = [(file, file.relative_to(path).as_posix() if path.is_dir() else file.name)
                 for path in paths_of(config.source) for file in _files_of(path)]
    files += [(Path(config.tokenizer_file), "tokenizer")] if config.tokenizer == "file" else []
    try:
        stats = [(name, path.stat().st_size, path.stat().st_mtime_ns) for path, name in files]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): check the file, or choose another.") from error
    return hashlib.sha256(repr(stats).encode("utf-8", "replace")).hexdigest() if files else None


def size_of_files(config: DataConfig) -> int:
    """Bytes of the files that hold the text; 0 for a built-in. Raises DataError."""
    return 0 if config.source in BUILTINS else sum(file.stat().st_size for file in files_of(config.source))


def _stories(config: DataConfig) -> tuple[list[str], list[float]]:
    from gptlab.data import synthetic  # here, so that reading a file never builds the grammar
    return synthetic.stories(config.documents, config.seed)


def _arithmetic(config: DataConfig) -> tuple[list[str], list[float]]:
    from gptlab.data import synthetic
    return synthetic.arithmetic(config.documents, config.seed)


def _python_docs(config: DataConfig) -> tuple[list[str], None]:
    """Parts of about a page. What several topics share stands in the first only: held-out text must be unseen."""
    from pydoc_data.topics import topics  # half a megabyte, read only when asked for
    documents, seen = [], set()
    for name in sorted(topics):
        part = ""
        for paragraph in topics[name].strip().split("\n\n"):
            if paragraph.strip() in seen:
                continue
            if len(paragraph) > 80:  # shorter ones are headings and lines of code, which may come again
                seen.add(paragraph.strip())
            if part and len(part) + len(paragraph) > DOCS_PART_CHARACTERS:
                documents.append(part)
                part = ""
            part += paragraph.strip("\n") + "\n\n"
        documents.append(part)
    return _some([document.strip("\n") + "\n" for document in documents if document.strip()], config), None


def _python_source(config: DataConfig) -> tuple[list[str], None]:
    folder = Path(sysconfig.get_path("stdlib"))
    generated = ("_sysconfigdata", "sitecustomize")  # written by whoever built this Python, not part of the library
    files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith(generated)]
    if not files:
        raise DataError("This Python comes without the source of its library: choose another built-in, such as python-docs.")
    return _some([path.read_text(encoding="utf-8", errors="replace") for path in files], config), None


def _some(documents: list[str], config: DataConfig) -> list[str]:
    """All of them, or `config.documents` drawn by `config.seed`, in their order."""
    if len(documents) <= config.documents:
        return documents
    kept = sorted(random.Random(config.seed).sample(range(len(documents)), config.documents))
    return [documents[i] for i in kept]


BUILTINS: dict[str, Builtin] = {
    "stories": Builtin("Stories", "Small children's stories from a grammar, with a known best possible loss.", _stories),
    "arithmetic": Builtin("Arithmetic", "Sums with their answers, with a known best possible loss.", _arithmetic),
    "python-docs": Builtin("Python's documentation", "The language reference that every Python carries.", _python_docs),
    "python-source": Builtin("Python's source", "The modules of Python's standard library: code to learn from.",
                             _python_source),
}
