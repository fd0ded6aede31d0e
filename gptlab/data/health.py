"""Whether the curves of a data set can be trusted: what a person should know before a minute of training is spent.

Looks at text and tokens once they are split. Each finding has a code, its evidence in numbers, what to do, and where a setting
does that, `changes` to prepare the text again with. Writes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gptlab.config import DataConfig
from gptlab.data import baselines, ngrams
from gptlab.data.documents import Documents
from gptlab.data.learning import bpe_characters
from gptlab.data.split import Split
from gptlab.data.tokenizers import Tokenizer

SMALL_CHARACTERS = 250_000   # a small model reads this often enough in minutes to learn it by heart
FEWEST_VAL_TOKENS = 1000     # below, the loss on them jumps by chance
STRETCH_BYTES = 64           # about 13 words: longer than what a language repeats by itself
LEAKING_SHARE = 0.05         # of such stretches of val that stand in train
SHORT_BYTES, LEAKING_SHORT_SHARE = 16, 0.5  # where documents are shorter than two stretches
LOWER_THRESHOLD = 0.6        # of how alike documents count as one, where none is there twice and yet much is on both sides
DRIFT_BLOCKS = 30            # stretches of train that show how unlike a text is to itself
FEWEST_BLOCKS = 4
DRIFT_RATIO = 1.5            # times as unlike as the most unlike of them
RARE_TIMES, RARE_SHARE = 5, 0.2   # a token seen fewer times is hardly learnt; so many of the vocabulary may be
DOMINATING_SHARE = 0.5
ROUND_TRIP_CHARACTERS = 10_000
MOST_BLOCK_TOKENS = 4_000_000  # looked at together, to bound memory
MOST_PAIRS = 100_000         # of tokens, up to which pairs are counted: letters alone are alike in all English


@dataclass(frozen=True)
class Finding:
    """`severity` is info or warning; `changes` {"data.split": "spread"} are settings that mend it, if any do."""

    code: str
    severity: str
    message: str
    evidence: str
    remedy: str
    changes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return asdict(self)


def examine(config: DataConfig, documents: Documents, split: Split, tokenizer: Tokenizer, train: np.ndarray, val: np.ndarray, *,
            drawn: bool, left_out: int) -> list[Finding]:
    """All findings, the gravest first. `train`, `val`: ids (1-D), of which slices are read. `drawn`: documents are independent
    draws of a grammar, which may well be alike; `left_out`: rows, pages or files that could not be read."""
    found = [*_leakage(config, split, tokenizer, train, val, drawn), *_drift(config, split, tokenizer, train, val),
             *_little_text(split), *_little_val(config, val, train), *_vocabulary(config, tokenizer, train),
             *_sampled(config, split), *_lossy(config, split, tokenizer), *_dominating(documents, split), *_unreadable(left_out)]
    return sorted(found, key=lambda finding: finding.severity != "warning")


def _leakage(config: DataConfig, split: Split, tokenizer: Tokenizer, train: np.ndarray, val: np.ndarray,
             drawn: bool) -> Iterator[Finding]:
    copies = int(np.isin(_digests(split.val), _digests(split.train)).sum())
    length, enough = _stretch(split, len(train) + len(val))
    share = 0.0 if drawn else ngrams.overlap(val, train, length, tokenizer.end_of_text)
    if share < enough and not copies:
        return
    evidence = f"{100 * share:.0f} % of its stretches of {length} tokens stand word for word in the training text"
    if copies:
        evidence += f", and {copies:,} of {len(split.val):,} held-out documents stand there whole"
    steps = tuple(dict.fromkeys([*config.cleaning, "duplicates", "near-duplicates"]))
    changes: dict[str, Any] = {"data.cleaning": list(steps)} if steps != config.cleaning else {}
    if not copies and config.near_duplicate_threshold > LOWER_THRESHOLD:
        changes["data.near_duplicate_threshold"] = LOWER_THRESHOLD
    yield Finding("leakage", "warning", "The held-out text is not unseen: the loss on it flatters.", f"{evidence}.",
                  "Leave out what is there twice.", {} if drawn else changes)


def _digests(documents: Documents) -> np.ndarray:
    """A 64-bit hash of each: (documents,) uint64."""
    hashes = b"".join(hashlib.blake2b(raw, digest_size=8).digest() for raw in documents.all_encoded())
    return np.frombuffer(hashes, dtype=np.uint64)


def _stretch(split: Split, tokens: int) -> tuple[int, float]:
    """(tokens of about STRETCH_BYTES, a power of two; the share of such that is a leak). Of documents too short for that, stretches
    of half of one, and a larger share: shorter stretches recur in any language."""
    n_bytes = split.train.bytes + split.val.bytes
    half = split.val.bytes / len(split.val) / 2
    wanted, enough = (STRETCH_BYTES, LEAKING_SHARE) if half >= STRETCH_BYTES else (max(SHORT_BYTES, half), LEAKING_SHORT_SHARE)
    wanted *= tokens / max(1, n_bytes)
    return 2 ** max(3, round(math.log2(wanted))), enough


def _drift(config: DataConfig, split: Split, tokenizer: Tokenizer, train: np.ndarray, val: np.ndarray) -> Iterator[Finding]:
    ratio = drift(train, val, tokenizer.vocab_size)
    if ratio is None or ratio < DRIFT_RATIO:
        return
    changes = {"data.split": "spread"} if split.kind != "spread" else {}
    if "gutenberg" not in config.cleaning and "gutenberg" in split.val[-1][-20_000:].lower():
        changes["data.cleaning"] = [*config.cleaning, "gutenberg"]
    yield Finding("drift", "warning", "The held-out text is of another kind than the training text: the loss on it will not tell "
                  "what the model has learnt.", f"It is {ratio:.1f} times as unlike the training text as the most unlike part of "
                  "that is.", "Hold out blocks spread over the text, and leave out what does not belong to it, such as a licence "
                  "at its end.", changes)


def drift(train: np.ndarray, val: np.ndarray, vocab_size: int) -> float | None:
    """How unlike val is to train, in units of how unlike the most unlike stretch of train is to the rest; about 1 where both are
    of one kind, None where there is too little text to tell.

    Jensen-Shannon divergence of the frequencies of tokens (of pairs, where there are few kinds), between equally long stretches
    and all of train (Lin 1991).
    """
    block = min(len(val), len(train) // FEWEST_BLOCKS, MOST_BLOCK_TOKENS)
    if block < 200:
        return None
    count = _pair_frequencies if vocab_size**2 <= MOST_PAIRS else lambda ids, size: baselines.token_counts(ids, size)
    whole = count(train, vocab_size).astype(np.float64)
    starts = np.linspace(0, len(train) - block, min(DRIFT_BLOCKS, len(train) // block)).astype(int)
    own = [_divergence(counts, whole - counts) for counts in (count(train[i:i + block], vocab_size) for i in starts)]
    foreign = np.mean([_divergence(count(val[i:i + block], vocab_size), whole) for i in range(0, len(val) - block + 1, block)])
    return float(foreign / max(own)) if max(own) > 0 else None


def _pair_frequencies(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    counts = np.zeros(vocab_size**2, dtype=np.int64)
    for start in range(0, len(ids) - 1, MOST_BLOCK_TOKENS):
        some = np.asarray(ids[start:start + MOST_BLOCK_TOKENS + 1], dtype=np.int64)
        counts += np.bincount(some[:-1] * vocab_size + some[1:], minlength=vocab_size**2)
    return counts


def _divergence(counts: np.ndarray, others: np.ndarray) -> float:
    """Jensen-Shannon, in nats, of two vectors of counts."""
    p, q = counts / max(1, counts.sum()), np.maximum(others, 0) / max(1, others.sum())
    middle = (p + q) / 2
    return float(sum((one[one > 0] * np.log(one[one > 0] / middle[one > 0])).sum() for one in (p, q)) / 2)


def _little_text(split: Split) -> Iterator[Finding]:
    characters = split.train.characters
    if characters < SMALL_CHARACTERS:
        yield Finding("too-little-text", "warning", "Small: expect memorising.", f"There are {characters:,} characters to learn "
                      "from.", "Keep the checkpoint with the lowest loss on unseen text; more text helps most.")


def _little_val(config: DataConfig, val: np.ndarray, train: np.ndarray) -> Iterator[Finding]:
    if len(val) >= FEWEST_VAL_TOKENS:
        return
    wanted = round(1.1 * FEWEST_VAL_TOKENS / max(1, len(val) + len(train)), 2)
    helps = config.val_fraction < wanted <= 0.3
    yield Finding("too-little-val", "warning", f"Only {len(val):,} tokens are held out: the loss on unseen text will be rough.",
                  f"From about {FEWEST_VAL_TOKENS:,} on it is steady.", "Hold out more of the text, or use more text.",
                  {"data.val_fraction": wanted} if helps else {})


def _vocabulary(config: DataConfig, tokenizer: Tokenizer, train: np.ndarray) -> Iterator[Finding]:
    if config.tokenizer != "bpe":
        return
    if tokenizer.vocab_size < config.vocab_size:
        yield Finding("vocabulary-smaller", "info", f"This text has pieces for {tokenizer.vocab_size:,} tokens only, not "
                      f"{config.vocab_size:,}.", "No other pair of pieces comes twice.", "Nothing to do; a longer text has more.")
    rare = baselines.token_counts(train, tokenizer.vocab_size)[256:] < RARE_TIMES  # of what was learnt: all bytes are there
    if len(rare) and rare.mean() > RARE_SHARE:
        later = np.cumsum(rare[::-1])[::-1] / np.arange(len(rare), 0, -1)  # of the pieces from each on
        smaller = max(257, 256 * (1 + int(np.argmax(later > 0.5)) // 256))
        yield Finding("vocabulary-too-large", "warning", f"A vocabulary of {tokenizer.vocab_size:,} is large for this text.",
                      f"{100 * rare.mean():.0f} % of its learnt pieces come fewer than {RARE_TIMES} times.",
                      "Learn fewer pieces: each is then seen more often.",
                      {"data.vocab_size": smaller} if smaller < config.vocab_size else {})


def _lossy(config: DataConfig, split: Split, tokenizer: Tokenizer) -> Iterator[Finding]:
    beginning = split.train[0][:ROUND_TRIP_CHARACTERS]
    if config.tokenizer == "file" and (back := tokenizer.decode(tokenizer.encode(beginning))) != beginning:
        at = next((i for i, (a, b) in enumerate(zip(beginning, back)) if a != b), min(len(beginning), len(back)))
        yield Finding("lossy-characters", "warning", "This tokenizer does not give the text back as it was: it changes spaces, "
                      "capitals or rare characters.", f"“{beginning[at:at + 20]}” comes back as “{back[at:at + 20]}”.",
                      "Use a tokenizer of pieces of words (bpe) or bytes where every character counts.",
                      {"data.tokenizer": "bpe"})


def _sampled(config: DataConfig, split: Split) -> Iterator[Finding]:
    if config.tokenizer == "bpe" and (part := bpe_characters(split.train)) < split.train.characters:
        yield Finding("tokenizer-sample", "info", "The pieces of words were learnt from a part of the text.",
                      f"From {part / 1e6:,.3g} of {split.train.characters / 1e6:,.3g} million characters, spread over it.",
                      "Nothing to do: more would hardly change them.")


def _dominating(documents: Documents, split: Split) -> Iterator[Finding]:
    lengths, total = documents.text_lengths, documents.characters
    longest = int(lengths.max())
    if len(lengths) <= 2 or longest <= DOMINATING_SHARE * total:
        return
    evidence = f"It has {longest:,} of {total:,} characters."
    if split.kind == "spread":
        yield Finding("dominating-document", "info", "One document is most of the text: the model will mostly learn that one.",
                      evidence, "Blocks of it are held out, so the loss on them can be trusted. Leave it out where the others "
                      "matter.")
    else:
        yield Finding("dominating-document", "warning", "One document is most of the text: the model will mostly learn that one, "
                      "and the loss on held-out text is about another kind.", evidence,
                      "Hold out blocks spread over the text, so that it is on both sides.", {"data.split": "spread"})


def _unreadable(left_out: int) -> Iterator[Finding]:
    if left_out:
        yield Finding("left-out", "warning", "One part of it could not be read and is left out." if left_out == 1 else
                      f"{left_out:,} rows, pages or files could not be read and are left out.",
                      "The first of them are listed in the data set's manifest.json.", "Mend what matters, then prepare the text "
                      "again.")
