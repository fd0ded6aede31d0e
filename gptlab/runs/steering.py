"""What somebody does to a run beside stopping it: change its settings, fork it, make it longer, take it back to its best.

Each function looks first whether it can be done, raises a sentence where not, and leaves a line in `control.jsonl`. A run
that is being trained is told, and answers by an event; one at rest is changed here, under its lock. Knows no queue: what
is to train afterwards is submitted by the caller. What each would do can be asked before, and raises the same sentences:
`live_change`, `beginning`, `extension`, `way_back` change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gptlab.config import ConfigError, RunConfig, all_settings, unknown_name
from gptlab.config import changes as differing
from gptlab.data.dataset import open_dataset
from gptlab.events import Evaluation, Setting, Status
from gptlab.runs import checkpoint, eventlog
from gptlab.runs.changes import LIMITS, LIVE, live_config, value_of
from gptlab.runs.checkpoint import Saved
from gptlab.runs.disk import RunError, write_atomic
from gptlab.runs.rundir import RunDir, check_name
from gptlab.runs.trainable import check_trainable
from gptlab.runs.workspace import Workspace, create_run
from gptlab.train.optim import learning_rate
from gptlab.train.plan import Plan

FREE = ("model.dropout", "model.norm_epsilon", "model.rope_theta")  # what weights have no part in
HOW_ELSE = {"data": "a fork learns from the same data; start a new run on the other",
            "model": "start a new run with it", "train": "fork the run, or start a new one", "sample": "fork the run"}


@dataclass(frozen=True)
class Beginning:
    """What a fork begins with: a checkpoint, the settings the run had there and those of the fork, and whether the optimizer's
    memory comes along; `about` says that in words."""

    saved: Saved
    base: RunConfig
    config: RunConfig
    with_optimizer: bool
    about: str


@dataclass(frozen=True)
class Extension:
    """What makes a run longer: `started` is its new `config.json`, `changes` and `before` what moves, as JSON has it."""

    started: RunConfig
    changes: dict[str, Any]
    before: dict[str, Any]
    total_steps: int | None
    reason: str


def set_live(run: RunDir, changes: dict[str, Any]) -> None:
    """Changes settings of LIVE from the next update on, or from where a run at rest will go on; `config.json` stays.

    Raises ConfigError with all that cannot be, RunError where nothing would change.
    """
    wanted, before = live_change(run, changes)
    if run.is_alive():
        run.command("set", changes=wanted)
        return
    with _at_rest(run, "change its settings") as known:
        run.append(Setting(step=known["step"], time_seconds=known["time_seconds"], changes=wanted, before=before))
        run.write_status({**known, "events_bytes": run.events_path.stat().st_size})
        run.note_command("set", changes=wanted)


def live_change(run: RunDir, changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what `set_live` changes, what that is now), as JSON has it.

    The schedule keeps its shape between the new ends: one that begins below its end takes that down in proportion.
    """
    config = live_config(run)
    _only(changes, LIVE, "while a run goes on")
    after = config.replace(_with_lower_end(config, changes))
    wanted = differing(after, config)
    if not wanted:
        raise RunError(f"Nothing would change: {_spelled(config, changes)} is so already.")
    return _json(after, wanted), _json(config, wanted)


def fork(workspace: Workspace, run: RunDir, which: str | int, changes: dict[str, Any], name: str, owner: str = "") -> RunDir:
    """A new run, queued, that begins at step 0 with the weights of a checkpoint ("best", "last" or a step) and settings of
    its own: the run's at that step, and `changes`. The optimizer's memory comes along where the checkpoint has it and the
    optimizer is the same. `owner`: who does it. Raises RunError, ConfigError or DataError.
    """
    check_name(name)
    begins = beginning(run, which, changes)
    saved, base, config = begins.saved, begins.base, begins.config
    dataset = open_dataset(workspace.dataset_of(run))
    check_trainable(config, dataset)

    def add(new: RunDir) -> None:
        write_atomic(new.path / "parent.json", json.dumps({"run": run.id, "step": saved.step}))
        try:
            checkpoint.plant(new, saved, with_optimizer=begins.with_optimizer)
        except FileNotFoundError as error:
            raise RunError(f"The checkpoint of step {saved.step:,} was dropped meanwhile: choose another one.") from error

    new = create_run(workspace, config, dataset, name, add=add, owner=owner,
                     reason=f"Forked from step {saved.step:,} of {run.name}; {begins.about}.")
    with suppress(OSError):  # it may lie where nobody can write
        run.note_command("fork", step=saved.step, changes=_json(config, differing(config, base)), run=new.id)
    return new


