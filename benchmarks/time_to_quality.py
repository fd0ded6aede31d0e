"""How much sooner the fast recipe is as good as nanoGPT's CPU recipe: seconds of stepping to one val loss.

    python benchmarks/time_to_quality.py tinyshakespeare.txt [--nanogpt DIR] [--out FIGURE.html] [--json]

Both sides are presets of ours on one data set (characters, the last tenth held out), trained in turns in one process: each
turn takes a twentieth of either run, so that a machine that slows down slows both. After each turn the loss over the whole
of val is measured, which is not timed. What counts is when a run's val loss first is at most --target: 1.886, where
nanoGPT's own code was after its 2,000 steps. The time it is held against is that of all 2,000 steps of the classic preset;
with --nanogpt, a folder with nanoGPT's model.py, its own steps take turns too, and 2,000 of theirs are what counts.
Exit code 1 where the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gptlab.processors import share_processors

share_processors()  # as the app and the command line do; on a quiet machine nanoGPT's steps take as long with it as without

import plotly.graph_objects as go
import torch
from throughput import NanoGPT, our_updates

from gptlab.data import prepare
from gptlab.data.dataset import Dataset
from gptlab.presets import preset
from gptlab.train.evaluation import mean_loss
from gptlab.train.trainer import Trainer

TURNS = 20            # that a run is cut into
NANOGPT_UPDATES = 10  # of nanoGPT's that are timed in each turn
BAR = 6.0             # times sooner


class Side:
    """A run of one preset, and its val loss against its seconds of stepping."""

    def __init__(self, name: str, data: Dataset, seed: int):
        self.trainer = Trainer(preset(name).config.replace({"train.seed": seed, "train.device": "cpu"}), data)
        self.seconds = 0.0
        self.curve = [(0.0, self.val_loss())]  # (seconds of stepping, val loss)

    def take_turn(self, turn: int) -> None:
        """The updates up to `turn` twentieths of the run, and the loss after them."""
        self.seconds += our_updates(self.trainer, self.trainer.total_steps * turn // TURNS - self.trainer.step)
        self.curve.append((self.seconds, self.val_loss()))

    def val_loss(self) -> float:
        return mean_loss(self.trainer.model, self.trainer.val_windows, self.trainer.precision)

    def seconds_to(self, loss: float) -> float:
        """Infinite where it was never that low."""
        return next((seconds for seconds, reached in self.curve if reached <= loss), math.inf)


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="gptlab-") as directory:
        data = prepare(options.text, preset(options.classic).config.data, Path(directory) / "text")
        rounds = [one_round(options, data, seed) for seed in options.seeds]
    whole = statistics.median(one["seconds_of_2000_steps"] for one in rounds)
    reached = statistics.median(one["seconds_to_target"] for one in rounds)
    print(f"median {reached:.1f} s to {options.target:g}, against {whole:.1f} s for 2,000 steps of nanoGPT's recipe: "
          f"{whole / reached:.1f} times sooner (bar {BAR:g})")
    ratio = None
    if options.nanogpt:
        ratio = statistics.median(one["classic_step_milliseconds"] / one["nanogpt_step_milliseconds"] for one in rounds)
        print(f"a step of {options.classic} takes {ratio:.2f} times as long as one of nanoGPT's")
    if options.out:
        figure(rounds, options.target).write_html(options.out, include_plotlyjs=True)
    if options.json:
        for one in rounds:  # JSON knows no infinity
            one["seconds_to_target"] = one["seconds_to_target"] if one["seconds_to_target"] < math.inf else None
        print(json.dumps({"target": options.target, "times_sooner": whole / reached, "classic_step_to_nanogpts": ratio,
                          "threads": torch.get_num_threads(), "rounds": rounds}))
    return 0 if whole / reached >= BAR else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="the path of Tiny Shakespeare (1,115,394 characters)")
    parser.add_argument("--classic", default="shakespeare-char-cpu")
    parser.add_argument("--fast", default="shakespeare-char-cpu-fast")
    parser.add_argument("--target", type=float, default=1.886, help="val loss, nats a character (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1337, 1338, 1339))
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    parser.add_argument("--out", type=Path, help="where to write a figure, loss against seconds (HTML)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def one_round(options: argparse.Namespace, data: Dataset, seed: int) -> dict:
    """Both sides with one seed, in turns; prints what came of it."""
    classic, fast = Side(options.classic, data, seed), Side(options.fast, data, seed)
    theirs = NanoGPT(options.nanogpt, classic.trainer.config, data, "cpu", "fp32") if options.nanogpt else None
    their_seconds = []
    for turn in range(1, TURNS + 1):
        for side in (classic, fast):
            side.take_turn(turn)
        if theirs:
            their_seconds.append(theirs.updates(NANOGPT_UPDATES) / NANOGPT_UPDATES)
    our_step = classic.seconds / classic.trainer.step
    their_step = statistics.median(their_seconds) if theirs else our_step
    one = {"seed": seed, "seconds_to_target": fast.seconds_to(options.target), "seconds_of_2000_steps": 2000 * their_step,
           "classic_step_milliseconds": 1000 * our_step, "nanogpt_step_milliseconds": 1000 * their_step if theirs else None,
           "classic": classic.curve, "fast": fast.curve}
    print(f"seed {seed}: fast {fast.trainer.step:,} steps in {fast.seconds:.1f} s to {fast.curve[-1][1]:.4f}, "
          f"{options.target:g} after {one['seconds_to_target']:.1f} s; classic {classic.trainer.step:,} steps in "
          f"{classic.seconds:.1f} s to {classic.curve[-1][1]:.4f} ({1000 * our_step:.1f} ms a step"
          + (f", nanoGPT {1000 * their_step:.1f} ms)" if theirs else ")"), flush=True)
    return one


def figure(rounds: list[dict], target: float) -> go.Figure:
    """Val loss against seconds of stepping, every seed of both sides."""
    figure = go.Figure()
    for side, dash in (("classic", "dot"), ("fast", "solid")):
        for number, one in enumerate(rounds):
            seconds, losses = zip(*one[side])
            figure.add_scatter(x=seconds, y=losses, name=side, legendgroup=side, showlegend=number == 0,
                               line=dict(dash=dash, color={"classic": "#8a5a00", "fast": "#1f5fa8"}[side]))
    figure.add_hline(y=target, line_dash="dash", annotation_text=f"{target:g}: nanoGPT after 2,000 steps")
    return figure.update_layout(template="plotly_white", title="Loss on unseen text (val) against seconds of stepping",
                                xaxis_title="seconds of stepping", yaxis_title="nats a character")


if __name__ == "__main__":
    sys.exit(main())
