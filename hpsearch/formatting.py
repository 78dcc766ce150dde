"""Format of counts, durations and shares, the same everywhere. Metrics: ``hpsearch.metrics``."""

from __future__ import annotations

from collections.abc import Sequence


def count_noun(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun: ``1 thread``, ``1,024 threads``.

    Args:
        number: The count.
        noun: The singular.
        nouns: The plural; ``None``: the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def first_few(items: Sequence[object], most: int = 10, separator: str = ", ") -> str:
    """Return the first items, and the number of the others: ``a, b and 3 more``.

    Args:
        items: Shown as text.
        most: The largest number of items that are shown.
        separator: What is between two items.
    """
    text, rest = separator.join(map(str, items[:most])), len(items) - most
    if rest <= 0:
        return text
    return f"{text}{' ' if separator == ', ' else separator}and {rest:,} more"


def in_percent(share: float, digits: int = 2) -> float:
    """Return a share in percent, rounded, for charts."""
    return round(100 * share, digits)


def format_percent(share: float, digits: int = 0) -> str:
    """Return a share as ``63 %``, with ``digits`` decimals."""
    return f"{100 * share:.{digits}f} %"


def format_percent_range(low: float, high: float, digits: int = 0) -> str:
    """Return two shares as ``6 to 79 %``.

    Args:
        low: The lower share, 0..1.
        high: The higher share.
        digits: Decimals of both.
    """
    return f"{100 * low:.{digits}f} to {format_percent(high, digits)}"


def format_seconds(seconds: float) -> str:
    """Return ``0.42 s``, ``4.2 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds >= 60:
        return format_long_duration(seconds)
    if seconds >= 10:
        return f"{seconds:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"


def format_long_duration(seconds: float) -> str:
    """Return a duration of a minute or more as ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
