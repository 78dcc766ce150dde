"""The number format of a table: decimal point or comma, thousands in groups or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hpsearch.errors import UserError

#: A number as a spreadsheet may show it; other text stays as it is.
_NUMBER = re.compile(
    r"[%\uff05\u066a]?\s*[-+\u2212]?[\d.,\u066b\u066c'\u2019\s]*\d[\d.,\u066b\u066c]*"
    r"(?:[eE][-+\u2212]?\d+)?\s*[%\uff05\u066a]?"
)

#: Characters that Python writes differently: minus, Arabic separators, percent.
_SIGNS = str.maketrans({"\u2212": "-", "\u066b": ".", "\u066c": ",", "\uff05": "%", "\u066a": "%"})

#: Characters that only group thousands: spaces of every kind, apostrophes.
_GROUPING = re.compile(r"(?<=\d)[\s'\u2019](?=\d{3}(?!\d))")

_END = r"(?:[eE][-+]?\d+)?(?:\s*%)?"
_COMMA = re.compile(rf"[-+]?(?:\d*,\d+|\d{{1,3}}(?:\.\d{{3}})+,\d+){_END}")
_POINT = re.compile(rf"[-+]?(?:\d*\.\d+|\d{{1,3}}(?:,\d{{3}})+\.\d+){_END}")
#: 1,024 is a thousand with a decimal point, and about 1 with a decimal comma.
_COMMA_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")
_POINT_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+")


@dataclass(frozen=True, kw_only=True)
class CellReader:
    """Reads the cells of one table: numbers as Python writes them, other text unchanged."""

    #: Whether numbers have a decimal comma.
    comma: bool
    #: Columns whose numbers have a decimal point nevertheless, since a program wrote them.
    pointed: frozenset[str] = frozenset()
    caveats: Sequence[str] = field(default=())

    @classmethod
    def of(
        cls,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        comma_separates: bool,
        file: str,
    ) -> CellReader:
        """Determine the number format of a table.

        Args:
            header: The names of its columns.
            rows: Its cells; each row is as long as the header.
            comma_separates: Whether commas separate the cells. A number with a decimal comma is
                then in quotes.
            file: The table's file, for messages.

        Returns:
            The reader.

        Raises:
            UserError: If a column has both decimal points and decimal commas.
        """
        columns = [[_bare(row[at]) for row in rows] for at in range(len(header))]
        commas = [_first(column, _COMMA, but=_COMMA_GROUPS) for column in columns]
        points = [_first(column, _POINT, but=_POINT_GROUPS) for column in columns]
        for name, comma, point in zip(header, commas, points, strict=True):
            if comma is not None and point is not None:
                raise UserError(
                    f"{file}: the numbers of a column must have a decimal point or a decimal "
                    f"comma, but column {name!r} has both {point} and {comma}; write all of them "
                    "in one way"
                )
        # If commas separate cells and numbers have points, 128,64 in quotes is a list of two
        uses_comma = any(commas) and not (comma_separates and any(points))
        if not uses_comma and not comma_separates and not any(points):
            # 1,024 may be a thousand, but only tables with decimal commas separate by semicolons
            uses_comma = any(_first(column, _COMMA_GROUPS) for column in columns)
        if not uses_comma:
            return cls(comma=False)
        pointed = (name for name, point in zip(header, points, strict=True) if point is not None)
        return cls(
            comma=True,
            pointed=frozenset(pointed),
            caveats=("numbers are read with a decimal comma: 0,5 means 0.5",),
        )

    def read(self, column: str, text: str) -> str:
        """Return a cell of ``column``, with a number in Python's format."""
        bare = _bare(text)
        if not self.comma or column in self.pointed:
            if _COMMA_GROUPS.fullmatch(bare) or _POINT.fullmatch(bare):
                return bare.replace(",", "")
        elif _COMMA.fullmatch(bare):
            return bare.replace(".", "").replace(",", ".")
        elif _POINT_GROUPS.fullmatch(bare):
            return bare.replace(".", "")
        return bare


def _bare(text: str) -> str:
    """Return a cell without spaces around it, and a number with plain signs and no grouping."""
    bare = text.strip()
    if _NUMBER.fullmatch(bare) is None:
        return bare
    number = _GROUPING.sub("", bare.translate(_SIGNS))
    # In Turkish, the percent sign comes first
    return f"{number[1:].strip()}%" if number.startswith("%") else number


def _first(
    cells: Iterable[str], pattern: re.Pattern[str], *, but: re.Pattern[str] | None = None
) -> str | None:
    """Return the first cell that matches ``pattern`` and not ``but``."""
    for cell in cells:
        if pattern.fullmatch(cell) and not (but is not None and but.fullmatch(cell)):
            return cell
    return None
