"""Parquet files with the pictures inside, as Hugging Face's data sets have them.

A file has a column of pictures, a struct of ``bytes`` (a PNG, JPEG, ..) and ``path``, and a column
of labels. The names of the classes are in the metadata of its schema.
Format: https://huggingface.co/docs/hub/datasets-image
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.regular_file import open_regular
from hpsearch.training.data.group_split import TestFraction
from hpsearch.training.data.images import SOURCES, DamagedPicture, Images, Part, Source
from hpsearch.training.data.picture_files import Colour, decode_picture
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.room import require_memory
from hpsearch.training.data.sources.held_out import source_of_parts
from hpsearch.training.data.sources.part_files import files_of_parts, given_parts
from hpsearch.training.data.sources.table_columns import Columns, find_columns
from hpsearch.training.data.sources.table_rows import PARQUET_ENDINGS, require_pyarrow

_KEY = "data.source.parquet"
_Names = Annotated[list[str], Field(min_length=2)]


@SOURCES.register("parquet")
def parquet(
    place: DataRoot,
    /,
    *,
    path: Path,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    class_names: _Names | None = None,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    colour: Colour = "rgb",
) -> Source:
    """Parquet files with the pictures inside, one or many, as Hugging Face's data sets.

    Pictures of different sizes need ``data.input_size``.

    Args:
        place: The data root; unused.
        path: A file, or a folder of files. Their names, or those of their folders, contain the
            part: ``train-00000-of-00002.parquet``; without one, they are training pictures.
        image: The column of the pictures; ``None``: the only one that fits.
        label: The column of the labels; ``None``: the only one of class labels, or the one with a
            common name for it.
        group: A column; pictures with the same value stay on the same side of every split;
            ``None``: each picture may be on either side.
        class_names: The classes; ``None``: those in the file's metadata, else the labels.
        val_path: A file or folder of validation pictures.
        test_path: A file or folder of test pictures.
        test_fraction: The share of the pictures that is held out for tests if there are no test
            pictures, the same for every seed; ``None``: no pictures are held out.
        colour: ``rgb`` or ``gray``; pictures are converted to it.

    Raises:
        DataError: If pyarrow isn't installed, a file is missing or damaged, a column isn't found,
            or two keys contradict each other.
    """
    root = absolute(path)
    require_pyarrow(root)
    files = given_parts(
        _KEY,
        lambda where, key: files_of_parts(where, PARQUET_ENDINGS, key),
        path=path,
        val_path=val_path,
        test_path=test_path,
        test_fraction=test_fraction,
    )
    columns = _columns(files["train"][0], image, label, group)
    names = tuple(class_names or columns.names or _class_names(files["train"], columns.label))
    counted = class_names is not None or bool(columns.names)
    parts = {
        name: Part(
            read=partial(_read, own, columns, names, counted, colour),
            files=tuple(own),
            name_of=_names(own),
        )
        for name, own in files.items()
    }
    settings: dict[str, Any] = {
        "columns": [columns.image, columns.label, group],
        "counted": counted,
        "colour": colour,
    }
    note = f"columns found: {columns.image!r} (pictures), {columns.label!r} (classes)"
    return source_of_parts(
        "parquet",
        parts,
        class_names=names,
        settings=settings,
        test_fraction=test_fraction,
        origin=str(root),
        notes=() if image and label else (note,),
    )


def columns_in(path: Path) -> tuple[str, str] | None:
    """Return the columns of the pictures and of their labels; ``None`` if no pictures are inside.

    Raises:
        DataError: If pyarrow isn't installed, the file is damaged, or a column isn't clear.
    """
    require_pyarrow(path)
    with _opened(path) as file:
        if not any(_picture_columns(file.schema_arrow)):
            return None
    columns = _columns(path, None, None, None)
    return columns.image, columns.label


@dataclass(frozen=True, kw_only=True)
class _Columns:
    image: str
    #: Whether the pictures are structs of ``bytes`` and ``path``; else they are bytes.
    nested: bool
    label: str
    group: str | None
    #: The classes in the metadata; ``()`` if there are none.
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Rows that are stored together."""

    file: Path
    number: int
    #: Its first row in the file, and among the rows of all files.
    first_in_file: int
    first: int
    rows: int


