"""What a bundle may hold, checked in the zip itself, before anything of it is written.

Only known names, each once, none of them a link or a folder; no more than a zip of such a size can honestly hold; JSON
parsed and held against what its readers expect; weights that are safetensors. Executes nothing, and knows no workspace.
The zip of a run without its data, which may hold other files that are left in it, is held to the same.
"""

from __future__ import annotations

import json
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gptlab.config import ConfigError, RunConfig
from gptlab.data import dataset
from gptlab.exchange.foreign_events import BadBundle, brief, check_event, number, parsed, whole
from gptlab.runs import archive, label, status
from gptlab.runs.disk import RunError, readable
from gptlab.runs.rundir import RESERVED, check_name
from gptlab.runs.workspace import MAX_ID_LENGTH

DATASET_FILES = ("manifest.json", "tokenizer.json", "train.bin", "val.bin")
RUN_FILES = ("config.json", "manifest.json", "tokenizer.json", "events.jsonl")  # without which it is no run
DATASET_NAME = re.compile(r"datasets/([A-Za-z0-9_-]+)/([a-z]+\.[a-z]+)")
MANIFEST = {  # what is read of a manifest, and of which type
    "name": str, "source": str, "hash": str, "documents": int, "characters": int, "train_tokens": int, "val_tokens": int,
    "train_bytes": int, "val_bytes": int, "dtype": str, "vocab_size": int, "tokenizer": str, "split": str, "config": dict,
    "baselines": dict, "alerts": list}
BASELINES = ("uniform", "unigram", "bigram", "xz", "entropy_floor")

MOST_MEMBERS = 100
MOST_JSON_BYTES = 64 * 2**20  # a tokenizer with 200,000 tokens has a quarter of that
MOST_LINE_BYTES = 16 * 2**20  # of events.jsonl
MOST_TORN_LINES = 1000        # … a run that was cut off leaves one
HONEST_BYTES = 256 * 2**20    # however small the zip
HONEST_RATIO = 60             # tokens and events pack to about a quarter


@dataclass(frozen=True)
class Contents:
    """A bundle that passed. `dataset_members` by file name."""

    run_id: str
    dataset_name: str
    manifest: dict
    dataset_members: dict[str, zipfile.ZipInfo]


def check(file: zipfile.ZipFile, path: Path) -> Contents:
    """What is in a bundle. Raises BadBundle, or what zipfile raises for a damaged zip."""
    run_id, run, dataset_name, data = _sorted(file, path.stat().st_size)
    reading = _Reader(file)
    config, manifest = reading.json(run["config.json"]), reading.json(data["manifest.json"])
    _check_manifest(manifest)
    own = reading.json(run["manifest.json"])
    if {**own, "name": ""} != {**manifest, "name": ""}:
        raise BadBundle("its run was made with other data than the bundle holds.")
    if reading.bytes(run["tokenizer.json"]) != reading.bytes(data["tokenizer.json"]):
        raise BadBundle("its run and its data set have different tokenizers.")
    _check_settings(config)
    _check_settings({"data": manifest["config"]})
    _check_files(reading, run)
    return Contents(run_id, dataset_name, manifest, data)


def check_run(file: zipfile.ZipFile, path: Path) -> None:
    """Looks at what `archive.import_zip` would take out of the zip of a run. Raises BadBundle, RunError for one that holds no
    run, or what zipfile raises for a damaged zip."""
    run_id, found = archive.members_of(file, path.name)
    if not _can_be_an_id(run_id):
        raise BadBundle(f"no run is called {run_id[:80]!r}.")
    for member, _ in found:
        _check_kind(member)
    _check_size([member for member, _ in found], path.stat().st_size)
    reading, run = _Reader(file), {name: member for member, name in found}
    _check_settings(reading.json(run["config.json"]))
    if "manifest.json" in run:
        _check_manifest(reading.json(run["manifest.json"]))
    _check_files(reading, run)


