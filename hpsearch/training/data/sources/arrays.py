"""Arrays of images and labels in NumPy's files: ``.npz``, or a folder of ``.npy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.training.data.content import measure_once
from hpsearch.training.data.group_split import TestFraction
from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.pixel_arrays import Layout, Scale, as_pictures
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.sources.array_files import (
    StoredArray,
    arrays_in,
    describe,
    find_arrays,
)
from hpsearch.training.data.sources.held_out import source_of_parts

_KEY = "data.source.arrays"
_Names = Annotated[list[str], Field(min_length=2)]


@SOURCES.register("arrays")
def arrays(
    place: DataRoot,
    /,
    *,
    path: Path,
    labels_path: Path | None = None,
    images_key: str | None = None,
    labels_key: str | None = None,
    val_images_key: str | None = None,
    val_labels_key: str | None = None,
    test_images_key: str | None = None,
    test_labels_key: str | None = None,
    names_key: str | None = None,
    groups_key: str | None = None,
    class_names: _Names | None = None,
    val_path: Path | None = None,
    test_path: Path | None = None,
    test_fraction: TestFraction | None = None,
    layout: Layout = "auto",
    scale: Scale = "auto",
) -> Source:
    """Arrays of images and labels in an .npz file or .npy files, as MedMNIST's; without pickle.

    Labels are texts, numbers, or rows with a single 1. Without names, classes are called by their
    labels.

    Args:
        place: The data root, for stored class names.
        path: An ``.npz`` file, a folder of ``.npy`` files, or a ``.npy`` file of images.
        labels_path: The ``.npy`` file of the labels, if ``path`` is one of images.
        images_key: The array of the training images; ``None``: the one with a common name for it,
            such as ``train_images``, ``x_train`` or ``X``.
        labels_key: The array of their labels; ``None``: as ``images_key``.
        val_images_key: The array of the validation images; ``None``: as ``images_key``, or a part
            of the training images.
        val_labels_key: The array of their labels.
        test_images_key: The array of the test images; ``None``: as ``images_key``, or see
            ``test_fraction``.
        test_labels_key: The array of their labels.
        names_key: The array of the class names; ``None``: the one called ``class_names`` or
            ``label_names``, if there is one.
        groups_key: The array of one number or text per training image; equal ones stay on the same
            side of every split; ``None``: no groups.
        class_names: The class names, if no array contains them: the label 0 is the first.
        val_path: A file of validation images with the names of training images.
        test_path: A file of test images with the names of training images.
        test_fraction: The share of the images that is held out for tests if there are no test
            images, the same for every seed; ``None``: no images are held out.
        layout: The order of the pixels; ``auto``: the only one that fits the shape.
        scale: The range of the pixels; ``auto``: the only one that fits the values.

    Raises:
        DataError: If a file is missing or damaged, an array isn't found, its shape or type doesn't
            fit, or two keys contradict each other.
    """
    file = absolute(path)
    stored = arrays_in(file)
    if labels_path is not None:
        stored = _pair(file, stored, absolute(labels_path))
    keys = {
        "train": (images_key, labels_key),
        "validation": (val_images_key, val_labels_key),
        "test": (test_images_key, test_labels_key),
    }
    parts = {name: pair for name in keys if (pair := _choose(name, keys[name], file, stored))}
    for name, key, other in (("validation", "val", val_path), ("test", "test", test_path)):
        if other is None:
            continue
        if name in parts:
            raise DataError(
                f"the {name} images must be given once, but {file} contains some "
                f"({describe(parts[name])}), and {_KEY}.{key}_path gives others; leave it out"
            )
        own = absolute(other)
        pair = _choose("train", keys["train"], own, arrays_in(own, f"{_KEY}.{key}_path"))
        parts |= {name: pair} if pair else {}
    if test_fraction is not None and "test" in parts:
        raise DataError(
            f"{_KEY}.test_fraction sets test images aside if there are none, but there are "
            f"{describe(parts['test'])}; leave test_fraction out"
        )
    names_array: StoredArray | None = None
    groups: StoredArray | None = None
    if class_names is None and (array_key := names_key or find_arrays(_shapes(stored)).names):
        names_array = _require_array(stored, array_key, "names_key", file)
    if groups_key is not None:
        groups = _require_array(stored, groups_key, "groups_key", file)
    settings: dict[str, Any] = {
        "keys": {name: [array.key for array in pair] for name, pair in parts.items()},
        "groups": groups_key,
        "layout": layout,
        "scale": scale,
    }
    labels = parts["train"][1]
    if class_names is None:
        reading = {"class names": [labels.key, names_array and names_array.key]}
        measure = partial(_class_names, labels, names_array)
        names = measure_once(labels.file, reading, measure, place.memo_folder)
    else:
        names = class_names
    classes = _Classes(
        names=tuple(names), counted=class_names is not None or names_array is not None
    )
    read = {
        name: _part(pair, classes, groups if name == "train" else None, layout, scale)
        for name, pair in parts.items()
    }
    listing = "; ".join(f"{name} {describe(pair)}" for name, pair in parts.items())
    has_all_keys = all(None not in keys[name] for name in parts)
    return source_of_parts(
        "arrays",
        read,
        class_names=classes.names,
        settings=settings,
        test_fraction=test_fraction,
        origin=str(file),
        notes=() if has_all_keys else (f"arrays found in {file.name}: {listing}",),
    )


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """The names of the classes, and what a label that is a number means."""

    names: tuple[str, ...]
    #: Whether numbers count the names; else they are the names.
    counted: bool

    def labels(self, array: StoredArray) -> NDArray[np.int64]:
        """Return the class of each image, int64 ``(n,)``.

        Raises:
            DataError: If the array can't be read, or a label isn't one of the classes.
        """
        values = _values(array)
        class_labels: NDArray[Any] = np.arange(len(self.names))
        if not self.counted or values.dtype.kind == "U":
            values, class_labels = values.astype(np.str_), np.array(self.names)
        order = np.argsort(class_labels, kind="stable")
        places = np.searchsorted(class_labels, values, sorter=order).clip(max=len(class_labels) - 1)
        labels: NDArray[np.int64] = order[places].astype(np.int64)
        unknown = np.flatnonzero(class_labels[labels] != values)
        if len(unknown):
            rule = (
                f"between 0 and {len(self.names) - 1} (the number of class names minus 1)"
                if class_labels.dtype.kind != "U"
                else f"one of the classes ({first_few(self.names)})"
            )
            raise DataError(
                f"every label must be {rule}, but {len(unknown):,} of {len(values):,} in "
                f"{array.where} aren't, such as {values[unknown[0]]} at index {unknown[0]}; "
                f"correct them, or give {_KEY}.class_names"
            )
        return labels


def _class_names(labels: StoredArray, names: StoredArray | None) -> list[str]:
    """Return the class names: an array of them, or the different labels in their order."""
    if names is not None:
        texts = _values(names)
        if texts.dtype.kind != "U" or len(np.unique(texts)) != len(texts):
            raise DataError(
                f"class names must be different texts, but {names.where} isn't ({names}); give "
                f"{_KEY}.class_names"
            )
        return [str(name) for name in texts]
    different = np.unique(_values(labels))
    if len(different) < 2:
        raise DataError(
            f"there must be at least two classes, but {labels.where} contains only "
            f"{first_few(different.tolist())}; give {_KEY}.labels_key"
        )
    return [str(name) for name in different.tolist()]


def _values(array: StoredArray) -> NDArray[Any]:
    """Return labels, names or groups, ``(n,)``: texts, or whole numbers as int64.

    A column ``(n, 1)`` is the same as ``(n,)``; of rows with a single 1, the place of the 1 counts.
    """
    values: NDArray[Any] = array.read()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.ndim == 1 and values.dtype.kind == "U":
        return values
    whole = values.dtype.kind in "uif" and bool(np.all(np.mod(values, 1) == 0))
    if values.ndim == 2 and whole:
        single = ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()
        if single:
            values = values.argmax(axis=1)
    if values.ndim != 1 or not whole:
        several = " Labels of several classes for one picture can't be used." * (values.ndim == 2)
        raise DataError(
            "labels must be one whole number or text for each image, or a row with a single 1, but "
            f"{array.where} isn't ({array.dtype} {array.shape}).{several} Give {_KEY}.labels_key"
        )
    return values.astype(np.int64)


def _part(
    pair: Sequence[StoredArray],
    classes: _Classes,
    groups: StoredArray | None,
    layout: Layout,
    scale: Scale,
) -> Part:
    images, labels = pair

    def read() -> Images:
        for array in (labels, groups):
            if array is not None and array.shape[:1] != images.shape[:1]:
                raise DataError(
                    f"there must be one label, and one group if there are groups, per image, but "
                    f"{describe([images, array])} in {images.file} differ in length"
                )
        pixels = as_pictures(
            images.read(),
            layout=layout,
            scale=scale,
            key=lambda name: f"{_KEY}.{name}",
            where=images.where,
        )
        numbers = None
        if groups is not None:
            numbers = np.unique(_values(groups), return_inverse=True)[1].astype(np.int64)
        return Images(images=pixels, labels=classes.labels(labels), groups=numbers)

    opened = (*pair, *(() if groups is None else (groups,)))
    return Part(read=read, files=tuple(dict.fromkeys(array.file for array in opened)))


def _choose(
    part: str,
    keys: tuple[str | None, str | None],
    file: Path,
    stored: Mapping[str, StoredArray],
) -> tuple[StoredArray, StoredArray] | None:
    """Return the images and labels of a part; ``None`` if there are none and needn't be.

    Raises:
        DataError: If a given key isn't there, only one of the two is found, or the training images
            aren't clear.
    """
    common_keys = find_arrays(_shapes(stored))
    prefix = {"train": "", "validation": "val_", "test": "test_"}[part]
    images = keys[0] or common_keys.images.get(part)
    labels = keys[1] or common_keys.labels.get(part)
    if images is None and labels is None and part != "train":
        return None
    for what, key in (("images", images), ("labels", labels)):
        if key is None:
            raise DataError(
                f"{_KEY}.{prefix}{what}_key must name the array of the {part} {what} if none or "
                f"several have a common name for it; {file} contains {describe(stored.values())}"
            )
    return (
        _require_array(stored, images or "", f"{prefix}images_key", file),
        _require_array(stored, labels or "", f"{prefix}labels_key", file),
    )


def _require_array(
    stored: Mapping[str, StoredArray], key: str, setting: str, file: Path
) -> StoredArray:
    if key not in stored:
        raise DataError(
            f"{_KEY}.{setting} must be the name of an array, but {key!r} isn't; {file} contains "
            f"{describe(stored.values())}"
        )
    return stored[key]


def _pair(
    file: Path, images: Mapping[str, StoredArray], labels_file: Path
) -> dict[str, StoredArray]:
    labels = arrays_in(labels_file, f"{_KEY}.labels_path")
    if [len(images), len(labels)] != [1, 1] or file == labels_file:
        raise DataError(
            f"{_KEY}.labels_path is for two .npy files, path of the images and labels_path of the "
            f"labels, but got {file} and {labels_file}; leave it out for an .npz file or a folder"
        )
    (image_array,), (label_array,) = images.values(), labels.values()
    return {
        "images": replace(image_array, key="images"),
        "labels": replace(label_array, key="labels"),
    }


def _shapes(stored: Mapping[str, StoredArray]) -> dict[str, tuple[int, ...]]:
    return {key: array.shape for key, array in stored.items()}
