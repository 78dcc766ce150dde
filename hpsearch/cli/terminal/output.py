"""Tables, numbers and JSON. Untrusted text is never interpreted as markup or escape codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from hpsearch.foreign_text import clean, escape_json
from hpsearch.formatting import format_seconds
from hpsearch.json_values import json_safe
from hpsearch.output_streams import require_output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: A password may contain any character, also ``/`` and ``@``: hide all up to the line's last ``@``.
_PASSWORD = re.compile(r"(\w://[^\s:/@]*:).*(@)")
_SECRET_OPTION = re.compile(r"([?&]\w*(?:password|secret)=)[^\s&'\"]+")


def console(*, stderr: bool = False) -> Console:
    """Return the console of stdout (for results) or of stderr (for notices)."""
    return _console(sys.stderr if stderr else sys.stdout)


@lru_cache(maxsize=4)
def _console(stream: Any) -> Console:
    from rich.console import Console

    # Soft wrap: without a terminal a line isn't wrapped.
    return Console(
        file=stream, markup=False, highlight=False, emoji=False, soft_wrap=not stream.isatty()
    )


def say(text: str = "", *, style: str | None = None, stderr: bool = False) -> None:
    """Print one or more lines of text, cleaned.

    Args:
        text: The text.
        style: A style of Rich, such as ``bold``; ``None``: no style.
        stderr: Whether to print to stderr instead of stdout.
    """
    console(stderr=stderr).print(clean(text), style=style)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON; numbers that aren't finite become null."""
    sys.stdout.write(as_json(value))
    require_output(whole=True)


def as_json(value: Any) -> str:
    """Return ``value`` as ``print_json`` prints it."""
    return escape_json(json.dumps(json_safe(value), indent=2, ensure_ascii=False)) + "\n"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: Collection[str] = ()
) -> None:
    """Print a table: with rules and wrapped on a terminal, otherwise as plain columns, never cut.

    Args:
        columns: The headings.
        rows: The cells of each row, formatted by ``show``.
        whole: Headings of columns that don't wrap.
    """
    cells = _cells(rows)
    if console().is_terminal:
        grid = make_table(columns, cells)
        for column, name in zip(grid.columns, columns, strict=True):
            column.no_wrap = name in whole
        console().print(grid)
        return
    right = [_is_numeric(cells, index) for index in range(len(columns))]
    lines = [list(columns), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )
        say("  ".join(padded).rstrip())


#: The most classes for which a confusion matrix is printed; the JSON contains larger ones.
_PRINTED_CLASSES = 12


def print_confusion(title: str, names: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    """Print a confusion matrix if it is small enough for a terminal.

    Args:
        title: What the matrix counts.
        names: The class names.
        matrix: Counts, (classes, classes): true class (rows) by predicted class (columns).
    """
    if len(names) > _PRINTED_CLASSES:
        return
    say()
    say(f"{title} by true class (rows) and predicted class", style="bold")
    table(("", *names), [(name, *row) for name, row in zip(names, matrix, strict=True)])


def make_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table for a terminal; columns of numbers are right-aligned.

    On a narrow terminal headings and texts wrap between words. They wrap within a word only if
    there is no other way: half a number looks like another number.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = _cells(rows)
    names, widths, gap = _fit_columns(columns, cells, console().width)
    padding = (0, 1) if gap == _GAP else (0, 1, 0, 0)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=padding, header_style="bold")
    for index, name in enumerate(names):
        justify: Literal["left", "right"] = "right" if _is_numeric(cells, index) else "left"
        grid.add_column(Text(name), justify=justify, overflow="fold", width=widths[index])
    for row in cells:
        grid.add_row(*map(Text, row))
    return grid


