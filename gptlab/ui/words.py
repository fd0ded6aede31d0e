"""Every sentence and label the page shows, one section a tab."""

from __future__ import annotations

# ---- the page --------------------------------------------------------------------------------------------------------

TITLE = "GPT Lab"
TABS = {"data": "Data", "model": "Model", "train": "Train", "playground": "Playground", "runs": "Runs"}
STEPS = "Steps to a trained model"
STEP_TITLES = {"data": "Choose what to learn from", "model": "Choose what learns, and how", "train": "Train and watch"}
NOT_CHOSEN = "none yet"
NO_DATA = "No data yet: choose a text on the Data tab."
TRY_AGAIN = "That did not work"
UNEXPECTED = ("Something went wrong inside GPT Lab; nothing you made is lost. The details stand in the terminal window "
              "that started the app.")
PREPARING = "preparing {share} %"

# ---- Data ------------------------------------------------------------------------------------------------------------

SOURCE = "What shall it learn from?"
OWN_FILE = "Your own file"
OWN_FILE_HELP = "Plain text or Markdown is one long text; in a CSV or JSON-lines file every row is a document. Saved as UTF-8."
UPLOAD = "Your own text: .txt .md .csv .jsonl"
NO_FILE = "Choose a file first: drop it on the field above."
TOKENIZERS = {"char": "Characters", "byte": "Bytes", "bpe": "Pieces of words (BPE)"}
KINDS = {"char": "characters", "byte": "bytes", "bpe": "pieces of words", "file": "a tokenizer of its own"}
TOKENIZER_HELP = "What a token is: one character, one byte, or a frequent piece of text learnt from the data."
DATA_NAME = "Name"
DATA_NAME_HELP = "What the prepared data set is called. Letters, digits, - and _."
DATA_MORE = "More about the data"
PREPARE = "Prepare"
CANCEL = "Cancel"
PREPARED = "Prepared data sets"
NOTHING_PREPARED = "None yet. Choose a text above and press Prepare."
USE = "Use"
IN_USE = "In use ✓"
ABOUT = "about"
PREVIEW = "What the text looks like"
FIRST_DOCUMENTS = "How it begins"
FIRST_PART = "Only its first {} MB were read for this; Prepare reads it all."
PREPARING_NOW = "{name}: {doing} …"
READY = "{} is ready. Next: press Train in the line above."


def plural(noun: str, count: int) -> str:
    """ "document" or "documents"."""
    return noun if count == 1 else noun + "s"


def text_size(small: bool) -> str:
    """What a text's size means for training."""
    if small:
        return "Small: expect memorising. The best checkpoint, not the last, will be the one to keep."
    return "Large enough for a small model to learn from rather than by heart."


def first_tokens(vocabulary: int, at_least: bool = False) -> str:
    """The heading above coloured tokens."""
    return f"Its first tokens, each in a colour (vocabulary: {'at least ' * at_least}{vocabulary:,})"


def prepared_facts(manifest: dict, short_count) -> str:
    """A prepared data set in one line."""
    return (f"{manifest['documents']:,} {plural('document', manifest['documents'])}, "
            f"{short_count(manifest['train_tokens'])} tokens to learn from, {short_count(manifest['val_tokens'])} held out, "
            f"vocabulary {manifest['vocab_size']:,} ({KINDS[manifest['tokenizer']]})")


# ---- Model -----------------------------------------------------------------------------------------------------------

PRESET = "Preset"
MODEL_GROUP = ("Model", "More about the model")
TRAIN_GROUP = ("Training", "More about training")
SAMPLE_GROUP = "Sample texts while training"
NEEDS_GPU = " · needs a GPU"
EXPECT_HERE = "Here"
GOES_WITH = "Goes with"
USE_PRESET_DATA = "Use this preset's own data: {}"
UNDO = "Undo"
RESET = "Reset to preset"
TO_TRAIN = "On to training"
COMMAND = "Copy as command"
PARTS = {"token_embedding": "Token table", "position_embedding": "Positions", "attention": "Attention", "mlp": "MLP",
         "norms": "Norms", "output": "Output"}
MEMORY_PARTS = {"weights": "weights", "gradients": "gradients", "optimizer": "optimizer", "activations": "activations"}
PARAMETERS = "parameters"
MEMORY = "Memory to train"
TOKENS_A_PARAMETER = "Tokens a parameter"
READS = "Reads the text"
NO_DATA_YET = "Known once there is data."
FACTS = "What these settings make"
NO_LIMIT = "until a limit in minutes"


def changes_count(count: int) -> str:
    """How far the settings are from the preset's."""
    return "As the preset says." if count == 0 else f"{count} setting{'s' * (count > 1)} changed."


def needs_gpu_here(seconds: float) -> str:
    """What a preset for GPUs would take on this machine."""
    return f"needs a GPU, about {duration(seconds)} here."


def enough_text(tokens_a_parameter: float) -> str:
    """Whether the data is much or little for a model, in a plain sentence (20 is the usual rule for large models)."""
    if tokens_a_parameter < 1:
        return "Little text for so large a model: it can learn it by heart. Fewer parameters or some dropout help."
    if tokens_a_parameter < 20:
        return "Enough to learn from; reading it several times still pays."
    return "Plenty of text: a larger model could learn more from it."



