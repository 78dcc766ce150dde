"""Markdown with escaped text: text from outside can't add markup.

It can't contain a link, HTML, emphasis, a formula or a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hpsearch.foreign_text import clean

# An underscore within a word has no meaning, and metric names have many
_SPECIAL = re.compile(r"([\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_]))")

#: In CommonMark, a backslash before any of these escapes it.
_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")

_BREAKS = re.compile(r"[\t-\r\x85\u2028\u2029]+")


class Code(str):
    """Text of a table's cell that is shown as code."""

    __slots__ = ()


def plain(text: object) -> str:
    """Return ``text`` as one line, for a paragraph or a part of one."""
    line = inline(text)
    # Some characters at the beginning would make it a heading, a rule or a list
    line = re.sub(r"^([-+=#])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)]\s)", r"\1\\\2", line)


def inline(text: object) -> str:
    """Return ``text`` as one line in which no block can begin: in a cell, or after other text."""
    return _SPECIAL.sub(r"\\\1", _one_line(text))


def words(text: object) -> str:
    """Return ``text`` as one line without a link, not even from a bare address."""
    return _SIGNS.sub(r"\\\1", _on_one_line(text))


def code(text: object) -> str:
    """Return ``text`` as code within a line."""
    line = _one_line(text)
    fence = "`" * (1 + _longest_ticks(line))
    blank = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def block(text: str) -> str:
    """Return ``text``, of several lines, as a block of code."""
    plain = clean("\n".join(text.splitlines()).replace("\t", " "))
    fence = "`" * max(3, 1 + _longest_ticks(plain))
    return f"{fence}text\n{plain}\n{fence}"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; cells are plain text, or ``Code``."""
    heads = list(columns)
    lines = [map(_cell, heads), ["---"] * len(heads), *(map(_cell, row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return ``table`` without the columns that have a value in no row; ``-`` is none."""
    heads, lines = list(columns), [list(row) for row in rows]
    places = [
        place for place in range(len(heads)) if any(line[place] not in ("", "-") for line in lines)
    ]
    return table([heads[place] for place in places], [[line[p] for p in places] for line in lines])


def _longest_ticks(line: str) -> int:
    """Return the length of the longest run of backticks: a fence must be longer."""
    return max((len(run) for run in re.findall(r"`+", line)), default=0)


def _cell(text: str) -> str:
    # Markdown splits a table into columns before it parses code
    return code(text).replace("|", "\\|") if isinstance(text, Code) else inline(text)


def _one_line(text: object) -> str:
    return " ".join(_on_one_line(text).split())


def _on_one_line(text: object) -> str:
    return clean(_BREAKS.sub(" ", str(text)))
