"""app.py as a user starts it: a process, its options, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def start(*options, **kwargs):
    return subprocess.Popen([sys.executable, "app.py", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, encoding="utf-8", **kwargs)


@pytest.mark.parametrize("options, says", [
    (["--host", "0.0.0.0"], "--auth"), (["--host", "0.0.0.0", "--auth", "a:b"], "--allow-host"),
    (["--auth", "nocolon"], "colon"), (["--gpu"], "--gpu"),
    (["--host", "::", "--auth", "a:b", "--allow-host", "lab"], "0.0.0.0"),
    (["--allow-host", "*"], "lab.example"), (["--allow-host", "lab.example:80"], "without a port"),
    (["--max-minutes", "0"], "0 is not a number above 0"), (["--max-minutes", "-3"], "-3 is not"),
    (["--max-minutes", "nan"], "nan is not"), (["--max-minutes", "long"], "long is not")])
def test_unsafe_or_wrong_options_are_refused_with_a_sentence(tmp_path, options, says):
    app = start("--no-browser", "--workspace", str(tmp_path / "w"), *options)
    _, errors = app.communicate(timeout=60)
    assert app.returncode == 2 and says in errors and "Traceback" not in errors


def test_importing_the_app_loads_nothing_heavy():
    """Spawned processes import it again before they do anything."""
    code = "import sys, app; print([m for m in ('gradio', 'torch', 'gptlab') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"


def test_it_takes_the_next_free_port_and_ends_when_told(tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
    app = start("--no-browser", "--workspace", str(tmp_path / "w"), "--port", str(port),
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, **group)
    try:
        address = re.search(r"http://127\.0\.0\.1:(\d+)", app.stdout.readline())
        assert address and int(address[1]) > port
        with urllib.request.urlopen(address[0], timeout=60) as answer:
            assert answer.status == 200
        deadline = time.monotonic() + 60  # the first data set is on its way without anybody asking
        while not (tmp_path / "w" / "datasets" / "stories" / "manifest.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        app.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGTERM)
        _, errors = app.communicate(timeout=60)
        assert app.returncode == 0 and "Traceback" not in errors
    finally:
        app.kill()
        taken.close()