def beginning(run: RunDir, which: str | int, changes: dict[str, Any]) -> Beginning:
    """What a fork of that checkpoint with these changes begins with. Raises RunError, ConfigError."""
    saved = checkpoint.find_checkpoint(run, which)
    base = live_config(run, until_step=saved.step)
    config = base.replace(changes)
    _check_fits(base, config)
    return Beginning(saved, base, config, *_optimizer(saved, base, config))


def fork_settings(config: RunConfig) -> list[str]:
    """The settings that a fork may change: all that the weights, and what they have learnt from, have no part in."""
    free = FREE if config.model.positions == "learned" else (*FREE, "model.context_length")
    free = free if config.model.n_expert is None else (*free, "model.expert_balance")
    return [name for name, _ in all_settings() if name in free or name.partition(".")[0] in ("train", "sample")]


def extend(run: RunDir, changes: dict[str, Any]) -> None:
    """Moves what ends a run (LIMITS) in its `config.json`, so that a finished one can go on; says in its status what that
    does to the learning rate. Raises ConfigError, and RunError where it would end at once.
    """
    with _at_rest(run, "make it longer") as known:
        longer = extension(run, known, changes)
        run.write_config(longer.started)
        state = "queued" if known["state"] == "queued" else "stopped"
        event = dict(step=known["step"], time_seconds=known["time_seconds"])
        run.append(Setting(**event, changes=longer.changes, before=longer.before),
                   Status(**event, state=state, reason=longer.reason))
        known.update(state=state, reason=longer.reason, total_steps=longer.total_steps,
                     events_bytes=run.events_path.stat().st_size)
        run.write_status(known)
        run.note_command("extend", changes=longer.changes)


def extension(run: RunDir, known: dict, changes: dict[str, Any]) -> Extension:
    """What makes a run longer whose status is `known`. Raises ConfigError, RunError."""
    _only(changes, LIMITS, "where a run is to become longer")
    started, config = run.config(), live_config(run)
    after, new_start = config.replace(changes), started.replace(changes)
    wanted = differing(after, config)
    if not wanted:
        raise RunError(f"Nothing would change: {_spelled(config, changes)} is so already.")
    plan, step, seconds = Plan(after, run.manifest()["train_tokens"]), known["step"], known["training_seconds"]
    total = plan.last_step(plan.minutes_as_steps(step, seconds))
    _check_goes_on(run, plan, step, seconds)
    reason = f"Made longer: {', '.join(_moved(name, config, after) for name in wanted)}. " + _course(
        step, known["total_steps"], total, config, after)
    return Extension(new_start, _json(after, wanted), _json(config, wanted), total, reason)


def roll_back(run: RunDir) -> None:
    """Takes a run at rest back to its best checkpoint: what came later is superseded, later checkpoints are set aside, and
    it can be resumed. Settings changed since then are as they were. Raises RunError.
    """
    with _at_rest(run, "roll it back") as known:
        best = way_back(run, known)
        checkpoint.set_aside(run, best.step)
        run.append(Status(step=best.step, time_seconds=checkpoint.work_time(best), resumed_from_step=best.step,
                          state="queued" if known["state"] == "queued" else "stopped",
                          reason=f"Rolled back to step {best.step:,}, the best (val {best.val_loss:.3f}). Resume goes on "
                          "from there; with the same settings it would go the same way again."))
        run.note_command("rollback", step=best.step)


def way_back(run: RunDir, known: dict) -> Saved:
    """The best checkpoint of a run whose status is `known`, to go on from. Raises RunError."""
    checkpoints = checkpoint.list_checkpoints(run)
    best = checkpoint.best_of(checkpoints)
    if best is None:
        raise RunError(f"{run.name} has no checkpoint with a measured loss to roll back to: train it a little first.")
    if best.step == max(known["step"], checkpoints[-1].step):
        raise RunError(f"{run.name} stands at its best already, step {best.step:,}.")
    if not best.resumable:
        raise RunError(f"The best checkpoint of {run.name}, step {best.step:,}, holds weights alone, so the run cannot go "
                       "on from it: fork it there.")
    return best


@contextmanager
def _at_rest(run: RunDir, purpose: str) -> Iterator[dict]:
    """Holds a run that nobody trains; gives its status. Raises RunError where somebody does, or it is damaged."""
    if run.is_alive():
        raise RunError(f"{run.name} is being trained: stop it first, then {purpose}.")
    with run.lock():
        known = run.status(at_rest=True)  # not before: another could have trained it between
        if known["state"] == "damaged":
            raise RunError(known["reason"])
        yield known


# --- what may change ---

