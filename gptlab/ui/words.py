"""The sentences and labels of the page: its frame, Data, Model and Playground. Train's and Runs' stand in words_train.py and
words_runs.py; a name is used once in all of them."""

from __future__ import annotations

# ---- the page ---------------------------------------------------------------------------------------------------------

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
STATES = {"none": "Ready", "queued": "Waiting", "running": "Training", "paused": "Paused", "finished": "Finished",
          "stopped": "Stopped", "failed": "Failed", "interrupted": "Interrupted", "damaged": "Damaged"}

PEOPLE = {"who": "What is your name? It stands beside the runs you start, so that others know whose they are.",
          "who_yes": "That is me", "understood": "I see", "who_no": "Not now", "someone_elses": "This is {owner}'s run: {name}.",
          "may": {"stop": "Stop it all the same", "delete": "Delete it all the same",
                  "cancel": "Take it out of the queue all the same", "change": "Do it all the same"}, "may_no": "Leave it alone"}
NOT_YOURS = "This is {owner}'s run: {name}. Nothing was done to it; ask {owner}, or say that you are sure."


def plural(noun: str, count: int) -> str:
    """ "document" or "documents"."""
    return noun if count == 1 else noun + "s"


def parameters(count: int) -> str:
    """A model's size as a person says it."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word} parameters"
    return f"{count} parameters"


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:,.0f} days"


# ---- Data -------------------------------------------------------------------------------------------------------------

SOURCE = "What shall it learn from?"
OWN_FILE = "Your own files"
OWN_FILE_HELP = ("Text, code, HTML and PDF: one document a file. CSV, TSV, JSON, JSON lines and Parquet: one a row. All may be "
                 "packed (.gz).")
UPLOAD = "Your own texts, web pages, PDFs, tables or code"
NO_FILE = "Choose a file first: drop one or several on the field above."
TOKENIZERS = {"char": "Characters", "byte": "Bytes", "bpe": "Pieces of words (BPE)", "file": "A tokenizer.json"}
CHOOSE_TOKENIZER = "Choose the tokenizer.json under Compare tokenizers, further down, and press Use this one there."
KINDS = {"char": "characters", "byte": "bytes", "bpe": "pieces of words", "file": "a tokenizer of its own"}
TOKENIZER_HELP = "What a token is: one character, one byte, or a frequent piece of text learnt from the data."
DATA_NAME = "Name"
DATA_NAME_HELP = "What the prepared data set is called. Letters, digits, - and _."
DATA_MORE = "More about the data"
CLEANING = "Clean it first"
STEPS_OF_CLEANING = {
    "unicode": "Letters and spaces made alike", "gutenberg": "Project Gutenberg's header and licence",
    "markup": "HTML tags and addresses of links", "repeated-lines": "Lines that stand in many documents",
    "personal": "E-mail addresses, phone, card, bank and network numbers", "filters": "Documents too short or mostly symbols",
    "duplicates": "The same document twice", "near-duplicates": "Nearly the same document twice"}
CLEANED = "What cleaning would change"
CLEANED_NOTHING = "nothing to change"
NO_SUCH_DATA = "There is no data set '{}' any more: choose another."
NO_SUCH_MEND = "That cannot be done to this data set (any more): reload the page."
BEFORE = "Before"
AFTER = "After"
PREPARE = "Prepare"
CANCEL = "Cancel"
PREPARED = "Prepared data sets"
NOTHING_PREPARED = "None yet. Choose a text above and press Prepare."
USE = "Use"
IN_USE = "In use ✓"
ABOUT = "about"
PREVIEW = "What the text looks like"
FIRST_DOCUMENTS = "How it begins"
FIRST_PART = "Only its first {} million characters were read for this; Prepare reads it all."
READ_AS = "Read as {encoding}."
NO_ROOM = ("{size} do not fit on this machine's disk: {free} are free. Free some space, or choose a smaller file; on the command line "
           "a file is read from where it is.")
PREPARING_NOW = "{name}: {doing} …"
READY = "{} is ready. Next: press Train in the line above."


def text_size(small: bool) -> str:
    """What a text's size means for training."""
    if small:
        return "Small: expect memorising. The best checkpoint, not the last, will be the one to keep."
    return "Large enough for a small model to learn from rather than by heart."


