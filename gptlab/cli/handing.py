"""Handing runs in and out: comparing them, a report to read, their numbers as a table, and a bundle for another machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gptlab.cli.options import file_to_write, workspace_of
from gptlab.runs.compare import compare as compare_runs
from gptlab.runs.family import told
from gptlab.runs.rundir import RunDir


def compare(options: argparse.Namespace) -> dict:
    """What differs between runs, and what each reached."""
    found = compare_runs(_runs(options))
    if not options.json:
        for one in found.contenders:
            best = "nothing measured yet" if one.best is None else (
                f"best val loss {one.best.val_loss:.4f}, perplexity {one.best.val_perplexity:.2f}, "
                f"{one.best.val_bits_per_byte:.4f} bits per byte, at step {one.best.step:,}")
            print(f"{one.label}: {best}")
        for item in found.differences:
            print(f"{item.name}: " + ", ".join(f"{one.letter} {text}" for one, text in zip(found.contenders, item.texts())))
        for one in found.family:
            print(f"{'  ' * one.depth}{f'{one.letter} ' if one.letter else ''}{one.run}: {told(one)}")
        if found.prompts():
            print(f"Texts after the same beginning: {found.drawing()}", file=sys.stderr)
        print(found.note, file=sys.stderr)
    return found.to_dict()


def report(options: argparse.Namespace) -> dict:
    """One HTML file about a run, or about several compared."""
    from gptlab.exchange.report import save_report  # draws, and so needs plotly
    runs = _runs(options)
    path = save_report(runs, file_to_write(options.out))
    return _written(path, options, runs=[run.id for run in runs])


def metrics(options: argparse.Namespace) -> dict:
    """A run's numbers as CSV, to a file or to stdout."""
    from gptlab.exchange.metrics import save_metrics, write_metrics
    run = workspace_of(options).find_run(options.run)
    if options.out is not None:
        path = file_to_write(options.out)
        rows = save_metrics(run, options.table, path)
        return _written(path, options, run=run.id, table=options.table, rows=rows)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(newline="")  # the lines of a CSV file end the same way everywhere
    rows = write_metrics(run, options.table, sys.stdout)
    return {"run": run.id, "table": options.table, "rows": rows, "path": None}


def bundle(options: argparse.Namespace) -> dict:
    """A run and its data as one zip."""
    from gptlab.exchange.bundle import write_bundle
    workspace = workspace_of(options)
    run = workspace.find_run(options.run)
    return _written(write_bundle(workspace, run, file_to_write(options.out)), options, run=run.id)


def open_(options: argparse.Namespace) -> dict:
    """Take a bundle's run and data into the workspace."""
    from gptlab.exchange.bundle import open_bundle
    opened = open_bundle(workspace_of(options), options.file)
    if not options.json:
        data = f"its data was here already, as '{opened.dataset}'" if opened.shared else f"its data is '{opened.dataset}'"
        print(f"{opened.run.path}\nAdded run {opened.run.id}; {data}.")
    return {"run": opened.run.id, "path": str(opened.run.path), "dataset": opened.dataset, "shared": opened.shared}


def _runs(options: argparse.Namespace) -> list[RunDir]:
    workspace = workspace_of(options)
    return [workspace.find_run(text) for text in options.runs]


def _written(path: Path, options: argparse.Namespace, **more) -> dict:
    if not options.json:
        print(path)
    return {**more, "path": str(path.resolve()), "bytes": path.stat().st_size}
