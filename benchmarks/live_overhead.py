"""What others cost a training run: steps per second bare, and in the app with nobody, clients or a browser looking on, or a text
being prepared.

    python benchmarks/live_overhead.py [--rounds 5] [--seconds 8] [--no-browser] [--json]

Two runs of one preset, from one seed: one in a plain process, one in the app. Only one of them moves at a time (the other's
process is stopped), and the conditions take turns in every round, so that a noisy machine is noisy for all of them. The
clients ask exactly what the page asks, at its pace; the text is prepared as the app does it, with BPE on all cores. Prints
medians and their ratio to the bare run. Needs a Unix (SIGSTOP).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()  # as the app and the command line do

from gptlab.config import DataConfig
from gptlab.data.dataset import prepare
from gptlab.events import Step
from gptlab.presets import preset
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run

CLIENT_SECONDS = 1.0  # how often the page asks while a run trains
SETTLE_SECONDS = 2.0  # after resuming, before measuring
LIMITS = {"one client": 0.03, "ten clients": 0.10, "browser page": 0.12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="first-minute")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured in each condition of each round")
    parser.add_argument("--no-browser", action="store_true", help="leave out the condition with a real Chromium page")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=("bare", "app", "clients", "preparing"), help=argparse.SUPPRESS)
    parser.add_argument("--workspace", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        {"bare": serve_bare, "app": serve_app, "clients": poll_as_pages, "preparing": prepare_for_ever}[args.child](args)
    else:
        report(measure(args), args)


# --- the processes that are measured ---

def serve_bare(args: argparse.Namespace) -> None:
    """Train in a plain process."""
    from gptlab.runs import worker

    worker.run(RunDir(args.workspace / "runs" / args.run))


def serve_app(args: argparse.Namespace) -> None:
    """Train in the app, as Start training does."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    from gptlab.runs.jobs import Jobs
    from gptlab.ui.lab import Lab
    from gptlab.ui.serve import free_port, launch

    workspace = Workspace(args.workspace)
    lab = Lab(workspace, Jobs(workspace))
    port = free_port(argparse.ArgumentParser(), "127.0.0.1", 7940)
    launch(lab, "127.0.0.1", port, None, [], False)
    lab.jobs.submit(RunDir(args.workspace / "runs" / args.run))
    threading.Event().wait()


def poll_as_pages(args: argparse.Namespace) -> None:
    """`--count` clients in one process, each asking as a page that has just opened the run and stays."""
    first = http.client.HTTPConnection("127.0.0.1", args.port)
    first.request("GET", "/config")
    components = json.loads(first.getresponse().read())["components"]
    live = next(one["id"] for one in components if one["props"].get("elem_id") == "live")
    threads = [threading.Thread(target=poll_for_ever, args=(args.port, live, args.run, number), daemon=True)
               for number in range(args.count)]
    for thread in threads:
        thread.start()
    threads[0].join()