def _check_files(reading: _Reader, run: dict[str, zipfile.ZipInfo]) -> None:
    """Looks at each of a run's members, by path in it."""
    for name, member in run.items():
        if name.endswith(".safetensors"):
            reading.check_safetensors(member)
        elif name.endswith("state.json"):
            _check_state(reading.json(member), int(name.split("/")[1].removeprefix("step_")))
        elif name == "status.json":
            _check_status(reading.json(member))
        elif name == label.FILE:
            reading.bytes(member)  # that it is not too large: its own reader takes what it can, whatever it holds
        elif name.endswith(".json"):
            reading.json(member)
    reading.check_events(run["events.jsonl"])


def content_hash(folder: Path) -> str:
    """The hash that a manifest must name: that of its tokenizer and tokens."""
    return dataset._hash(folder)


# --- names and sizes ---

def _sorted(file: zipfile.ZipFile, zip_bytes: int) -> tuple[str, dict, str, dict]:
    """(the run's id, its members by path in it, the data set's name, its members)."""
    listed = file.infolist()
    _check_size(listed, zip_bytes)
    run: dict[str, zipfile.ZipInfo] = {}
    data: dict[str, zipfile.ZipInfo] = {}
    ids, names = set(), set()
    for member in listed:
        _check_kind(member)
        if (match := DATASET_NAME.fullmatch(member.filename)) and match[2] in DATASET_FILES:
            names.add(match[1])
            into, name = data, match[2]
        else:
            run_id, _, name = member.filename.partition("/")
            known = name in (*archive.FILES, "events.jsonl") or archive.CHECKPOINT_FILE.fullmatch(name)
            if not known or not _can_be_an_id(run_id):
                raise BadBundle(f"it holds {member.filename[:80]!r}, which no bundle has.")
            ids.add(run_id)
            into = run
        if name in into:
            raise BadBundle(f"it holds {member.filename!r} twice, or more than one run or data set.")
        into[name] = member
    missing = [name for name in RUN_FILES if name not in run] + [name for name in DATASET_FILES if name not in data]
    if missing or len(ids) != 1 or len(names) != 1:
        raise BadBundle(f"it is not a bundle of one run with its data ({', '.join(missing) or 'several runs'} "
                        f"{'missing' if missing else 'in it'}). Make one with: python -m gptlab bundle RUN --out FILE.")
    return ids.pop(), run, _named(names.pop()), data


