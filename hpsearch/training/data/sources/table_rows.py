"""The rows of a table: CSV, TSV or Parquet. Every value is a text."""

from __future__ import annotations

import codecs
import csv
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.regular_file import open_regular
from hpsearch.training.data.room import require_memory

#: Endings of tables, in lower case.
TEXT_ENDINGS = (".csv", ".tsv", ".txt")
PARQUET_ENDINGS = (".parquet", ".pq")

#: Characters that may separate the values of a CSV file; the most frequent in its header does.
_DELIMITERS = ",;\t|"
#: Memory for each byte of a table: its text, and a Python text for each value.
_BYTES_PER_BYTE = 8
#: UTF-16 needs its mark at the beginning; UTF-8 may have one.
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """A table in memory."""

    path: Path
    #: The names of the columns.
    header: tuple[str, ...]
    #: The values of each row, as many as columns, without spaces around them.
    rows: Sequence[Sequence[str]]
    #: Where each row begins in the file: its line, or its number counted from 1.
    places: Sequence[int]
    #: What ``places`` counts: ``line`` or ``row``.
    unit: str

    def column(self, name: str) -> list[str]:
        """Return the values of a column of ``header``."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]


def is_table(name: str) -> bool:
    """Whether a file of this name is read as a table."""
    return name.lower().endswith((*TEXT_ENDINGS, *PARQUET_ENDINGS))


def read_table(path: Path, key: str = "data.source.table.path") -> TableRows:
    """Read a table. Its first row contains the names of the columns.

    Args:
        path: The file; its ending decides the format.
        key: The setting that gives ``path``, for errors.

    Raises:
        DataError: If there is no such file, or it is damaged, empty or too large. The message
            names the first lines with a fault.
    """
    if not is_table(path.name):
        raise DataError(
            f"{key} must be a table ({', '.join((*TEXT_ENDINGS, *PARQUET_ENDINGS))}), but got "
            f"{path}"
        )
    if not path.is_file():
        state = "isn't a file" if path.exists() else "doesn't exist"
        raise DataError(f"{key} must be a table, but {path} {state}")
    table = _read_parquet(path) if path.name.lower().endswith(PARQUET_ENDINGS) else _read_text(path)
    if not table.rows:
        raise DataError(
            f"a table of pictures must have a row for each picture below the names of its columns, "
            f"but {path} has none"
        )
    return table


def require_pyarrow(path: Path) -> None:
    """Check that the package that reads Parquet files is installed.

    Raises:
        DataError: If it isn't; the message gives the command that installs it.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"reading {path} needs the package pyarrow, but it isn't installed; run: "
            "pip install 'hpsearch[parquet]'"
        )


def _read_text(path: Path) -> TableRows:
    text = _text(path)
    # Not str.splitlines, which also ends lines at characters that a label may contain
    lines = StringIO(text, newline="")
    head = next((line for line in lines if line.strip()), "")
    lines.seek(0)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(_DELIMITERS, key=head.count)
    header: tuple[str, ...] | None = None
    rows: list[list[str]] = []
    places: list[int] = []
    uneven: list[str] = []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for line, values in _lines(reader, path):
        if not any(map(str.strip, values)):  # an empty line
            continue
        values = [value.strip() for value in values]
        if header is None:
            header = tuple(values)
            continue
        if len(values) != len(header):
            uneven.append(f"line {line} has {len(values)}")
        rows.append(values)
        places.append(line)
    if uneven:
        raise DataError(
            f"every row of {path} must have a value for each of its {len(header or ())} columns "
            f"({first_few(header or ())}), but {len(uneven):,} don't: {first_few(uneven, 3)}; put "
            f"values that contain {_delimiter_name(delimiter)} in quotes"
        )
    return TableRows(path=path, header=header or (), rows=rows, places=places, unit="line")


def _lines(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line in which each row of a CSV file begins, and its values."""
    line = 1
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path} must be a CSV file, but the row that begins in line {line} can't be read "
                f"({error}); look for a quote that is missing or too many"
            ) from error
        yield line, values
        line = reader.line_num + 1


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            size = path.stat().st_size
            require_memory(size * _BYTES_PER_BYTE, f"reading {path}", "use a smaller table")
            raw = file.read(size + 1)
    except OSError as error:
        raise DataError(
            f"every data file must be readable, but {path} isn't ({error.strerror or error})"
        ) from error
    encoding = _MARKS.get(raw[:2], "utf-8-sig")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        fault = f"contains the byte {raw[error.start]:#04x}"
        if encoding != "utf-8-sig":
            line, fault = 1, "is damaged"
        raise DataError(
            f"a table must be text in UTF-8, but line {line} of {path} {fault}; save it again as "
            f"UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 {path.name} > new.csv, if it is from Excel)"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"a table must be text, but line {line} of {path} contains a NUL; save it again as "
            "UTF-8"
        )
    return text


def _read_parquet(path: Path) -> TableRows:
    require_pyarrow(path)
    from pyarrow import ArrowException, parquet, types

    try:
        with open_regular(path) as file:
            parquet_file = parquet.ParquetFile(file)
            schema = parquet_file.schema_arrow
            # Without pictures or other nested values, which can take most of the file
            plain = [field.name for field in schema if not types.is_nested(field.type)]
            plain = [name for name in plain if not types.is_binary(schema.field(name).type)]
            size = sum(
                parquet_file.metadata.row_group(number).total_byte_size
                for number in range(parquet_file.metadata.num_row_groups)
            )
            require_memory(size * _BYTES_PER_BYTE, f"reading {path}", "use a smaller table")
            columns = [parquet_file.read([name]).column(0).to_pylist() for name in plain]
    except (OSError, ArrowException, ValueError) as error:
        raise DataError(
            f"{path} must be a Parquet file, but can't be read ({error}); get the file again"
        ) from error
    rows = [
        ["" if value is None else str(value).strip() for value in row]
        for row in zip(*columns, strict=True)
    ]
    return TableRows(
        path=path, header=tuple(plain), rows=rows, places=range(1, len(rows) + 1), unit="row"
    )


def _delimiter_name(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}[delimiter]
