"""Which columns of a table are the names of the pictures, their classes, parts and groups."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpsearch.training.data.picture_files import is_picture

#: Names of columns, the likeliest first, in lower case with ``_`` between words.
_FILE = (
    "file",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image_path",
    "image_file",
    "image_filename",
    "image_name",
    "image",
    "img_path",
    "img_file",
    "img_name",
    "img",
    "picture",
    "photo",
    "path",
    "image_index",
    "image_id",
    "img_id",
    "id_code",
    "fname",
    "name",
    "id",
)
_LABEL = (
    "label",
    "labels",
    "class",
    "class_name",
    "class_label",
    "label_name",
    "class_id",
    "target",
    "category",
    "category_name",
    "category_id",
    "diagnosis",
    "dx",
    "finding_labels",
    "finding",
    "species",
    "breed",
    "grade",
    "level",
    "y",
    "type",
)
_SPLIT = ("split", "set", "subset", "partition", "part", "data_set", "dataset", "usage", "phase")
_GROUP = (
    "group",
    "group_id",
    "patient_id",
    "patient",
    "patientid",
    "subject_id",
    "subject",
    "case_id",
    "person_id",
    "lesion_id",
    "slide_id",
    "study_id",
)

#: Values of a split column, in lower case, and the parts that they mean.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

#: Values of columns of 0 and 1.
ZEROS, ONES = ("0", "0.0"), ("1", "1.0")

#: How many rows show what the values of a column look like.
_SAMPLE = 1_000


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that a source reads; ``None``: there is none, or it isn't clear."""

    file: str | None = None
    label: str | None = None
    #: Columns of 0 and 1, one for each class, instead of ``label``.
    one_hot: tuple[str, ...] = ()
    split: str | None = None
    #: A column whose name is that of a group, such as ``patient_id``.
    group: str | None = None

    def used(self) -> list[str]:
        """Return all that aren't ``None``."""
        single = (self.file, self.label, self.split, self.group)
        return [*(name for name in single if name is not None), *self.one_hot]


def find_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]] = (), preset: Columns | None = None
) -> Columns:
    """Find a table's columns by their names, and by the values of some rows.

    Args:
        header: The names of the columns.
        rows: Some rows of texts, each as long as ``header``. With them, the column of the files is
            the one whose values end as pictures do, a split column must contain a part, and
            columns of 0 and 1 can be classes.
        preset: Columns that are known already; ``None``: none is.

    Returns:
        The columns. Those that aren't found are ``None``.
    """
    preset = preset or Columns()
    rows = rows[:_SAMPLE]
    values = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    # A column without a name is the number of the row (pandas)
    free = [name for name in header if name and name not in preset.used()]
    file, label, split, group = preset.file, preset.label, preset.split, preset.group
    if file is None:
        pictures = [name for name in free if rows and all(map(is_picture, values[name]))]
        file = pictures[0] if len(pictures) == 1 else _first(free, _FILE)
    free = [name for name in free if name != file]
    if split is None:
        split = _first(free, _SPLIT)
        if rows and split is not None and not {v.lower() for v in values[split]} & set(PARTS):
            split = None
    group = group or _first(free, _GROUP)
    free = [name for name in free if name not in (split, group)]
    one_hot = preset.one_hot
    if label is None and not one_hot:
        label = _first(free, _LABEL)
        if label is None and len(free) == 1 and file is not None:
            (label,) = free
        if label is None:
            one_hot = _one_hot(free, values)
    return Columns(file=file, label=label, one_hot=one_hot, split=split, group=group)


def _one_hot(names: Sequence[str], values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the columns of 0 and 1 among ``names`` if each row has a single 1 in them."""
    flag_columns = [name for name in names if values[name] and set(values[name]) <= {*ZEROS, *ONES}]
    sums = {
        sum(value in ONES for value in row)
        for row in zip(*(values[name] for name in flag_columns), strict=True)
    }
    return tuple(flag_columns) if len(flag_columns) > 1 and sums == {1} else ()


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    column_of = {_plain(column): column for column in reversed(columns)}
    return next((column_of[name] for name in names if name in column_of), None)


def _plain(name: str) -> str:
    """Return a column's name in lower case with ``_`` between words: ``image_index``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
