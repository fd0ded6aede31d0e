"""Memory that is free goes back to the system, also where what is still used lies between."""

import sys

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
