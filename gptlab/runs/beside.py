"""Work beside the app: a function in a process of its own, so that neither a page nor a running training waits for it.

Knows nothing of what is worked out. What it is given and gives back must be plain, and its module must not import gradio.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def call(function: Callable, *arguments: Any, seconds: float) -> Any:
    """What a function gives. Raises the ValueError or OSError that it raised, TimeoutError where it took longer than `seconds`,
    and RuntimeError where its process came to another end, such as a lack of memory."""
    context = multiprocessing.get_context("spawn")
    inbox, outbox = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(function, arguments, outbox), daemon=True)
    process.start()
    outbox.close()
    try:
        if not inbox.poll(seconds):
            raise TimeoutError
        given, problem = inbox.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} was ended from outside, or failed: its process says why") from None
    finally:
        process.kill()
        process.join()
        inbox.close()
    if problem is not None:
        raise problem
    return given


def _work(function: Callable, arguments: tuple, outbox: Connection) -> None:
    """In the spawned process, on one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches it too; the app decides
    os.environ["RAYON_NUM_THREADS"] = "1"  # what `tokenizers` looks at when it first learns or encodes
    try:
        outbox.send((function(*arguments), None))
    except (ValueError, OSError) as problem:
        outbox.send((None, problem))
    except Exception:
        traceback.print_exc()
