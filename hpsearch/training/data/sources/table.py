"""A table of pictures: CSV, TSV or Parquet with a column of file names and one of classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.formatting import count_noun, first_few
from hpsearch.training.data.group_split import (
    TestFraction,
    compile_pattern,
    group_in_name,
    hold_out,
)
from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.picture_files import Colour, is_picture
from hpsearch.training.data.picture_places import NotFound, PicturePlace
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.table_columns import ONES, PARTS, ZEROS, Columns, find_columns
from hpsearch.training.data.sources.table_rows import TableRows, read_table

_KEY = "data.source.table"
_Names = Annotated[list[str], Field(min_length=2)]
#: How many lines with the same fault a message shows.
_SHOWN = 3
#: Tables of up to this many training rows may have as many classes as rows.
_FEW = 20
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_WORDS = {"train": "training", "validation": "validation", "test": "test"}


@SOURCES.register("table")
def table(
    place: DataRoot,
    /,
    *,
    path: Path,
    images_path: Path | None = None,
    file: str | None = None,
    label: str | None = None,
    one_hot: list[str] | None = None,
    split: str | None = None,
    group: str | None = None,
    group_pattern: str | None = None,
    class_names: _Names | None = None,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    colour: Colour = "rgb",
) -> Source:
    """A CSV, TSV or Parquet table of file names and classes, and a folder or zip of the pictures.

    The first row contains the names of the columns. Pictures of different sizes need
    ``data.input_size``.

    Args:
        place: The data root; unused.
        path: The table.
        images_path: The folder of the pictures, which may be in subfolders, or a ``.zip`` file;
            ``None``: the folder of the table.
        file: The column of the file names, with or without ending; ``None``: the one with a common
            name for it, such as ``image``.
        label: The column of the classes; ``None``: the one with a common name for it.
        one_hot: Columns of 0 and 1, one for each class and named as it, instead of ``label``;
            ``None``: they are found if each row has a single 1 in them.
        split: The column of the parts (``train``, ``validation`` or ``val``, ``test``); ``None``:
            the one with a common name for it and such values, or no column.
        group: A column; pictures with the same value stay on the same side of every split;
            ``None``: each picture may be on either side.
        group_pattern: Instead of a column, a regular expression: pictures stay on the same side of
            every split if it matches the same text in their file names (that of its first group, if
            it has one).
        class_names: The classes in their order; ``None``: the labels of the training pictures,
            sorted.
        val_path: A table of validation pictures with the same columns.
        test_path: A table of test pictures with the same columns.
        test_fraction: The share of the pictures that is held out for tests if there are no test
            pictures, the same for every seed; ``None``: no pictures are held out.
        colour: ``rgb`` or ``gray``; pictures are converted to it.

    Raises:
        DataError: If a table can't be read, has no such column, names pictures that aren't there
            or rows without a class, or two keys contradict each other.
    """
    if group is not None and group_pattern is not None:
        raise DataError(
            f"groups are given once, but {_KEY} has both group and group_pattern; leave one out"
        )
    pattern = compile_pattern(group_pattern, "table.group_pattern")
    main = read_table(absolute(path))
    preset = Columns(file=file, label=label, one_hot=tuple(one_hot or ()), split=split, group=group)
    all_columns = find_columns(main.header, main.rows, preset)
    columns = replace(all_columns, group=group)
    _require_columns(main, columns)
    pictures = PicturePlace(
        main.path.parent if images_path is None else absolute(images_path), f"{_KEY}.images_path"
    )
    parts, repeated = _parts(main, columns, pictures, pattern)
    for name, key, other in (("validation", "val", val_path), ("test", "test", test_path)):
        if other is not None:
            own = read_table(absolute(other), f"{_KEY}.{key}_path")
            if name in parts:
                raise DataError(
                    f"the {name} pictures must be given once, but column {columns.split!r} of "
                    f"{main.path} marks some, and {_KEY}.{key}_path gives {own.path}; leave one "
                    "of them out"
                )
            # Their part is given, whatever a column of the training table's name says there
            own_columns = replace(columns, split=None)
            _require_columns(own, own_columns)
            listed, more = _parts(own, own_columns, pictures, pattern)
            parts[name], repeated = listed["train"], repeated + more
    if test_fraction is not None and "test" in parts:
        raise DataError(
            f"{_KEY}.test_fraction sets test pictures aside if there are none, but there are "
            f"{len(parts['test'].rows):,}; leave test_fraction out"
        )
    _require_apart(parts)
    names = tuple(class_names or _class_names(parts["train"]))
    # Labels are checked before anything is decoded, except those of test pictures: they stay closed
    for name in ("train", "validation"):
        if name in parts:
            parts[name].labels(names)
    if test_fraction is not None:
        train = parts["train"]
        side = hold_out(train.labels(names), train.groups(), test_fraction)
        parts |= {"train": train.at(side.train), "test": train.at(side.validation)}
    read = {
        name: Part(
            read=_reader(rows, names, colour),
            files=(rows.table.path, *pictures.files(rows.pictures)),
            name_of=partial(_name, rows),
        )
        for name, rows in parts.items()
    }
    return Source(
        name="table",
        class_names=names,
        train=read["train"],
        validation=read.get("validation"),
        test=read.get("test"),
        settings={
            "columns": [columns.file, columns.label, *columns.one_hot, columns.split, group],
            "test_fraction": test_fraction,
            "colour": colour,
            # Not for other studies, whose prepared images have no such setting
            **({} if group_pattern is None else {"group_pattern": group_pattern}),
        },
        origin=str(main.path),
        notes=_notes(main, columns, preset),
        warnings=tuple(
            _warnings(main, columns, None if pattern else all_columns.group, names, repeated)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The rows of a part, and their pictures."""

    table: TableRows
    columns: Columns
    place: PicturePlace
    #: Indices of the table's rows, and of the pictures in ``place``.
    rows: Sequence[int]
    pictures: Sequence[int]
    #: Finds a picture's group in its file name; ``None``: a column has it, if any.
    pattern: re.Pattern[str] | None = None

    def at(self, indices: NDArray[np.int64]) -> _Rows:
        return replace(
            self,
            rows=[self.rows[index] for index in indices],
            pictures=[self.pictures[index] for index in indices],
        )

    def values(self, column: str) -> list[str]:
        place = self.table.header.index(column)
        return [self.table.rows[row][place] for row in self.rows]

    def label_texts(self) -> list[str]:
        """Return the label of each picture; ``""`` if it has none. Raises ``DataError``."""
        if self.columns.label is not None:
            return self.values(self.columns.label)
        faults, texts = _Faults(self.table), []
        names = self.columns.one_hot
        for row, marks in zip(self.rows, zip(*map(self.values, names), strict=True), strict=True):
            marked = [name for name, mark in zip(names, marks, strict=True) if mark in ONES]
            if not set(marks) <= {*ZEROS, *ONES}:
                faults.add("other values", row, ", ".join(marks))
            elif len(marked) != 1:
                faults.add("no single 1", row, ", ".join(marks))
            texts.append(marked[0] if marked else "")
        faults.require_none(
            f"every row of {self.table.path} must have a single 1, and else 0, in the columns "
            f"{first_few(names)}",
            "a picture has one class; correct these rows or remove them",
        )
        return texts

    def labels(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the class of each picture, int64 ``(n,)``. Raises ``DataError``."""
        numbers = {name: number for number, name in enumerate(names)}
        texts, faults = self.label_texts(), _Faults(self.table)
        for row, text in zip(self.rows, texts, strict=True):
            if not text:
                faults.add("no label", row)
            elif text not in numbers:
                faults.add("an unknown label", row, text)
        faults.require_none(
            f"every row of {self.table.path} must have one of the classes ({first_few(names)}) in "
            f"column {self.columns.label!r}",
            "correct these rows or remove them",
        )
        return np.array([numbers[text] for text in texts], dtype=np.int64)

    def group_texts(self) -> list[str] | None:
        """Return the group of each picture, ``""`` if it has none; ``None`` without groups."""
        if self.pattern is not None:
            names = self.values(self.columns.file or "")
            return [group_in_name(self.pattern, Path(name).name) for name in names]
        return None if self.columns.group is None else self.values(self.columns.group)

    def groups(self) -> NDArray[np.int64] | None:
        values = self.group_texts()
        if values is None:
            return None
        numbers = {text: number for number, text in enumerate(sorted(set(values)))}
        return np.array([numbers[value] for value in values], dtype=np.int64)


@dataclass(frozen=True)
class _Faults:
    """Rows that can't be used, by the kind of the fault."""

    table: TableRows
    kinds: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, row: int, value: str = "") -> None:
        place = f"{self.table.unit} {self.table.places[row]}"
        self.kinds.setdefault(kind, []).append(f"{place}: {value}" if value else place)

    def require_none(self, rule: str, advice: str) -> None:
        """Raise ``DataError`` with the first lines of each kind if there are faults."""
        if not self.kinds:
            return
        descriptions = [
            f"{kind} in {count_noun(len(places), 'row')} ({first_few(places, _SHOWN, '; ')})"
            for kind, places in self.kinds.items()
        ]
        raise DataError(f"{rule}, but there is {' and '.join(descriptions)}; {advice}")


