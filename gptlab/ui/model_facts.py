"""What settings make, as HTML for the Model tab: parameters by part, memory, tokens a parameter; and the copied command.

Computed from settings alone, so that it can follow a slider. Text from outside is escaped.
"""

from __future__ import annotations

import html
import os

from gptlab.config import ConfigError, RunConfig
from gptlab.cli.spelling import spelled
from gptlab.data.sources import DataError
from gptlab.model import estimate
from gptlab.train.device import available_threads
from gptlab.train.plan import Plan
from gptlab.train.room import needed_bytes
from gptlab.ui import form, words, words_size
from gptlab.ui.lab import Lab, draft_changes, draft_config, draft_dataset, draft_preset, read_draft

USUAL_VOCABULARY = {"char": 96, "byte": 257}  # until there is a data set to ask


def facts_html(lab: Lab, draft) -> tuple[str, str]:
    """(the number of parameters with its bar, all the rest) for a draft. Raises ConfigError."""
    config, name = draft_config(lab, draft), draft_dataset(lab, draft)
    manifest = lab.preparations.manifest(name) if name else None
    vocab_size = manifest["vocab_size"] if manifest else usual_vocabulary(config)
    parts = estimate.parameters(config.model, vocab_size)
    total = sum(parts.values())
    active = estimate.active_parameters(config.model, vocab_size)
    memory = needed_bytes(config, vocab_size, lab.device, available_threads(), "fp32")
    work = estimate.flops_by_part(config.model, vocab_size)
    rows = [(words.MEMORY, short_bytes(sum(memory.values())), memory_words(memory)),
            (words_size.WORK, short_count(sum(work.values())), words_size.operations(work_words(work)))]
    if manifest:
        ratio = manifest["train_tokens"] / total
        rows.append((words.TOKENS_A_PARAMETER, f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.0f}", words.enough_text(ratio)))
        rows.append((words.READS, *reads(config, manifest["train_tokens"])))
    else:
        rows.append((words.TOKENS_A_PARAMETER, "–", words.NO_DATA_YET))
    facts = "".join(f'<div class="fact"><dt>{label}</dt><dd><b>{value}</b><span>{text}</span></dd></div>'
                    for label, value, text in rows)
    bar, table = _by_part(parts)
    passed = "" if active == total else f"<p>{words_size.active(short_count(active), short_count(total))}</p>"
    big = f'<p class="big"><b>{short_count(total)}</b> {words.PARAMETERS}</p>'
    return (f'<div class="facts size" role="status">{big}{passed}{bar}</div>',
            f'<section class="facts" aria-label="{words.FACTS}">{table}<dl>{facts}</dl></section>')


def _by_part(parts: dict[str, int]) -> tuple[str, str]:
    """Parameters by part: (a bar to see, a table to read)."""
    total, shown = sum(parts.values()), {part: count for part, count in parts.items() if count}
    bar = "".join(f'<i class="part-{part}" style="flex-grow:{count / total:.4f}"></i>' for part, count in shown.items())
    rows = "".join(f'<tr><th scope="row"><i class="part-{part}"></i>{words.PARTS.get(part, part)}</th>'
                   f'<td>{count:,}</td><td>{share(count / total)}</td></tr>' for part, count in shown.items())
    return f'<div class="bar" aria-hidden="true">{bar}</div>', f'<table class="parts"><tbody>{rows}</tbody></table>'


def reads(config: RunConfig, train_tokens: int) -> tuple[str, str]:
    """How often a run reads its text, and how many tokens that is."""
    plan = Plan(config, train_tokens)
    if plan.last_step() is None:
        return "–", words.NO_LIMIT
    read = plan.last_step() * plan.tokens_per_update
    times = read / plan.tokens_per_epoch
    return (f"{times:,.1f}×" if times < 10 else f"{times:,.0f}×",
            f"{short_count(read)} tokens, {plan.tokens_per_update:,} an update")


def usual_vocabulary(config: RunConfig) -> int:
    """What a vocabulary will be, about, while there is no data set."""
    return USUAL_VOCABULARY.get(config.data.tokenizer, config.data.vocab_size)


def preset_html(lab: Lab, draft) -> str:
    """The words of a draft's preset: why, what to expect here, and what it goes with."""
    chosen = draft_preset(draft)
    here = chosen.expect.get(lab.device, chosen.expect["cpu"])
    goes_with = chosen.dataset or chosen.wants
    too_slow = chosen.needs_gpu and not lab.has_gpu
    warning = ' class="warn"' if too_slow else ""
    if too_slow and (seconds := seconds_here(lab, draft)) is not None:
        here = words.needs_gpu_here(seconds)
    return (f'<div class="about"><p>{html.escape(chosen.why)}</p><p{warning}><b>{words.EXPECT_HERE}:</b> {html.escape(here)}</p>'
            f'<p><b>{words.GOES_WITH}:</b> {html.escape(goes_with)}</p></div>')


def seconds_here(lab: Lab, draft) -> float | None:
    """How long a draft's preset would train on this machine, from its operations alone; None where nothing says how far."""
    config, name = draft_preset(draft).config, draft_dataset(lab, draft)
    try:
        train_tokens = lab.preparations.manifest(name)["train_tokens"] if name else None
    except DataError:
        return None
    steps = config.train.max_steps
    if config.train.epochs is not None:
        if train_tokens is None:
            return None
        steps = Plan(config, train_tokens).last_step()
    context_length = config.model.context_length
    tokens = steps * (config.train.tokens_per_update or config.train.sequences(context_length) * context_length)
    return tokens * estimate.flops_per_token(config.model, usual_vocabulary(config)) / lab.operations_per_second


def message_html(text: str, kind: str = "") -> str:
    """One sentence beside the settings; `kind` "problem" marks what keeps a run from starting."""
    return f'<p class="message {kind}" role="status" aria-live="polite">{html.escape(text)}</p>'


def command(lab: Lab, draft, does: str = "train") -> str:
    """The command that starts what a draft would start; or one that finds a rate or the biggest model for it, which write no
    samples."""
    draft = read_draft(draft)
    name = draft_dataset(lab, draft) or draft_preset(draft).dataset or "FILE"
    try:
        changed = draft_changes(draft)
    except ConfigError:
        changed = draft["changes"]
    parts = [does, "--dataset", name, "--preset", draft["preset"]]
    for setting, value in changed.items():
        if does == "train" or not setting.startswith("sample."):
            parts += ["--set", f"{setting}={form.value_text(setting, value)}"]
    return spelled(parts + workspace_option(lab))


def workspace_option(lab: Lab) -> list[str]:
    """What a command needs to find this workspace, where it would not by itself."""
    usual = os.path.abspath(os.environ.get("GPTLAB_WORKSPACE") or "workspace")
    return [] if usual == str(lab.workspace.path) else ["--workspace", str(lab.workspace.path)]


def memory_words(memory: dict[str, int]) -> str:
    """ "weights 3 MB, …" """
    return ", ".join(f"{words.MEMORY_PARTS.get(part, part)} {short_bytes(size)}" for part, size in memory.items() if size)


def work_words(work: dict[str, float]) -> str:
    """ "attention's matrices 12 %, …" """
    return ", ".join(f"{words_size.WORK_PARTS[part]} {share(flops / sum(work.values()))}" for part, flops in work.items()
                     ).replace(" %", "\u00a0%")


def short_count(number: float) -> str:
    """123, 4,567, 89.0 thousand → as a person says it: "4,567", "89 thousand", "1.2 million", "1.3 billion"."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e5, "thousand")):
        if number >= size * (0.9995 if word != "thousand" else 1):
            unit = 1e3 if word == "thousand" else size
            return f"{number / unit:.3g} {word}"
    return f"{number:,.0f}"


def short_bytes(size: float) -> str:
    """ "12 MB" """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:,.0f} {name}"
    return f"{size:.0f} B"


def share(part: float) -> str:
    """ "12 %" """
    return "< 1 %" if 0 < part < 0.01 else f"{part:.0%}".replace("%", " %")