def _only(changes: dict[str, Any], allowed: tuple[str, ...], when: str) -> None:
    known, problems = dict(all_settings()), []
    for name in changes:
        if name not in known:
            problems.append(unknown_name(name, known, "setting"))
        elif name not in allowed:
            how = "extend the run" if name in LIMITS else HOW_ELSE[name.partition(".")[0]]
            problems.append(f"{name} cannot change {when}: {how}. What can: {', '.join(allowed)}.")
    if not changes:
        problems.append(f"Name a setting to change: {', '.join(allowed)}.")
    if problems:
        raise ConfigError(problems)


def _with_lower_end(config: RunConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """`changes`, and where they take the highest learning rate below the last one, that in proportion."""
    high, low = "train.max_learning_rate", "train.min_learning_rate"
    if high not in changes or low in changes:
        return changes
    try:
        config.replace(changes)
    except ConfigError:
        rates = RunConfig().replace({low: 0.0, high: changes[high]}).train  # raises where the value itself cannot be
        lower = value_of(config, low) * rates.max_learning_rate / value_of(config, high)
        return {**changes, low: min(rates.max_learning_rate, float(f"{lower:.3g}"))}
    return changes


def _check_fits(base: RunConfig, config: RunConfig) -> None:
    """Raises ConfigError for settings that the weights, or what they have learnt from, do not allow."""
    free = fork_settings(config)
    problems = [f"{name} is {value_of(base, name)} in the weights that a fork takes over, not {value}: start a new run to "
                "change it." for name, value in differing(config, base).items()
                if name.startswith("model.") and name not in free]
    problems += [f"{name} cannot change in a fork: {HOW_ELSE['data']}." for name in differing(config, base)
                 if name.startswith("data.")]
    if problems:
        raise ConfigError(problems)


def _optimizer(saved: Saved, base: RunConfig, config: RunConfig) -> tuple[bool, str]:
    """Whether the optimizer's memory comes along, and that in words."""
    if config.train.optimizer != base.train.optimizer:
        return False, (f"the optimizer starts afresh, because {config.train.optimizer} cannot use what "
                       f"{base.train.optimizer} remembers")
    if not saved.resumable:
        return False, "the optimizer starts afresh, because that checkpoint holds weights alone"
    return True, "the optimizer goes on with what it remembers"


def _check_goes_on(run: RunDir, plan: Plan, step: int, seconds: float) -> None:
    """Raises RunError where a limit that was not moved, or not far enough, would end the run at once."""
    train, where = plan.train, f"{run.name} is at step {step:,} and would end at once"
    for reached, limit in plan.limits().items():
        if limit <= step:
            raise RunError(f"{where}: {reached}. Move that limit beyond what is done, or set it to none.")
    if train.max_minutes is not None and train.max_minutes * 60 <= seconds:
        raise RunError(f"{where}: it has trained for {seconds / 60:.3g} minutes, and train.max_minutes is "
                       f"{train.max_minutes:g}. Set it to more, or to none.")
    losses = [event.val_loss for event in eventlog.read_kinds(run.events_path, Evaluation)] if train.patience else []
    if losses and len(losses) - 1 - losses.index(min(losses)) >= train.patience:
        raise RunError(f"{where}: no better loss on unseen text in {train.patience} evaluations. Raise train.patience too, "
                       "or set it to none.")


# --- in words, and in JSON ---

def _course(step: int, old_total: int | None, total: int | None, old: RunConfig, new: RunConfig) -> str:
    """What becomes of the learning rate, in a sentence."""
    was, goes_on = learning_rate(max(0, step - 1), old_total, old.train), learning_rate(step, total, new.train)
    if total is None:
        return f"The learning rate goes on at {goes_on:.3g}."
    last = learning_rate(total, total, new.train)
    if goes_on == was == last:
        return f"The learning rate stays at {goes_on:.3g}."
    first = "rises again from {0:.3g} to {1:.3g}" if goes_on > was * 1.001 else "goes on at {1:.3g}"
    return f"The learning rate {first.format(was, goes_on)}, and falls to {last:.3g} by step {total:,}."


def _moved(name: str, old: RunConfig, new: RunConfig) -> str:
    words = ["none" if (value := value_of(config, name)) is None else f"{value:,}" for config in (old, new)]
    return f"{name} from {words[0]} to {words[1]}"


def _spelled(config: RunConfig, names: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value_of(config, name)}" for name in names)


def _json(config: RunConfig, names: dict[str, Any]) -> dict[str, Any]:
    """The values that `config` has for these names, as JSON has them."""
    values = config.to_dict()
    return {name: values[name.partition(".")[0]][name.partition(".")[2]] for name in names}