class _Pictures:
    """Pictures in Parquet files. The block of rows that was used last stays in memory."""

    def __init__(self, files: Sequence[Path], columns: _Columns, colour: Colour) -> None:
        self._columns, self._colour = columns, colour
        self._blocks = [*_blocks(files)]
        self._read: tuple[int, list[bytes | None]] = (-1, [])

    def __len__(self) -> int:
        return sum(block.rows for block in self._blocks)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        place = _place_of(index, self._blocks)
        block = self._blocks[place]
        if self._read[0] != place:
            self._read = (-1, [])  # free the memory before the next block
            self._read = (place, self._contents(block))
        content, name = self._read[1][index - block.first], _row_name(block, index)
        if content is None:
            raise DamagedPicture(f"{name} (its bytes aren't in the file)")
        return decode_picture(content, name, self._colour)

    def _contents(self, block: _Block) -> list[bytes | None]:
        column = self._columns.image
        with _opened(block.file) as file:
            size = file.metadata.row_group(block.number).total_byte_size
            require_memory(2 * size, f"reading {block.file}", "save it with smaller row groups")
            inside = [f"{column}.bytes"] if self._columns.nested else [column]
            values = file.read_row_group(block.number, columns=inside).column(0).to_pylist()
        return [value["bytes"] if isinstance(value, dict) else value for value in values]


def _blocks(files: Sequence[Path]) -> Iterator[_Block]:
    first = 0
    for path in files:
        first_in_file = 0
        with _opened(path) as file:
            for number in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                yield _Block(
                    file=path, number=number, first_in_file=first_in_file, first=first, rows=rows
                )
                first, first_in_file = first + rows, first_in_file + rows


def _row_name(block: _Block, index: int) -> str:
    return f"{block.file.name} row {block.first_in_file + index - block.first + 1}"


def _place_of(index: int, blocks: Sequence[_Block]) -> int:
    """Return the place of the block that contains a row."""
    return bisect_right(blocks, index, key=lambda block: block.first) - 1


def _names(files: Sequence[Path]) -> Callable[[int], str]:
    @cache  # a report asks for hundreds of names, and each would open all files
    def blocks() -> list[_Block]:
        return [*_blocks(files)]

    return lambda index: _row_name(blocks()[_place_of(index, blocks())], index)


def _read(
    files: Sequence[Path],
    columns: _Columns,
    names: Sequence[str],
    counted: bool,
    colour: Colour,
) -> Images:
    """Return the pictures of some files; they are decoded on access. Raises ``DataError``."""
    labels = _column(files, columns.label)
    numbers: dict[Any, int] = {name: number for number, name in enumerate(names)}
    if counted and any(isinstance(value, int) for _, _, value in labels):
        numbers = {number: number for number in range(len(names))}
    elif not counted:
        labels = [(file, row, None if value is None else str(value)) for file, row, value in labels]
    wrong = [
        f"{file.name} row {row}: {'no label' if value is None else value}"
        for file, row, value in labels
        if value not in numbers
    ]
    if wrong:
        classes = first_few(names) if not counted else f"0 to {len(names) - 1}"
        raise DataError(
            f"every label must be one of the classes ({classes}), but {len(wrong):,} of "
            f"{len(labels):,} in column {columns.label!r} aren't: {first_few(wrong, 3, '; ')}; "
            f"correct them, or give {_KEY}.class_names"
        )
    groups = None
    if columns.group is not None:
        values = [str(value) for _, _, value in _column(files, columns.group)]
        groups = np.unique(np.array(values), return_inverse=True)[1].astype(np.int64)
    return Images(
        images=_Pictures(files, columns, colour),
        labels=np.array([numbers[value] for _, _, value in labels], dtype=np.int64),
        groups=groups,
    )


