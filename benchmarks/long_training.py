"""Does a long run stay as fast and as small as it began? 100,000 steps of a tiny model, as the app trains them.

    python benchmarks/long_training.py [--steps 100000] [--json]

A worker trains on the built-in stories, writes every event, evaluates and saves; a thread beside it notes the step and the
process's memory twice a second. What is compared: the median pace of the steps' own events over a stretch after the first
hundredth and over the last one, as long; and the resident memory there.
Exit code 1 where the run did not finish, or the last stretch is slower than LEAST_PACE times the first, or takes more than
MOST_MEMORY times its memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab import memory
from gptlab.processors import share_processors

share_processors()
memory.few_heaps()

import psutil

from gptlab.config import RunConfig
from gptlab.data import prepare
from gptlab.events import Step
from gptlab.runs import worker
from gptlab.runs.rundir import RunDir
from gptlab.runs.workspace import Workspace, create_run

SETTINGS = {"data.source": "stories", "data.documents": 500, "model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16,
            "model.context_length": 16, "train.batch_size": 2, "train.warmup_steps": 10, "sample.max_new_tokens": 16}


LEAST_PACE = 0.9
MOST_MEMORY = 1.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    config = RunConfig().replace({**SETTINGS, "train.max_steps": options.steps, "train.eval_every": options.steps // 100,
                                  "train.checkpoint_every": options.steps // 20})
    with tempfile.TemporaryDirectory(prefix="gptlab-") as directory:
        workspace = Workspace(Path(directory))
        data = prepare("stories", config.data, workspace.datasets / "stories")
        run = create_run(workspace, config, data, "long")
        with Watch(run) as watch:
            state = worker.run(run, dataset_dir=data.directory)
        events, _ = run.read_all()
    stretch = max(1, options.steps // 100)
    paces = [event.tokens_per_second / (2 * 16) for event in events if isinstance(event, Step)]
    result = {"state": state, "steps": len(paces)}
    for name, first in (("begin", stretch), ("half", options.steps // 2), ("end", options.steps - stretch)):
        held = [megabytes for step, megabytes in watch.seen if first <= step <= first + stretch]
        result[name] = {"steps_per_second": round(statistics.median(paces[first:first + stretch]), 1),
                        "megabytes": round(statistics.median(held), 1) if held else None}
        print(f"{name:>6}: from step {first:,}: {result[name]['steps_per_second']:,} steps/s, {result[name]['megabytes']} MB")
    if options.json:
        print(json.dumps(result))
    return 0 if state == "finished" and as_it_began(result["begin"], result["end"]) else 1


def as_it_began(begin: dict, end: dict) -> bool:
    """Whether the last stretch is as fast and as small as the first; of memory, where the run was long enough to see it."""
    seen = begin["megabytes"] is not None and end["megabytes"] is not None
    return (end["steps_per_second"] >= LEAST_PACE * begin["steps_per_second"]
            and (not seen or end["megabytes"] <= MOST_MEMORY * begin["megabytes"]))


class Watch(threading.Thread):
    """Notes (step, megabytes of resident memory) while it is entered."""

    def __init__(self, run: RunDir):
        super().__init__(daemon=True)
        self.run_dir, self.seen, self._over = run, [], threading.Event()

    def run(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.5):
            self.seen.append((self.run_dir.status()["step"], process.memory_info().rss / 1e6))

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self.join()


if __name__ == "__main__":
    sys.exit(main())