def _require_columns(table: TableRows, columns: Columns) -> None:
    """Raise ``DataError`` if the columns aren't in a table, or file names or classes lack one."""
    listed = f"the columns of {table.path} are {first_few([*map(repr, table.header)], 30)}"
    if any(map(is_picture, table.header)):
        raise DataError(f"the first row of a table must contain the names of its columns; {listed}")
    missing = [name for name in columns.used() if name not in table.header]
    if missing:
        raise DataError(
            f"{_KEY} must name columns of the table, but {missing[0]!r} isn't one; {listed}"
        )
    for key, what, name in (
        ("file", "file names", columns.file),
        ("label", "classes", columns.label or columns.one_hot),
    ):
        if not name:
            raise DataError(
                f"{_KEY}.{key} must name the column of the {what} if none has a common name for "
                f"it; {listed}"
            )
    twice = [name for name in columns.used() if [*table.header, *columns.used()].count(name) != 2]
    if twice:
        raise DataError(
            f"a column must have a name and a use of its own, but {twice[0]!r} is there or used "
            f"twice; {listed}"
        )


def _parts(
    table: TableRows, columns: Columns, place: PicturePlace, pattern: re.Pattern[str] | None
) -> tuple[dict[str, _Rows], int]:
    """Return the rows of each part, and how many rows are left out since they are repeated.

    Without a split column, all are training pictures.

    Raises:
        DataError: If rows name no picture, no part or no group, or the picture of another row.
    """
    whole = _Rows(
        table=table,
        columns=columns,
        place=place,
        rows=range(len(table.rows)),
        pictures=(),
        pattern=pattern,
    )
    parts: dict[str, tuple[list[int], list[int]]] = {}
    splits = ["train"] * len(table.rows) if columns.split is None else whole.values(columns.split)
    faults, missing, row_of, repeated = _Faults(table), 0, dict[int, int](), 0
    for row, (name, split) in enumerate(zip(whole.values(columns.file or ""), splits, strict=True)):
        part = PARTS.get(split.lower())
        if part is None:
            faults.add("no or an unknown part", row, split)
            continue
        try:
            picture = place.find(name)
        except NotFound as error:
            missing += 1
            faults.add(error.kind, row, error.detail)
            continue
        first = row_of.setdefault(picture, row)
        if first == row:
            rows, pictures = parts.setdefault(part, ([], []))
            rows.append(row)
            pictures.append(picture)
        elif table.rows[first] == table.rows[row]:
            repeated += 1
        else:
            other = f"{name} is in {table.unit} {table.places[first]} with other values"
            faults.add("a picture for the second time", row, other)
    lacks = "no match of group_pattern" if pattern else f"no value of {columns.group!r}"
    for row, value in enumerate(whole.group_texts() or ()):
        if not value:
            faults.add(lacks, row)
    hint = (
        f"{place.path} contains {place.contents}; add the pictures, remove the rows, or give "
        f"{_KEY}.images_path"
    )
    faults.require_none(
        f"every row of {table.path} must name a picture of its own"
        + (f" and its part ({', '.join(PARTS)})" if columns.split else ""),
        hint if missing else "correct these rows or remove them",
    )
    if "train" not in parts:
        raise DataError(
            f"a table must have training pictures, but column {columns.split!r} of {table.path} "
            f"marks only {first_few(sorted(parts))}"
        )
    return {
        part: replace(whole, rows=rows, pictures=pictures)
        for part, (rows, pictures) in parts.items()
    }, repeated


