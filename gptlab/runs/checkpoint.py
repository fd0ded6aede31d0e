"""Checkpoints: weights, optimizer, random states and data position, saved whole or not at all, and restored.

    checkpoints/step_00000500/   model.safetensors   state.json   [optimizer.safetensors]

`state.json` is written last and knows the size of its neighbours, so one that was cut off is recognised. The optimizer's
state is kept in `best` and `last` alone (and, while these are one, in the one before: what to fall back on if the last
is damaged); older checkpoints hold weights, thinned out so that the whole history can be replayed. No pickle.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gptlab.config import RunConfig
from gptlab.data.tokenizers import Tokenizer, load_tokenizer
from gptlab.events import Checkpoint
from gptlab.model.gpt import GPT
from gptlab.runs.disk import (RunError, check_space, explained, readable, remove_file, remove_tree, replace, sync,
                              temporary_sibling, write_atomic)
from gptlab.runs.rundir import RunDir
from gptlab.train.optim import load_state_tensors

if TYPE_CHECKING:
    from gptlab.train.trainer import Trainer

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
SET_ASIDE = "set_aside_"  # what a checkpoint's name begins with once a run has gone on from an older one


@dataclass(frozen=True)
class Saved:
    """A checkpoint on disk. `problem` says what is wrong with it, if anything; `resumable`: its optimizer is whole too."""

    path: Path
    step: int
    epoch: float
    val_loss: float | None  # None where the loss was not measured at this step
    resumable: bool
    problem: str | None


def save(run: RunDir, trainer: Trainer, kept_as: list[str], *, val_loss: float | None = None) -> Checkpoint:
    """Saves the state after `trainer.step` updates; all of its events must be on disk. Raises RunError on a full disk.

    `kept_as` is what the event will say; `val_loss` the loss at this very step, if it was measured.
    """
    state = trainer.state_dict()
    optimizer = state.pop("optimizer")
    weights = trainer.model.state_dict()
    target = run.checkpoints_path / f"step_{trainer.step:08d}"
    event = Checkpoint(step=trainer.step, time_seconds=trainer.clock.time_seconds,
                       path=target.relative_to(run.path).as_posix(), kept_as=kept_as)
    values = {"step": trainer.step, "epoch": trainer.epoch, "val_loss": val_loss, "trainer": state}
    if target.exists() and (there := _examine(target)).problem is None and there.resumable:
        files = _read_state(target)["files"]  # no update since, so the tensors are these: they must not be away for a moment
        write_atomic(target / STATE, json.dumps({**values, "files": files}))
        return event
    run.checkpoints_path.mkdir(exist_ok=True)
    size = sum(tensor.nbytes for tensors in (weights, optimizer) for tensor in tensors.values())
    check_space(run.checkpoints_path, size, f"save step {trainer.step:,}")
    temporary = temporary_sibling(target)
    temporary.mkdir()
    try:
        with explained(target, f"save step {trainer.step:,}"):
            _save_tensors(weights, temporary / MODEL)
            _save_tensors(optimizer, temporary / OPTIMIZER)
            files = {name: (temporary / name).stat().st_size for name in (MODEL, OPTIMIZER)}
            write_atomic(temporary / STATE, json.dumps({**values, "files": files}))
            remove_tree(target)
            replace(temporary, target)
            sync(run.checkpoints_path)
    except BaseException:
        remove_tree(temporary)
        raise
    return event


def plant(run: RunDir, saved: Saved, *, with_optimizer: bool) -> None:
    """Makes another run's checkpoint what `run`, which has none yet, begins with at step 0: its weights, and what its
    optimizer remembers, or else an empty memory. Raises RunError for a full disk, FileNotFoundError where a training
    dropped it meanwhile."""
    target = run.checkpoints_path / "step_00000000"
    names = (MODEL, OPTIMIZER) if with_optimizer else (MODEL,)
    check_space(run.path, sum((saved.path / name).stat().st_size for name in names), f"copy {saved.path.name}")
    target.mkdir(parents=True)
    with explained(target, f"copy {saved.path.name}"):
        for name in names:
            shutil.copyfile(saved.path / name, target / name)
            sync(target / name)
        if not with_optimizer:
            _save_tensors({}, target / OPTIMIZER)
        files = {name: (target / name).stat().st_size for name in (MODEL, OPTIMIZER)}
        values = {"step": 0, "epoch": 0.0, "val_loss": None, "files": files, "trainer": {"step": 0}}
        write_atomic(target / STATE, json.dumps(values))


def list_checkpoints(run: RunDir) -> list[Saved]:
    """All checkpoints of a run, oldest first, damaged ones with their problem."""
    return [_examine(path) for path in run.checkpoint_paths()]


def best_of(checkpoints: list[Saved]) -> Saved | None:
    """The whole one with the lowest loss on unseen text, the earliest of equals; None where none was measured."""
    measured = [saved for saved in checkpoints if saved.problem is None and saved.val_loss is not None]
    return min(measured, key=lambda saved: (saved.val_loss, saved.step), default=None)


def find_checkpoint(run: RunDir, which: str | int) -> Saved:
    """The checkpoint "best", "last" or at a step. Raises RunError where it is missing or cut off, with the choices."""
    checkpoints = list_checkpoints(run)
    whole = [saved for saved in checkpoints if saved.problem is None]
    if not checkpoints:
        raise RunError(f"Run {run.id} has no checkpoint yet: train it a little first.")
    steps = f"It has: best, last, {', '.join(str(saved.step) for saved in whole)}." if whole else "It has no whole one."
    if which == "best":
        found = best_of(checkpoints) or (whole[-1] if whole else checkpoints[-1])
    elif which == "last":
        found = checkpoints[-1]
    elif str(which).isdecimal():
        found = next((saved for saved in checkpoints if saved.step == int(which)), None)
    else:
        raise RunError(f"'{which}' is not a checkpoint: say best, last or a step. {steps}")
    if found is None:
        raise RunError(f"Run {run.id} has no checkpoint at step {which}. {steps}")
    if found.problem:
        raise RunError(f"{found.problem} Choose another one. {steps}")
    return found


def load_model(run: RunDir | Path, which: str | int = "best", *, device: str = "cpu") -> tuple[GPT, Tokenizer, RunConfig]:
    """A model of its own with a checkpoint's weights, ready to write (eval mode), its tokenizer and the run's settings.

    `which` is "best", "last" or a step. Needs nothing outside the run's directory. Raises RunError.
    """
    run = RunDir.of(run)
    config, saved = run.config(), find_checkpoint(run, which)
    tokenizer = load_tokenizer(run.tokenizer_path)
    model = GPT(config.model, tokenizer.vocab_size, torch.Generator())  # not the global one: somebody may be training
    _load_weights(model, saved)
    return model.to(device).eval(), tokenizer, config


def work_time(saved: Saved) -> float:
    """The run's seconds of work up to a checkpoint. Raises RunError where it is damaged."""
    return noted(saved).get("time_seconds", 0.0)


