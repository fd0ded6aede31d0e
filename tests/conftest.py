"""What several test files share: a small text, and a workspace that is gone afterwards."""

import os
import random

import pytest

# Pinned before torch is imported, here and in what tests start: where runs are compared bit for bit, none may choose by timing.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
os.environ.setdefault("OMP_NUM_THREADS", str(CORES))

WORDS = ("the cat sat on a mat and then it saw two birds in an old tree while rain fell over every roof of this small "
         "town until night came").split()


@pytest.fixture(scope="session")
def small_text() -> str:
    """About 12,000 characters of words and lines, always the same."""
    chance = random.Random(7)
    return "\n".join(" ".join(chance.choices(WORDS, k=8)).capitalize() + "." for _ in range(300)) + "\n"


@pytest.fixture
def text_file(tmp_path, small_text):
    """`small_text` in a file whose name needs cleaning to be a data set's."""
    path = tmp_path / "My notes.txt"
    path.write_text(small_text, encoding="utf-8")
    return path


@pytest.fixture
def workspace_dir(tmp_path):
    """Where a workspace can be made."""
    return tmp_path / "workspace"
