"""The app in a process of its own, and a Chromium to look at it with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import PATIENCE_SECONDS, wait_until

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.presets import DEFAULT_PRESET, preset
from gptlab.runs.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync"]


class App:
    """`python app.py` on a workspace; can be killed and started again on the same port."""

    def __init__(self, workspace: Path, port: int = 7960):
        self.workspace, self.port = workspace, port
        self.start()

    def start(self) -> None:
        command = [sys.executable, "app.py", "--no-browser", "--port", str(self.port), "--workspace", str(self.workspace)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        encoding="utf-8", env={**os.environ, "PYTHONUNBUFFERED": "1"})
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise RuntimeError("The app did not start:\n" + "".join(said))
        threading.Thread(target=self.process.stdout.read, daemon=True).start()  # so that it never waits to be read

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (tests/requirements.txt)")
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if path is None and not Path(playwright.chromium.executable_path).exists():
            reason = "no Chromium on PATH, nor Playwright's own (playwright install chromium)"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stories(tmp_path_factory) -> Path:
    """The data set that an app prepares at its first start, made once: no test waits for it, nor is refused because of it."""
    data, directory = preset(DEFAULT_PRESET).config.data, tmp_path_factory.mktemp("prepared") / "stories"
    prepare(data, directory)
    return directory


@pytest.fixture(scope="module")
def data_sets(stories) -> list[Path]:
    """What is in the workspace when the app starts."""
    return [stories]


@pytest.fixture(scope="module")
def app(tmp_path_factory, chromium, data_sets):
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    for data_set in data_sets:
        shutil.copytree(data_set, workspace.dataset_path(data_set.name))
    running = App(workspace.path)
    yield running
    running.kill()


@pytest.fixture
def browse(chromium):
    """Opens an address in a browser of its own, at a projector's size; a JavaScript error in the page fails the test."""
    contexts, errors = [], []

    def browse(address: str, width: int = 1440, height: int = 900):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        contexts[-1].set_default_timeout(PATIENCE_SECONDS * 1000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        wait_until(page, "document.body.dataset.ready")  # a test's hand is quicker than a person's
        return page

    yield browse
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture(scope="module")
def workspace(app, small_text, tmp_path_factory):
    """The app's, with the data set "tiny"."""
    source = tmp_path_factory.mktemp("text") / "tiny.txt"
    source.write_text(small_text[:6000], encoding="utf-8")
    workspace = Workspace(app.workspace)
    prepare(DataConfig(source=str(source)), workspace.datasets / "tiny")
    return workspace


@pytest.fixture
def page(app, browse):
    """A page of the app."""
    return browse(app.address)