def _cells(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    return [[clean(on_one_line(show(cell))) for cell in row] for row in rows]


#: Characters between two columns of a table with rules, on a wide and on a narrow terminal.
_GAP, _NARROW_GAP = 3, 2


def _fit_columns(
    columns: Sequence[str], cells: Sequence[Sequence[str]], room: int
) -> tuple[list[str], list[int | None], int]:
    """Return headings, widths (``None``: the text's own) and gap of a table ``room`` wide.

    Rich would shrink all columns, also those that can't wrap. Here the widest column shrinks first,
    and none below its longest word; if that isn't enough, Rich decides.
    """
    names, texts = list(columns), [[row[at] for row in cells] for at in range(len(columns))]
    full = [max(map(len, (name, *column))) for name, column in zip(names, texts, strict=True)]
    if sum(full) + _GAP * len(full) <= room:
        return names, [None] * len(full), _GAP
    names = [name.replace("_", " ") for name in names]
    least = [
        max((len(word) for text in (name, *column) for word in text.split()), default=0)
        for name, column in zip(names, texts, strict=True)
    ]
    if sum(least) + _NARROW_GAP * len(full) > room:
        return names, [None] * len(full), _NARROW_GAP
    for _ in range(sum(full) + _NARROW_GAP * len(full) - room):
        widest = max((at for at in range(len(full)) if full[at] > least[at]), key=full.__getitem__)
        full[widest] -= 1
    return names, list(full), _NARROW_GAP


def _is_numeric(cells: Sequence[Sequence[str]], index: int) -> bool:
    texts = [row[index] for row in cells if row[index] not in ("", "-")]
    return bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)


_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?(e[-+]?\d+)?( ?(%|s|ms))?")


def show(value: Any) -> str:
    """Return a value as text: 5 significant digits, ``-`` for ``None``."""
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.5g}"
        case _:
            return str(value)


def show_time(seconds: float | None) -> str:
    """Return seconds as ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    return "-" if seconds is None else format_seconds(seconds)


def show_time_range(low: float, high: float) -> str:
    """Return a range of seconds as ``40 s to 2 min 05 s``; ``about 42 s`` if it is narrow."""
    if high <= 1.1 * low:
        return f"about {show_time(high)}"
    return f"{show_time(low)} to {show_time(high)}"


def show_bytes(size: float) -> str:
    """Return a size in the largest fitting unit: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def show_params(params: Any, among: Iterable[str] = ()) -> str:
    """Return parameters on one line: ``optimizer.sgd.lr=0.02  batch_size=16``.

    If ``among`` contains the parameters of all trials, each is named by the shortest end of its
    path that is unique: ``lr=0.02``.
    """
    paths = dict.fromkeys(among)
    if paths:
        from hpsearch.study_file.space import short_name

        params = {short_name(path, paths): value for path, value in params.items()}
    return "  ".join(f"{path}={on_one_line(show(value))}" for path, value in params.items())


def on_one_line(text: str) -> str:
    """Return ``text`` with escaped line breaks and tabs, so that a value can't look like a line."""
    return text.replace("\n", "\\n").replace("\t", "\\t")


def sparkline(
    values: Sequence[float], *, most: int = 60, span: tuple[float, float] | None = None
) -> str:
    """Return a curve as block characters.

    Args:
        values: The curve; a value that isn't finite is a gap.
        most: The most characters.
        span: The values of the lowest and of the highest block; ``None``: the curve's own extremes.
    """
    finite = [value for value in values if isfinite(value)]
    if not finite:
        return " " * min(len(values), most)
    low, high = span or (min(finite), max(finite))
    values = [values[round(at)] for at in _spread(len(values), most)]
    return "".join(_block((value - low) / ((high - low) or 1.0)) for value in values)


def _block(share: float) -> str:
    blocks = "▁▂▃▄▅▆▇█"
    return blocks[round(share * (len(blocks) - 1))] if isfinite(share) else " "


def _spread(count: int, most: int) -> list[float]:
    length = min(count, most)
    return [at * (count - 1) / max(1, length - 1) for at in range(length)]


def mask_urls(text: str) -> str:
    """Hide the password of every URL in ``text``."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***\2", text))
