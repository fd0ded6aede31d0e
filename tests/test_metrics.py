"""A run's numbers as CSV: read back by Python's own reader, exactly what the events say."""

import csv
import io
import math

import pytest
from test_history import evaluation, status, step
from tiny_run import tiny_run, tiny_workspace

from gptlab.exchange.metrics import save_metrics, write_metrics
from gptlab.runs import disk
from gptlab.runs.disk import RunError


@pytest.fixture
def run(tmp_path, small_text):
    run = tiny_run(tiny_workspace(tmp_path, small_text))
    run.append(status(0, "running"), evaluation(0, 4.0), step(1, 1 / 3), step(2, 0.1 + 0.2), step(3, 9.0), evaluation(3, 9.0),
               status(3, "failed"), status(2, "running", resumed=2), step(3, math.nan), evaluation(3, 2e-17))
    return run


def test_steps(run):
    file = io.StringIO()
    assert write_metrics(run, "steps", file) == 3
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert list(rows[0]) == ["step", "time_seconds", "epoch", "tokens", "loss", "learning_rate", "grad_norm",
                             "tokens_per_second"]
    assert [row["step"] for row in rows] == ["1", "2", "3"], "superseded steps are left out"
    assert [float(row["loss"]) for row in rows[:2]] == [1 / 3, 0.1 + 0.2], "in full precision"
    assert rows[2]["loss"] == "" and rows[0]["tokens_per_second"] == ""
    assert file.getvalue().endswith("\r\n") and file.getvalue().count("\r\n") == 4, "RFC 4180"


def test_evaluations_in_a_file(run, tmp_path):
    target = tmp_path / "numbers.csv"
    assert save_metrics(run, "evaluations", target) == 2
    rows = list(csv.DictReader(io.StringIO(target.read_bytes().decode("utf-8"), newline="")))
    assert [(int(row["step"]), float(row["val_loss"])) for row in rows] == [(0, 4.0), (3, 2e-17)]
    assert b"\r\r\n" not in target.read_bytes() and not list(tmp_path.glob(".tmp*"))


def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(RunError, match="too full"):
        save_metrics(run, "steps", tmp_path / "numbers.csv")
    assert not (tmp_path / "numbers.csv").exists()
