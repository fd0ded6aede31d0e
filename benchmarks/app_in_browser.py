"""The app in a process of its own and a Chromium to look at it with, for benchmarks of the page. Needs Playwright."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync"]
DRAWN = "document.querySelector('#chart .js-plotly-plot')?.data"  # the traces: train, smoothed, unseen, best
LAST_DRAWN_STEP = f"Math.max(0, ...({DRAWN} ?? []).slice(1, 3).map(line => line.x.at(-1) ?? 0))"


@contextmanager
def running_app(workspace: Path, port: int = 7950) -> Iterator[tuple[subprocess.Popen, str]]:
    """`python app.py` on a workspace: (its process, its address). Raises SystemExit with what it said where it does not start."""
    command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--workspace", str(workspace)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               encoding="utf-8", env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                threading.Thread(target=process.stdout.read, daemon=True).start()  # so that it never waits to be read
                yield process, found[0]
                return
        raise SystemExit("The app did not start:\n" + "".join(said))
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def chromium() -> Iterator:
    """A headless browser: Chromium from PATH, else Playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
