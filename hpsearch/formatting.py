"""Numbers of things and long times in words, alike wherever they are told."""

from __future__ import annotations


def count_noun(number: int, noun: str, nouns: str | None = None) -> str:
    """Return ``1 thread``, ``1,024 threads``; ``nouns`` where an s isn't enough."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def format_long_duration(seconds: float) -> str:
    """Return a minute or more as ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
