"""A text before it is prepared, and the data sets that are, as HTML for the Data tab. All text from outside is escaped."""

from __future__ import annotations

import html
from pathlib import Path

from gptlab.config import DataConfig
from gptlab.data.dataset import prepared_settings
from gptlab.data.errors import DataError
from gptlab.data.health import SMALL_CHARACTERS
from gptlab.data.preview import READ_FOR_PREVIEW, Preview
from gptlab.data.sources import BUILTINS, paths_of
from gptlab.runs.preparing import CANCELLED
from gptlab.ui import form, words, words_data
from gptlab.ui.lab import Lab, read_draft
from gptlab.ui.model_facts import short_count

COLOURS = 6


def problem_html(sentence: str) -> str:
    """Why a text cannot be used, where its preview would stand."""
    return f'<p class="message problem" role="alert">{html.escape(sentence)}</p>'


def nothing_html(sentence: str) -> str:
    """What is to be done before there is a text to look at."""
    return f'<p class="empty">{html.escape(sentence)}</p>'


def seen_html(config: DataConfig, seen: Preview) -> str:
    """Counts, a sentence on the size, the first documents, and the first tokens in colours."""
    more = seen.documents > 1 and seen.rough and config.source not in BUILTINS  # how many a built-in will have is known
    counts = [(words.ABOUT if more else "", f"{seen.documents:,}", words.plural("document", seen.documents)),
              (words.ABOUT if seen.rough else "", short_count(seen.characters), "characters"),
              (words.ABOUT, short_count(seen.tokens), "tokens")]
    facts = "".join(f"<li>{about} <b>{count}</b> {name}</li>" for about, count, name in counts)
    size = words.text_size(seen.characters * (1 - config.val_fraction) < SMALL_CHARACTERS)
    texts = "".join(f'<pre tabindex=0 role="group" aria-label="{words.FIRST_DOCUMENTS} {i}">{html.escape(text)}</pre>'
                    for i, text in enumerate(seen.excerpts, start=1))
    part = words.FIRST_PART.format(READ_FOR_PREVIEW // 2**20) if seen.rough and config.source not in BUILTINS else ""
    encoding = words.READ_AS.format(encoding=seen.encoding) if config.source not in BUILTINS else ""
    at_least = seen.rough and config.tokenizer == "char"  # a letter may come only later
    return (f'<section class="preview" aria-label="{words.PREVIEW}"><ul class="counts">{facts}</ul>'
            f'<p class="size" role="status">{size} {part} {encoding}</p>{_left_out(seen)}{_cleaned_html(seen)}'
            f'<h4>{words.FIRST_DOCUMENTS}</h4><div class="texts">{texts}</div>'
            f'<h4>{words.first_tokens(seen.vocabulary, at_least)}</h4>'
            f'<p class="tokens">{tokens_html(seen.token_texts)}</p></section>')


def _left_out(seen: Preview) -> str:
    """What of the text could not be read, folded; nothing where all could."""
    if not seen.bad_count:
        return ""
    more = seen.bad_count - len(seen.bad)
    said = any(sentence.startswith("And ") for sentence in seen.bad)  # of several files, where each has its own count
    sentences = [*seen.bad, *([words_data.MORE.format(more)] if more > 0 and not said else [])]
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    told = words.left_out(seen.bad_count, seen.rough)
    return f'<details class="left-out"><summary>{told}</summary><ul>{items}</ul></details>'


def _cleaned_html(seen: Preview) -> str:
    """What each step of cleaning would change, with its examples folded."""
    items = []
    for report in seen.cleaning:
        does = words.cleaned_step(report.changed, report.left_out, report.characters_removed / max(1, seen.characters_read))
        line = f"<b>{words.STEPS_OF_CLEANING[report.step]}</b>: {does}"
        rows = "".join(f"<tr><td>{html.escape(before)}</td><td>{html.escape(after)}</td></tr>"
                       for before, after in report.examples)
        table = f"<table><thead><tr><th>{words.BEFORE}</th><th>{words.AFTER}</th></tr></thead><tbody>{rows}</tbody></table>"
        items.append(f"<li><details><summary>{line}</summary>{table}</details></li>" if rows else f"<li>{line}</li>")
    return f'<h4>{words.CLEANED}</h4><ul class="cleaned">{"".join(items)}</ul>' if items else ""


def tokens_html(tokens: list[tuple[str, int]]) -> str:
    """Tokens as coloured pieces; a line's end is shown as an arrow, then taken."""
    pieces = []
    for text, number in tokens:
        shown = html.escape(text).replace("\n", '<span class="newline">↵</span><br>')
        pieces.append(f'<span class="token c{number % COLOURS}" title="token {number}">{shown}</span>')
    return "".join(pieces)


def prepared_html(lab: Lab, used: str | None) -> str:
    """The prepared data sets with their facts; one that cannot be read says so."""
    names = lab.workspace.dataset_names()
    if not names:
        return f'<p class="empty">{words.NOTHING_PREPARED}</p>'
    in_use_first = sorted(names, key=lambda name: name != used)
    return f'<ul class="prepared">{"".join(_prepared_item(lab, name, name == used) for name in in_use_first)}</ul>'


def _prepared_item(lab: Lab, name: str, used: bool) -> str:
    shown = html.escape(name)
    try:
        manifest = lab.preparations.manifest(name)
    except DataError as problem:
        return f'<li><div><b>{shown}</b><span class="warn">{html.escape(str(problem))}</span></div></li>'
    facts = words.prepared_facts(manifest, short_count)
    gone = gone_files(manifest)
    alerts = "".join(_alert(alert, shown, gone) for alert in manifest["alerts"])
    action = (f'<span class="used">{words.IN_USE}</span>' if used else
              f'<button type="button" data-use="{shown}" aria-label="{words.USE} {shown}">{words.USE}</button>')
    current = ' class="current"' if used else ""
    return f"<li{current}><div><b>{shown}</b><span>{html.escape(facts)}</span>{alerts}</div>{action}</li>"


def gone_files(manifest: dict) -> list[str]:
    """The names of files that a data set was made of and that are not there any more: uploads go as the app is closed."""
    settings = prepared_settings(manifest)
    source = settings["source"]
    files = [] if source in BUILTINS else (paths_of(source) or [source])
    files = [*files, *([settings["tokenizer_file"]] if settings["tokenizer_file"] else [])]
    return [Path(file).name for file in files if not Path(file).exists()]


def _alert(alert: dict, shown_name: str, gone: list[str]) -> str:
    """What should be known of a data set: its evidence and what to do folded, with a button where a setting mends it, or with
    what is to be done first where files are `gone`."""
    message, remedy = html.escape(alert["message"]), html.escape(alert["remedy"])
    changes = alert.get("changes") if isinstance(alert.get("changes"), dict) else {}  # of older data sets nothing but sentences
    said = {form.label(name): value for name, value in changes.items() if name in form.FIELDS}
    button = ""
    if said and gone:
        button = f"<p>{html.escape(words_data.gone(gone, words.new_settings(said)))}</p>"
    elif said:
        button = (f'<button type="button" data-mend="{shown_name}" data-code="{html.escape(str(alert.get("code")))}">'
                  f'{html.escape(words.prepare_again(said))}</button>')
    return (f'<details class="warn"><summary>{message}</summary><p>{html.escape(str(alert.get("evidence", "")))} {remedy}</p>'
            f'{button}</details>')


def progress(lab: Lab, draft, awaited: str | None) -> dict:
    """What is being prepared, for every page; how it ended, for those that waited for it (`awaited`), also where the app was
    closed before it had.

    `kind` is busy, good, problem or quiet, "" where there is nothing to say; `text`; and while busy `percent`.
    """
    current = lab.preparations.current
    if current is not None and not current.finished:
        text = words.PREPARING_NOW.format(name=current.name, doing=current.progress.doing)
        return {"kind": "busy", "text": text, "percent": round(100 * current.progress.share_done),
                "detail": current.progress.detail}
    if awaited and awaited not in lab.preparations.begun and awaited not in lab.workspace.dataset_names():
        return {"kind": "problem", "text": words_data.INTERRUPTED.format(awaited)}
    if current is None or current.name != awaited:
        return {"kind": "", "text": ""}  # another page's, or a preset's own data set that came by itself: no news
    if current.problem:
        return {"kind": "quiet" if current.problem == CANCELLED else "problem", "text": current.problem}
    in_use = current.name == read_draft(draft)["dataset"]
    return {"kind": "good", "text": words.READY.format(current.name)} if in_use else {"kind": "", "text": ""}


def source_html(source: str) -> str:
    """What a source is."""
    helps = {name: builtin.description for name, builtin in BUILTINS.items()} | {"download": words_data.DOWNLOAD_HELP}
    return f'<p class="about">{html.escape(helps.get(source, words.OWN_FILE_HELP))}</p>'
