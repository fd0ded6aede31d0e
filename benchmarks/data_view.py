"""How long a search through 100,000 documents of 400 characters takes, and counting for the figures of 200 MB of tokens.

    python benchmarks/data_view.py

Each search goes through all of them: the median of five, by the clock, and in brackets of the processor's time, for a machine
that others use too. Counting runs in a process of its own, as in the app.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.data.documents import Documents, DocumentWriter
from gptlab.data.search import Query, Search
from gptlab.runs.counting import Counts

QUERIES = ("e", "the", "king", "the king said", "größe", "война", "বাংলা", "zebra", "document 99999")
WORDS = ("the king said that a small ship came over sea and land to see his old town while rain fell kindly on every roof größe "
         "война мир বাংলা ভাষা").split()
DOCUMENTS, TOKENS, ROUNDS = 100_000, 100_000_000, 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, value in {**searching(Path(folder)), **counting(Path(folder))}.items():
            print(f"{name:<30}{value}")


def searching(folder: Path) -> dict[str, str]:
    chance = random.Random(1)
    with open(folder / "documents", "w+b") as file:
        writer = DocumentWriter(file)
        for i in range(DOCUMENTS):
            writer.add(" ".join(chance.choices(WORDS, k=90))[:400 - 16] + f" document {i}")
        documents = writer.documents()
        found = {f"search for '{query}'": search(documents, query) for query in QUERIES}
        return {"documents (MB)": f"{documents.bytes / 1e6:.0f}", **found}


def search(documents: Documents, query: str) -> str:
    took = []
    for _ in range(ROUNDS):
        started = np.array([time.perf_counter(), time.process_time()])
        found = Search(documents, Query(query))
        while not found.done:
            found.advance(0.15)
        rows = len(found.rows)
        took.append(1000 * (np.array([time.perf_counter(), time.process_time()]) - started))
    clock, processor = np.median(took, axis=0)
    return f"{clock:.0f} ms ({processor:.0f} ms), {rows:,} found"


def counting(folder: Path) -> dict[str, str]:
    """The text of a small data set again and again: what is counted is alike, and there is as much of it as asked."""
    directory = folder / "set"
    small = prepare(DataConfig(source="stories", tokenizer="bpe", vocab_size=4096, documents=5000), directory)
    times = TOKENS // len(small.train)
    text, table = (directory / "documents.txt").read_bytes(), np.load(directory / "documents.npy")
    (directory / "train.bin").write_bytes(np.asarray(small.train).tobytes() * times)
    (directory / "documents.txt").write_bytes(text * times)
    np.save(directory / "documents.npy", np.concatenate([table + [n * len(text), n * len(text), 0, 0] for n in range(times)]))
    (directory / "manifest.json").write_text(json.dumps({**small.manifest, "train_tokens": len(small.train) * times}))
    counts, started = Counts(), time.perf_counter()
    while not counts.of(directory).finished:
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    return {"text counted (MB)": f"{len(text) * times / 1e6:.0f}", "counting for the figures": f"{seconds:.1f} s"}


if __name__ == "__main__":
    main()
