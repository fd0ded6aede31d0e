"""Where text comes from: a file or a folder of the user's, or a built-in. Gives documents; knows nothing of tokens.

A text is one document; a table gives one a row (see formats.py). Files are read as data only.
"""

from __future__ import annotations

import hashlib
import random
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gptlab.config import DataConfig, unknown_name
from gptlab.data import formats, reading
from gptlab.data.errors import DataError, TooMuchText

FEWEST_CHARACTERS = 100
DOCS_PART_CHARACTERS = 4000


@dataclass(frozen=True)
class Source:
    """Documents and where they are from. `columns` and `text_column` are set for one table only; `bad` says what of the files
    could not be read, `bad_count` how much.

    `floor_logprobs` holds each document's exact log-probability in nats (end included) where the text was generated.
    """

    name: str
    description: str
    documents: list[str]
    encoding: str = "UTF-8"
    columns: tuple[str, ...] = ()
    text_column: str | None = None
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0
    share: float = 1.0
    floor_logprobs: list[float] | None = None
    drawn: bool = False  # by a grammar, each by itself: some may well be alike

    @property
    def characters(self) -> int:
        """Characters in all documents."""
        return sum(map(len, self.documents))


@dataclass(frozen=True)
class Builtin:
    """A data set that needs no file and no network. `generate` gives documents and their log-probabilities, if known."""

    title: str
    description: str
    generate: Callable[[DataConfig], tuple[list[str], list[float] | None]]


def read_documents(config: DataConfig, most_characters: int | None = None) -> Source:
    """The documents of a built-in, a file or a folder, or about so many characters of its beginning: `share` says how much that
    is. Raises DataError: one sentence that says what to do."""
    if config.source in BUILTINS:
        builtin = BUILTINS[config.source]
        documents, logprobs = builtin.generate(config)
        return Source(config.source, builtin.description, documents, floor_logprobs=logprobs, drawn=logprobs is not None)
    source = _read_file(Path(config.source), config.text_column, most_characters)
    if source.characters < FEWEST_CHARACTERS:
        characters = "1 character" if source.characters == 1 else f"{source.characters} characters"
        raise DataError(f"{source.name} holds only {characters} of text: at least {FEWEST_CHARACTERS} "
                        "are needed, and some thousands for a model to learn anything.")
    return source


def _read_file(path: Path, text_column: str | None, most_characters: int | None) -> Source:
    files = files_of(path)
    if len(files) > 1:
        return _read_folder(path, files, text_column, most_characters)
    found, file = reading.Found(most_characters), files[0]
    reading.check_size(file)
    documents = list(formats.read_file(file, text_column, found))
    if not documents:
        raise DataError(found.bad[0] if found.bad else
                        f"{file.name} is empty: choose a file with some thousand characters of text.")
    if found.columns:
        description = f"{file.name}: {len(documents):,} rows, text from column '{found.text_column}'"
    else:
        description = f"{file.name}: one text of {len(documents[0]):,} characters"
    return Source(file.name, description, documents, found.encoding, found.columns, found.text_column, found.bad, found.bad_count,
                  found.share)


def files_of(path: Path) -> list[Path]:
    """The file, or those of a folder that can be read, in the order of their names. Raises DataError."""
    try:
        if path.is_file():
            return [path]
        if path.is_dir():
            files = [one for one in path.rglob("*") if one.is_file() and reading.kind_of(one) in formats.READERS
                     and not any(part.startswith(".") for part in one.relative_to(path).parts)]
            if files:
                return sorted(files, key=lambda one: one.relative_to(path).as_posix())  # alike on every system
            raise DataError(f"The folder {path.name} holds no file that can be read: choose one with texts, tables or PDFs.")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read ({error}): check the file, or choose another.") from error
    hint = unknown_name(str(path), BUILTINS, "file or built-in data set")
    raise DataError(f"{hint} Built-in are {', '.join(BUILTINS)}; anything else is the path of a text file.")


def state_of_files(config: DataConfig) -> str | None:
    """SHA-256 of the names, sizes and times of what a data set is made of; None where no file is. Raises DataError."""
    folder = Path(config.source)
    files = [] if config.source in BUILTINS else [(path, path.relative_to(folder).as_posix()) for path in files_of(folder)]
    files += [(Path(config.tokenizer_file), "tokenizer")] if config.tokenizer == "file" else []
    try:
        stats = [(name, path.stat().st_size, path.stat().st_mtime_ns) for path, name in files]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): check the file, or choose another.") from error
    return hashlib.sha256(repr(stats).encode("utf-8", "replace")).hexdigest() if files else None


def _read_folder(folder: Path, files: list[Path], text_column: str | None, most_characters: int | None) -> Source:
    """The documents of many files. One that cannot be read is left out and listed, as long as another can."""
    documents, encodings, whole, share = [], set(), reading.Found(most_characters), 1.0
    size = characters = 0
    for number, file in enumerate(files, start=1):
        found, before = reading.Found(most_characters, reading.LARGEST_FILE_BYTES - characters), len(documents)
        try:
            reading.check_size(file)
            size += file.stat().st_size
            if size > reading.LARGEST_FILE_BYTES:
                raise TooMuchText
            documents += formats.read_file(file, text_column, found)
        except TooMuchText:
            raise DataError(f"The folder {folder.name} holds more than {reading.LARGEST_FILE_BYTES // 2**20} MB of text: "
                            "choose a part.") from None
        except DataError as error:
            found.left_out(str(error))
        encodings |= {found.encoding} if len(documents) > before else set()
        for sentence in found.bad:
            whole.left_out(sentence)
        whole.bad_count += found.bad_count - len(found.bad)
        characters += sum(map(len, documents[before:]))
        if whole.enough(characters):
            share = number / len(files)
            break
    if not documents:
        raise DataError(f"No file of the folder {folder.name} can be read. {whole.bad[0] if whole.bad else 'All are empty.'}")
    return Source(folder.name, f"{folder.name}: {len(files):,} files, {len(documents):,} documents", documents,
                  ", ".join(sorted(encodings)), bad=whole.bad, bad_count=whole.bad_count, share=share)


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
