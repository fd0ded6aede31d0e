"""How long the page takes to show a run of a million steps, beside one of a hundred; and that its one spike is drawn.

    python benchmarks/long_run.py [--steps 1000000] [--openings 7] [--json]

Writes both runs into a temporary workspace, as a worker would; their losses are made up. Each opening is a new browser
profile, from its first request until the chart shows the run's last step; the two runs take turns. Then both are opened
as under Runs, in a page that is there, and that page is reloaded. Last, the long run
is opened once without the curves that its worker keeps, so that the app has to read all of its events.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app_in_browser import DRAWN, LAST_DRAWN_STEP, chromium, running_app

from gptlab.config import DataConfig, RunConfig
from gptlab.data.dataset import Dataset, prepare
from gptlab.events import Evaluation, Event, Sample, Status, Step
from gptlab.runs import curves, status
from gptlab.runs.eventlog import EventLog
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run

SHORT_STEPS = 100
SPIKE = 4.321  # of the loss, at one step: within the picture, above all else
SECONDS_A_STEP = 0.01
PATIENCE = 120_000  # milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--openings", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        source = Path(folder) / "text.txt"
        source.write_text("The cat sat on the mat and looked at the rain. " * 400, encoding="utf-8")
        data = prepare(DataConfig(source=str(source)), workspace.datasets / "text")
        lengths = {"short": SHORT_STEPS, "long": args.steps}
        runs = {name: written(workspace, data, name, steps) for name, steps in lengths.items()}
        print(f"{args.steps:,} steps: {runs['long'].events_path.stat().st_size / 1e6:.0f} MB of events, "
              f"{(runs['long'].path / curves.FILE).stat().st_size / 1e3:.0f} KB of curves")
        found: dict[str, list[float]] = {"short": [], "long": [], "long without its curves": []}
        with running_app(workspace.path) as (_, address), chromium() as browser:
            opened(browser, address, runs["short"], SHORT_STEPS)  # the app's own first time
            for _ in range(args.openings):
                for name, steps in lengths.items():
                    found[name].append(opened(browser, address, runs[name], steps))
            found |= from_an_open_page(browser, address, runs, args.steps, args.openings)
            (runs["long"].path / curves.FILE).unlink()
            found["long without its curves"].append(opened(browser, address, runs["long"], args.steps))
    for name, seconds in found.items():
        print(f"{name}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s of {len(seconds)}")
    print(f"the spike at step {args.steps // 2:,} was drawn each time")
    if args.json:
        print(json.dumps(found))


def written(workspace: Workspace, data: Dataset, name: str, steps: int) -> RunDir:
    """A finished run of so many steps, with its events, its curves and its status as a worker leaves them."""
    run = create_run(workspace, RunConfig(), data, name)
    told, log, buffer = curves.Curves(), EventLog(run.events_path), []
    for event in story(steps):
        buffer.append(event)
        if len(buffer) == 10_000 or event.type == "status":
            log.append(buffer)
            told.add(buffer)
            buffer.clear()
    told.events_bytes = log.size()
    if told.events_bytes > curves.LONG_BYTES:
        curves.save(run, told)
    run.write_status({**status.EMPTY, "state": "finished", "step": steps, "total_steps": steps, "time_seconds": steps * SECONDS_A_STEP,
                      "updated": time.time(), "events_bytes": log.size()})
    log.close()
    return run


def story(steps: int) -> Iterator[Event]:
    """What a run says: noisy losses that fall, an evaluation and a sample now and then, one spike in the middle."""
    chance, every = random.Random(steps), max(1, steps // 500)
    yield Status(step=0, time_seconds=0.0, state="running")
    for step in range(1, steps + 1):
        common = {"step": step, "time_seconds": step * SECONDS_A_STEP, "epoch": step / 1000}
        loss = 1.2 + 1.6 * math.exp(-8 * step / steps) + chance.gauss(0, 0.05)
        yield Step(**common, tokens=step * 1024, loss=SPIKE if step == steps // 2 else loss, learning_rate=1e-3 * (1.01 - step / steps),
                   grad_norm=abs(chance.gauss(1, 0.2)), tokens_per_second=chance.gauss(100_000, 2_000))
        if step % every == 0:
            yield Evaluation(**common, train_loss=loss, val_loss=loss + 0.1, val_perplexity=math.exp(loss + 0.1), val_bits_per_byte=loss)
        if step % (5 * every) == 0:
            yield Sample(**common, sample_id=f"{step}-0", prompt="The", text=" cat sat on the mat." * 10, token_ids=list(range(20)) * 10,
                         logprobs=[-1.0] * 200, done=True, copied_share=step / steps)
    yield Status(step=steps, time_seconds=steps * SECONDS_A_STEP, state="finished")


def from_an_open_page(browser, address: str, runs: dict[str, RunDir], steps: int, openings: int) -> dict[str, list[float]]:
    """Seconds until the long run is drawn in a page that shows the short one, and after a reload of that page."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{address}?run={runs['short'].id}")
    drawn = {name: f"{LAST_DRAWN_STEP} === {count}" for name, count in (("short", SHORT_STEPS), ("long", steps))}
    page.wait_for_function(drawn["short"], timeout=PATIENCE)
    found: dict[str, list[float]] = {"long, in an open page": [], "long, page reloaded": []}
    for _ in range(openings):
        for name in ("long", "short"):
            started = time.perf_counter()
            page.evaluate("id => window.gptlab.open(id)", runs[name].id)
            page.wait_for_function(drawn[name], polling=20, timeout=PATIENCE)
            if name == "long":
                found["long, in an open page"].append(time.perf_counter() - started)
    page.goto(f"{address}?run={runs['long'].id}")
    for _ in range(openings):
        started = time.perf_counter()
        page.reload(wait_until="commit")
        page.wait_for_function(drawn["long"], polling=20, timeout=PATIENCE)
        found["long, page reloaded"].append(time.perf_counter() - started)
    page.context.close()
    return found


def opened(browser, address: str, run: RunDir, steps: int) -> float:
    """Seconds from the first request of a new browser profile until the last step is drawn; exits where the spike is not."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    started = time.perf_counter()
    page.goto(f"{address}?run={run.id}", wait_until="commit")
    page.wait_for_function(f"{LAST_DRAWN_STEP} >= {steps}", polling=20, timeout=PATIENCE)
    seconds = time.perf_counter() - started
    spike = page.evaluate(f"(({{x, y}}) => {{ const top = Math.max(...y); return [x[y.indexOf(top)], top]; }})({DRAWN}[0])")
    context.close()
    if spike != [steps // 2, SPIKE]:
        raise SystemExit(f"The spike of {SPIKE} at step {steps // 2:,} is not in the picture; its top is {spike}.")
    return seconds


if __name__ == "__main__":
    main()