def left_out(count: int, rough: bool) -> str:
    """That rows, pages or files could not be read."""
    verb = "is" if count == 1 else "are"
    return f"{'At least ' * rough}{count:,} {plural('part', count)} of it cannot be read and {verb} left out"


def new_settings(changes: dict) -> str:
    """Settings by their labels, and what they are to be."""
    def value(one) -> str:
        return ", ".join(STEPS_OF_CLEANING.get(step, step) for step in one) if isinstance(one, list) else str(one)

    return "; ".join(f"{label.lower()}: {value(one)}" for label, one in changes.items())


def prepare_again(changes: dict) -> str:
    """A button that prepares a text once more, otherwise."""
    return f"Prepare again with {new_settings(changes)}"


def cleaned_step(changed: int, left_out: int, share: float) -> str:
    """What a step of cleaning does, in counts of documents and the share of all characters that goes."""
    parts = [f"{count:,} {plural('document', count)} {what}" for count, what in ((changed, "changed"), (left_out, "left out"))
             if count]
    return f"{', '.join(parts)}, {100 * share:.2g} % of the text goes" if parts else CLEANED_NOTHING


def first_tokens(vocabulary: int, at_least: bool = False) -> str:
    """The heading above coloured tokens."""
    return f"Its first tokens, each in a colour (vocabulary: {'at least ' * at_least}{vocabulary:,})"


def prepared_facts(manifest: dict, short_count) -> str:
    """A prepared data set in one line."""
    return (f"{manifest['documents']:,} {plural('document', manifest['documents'])}, "
            f"{short_count(manifest['train_tokens'])} tokens to learn from, {short_count(manifest['val_tokens'])} held out, "
            f"vocabulary {manifest['vocab_size']:,} ({KINDS[manifest['tokenizer']]})")


# ---- Model ------------------------------------------------------------------------------------------------------------

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


# ---- Playground -------------------------------------------------------------------------------------------------------

PROMPT = "Beginning"
PROMPT_HELP = "The model goes on from here. Empty: it begins by itself."
GENERATE = "Generate"
RUN = "Run"
RUN_HELP = "Which trained model writes."
CHECKPOINT = "Checkpoint"
CHECKPOINT_HELP = "From which moment of its training: the best on unseen text, the last, or an earlier one to compare."
GREEDY_NOTE = "Greedy: it always takes the likeliest token, so temperature, top-k, top-p, min-p and seed change nothing."
ZERO_NOTE = "Temperature 0: it always takes the likeliest token, so top-k, top-p, min-p and seed change nothing."
NOTHING_TO_WRITE_WITH = ("### Nothing to write with yet\n\nTrain a model first: on the Train tab, press Start training. "
                         "A first one takes about a minute and a half, and you can come here while it still learns.")
TO_TRAINING = "Go to training"
NO_SUCH_RUN = "That run is not there any more: choose another one."
PROMPT_CUT = "Of the long beginning, only the last {:,} characters were read."
BLANK = "What the model writes appears here."
OTHER_TOKENS = "That text was written by another model: press Generate to begin anew."
ALTERNATIVES = {
    "blank": BLANK, "hint": "Point at a piece of the text, or tap it: what else could have stood there?",
    "keys": "What was written, token by token: arrow keys go through it, Enter goes to what else could have stood there, where "
            "arrow keys choose and Escape goes back.",
    "title": "Instead of {token}:", "names": {" ": "space", "\n": "new line", "\n\n": "empty line", "\t": "tab", "": "end of text"},
    "go_on": "{token}, {percent} %: go on from here with this one", "taken": "{token}, {percent} %: the one that was drawn",
    "share": "{percent} %", "first": "First text", "branch": "{number}: {token} instead of {other}",
    "branches": "Texts so far: go back to one"}
NEXT_TITLE = "What could come next"
KEPT_TOKENS = "With these settings, {kept} of {all} tokens can come next: the model gives them {share} % together."
NEXT_KEY = "Pale: how likely the model finds a token. Full: how likely it is drawn with these settings."
NEXT_CUT = "cut"
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
