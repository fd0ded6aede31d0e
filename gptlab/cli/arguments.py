"""What can be typed: commands, options and their help. Bounds and meanings of settings stand in config.py."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from gptlab.config import all_settings
from gptlab.exchange.formats import FORMATS, NUMBER_FORMATS
from gptlab.presets import DEFAULT_PRESET, presets
from gptlab.runs.changes import LIMITS, LIVE

Command = Callable[..., argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """The parser. `options.command` is the dotted name of the function that does it."""
    top = argparse.ArgumentParser(prog="python -m gptlab", description="Train a GPT from scratch on this machine.",
                                  allow_abbrev=False, parents=[_everywhere(None)])
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help, parents=[*parents, _everywhere(argparse.SUPPRESS)],
                                    allow_abbrev=False)
        added.set_defaults(command=f"gptlab.cli.{function}")
        return added

    for group in (_preparing, _training, _listing, _steering, _writing, _handing_out):
        group(command)
    return top


def _preparing(command: Command) -> None:
    command("datasets", "listing.datasets", "List the built-in data sets, the texts to download and the prepared ones.")

    prepare = command("prepare", "datasets.prepare", "Turn a text into tokens on disk.", _settings("data"))
    prepare.add_argument("source", metavar="SOURCE", nargs="+", help="a built-in data set or a text to download, by name; a file "
                         "(text, HTML, PDF, CSV, TSV, JSON, JSON lines, Parquet, code; also packed, .gz), or a folder of such; "
                         "several of these together; or - for standard input")
    prepare.add_argument("--name", help="what to call the data set (default: after its source)")


def _training(command: Command) -> None:
    train = command("train", "training.train", "Train a model; Ctrl-C stops cleanly.", _what_to_train(),
                    _settings("data model train sample"))
    train.add_argument("--name", metavar="RUN", help="what to call the run (default: after its preset)")
    train.add_argument("--by", metavar="NAME", default="", help="whose run it is")

    command("resume", "training.resume", "Go on with a run that was stopped or interrupted.", _run())

    finder = command("find-rate", "rate_finder.find_rate", "Find a learning rate: try ever larger ones on a throw-away model.",
                     _what_to_train(), _settings("data model train"), _out("the file to draw the curve in (HTML)"))
    finder.epilog = "No run is made and none is touched. Ctrl-C ends it."

    biggest = command("biggest", "biggest.biggest", "Find the biggest model that fits this machine and trains in N minutes.",
                      _what_to_train(), _settings("data model train"))
    biggest.add_argument("--minutes", metavar="N", type=_minutes, required=True,
                         help="how long it may train to read 20 tokens for each of its parameters")
    biggest.epilog = "Models of the preset's kind are timed; no run is made and none is touched. Ctrl-C ends it."


def _listing(command: Command) -> None:
    runs = command("runs", "listing.runs", "List the runs.")
    runs.add_argument("--all", action="store_true", help="those that were archived too")

    label = command("label", "labels.label", "Name a run and write on it; without options, show what is written.", _run())
    for option, field, what in (("--name", "name", "what to call it"), ("--by", "owner", "whose it is"),
                                ("--predicted", "predicted", "what you expect of it"), ("--saw", "saw", "what came of it"),
                                ("--note", "note", "anything else")):
        label.add_argument(option, metavar="TEXT", dest=field, help=f"{what}; '' for nothing")
    label.add_argument("--tag", metavar="TEXT", dest="tags", action="append",
                       help="a tag in place of those it has; may be repeated; '' for none")
    label.add_argument("--archive", action=argparse.BooleanOptionalAction, help="keep it, but leave it out of lists")


def _steering(command: Command) -> None:
    command("set", "steering.set_", "Change settings of a run while it is trained, or before it goes on.", _run(),
            _settings("train", names=LIVE, required=True))
    extend = command("extend", "steering.extend", "Make a run longer, and train it to its new end.", _run(),
                     _settings("train", names=LIMITS, required=True))
    extend.epilog = "With a schedule that falls, the learning rate rises again first: the run says to what."
    fork = command("fork", "steering.fork", "Train a new run that begins with a checkpoint's weights.", _run(), _checkpoint(),
                   _settings("model train sample"))
    fork.add_argument("--name", metavar="NAME", help="what to call the new run (default: after the old one)")
    command("rollback", "steering.rollback", "Take a run back to its best checkpoint; resume goes on from there.", _run())
    for name, kind, help in (("pause", "pause", "Pause a run that is being trained elsewhere; resume goes on with it."),
                             ("stop", "stop", "Stop a run that is being trained elsewhere; nothing is lost."),
                             ("sample", "sample", "Have a run that is being trained elsewhere write a sample now."),
                             ("save", "checkpoint", "Have a run that is being trained elsewhere save a checkpoint now.")):
        command(name, "steering.tell", help, _run()).set_defaults(kind=kind)


def _writing(command: Command) -> None:
    generate = command("generate", "text.generate", "Let a trained model write.", _run(), _checkpoint(),
                       _settings("sample"))
    generate.add_argument("--prompt", metavar="TEXT", action="append", help="what the text begins with (default: nothing); "
                          "several are continued side by side")
    how = generate.add_mutually_exclusive_group()
    how.add_argument("--greedy", action="store_true", help="always take the likeliest token")
    how.add_argument("--temperature", metavar="T", help="how daring, 0 to 2")
    generate.add_argument("--top-k", metavar="K", help="choose only among the K likeliest tokens")
    generate.add_argument("--top-p", metavar="P", help="choose only among the likeliest tokens that together have "
                          "probability P")
    generate.add_argument("--seed", metavar="N", help="same seed, same text")

    evaluate = command("evaluate", "text.evaluate", "Measure the loss on unseen text.", _run(), _checkpoint())
    evaluate.add_argument("--text", metavar="FILE", help="measure on this file, or - for standard input (default: the run's own held-out text)")


def _handing_out(command: Command) -> None:
    command("compare", "handing.compare", "Set 2 to 8 runs side by side.", _runs())
    command("report", "handing.report", "Write one HTML file about a run, or about up to 8 compared.", _runs(), _out())
    metrics = command("metrics", "handing.metrics", "Write a run's numbers as CSV.", _run(),
                      _out("the file to write (default: stdout)"))
    metrics.add_argument("--table", choices=("steps", "evaluations"), default="steps",
                         help="one row a step, or one a measurement on unseen text (default: %(default)s)")
    export = command("export", "exporting.export", "Write the model for other programs, or as a script to take home.", _run(),
                     _checkpoint())
    export.add_argument("--format", choices=FORMATS, required=True, help="hf: a folder for Hugging Face's transformers; gguf: for "
                        "llama.cpp and Ollama; script: one readable file that trains it anew")
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to make")
    export.add_argument("--number-format", choices=NUMBER_FORMATS, default="f32", help="of gguf alone: how exact its numbers are "
                        "(default: %(default)s)")
    command("bundle", "handing.bundle", "Pack a run and its data into one zip, to open on another machine.", _run(), _out())
    opening = command("open", "handing.open_", "Take a bundle's run and data into the workspace.")
    opening.add_argument("file", metavar="FILE", type=Path, help="what `bundle` wrote")


# --- options that several commands have ---

def _everywhere(default: str | None) -> argparse.ArgumentParser:
    """Options of every command, typed before it or after it: argparse.SUPPRESS leaves what was typed before as it is."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=default)
    shared.add_argument("--workspace", metavar="DIR", type=Path,
                        help="where data sets and runs are kept (default: GPTLAB_WORKSPACE, else ./workspace)")
    shared.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
    return shared


