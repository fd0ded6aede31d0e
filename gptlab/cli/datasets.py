"""Preparing a text, and finding the data set that a training names."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from tqdm import tqdm

from gptlab.cli.options import settings_of, workspace_of
from gptlab.cli.sources import cleaned, given, named
from gptlab.config import DataConfig, RunConfig
from gptlab.data import catalog
from gptlab.data.dataset import Dataset, made_from, prepared_settings
from gptlab.data.dataset import prepare as prepare_dataset
from gptlab.data.progress import Progress
from gptlab.data.sources import BUILTINS, DataError, state_of_files
from gptlab.runs.workspace import Workspace

LISTED = 5  # sentences on what of a text could not be read


def prepare(options: argparse.Namespace) -> dict:
    """Prepare a data set under a name of its own."""
    workspace, explicit = workspace_of(options), settings_of(options)
    config = whole_path_of_tokenizer(RunConfig().replace(explicit)).data
    if options.name and workspace.dataset_path(options.name).exists():  # before anything is downloaded
        raise DataError(f"There is a data set '{options.name}' already, and data sets never change: choose another --name, such "
                        f"as '{workspace.free_dataset_name(options.name)}'.")
    _tell_of_unused(config, explicit)
    with given(workspace, options.source) as text:
        config = dataclasses.replace(config, source=text.source, cleaning=cleaned(config, text, explicit))
        dataset = make(workspace, config, options.name or workspace.free_dataset_name(text.name))
    if not options.json:
        print(dataset.directory)
    return {**dataset.manifest, "path": str(dataset.directory)}


def find_or_prepare(workspace: Workspace, wanted: str, config: RunConfig, explicit: dict[str, str]) -> Dataset:
    """The data set that --dataset names: a prepared one; or a built-in, a file or a text to download, prepared as `config.data`
    says.

    `explicit` are the settings typed with --set: a prepared data set must agree with those, while a preset's are
    only for preparing. Raises DataError.
    """
    config = whole_path_of_tokenizer(config)
    if wanted in workspace.dataset_names():
        dataset = workspace.open_dataset(wanted)
        prepared, asked = prepared_settings(dataset.manifest), config.to_dict()["data"]
        differing = [name for name in explicit if name.startswith("data.")
                     and prepared[name.removeprefix("data.")] != asked[name.removeprefix("data.")]]
        if not differing:
            return dataset
        if wanted not in BUILTINS and wanted not in catalog.entries():
            settings = ", ".join(f"{name}={explicit[name]}" for name in differing)
            raise DataError(f"Data set '{wanted}' was prepared without {settings}, and data sets never change: leave that "
                            "out, or give the text itself to --dataset.")
    _tell_of_unused(config.data, explicit)
    text = named(workspace, [wanted], workspace.dataset_names())
    steps = cleaned(config.data, text, explicit)
    return same_or_new(workspace, dataclasses.replace(config.data, source=text.source, cleaning=steps))


def same_or_new(workspace: Workspace, config: DataConfig) -> Dataset:
    """The data set that was prepared with exactly these settings, else a new one, named after its source."""
    text = named(workspace, config.source.split("\n"), workspace.dataset_names())
    config = dataclasses.replace(config, source=text.source)
    for name in workspace.dataset_names():
        if _made_from(workspace.datasets / name / "manifest.json", config):
            print(f"Data set '{name}' was prepared just so: using it.", file=sys.stderr)
            return workspace.open_dataset(name)
    return make(workspace, config, workspace.free_dataset_name(text.name))


def make(workspace: Workspace, config: DataConfig, name: str) -> Dataset:
    """Prepare, with a progress bar (on a terminal) and the data set's own remarks on stderr."""
    with tqdm(total=100, bar_format="{desc}: {percentage:3.0f}% |{bar}| {postfix}", leave=False, disable=None) as bar:
        def show(progress: Progress) -> None:
            bar.set_description_str(progress.doing, refresh=False)
            bar.set_postfix_str(progress.detail, refresh=False)
            bar.update(100 * progress.share_done - bar.n)

        dataset = prepare_dataset(config, workspace.dataset_path(name), progress=show)
    manifest, left_out = dataset.manifest, dataset.manifest["left_out"]
    print(f"Prepared data set '{name}': {manifest['documents']:,} document{'s' * (manifest['documents'] != 1)}, "
          f"{manifest['train_tokens']:,} tokens to train "
          f"on, {manifest['val_tokens']:,} held out, {manifest['vocab_size']:,} different ones.", file=sys.stderr)
    for alert in manifest["alerts"]:
        print(f"{alert['message']} {alert['remedy']}".rstrip(), file=sys.stderr)
        if alert["code"] == "left-out":
            print(*(f"  {sentence}" for sentence in left_out["first"][:LISTED]), sep="\n", file=sys.stderr)
            if len(left_out["first"]) > LISTED:
                print(f"  More of them stand in {dataset.directory / 'manifest.json'}.", file=sys.stderr)
    return dataset


def _tell_of_unused(config: DataConfig, explicit: dict[str, str]) -> None:
    """A typed setting without effect is told: the vocabulary of a tokenizer that learns none."""
    if "data.vocab_size" in explicit and config.tokenizer != "bpe":
        print(f"data.vocab_size has no effect with the tokenizer '{config.tokenizer}': add --set data.tokenizer=bpe.", file=sys.stderr)


def whole_path_of_tokenizer(config: RunConfig) -> RunConfig:
    """The same with `data.tokenizer_file` as it can be found from every directory."""
    if not config.data.tokenizer_file:
        return config
    path = Path(config.data.tokenizer_file).expanduser().resolve()
    return config.replace({"data.tokenizer_file": str(path)})


def _made_from(manifest: Path, config: DataConfig) -> bool:
    """Whether a data set was prepared with exactly these settings, and its files have not changed since."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        return made_from(content, config) and content.get("files") == state_of_files(config)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # damaged, so of no use here