def _require_apart(parts: Mapping[str, _Rows]) -> None:
    """Raise ``DataError`` if two parts share a picture or a group."""
    pictures: dict[int, str] = {}
    groups: dict[str, str] = {}
    for part, rows in parts.items():
        for picture in rows.pictures:
            if pictures.setdefault(picture, part) != part:
                raise DataError(
                    f"no picture may be in two parts, but {rows.place.name_of(picture)} is a "
                    f"{_WORDS[pictures[picture]]} and a {_WORDS[part]} picture; remove a row"
                )
        own = set(rows.group_texts() or ())
        shared = sorted(own & set(groups))
        if shared:
            raise DataError(
                f"no group may be in two parts, but {len(shared):,} are among the "
                f"{_WORDS[groups[shared[0]]]} and the {_WORDS[part]} pictures: "
                f"{first_few(shared)}; move each group into one of them"
            )
        groups |= dict.fromkeys(own, part)


def _class_names(rows: _Rows) -> list[str]:
    """Return the labels of the pictures in their order: numbers by size, other texts by letter."""
    names = {text for text in rows.label_texts() if text}
    source = repr(rows.columns.label or rows.columns.one_hot)
    if len(names) < 2:
        raise DataError(
            f"a table must have at least two classes, but column {source} of {rows.table.path} "
            f"contains {f'only {first_few([*names])}' if names else 'none'}; give {_KEY}.label"
        )
    if 2 * len(names) > len(rows.rows) > _FEW:
        raise DataError(
            f"classes must repeat, but column {source} of {rows.table.path} has {len(names):,} "
            f"values in {len(rows.rows):,} rows, such as {first_few(sorted(names), _SHOWN)}; give "
            f"the column of the classes as {_KEY}.label"
        )
    if all(_WHOLE.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _notes(table: TableRows, columns: Columns, preset: Columns) -> tuple[str, ...]:
    """Return which columns were found."""
    uses = {"file names": columns.file, "classes": columns.label, "parts": columns.split}
    preset_names = preset.used()
    listing = [
        f"{name!r} ({use})" for use, name in uses.items() if name and name not in preset_names
    ]
    if columns.one_hot and not preset.one_hot:
        listing.append(f"{first_few([*map(repr, columns.one_hot)])} (a class each)")
    return (f"columns found in {table.path.name}: {', '.join(listing)}",) if listing else ()


def _warnings(
    table: TableRows, columns: Columns, group: str | None, names: Sequence[str], repeated: int
) -> Iterator[str]:
    """Yield what people may not expect of how a table was read."""
    if group is not None and columns.group is None:
        values = set(table.column(group))
        if len(values) < len(table.rows):
            split = [] if columns.split is None else table.column(columns.split)
            divided = split and len({*zip(table.column(group), split, strict=True)}) > len(values)
            yield (
                f"column {group!r} of {table.path.name} has {len(values):,} values in "
                f"{len(table.rows):,} rows; "
            ) + (
                "some are in several parts, so a model may be judged by near copies of what it "
                "was trained on"
                if divided
                else f"give group: {group} to keep the pictures of each on one side of every split"
            )
    if repeated:
        yield (
            f"left out, since they repeat other rows of {table.path.name}: "
            f"{count_noun(repeated, 'row')}"
        )
    folded = Counter(name.casefold() for name in names)
    alike = [name for name in names if folded[name.casefold()] > 1]
    if alike:
        yield f"classes that differ only in upper and lower case: {first_few(alike)}"
    joined = [name for name in names if "|" in name and set(name.split("|")) <= set(names)]
    if joined:
        yield (
            f"{count_noun(len(joined), 'label')} of several classes, such as {joined[0]}, count as "
            "classes of their own"
        )


def _name(rows: _Rows, index: int) -> str:
    return rows.place.name_of(rows.pictures[index])


def _reader(rows: _Rows, names: Sequence[str], colour: Colour) -> Callable[[], Images]:
    def read() -> Images:
        return Images(
            images=rows.place.pictures(rows.pictures, colour),
            labels=rows.labels(names),
            groups=rows.groups(),
        )

    return read
