"""Warnings about data that can be trained on, but makes the accuracy less reliable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.formatting import count_noun, first_few
from hpsearch.training.data.prepare import PreparedData


def data_warnings(source: str, data: PreparedData) -> tuple[str, ...]:
    """Return warnings about the images of ``source`` and their split, each a sentence.

    If a trial trains on several splits or folds, a class counts as missing if it is missing in one.
    """
    of_source = tuple(f"data source {source}: {warning}" for warning in data.warnings)
    if not len(data.val_indices):  # a model whose metrics are known already
        return of_source
    return (*of_source, *_sizes(source, data), *_classes(source, data))


def data_notes(source: str, data: PreparedData) -> tuple[str, ...]:
    """Return what was found in the files of ``source`` and not given, each a sentence."""
    return tuple(f"data source {source}: {note}" for note in data.notes)


def images_per_class(data: PreparedData) -> tuple[int, ...]:
    """Return how many images of each class train or validate, in the order of the class names."""
    used = np.union1d(data.train_indices.numpy(), data.val_indices.numpy())
    return tuple(_counts_per_class(data, used).tolist())


def _sizes(source: str, data: PreparedData) -> Iterator[str]:
    training = data.rounds[0] if data.rounds else data
    train, validation = len(training.train_indices), len(training.val_indices)
    if validation > train:
        yield (
            f"{validation:,} of the {train + validation:,} images of data source {source} are "
            f"validation images, so a model trains on {train:,} only; use a smaller "
            "data.validation to train on more"
        )


def _classes(source: str, data: PreparedData) -> Iterator[str]:
    rounds = data.rounds or (data,)
    train = np.min(
        [_counts_per_class(data, training.train_indices.numpy()) for training in rounds], axis=0
    )
    validation = _counts_per_class(data, data.val_indices.numpy())
    images = np.array(images_per_class(data))
    untrained = (train == 0) & (validation > 0)
    if untrained.any():
        yield (
            f"{_names(untrained, data.class_names)} of data source {source} {_have(untrained)} no "
            f"training image, so a model gets {int(validation[untrained].sum()):,} of the "
            f"{len(data.val_indices):,} validation images wrong in any case; get more images of "
            "each class, or use a smaller data.validation"
        )
    unseen = (validation == 0) & (images > 0)
    if unseen.any():
        yield (
            f"{_names(unseen, data.class_names)} of data source {source} {_have(unseen)} no "
            "validation image, so the accuracy doesn't include them; get more images of each "
            "class, or use data.folds"
        )
    empty = images == 0
    if empty.any():
        yield (
            f"{_names(empty, data.class_names)} of data source {source} {_have(empty)} no image at "
            "all; the model still has an output for each class"
        )


def _counts_per_class(data: PreparedData, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(data.labels.numpy()[rows], minlength=len(data.class_names))


def _have(classes: NDArray[np.bool_]) -> str:
    return "has" if classes.sum() == 1 else "have"


def _names(classes: NDArray[np.bool_], names: Sequence[str]) -> str:
    """Return ``2 of 30 classes (cat, dog)``."""
    subset = [names[index] for index in np.flatnonzero(classes).tolist()]
    of_all = f"{len(subset):,} of {count_noun(len(names), 'class', 'classes')}"
    return f"{of_all} ({first_few(subset)})"
