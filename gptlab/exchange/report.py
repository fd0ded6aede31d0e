"""A run, or a comparison of runs, as one HTML file that needs nothing else: figures that can be zoomed, plotly.js inside.

What stands in it and in which order; `document.py` says what it is made of. Knows no page of the app.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptlab import plots
from gptlab.config import SECTIONS, RunConfig, all_settings, changes
from gptlab.events import Evaluation, Sample
from gptlab.exchange.document import (cell, document, duration, epoch_text, escaped, facts, figure, head, legend, number,
                                     section, swatch, table, value_text)
from gptlab.exchange.notes import expectations, notes, under
from gptlab.runs.checkpoint import best_of, list_checkpoints
from gptlab.runs.compare import AXES, LETTERS, Comparison, Contender, compare, contender
from gptlab.runs.disk import check_space, readable, write_atomic
from gptlab.runs.family import Member, told
from gptlab.runs.rundir import RunDir

NAMED = 3    # runs at most for a heading to hold their names
SMALL = 290  # pixels: the height of figures that stand three in a row
UNITS = {"char": "characters", "byte": "bytes", "bpe": "pieces of words", "file": "tokens"}
LEARNT = {"char": "spelling", "byte": "spelling", "bpe": "which pieces make words", "file": "which pieces make words"}
IMPOSSIBLE = 0.95  # of the best possible loss: below that no chance goes
SECTION_TITLES = {"data": "Data", "model": "Model", "train": "Training", "sample": "Sample texts"}
SWATCHES = ("none", "9 5", "3 3", "9 4 3 4", "14 5", "14 4 3 4", "8 3 2 3 2 3", "2 5")  # the DASHES of plots.py, for SVG
QUANTITIES = {"val_loss": "loss on unseen text (val)", "val_bits_per_byte": "bits per byte of unseen text",
              "train_loss": "loss on text it trains on (smoothed)"}


def save_report(runs: Sequence[RunDir], target: Path) -> Path:
    """Writes the report on one run, or on 2 to 8 compared, whole or not at all. Raises RunError."""
    text = report(runs)
    check_space(target.parent, len(text.encode("utf-8")), f"write {target.name}")
    write_atomic(target, text)
    return target


def report(runs: Sequence[RunDir]) -> str:
    """The HTML of one run, or of 2 to 8 compared. Raises RunError for too many or a damaged one."""
    if len(runs) == 1:
        one = contender(runs[0])
        return document(one.run.name, _run_body(one))
    found = compare(runs)
    return document(" · ".join(one.label for one in found.contenders), _comparison_body(found))


# --- one run ---

def _run_body(one: Contender) -> str:
    history, manifest, config = one.history, one.manifest, one.config
    unit = UNITS.get(manifest["tokenizer"], "tokens")
    small = [("Perplexity", plots.perplexity), ("Learning rate", plots.learning_rate), ("Gradient norm", plots.grad_norm)]
    return "".join((
        head(one.run.name, f"{_made(one.run)}{under(one.run)}Trained on {manifest['name']} with GPT Lab."),
        f'<p class="caption">{escaped(caption(one))}</p>',
        notes(one.run),
        facts([("State", one.state), ("Steps", f"{history.last_step:,}"),
                ("Best loss on unseen text (val)", number(one.best and one.best.val_loss, 4)),
                ("As unsure as picking among", f"{_among(one.best)} tokens"),
                ("Bits per byte", number(one.best and one.best.val_bits_per_byte, 3)),
                ("Parameters", f"{one.parameters:,}"), ("Time worked", duration(_seconds(one)))]),
        section("Loss", _loss_legend() + figure(f"Loss of {one.run.name} over its training steps.", *(
            plots.loss(history, manifest["baselines"], look, unit) for look in (plots.LIGHT, plots.DARK)))),
        '<section class="pair">' + "".join(
            f"<div><h2>{title}</h2>"
            + figure(f"{title} over the training steps.", draw(history), draw(history, plots.DARK)) + "</div>"
            for title, draw in small) + "</section>",
        section("What it writes", _written(one)),
        section("Epoch by epoch", _epoch_table(one)),
        section("Alerts", _alerts(one)) if history.alerts else "",
        section("Data", _data_table(manifest)),
        section("Settings", _settings(config) + _changed_later(one)),
    ))


def caption(one: Contender) -> str:
    """What became of a run, in a sentence or two."""
    best, last, baselines = one.best, (one.history.evaluations or [None])[-1], one.manifest["baselines"]
    if best is None:
        return "Nothing was measured on unseen text yet."
    uniform, floor = baselines["uniform"], baselines.get("entropy_floor")
    tokenizer = one.manifest["tokenizer"]
    if not one.config.model.causal or (floor is not None and best.val_loss < IMPOSSIBLE * floor):
        why = ("it is below the best possible, which nothing reaches without having seen the answers." if one.config.model.causal
               else "without the causal mask each token looks at the one it is to predict.")
        return f"A loss of {best.val_loss:.3f} says nothing here: {why}"
    if baselines.get("bigram") is not None and best.val_loss < baselines["bigram"]:
        said = f"Has learnt {LEARNT.get(tokenizer, LEARNT['file'])}; beats counting pairs"
        if floor is not None:
            share = min(100, math.floor(100 * (uniform - best.val_loss) / (uniform - floor)))
            said += f": {share}\N{NO-BREAK SPACE}% of the way from pure guessing to the best possible"
    elif baselines.get("unigram") is not None and best.val_loss < baselines["unigram"]:
        said = f"Has learnt which {UNITS.get(tokenizer, 'tokens')} are common; not yet which follow which"
    else:
        said = "Still close to pure guessing"
    later = [item for item in one.history.evaluations if item.step > best.step]
    if len(later) >= 2 and last.val_loss > best.val_loss + 0.02 and last.train_loss < best.train_loss:
        said += f". After step {best.step:,} it went on improving on text it had seen and grew worse on unseen: memorising"
    return said + "."


def _written(one: Contender) -> str:
    """The newest text after each prompt, whole; and which weights wrote best."""
    newest = {sample.prompt: sample for sample in one.history.samples}
    best = best_of(list_checkpoints(one.run))
    kept = (f'<p class="quiet">Kept as its best: the checkpoint of step {best.step:,}, with a loss on unseen text of '
            f"{best.val_loss:.4f}.</p>") if best else ""
    return "".join(f"<h3>At step {sample.step:,}</h3>{_sample(sample)}" for sample in newest.values()) + kept or \
        '<p class="quiet">It wrote nothing while it was trained.</p>'


def _sample(sample: Sample) -> str:
    return f'<p class="written"><b>{escaped(sample.prompt)}</b>{escaped(sample.text)}</p>'


def _epoch_table(one: Contender) -> str:
    rows, before, shown = [], -1, one.history.table()
    for item in shown:
        sample, best = one.history.sample_between(before, item.step), item is one.best and len(shown) > 1
        line = (sample.prompt + sample.text).lstrip().partition("\n")[0][:160] if sample else ""
        before, star = item.step, '<span class="star">★ </span>' if best else ""
        cells = [f'<th scope="row">{epoch_text(item.epoch)}</th>', cell(f"{item.step:,}"), cell(number(item.train_loss)),
                 f'<td class="number">{star}{number(item.val_loss)}</td>',
                 cell(number(item.val_loss - item.train_loss)), f'<td class="text">{escaped(line)}</td>']
        rows.append(f"<tr{' class=best' if best else ''}>{''.join(cells)}</tr>")
    if not rows:
        return '<p class="quiet">Its loss on unseen text was not measured yet.</p>'
    columns = [("Epoch", ""), ("Step", "number"), ("Train", "number"), ("Unseen (val)", "number"), ("Gap", "number"),
               ("What it wrote", "")]
    return f'<div class="epochs">{table(columns, rows)}</div>'


def _alerts(one: Contender) -> str:
    return '<ul class="alerts">' + "".join(
        f'<li class="{alert.severity if alert.severity in ("warning", "error") else "info"}"><b>Step {alert.step:,}: '
        f'{escaped(alert.message)}</b> {escaped(alert.evidence)} {escaped(alert.remedy)}</li>'
        for alert in one.history.alerts) + "</ul>"


def _data_table(manifest: dict) -> str:
    baselines = manifest["baselines"]
    known = [("Data set", manifest["name"]), ("Source", manifest["source"]), ("Documents", f"{manifest['documents']:,}"),
             ("Characters", f"{manifest['characters']:,}"),
             ("Tokens to learn from", f"{manifest['train_tokens']:,} ({readable(manifest['train_bytes'])} of text)"),
             ("Tokens held out", f"{manifest['val_tokens']:,} ({readable(manifest['val_bytes'])} of text)"),
             ("Tokenizer", UNITS.get(manifest["tokenizer"], manifest["tokenizer"])),
             ("Vocabulary", f"{manifest['vocab_size']:,}"), ("How unseen text was chosen", manifest["split"])]
    per_byte = manifest.get("baselines_bits_per_byte", {})
    for name, label, _ in plots.REFERENCES:
        if baselines.get(name) is not None:
            label = label.format(unit=UNITS.get(manifest["tokenizer"], "tokens"))
            label = "Best possible loss" if name == "entropy_floor" else f"Loss of {label}"
            bits = f" ({per_byte[name]:.3f} bits per byte)" if per_byte.get(name) is not None else ""
            known.append((label, f"{baselines[name]:.4f}{bits}"))
    known.append(("Hash", manifest["hash"]))
    rows = [f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(value)}</td></tr>' for name, value in known]
    return f'<div class="settings">{table([], rows)}</div>'


def _settings(config: RunConfig) -> str:
    """What differs from the defaults; and, folded, everything."""
    differing = changes(config, RunConfig())

    def of(part: str, only_changed: bool) -> str:
        rows = [_setting(item.metadata, getattr(getattr(config, part), item.name), name in differing and not only_changed)
                for name, item in all_settings() if name.partition(".")[0] == part and (name in differing or not only_changed)]
        return f"<h3>{SECTION_TITLES[part]}</h3>{table([], rows)}" if rows else ""
    changed = "".join(of(part, only_changed=True) for part in SECTIONS)
    everything = "".join(of(part, only_changed=False) for part in SECTIONS)
    return (f'<div class="settings"><p class="quiet">Where they differ from the defaults:</p>{changed or "<p>Nowhere.</p>"}'
            f"<details><summary>All settings</summary>{everything}</details></div>")


def _setting(metadata: dict, value: Any, marked: bool) -> str:
    unit = f" {metadata['unit']}" if metadata["unit"] and value is not None else ""
    return (f'<tr{" class=changed" if marked else ""}><th scope="row">{escaped(metadata["label"])}</th>'
            f"<td>{escaped(value_text(value) + unit)}</td></tr>")


def _changed_later(one: Contender) -> str:
    """Settings that somebody changed while the run went on, or to make it longer, if any were."""
    known = {name: item.metadata["label"] for name, item in all_settings()}
    rows = [f'<tr><th scope="row">{escaped(known[name])}</th>{cell(f"{event.step:,}")}'
            + f"<td>{escaped(value_text(event.before.get(name)))} → {escaped(value_text(value))}</td></tr>"
            for event in one.history.settings if isinstance(event.changes, dict) and isinstance(event.before, dict)
            for name, value in event.changes.items() if name in known]
    columns = [("Setting", ""), ("After step", "number"), ("Change", "")]
    return f"<h3>Changed while it went on</h3>{table(columns, rows)}" if rows else ""


def _loss_legend() -> str:
    lines = (("every", "none", "text it trains on, every step"), ("train", "none", "the same, smoothed"),
             ("val", "9 5", "unseen text (val); the star is its best"))
    return legend((f'<span class="{name}">{swatch(dashes)}</span>{label}' for name, dashes, label in lines))


# --- several runs ---

def _comparison_body(found: Comparison) -> str:
    runs = found.contenders
    main = "val_loss" if found.same_data or found.same_tokenizer else "val_bits_per_byte"
    others = [quantity for quantity in ("val_loss", "train_loss") if quantity != main]
    lines = _comparison_legend(runs)
    unlike = "" if found.same_tokenizer else '<p class="quiet">Each in tokens of its own: their heights do not compare.</p>'
    title = QUANTITIES[main].capitalize()
    return "".join((
        head(" and ".join((", ".join(one.run.name for one in runs[:-1]), runs[-1].run.name)) if len(runs) <= NAMED
             else f"{len(runs)} runs compared", "Compared with GPT Lab."),
        f'<p class="note">{escaped(found.note)}</p>',
        section("At their best", _results_table(found)),
        expectations([(one.label, one.run) for one in runs]),
        section(title, lines + _overlay(found, main, "step")),
        '<section class="pair">' + "".join(
            f"<div><h2>By {AXES[axis]}</h2>{_overlay(found, main, axis, SMALL)}</div>"
            for axis in list(AXES)[1:]) + "</section>",
        *(section(QUANTITIES[quantity].capitalize(), unlike + lines + _overlay(found, quantity, "step"))
          for quantity in others),
        section("What differs", _differences_table(found)),
        section("Where they come from", _tree(found.family)) if found.family else "",
        section("What they write", _side_by_side(found)),
    ))


def _overlay(found: Comparison, quantity: str, axis: str, height: int = plots.HEIGHT) -> str:
    title = "bits per byte" if quantity == "val_bits_per_byte" else "loss (nats a token)"
    curves = [plots.Curve(one.letter, one.label, *one.curve(quantity, axis)) for one in found.contenders]
    return figure(f"{QUANTITIES[quantity]} over {AXES[axis]}.".capitalize(),
                   *(plots.comparison(curves, AXES[axis], title, look, height) for look in (plots.LIGHT, plots.DARK)))


def _comparison_legend(runs: list[Contender]) -> str:
    return legend(f'<span class="run-{i}">{swatch(SWATCHES[i])}</span><span>{_called(one)}</span>'
                   for i, one in enumerate(runs))


def _called(one: Contender) -> str:
    return f"<b>{one.letter}</b> {escaped(one.run.name)}"


def _results_table(found: Comparison) -> str:
    """Bold what is best, of the numbers that may be compared."""
    rows = []
    for one in found.contenders:
        numbers = []
        for quantity, digits in (("val_bits_per_byte", 4), ("val_loss", 4), ("val_perplexity", 2)):
            text = number(one.best and getattr(one.best, quantity), digits)
            winner = one.letter in found.winners.get(quantity, ())
            numbers.append(f'<td class="number">{f"<b>★ {text}</b>" if winner else text}</td>')
        others = (f"{one.best.step:,}" if one.best else "–", f"{one.history.last_step:,}", duration(_seconds(one)),
                  f"{one.parameters:,}")
        rows.append(f'<tr><th scope="row">{_called(one)}</th>{"".join(numbers)}{"".join(map(cell, others))}'
                    f'<td class="name">{escaped(one.manifest["name"])}</td></tr>')
    columns = ("Bits per byte", "Loss (val)", "Perplexity", "At step", "Steps", "Time", "Parameters")
    return table([("Run", ""), *((name, "number") for name in columns), ("Data", "name")], rows)


def _differences_table(found: Comparison) -> str:
    if not found.differences:
        return '<p class="quiet">Nothing: all settings are alike.</p>'
    rows = [f'<tr><th scope="row">{escaped(one.label)}</th>'
            + "".join(f"<td>{escaped(text)}</td>" for text in one.texts(value_text)) + "</tr>" for one in found.differences]
    return table([("Setting", ""), *((one.label if len(found.contenders) <= NAMED else one.letter, "")
                                     for one in found.contenders)], rows)


def _tree(members: list[Member]) -> str:
    """Runs and the forks of each under it."""
    def line(one: Member) -> str:
        letter = f'<b class="run-{LETTERS.index(one.letter)}">{one.letter}</b> ' if one.letter else ""
        return f'<li>{letter}{escaped(one.name)} <span class="quiet">{escaped(told(one, value_text))}</span>'
    parts, depth = [], -1
    for one in members:
        parts += ["<ul>"] if one.depth > depth else ["</li>", "</ul></li>" * (depth - one.depth)]
        parts.append(line(one))
        depth = one.depth
    return f'<div class="tree">{"".join(parts)}{"</li></ul>" * (depth + 1)}</div>'


def _side_by_side(found: Comparison) -> str:
    """The last texts after each shared prompt; where there is no such prompt, each run's own last text."""
    def card(one: Contender, sample: Sample | None) -> str:
        when = f", step {sample.step:,}" if sample else ""
        text = _sample(sample) if sample else '<p class="written quiet">It was not given this beginning.</p>'
        return f"<div><h3>{escaped(one.label)}{when}</h3>{text}</div>"
    if prompts := found.prompts():
        rows = [found.samples(prompt) for prompt in prompts]
        said = f'<p class="quiet">{escaped(found.drawing(value_text))}</p>'
    else:
        rows, said = [[(one.history.samples or [None])[-1] for one in found.contenders]], \
            '<p class="quiet">They were given different beginnings.</p>'
    return said + "".join('<div class="side">' + "".join(map(card, found.contenders, row)) + "</div>" for row in rows)


# --- facts about a run ---

def _among(best: Evaluation | None) -> str:
    return "–" if best is None else f"{best.val_perplexity:,.{1 if best.val_perplexity < 10 else 0}f}"


def _seconds(one: Contender) -> float:
    """Time worked until the last thing that was said."""
    ends = [*one.history.steps["time_seconds"][-1:].tolist(), *(item.time_seconds for item in one.history.evaluations[-1:])]
    return max(ends, default=0.0)


def _made(run: RunDir) -> str:
    date, _, rest = run.id.partition("-")
    known = len(date) == 8 and (date + rest[:6]).isdigit()
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {rest[:2]}:{rest[2:4]}. " if known else ""
