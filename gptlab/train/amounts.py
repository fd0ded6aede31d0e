"""Numbers, bytes and times as a sentence says them. Imports nothing."""

from __future__ import annotations


def counted(number: float) -> str:
    """ "1.23 million" """
    for size, word in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{word}"
    return f"{number:.0f}"


def in_bytes(size: float) -> str:
    """ "1.2 GB" """
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, size / 1e6):.0f} MB"


def in_time(seconds: float) -> str:
    """ "7 min" """
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:,.0f} days"