def noted(saved: Saved) -> dict:
    """The trainer's `state_dict` at a checkpoint without its tensors; {"step": 0} where a fork begins. Raises RunError where it is
    damaged."""
    return _read_state(saved.path)["trainer"]


def computed_with(saved: Saved) -> tuple[str, str] | None:
    """The device and the number format of the training up to a checkpoint; None where that began from another run's weights and
    has not gone on yet. Raises RunError where it is damaged."""
    state = noted(saved)
    return (state["device"], state["precision"]) if "precision" in state else None


def restore(run: RunDir, trainer: Trainer) -> tuple[int, str] | None:
    """Brings `trainer` to the newest whole checkpoint: (its step, what is wrong with the newest, or ""). None: there is none.

    Newer ones are set aside under another name, because the run goes on without them. Raises RunError where none is
    whole.
    """
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        return None
    passed_over: list[tuple[Path, str]] = []
    for saved in reversed(checkpoints):
        try:
            if not saved.resumable:
                raise RunError(saved.problem or f"The checkpoint {saved.path.name} holds weights alone.")
            state, tensors = _read_state(saved.path)["trainer"], _load_tensors(saved.path / OPTIMIZER)
            _load_weights(trainer.model, saved)
            if state.keys() == {"step"}:  # planted: all else begins anew
                load_state_tensors(trainer.model, trainer.optimizer, tensors)
            else:
                trainer.load_state_dict({**state, "optimizer": tensors})
        except (ValueError, KeyError) as error:  # of which RunError is a kind
            passed_over.append((saved.path, str(error)))
            continue
        set_aside(run, saved.step)
        return saved.step, passed_over[0][1] if passed_over else ""
    raise RunError(f"Run {run.id} cannot go on: no checkpoint is whole. {passed_over[0][1]} Start a new run with its "
                   "settings.")


