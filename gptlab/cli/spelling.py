"""A command as somebody can paste it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable


def spelled(parts: Iterable[str]) -> str:
    """`python -m gptlab …`, for the folder this program was started in; with the Python that runs it where that is a virtual
    environment's, which a terminal that has not activated it would not find."""
    python = "python"
    if sys.prefix != sys.base_prefix:
        near = os.path.relpath(sys.executable) if os.path.splitdrive(sys.executable)[0] == os.path.splitdrive(os.getcwd())[0] else ""
        python = near if near and not near.startswith("..") else sys.executable
    return shlex.join([python, "-m", "gptlab", *parts])