def _run() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("run", metavar="RUN", help="a run's id, a unique part of it, or its folder")
    return shared


def _runs() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("runs", metavar="RUN", nargs="+", help="runs' ids, unique parts of them, or their folders")
    return shared


def _out(optional: str = "") -> argparse.ArgumentParser:
    """--out; `optional` is the help of one that may be left out."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", metavar="FILE", type=Path, required=not optional, help=optional or "the file to write")
    return shared


def _what_to_train() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--dataset", metavar="NAME|FILE", help="a prepared data set, a built-in one, a file, or a text to "
                        "download; all but the first are prepared first (default: the preset's)")
    shared.add_argument("--preset", metavar="P", default=DEFAULT_PRESET,
                        help=f"the settings to start from (default: %(default)s); one of {', '.join(presets())}")
    return shared


def _checkpoint() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--checkpoint", metavar="WHICH", type=_which, default="best",
                        help="best, last, or the number of a step (default: %(default)s)")
    return shared


def _which(text: str) -> str | int:
    if text in ("best", "last"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is neither best, nor last, nor the number of a step")


def _settings(sections: str, names: Sequence[str] = (), required: bool = False) -> argparse.ArgumentParser:
    """--set, for settings of these sections, or just for those `names`."""
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    names = names or [name for name, _ in all_settings() if name.partition(".")[0] in sections.split()]
    shared.add_argument("--set", dest="settings", metavar="NAME=VALUE", type=_assignment, action="append", default=[],
                        required=required,
                        help=f"change a setting; may be repeated. NAME is one of {', '.join(names)}")
    shared.set_defaults(sections=sections.split())
    return shared


def _minutes(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) <= 100_000:
            return number
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes above 0, such as 10")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form section.name=value, such as model.n_layer=6")
    return name.strip(), value