def set_aside(run: RunDir, after_step: int) -> None:
    """Gives checkpoints of later steps another name: the run goes on without them."""
    for path in run.checkpoint_paths():
        if int(path.name.removeprefix("step_")) > after_step:
            remove_tree(path.with_name(SET_ASIDE + path.name))
            replace(path, path.with_name(SET_ASIDE + path.name))


def tidy(run: RunDir, keep: int) -> None:
    """Drops what is no longer needed: optimizer states but for best and last, and checkpoints beyond `keep` older ones."""
    checkpoints = [saved for saved in list_checkpoints(run) if saved.problem is None]
    if not checkpoints:
        return
    best, last = best_of(checkpoints) or checkpoints[-1], checkpoints[-1]
    protected = {best.step, last.step}
    for step in steps_to_drop([saved.step for saved in checkpoints], protected, keep):
        remove_tree(run.checkpoints_path / f"step_{step:08d}")
    resumable = [saved.step for saved in checkpoints if saved.resumable]
    needed = protected | (set(resumable[-2:]) if best == last else set())
    for saved in checkpoints:
        if saved.step not in needed:
            remove_file(saved.path / OPTIMIZER)


def steps_to_drop(steps: list[int], protected: set[int], keep: int) -> set[int]:
    """Which of `steps` (ascending) to drop so that at most `keep` are left beside the `protected` ones.

    One by one goes the step whose neighbours are nearest to each other on a logarithmic scale: dense early, where a model
    changes fast, sparse later. The first one stays as long as any does.
    """
    left = list(steps)
    while sum(step not in protected for step in left) > keep:
        candidates = [i for i, step in enumerate(left) if step not in protected and (i > 0 or keep == 0)]
        gaps = {i: math.log1p(left[min(i + 1, len(left) - 1)]) - math.log1p(left[max(i - 1, 0)]) for i in candidates}
        del left[min(candidates, key=gaps.get)]
    return set(steps) - set(left)


def _examine(path: Path) -> Saved:
    step = int(path.name.removeprefix("step_"))
    try:
        state = _read_state(path)
        _check_size(path / MODEL, state["files"][MODEL])
    except RunError as error:
        return Saved(path, step, math.nan, None, False, str(error))
    resumable = _size(path / OPTIMIZER) == state["files"][OPTIMIZER]
    return Saved(path, step, state["epoch"], state["val_loss"], resumable, None)


def _read_state(path: Path) -> dict:
    try:
        values = json.loads((path / STATE).read_text(encoding="utf-8"))
        values["files"][MODEL], values["epoch"], values["val_loss"], values["trainer"]["step"]  # all there?
    except FileNotFoundError:
        raise RunError(f"The checkpoint {path.name} is cut off: {STATE} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"The checkpoint {path.name} is damaged: {STATE} cannot be read.") from error
    return values


def _size(path: Path) -> int | None:
    """Bytes; None for a file that is not there, or no longer: a worker may be tidying."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _check_size(path: Path, expected: int) -> None:
    size = _size(path)
    if size is None:
        raise RunError(f"The checkpoint {path.parent.name} is cut off: {path.name} is missing.")
    if size != expected:
        raise RunError(f"The checkpoint {path.parent.name} is cut off: {path.name} has {readable(size)} of "
                       f"{readable(expected)}.")


def _save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # its way to say "disk full" carries no errno
        raise RunError(f"{path.parent.parent} could not take a checkpoint ({error}). Free some space, then "
                       "resume.") from error
    sync(path)


def _load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Views of the file: to be copied from, never to be trained on."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"The checkpoint {path.parent.name} is damaged: {path.name} cannot be read.") from error


def _load_weights(model: GPT, saved: Saved) -> None:
    try:
        model.load_state_dict(_load_tensors(saved.path / MODEL))
    except RuntimeError as error:  # names or shapes
        raise RunError(f"The checkpoint {saved.path.name} does not belong to this run's settings.") from error

