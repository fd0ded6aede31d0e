"""Which machine and which number format to train with, and plain words for what goes wrong there."""

from __future__ import annotations

import base64
import contextlib
import gc
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator

import torch

from gptlab.threads import compute_with

CUDA_WHEELS = "https://download.pytorch.org/whl/cu130"
LOWER = "lower train.batch_size first, then model.context_length, model.n_embd or model.n_layer."
LOWER_MODEL = ("lower model.n_embd, model.n_layer or model.context_length for a new run, or close what else uses this machine's "
               "memory and resume this one.")
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cublas_status_alloc_failed")


class TrainingError(RuntimeError):
    """A run that cannot go on for a reason its user can mend: one sentence, with the remedy."""


class TooLittleMemory(TrainingError):
    """Not even one sequence fits; the model, the optimizer and the position in the data are as they were before."""


def pick_device(setting: str) -> str:
    """"cuda", "mps" or "cpu" for `train.device`. Raises ValueError where the one asked for is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if setting == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available[setting]:
        name = {"cuda": "NVIDIA GPU", "mps": "Apple GPU"}[setting]
        raise ValueError(f"train.device is '{setting}', but this torch sees no {name}: set train.device to auto. "
                         f"{gpu_note() or ''}".rstrip())
    return setting


def pick_precision(setting: str, device: str) -> str:
    """"fp32", "bf16" or "fp16" for `train.precision` on `device`. Raises ValueError where the device lacks it.

    auto: bf16 on an NVIDIA GPU that computes in it, fp16 on one that has only that, fp32 elsewhere.
    """
    if setting == "auto":
        if device != "cuda":
            return "fp32"
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability() >= (7, 0) else "fp32"  # older ones are slower in fp16
    if setting == "fp16" and device != "cuda":
        raise ValueError(f"train.precision is 'fp16', but {device} cannot train in it: set train.precision to auto.")
    return setting


def gpu_note() -> str | None:
    """What to do about an NVIDIA GPU that this torch cannot use; None where there is none, or it is in use.

    Asks NVIDIA's own tool, which comes with the driver on Linux and on Windows.
    """
    tool = shutil.which("nvidia-smi")
    if torch.cuda.is_available() or tool is None:
        return None
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, encoding="utf-8", errors="replace",
                                timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if listed.returncode != 0 or "GPU" not in listed.stdout:
        return None
    if torch.version.cuda is not None:
        return (f"There is an NVIDIA GPU, but its driver is too old for this torch (CUDA {torch.version.cuda}): "
                "update the NVIDIA driver.")
    version = torch.__version__.partition("+")[0]
    return ("There is an NVIDIA GPU, but this torch can only use the processor. To use the GPU: "
            f"pip install --force-reinstall torch=={version} --index-url {CUDA_WHEELS}")


def autocast(device: str, precision: str):
    """The context in which matrix products run in `precision`."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[precision])


def matrix_rate(device: str, precision: str, repeats: int = 5, size: int | None = None) -> float:
    """Floating-point operations a second of a product of large square matrices: the most this device does."""
    size = size or (4096 if device == "cuda" else 1024)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(device) for _ in range(2))
    times = []
    with torch.no_grad(), autocast(device, precision):
        for _ in range(repeats + 1):
            started = time.perf_counter()
            (a @ b)[0, 0].item()  # waits for the result
            times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times[1:])  # the first one warms up


def available_threads() -> int:
    """How many of the processor's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_by_environment() -> int | None:
    """How many threads somebody has asked for; None where nobody has."""
    return torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else None


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """A processor's work is done by `count` threads meanwhile (None: as many as now). Holds for the calling thread, and for
    those that are made meanwhile."""
    before = torch.get_num_threads()
    compute_with(count or before)
    try:
        yield
    finally:
        compute_with(before)


def random_states(device: str) -> dict[str, str]:
    """torch's global random states that training on `device` draws from, as base64 text."""
    states = {"cpu": torch.get_rng_state()}
    if device != "cpu":
        states[device] = getattr(torch, device).get_rng_state()
    return {name: base64.b64encode(state.numpy().tobytes()).decode("ascii") for name, state in states.items()}


def set_random_states(device: str, states: dict[str, str]) -> None:
    """Put back what `random_states` gave; a run that comes from another device keeps this one's own state."""
    for name, text in states.items():
        state = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
        if name == "cpu":
            torch.set_rng_state(state)
        elif name == device:
            getattr(torch, device).set_rng_state(state)


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` is a lack of memory, as each kind of device reports it; not where that was put into words already."""
    return isinstance(error, MemoryError) or (  # torch.OutOfMemoryError is a RuntimeError
        isinstance(error, RuntimeError) and not isinstance(error, TrainingError)
        and any(words in str(error).lower() for words in OUT_OF_MEMORY))


def release_memory(device: str) -> None:
    """Have a GPU's memory that nobody uses given back: after a lack of it, and not while its error is handled, whose traceback
    holds the tensors of what failed."""
    if device != "cpu":
        gc.collect()
        getattr(torch, device).empty_cache()


@contextlib.contextmanager
def explain_out_of_memory(remedy: str = LOWER) -> Iterator[None]:
    """Turn a lack of memory into a TrainingError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"The machine ran out of memory: {remedy}") from error
