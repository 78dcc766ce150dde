"""A table of runs in a text file: a header, then one run per line.

The file may come from a tracker (W&B, MLflow), from Optuna, from a report of hpsearch, or from a
spreadsheet of any country: separated by commas, semicolons, tabs or bars, with a decimal point or
a decimal comma, in UTF-8, UTF-16 or an older encoding, with any line ends.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.errors import UserError
from hpsearch.results.warm_start.source import Row, Source

#: More rows don't help to find good configurations.
MOST_ROWS = 10_000

#: A table of runs with ``MOST_ROWS`` rows is far smaller.
MOST_BYTES = 64 * 2**20

#: Each column is compared with each parameter, and every cell is in memory.
MOST_COLUMNS, MOST_CELLS = 2_000, 2_000_000

#: Separators, the likeliest first, and the number of lines that decide between them.
_SEPARATORS, _LINES_TRIED = (",", ";", "\t", "|"), 50

#: A line that defines the separator for a spreadsheet, which may add separators when it saves.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\1*(?:\r\n|\r|\n)', re.IGNORECASE)

#: Columns with a run's final state: W&B, Optuna and hpsearch call it state, MLflow status.
_STATES = ("state", "status", "run_status", "trial_status", "trial_state")

#: Values for a run that reached its end: W&B and MLflow, Optuna and hpsearch, Ray.
_ENDED = ("finished", "complete", "completed", "terminated", "success", "succeeded", "done", "ok")

#: Encodings by their byte order marks; the longer marks first, as they begin like shorter ones.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_csv(path: Path, *, ignored: Collection[str] = ()) -> Source:
    """Read a table of runs.

    Args:
        path: The file.
        ignored: Columns that aren't used. A column with the runs' final state is then no reason to
            skip a run.

    Returns:
        Its rows. A run that didn't reach its end is refused, as is a row of another length.

    Raises:
        UserError: If the file is missing, isn't text or is too large, or its header names no
            column, too many, or one twice.
    """
    text, caveats = _decode(_content(path), path)
    try:
        return _read(text, path, caveats, {name.lower() for name in ignored})
    except csv.Error as error:
        raise UserError(f"{path} must be a CSV file, but it isn't: {error}") from None


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} must be a regular file with a table of runs, but it isn't one")
        if status.st_size > MOST_BYTES:
            raise UserError(
                f"{path} may have at most {MOST_BYTES:,} bytes, but has {status.st_size:,}; keep "
                "only the columns and runs that you need"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} doesn't exist; name a CSV file or a study") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} can't be read: {reason or error}") from None


def _decode(data: bytes, path: Path) -> tuple[str, list[str]]:
    """Return the text, and caveats about its encoding."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:2]:  # some programs write UTF-16 without its mark
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    caveats = []
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise UserError(
                f"{path} starts like {encoding.upper()} text, but byte {error.start} is invalid; "
                "save it as CSV in UTF-8"
            ) from None
        # Separators, digits and quotes have the same bytes in all older encodings
        text = data.decode("cp1252", errors="replace")
        caveats.append(
            "the file isn't UTF-8: numbers are read correctly, letters beyond ASCII are read as "
            "Windows-1252"
        )
    if "\0" in text:
        raise UserError(
            f"{path} must be a table as text, but it contains NUL characters; save a spreadsheet "
            "as CSV"
        )
    return text, caveats


def _read(text: str, path: Path, caveats: list[str], ignored: Collection[str]) -> Source:
    first = 1
    separator_line = _SEPARATOR_LINE.match(text)
    if separator_line is not None:
        text, first = text[separator_line.end() :], 2
    separator = separator_line[1] if separator_line is not None else _separator(text)
    lines = _lines(text, separator)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    if not any(header):
        raise UserError(f"{path} must start with a line of column names, but it is empty")
    if len(header) > MOST_COLUMNS:
        raise UserError(
            f"{path} may have at most {MOST_COLUMNS:,} columns, but has {len(header):,}; keep only "
            "those that you need"
        )
    twice = sorted(name for name, times in Counter(header).items() if name and times > 1)
    if twice:
        raise UserError(
            f"{path}: each column needs its own name, but this name is used twice: {twice[0]!r}"
        )
    filled = (
        (number + first - 1, cells)
        for number, cells in lines
        if any(cell.strip() for cell in cells)
    )
    most = min(MOST_ROWS, MOST_CELLS // len(header))
    records = list(itertools.islice(filled, most + 1))
    if len(records) > most:
        columns = "" if most == MOST_ROWS else f" of {len(header):,} columns"
        raise UserError(
            f"{path} may have at most {most:,} rows{columns}, but has more; keep the best"
        )
    whole = [cells for _, cells in records if len(cells) == len(header)]
    reader = CellReader.of(header, whole, comma_separates=separator == ",", file=str(path))
    states = [name for name in header if _is_state(name) and name.lower() not in ignored]
    rows = [_row(number, header, cells, reader, states) for number, cells in records]
    return Source(
        name=path.name[:255],
        rows=rows,
        columns=[name for name in header if name],
        caveats=[*caveats, *reader.caveats],
    )


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that isn't blank, with the number of its last line."""
    # Universal newlines: lines of an old Mac's file end with only a carriage return
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _separator(text: str) -> str:
    """Return the character that divides most of the first lines into the header's columns."""

    def fit(separator: str) -> tuple[int, int]:
        try:
            first = [cells for _, cells in itertools.islice(_lines(text, separator), _LINES_TRIED)]
        except csv.Error:
            return 0, 0
        if not first or len(first[0]) < 2:
            return 0, 0
        width = len(first[0])
        return sum(len(cells) == width for cells in first), width

    return max(_SEPARATORS, key=fit)


def _is_state(name: str) -> bool:
    return name.lower().replace(" ", "_") in _STATES


def _row(
    line: int,
    header: Sequence[str],
    cells: Sequence[str],
    reader: CellReader,
    states: Sequence[str],
) -> Row:
    place = f"line {line}"
    if len(cells) != len(header):
        reason = f"has {len(cells)} cells, but the header has {len(header)}"
        return Row(place=place, cells={}, refused=reason)
    by_column = {
        name: reader.read(name, text) for name, text in zip(header, cells, strict=True) if name
    }
    for column in states:
        state = by_column[column]
        if state and state.lower() not in _ENDED:
            return Row(
                place=place,
                cells=by_column,
                refused=f"its run didn't finish: {state} (--map {column}= ignores the column)",
            )
    return Row(place=place, cells=by_column)


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
                    f"comma, but column {name!r} has both {point} and {comma}; use one of them in "
                    "the whole column"
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
