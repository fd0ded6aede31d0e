"""A folder that Hugging Face's transformers opens: the model, its tokenizer, how it writes, and a card that tells of it.

Written without transformers; where that is installed, it opens the folder and must come to the same ids and logits.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from gptlab.data.tokenizers import Tokenizer
from gptlab.exchange.export import Exported, ExportError, Progress, Source
from gptlab.exchange.families import Family, family_of
from gptlab.exchange.hugging_face_card import card
from gptlab.exchange.hugging_face_curve import curve
from gptlab.exchange.hugging_face_weights import model_settings, weights_of
from gptlab.runs.history import read_history

PICTURE = "loss.svg"
TOLERANCE = 1e-4           # between logits: what adding up in another order comes to, and much less than a wrong weight;
RELATIVE_TOLERANCE = 1e-5  # of the largest one, where that is more
NOT_INSTALLED = ("transformers is not installed here, so nothing was compared: install it (pip install transformers) and export "
                 "again to have that done.")


def write(source: Source, folder: Path, progress: Progress) -> Exported:
    """Fill `folder`, and compare. Raises NoFamily, and ExportError where transformers comes to something else."""
    family = family_of(source.config.model)
    progress(0.1, "Writing the folder")
    try:
        save_file(weights_of(source.model, family), folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as problem:  # its way to say "disk full" carries no errno
        raise ExportError(f"The disk did not take the weights ({problem}). Free some space, then export again.") from problem
    (folder / "tokenizer.json").write_text(tokenizer_file(source.tokenizer), encoding="utf-8", newline="\n")
    _write_json(folder / "config.json", configuration(source, family))
    _write_json(folder / "generation_config.json", way_of_writing(source))
    _write_json(folder / "tokenizer_config.json", tokenizer_settings(source))
    _write_card(source, family, folder)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # which safetensors lets nobody else read
    if importlib.util.find_spec("transformers") is None:
        return Exported(folder, None, NOT_INSTALLED)
    progress(0.4, "Comparing with transformers")
    return Exported(folder, *compare(source, folder))


def _write_card(source: Source, family: Family, folder: Path) -> None:
    history = read_history(source.run)
    drawn = curve(history, source.manifest["baselines"])
    if drawn is not None:
        (folder / PICTURE).write_text(drawn, encoding="utf-8", newline="\n")
    text = card(source, family, history, None if drawn is None else PICTURE)
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")


def configuration(source: Source, family: Family) -> dict[str, Any]:
    """`config.json`."""
    end = source.tokenizer.end_of_text
    return model_settings(source.config.model, family, source.model.vocab_size) | dict(bos_token_id=end, eos_token_id=end)


def way_of_writing(source: Source) -> dict[str, Any]:
    """`generation_config.json`: as the run's own samples are written, up to the end of the context; but for a frequency penalty,
    which transformers has none of."""
    sample, end, T = source.config.sample, source.tokenizer.end_of_text, source.config.model.context_length
    settings: dict[str, Any] = dict(bos_token_id=end, eos_token_id=end, pad_token_id=end, max_length=T)
    if not sample.greedy and sample.temperature > 0:
        settings |= dict(do_sample=True, temperature=sample.temperature, top_k=sample.top_k or 0, top_p=sample.top_p or 1.0)
        if sample.min_p is not None:
            settings["min_p"] = sample.min_p
    if sample.repetition_penalty != 1:
        settings["repetition_penalty"] = sample.repetition_penalty
    if source.model.vocab_size > source.tokenizer.vocab_size:  # rows that stand for no token
        settings["suppress_tokens"] = list(range(source.tokenizer.vocab_size, source.model.vocab_size))
    return settings


def tokenizer_file(tokenizer: Tokenizer) -> str:
    """`tokenizer.json`, without what another's puts around every text: the model was trained without it."""
    return json.dumps(json.loads(tokenizer.to_json()) | {"post_processor": None}, ensure_ascii=False)


def tokenizer_settings(source: Source) -> dict[str, Any]:
    """`tokenizer_config.json`. A text that holds the name of a special token keeps it as text, as it does here."""
    end = source.tokenizer.token_text(source.tokenizer.end_of_text)
    return dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=end, eos_token=end, pad_token=end,
                model_max_length=source.config.model.context_length, split_special_tokens=True,
                clean_up_tokenization_spaces=False)


def compare(source: Source, folder: Path) -> tuple[float, str]:
    """(the largest difference of logits, what was compared), once transformers has opened the folder. Raises ExportError."""
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer
    try:
        with _quiet(transformers):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).float().eval()
            ids = tokenizer(source.prompt)["input_ids"]
            text = tokenizer.decode(ids, skip_special_tokens=True)
            with torch.no_grad():
                logits = model(source.prompt_ids()).logits
    except Exception as problem:  # whatever stops transformers is told in its own words
        raise ExportError(f"transformers {transformers.__version__} cannot open what was written, so nothing is left of it: "
                          f"{problem}") from problem
    if ids != source.tokenizer.encode(source.prompt).tolist() or text != source.tokenizer.decode(ids):
        raise ExportError(f"transformers {transformers.__version__} reads text as other tokens than the run's own tokenizer does, "
                          "so nothing is left of what was written. Please report this.")
    with torch.no_grad():
        expected = source.model(source.prompt_ids())
    difference, allowed = float((expected - logits).abs().max()), max(TOLERANCE, RELATIVE_TOLERANCE * float(expected.abs().max()))
    if not difference <= allowed:  # also where it is no number
        raise ExportError(f"transformers {transformers.__version__} comes to other logits (the largest difference is "
                          f"{difference:.3g}, allowed is {allowed:.1g}), so nothing is left of what was written. Please report "
                          "this.")
    return difference, (f"transformers {transformers.__version__} opened the folder and gave the same tokens and logits for "
                        f"{source.prompt_ids().numel()} tokens of real text; the largest difference is {difference:.2g}.")


@contextmanager
def _quiet(transformers) -> Iterator[None]:
    """Without its bars and warnings, which are for its own users."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
