"""What a first-time user waits for in the page: after Start, the first point and the first sample; after a reload, everything.

    python benchmarks/first_moments.py [--reloads 10] [--json]

Prepares the built-in stories, starts the app and the default run in it, and reloads the page while that trains. "Everything
back" is the run's name, at least as many points as before, a sample and the table's rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app_in_browser import LAST_DRAWN_STEP, chromium, running_app

from gptlab.data.dataset import prepare
from gptlab.presets import DEFAULT_PRESET, preset
from gptlab.runs.workspace import Workspace

SHOWN = """() => ({step: %s, name: document.querySelector('#live [data-is=name]')?.textContent ?? '',
  rows: document.querySelectorAll('#live .live-epochs tbody tr').length,
  sample: document.querySelector('#samples .written')?.textContent.length ?? 0})""" % LAST_DRAWN_STEP
ALL_THERE = """before => {{
  const now = ({shown})();
  return now.name === before.name && now.step >= before.step && now.rows >= before.rows && now.sample > 20;
}}""".format(shown=SHOWN)
PATIENCE = 60_000  # milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        data = preset(DEFAULT_PRESET)
        prepare(data.config.data, workspace.datasets / data.dataset)
        with running_app(workspace.path) as (_, address), chromium() as browser:
            found = measure(browser.new_page(), address, args.reloads)
    for name, seconds in found.items():
        print(f"{name}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s of {len(seconds)}")
    if args.json:
        print(json.dumps(found))


def measure(page, address: str, reloads: int) -> dict[str, list[float]]:
    """Seconds of each wait; those before a reload once."""
    page.goto(address)
    page.wait_for_function("document.querySelector('#live [data-is=next]')?.textContent.includes('about')", timeout=PATIENCE)
    started = time.perf_counter()
    page.locator("#start").click()
    page.wait_for_function(f"{LAST_DRAWN_STEP} > 0 || document.querySelector('#live [data-fact=val]').textContent !== '–'",
                           polling=20, timeout=PATIENCE)
    first_point = time.perf_counter() - started
    page.wait_for_function("document.querySelector('#samples .written')?.textContent.length > 20", polling=20, timeout=PATIENCE)
    first_sample = time.perf_counter() - started
    page.wait_for_function("document.querySelectorAll('#live .live-epochs tbody tr').length >= 2", timeout=PATIENCE)
    return {"first point after Start": [first_point], "first sample after Start": [first_sample],
            "everything back after a reload": [reload(page) for _ in range(reloads)]}


def reload(page) -> float:
    """Seconds from the reload of a page until what it showed is there again."""
    page.wait_for_timeout(1000)
    before = page.evaluate(SHOWN)
    started = time.perf_counter()
    page.reload(wait_until="commit")
    page.wait_for_function(ALL_THERE, arg=before, polling=20, timeout=PATIENCE)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
