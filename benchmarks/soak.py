"""Whether anything grows: a run trains in the app while pages look on, and the memory of all of them is noted.

    python benchmarks/soak.py [--minutes 30] [--pages 5] [--every 30] [--reload-every 120] [--json]

Starts `app.py` on a workspace of its own and a run that outlasts the soak; opens the pages, each as another browser would, the
second in the large view; reloads the last one again and again, as in a room. Notes the app's memory (RSS), each page's
JavaScript heap after a forced collection and its DOM nodes, and how far behind the run its chart is. Prints the looks, and
for the second half, when all caches are filled, how fast each grows: a least-squares line, in MB an hour. Needs Playwright
and Chromium (tests/requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app_in_browser import LAST_DRAWN_STEP, chromium, running_app

from gptlab.data.dataset import prepare
from gptlab.presets import DEFAULT_PRESET, preset
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run

MEGABYTE = 1e6
STEPS = 1_000_000     # of the run: more than any soak sees
BUCKETS = 150         # at least, in a curve: the one that is not whole yet is not drawn
LATE_SECONDS = 15     # a page that draws seldom, because the machine is busy, still follows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two looks")
    parser.add_argument("--reload-every", type=float, default=120.0, help="seconds between two reloads of the last page")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gptlab-soak-", ignore_cleanup_errors=True) as folder:
        looks = soak(args, Path(folder))
    summary = sum_up(looks, args.pages)
    print(json.dumps({"looks": looks, "summary": summary}) if args.json else table(looks, summary))


def soak(args: argparse.Namespace, folder: Path) -> list[dict]:
    run = long_run(folder)
    with running_app(folder) as (process, address), chromium() as browser:
        first = LookingOn(browser, f"{address}/?run={run.id}")
        first.page.locator("#resume").click()  # it waits since before the app began
        wait_for(lambda: run.status()["step"] > 0, "the run did not start")
        pages = [first] + [LookingOn(browser, f"{address}/" + (f"?view=watch&run={run.id}" if i == 1 else ""))
                           for i in range(1, args.pages)]
        return watch(args, psutil.Process(process.pid), run, pages)


def long_run(folder: Path) -> RunDir:
    """A run that waits, of the preset a new user begins with; long enough to outlast the soak."""
    config = preset(DEFAULT_PRESET).config.replace(
        {"train.max_steps": STEPS, "data.documents": 4000})
    workspace = Workspace(folder)
    return create_run(workspace, config, prepare(config.data, workspace.datasets / "stories"), "soak")


class LookingOn:
    """A page with the Train tab open, in a context of its own, so that it counts as visible and keeps its own notes."""

    def __init__(self, browser, address: str):
        self.errors: list[str] = []
        self.context = browser.new_context(viewport={"width": 1440, "height": 900})
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.opened()
        self.session = self.context.new_cdp_session(self.page)
        self.session.send("Performance.enable")

    def opened(self) -> None:
        self.page.wait_for_function("document.body.dataset.ready", timeout=120_000)
        if "view=watch" not in self.page.url:
            self.page.get_by_role("tab", name="Train").click()
        self.page.locator("#chart").wait_for(timeout=120_000)

    def reload(self) -> None:
        self.page.reload()
        self.opened()

    def look(self) -> dict:
        drawn = self.page.evaluate(LAST_DRAWN_STEP)
        self.session.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in self.session.send("Performance.getMetrics")["metrics"]}
        return {"drawn_step": drawn, "heap_bytes": metrics["JSHeapUsedSize"], "nodes": metrics["Nodes"]}


def watch(args: argparse.Namespace, app: psutil.Process, run: RunDir, pages: list[LookingOn]) -> list[dict]:
    """One look after another until the time is over. A run that ends, or an error in a page, ends the soak."""
    began = reloaded = time.monotonic()
    looks: list[dict] = []
    while (seconds := time.monotonic() - began) < 60 * args.minutes + 1:
        step = run.status()["step"]
        look = {"seconds": seconds, "step": step, "app_bytes": app.memory_info().rss, "browser_bytes": browser_bytes(app),
                "pages": [one.look() for one in pages]}
        rate = (step - looks[-1]["step"]) / (seconds - looks[-1]["seconds"]) if looks else step
        look["following"] = sum(step - one["drawn_step"] <= step / BUCKETS + LATE_SECONDS * rate for one in look["pages"])
        looks.append(look)
        print(line(look), file=sys.stderr, flush=True)
        if run.status()["state"] != "running":
            raise SystemExit(f"the run is {run.status()['state']}: {run.status()['reason']}")
        if errors := [error for one in pages for error in one.errors]:
            raise SystemExit("an error in a page: " + "; ".join(errors))
        if time.monotonic() - reloaded >= args.reload_every:
            reloaded = time.monotonic()
            pages[-1].reload()
        pages[0].page.wait_for_timeout(1000 * max(0.0, began + len(looks) * args.every - time.monotonic()))
    return looks


def browser_bytes(app: psutil.Process) -> int:
    """What Chromium's processes have for themselves, together: charts take memory outside the JavaScript heap."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            if child.pid != app.pid and "chrom" in child.name():
                total += child.memory_full_info().uss
        except psutil.Error:  # it ended just now, as renderers do
            continue
    return total


