"""Work in a process beside the app: what it tells, how it ends, and that it ends with the app."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from tiny_run import wait_for

from gptlab.runs import beside


def count(to: int, tell) -> None:
    for n in range(to):
        tell(n)


def fail(kind: type, tell) -> None:
    raise kind("No such text: choose another.")


def die(tell) -> None:
    os._exit(7)


def wait(tell) -> None:
    tell(psutil.Process().nice())
    while True:
        time.sleep(0.05)
        tell("still here")


def done(function, *arguments) -> tuple[list, str]:
    """What was told, and how it ended."""
    told, ended, over = [], [], threading.Event()
    beside.Work("Counting", function, *arguments, told=told.append, ended=lambda problem: (ended.append(problem), over.set()))
    assert over.wait(60)
    return told, ended[0]


@pytest.mark.parametrize("function, arguments, told, problem", [
    (count, (3,), [0, 1, 2], ""), (fail, (ValueError,), [], "No such text: choose another."),
    (fail, (RuntimeError,), [], "This failed inside GPT Lab; the details stand in the terminal window."),
    (die, (), [], "Counting was ended from outside (exit code 7): try again.")])
def test_all_that_is_told_arrives_and_how_it_ended(function, arguments, told, problem):
    assert done(function, *arguments) == (told, problem)


def hold(marker: str) -> None:
    """As an app that has begun work, and waits."""
    told = []
    work = beside.Work("Waiting", wait, told=told.append, ended=lambda problem: None)
    while not told:
        time.sleep(0.01)
    Path(marker).write_text(f"{work._process.pid} {told[0]}", encoding="utf-8")
    time.sleep(600)


def test_it_gives_way_and_ends_with_a_killed_app(tmp_path):
    app = multiprocessing.get_context("spawn").Process(target=hold, args=(str(tmp_path / "marker"),))
    app.start()
    try:
        wait_for(lambda: (tmp_path / "marker").exists() and (tmp_path / "marker").read_text(encoding="utf-8"))
        pid, niceness = map(int, (tmp_path / "marker").read_text(encoding="utf-8").split())
        assert sys.platform == "win32" or niceness == min(19, psutil.Process().nice() + beside.NICENESS)
    finally:
        app.kill()
        app.join()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
