"""What typed options mean: the workspace they name, the settings they change."""

from __future__ import annotations

import argparse

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