def _check_size(members: list[zipfile.ZipInfo], zip_bytes: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise BadBundle(f"it holds {len(members):,} files, where a bundle has at most {MOST_MEMBERS}.")
    total = sum(member.file_size for member in members)
    if total > max(HONEST_BYTES, HONEST_RATIO * zip_bytes):
        raise BadBundle(f"it would unpack from {readable(zip_bytes)} to {readable(total)}, which no honest bundle does.")


def _can_be_an_id(run_id: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_-]+", run_id)) and len(run_id) <= MAX_ID_LENGTH and run_id.lower() not in RESERVED


def _named(name: str) -> str:
    try:
        return check_name(name, "data set")
    except RunError as error:
        raise BadBundle(str(error)) from error


def _check_kind(member: zipfile.ZipInfo) -> None:
    """Only plain files, packed in the usual two ways."""
    mode = member.external_attr >> 16
    if member.filename.endswith("/") or stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise BadBundle(f"it holds {member.filename[:80]!r}, a link or folder, where a bundle has files only.")
    if member.flag_bits & 1:
        raise BadBundle("it is encrypted, which no bundle is.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadBundle(f"{member.filename[:80]!r} is packed in a way that no bundle uses.")
    if member.filename != member.orig_filename:
        raise BadBundle(f"it holds {member.orig_filename[:80]!r}, which no bundle has.")


# --- contents ---

class _Reader:
    """Reads members; `bytes` and `json` only small ones."""

    def __init__(self, file: zipfile.ZipFile):
        self._file = file

    def bytes(self, member: zipfile.ZipInfo) -> bytes:
        if member.file_size > MOST_JSON_BYTES:
            raise BadBundle(f"{member.filename} has {readable(member.file_size)}, where {readable(MOST_JSON_BYTES)} "
                            "is the most.")
        return self._file.read(member)

    def json(self, member: zipfile.ZipInfo) -> dict:
        try:
            values = parsed(self.bytes(member))
        except (ValueError, RecursionError) as error:
            raise BadBundle(f"{member.filename} is damaged ({brief(error)}).") from error
        if not isinstance(values, dict):
            raise BadBundle(f"{member.filename} is damaged (it holds no settings).")
        return values

    def check_safetensors(self, member: zipfile.ZipInfo) -> None:
        """That it begins as the format does: the length of a JSON header, and that header, whose tensors fill the file."""
        with self._file.open(member) as source:
            length = int.from_bytes(source.read(8), "little")
            if not 2 <= length <= min(MOST_JSON_BYTES, member.file_size - 8):
                raise BadBundle(f"{member.filename} holds no safetensors.")
            try:
                header = json.loads(source.read(length).decode("utf-8"))
                end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
            except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
                raise BadBundle(f"{member.filename} holds no safetensors.") from error
        if end != member.file_size - 8 - length:
            raise BadBundle(f"{member.filename} is cut off.")

    def check_events(self, member: zipfile.ZipInfo) -> None:
        """That every event says what its kind says. A torn line is passed over, as all readers do.

        Every step has a line of its own, so none has a number beyond the lines before it: readers make room for all.
        """
        count = torn = 0
        with self._file.open(member) as source:
            while line := source.readline(MOST_LINE_BYTES):
                if len(line) == MOST_LINE_BYTES:
                    raise BadBundle(f"{member.filename} has a line of more than {readable(MOST_LINE_BYTES)}.")
                torn += not check_event(member.filename, line, count)
                if torn > MOST_TORN_LINES:
                    raise BadBundle(f"{member.filename} has more than {MOST_TORN_LINES:,} lines that are no events.")
                count += 1


def _check_settings(values: dict) -> None:
    try:
        RunConfig.from_dict(values)
    except ConfigError as error:
        raise BadBundle(f"its settings cannot be used ({' '.join(error.problems)})") from error


def _check_manifest(manifest: dict) -> None:
    for name, kind in MANIFEST.items():
        value = manifest.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadBundle(f"the manifest of its data set is damaged ({name}).")
    if manifest["dtype"] not in ("uint16", "uint32"):
        raise BadBundle(f"its data set holds {manifest['dtype'][:40]!r}, where tokens are uint16 or uint32.")
    known, per_byte = manifest["baselines"], manifest.get("baselines_bits_per_byte", {})  # older ones have none of these
    if not isinstance(per_byte, dict) or known.get("uniform") is None \
            or not all(one.get(name) is None or number(one[name]) for one in (known, per_byte) for name in BASELINES):
        raise BadBundle("the manifest of its data set is damaged (baselines).")
    if not all(isinstance(alert, dict) and all(isinstance(alert.get(key), str) for key in ("severity", "message", "remedy"))
               for alert in manifest["alerts"]):
        raise BadBundle("the manifest of its data set is damaged (alerts).")


def _check_state(state: dict, step: int) -> None:
    files, loss = state.get("files"), state.get("val_loss")
    if not (state.get("step") == step and number(state.get("epoch")) and (loss is None or number(loss))
            and isinstance(state.get("trainer"), dict) and isinstance(files, dict) and all(map(whole, files.values()))):
        raise BadBundle(f"the checkpoint of step {step:,} is damaged.")


def _check_status(values: dict) -> None:
    """A cache that lists read without looking twice."""
    words = {name for name, value in status.EMPTY.items() if isinstance(value, str)}
    if not all(isinstance(values.get(name), str) if name in words else values.get(name) is None or number(values[name])
               for name in status.EMPTY):
        raise BadBundle("its status.json is damaged.")
