"""The sentences and labels of the Train tab: its buttons and their answers, and the live view, which reads LIVE in the browser."""

from __future__ import annotations

from gptlab.ui.words import STATES, duration, plural

START = "Start training"
PAUSE = "Pause"
RESUME = "Resume"
STOP = "Stop"
WRITE_WITH_IT = "Write with it"
RUN_NAME = "Name of the run"
PREPARING_FIRST = "The data set is still being prepared; training can start in a moment."
QUEUED = "{name} waits: it starts when {training} is done."
QUEUED_BEHIND = "{name} waits its turn behind {others}, in the list below."
STOPPING = "Stopping {name}: it finishes its step and saves itself."
NOTHING_TO_STOP = "Nothing is training."
ENDED_ALREADY = "{name} neither trains nor waits any more."
TAKEN_BACK = "{name} no longer waits."
NOTHING_TO_PAUSE = "Nothing is training, so there is nothing to pause."
NEVER_STARTED = "It was still waiting when GPT Lab ended. Resume starts it."
NOTHING_TO_RESUME = "Choose a run first: there is none to go on with."
NOTHING_TO_SAMPLE = "Nothing is training, so there is nobody to write a text."
NOT_A_REMEDY = "That cannot be done to this run (any more)."
CHANGED_NOW = "{name} goes on with {changes}."
GOES_BACK = "{name} goes back to its best checkpoint and trains on from there."
FORK_BEGINS = "{name} goes on from there with {changes}."
EXTENDED = "{name} trains on: {changes}."
FROM_THE_DOCTOR = "Advice"
AS_BEFORE = "Settings of {name}"
SAME_SETTINGS = "the same settings"
FOR_NEXT_RUN = "Set for the next run: {changes}. Press Start training when you are ready."
PREPARE_AGAIN = "Mend the text here, then prepare it again under another name."
PREPARE_WITH = "Prepare it again with {changes}, under another name."

