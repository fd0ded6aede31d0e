"""The compiled training loss: how it is made, ahead of time in a process of its own, and on what machines that can pay.

Only the function is compiled, never the module: weights, their names, the optimizer, evaluation and sampling are what they
were. When to compile, and whether what came of it is faster, is for `gptlab.runs.switching` to find out.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable

import psutil
import torch
from torch import Tensor

from gptlab.config import ModelConfig, TrainConfig
from gptlab.model import estimate
from gptlab.model.gpt import GPT
from gptlab.threads import compute_with
from gptlab.train.device import autocast, is_out_of_memory, random_states, set_random_states

TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3, "bf16": 2e-2}  # of the loss: sums in another order, and fewer roundings between
LEAST_SECONDS = 300.0   # of training still to come: many times what compiling takes of the machine
FREE_BYTES = 2**30  # of memory that compiling leaves to the training beside it


class CompilingError(RuntimeError):
    """There is no compiled loss, for a reason that can be told in one plain clause."""


def can_pay(device: str, seconds_left: float) -> bool:
    """Whether compiling may win more time than it costs. Never on a processor: one thread's forward and backward pass became
    1 to 6 % faster for GPT-2's parts and 7 to 32 % for rotary positions, RMSNorm and QK-norm, and cores side by side
    (gptlab.train.cores), which a compiled loss does without, win as much at once; and a switch at a moment that depends on
    the clock would keep two runs of one seed from being the same to the bit."""
    return device == "cuda" and seconds_left >= LEAST_SECONDS


class CompiledLoss:
    """`model.loss`, compiled for batches of `batch_size` whole windows while training; anything else takes the plain one, so
    that nobody ever waits for a compiler. Call `prepare` before the first use."""

    def __init__(self, model: GPT, batch_size: int, backend: str | Callable = "inductor"):
        import torch._inductor.config as inductor
        inductor.compile_threads = 1  # no pool of compilers: this process has other things to do
        torch.compiler.reset()        # what was compiled for an earlier run is of no use any more
        self._prepared = False
        self._model, self._shape = model, (batch_size, model.config.context_length)
        # Dropout then draws the very numbers that it draws in the plain loss.
        options = {"fallback_random": True} if backend == "inductor" and model.config.dropout else None
        self._compiled = torch.compile(model.loss, fullgraph=True, dynamic=False, backend=backend, options=options)

    def __call__(self, ids: Tensor, targets: Tensor) -> Tensor:
        if ids.shape != self._shape or not self._model.training:
            return self._model.loss(ids, targets)
        with torch.compiler.set_stance("eager_on_recompile" if self._prepared else "default"):
            return self._compiled(ids.contiguous(), targets.contiguous())

    def prepare(self, device: str, precision: str) -> None:
        """Compiles (or takes it from the compiler's cache) by one pass forward and back over made-up tokens. Leaves gradients
        and random states as they are. Raises CompilingError, also where the loss is not the plain one's."""
        ids = torch.arange(self._shape[0] * self._shape[1], device=device).view(self._shape) % self._model.vocab_size
        targets = ids.clone()  # one tensor in both places would be compiled as just that
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        states = random_states(device)
        try:
            with autocast(device, precision):
                with torch.no_grad():  # so that its activations take no memory beside the other's
                    plain = self._model.loss(ids, targets).item()
                set_random_states(device, states)
                loss = self(ids, targets)
            torch.autograd.grad(loss, parameters)
            compiled = loss.item()
        except Exception as error:
            raise CompilingError(in_a_clause(error)) from error
        finally:
            set_random_states(device, states)
        if not abs(compiled - plain) <= TOLERANCE[precision] * abs(plain):
            raise CompilingError(f"its loss would be {compiled:.4f} where it is {plain:.4f}")
        self._prepared = True


def fill_cache(config: ModelConfig, checkpointing: bool, vocab_size: int, batch_size: int, device: str, precision: str,
               threads: int, tell: Callable) -> None:
    """For a process of its own: compiles the loss of such a model, with gradient checkpointing or without, so that it then lies in
    the compiler's cache on the disk, where `CompiledLoss.prepare` finds it in a moment. Raises ValueError with the clause that
    CompilingError has."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    compute_with(threads)  # is part of what is compiled
    if device == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32"  # as in training: it is part of what is compiled, too
        free, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(max(0, free - FREE_BYTES) / total)
    try:
        _check_memory(config, checkpointing, vocab_size, batch_size, device, precision)
        model = GPT(config, vocab_size, torch.Generator()).to(device)
        model.checkpointing = checkpointing
        CompiledLoss(model, batch_size).prepare(device, precision)
    except Exception as error:
        raise ValueError(in_a_clause(error)) from error


def _check_memory(config: ModelConfig, checkpointing: bool, vocab_size: int, batch_size: int, device: str, precision: str) -> None:
    """Raises MemoryError where a model beside the one in training would take memory that the machine does not have: its system
    might end either of them. (A GPU only refuses.)"""
    train = TrainConfig(batch_size=batch_size, gradient_checkpointing=checkpointing)
    needed = estimate.training_memory_bytes(config, train, vocab_size, precision)
    if device != "cuda" and psutil.virtual_memory().available < sum(needed.values()) + FREE_BYTES:
        raise MemoryError


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def in_a_clause(error: Exception) -> str:
    """Why there is no compiled loss, for who reads of it."""
    if isinstance(error, CompilingError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    if "CxxCompiler" in text or "Compiler: " in text:
        return "there is no C++ compiler on this machine"
    if "triton" in text.lower() and "find" in text:
        return "Triton, which compiles for GPUs, is not installed or cannot be used here"
    if "grouped_mm" in text:
        return "experts are compiled in bf16 alone"
    if is_out_of_memory(error):
        return "there is not enough memory for it beside the training"
    return text.splitlines()[0][:200]
