"""Markdown in which the words of other people are only words."""

from __future__ import annotations

import re

#: CommonMark takes a backslash before any of these for the sign itself.
_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def words(text: object) -> str:
    """Return ``text`` so that it is shown as it is, on one line."""
    return _SIGNS.sub(r"\\\1", _CONTROL.sub(" ", str(text)))


def code(text: object) -> str:
    """Return ``text`` as code within a line."""
    plain = _CONTROL.sub(" ", str(text))
    fence = _fence(plain, least=1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"`{plain}`"


def block(text: str) -> str:
    """Return ``text``, of several lines, as a block of code."""
    plain = "\n".join(_CONTROL.sub(" ", line) for line in text.splitlines())
    fence = _fence(plain, least=3)
    return f"{fence}text\n{plain}\n{fence}"


def _fence(text: str, *, least: int) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(least, longest + 1)
