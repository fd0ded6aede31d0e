"""A GGUF file as llama.cpp itself sees it, where its Python package (llama-cpp-python) is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

CPU, F32 = 0, 0  # no layer on a GPU; keys and values as exact as they are here, not in f16


def is_installed() -> bool:
    return importlib.util.find_spec("llama_cpp") is not None


def opened(path: Path, context_length: int):
    """A `llama_cpp.Llama` of the file for so many tokens, which keeps the logits of each. Raises ValueError where llama.cpp refuses it."""
    from llama_cpp import Llama  # loads a large library: only when it is used

    return Llama(str(path), n_ctx=context_length, n_batch=context_length, n_ubatch=context_length, n_gpu_layers=CPU, logits_all=True,
                 type_k=F32, type_v=F32, verbose=False)


def ids_of(llama, text: str) -> list[int]:
    """What llama.cpp makes of a text; what looks like a special token is text."""
    return llama.tokenize(text.encode("utf-8", "replace"), add_bos=False, special=False)


def text_of(llama, ids: list[int]) -> str:
    return llama.detokenize(ids).decode("utf-8", "replace")


def logits_of(llama, ids: list[int]) -> np.ndarray:
    """Logits (T, V) of the token after each of `ids`."""
    llama.reset()
    llama.eval(ids)
    return llama.scores[:len(ids)].copy()
