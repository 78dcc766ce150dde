"""The entries of a pickled dictionary: the images, their labels and the class names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.training.data.images import Images, numbered_classes
from hpsearch.training.data.pixel_arrays import Layout, Scale, as_pictures
from hpsearch.training.data.restricted_pickle import read_pickle, shortened
from hpsearch.training.data.room import show_size

#: What a list of texts or numbers becomes.
_Texts: TypeAlias = tuple[str, ...]
_Numbers: TypeAlias = NDArray[np.int64]

#: Expanded entries may take this many times the file's size, plus a constant for small files.
_MOST_TIMES, _ALWAYS = 64, 2**24


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of the entries; ``None``: the only entry that fits (of ``groups``: no groups)."""

    images: str | None
    labels: str | None
    names: str | None
    groups: str | None


def class_names_in(path: Path, keys: Keys) -> list[str]:
    """Return the names of the classes, in order.

    Args:
        path: The pickled file.
        keys: The keys of its entries.

    Raises:
        DataError: If the file can't be read, an entry isn't found, or it has no valid names.
    """
    return list(_Entries(path, keys).class_names())


def read_images(
    path: Path, keys: Keys, class_names: Sequence[str], *, layout: Layout, scale: Scale
) -> Images:
    """Return the images of a file, with labels and groups.

    Args:
        path: The pickled file.
        keys: The keys of its entries.
        class_names: The names of the classes, in order.
        layout: The order of the pixels.
        scale: The range of the pixels.

    Raises:
        DataError: If the file can't be read, an entry isn't found, or images, labels or groups
            aren't valid.
    """
    entries = _Entries(path, keys)
    labels = entries.labels(class_names)
    pictures = as_pictures(
        entries.pixels(), layout=layout, scale=scale, key=_key, where=entries.where("images")
    )
    return Images(images=pictures, labels=labels, groups=entries.groups())


def _require_proportion(path: Path, entries: Mapping[str, Any]) -> None:
    """Raise ``DataError`` if an entry expands to far more than the file's size.

    A file can refer to the same list many times.
    """
    most = _MOST_TIMES * path.stat().st_size + _ALWAYS
    for key, value in entries.items():
        size = _expanded_size(value, {})
        if size > most:
            raise DataError(
                f"{path} must contain about as much data as its size, but {shortened(key)} repeats "
                f"the same lists and expands to {show_size(size)}; save it as an array"
            )


