"""What several test files share: a small text, and a workspace that is gone afterwards."""

import os
import random

import pytest
from xdist.scheduler import LoadScopeScheduling

from gptlab.processors import share_processors

share_processors()  # before torch, as the app and the command line do: two files at a time are beside each other
# Pinned before torch is imported, here and in what tests start: where runs are compared bit for bit, none may choose by timing.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
os.environ.setdefault("OMP_NUM_THREADS", str(CORES))



class FilesAndBrowser(LoadScopeScheduling):
    """A worker takes one file after the other, and one of them all that drive a browser: two apps, each with a browser, would be
    too much for two cores."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "browser" if "/browser/" in file else file


def pytest_xdist_make_scheduler(config, log):
    return FilesAndBrowser(config, log)


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