def _class_names(files: Sequence[Path], label: str) -> list[str]:
    """Return the different labels in their order."""
    values = {value for _, _, value in _column(files, label) if value is not None}
    if len(values) < 2 or not all(isinstance(value, int | str) for value in values):
        raise DataError(
            f"labels must be whole numbers or texts of at least two classes, but column {label!r} "
            f"of {files[0]} contains {first_few(sorted(values, key=str), 3) or 'none'}; give "
            f"{_KEY}.label"
        )
    key: Any = None if all(isinstance(value, int) for value in values) else str
    return [str(value) for value in sorted(values, key=key)]


def _column(files: Sequence[Path], name: str) -> list[tuple[Path, int, Any]]:
    """Return the file, the row (from 1) and the value of each row."""
    rows: list[tuple[Path, int, Any]] = []
    for path in files:
        with _opened(path) as file:
            if name not in file.schema_arrow.names:
                raise DataError(
                    f"all files must have the same columns, but {path} has no {name!r}, only "
                    f"{first_few(file.schema_arrow.names)}"
                )
            values = file.read([name]).column(0).to_pylist()
        rows += [(path, row, value) for row, value in enumerate(values, start=1)]
    return rows


def _columns(path: Path, image: str | None, label: str | None, group: str | None) -> _Columns:
    """Return the columns of a file: the given ones, else those that are clear."""
    with _opened(path) as file:
        schema = file.schema_arrow
    types = ", ".join(f"{column.name!r} ({column.type})" for column in schema)
    listed = f"the columns of {path} are {types}"
    for key, name in (("image", image), ("label", label), ("group", group)):
        if name is not None and name not in schema.names:
            raise DataError(f"{_KEY}.{key} must be a column, but {name!r} isn't; {listed}")
    nested, plain = _picture_columns(schema)
    possible = [image] if image is not None else nested or plain
    if len(possible) != 1 or possible[0] not in (*nested, *plain):
        raise DataError(
            f"{_KEY}.image must name the column of the pictures (bytes, or a struct of bytes and "
            f"path), if it isn't the only one; {listed}"
        )
    names_by_column = {
        name: names for name, names in _names_in(schema.metadata) if name in schema.names
    }
    rest = [name for name in schema.names if name not in (*nested, *plain, group)]
    if label is None and len(names_by_column) == 1:
        (label,) = names_by_column
    if label is None and not names_by_column:
        label = find_columns(rest, (), Columns(file=possible[0])).label
    if label is None:
        raise DataError(f"{_KEY}.label must name the column of the labels; {listed}")
    return _Columns(
        image=possible[0],
        nested=possible[0] in nested,
        label=label,
        group=group,
        names=names_by_column.get(label, ()),
    )


def _picture_columns(schema: Any) -> tuple[list[str], list[str]]:
    """Return the columns of a schema that are structs with ``bytes``, and those of bytes."""
    from pyarrow import types

    nested = [
        column.name
        for column in schema
        if types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0
    ]
    plain = [
        column.name
        for column in schema
        if types.is_binary(column.type) or types.is_large_binary(column.type)
    ]
    return nested, plain


def _names_in(metadata: Mapping[bytes, bytes] | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns of class labels, with the names, that Hugging Face's metadata describe."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        for name, feature in features.items():
            if feature.get("_type") == "ClassLabel" and feature.get("names"):
                yield name, tuple(map(str, feature["names"]))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return  # no metadata of this kind


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file; what a damaged one raises becomes a ``DataError`` that names it."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with open_regular(path) as file:
            yield ParquetFile(file)
    except (OSError, ArrowException, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(
            f"{path} must be a Parquet file, but can't be read ({reason}); get it again"
        ) from error
