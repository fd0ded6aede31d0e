"""Memory that is free goes back to the system, also where what is still used lies between."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gptlab.memory import give_back


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_holes_go_back():
    blocks = [b"x" * 100_000 for _ in range(2000)]  # below what glibc takes from the system piece by piece
    kept = blocks[::100]
    before = psutil.Process().memory_info().rss
    del blocks
    give_back()
    assert len(kept) == 20 and psutil.Process().memory_info().rss < before - 150e6


SPARED = """import psutil
from gptlab.memory import spare
spare(True)
blocks = [b"x" * 2**20 for _ in range(200)]
before = psutil.Process().memory_info().rss
kept = blocks[::2]
del blocks
print(before - psutil.Process().memory_info().rss)"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_large_pieces_go_back_at_once_where_memory_is_to_be_spared():
    """As a block's activations do that lie between gradients: gradient checkpointing saved hardly anything before. In a process
    of its own, whose heap has no holes that such pieces fit."""
    told = subprocess.run([sys.executable, "-c", SPARED], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert int(told.stdout) > 90e6