def poll_for_ever(port: int, component: int, run: str, number: int) -> None:
    connection, offset = http.client.HTTPConnection("127.0.0.1", port), 0
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    time.sleep(number / 10 * CLIENT_SECONDS)  # pages don't ask in step
    while True:
        body = {"component_id": component, "fn_name": "poll", "session_hash": f"client{number}",
                "data": {"run": run, "offset": offset, "opening": False}}
        connection.request("POST", "/gradio_api/component_server", json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200 or answer["run"] != run:
            raise SystemExit(f"the app answered {response.status}: {answer}")
        offset = answer["offset"]
        time.sleep(0 if answer["more"] else CLIENT_SECONDS)


def prepare_for_ever(args: argparse.Namespace) -> None:
    """Prepare one text again and again, beside the app as it does."""
    from gptlab.runs.beside import Work

    while True:
        over = threading.Event()
        Work("Preparing", prepare_code, str(args.workspace / "prepared"), told=lambda progress: None, ended=lambda problem: over.set())
        over.wait()


def prepare_code(directory: str, tell: Callable) -> None:
    """In the process beside."""
    shutil.rmtree(directory, ignore_errors=True)
    prepare(DataConfig(source="python-source", tokenizer="bpe", vocab_size=8192), Path(directory), progress=tell)


# --- the measurement ---

class Training:
    """A run in a process of its own, that moves only inside `moving()`."""

    def __init__(self, kind: str, workspace: Path, run: RunDir):
        self.run = run
        command = [sys.executable, __file__, "--child", kind, "--workspace", str(workspace), "--run", run.id]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = None
        if kind == "app":  # it says where it is, as it does to a person
            self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.process.stdout.readline())[1])
        while not self.steps():
            if self.process.poll() is not None:
                raise SystemExit(f"the {kind} run ended: {run.status()}")
            time.sleep(0.1)
        self.process.send_signal(signal.SIGSTOP)

    def steps(self) -> list[Step]:
        return [event for event in self.run.events() if isinstance(event, Step)]

    def steps_per_second(self, seconds: float) -> float:
        """Let it run; the rate over the last `seconds`."""
        self.process.send_signal(signal.SIGCONT)
        time.sleep(SETTLE_SECONDS)
        before = self.steps()[-1]
        time.sleep(seconds)
        while (after := self.steps()[-1]).step == before.step:
            time.sleep(0.1)
        self.process.send_signal(signal.SIGSTOP)
        return (after.step - before.step) / (after.time_seconds - before.time_seconds)


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Steps per second of every round, by condition."""
    folder = Path(tempfile.mkdtemp(prefix="gptlab-overhead-"))
    workspace, trainings = Workspace(folder), []
    chosen = preset(args.preset)
    config = chosen.config.replace({"train.max_steps": 10_000_000, "train.epochs": None, "train.max_minutes": None,
                                    "train.schedule": "constant", "train.eval_every": 1_000_000, "data.documents": 4000,
                                    "train.order": "random", "train.sample_every": 1_000_000})
    try:
        dataset = prepare(config.data, workspace.datasets / "stories")
        bare = Training("bare", folder, create_run(workspace, config, dataset, "bare"))
        trainings.append(bare)
        app = Training("app", folder, create_run(workspace, config, dataset, "app"))
        trainings.append(app)
        conditions = {"bare": lambda: bare.steps_per_second(args.seconds),
                      "app, nobody looks": lambda: app.steps_per_second(args.seconds),
                      "one client": lambda: with_clients(app, folder, 1, args.seconds),
                      "ten clients": lambda: with_clients(app, folder, 10, args.seconds),
                      "preparing a text": lambda: while_preparing(app, folder, args.seconds)}
        if not args.no_browser:
            conditions["browser page"] = lambda: with_browser(app, args.seconds)
        rates: dict[str, list[float]] = {name: [] for name in conditions}
        for number in range(args.rounds):
            for name in random.Random(number).sample(list(conditions), len(conditions)):
                rates[name].append(conditions[name]())
                print(f"round {number + 1}: {name}: {rates[name][-1]:.2f} steps/s", file=sys.stderr, flush=True)
        return rates
    finally:
        for training in trainings:
            training.process.kill()
            training.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def with_clients(app: Training, folder: Path, count: int, seconds: float) -> float:
    app.process.send_signal(signal.SIGCONT)
    command = [sys.executable, __file__, "--child", "clients", "--port", str(app.port), "--run", app.run.id,
               "--count", str(count)]
    clients = subprocess.Popen(command)
    try:
        time.sleep(2 * SETTLE_SECONDS)  # until they have caught up
        rate = app.steps_per_second(seconds)
        if clients.poll() is not None:
            raise SystemExit("the clients gave up")
        return rate
    finally:
        clients.kill()
        clients.wait()


def while_preparing(app: Training, folder: Path, seconds: float) -> float:
    preparing = subprocess.Popen([sys.executable, __file__, "--child", "preparing", "--workspace", str(folder)])
    try:
        return app.steps_per_second(seconds)
    finally:
        preparing.terminate()  # the process beside it ends with the next thing it tells
        preparing.wait()
        time.sleep(SETTLE_SECONDS)


def with_browser(app: Training, seconds: float) -> float:
    from playwright.sync_api import sync_playwright

    app.process.send_signal(signal.SIGCONT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"http://127.0.0.1:{app.port}/")
        page.wait_for_function("document.querySelector('#chart .js-plotly-plot')?.data?.[0]?.x?.length > 3", timeout=60_000)
        time.sleep(2 * SETTLE_SECONDS)
        rate = app.steps_per_second(seconds)
        browser.close()
    return rate


def report(rates: dict[str, list[float]], args: argparse.Namespace) -> None:
    """A table, or one JSON object, of medians and how much slower than bare."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    slower = {name: 1 - median / medians["bare"] for name, median in medians.items()}
    if args.json:
        print(json.dumps({"preset": args.preset, "rounds": args.rounds, "steps_per_second": medians, "slower": slower}))
        return
    print(f"{'condition':<20}{'steps/s':>10}{'slower':>10}{'limit':>8}")
    for name, median in medians.items():
        limit = f"{LIMITS[name]:.0%}" if name in LIMITS else ""
        print(f"{name:<20}{median:>10.2f}{slower[name]:>10.1%}{limit:>8}")


if __name__ == "__main__":
    main()
