"""How fast text becomes tokens on disk, beside the `tokenizers` library's own batch encoding; and what memory preparing takes.

    python benchmarks/prepare.py [--megabytes 200] [--vocab-size 8192] [--text FILE …] [--rounds 10] [--json]

The text: lines of the files named, by default of Python's documentation and library, drawn at random into documents of about
2,000 characters. First the encoding alone: in turns, a part of the documents each, the library's `encode_batch` with the texts in
memory, and ours from the file of documents to the file of tokens; printed are medians over the rounds. Then the whole of
`prepare`, each kind of tokenizer in a process of its own, with its highest resident memory (RSS).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tokenizers import Tokenizer as HFTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.data.documents import Documents
from gptlab.data.learning import build_tokenizer
from gptlab.data.sources import read_documents
from gptlab.data.token_files import write_tokens
from gptlab.data.tokenizers import Tokenizer

MEGABYTE = 1e6
DOCUMENT_CHARACTERS = 2000
PART_BYTES = 5e6  # that a round encodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--text", nargs="*", default=[], help="files to draw lines from")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gptlab-prepare-") as folder:
        text = Path(folder) / "text.jsonl"
        write_text(text, args)
        found = {"encoding": encoding(text, args), "preparing": preparing(text, args)}
    print(json.dumps(found) if args.json else table(found))


def write_text(path: Path, args: argparse.Namespace) -> None:
    """Documents, one a line, of as many megabytes together."""
    sources = args.text or ["python-docs", "python-source"]
    lines = [line for source in sources for text in read_documents(DataConfig(source=source, documents=10**6)).documents
             for line in text.split("\n") if line.strip()]
    chance, size = random.Random(1), 0
    with open(path, "w", encoding="utf-8") as file:
        while size < args.megabytes * MEGABYTE:
            document, characters = [], 0
            while characters < DOCUMENT_CHARACTERS:
                document.append(chance.choice(lines))
                characters += len(document[-1]) + 1
            text = "\n".join(document)
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            size += len(text.encode("utf-8"))


def encoding(text: Path, args: argparse.Namespace) -> list[dict]:
    """Rows of what encodes, MB/s (medians over the rounds) and how many times the library's speed."""
    with open(text.with_suffix(".documents"), "w+b") as file:
        documents = read_documents(DataConfig(source=str(text)), into=file).documents
        part = max(1, int(len(documents) * PART_BYTES / documents.bytes))
        kinds = {kind: build_tokenizer(DataConfig(tokenizer=kind, vocab_size=args.vocab_size), documents, documents)
                 for kind in ("bpe", "char", "byte")}
        library = HFTokenizer.from_str(kinds["bpe"].to_json())
        library.encode_special_tokens = True
        speeds: dict[str, list[float]] = {}
        for number in range(args.rounds):
            some = documents[number * part % len(documents):][:part]
            texts = list(some)
            contenders: dict[str, Callable[[], object]] = {
                "tokenizers, encode_batch": lambda: library.encode_batch(texts, add_special_tokens=False),
                "tokenizers, encode_batch_fast": lambda: library.encode_batch_fast(texts, add_special_tokens=False)}
            contenders |= {f"GPT Lab, {kind}": lambda one=one: encode(some, one, text.with_suffix(".bin"))
                           for kind, one in kinds.items()}
            for name in sorted(contenders, key=lambda _: random.random()):
                began = time.perf_counter()
                contenders[name]()
                speeds.setdefault(name, []).append(some.bytes / MEGABYTE / (time.perf_counter() - began))
    medians = {name: statistics.median(rates) for name, rates in sorted(speeds.items())}
    return [{"what": name, "mb_per_second": rate, "times_encode_batch": rate / medians["tokenizers, encode_batch"]}
            for name, rate in medians.items()]


def encode(documents: Documents, tokenizer: Tokenizer, path: Path) -> None:
    write_tokens(documents, tokenizer, path, lambda share: None)


def preparing(text: Path, args: argparse.Namespace) -> list[dict]:
    """Rows of kinds of tokenizers: seconds, MB/s and the highest resident memory of the whole of `prepare`."""
    rows = []
    for kind in ("bpe", "char", "byte"):
        config = DataConfig(source=str(text), tokenizer=kind, vocab_size=args.vocab_size)
        process = multiprocessing.get_context("spawn").Process(target=_prepare, args=(config, text.parent / "sets" / kind))
        began = time.perf_counter()
        process.start()
        peak = highest_memory(process.pid)
        process.join()
        seconds = time.perf_counter() - began
        rows.append({"what": f"prepare, {kind}", "seconds": seconds, "mb_per_second": args.megabytes / seconds,
                     "peak_rss_mb": peak() / MEGABYTE, "exit_code": process.exitcode})
    return rows


def _prepare(config: DataConfig, directory: Path) -> None:
    prepare(config, directory)


def highest_memory(pid: int) -> Callable[[], int]:
    """Looks at a process's RSS every 20 ms; what it gives is called for the highest, once the process has ended."""
    highest = [0]

    def look() -> None:
        try:
            process = psutil.Process(pid)
            while process.is_running():
                highest[0] = max(highest[0], process.memory_info().rss)
                time.sleep(0.02)
        except psutil.Error:
            return  # it has ended
    thread = threading.Thread(target=look)
    thread.start()

    def result() -> int:
        thread.join()
        return highest[0]
    return result


def table(found: dict) -> str:
    lines = [f"{row['what']:<32} {row['mb_per_second']:7.1f} MB/s   {row['times_encode_batch']:5.2f} × encode_batch"
             for row in found["encoding"]]
    lines += [f"{row['what']:<32} {row['mb_per_second']:7.1f} MB/s   {row['seconds']:6.1f} s   highest RSS "
              f"{row['peak_rss_mb']:,.0f} MB" for row in found["preparing"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