def wait_for(done, problem: str, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise SystemExit(problem)
        time.sleep(0.2)


# --- what it comes to ---

def sum_up(looks: list[dict], n_pages: int) -> list[dict]:
    """Of each thing that could grow: its first, middle and last value in MB, and its slope over the second half."""
    half = looks[len(looks) // 2:]
    things = {"app, RSS": lambda look: look["app_bytes"], "Chromium, own memory": lambda look: look["browser_bytes"]}
    for i in range(n_pages):
        name = f"page {i + 1}, heap" + (" (large view)" if i == 1 else " (reloaded)" if i == n_pages - 1 else "")
        things[name] = lambda look, i=i: look["pages"][i]["heap_bytes"]
    rows = []
    for name, value in things.items():
        megabytes = [value(look) / MEGABYTE for look in (looks[0], half[0], looks[-1])]
        hours = np.array([look["seconds"] / 3600 for look in half])
        slope = np.polyfit(hours, [value(look) / MEGABYTE for look in half], 1)[0] if len(half) > 2 else float("nan")
        rows.append({"what": name, "first_mb": megabytes[0], "half_mb": megabytes[1], "last_mb": megabytes[2],
                     "mb_per_hour": float(slope)})
    return rows


def line(look: dict) -> str:
    pages = "  ".join(f"{one['heap_bytes'] / MEGABYTE:5.1f}/{one['nodes']:<6.0f}" for one in look["pages"])
    return (f"{look['seconds'] / 60:6.1f} min  step {look['step']:>8,}  app {look['app_bytes'] / MEGABYTE:7.1f}  "
            f"Chromium {look['browser_bytes'] / MEGABYTE:7.1f}  {look['following']}/{len(look['pages'])} follow  {pages}")


def table(looks: list[dict], summary: list[dict]) -> str:
    lines = ["", "MB; pages as heap/nodes", *map(line, looks), "",
             f"{'second half, from ' + format(looks[len(looks) // 2]['seconds'] / 60, '.1f') + ' min':<32}"
             f"{'first':>9}{'half':>9}{'last':>9}{'MB/hour':>10}"]
    lines += [f"{row['what']:<32}{row['first_mb']:>9.1f}{row['half_mb']:>9.1f}{row['last_mb']:>9.1f}{row['mb_per_hour']:>10.1f}"
              for row in summary]
    behind = sum(look["following"] < len(look["pages"]) for look in looks[1:])
    return "\n".join([*lines, f"{len(looks)} looks; in {behind} of them a page's chart was behind the run."])


if __name__ == "__main__":
    main()
