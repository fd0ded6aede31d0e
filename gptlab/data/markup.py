"""Text without its markup: HTML's tags, comments, scripts and entities, and the addresses of Markdown's links.

What only looks like a tag stays: `a < b`, `List<String>`, `if a <b and c> d`. Done twice is done once, and a text of any kind is
gone through in time that grows with its length: this runs in the app's own process.
"""

from __future__ import annotations

import html
import re

ELEMENTS = frozenset(
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body br button "
    "canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption "
    "figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label "
    "legend li link main map mark marquee math menu meta meter nav nobr noframes noscript object ol optgroup option output p param "
    "path picture pre progress q rp rt ruby s samp script search section select slot small source span strike strong style sub "
    "summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr".split())
BREAKING = frozenset("p br div li h1 h2 h3 h4 h5 h6 tr".split())  # a new line comes where they stood
FLAGS = frozenset(  # attributes without a value; any other word in a tag needs one, else it is no tag
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled download hidden inert ismap "
    "itemscope loop multiple muted nomodule noresize noshade novalidate nowrap open playsinline readonly required reversed "
    "selected".split())
NESTED_TAGS = 5  # gone into: what stood around a tag may be one without it
BEGINS = re.compile(r"<!--|<script(?=[\s>/])|<style(?=[\s>/])", re.I)
ENDS = {"<!--": re.compile(r"-->"), "<script": re.compile(r"</script\s*+>", re.I), "<style": re.compile(r"</style\s*+>", re.I)}
TAG = re.compile(r"""<(/?)([A-Za-z][A-Za-z0-9]*+)((?:\s(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)?+)/?>""")
ATTRIBUTE = re.compile(r"""(?<![^\s"'])[^\s"'<>/=]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'<>]++)""")
DOCTYPE = re.compile(r"<!doctype\s[^<>]*+>", re.I)
ENTITY = re.compile(r"&lt;[!/]?[A-Za-z][^<>&\n]{0,200}&gt;|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
WOULD_BE_ENTITY = re.compile(r"(?:#\d|#[xX][0-9a-fA-F]|[A-Za-z])[A-Za-z0-9]{0,31};")
WOULD_BE_TAG = re.compile(r"!|/?[A-Za-z]")
ADDRESS = r"\]\((?:https?://|/|#|www\.)[^)\s\[]*+(?: \"[^\"\n\[]*+\")?\)"
IMAGE = re.compile(r"!\[([^\[\]\n]*+)" + ADDRESS)
LINK = re.compile(r"\[([^\[\]\n]*+)" + ADDRESS)


def without_markup(text: str) -> str:
    """Without tags and addresses of links; &amp; as &. An entity that spells markup (&lt;b&gt;) stays as it is: the text speaks
    of it, and would lose it the next time."""
    text = DOCTYPE.sub("", _without_unseen(text))
    for _ in range(NESTED_TAGS):
        before, text = text, TAG.sub(_tag, text)
        if text == before:
            break
    text = ENTITY.sub(_entity, text)
    return LINK.sub(r"\1", IMAGE.sub(r"\1", text))  # images first: they may stand in links


def _without_unseen(text: str) -> str:
    """Without comments, scripts and styles. One that is not closed stays, and of its kind no more is looked for."""
    parts, kept, unclosed = [], 0, set()
    for begins in BEGINS.finditer(text):
        kind = begins[0].lower()
        if begins.start() < kept or kind in unclosed:
            continue
        ends = ENDS[kind].search(text, begins.end())
        if ends is None:
            unclosed.add(kind)
            continue
        parts.append(text[kept:begins.start()])
        kept = ends.end()
    return "".join([*parts, text[kept:]])


def _tag(match: re.Match) -> str:
    """What stands in the place of what looks like a tag."""
    slash, name, attributes = match[1], match[2].lower(), match[3]
    words = ATTRIBUTE.sub(" ", attributes.rstrip().removesuffix("/")).lower().split()
    if name not in ELEMENTS or (slash and words) or not FLAGS.issuperset(words):
        return match[0]
    return "\n" if name in BREAKING else ""


def _entity(match: re.Match) -> str:
    """The characters an entity stands for, unless markup would come of them."""
    if match[0].count("&") > 1:  # a whole tag
        return match[0]
    characters = html.unescape(match[0])
    if "<" in characters and WOULD_BE_TAG.match(match.string, match.end()):
        return match[0]
    if characters == "&" and WOULD_BE_ENTITY.match(match.string, match.end()):
        return match[0]
    return characters