# ---- Train -----------------------------------------------------------------------------------------------------------

START = "Start training"
PAUSE = "Pause"
RESUME = "Resume"
STOP = "Stop"
WRITE_WITH_IT = "Write with it"
RUN_NAME = "Name of the run"
PREPARING_FIRST = "The data set is still being prepared; training can start in a moment."
QUEUED = "{name} waits: it starts when {training} is done."
STOPPING = "Stopping {name}: it finishes its step and saves itself."
NOTHING_TO_STOP = "Nothing is training."
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
    "reset_zoom": "Show all", "copy": "Copy as command", "copied": "Copied", "of": "of {total}", "left": "left",
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
    "waiting": "Waiting to train:", "training_now": "Training now:",
    "lost": "No answer from GPT Lab. Is the app still running? This page goes on by itself once it answers.",
    "states": {"none": "Ready", "queued": "Waiting", "running": "Training", "paused": "Paused", "finished": "Finished",
               "stopped": "Stopped", "failed": "Failed", "interrupted": "Interrupted", "damaged": "Damaged"},
    "units": {"char": {"units": "characters", "learnt": "which letters go together"},
              "byte": {"units": "bytes", "learnt": "which letters go together"},
              "bpe": {"units": "pieces of words", "learnt": "which pieces make words"},
              "file": {"units": "pieces of words", "learnt": "which pieces make words"}},
    "lines": {"train": "train", "smooth": "train, smoothed", "val": "unseen text (val)", "best": "best"},
    "references": {"uniform": "pure guessing", "unigram": "counting {units}", "bigram": "counting pairs",
                   "entropy_floor": "best possible"},
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
        "gap": "Far better on text it has seen than on unseen (gap {gap}): beginning to learn it by heart.",
        "last_samples": "All steps are done: writing its last samples.",
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
    ],
    "small": [
        {"name": "perplexity", "label": "Perplexity", "help": "e to the power of the loss on unseen text: among how many "
         "equally likely tokens it picks. Drawn on a log scale."},
        {"name": "bits", "label": "Bits per byte", "help": "The loss on unseen text for each byte of it, in bits. It compares "
         "models that cut text into different tokens; the loss does not."},
        {"name": "gap", "label": "Gap", "help": "How much higher the loss is on unseen text than on text it trains on. "
         "Growing: it learns by heart."},
        {"name": "learning_rate", "label": "Learning rate", "help": "How large the nudges are: rising at first, then "
         "falling, as the schedule says."},
        {"name": "grad_norm", "label": "Gradient norm", "help": "How strongly a batch pulls at the weights, before "
         "clipping. Spikes mean trouble, or a learning rate that is too high."},
        {"name": "speed", "label": "Speed", "help": "Tokens it trains on in a second; a dip means something else wanted "
         "the machine."},
    ],
}


def settings_said(changes: dict) -> str:
    """Settings by their labels, with their values: "learning rate 0.0003, dropout 0.2"."""
    def value(one) -> str:
        if isinstance(one, float):
            return f"{one:.12f}".rstrip("0").rstrip(".") if abs(one) < 1 else f"{one:g}"
        return "none" if one is None else f"{one:,}" if type(one) is int else str(one)

    return ", ".join(f"{label.lower()} {value(one)}" for label, one in changes.items())


def name_hint(default: str) -> str:
    """What stands in the empty field for a run's name."""
    return f"Name it: {default}"