def _expanded_size(value: Any, sizes: dict[int, int]) -> int:
    """Return how many bytes ``value`` takes if every reference is expanded."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, str | bytes):
        return len(value)
    if not isinstance(value, list | tuple | dict):
        return 8
    if id(value) not in sizes:
        items = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = sum(_expanded_size(item, sizes) for item in items)
    return sizes[id(value)]


def _key(name: str) -> str:
    return f"data.source.pickled_dict.{name}"


class _Entries:
    """One file's dictionary, and the entries that were chosen from it."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path = path
        content = read_pickle(path)
        if not isinstance(content, dict):
            raise DataError(
                f"{path} must contain a dictionary of images and labels, but contains "
                f"{_describe(content)}"
            )
        self._entries = {_name(key): value for key, value in content.items()}
        _require_proportion(path, self._entries)
        self._keys: dict[str, str] = {}
        self._choose("images", keys.images, _candidates_for_images)
        self._count = len(self._entries[self._keys["images"]])
        self._choose("labels", keys.labels, self._candidates_for_labels)
        self._choose("names", keys.names, self._candidates_for_names, optional=True)
        if keys.groups is not None:
            self._choose("groups", keys.groups, _no_candidates)

    def where(self, what: str) -> str:
        """Return an entry's key and file, for errors."""
        return f"{self._keys[what]!r} in {self._path}"

    def pixels(self) -> NDArray[Any]:
        value = self._entries[self._keys["images"]]
        pixels = _array(value)
        if pixels is None:
            raise DataError(
                f"images must be one array, or a list of arrays of the same shape, but "
                f"{self.where('images')} is {_describe(value)}"
            )
        return pixels

    def class_names(self) -> _Texts:
        texts, labels = _texts(self._value("labels")), _numbers(self._value("labels"))
        if "names" in self._keys:
            names = _texts(self._value("names"))
            if not names or len(set(names)) != len(names):
                raise DataError(
                    f"class names must be a list of different texts, but {self.where('names')} is "
                    f"{_describe(self._value('names'))}: {shortened(self._value('names'))}"
                )
            return names
        if texts:
            return tuple(sorted(set(texts)))
        labels = self._whole_numbers(labels)
        where = self.where("labels")
        return numbered_classes(labels, where, f"the entry of the names as {_key('names_key')}")

    def labels(self, class_names: Sequence[str]) -> _Numbers:
        value = self._value("labels")
        texts = _texts(value)
        if texts:
            unknown = sorted(set(texts) - set(class_names))
            if unknown:
                raise DataError(
                    f"every label must be one of the classes ({first_few(class_names)}), but "
                    f"{self.where('labels')} contains {first_few(unknown)}"
                )
            places = {name: place for place, name in enumerate(class_names)}
            labels = np.array([places[text] for text in texts], dtype=np.int64)
        else:
            labels = self._whole_numbers(_numbers(value))
        if len(labels) != self._count:
            raise DataError(
                f"there must be one label per image, but {self._path} contains {self._count:,} "
                f"images ({self._keys['images']!r}) and {len(labels):,} labels "
                f"({self._keys['labels']!r})"
            )
        outside = labels[(labels < 0) | (labels >= len(class_names))]
        if len(outside):
            raise DataError(
                f"a label must be between 0 and {len(class_names) - 1} (the number of class names "
                f"minus 1), but {self.where('labels')} contains {outside[0]} ({len(outside):,} of "
                f"{len(labels):,} are outside)"
            )
        return labels

    def groups(self) -> NDArray[np.int64] | None:
        if "groups" not in self._keys:
            return None
        value = self._value("groups")
        groups: Sequence[Any] | _Numbers | None = _texts(value) or _numbers(value)
        if groups is None or len(groups) != self._count:
            raise DataError(
                f"groups must be a list of one number or text per image ({self._count:,}), but "
                f"{self.where('groups')} is {_describe(value)}"
            )
        return np.unique(np.array(groups), return_inverse=True)[1].astype(np.int64)

    def _value(self, what: str) -> Any:
        return self._entries[self._keys[what]]

    def _whole_numbers(self, labels: _Numbers | None) -> _Numbers:
        if labels is None:
            raise DataError(
                f"labels must be a list of whole numbers or of texts, but "
                f"{self.where('labels')} is {_describe(self._value('labels'))}"
            )
        return labels

    def _choose(
        self,
        what: str,
        setting: str | None,
        candidates: Callable[[Mapping[str, Any]], list[str]],
        *,
        optional: bool = False,
    ) -> None:
        """Choose the entry of ``what``: the given one, or the only one that fits."""
        keys = [setting] if setting is not None else candidates(self._entries)
        if optional and not keys:
            return
        if len(keys) == 1 and keys[0] in self._entries:
            self._keys[what] = keys[0]
            return
        listing = ", ".join(f"{key!r}: {_describe(value)}" for key, value in self._entries.items())
        if setting is not None:
            rule = f"{_key(what + '_key')} must be a key of the dictionary, but {setting!r} isn't"
        else:
            several = " and ".join(map(repr, keys)) or "none"
            rule = (
                f"{_key(what + '_key')} must name the entry that contains the {what} if it isn't "
            )
            rule += f"clear, but {several} could"
        raise DataError(f"{rule}; {self._path} contains {listing or 'nothing'}")

    def _candidates_for_labels(self, entries: Mapping[str, Any]) -> list[str]:
        numbers = {key: _numbers(value) for key, value in entries.items()}
        lists = [key for key, column in numbers.items() if column is not None]
        # If no list has the right length, take the others: the error about the length names one
        return [key for key in lists if len(entries[key]) == self._count] or lists

    def _candidates_for_names(self, entries: Mapping[str, Any]) -> list[str]:
        labels = _numbers(self._value("labels"))
        if labels is None:
            return []
        texts = {key: _texts(value) for key, value in entries.items()}
        return [
            key
            for key, names in texts.items()
            if names and len(names) != self._count  # one text per image: file names
        ]


def _candidates_for_images(entries: Mapping[str, Any]) -> list[str]:
    arrays = {key: _array(value) for key, value in entries.items()}
    shapes = {key: array.shape for key, array in arrays.items() if array is not None}
    pictures = [key for key, shape in shapes.items() if len(shape) in (3, 4)]
    flat = [key for key, shape in shapes.items() if len(shape) == 2 and shape[1] > 1]
    return pictures or flat


def _no_candidates(entries: Mapping[str, Any]) -> list[str]:
    return []


def _name(key: Any) -> str:
    """Return a key as text; in files for Python 2, keys are bytes."""
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _array(value: Any) -> NDArray[Any] | None:
    """Return an array of two dimensions or more, from an array or nested lists, or ``None``."""
    if (
        isinstance(value, list | tuple)
        and value
        and isinstance(value[0], np.ndarray | list | tuple)
    ):
        try:
            value = np.array(value)
        except (ValueError, TypeError, OverflowError):
            return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "buif" and value.ndim >= 2:
        return value
    return None


def _numbers(value: Any) -> _Numbers | None:
    """Return a list (or a column) of whole numbers as int64 ``(n,)``, or ``None``."""
    if isinstance(value, list | tuple) and value and all(type(item) is int for item in value):
        try:
            return np.array(value, dtype=np.int64)
        except OverflowError:
            return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        column = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
        return column.astype(np.int64) if column.ndim == 1 else None
    return None


def _texts(value: Any) -> _Texts | None:
    """Return a list of texts, or ``None``."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "SU":
        value = value.tolist()
    if isinstance(value, list | tuple) and value:
        if not all(isinstance(item, str | bytes) for item in value):
            return None
        return tuple(_name(item) for item in value)
    return None


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {value.shape}"
    if isinstance(value, list | tuple | dict):
        kinds = sorted({type(item).__name__ for item in value})
        return f"a {type(value).__name__} of {len(value):,} ({', '.join(kinds[:3])})"
    return f"a value of type {type(value).__name__}"