LIVE = {  # what the live view says; it reads these in the browser. {names} are filled in there
    "region": "The run on view", "progress": "How much of the run is done", "chart": "Loss over training steps",
    "loss": "Loss", "over": "over", "logarithmic": "log scale",
    "axes": {"step": "training steps", "tokens": "tokens read", "epoch": "epochs", "time": "seconds of work"},
    "axis_choices": [{"name": "step", "label": "steps"}, {"name": "tokens", "label": "tokens"},
                     {"name": "epoch", "label": "epochs"}, {"name": "time", "label": "time"}],
    "machine": "Processor {cpu} % · memory {used} of {total} GB",
    "gpu": "GPU {percent} %, {used} of {total} GB, {celsius} °C",
    "watch": "Show it large", "watch_open": "Open the large view",
    "watch_help": "Chart, sentence and text without controls: for a projector, or for the phones in a room.",
    "watch_code": "A code for phones: it opens the large view",
    "samples": "What it writes", "epochs": "Epoch by epoch",
    "no_samples": "Texts the model writes appear here while it learns: noise at first, words soon.",
    "no_epochs": "One row for each time its loss on unseen text is measured.",
    "columns": ["Epoch", "Step", "Train", "Unseen (val)", "Gap", "What it wrote"],
    "reset_zoom": "Show all", "copy": "Copy as command", "copied": "Copied", "of": "of {total}", "seen": "{tokens} tokens seen", "left": "left",
    "worked": "so far", "in_all": "in all",
    "sample_now": "Sample now", "sample_prompt": "Beginning", "sample_slider": "Sample",
    "sample_shade": "Shade what the model found unlikely",
    "sample_keys": "What it wrote. Right and left arrow: from token to token, with the probability of each.",
    "token_told": "{token}: {percent} %", "token_hint": "Tap or point at a piece: how likely was it?",
    "token_names": {" ": "space", "\n": "new line", "\n\n": "empty line", "\t": "tab"},
    "copy_csv": "Copy as CSV", "copy_refused": "This browser did not let it be copied",
    "csv_columns": ["epoch", "step", "train", "val", "gap", "sample"],
    "copied_word": "Underlined", "copied_note": "stands word for word in the training text.",
    "copied_share": " ({percent} % of it stands in the training text)",
    "alerts": "What to look at", "alert_at": "at step {step}", "why": "Why?", "dismiss": "Dismiss",
    "severities": {"info": "Note", "warning": "Warning", "error": "Problem"},
    "remedies": {"stop": "Stop it now", "new": "Next run: {changes}", "prepare": "Go to the data",
                 "set": "Set {changes} now", "lower": "Lower the learning rate to {value} now",
                 "raise": "Raise the learning rate to {value} now", "restore_best": "Go back to step {step}, the best",
                 "fork": "New run from {from}: {changes}", "fork_as_is": "New run from {from}",
                 "extend": "Train on: {changes}"},
    "last_checkpoint": "the last checkpoint", "of_step": "step {step}", "no_value": "none",
    "per_second": "tokens a second", "sample_at": "Step {step} · epoch {epoch}", "best_row": "The best on unseen text",
    "lost": "No answer from GPT Lab. Is the app still running? This page goes on by itself once it answers.",
    "states": STATES,
    "units": {"char": {"units": "characters", "learnt": "which letters go together"},
              "byte": {"units": "bytes", "learnt": "which letters go together"},
              "bpe": {"units": "pieces of words", "learnt": "which pieces make words"},
              "file": {"units": "pieces of words", "learnt": "which pieces make words"}},
    "ends": {"smooth": "train", "val": "unseen"},
    "lines": {"train": "train", "smooth": "train, smoothed", "val": "unseen text (val)", "best": "best"},
    "references": {"uniform": "pure guessing", "unigram": "counting {units}", "bigram": "counting pairs",
                   "xz": "compressing (xz)", "entropy_floor": "best possible"},
    "captions": {
        "empty": "Press Start training: the loss begins near pure guessing, and falls as the model learns.",
        "before": "About to measure what it knows before any training.",
        "broken": "The loss is not a number any more: training has gone wrong.",
        "guessing": "Nothing learnt yet: it is guessing.",
        "hardly": "Still close to pure guessing.",
        "single": "Has learnt which {units} are common; not yet which follow which.",
        "pairs": "Has learnt {learnt}; now beats counting pairs.",
        "closer": "Has learnt {learnt}; now beats counting pairs: {share} % of the way to the best possible.",
        "close": "Nearly as good as can be: {share} % of the way from pure guessing to the best possible.",
        "sees": "It sees the answer: each token looks at the one it is to predict, so this loss says nothing about learning.",
        "impossible": "Below the best possible, which nothing reaches without having seen the answers: this loss says nothing.",
        "gap": "Far better on text it has seen than on unseen (gap {gap}): beginning to learn it by heart.",
        "last_samples": "All steps are done: writing its last samples.",
        "lost": "Has lost what it had learnt: it was best at step {step}.",
        "memorising": "Still improving on text it has seen, worse on unseen: memorising.",
    },
    "facts": [
        {"name": "step", "label": "Step", "help": "One step: look at a batch of text, then nudge every weight a little."},
        {"name": "epoch", "label": "Epoch", "help": "How many times the training text has been read from end to end."},
        {"name": "val", "label": "Loss on unseen text (val)", "help": "How surprised the model is by text it never trained on, "
         "in nats a token; lower is better. It tells learning from memorising."},
        {"name": "perplexity", "label": "As unsure as picking among", "help": "Perplexity: the loss as a number of equally "
         "likely choices. Pure guessing picks among the whole vocabulary; 1 would be certainty."},
        {"name": "speed", "label": "Speed", "help": "How much text it reads while training; measuring and saving left "
         "out."},
        {"name": "time", "label": "Time", "help": "How long the rest will take, as fast as it goes now; or how long the "
         "run has worked."},
    ],
    "legend": [
        {"name": "train", "label": "text it trains on (smoothed; faint: every step)", "help": "The loss on each batch "
         "before the model learns from it. It jumps because some batches are easier; the thick line evens that out."},
        {"name": "val", "label": "unseen text (val)", "help": "Measured now and then on text held out from training. "
         "When it turns up while the other falls, the model is memorising. The star marks the best."},
        {"name": "reference", "label": "what to beat", "help": "The same unseen text without a model: pure guessing takes every "
         "token for as likely as any other; counting knows how common each is in the training text, or which follows which; xz "
         "is the file compressor, shown nothing but the unseen text. Of stories and sums made here the best possible is known."},
    ],
    "small": [
        {"name": "perplexity", "label": "Perplexity", "help": "e to the power of the loss on unseen text: among how many "
         "equally likely tokens it picks. Drawn on a log scale."},
        {"name": "bits", "label": "Bits per byte", "help": "The loss on unseen text for each byte of it, in bits. It compares "
         "models that cut text into different tokens; the loss does not."},
        {"name": "learning_rate", "label": "Learning rate", "help": "How large the nudges are: rising at first, then "
         "falling, as the schedule says."},
        {"name": "gap", "label": "Gap", "help": "How much higher the loss is on unseen text than on text it trains on. "
         "Growing: it learns by heart."},
        {"name": "copied", "label": "Copied", "help": "How much of what it writes, in stretches of eight tokens, stands word "
         "for word in the training text. Growing: it learns by heart."},
        {"name": "grad_norm", "label": "Gradient norm", "help": "How strongly a batch pulls at the weights, before "
         "clipping. Spikes mean trouble, or a learning rate that is too high."},
        {"name": "speed", "label": "Speed", "help": "Tokens it trains on in a second; a dip means something else wanted "
         "the machine."},
    ],
}

