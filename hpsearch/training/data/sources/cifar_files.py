"""The format of CIFAR-10 and CIFAR-100, as their authors and torchvision use it: pickles.

A file is a dictionary with ``data``, uint8 ``(n, 3072)`` (1,024 red, then green, then blue
values of a 32x32 picture, row by row), and one or two lists of n labels.
Format: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.training.data.images import Images, Part
from hpsearch.training.data.restricted_pickle import read_pickle, shortened

_EDGE = 32


def part_of(files: Sequence[Path], *, classes: int, labels_key: str = "labels") -> Part:
    """Return the part that consists of the files, one after the other.

    Args:
        files: Batches, as ``read_batch`` takes them.
        classes: The number of classes.
        labels_key: The key of the labels in each file.
    """
    return Part(read=_reader(files, classes, labels_key), files=tuple(files))


def read_batch(
    path: Path, *, classes: int, labels_key: str = "labels"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images and labels of one file.

    Args:
        path: The file.
        classes: The number of classes.
        labels_key: The key of the labels in the file.

    Returns:
        Images, uint8 ``(n, 32, 32, 3)``, and labels, int64 ``(n,)``.

    Raises:
        DataError: If the file is missing, damaged, or contains something else. The message names
            it.
    """
    batch = read_pickle(path)
    rule = (
        f"a CIFAR batch must contain 'data' (n x 3072 bytes) and {labels_key!r} (n numbers), but "
        f"{path}"
    )
    data = _item(batch, "data")
    labels = _item(batch, labels_key)
    if not isinstance(data, np.ndarray) or labels is None:
        raise DataError(f"{rule} lacks them; the file is damaged, or another one")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * _EDGE * _EDGE:
        raise DataError(f"{rule} contains data of type {data.dtype} and shape {data.shape}")
    numbers = _numbers(labels)
    if numbers is None or len(numbers) != len(data) or len(data) == 0:
        content = "no list of numbers" if numbers is None else f"{len(numbers)} labels"
        raise DataError(f"{rule} contains {len(data)} images and {content}")
    if numbers.min() < 0 or numbers.max() >= classes:
        wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
        raise DataError(
            f"a label must be between 0 and {classes - 1}, but {path} contains {wrong}; the file "
            "is damaged, or another one"
        )
    return data.reshape(-1, 3, _EDGE, _EDGE).transpose(0, 2, 3, 1), numbers


def read_names(meta: Path, key: str, *, classes: int) -> tuple[str, ...]:
    """Return the class names in a ``meta`` file.

    Args:
        meta: The file.
        key: The key of the names in the file.
        classes: How many names are expected.

    Raises:
        DataError: If the file is missing, damaged, or has no such list of names.
    """
    names = _item(read_pickle(meta), key)
    if not isinstance(names, list) or len(names) != classes:
        raise DataError(
            f"{meta} must contain {classes} {key!r}, but contains {shortened(names)}; the file is "
            "damaged, or another one"
        )
    return tuple(map(_text, names))


def _reader(files: Sequence[Path], classes: int, labels_key: str) -> Callable[[], Images]:
    def read() -> Images:
        batches = [read_batch(file, classes=classes, labels_key=labels_key) for file in files]
        return Images(
            images=np.concatenate([images for images, _ in batches]),
            labels=np.concatenate([labels for _, labels in batches]),
        )

    return read


def _item(batch: Any, key: str) -> Any:
    """Return ``batch[key]``, or ``None``; in copies written by Python 3 the key may be bytes."""
    if not isinstance(batch, dict):
        return None
    return batch.get(key, batch.get(key.encode()))


def _text(name: Any) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else str(name)


def _numbers(labels: Any) -> NDArray[np.int64] | None:
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        return np.array(labels, dtype=np.int64)
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        return labels.astype(np.int64)
    return None
