"""Several splits for one trial: the folds of cross-validation, or repeated random splits.

With few images, one split isn't enough: the choice of validation images changes the metric more
than the configuration does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.seeds import hashed_seed
from hpsearch.training.data.group_split import split_images
from hpsearch.training.data.split import Indices, Split, random_keys


def fold_splits(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    folds: int,
    *,
    seed: int,
    class_names: Sequence[str],
) -> tuple[Split, ...]:
    """Divide the images into folds, each of which validates once and trains the other times.

    Each fold gets its share of each class, give or take one image. With ``groups``, the shares are
    as exact as whole groups allow, and no group is in two folds. For each fold, every class has
    training images outside it.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``; ``None``: each image may be in any fold.
        folds: The number of folds.
        seed: The seed of the random order, 0 or more.
        class_names: The names of the classes, for errors.

    Returns:
        One split for each fold.

    Raises:
        DataError: If there are fewer images (or groups) than folds, or a class would be in one
            fold only.
    """
    _require_enough(labels, groups, folds, class_names)
    if groups is None:
        fold_of = _stratified(labels, folds, seed)
    else:
        fold_of = _grouped(labels, groups, folds, seed, class_names)
    return tuple(
        Split(train=np.flatnonzero(fold_of != fold), validation=np.flatnonzero(fold_of == fold))
        for fold in range(folds)
    )


def repeated_splits(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    size: float | int,
    splits: int,
    *,
    seed: int,
) -> tuple[Split, ...]:
    """Split off validation images several times, each time with another seed.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``; ``None``: each image may be on either side.
        size: A fraction of the images (float) or their number (int).
        splits: The number of splits.
        seed: The seed from which those of the splits follow.

    Raises:
        DataError: If a part of a split would be empty.
    """
    return tuple(
        split_images(labels, groups, size, seed=hashed_seed(seed, "split", number))
        for number in range(splits)
    )


def _require_enough(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    folds: int,
    class_names: Sequence[str],
) -> None:
    units, what = len(labels), "images"
    of_class = np.bincount(labels)
    if groups is not None:
        pairs = np.unique(np.stack((groups, labels)), axis=1)
        units, what = len(np.unique(groups)), "groups of images"
        of_class = np.bincount(pairs[1])
    if units < folds:
        raise DataError(
            f"data.folds may be at most the number of {what} ({units}), so that none is empty, "
            f"but got {folds}; use fewer folds"
        )
    alone = np.flatnonzero(of_class == 1)
    if len(alone):
        raise DataError(
            f"data.folds needs two {what} of each class, one for validation and one for training, "
            f"but there is only one of class {class_names[alone[0]]!r}"
            + (f" and of {len(alone) - 1} more" if len(alone) > 1 else "")
            + "; add some, leave the class out, or use data.splits, which puts such an image into "
            "training"
        )


def _stratified(labels: NDArray[np.int64], folds: int, seed: int) -> Indices:
    """Return the fold of each image: the images of each class, in random order, take turns."""
    keys = random_keys(len(labels), seed=seed, stream="folds")
    order = np.lexsort((keys, labels))
    fold_of = np.empty(len(labels), dtype=np.int64)
    # Each class continues after the last fold of the previous one, so sizes differ by one at most
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of


def _grouped(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: int,
    seed: int,
    class_names: Sequence[str],
) -> Indices:
    """Return the fold of each image: from the largest group on, each goes where it costs least."""
    _, member = np.unique(groups, return_inverse=True)
    contents = np.zeros((int(member.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(contents, (member, labels), 1)
    keys = random_keys(len(contents), seed=seed, stream="folds")
    order = np.lexsort((keys, -contents.sum(1))).tolist()
    table = _Table.of(contents, folds)
    for group in order:
        table.put(group, min(range(folds), key=lambda fold: table.cost(group, fold)))
    table.spread_every_class(order, class_names)
    return np.array(table.fold_of)[member]


@dataclass
class _Table:
    """Which group is in which fold, and how many images of each class a fold contains."""

    #: Images by group and class, int64 ``(groups, classes)``.
    contents: Indices
    #: Images by fold and class, times the number of folds, less the images of the class: 0 if the
    #: fold has its exact share. Whole numbers, so that no rounding differs between platforms.
    excess: Indices
    #: Number of groups by fold and class, int64 ``(folds, classes)``.
    groups: Indices
    #: The fold of each group; -1 before it has one.
    fold_of: list[int]

    @classmethod
    def of(cls, contents: Indices, folds: int) -> _Table:
        classes = contents.shape[1]
        return cls(
            contents=contents,
            excess=np.tile(-contents.sum(0), (folds, 1)),
            groups=np.zeros((folds, classes), dtype=np.int64),
            fold_of=[-1] * len(contents),
        )

    def cost(self, group: int, fold: int) -> tuple[int, int]:
        """Return how much the sum of squared excesses grows if the group is put into the fold.

        The first number is summed over classes; the second, for ties, is of all classes together.
        """
        added, before = len(self.excess) * self.contents[group], self.excess[fold]
        together, total = int(before.sum()), int(added.sum())
        return int((added * (2 * before + added)).sum()), total * (2 * together + total)

    def put(self, group: int, fold: int) -> None:
        """Move the group into the fold."""
        now, images = self.fold_of[group], self.contents[group]
        if now >= 0:
            self.excess[now] -= len(self.excess) * images
            self.groups[now] -= images > 0
        self.fold_of[group] = fold
        self.excess[fold] += len(self.excess) * images
        self.groups[fold] += images > 0

    def spread_every_class(self, order: list[int], class_names: Sequence[str]) -> None:
        """Move groups until each class is in two folds, so that it trains beside each fold.

        Args:
            order: The groups, in the order in which they are tried.
            class_names: The names of the classes, for the error.

        Raises:
            DataError: If no group of a class can move.
        """
        for label in range(self.contents.shape[1]):
            if np.count_nonzero(self.groups[:, label]) != 1:
                continue
            fold = int(self.groups[:, label].argmax())
            inside = [g for g in order if self.fold_of[g] == fold and self.contents[g, label]]
            moves = [
                (self.cost(group, other), group, other)
                for group in inside
                for other in range(len(self.excess))
                if other != fold and self._may_leave(group, fold)
            ]
            if not moves:
                raise DataError(
                    f"data.folds can't divide these groups: those of class {class_names[label]!r} "
                    "would all be in one fold, so no other fold could train on it; use another "
                    "number of folds"
                )
            _, group, other = min(moves)
            self.put(group, other)

    def _may_leave(self, group: int, fold: int) -> bool:
        """Whether the fold keeps another group, and no class goes from two folds to one."""
        if self.fold_of.count(fold) < 2:
            return False
        of_group = np.flatnonzero(self.contents[group])
        elsewhere = np.count_nonzero(self.groups[:, of_group], axis=0)
        # A class in one fold can only gain by the move; a class in two folds may lose one
        return bool(np.all((elsewhere != 2) | (self.groups[fold, of_group] > 1)))