EXPERTS = {  # how the experts of a run with experts share the work
    "title": "How the experts share the work", "when": "Measured at", "step": "Step {step}", "layer": "layer", "expert": "expert",
    "map": "Each layer's experts, and the share of the tokens' choices that went to each: in words beside it",
    "hover": "layer %{y}, expert %{x}: %{text} of the choices, %{z:.2f} times an even share",
    "summary": "An even share would be {even} %. The least goes to {least}, the most to {most}.",
    "place": "layer {layer} expert {expert} ({percent} %)",
    "range": "Layer {layer}: from {least_percent} % (expert {least}) to {most_percent} % (expert {most}).",
    "look_for": "Look for an expert that turns a full orange and stays so: next to no token is sent to it, so it learns nothing and "
                "only takes memory. An alert says so, too.",
    "not": "Do not read a larger share as a better expert, or a number as a subject: balancing evens the shares out, experts rarely "
           "stand for topics, and expert 1 of one layer has nothing to do with expert 1 of the next.",
}

REPLAY = {  # the run on view shown again as it went
    "button": "Replay", "state": "Replay", "bar": "Replay of the run", "play": "Play", "pause": "Pause", "speed": "Speed",
    "speeds": [{"name": speed, "label": f"{speed}×"} for speed in (1, 2, 5, 10, 20)], "time": "Time",
    "at": "{time} · step {step}", "end": "Back to the end",
}

NOTES = {  # the dialog in which a run is named and written on, and what the live view shows of it
    "title": "Notes on {name}", "whose": "This is {owner}'s run.", "button": "Notes",
    "expect_before": "What do you expect? Write it down before it trains", "expect": "What do you expect? Write it down",
    "predicted_line": "Predicted:", "saw_line": "Saw:",
    "name": "Name", "owner": "By", "tags": "Tags", "tags_help": "Up to eight, with commas between them.",
    "predicted": "I predicted", "predicted_help": "Before it trains: how low will the loss get? What will it write?",
    "saw": "I saw", "saw_help": "Afterwards: what came of it, and why?", "note": "Note",
    "save": "Save", "saving": "Saving …", "saved": "Saved.", "cancel": "Cancel",
    "unsaved": "This is not saved yet. Save keeps it; Escape once more throws it away.",
    "since": "Saved, but not what you changed since: Save keeps that too.",
    "unreachable": "GPT Lab does not answer, so nothing is saved. Is it still running? Try again.",
}
NOT_A_NOTE = "That cannot be written on a run: reload the page."

NOT_WAITING = "That run does not wait any more."
NOT_A_PLACE = "A run moves by one place at a time."
TAKEN_OUT = "{name} no longer waits. Resume lets it wait again: open it under Runs."
QUEUE = {  # what trains and what waits, read in the browser
    "title": "Waiting to train", "running": "Training now:", "paused": "Paused, so nothing behind it starts:",
    "left": "{time} left", "minute": "less than a minute", "by": "by {owner}", "you": "you",
    "starts": "starts in about {time}", "soon": "starts in less than a minute", "next": "starts next",
    "after": {"one": "after 1 other", "many": "after {n} others"},
    "up": "Up", "down": "Down", "out": "Take out",
    "up_named": "Up: {name}", "down_named": "Down: {name}", "out_named": "Take out: {name}",
    "moved": "{name} is now {place} of {n}.", "joined": "{name} waits: {place} of {n}.",
    "began": "{name} begins to train.", "gone": "{name} no longer waits.", "changed": "{n} runs wait now.",
    "waits": "It waits its turn: {place} of {n}.", "waits_next": "It waits its turn, and is the next.",
    "who": "Your runs carry the name {name}", "who_change": "Change",
    "who_ask": "Which name should your runs carry from now on?",
    "who_yes": "Use this name", "who_no": "Leave it",
}

