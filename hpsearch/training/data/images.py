"""What a data source returns: its parts, each read only when needed."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.registry import Registry

#: Categories of Unicode: control characters, ends of lines and paragraphs, halves of characters.
_UNPRINTABLE = ("Cc", "Zl", "Zp", "Cs")


class DamagedPicture(DataError):
    """One picture can't be decoded; the message is its name and the reason.

    Others may be damaged as well, so preparation continues and lists all of them.
    """


class Pictures(Protocol):
    """Pictures that are decoded one by one, on access. Their sizes may differ."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return one picture, uint8 ``(height, width, channels)``.

        Raises:
            DamagedPicture: If it can't be decoded. The message names the file.
        """


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A selection of pictures, without a copy."""

    pictures: NDArray[np.uint8] | Pictures
    #: int64 ``(n,)``, the indices of the selected pictures.
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self.pictures[int(self.rows[index])]


@dataclass(frozen=True, kw_only=True)
class Images:
    """The pictures of one part and their classes."""

    #: uint8 ``(n, height, width, channels)``, or pictures that are decoded on access.
    images: NDArray[np.uint8] | Pictures
    #: int64 ``(n,)``, each an index of ``Source.class_names``.
    labels: NDArray[np.int64]
    #: int64 ``(n,)``, equal if images must be on the same side of the split; ``None``: each may
    #: be on either side.
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a source: the training, validation or test images."""

    #: Decodes the part. Raises ``DataError`` that names the file if one is missing or damaged.
    read: Callable[[], Images]
    #: Every file that ``read`` opens; their contents are the part's identity in the cache.
    files: Sequence[Path] = ()
    #: Returns the name of the image with an index, for people; ``None``: images have no names.
    name_of: Callable[[int], str] | None = None
    #: Names in that identity are relative to this folder, which matters if labels follow from
    #: names; ``None``: the folder that all files have in common.
    root: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of labelled images, as a function under ``SOURCES`` returns it.

    Building a source looks for files but decodes none of them.
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    #: The source's own validation images; ``None``: a part of ``train`` is split off.
    validation: Part | None = None
    #: Opened only by ``test_images`` and ``groups_of_test_images`` in ``prepare``; ``None``: there
    #: are no test images.
    test: Part | None = None
    #: Settings that change what is read from the same files (JSON values; no paths).
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: To be increased if the reading code changes, or data that is in no file.
    version: str = "1"
    #: Where the images come from, for people: a folder, or a package.
    origin: str = ""
    #: What was found in the files and not given, such as the names of columns, each a sentence
    #: without a full stop.
    notes: tuple[str, ...] = ()
    #: What people may not expect: pictures that are left out, classes with nearly equal names.
    warnings: tuple[str, ...] = ()


SOURCES: Registry[Source] = Registry("data source")


def numbered_classes(labels: NDArray[np.integer[Any]], where: object, key: str) -> tuple[str, ...]:
    """Return the class names of a set without names: the numbers as text.

    Args:
        labels: Whole numbers ``(n,)``.
        where: What contains them, for the error.
        key: The setting that the error asks for.

    Returns:
        ``("0", "1", ...)`` up to the largest label.

    Raises:
        DataError: If a label is negative, or a number from 0 to the largest label is missing.
    """
    largest, smallest = int(labels.max(initial=0)), int(labels.min(initial=0))
    numbers = np.unique(labels)
    # The first number, counted from 0, that isn't a label
    gap = int(np.argmin(np.append(numbers == np.arange(len(numbers)), False)))
    if smallest < 0 or gap <= largest:
        wrong = smallest if smallest < 0 else f"no {gap}"
        raise DataError(
            "labels without class names must use every number from 0 to the largest one, but "
            f"{where} goes up to {largest} and has {wrong}; give {key}"
        )
    return tuple(str(number) for number in range(largest + 1))


def require_class_names(source: Source) -> None:
    """Require class names that differ and can be printed on one line.

    They are written to reports, tables, exported models and files with one name per line.

    Args:
        source: The source; errors show its name and origin.

    Raises:
        DataError: If a name is blank or contains a control character, a line break or a byte that
            isn't UTF-8, or two names look the same.
    """
    name_of: dict[str, str] = {}
    for name in source.class_names:
        bad = next((sign for sign in name if unicodedata.category(sign) in _UNPRINTABLE), None)
        if bad is not None or not name.strip():
            description = "a byte that isn't UTF-8" if bad and _is_raw_byte(bad) else ascii(bad)
            raise DataError(
                f"a class name must be printable text on one line, but {name!a} of data source "
                f"{source.name!r} ({source.origin}) "
                f"{'is blank' if bad is None else f'contains {description}'}; rename the class"
            )
        alike = unicodedata.normalize("NFC", name)
        if alike in name_of:
            raise DataError(
                f"class names must differ, but data source {source.name!r} ({source.origin}) has "
                f"{name_of[alike]!a} and {name!a}, which look the same; rename one"
            )
        name_of[alike] = name


def _is_raw_byte(char: str) -> bool:
    """Whether ``char`` is Python's replacement for a byte of a file name that isn't UTF-8."""
    return "\udc80" <= char <= "\udcff"
