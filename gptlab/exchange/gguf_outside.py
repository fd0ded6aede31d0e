"""A GGUF file as llama.cpp itself sees it, where its Python package (llama-cpp-python) is installed."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch

from gptlab.exchange.export import ExportError

F32 = 0  # of keys and values, which llama.cpp else keeps in f16


def is_installed() -> bool:
    """Whether there is a llama.cpp to ask."""
    return importlib.util.find_spec("llama_cpp") is not None


def opened(path: Path, tokens: int):
    """A `llama_cpp.Llama` of the file on the CPU, for texts of so many tokens. Raises ExportError where llama.cpp refuses it."""
    from llama_cpp import Llama  # loads a large library: only when it is used

    (said, _), threads = _log(), torch.get_num_threads()
    said.clear()
    try:
        return Llama(str(path), n_ctx=tokens, n_batch=tokens, n_ubatch=tokens, n_gpu_layers=0, logits_all=True, verbose=False,
                     n_threads=threads, n_threads_batch=threads, type_k=F32, type_v=F32)
    except ValueError as error:
        reason = next((line for line in "".join(said).splitlines() if "error" in line), str(error))
        raise ExportError(f"llama.cpp does not load the file: {reason}") from error


@functools.cache
def _log() -> tuple[list[str], object]:
    """What llama.cpp says from now on, which else it writes to the terminal; and what takes it down, to be kept as long."""
    import llama_cpp

    said: list[str] = []
    note = llama_cpp.llama_log_callback(lambda level, text, _: said.append(text.decode("utf-8", "replace")))
    llama_cpp.llama_log_set(note, None)
    return said, note


def ids_of(llama, text: str) -> list[int]:
    """What llama.cpp makes of a text; what looks like a special token is text."""
    return llama.tokenize(text.encode("utf-8", "replace"), add_bos=False, special=False)


def text_of(llama, ids: list[int]) -> str:
    """The text of some ids, torn characters as U+FFFD."""
    return llama.detokenize(ids).decode("utf-8", "replace")


def logits_of(llama, ids: list[int], *, after: int = 0) -> np.ndarray:
    """Logits (T, V) of the token after each of `ids`, which continue the `after` tokens that were given last."""
    llama.n_tokens = after
    llama.eval(ids)
    return llama.scores[after:after + len(ids)].copy()