def parameters(count: int) -> str:
    """A model's size as a person says it."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word} parameters"
    return f"{count} parameters"


def next_run(dataset: str, preset: str, changed: int, seconds: float | None, expected: str) -> str:
    """What Start training would start."""
    settings = f", {changed} {plural('setting', changed)} changed" if changed else ""
    if seconds is None:
        return f"Next: {dataset} · {preset}{settings}. {expected}".strip()
    return f"Next: {dataset} · {preset}{settings} · about {duration(seconds)} here."


def next_blocked(problem: str) -> str:
    """Why Start training would refuse."""
    return f"Cannot start yet: {problem}"


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:,.0f} days"


# ---- Playground ------------------------------------------------------------------------------------------------------

PROMPT = "Beginning"
PROMPT_HELP = "The model goes on from here. Empty: it begins by itself."
GENERATE = "Generate"
RUN = "Run"
RUN_HELP = "Which trained model writes."
CHECKPOINT = "Checkpoint"
CHECKPOINT_HELP = "From which moment of its training: the best on unseen text, the last, or an earlier one to compare."
GREEDY_NOTE = "Greedy: it always takes the likeliest token, so temperature, top-k, top-p and seed change nothing."
ZERO_NOTE = "Temperature 0: it always takes the likeliest token, so top-k, top-p and seed change nothing."
NOTHING_TO_WRITE_WITH = ("### Nothing to write with yet\n\nTrain a model first: on the Train tab, press Start training. "
                         "A first one takes about a minute and a half, and you can come here while it still learns.")
TO_TRAINING = "Go to training"
NO_SUCH_RUN = "That run is not there any more: choose another one."
PROMPT_CUT = "Of the long beginning, only the last {:,} characters were read."
BLANK = "What the model writes appears here."
ENDINGS = {"end": "It ended by itself.", "length": "It reached the length you set.", "stopped": "Stopped.", "": "Writing …"}


def checkpoint_label(kind: str, step: int, val_loss: float | None) -> str:
    """How a checkpoint is listed."""
    measured = "" if val_loss is None else f", val {val_loss:.3f}"
    return {"best": f"Best: step {step:,}{measured}", "last": f"Last: step {step:,}{measured}",
            "step": f"Step {step:,}{measured}"}[kind]


def run_label(run_id: str, name: str) -> str:
    """How a run is listed: its name, and from its id the day and time it was made."""
    return f"{name} · {run_id[4:6]}-{run_id[6:8]} {run_id[9:11]}:{run_id[11:13]}"


def written_note(so_far) -> str:
    """How a text came to its end, or that it is still growing."""
    if not so_far.ending:
        return ENDINGS[""]
    return f"{ENDINGS[so_far.ending]} {so_far.tokens:,} {plural('token', so_far.tokens)} in {so_far.seconds:.1f} s."


# ---- Runs ------------------------------------------------------------------------------------------------------------

RUNS = {
    "columns": ["Run", "State", "Data", "Best loss on unseen text", "Steps", "Time", ""],
    "empty": "No runs yet. Press Start training on the Train tab; every run is kept here.",
    "trash": "Trash", "open": "Open", "resume": "Resume", "download": "Download", "delete": "Delete", "restore": "Restore",
    "compare": "Compare", "tick": "Compare", "tally": [
        "Tick {fewest} to {most} runs to see them side by side.", "One is ticked: tick another one.", "{n} runs are ticked.",
        "{n} runs are ticked, and at most {most} can be compared: untick some."],
    "more": "More", "files": {"report": "Report (one HTML file)", "steps": "Numbers of every step (CSV)",
                              "evaluations": "Losses on unseen text (CSV)", "bundle": "Bundle: run and data set (zip)"},
    "states": LIVE["states"],
}
IMPORT_RUN = "Add a run or bundle (.zip)"
DELETED = "{name} is in the trash below; Restore brings it back."
RESTORED = "{name} is back."
FORKED = "from {name} at step {step:,}"
ADDING = "Adding {file} …"
IMPORTED = "{name} was added."
IMPORTED_BUNDLE = "{name} was added, and its data set as {dataset}."
IMPORTED_SHARED = "{name} was added. Its data set was here already: {dataset}."
DAMAGED = "{file} is damaged. Restore it, or delete the run."
NO_SUCH_FILE = "That file is not made here: reload the page."
FILES = {  # of runs: what is said while each is made, and when it is there
    "download": ("Packing {name} into one zip …",
                 "{name} is being downloaded as one zip ({size}). It opens on any machine with GPT Lab."),
    "bundle": ("Packing {name} and its data set into one zip …",
               "{name} and its data set are being downloaded as one zip ({size}). Any GPT Lab adds it, without a network."),
    "report": ("Writing the report on {name} …",
               "The report on {name} is being downloaded as one HTML file ({size}). Any browser shows it, without a network."),
    "steps": ("Writing the numbers of {name} …",
              "The numbers of {name} are being downloaded as CSV, one row a step ({size})."),
    "evaluations": ("Writing the losses of {name} …",
                    "The losses of {name} on unseen text are being downloaded as CSV, one row an evaluation ({size})."),
}


COMPARE = {
    "reading": "Reading the runs …", "title": "Compared", "report": "Report (one HTML file)", "close": "Close",
    "results": "At their best", "curves": "Curves", "differ": "What differs", "written": "What they write",
    "columns": ["Run", "Loss (val)", "Perplexity", "Bits per byte", "At step", "Steps", "Parameters", "Data"],
    "show": "Show", "over": "over", "whole": "Show all", "chart": "Curves of the runs; the table above holds their best numbers.",
    "quantities": {"loss": "loss", "bits": "bits per byte"},
    "over_axes": {"step": "steps", "tokens": "tokens", "time_seconds": "time", "flops": "FLOPs"},
    "heights": {"loss": "loss (nats a token)", "bits": "bits per byte of unseen text"},
    "times": ["hours of work", "minutes of work", "seconds of work"],
    "legends": {"loss": "Dashed: loss on unseen text (val). Thin: loss on the text it trains on, smoothed.",
                "bits": "Dashed: bits per byte of unseen text. It compares across tokenizers."},
    "setting": "Setting", "alike": "Nothing: all settings are alike.",
    "prompt": "After the beginning", "nothing": "(nothing)", "at": "at step {step}", "never": "It was not given this beginning.",
    "unasked": "They were given no beginning in common.",
}


def runs_left_out(shown: int, runs: int, deleted: int) -> str:
    """That not all are listed, if so."""
    parts = [f"{total:,} {what}" for total, what in ((runs, "runs"), (deleted, "in the trash")) if total > shown]
    return f"Listed are the newest {shown} of {' and of '.join(parts)}; the others are kept all the same." if parts else ""
