"""What a text would be as tokens, told from its first part: for looking before preparing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from gptlab.config import DataConfig
from gptlab.data.cleaning import StepReport
from gptlab.data.dataset import cleaned
from gptlab.data.documents import Documents
from gptlab.data.learning import build_tokenizer
from gptlab.data.sources import BUILTINS, Source, read_documents
from gptlab.data.tokenizers import Tokenizer

PREVIEW_CHARACTERS = 300_000  # enough text for a preview's tokenizer and estimates, quick enough for a page
GENERATED = ("stories", "arithmetic")
GENERATED_FOR_PREVIEW = 200  # documents; the counts are scaled up to what will be written
READ_FOR_PREVIEW = 4 * 2**20  # characters
SHOWN_DOCUMENTS, SHOWN_CHARACTERS, SHOWN_TOKENS = 4, 500, 300


@dataclass(frozen=True)
class Preview:
    """What is known of a text before it is prepared. `columns` is empty unless it is a table; `token_texts` are (text, id)."""

    documents: int
    characters: int
    tokens: int
    excerpts: list[str]
    token_texts: list[tuple[str, int]]
    columns: tuple[str, ...]
    text_column: str | None
    vocabulary: int
    rough: bool  # the counts are scaled up from a part
    encoding: str
    bad: list[str]  # what could not be read, the first of `bad_count`
    bad_count: int
    cleaning: list[StepReport]  # of the `characters_read`
    characters_read: int


def preview(config: DataConfig) -> Preview:
    """Look at the text a data set would be made of, or at its first part: a look must stay quick. Raises DataError: one
    sentence that says what to do."""
    scale = 1.0
    if config.source in GENERATED and config.documents > GENERATED_FOR_PREVIEW:
        scale = config.documents / GENERATED_FOR_PREVIEW
        config = dataclasses.replace(config, documents=GENERATED_FOR_PREVIEW)
    source = read_documents(config, READ_FOR_PREVIEW)
    read, reports = source.documents.characters, []
    if config.cleaning:
        source, reports = cleaned(source, config)
    scale /= source.share
    texts = len(source.documents.text_lengths)  # a long one is several documents
    many = scale if texts > 1 or config.source in BUILTINS else 1  # a plain text is one, however long
    tokenizer = preview_tokenizer(config, source.documents)
    return Preview(
        documents=round(texts * many), characters=round(source.documents.characters * scale),
        tokens=round(estimate_tokens(tokenizer, source.documents) * scale),
        excerpts=excerpts(source, SHOWN_DOCUMENTS, SHOWN_CHARACTERS),
        token_texts=token_preview(tokenizer, source.documents[0], SHOWN_TOKENS), columns=source.columns,
        text_column=source.text_column, vocabulary=tokenizer.vocab_size, rough=scale != 1.0, encoding=source.encoding,
        bad=source.bad, bad_count=source.bad_count, cleaning=reports, characters_read=read)


def preview_tokenizer(config: DataConfig, documents: Documents) -> Tokenizer:
    """The tokenizer `prepare` would build, or for bpe, which takes long to learn, one learnt from the first part only."""
    return build_tokenizer(config, documents, Documents.of(_first_part(documents)))


def estimate_tokens(tokenizer: Tokenizer, documents: Documents) -> int:
    """Tokens of all documents, end-of-texts included, as far as their first part tells."""
    part = _first_part(documents)
    share = sum(map(len, tokenizer.encode_many(part))) / max(1, sum(map(len, part)))
    return round(share * documents.characters) + len(documents)


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
