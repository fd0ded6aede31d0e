"""A run's directory in, a trained model out: the worker runs the trainer and puts what it says on disk.

Between updates it samples, saves, and obeys `control.jsonl`. It is the same for a thread of the app, a child process
and the command line; nothing in it knows which.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import traceback
from collections.abc import Callable, Set
from pathlib import Path

import torch

from gptlab import memory
from gptlab.config import ConfigError, RunConfig
from gptlab.data.dataset import Dataset, open_dataset
from gptlab.data.sources import DataError
from gptlab.events import Checkpoint, Evaluation, Event, Sample, Setting, Status
from gptlab.runs import checkpoint, chosen, samples
from gptlab.runs.changes import LIVE, live_changes, value_of
from gptlab.runs.control import Control
from gptlab.runs.disk import RunError, remove_temporaries
from gptlab.runs.rundir import RunDir
from gptlab.runs.switching import Switching
from gptlab.runs.telling import Telling, if_possible
from gptlab.runs.workspace import find_dataset
from gptlab.threads import compute_with
from gptlab.train.choosing import choose, in_words
from gptlab.train.device import TooLittleMemory, TrainingError, explain_out_of_memory, release_memory, using_threads
from gptlab.train.trainer import Trainer

PAUSE_SECONDS = 0.05     # between two looks at the commands while paused
SAVING_SHARE = 10        # saving may take one part in so many of the time, where it is not due anyway

logger = logging.getLogger(__name__)


def run(run_dir: RunDir | Path, *, dataset_dir: Path | None = None, should_stop: Callable[[], bool] | None = None) -> str:
    """Trains a run to its end, or goes on with it from its last whole checkpoint; returns the state it ends in.

    `dataset_dir` is where its data lies (else it is looked for beside `runs/`). When `should_stop` turns true, and on
    the command stop, the update is finished, everything saved, and the state is "stopped". What goes wrong ends as
    "failed" with one sentence in the status; only a run that somebody else holds raises RunError.
    """
    run_dir = RunDir.of(run_dir)
    with run_dir.lock(), using_threads(None):
        work = _Work(run_dir, should_stop or (lambda: False))
        try:
            return work.do(dataset_dir)
        finally:
            work.close()


class _Work:
    """One stretch of work on a run, from taking it up to its end, stop or failure."""

    def __init__(self, run_dir: RunDir, should_stop: Callable[[], bool]):
        self.run, self.should_stop = run_dir, should_stop
        self.control = Control(run_dir.control_path)
        self.telling = Telling(run_dir)
        self.record, self.tell = self.telling.record, self.telling.tell
        self.trainer: Trainer | None = None
        self.switching: Switching | None = None
        self.sparing = False  # of memory, which takes time: until this is closed, also where no trainer could be made
        self.machine = ""  # what the run uses of this machine, and why
        self.stopping = self.pausing = self.paused = self.sampling = False
        self.sample_asked = self.checkpoint_asked = False
        self.changes_asked: list[dict] = []
        self.saved: Checkpoint | None = None
        self.saved_evaluation: int | None = None  # the last evaluation that `saved` knows of: its step
        self.saved_at, self.saving_seconds = time.monotonic(), 0.0

    def do(self, dataset_dir: Path | None) -> str:
        """All of it; returns the final state."""
        try:
            with explain_out_of_memory():
                self.begin(dataset_dir)
                try:
                    self.train()
                except TooLittleMemory:  # the update that did not fit left all as it was: none is to be made again
                    self.save()
                    raise
                return self.end()
        except KeyboardInterrupt:  # the update under way may be half done, so nothing of it is saved
            return self.tell("stopped", "Interrupted. Resume goes on from the last checkpoint.")
        except Exception as error:
            return self.fail(error)

    def close(self) -> None:
        """Lets go of files and of the model's memory."""
        device = self.trainer.device if self.trainer else "cpu"
        if self.sparing:
            memory.spare(False)
        if self.switching is not None:
            self.switching.close()
        self.trainer = self.switching = None
        try:
            self.telling.close()  # on a full disk it raises
        finally:
            release_memory(device)
            memory.give_back()

    # the course of a run

    def begin(self, dataset_dir: Path | None) -> None:
        """Makes the trainer, brings it to the last checkpoint if there is one, and says so."""
        for directory in (self.run.path, self.run.checkpoints_path):
            remove_temporaries(directory)
        self.run.traceback_path.unlink(missing_ok=True)
        earlier, unreadable = self.run.read_all()
        config = self.run.config().replace(live_changes(earlier))
        dataset = _open_checked(self.run, dataset_dir)
        self.prompts = samples.prompts_of(config, dataset)
        for prompt in self.prompts:
            dataset.tokenizer.encode(prompt)  # raises for characters it never saw: now, not after an hour
        begun = any(not isinstance(event, (Status, Setting)) for event in earlier)
        self.trainer = self.make_trainer(config, dataset, begun and bool(self.run.checkpoint_paths()))
        step, notes = self.restore(begun)
        self.machine = self.machine or self.in_use()
        self.telling.trainer = self.trainer  # not before: it stood at step 0
        self.switching = Switching(self.trainer)
        self.schedule = samples.Schedule(config.train.sample_every, self.trainer.epoch)
        notes = [f"{unreadable} damaged lines of events.jsonl are passed over."] * bool(unreadable) + notes
        self.tell("running", " ".join([*notes, self.machine]), resumed_from_step=step,
                  then=self.changes_after(step, earlier) if step is not None else ())
        counting = self.run.events()
        self.telling.remember(counting)
        if self.saved is not None:
            self.take_up(counting)

    def make_trainer(self, config: RunConfig, dataset: Dataset, goes_on: bool) -> Trainer:
        """The trainer; for a run that only begins, with what the machine is best at, or what its twin began with. The batch size
        that is chosen stands in `config.json` from then on, the rest in checkpoints: a run chooses once."""
        if config.train.gradient_checkpointing:
            self.sparing = True
            memory.spare(True)
        if goes_on:
            return Trainer(config, dataset)
        choice = chosen.kept(self.run, config.train) or choose(config, dataset)
        chosen.keep(self.run, choice)
        if choice.threads is not None:
            compute_with(choice.threads)
        if config.train.batch_size is None:
            batch = {"train.batch_size": choice.batch_size}
            self.run.write_config(self.run.config().replace(batch))
            config = config.replace(batch)
        self.machine = choice.words
        return Trainer(config, dataset, precision=choice.precision)

    def in_use(self) -> str:
        """What a run that goes on uses of this machine."""
        device, threads = self.trainer.device, torch.get_num_threads()
        return in_words(device, threads if device == "cpu" else None, self.trainer.precision, self.trainer.batches.batch_size)

    def restore(self, begun: bool) -> tuple[int | None, list[str]]:
        """Brings the trainer to the last checkpoint, if there is one: (the step it resumes from; -1 if it begins again, None
        if it only begins now, what to say of that). `begun`: the run has trained before."""
        parent, restored = self.run.parent(), checkpoint.restore(self.run, self.trainer)
        if parent is not None and restored is None:
            raise RunError(f"The weights of run {parent['run']} that this run was to begin with are missing: fork it again.")
        if parent is not None and not begun:
            memory = "goes on with what it remembers" if self.trainer.optimizer.state else "starts afresh"
            return None, [f"Begins with the weights of run {parent['run']} at step {parent['step']:,}; the optimizer {memory}."]
        if restored is None:
            return (-1, ["Begun again: it was cut off before its first checkpoint."]) if begun else (None, [])
        step, problem = restored
        self.saved = Checkpoint(step=step, time_seconds=0.0, path=f"checkpoints/step_{step:08d}", kept_as=["last"])
        self.saved_evaluation = self.trainer.evaluated_step
        return step, [problem] * bool(problem) + [f"Resumed from step {step:,}."]

    def changes_after(self, step: int, events: list[Event]) -> list[Setting]:
        """The settings that were changed after the step a run resumes from, to be noted down as changed there: what somebody
        asked for must not be lost because the run was cut before that was saved."""
        changes = live_changes(event for event in events if event.step > step)
        known = self.run.config().replace(live_changes(event for event in events if event.step <= step))
        return [Setting(step=self.trainer.step, time_seconds=self.trainer.clock.time_seconds, changes=changes,
                        before={name: value_of(known, name) for name in changes})] if changes else []

    def take_up(self, events: list[Event]) -> None:
        """After a resume: what was known, and the samples that were cut off or never begun."""
        latest = {event.sample_id: event for event in events if isinstance(event, Sample)}
        step, every = self.trainer.step, self.trainer.config.train.sample_every
        self.record([dataclasses.replace(event, done=True) for event in latest.values()
                     if not event.done and event.step < step])
        here = {event.sample_id: event.done for event in latest.values() if event.step == step}
        if here or step == 0 or (every and step % every == 0):
            self.sample(skip={sample_id for sample_id, done in here.items() if done})

    def train(self) -> None:
        """The updates, and what is due between them, until the end or until told to stop."""
        if self.stopping:  # already, in a sample that was taken up: an update more would leave it cut for good
            return
        for events in self.trainer.run(self.halts):
            self.record(events)
            evaluated = any(isinstance(event, Evaluation) for event in events)
            if evaluated:
                memory.give_back()
            if not self.trainer.diverged:
                if self.save_is_due(evaluated):
                    self.save()
                if self.schedule.is_due(self.trainer.step, self.trainer.epoch):
                    self.sample()
                self.attend()
            if self.stopping:
                break
            if sentence := self.switching.poll(fetched=bool(events)):
                self.machine += f" {sentence}"
                self.tell("running", self.machine)
            self.telling.keep_pace()
        self.switching.close()
        self.record(self.trainer.flush())

    def end(self) -> str:
        """Saves what there is and says how it ended."""
        trainer = self.trainer
        if trainer.diverged:
            return self.tell("failed", f"{trainer.finish_reason} {self.telling.kept(self.saved)}".rstrip())
        self.save()
        if not self.stopping and self.schedule.last_step != trainer.step:
            self.sample()
        if self.stopping:  # also while the last samples are written: going on writes them whole
            return self.tell("stopped", self.telling.kept(self.saved))
        return self.tell("finished", f"{trainer.finish_reason.rstrip('.')}. {self.telling.kept(self.saved)}")

    def fail(self, error: Exception) -> str:
        """One plain sentence in the status, the rest in traceback.txt. The run can be resumed."""
        reason = _plain(error)
        with if_possible("write traceback.txt"):
            self.run.traceback_path.write_text(traceback.format_exc(), encoding="utf-8")
        try:
            return self.tell("failed", reason)
        except (OSError, RunError) as second:  # most likely a full disk: then the run will show as interrupted
            logger.error("Run %s failed, and this could not be noted down (%s): %s", self.run.id, second, reason)
            return "failed"

    # what happens between updates

    def halts(self) -> bool:
        """Takes note of the commands there are; whether one of them is to stop or to pause. Cheap."""
        for command in self.control.commands():
            match command["command"]:
                case "stop": self.stopping = True
                case "pause": self.pausing = True
                case "resume": self.pausing = False
                case "sample": self.sample_asked = True
                case "checkpoint": self.checkpoint_asked = True
                case "set": self.changes_asked.append(command.get("changes"))
        self.stopping = self.stopping or self.should_stop()
        return self.stopping or self.pausing

    def attend(self) -> bool:
        """Obeys the commands there are; waits while paused. Returns whether to stop."""
        self.halts()
        while self.changes_asked:
            self.change(self.changes_asked.pop(0))
        if self.checkpoint_asked:
            self.checkpoint_asked = False
            self.save(asked=True)
        if self.sample_asked and not self.sampling:
            self.sample_asked = False
            self.sample()
        if self.pausing and not self.paused and not self.stopping:
            self.pause()
        return self.stopping

    def pause(self) -> None:
        """Saves, stands still, and goes on when told to. Commands are obeyed meanwhile."""
        self.trainer.clock.pause()
        self.switching.stand_still()
        self.save()
        self.tell("paused", f"Paused at step {self.trainer.step:,}.")
        self.paused = True
        while self.pausing and not self.stopping:
            time.sleep(PAUSE_SECONDS)
            self.attend()
            self.telling.write_status_if_due()
        self.paused = self.pausing = False
        if not self.stopping:
            self.tell("running", self.machine)
        self.trainer.clock.resume()

    def change(self, changes: dict) -> None:
        """Other settings from here on, and a checkpoint, so that a run that is cut later resumes from no earlier step. (One
        that does, because it was cut in this very moment, makes the change where it resumes.)"""
        self.record(self.trainer.flush())
        trainer, before = self.trainer, self.trainer.config
        if trainer.diverged:
            return
        try:
            if not isinstance(changes, dict) or not changes or not changes.keys() <= set(LIVE):
                raise ConfigError([f"only {', '.join(LIVE)} can change while a run goes on."])
            trainer.change(changes)
        except ConfigError as error:  # `steering` has looked before, but anybody can write a line, and two can cross
            self.tell(self.telling.state, f"Nothing was changed: {' '.join(error.problems)}")
            return
        self.schedule.every_steps = trainer.config.train.sample_every
        self.record([Setting(step=trainer.step, time_seconds=trainer.clock.time_seconds,
                             changes={name: value_of(trainer.config, name) for name in changes},
                             before={name: value_of(before, name) for name in changes})])
        self.telling.log.sync()
        self.save()

    def sample(self, skip: Set[str] = frozenset()) -> None:
        """Writes a sample of every prompt, but for the ids in `skip`."""
        self.record(self.trainer.flush())
        if self.trainer.diverged:
            return
        self.sampling, settings, step = True, self.trainer.config.sample, self.trainer.step
        for index, prompt in enumerate(self.prompts):
            if samples.sample_id(step, index) not in skip and not self.attend():
                for event in samples.write_sample(self.trainer, prompt, index, settings, self.attend):
                    self.record([event])
        self.sampling = False
        self.schedule.sampled(step, self.trainer.epoch)

    def save_is_due(self, evaluated: bool) -> bool:
        """The best always; else every so many steps, or at evaluations as long as saving takes little of the time."""
        every = self.trainer.config.train.checkpoint_every
        if evaluated and self.trainer.best_step == self.trainer.step:
            return True
        if every is not None:
            return self.trainer.step % every == 0
        return evaluated and time.monotonic() - self.saved_at >= SAVING_SHARE * self.saving_seconds

    def save(self, asked: bool = False) -> None:
        """A checkpoint of this step, unless there is one; an `asked` one is answered by an event in any case."""
        self.record(self.trainer.flush())
        trainer = self.trainer
        if trainer.diverged:
            return
        if self.saved is not None and (self.saved.step, self.saved_evaluation) == (trainer.step, trainer.evaluated_step):
            if asked:
                self.record([dataclasses.replace(self.saved, time_seconds=trainer.clock.time_seconds)])
            return
        self.telling.log.sync()  # a checkpoint never knows more than the events
        started = time.monotonic()
        kept_as = ["best", "last"] if trainer.best_step == trainer.step else ["last"]
        val_loss = self.telling.val_loss if trainer.evaluated_step == trainer.step else None
        self.saved = checkpoint.save(self.run, trainer, kept_as, val_loss=val_loss)
        self.saved_evaluation = trainer.evaluated_step
        self.record([self.saved])
        with if_possible("drop older checkpoints"):
            checkpoint.tidy(self.run, trainer.config.train.keep_checkpoints)
        self.saved_at = time.monotonic()
        self.saving_seconds = self.saved_at - started


def _open_checked(run_dir: RunDir, dataset_dir: Path | None) -> Dataset:
    """The very data the run was made with. Raises DataError where it is missing or another."""
    dataset = open_dataset(dataset_dir or find_dataset(run_dir.path.parent.parent / "datasets", run_dir))
    if dataset.hash != run_dir.manifest()["hash"]:
        raise DataError(f"The data set '{dataset.name}' is not the one that run {run_dir.id} was made with: prepare that "
                        "one again with the same settings, then resume.")
    return dataset


def _plain(error: Exception) -> str:
    """An error as one sentence for who started the run."""
    if isinstance(error, (ValueError, TrainingError)):
        return str(error)
    first_line = f"{type(error).__name__}: {error}".splitlines()[0]
    if "CUDA error" in str(error) or isinstance(error, torch.AcceleratorError):
        return f"The GPU reported an error ({first_line}). Restart GPT Lab, then resume this run."
    return (f"Training ended by an unexpected error ({first_line}). The details are in traceback.txt in the run's folder; "
            "resume goes on from the last checkpoint.")
