"""Work beside the app: a function in a process of its own, which gives way to what trains, so that no page waits for it.

Knows nothing of what is worked out. What a function is given and gives back must be plain, and its module must not import gradio.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

NICENESS = 10


class Work:
    """`function(*arguments, tell)` at work: `told` is called with all that it tells, in a thread, and `ended` with why it failed, a
    sentence, or "" where it did not. `title` begins the sentences, as "Preparing"."""

    def __init__(self, title: str, function: Callable, *arguments: Any, told: Callable[[Any], None], ended: Callable[[str], None]):
        self._title, self._told, self._ended = title, told, ended
        self._process, inbox = _begin(_tell_all, function, arguments)
        self._thread = threading.Thread(target=self._follow, args=(inbox,), name=title, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop it, wherever it is."""
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Returns once it is over and that is told, or after so long."""
        self._thread.join(seconds)

    def _follow(self, inbox: Connection) -> None:
        problem = ""
        with contextlib.suppress(EOFError, OSError):
            while True:
                said, problem = inbox.recv()
                if not problem:
                    self._told(said)
        self._process.join()
        if self._process.exitcode and not problem:
            problem = f"{self._title} was ended from outside (exit code {self._process.exitcode}): try again."
        self._ended(problem)


class OneAtATime:
    """Work of which no more than one piece is under way. `current` is that, or the last one, as any page may look at it: with
    `problem`, why it failed, a sentence, and `finished`: whole, failed or cancelled."""

    title = "Working"        # begins the sentence on one that is ended from outside
    cancelled = "Cancelled."  # the problem of one that somebody ended

    def __init__(self):
        self.current: Any = None
        self._work: Work | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self.current is not None and not self.current.finished

    def cancel(self) -> None:
        """Stop the one under way."""
        with self._lock:
            if self.busy:
                self.current.problem = self.cancelled
                self._work.end()

    def close(self) -> None:
        """Cancel, and wait until it is over: for the end of the app."""
        self.cancel()
        if self._work is not None:
            self._work.wait(5)

    def _begin(self, current: Any, function: Callable, *arguments: Any) -> None:
        """With the lock, and none under way: begin with `current`, which is handed on to `_told` and `_over`."""
        def ended(problem: str) -> None:
            current.problem = current.problem or problem
            self._over(current)
            current.finished = True

        self.current = current
        self._work = Work(self.title, function, *arguments, told=lambda said: self._told(current, said), ended=ended)

    def _told(self, current: Any, said: Any) -> None:
        """Take in what it tells."""

    def _over(self, current: Any) -> None:
        """Do what is to be done when it is over, before anybody is told."""


def call(function: Callable, *arguments: Any, seconds: float) -> Any:
    """What a function gives. Raises the ValueError or OSError that it raised, TimeoutError where it took longer than `seconds`,
    and RuntimeError where its process came to another end, such as a lack of memory."""
    process, inbox = _begin(_answer, function, arguments)
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


def _begin(worker: Callable, function: Callable, arguments: tuple) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    inbox, outbox = context.Pipe(duplex=False)
    process = context.Process(target=worker, args=(function, arguments, outbox), daemon=True)
    process.start()
    outbox.close()
    return process, inbox


# --- in the spawned process ---

def _tell_all(function: Callable, arguments: tuple, outbox: Connection) -> None:
    """Sends (what is told, problem)."""
    def send(said: Any, problem: str = "") -> None:
        try:
            outbox.send((said, problem))
        except OSError:
            sys.exit(1)  # the app is gone: nobody waits for this any more

    _give_way()
    try:
        function(*arguments, send)
    except (ValueError, OSError) as problem:
        send(None, str(problem))
    except Exception:
        traceback.print_exc()
        send(None, "This failed inside GPT Lab; the details stand in the terminal window.")


def _answer(function: Callable, arguments: tuple, outbox: Connection) -> None:
    """Sends (what is given, problem); on one core."""
    _give_way()
    os.environ["RAYON_NUM_THREADS"] = "1"  # what `tokenizers` looks at when it first learns or encodes
    try:
        outbox.send((function(*arguments), None))
    except (ValueError, OSError) as problem:
        outbox.send((None, problem))
    except Exception:
        traceback.print_exc()


def _give_way() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches it too; the app decides
    this = psutil.Process()
    this.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else min(19, this.nice() + NICENESS))
