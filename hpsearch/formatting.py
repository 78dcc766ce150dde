"""Counts and long durations in words, the same everywhere."""

from __future__ import annotations


def count_noun(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun: ``1 thread``, ``1,024 threads``.

    Args:
        number: The count.
        noun: The singular.
        nouns: The plural; ``None``: the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def format_long_duration(seconds: float) -> str:
    """Return a duration of a minute or more as ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