STEER = {  # the panel that steers the run on view, also read in the browser; `will` is said by the server
    "title": "Do more with this run", "what": "What", "from": "From", "name": "Name of the new run", "setting": "Setting",
    "add": "Change one more", "remove": "Take this back", "now": "now {value}", "none": "Write “none” for {value}.",
    "yes": "yes", "no": "no", "weights_only": "weights only",
    "copy": LIVE["copy"], "copied": LIVE["copied"], "copy_refused": LIVE["copy_refused"],
    "nothing": "Nothing can be done with it just now.", "may": ["set", "stop", "extend", "rollback"],
    "actions": {"set": "Change settings", "sample": "Write a text now", "save": "Save a checkpoint now", "pause": "Pause",
                "resume": "Resume", "stop": "Stop", "extend": "Train longer", "fork": "New run from a checkpoint",
                "rollback": "Back to the best"},
    "do": {"set": "Change it", "sample": "Write a text now", "save": "Save now", "pause": "Pause it", "resume": "Resume it",
           "stop": "Stop it", "extend": "Train longer", "fork": "Start the new run", "rollback": "Go back to the best"},
    "which_setting": {"set": "Choose a setting and its new value.", "extend": "Choose what ends the run, and where that shall be."},
    "will": {"set": {"working": "From the next step on: {changes}. The chart marks where.",
                     "at_rest": "When it goes on: {changes}."},
             "sample": "It writes a text for each beginning, after the step it is at.",
             "save": "It saves itself after the step it is at: a checkpoint to write with, or to begin a new run from.",
             "pause": "It saves itself and stands still, ready to go on at once.",
             "resume": {"paused": "It goes on where it stands.", "at_rest": "It goes on from its last checkpoint."},
             "stop": {"working": "It finishes its step, saves itself and frees its memory. Resume goes on with it.",
                      "queued": "It no longer waits to train. Resume lets it wait again."},
             "fork": "The new run begins at step 0 with what {name} had learnt by step {step}; {about}.",
             "rollback": "It goes back to step {step}, the best (val {loss}); what came later is set aside. Resume then goes "
                         "on from there."},
    "from_to": "{label} from {before} to {after}",
}
STEERED = {"sample": "{name} writes after the step it is at.", "save": "{name} saves itself after the step it is at.",
           "pause": "{name} pauses after the step it is at.", "rollback": "{name} is back at its best. Resume goes on from there."}


def settings_said(changes: dict) -> str:
    """Settings by their labels, with their values: "learning rate 0.0003, dropout 0.2"."""
    return ", ".join(f"{label.lower()} {value_said(one)}" for label, one in changes.items())


def value_said(value) -> str:
    """A setting's value as people write it: 0.00003, 2,000, yes, none; texts one after the other."""
    if isinstance(value, (tuple, list)):
        return " · ".join(f"“{one}”" for one in value) or "none"
    if isinstance(value, float):
        return f"{value:.12f}".rstrip("0").rstrip(".") or "0" if abs(value) < 1 else f"{value:g}"
    if isinstance(value, bool):
        return STEER["yes"] if value else STEER["no"]
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def name_hint(default: str) -> str:
    """What stands in the empty field for a run's name."""
    return f"Name it: {default}"


def next_run(dataset: str, preset: str, changed: int, seconds: float | None, expected: str, uses: str) -> str:
    """What Start training would start; `uses` says with what of this machine, where that is known."""
    settings = f", {changed} {plural('setting', changed)} changed" if changed else ""
    if seconds is None:
        return f"Next: {dataset} · {preset}{settings}. {expected}".strip()
    return f"Next: {dataset} · {preset}{settings} · about {duration(seconds)} here. {uses}".rstrip()


def next_blocked(problem: str) -> str:
    """Why Start training would refuse."""
    return f"Cannot start yet: {problem}"
