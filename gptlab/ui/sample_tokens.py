"""What the tokens of a run's samples are: the text of each, and which of it stands word for word in the training text.

Questions come from anybody's browser: they are only answered from files, every argument is checked, and work and memory are
bounded. A training text is taken in by a background thread; until then its questions are answered by "ask again".
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
from itertools import accumulate
from typing import Any

from gptlab.data import ngrams
from gptlab.data.dataset import open_dataset
from gptlab.data.sources import DataError
from gptlab.data.tokenizers import StreamDecoder, Tokenizer, UnknownCharacters, load_tokenizer
from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.ui.lab import Lab
from gptlab.ui.which_run import run_or_none

MOST_SAMPLES = 12            # in one question; more are not answered
MOST_TOKENS = 2048           # of a sample; the rest of a longer one has no answer
MOST_PROMPT = 2000           # characters that are read of a prompt
MOST_TEXT = 50_000_000       # tokens of a training text: ten seconds of work. Copies from a longer one are not looked for
KEPT_RANGES = 1000           # of samples asked about
KEPT_TEXTS = 2               # training texts in memory, 32 MB each at most

logger = logging.getLogger(__name__)


class SampleTokens:
    """Answers for all pages. A question has `run` and `samples`, a list of {"prompt": …, "token_ids": […]}."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._texts: dict[str, Copies | None] = {}  # by the data set's hash, the latest last; None: cannot be told
        self._building: threading.Thread | None = None
        self._lock = threading.Lock()
        self._tokenizer = functools.lru_cache(maxsize=4)(load_tokenizer)  # of a path: a run's never changes

    def pieces(self, question: Any) -> dict:
        """`pieces`: for each sample a list with the text that each of its tokens completes ("" within a character)."""
        run, samples = self._read(question)
        tokenizer = self._tokenizer_of(run)
        return {"pieces": [texts(tokenizer, prompt, ids) if tokenizer else [] for prompt, ids in samples]}

    def copied(self, question: Any) -> dict:
        """`ranges`: for each sample [[from, to], …] of its text in UTF-16 units, as a browser counts, all that stands
        word for word in the training text; or None where that cannot be told. `again`: not yet, ask in a moment."""
        run, samples = self._read(question)
        tokenizer = self._tokenizer_of(run)
        known, copies = self._copies_of(run) if tokenizer else (True, None)
        if copies is None:
            return {"ranges": [None] * len(samples), "again": not known}
        return {"ranges": [copies.ranges(ids, texts(tokenizer, prompt, ids)) for prompt, ids in samples],
                "again": False}

    def _read(self, question: Any) -> tuple[RunDir | None, list[tuple[str, list[int]]]]:
        question = question if isinstance(question, dict) else {}
        asked = question.get("samples")
        samples = [_sample(one) for one in asked[:MOST_SAMPLES]] if isinstance(asked, list) else []
        return run_or_none(self.lab, question.get("run")), samples

    def _tokenizer_of(self, run: RunDir | None) -> Tokenizer | None:
        try:
            return self._tokenizer(run.tokenizer_path) if run else None
        except DataError:
            return None

    def _copies_of(self, run: RunDir) -> tuple[bool, Copies | None]:
        """(whether it is settled, the training text if it can be compared with); begins to take it in if nobody does."""
        try:
            key = str(run.manifest().get("hash"))
        except RunError:
            return True, None
        with self._lock:
            if key in self._texts:
                self._texts[key] = self._texts.pop(key)
                return True, self._texts[key]
            if self._building is None or not self._building.is_alive():
                self._building = threading.Thread(target=self._take_in, args=(key, run), name="copies", daemon=True)
                self._building.start()
            return False, None

    def _take_in(self, key: str, run: RunDir) -> None:
        copies = None
        try:
            dataset = open_dataset(self.lab.workspace.dataset_of(run))
            if len(dataset.train) <= MOST_TEXT:
                length = ngrams.stretch_length(dataset.manifest["train_tokens"], dataset.manifest["train_bytes"])
                copies = Copies(ngrams.Stretches(dataset.train, length), whole=len(dataset.train) <= ngrams.MOST_HASHES)
        except DataError:
            pass  # the data set is gone: the share that the run itself noted down must do
        except Exception:
            logger.exception("The training text of run %s could not be compared with its samples", run.id)
        with self._lock:
            self._texts[key] = copies
            while len(self._texts) > KEPT_TEXTS:
                del self._texts[next(iter(self._texts))]


class Copies:
    """What of a sample stands in one training text. `whole`: all of its stretches are known, not every so many."""

    def __init__(self, stretches: ngrams.Stretches, whole: bool):
        self._stretches, self._whole = stretches, whole
        self._known: dict[bytes, list[list[int]]] = {}  # by what was asked, in a few bytes: the samples themselves take 20 MB

    def ranges(self, ids: list[int], pieces: list[str]) -> list[list[int]]:
        """[[from, to], …] of a sample's text, in UTF-16 units. Pages ask the same again and again."""
        asked = " ".join(map(str, ids)) + "\0".join(pieces)
        key = hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._ranges(ids, pieces)
            if len(self._known) > KEPT_RANGES:
                self._known.clear()  # made anew in a moment, and nothing to keep in order between threads
        return found

    def _ranges(self, ids: list[int], pieces: list[str]) -> list[list[int]]:
        ends = list(accumulate((len(piece.encode("utf-16-le", "surrogatepass")) // 2 for piece in pieces), initial=0))
        merged: list[list[int]] = []
        for first, last in self._tokens(ids, 0, len(ids) - self._stretches.length + 1):
            if merged and ends[first] <= merged[-1][1]:
                merged[-1][1] = ends[last]
            else:
                merged.append([ends[first], ends[last]])
        return merged

    def _tokens(self, ids: list[int], first: int, last: int) -> list[tuple[int, int]]:
        """(from, to) of tokens copied, of the stretches that begin at `first` up to before `last`: by halves, for most
        samples are copied hardly at all or nearly whole."""
        if last <= first:
            return []
        share = self._stretches.share(ids[first:last + self._stretches.length - 1])
        if not share:  # also None: none of these stretches is among those kept of a long text
            return []
        if share == 1.0 and (self._whole or last - first == 1):
            return [(first, last + self._stretches.length - 1)]
        middle = (first + last) // 2
        return self._tokens(ids, first, middle) + self._tokens(ids, middle, last)


def texts(tokenizer: Tokenizer, prompt: str, ids: list[int]) -> list[str]:
    """The text that each token of a sample completes, as it came when the sample was written."""
    decoder = StreamDecoder(tokenizer)
    if tokenizer.pieces is None:  # then a token's text depends on those before it
        try:
            for id in tokenizer.encode(prompt):
                decoder.push(int(id))
        except UnknownCharacters:
            pass
    return [decoder.push(id) for id in ids]


def _sample(asked: Any) -> tuple[str, list[int]]:
    asked = asked if isinstance(asked, dict) else {}
    prompt, ids = asked.get("prompt"), asked.get("token_ids")
    whole = isinstance(ids, list) and all(type(id) is int and 0 <= id < 2**31 for id in ids[:MOST_TOKENS])
    return prompt[:MOST_PROMPT] if isinstance(prompt, str) else "", ids[:MOST_TOKENS] if whole else []
