"""What a text would be as tokens, told from its first part: for looking before preparing."""

from __future__ import annotations

from collections.abc import Sequence

from gptlab.config import DataConfig
from gptlab.data.documents import Documents
from gptlab.data.sources import Source
from gptlab.data.tokenizers import Tokenizer, build_tokenizer

PREVIEW_CHARACTERS = 300_000  # enough text for a preview's tokenizer and estimates, quick enough for a page


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
