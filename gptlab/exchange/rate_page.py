"""A range test as one HTML file that needs nothing else: its curve, what it says, and what was tried."""

from __future__ import annotations

from pathlib import Path

from gptlab import plots
from gptlab.config import RunConfig
from gptlab.exchange.document import document, escaped, figure, head, legend, section, swatch
from gptlab.runs.disk import check_space, write_atomic
from gptlab.train.rate_finder import RangeTest

TITLE = "Finding a learning rate"


def save_range_test(test: RangeTest, config: RunConfig, dataset: str, target: Path) -> Path:
    """Writes the curve of a test of `config`, whole or not at all. Raises RunError."""
    present = config.train.max_learning_rate
    light, dark = (plots.range_test(test.rates, test.losses, test.smoothed, test.suggested_learning_rate, present, look)
                   for look in (plots.LIGHT, plots.DARK))
    shown = head(TITLE, f"{len(test.rates)} updates of a throw-away model on {dataset}, each at a higher rate, with GPT Lab.")
    text = document(TITLE, shown + section("Loss against learning rate", f"<p>{escaped(test.told)}</p>"
                                           + figure(f"Loss against learning rate. {test.told}", light, dark)))
    check_space(target.parent, len(text.encode("utf-8")), f"write {target.name}")
    write_atomic(target, text)
    return target
