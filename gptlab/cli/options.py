"""What typed options mean: the workspace they name, the settings they change, the file they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from gptlab.config import ConfigError, all_settings
from gptlab.runs.workspace import Workspace, default_workspace_path


def workspace_of(options: argparse.Namespace) -> Workspace:
    """The workspace that --workspace or GPTLAB_WORKSPACE names."""
    return Workspace(options.workspace or default_workspace_path())


def settings_of(options: argparse.Namespace) -> dict[str, str]:
    """The settings typed with --set. Raises ConfigError for those that this command has no use for."""
    given, known = dict(options.settings), dict(all_settings())
    useless = [name for name in given if name in known and name.partition(".")[0] not in options.sections]
    if useless:
        raise ConfigError([f"{name} changes nothing here: this command takes settings of {', '.join(options.sections)}."
                           for name in useless])
    return given


def file_to_write(path: Path) -> Path:
    """What --out names. Raises ValueError for a folder, and where there is none to write in."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give --out the name of a file.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent}: make it first, or choose another --out.")
    return path
