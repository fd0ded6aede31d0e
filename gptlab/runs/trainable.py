"""Whether a run can begin at all: asked by whoever makes one, the page and the command line, while there is none yet."""

from __future__ import annotations

from gptlab.config import RunConfig
from gptlab.data.dataset import Dataset
from gptlab.train.batches import tokens_per_epoch
from gptlab.train.device import pick_device, pick_precision


def check_trainable(config: RunConfig, dataset: Dataset) -> None:
    """Raises ValueError for what would end a run at once: text, device or prompts that don't fit its settings."""
    pick_precision(config.train.precision, pick_device(config.train.device))
    tokens_per_epoch(len(dataset.train), config.model.context_length, config.train.order)
    for prompt in config.sample.prompts:
        dataset.tokenizer.encode(prompt)
