"""Presets: named sets of settings that hold only what differs from the defaults, each with its reason.

A preset is a JSON file in `presets/`. Knows settings, nothing of data, models or training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gptlab.config import ConfigError, RunConfig, unknown_name

DEFAULT_PRESET = "first-minute"
FOLDER = Path(__file__).resolve().parent.parent / "presets"


@dataclass(frozen=True)
class Preset:
    """`dataset` is a built-in's name, or None where the preset waits for a text of the user's, which `wants` describes.

    `expect` says in a sentence what happens on "cpu" (a laptop's) and on "cuda" (one GPU); `needs_gpu` that a CPU
    would take hours. `group` is a heading to list it under.
    """

    name: str
    title: str
    why: str
    group: str
    dataset: str | None
    wants: str
    expect: dict[str, str]
    needs_gpu: bool
    config: RunConfig


@lru_cache
def presets() -> dict[str, Preset]:
    """All presets by name, in the order of their `rank`. Raises ConfigError where a file holds settings that don't work."""
    loaded = [(values["rank"], path.stem, values) for path in sorted(FOLDER.glob("*.json"))
              for values in [json.loads(path.read_text(encoding="utf-8"))]]
    return {name: _preset(name, values) for _, name, values in sorted(loaded, key=lambda item: item[:2])}


def preset(name: str) -> Preset:
    """The preset of that name. Raises ConfigError naming the nearest one, or all."""
    if name not in presets():
        raise ConfigError([unknown_name(name, presets(), "preset", choices=presets())])
    return presets()[name]


def _preset(name: str, values: dict) -> Preset:
    try:
        config = RunConfig.from_dict(values["settings"])
    except ConfigError as error:
        raise ConfigError([f"Preset {name}: {problem}" for problem in error.problems]) from None
    return Preset(name=name, title=values["title"], why=values["why"], group=values["group"], dataset=values["dataset"],
                  wants=values.get("wants", ""), expect=values["expect"], needs_gpu=values.get("needs_gpu", False),
                  config=config)
