"""A table of runs in a CSV file, as W&B and others export it: one run a line, a header first."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError
from hpsearch.results.learning.source import Row, Source

#: Lines beyond this say no more about where good configurations lie.
MOST_ROWS = 10_000

#: W&B's column of how a run ended, and what it says of one that reached its end.
_STATE, _FINISHED = "state", "finished"


def read_csv(path: Path) -> Source:
    """Read a CSV file. Raises ``UserError`` where it isn't one, or too long."""
    try:
        # W&B writes none, spreadsheets do: a byte order mark would become part of a column's name
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(csv.reader(file, strict=True), path)
    except FileNotFoundError:
        raise UserError(f"{path} doesn't exist; name a CSV file or a study") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be a CSV file in UTF-8, but it isn't: {error}") from None


def _read(lines: Any, path: Path) -> Source:
    # ``csv.reader`` gives an iterator of a type without a public name
    header = [name.strip() for name in next(lines, [])]
    if not any(header):
        raise UserError(f"{path} must begin with a line of column names, but it is empty")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: a column's name must be its own, but got twice: {twice[0]!r}")
    rows: list[Row] = []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(rows) == MOST_ROWS:
            raise UserError(f"{path} may have {MOST_ROWS:,} rows, but has more; keep the best")
        rows.append(_row(lines.line_num, header, cells))
    return Source(name=path.name[:255], rows=rows, columns=[name for name in header if name])


def _row(line: int, header: list[str], cells: list[str]) -> Row:
    place = f"line {line}"
    if len(cells) != len(header):
        why = f"has {len(cells)} cells, but the header has {len(header)}"
        return Row(place=place, cells={}, refused=why)
    named = {name: text.strip() for name, text in zip(header, cells, strict=True) if name}
    states = [text for name, text in named.items() if name.lower() == _STATE and text]
    if states and states[0].lower() != _FINISHED:
        return Row(place=place, cells=named, refused=f"its run didn't finish: {states[0]}")
    return Row(place=place, cells=named)
