"""Splits that keep the images of a group together, such as those of one person or object.

Such images resemble each other, so the accuracy would be too high if one trained and another
validated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.training.data.split import (
    Split,
    SplitOff,
    count_of,
    random_keys,
    shares_of,
    stratified_split,
)

#: A key of a source: the share of its images that is held out for the final evaluation.
TestFraction = Annotated[float, Field(gt=0, lt=1)]

#: The test images don't depend on the study's seed, so that no study trains on those of another.
_TEST_SEED = 0

#: More sweeps gain little, and each is slow with many groups of many classes.
_SWEEPS = 4


def compile_pattern(text: str | None, key: str) -> re.Pattern[str] | None:
    """Return the regular expression that a source's key gives; ``None`` without one.

    Raises:
        DataError: If it isn't one.
    """
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise DataError(
            f"data.source.{key} must be a regular expression, but {text!r} isn't ({error})"
        ) from error


def group_in_name(pattern: re.Pattern[str], name: str) -> str:
    """Return what a pattern matches in a file's name, or its first group; ``""`` for nothing."""
    match = pattern.search(name)
    if match is None:
        return ""
    return (match[1] or "") if pattern.groups else match[0]


def hold_out(labels: NDArray[np.int64], groups: NDArray[np.int64] | None, fraction: float) -> Split:
    """Split off a source's test images: the same ones for every study and seed.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``; ``None``: each image may be on either side.
        fraction: The share of the images that is held out, between 0 and 1.

    Returns:
        The split; its ``validation`` contains the test images.

    Raises:
        DataError: If one of the two parts would be empty.
    """
    return split_images(labels, groups, fraction, seed=_TEST_SEED, part="test")


def split_images(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    size: float | int,
    *,
    seed: int,
    part: SplitOff = "validation",
) -> Split:
    """Split off images: whole groups if there are ``groups``, else stratified.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``; ``None``: each image may be on either side.
        size: A fraction of the images (float) or their number (int).
        seed: The seed of the random order, 0 or more.
        part: What is split off.

    Returns:
        The split; its ``validation`` contains what is split off.

    Raises:
        DataError: If one of the two parts would be empty.
    """
    if groups is None:
        return stratified_split(labels, size, seed=seed, part=part)
    return grouped_split(labels, groups, size, seed=seed, part=part)


def grouped_split(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    size: float | int,
    *,
    seed: int,
    part: SplitOff = "validation",
) -> Split:
    """Split images so that no group is on both sides.

    For each class, the part that is split off is as near to its share of ``size`` as whole groups
    allow, so its total may differ from ``size`` by a few images. Each class trains with at least
    one of its groups, and is in the other part too if it has a second group to spare.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``.
        size: A fraction of the images (float) or their number (int).
        seed: The seed of the random order, 0 or more.
        part: What is split off.

    Returns:
        The split; its ``validation`` contains what is split off.

    Raises:
        DataError: If no group can be spared, or ``size`` would leave a part empty.
    """
    count = count_of(size, len(labels), part)
    _, member = np.unique(groups, return_inverse=True)
    draft = _Draft.of(labels, member, count)
    order = np.argsort(random_keys(len(draft.contents), seed=seed, stream=part)).tolist()
    for group in order:
        if draft.can_take(group) and draft.change(group, total=False) < 0:
            draft.take(group)
    draft.represent_every_class(order)
    # Rounding to whole groups in each class adds up over many classes, so these sweeps weigh the
    # total as well
    for _ in range(_SWEEPS):
        moved = [draft.improve(group) for group in order]
        if not any(moved):
            break
    mask = np.array(draft.in_part)[member]
    if not mask.any():
        raise DataError(
            "a split by group needs a class with at least two groups, one for each part, but every "
            f"one of the {len(draft.in_part)} group(s) contains all images of a class; use a "
            "pattern that makes smaller groups, or none"
        )
    return Split(train=np.flatnonzero(~mask), validation=np.flatnonzero(mask))


@dataclass
class _Draft:
    """Which groups are split off, and how far each class is from its share."""

    #: For each group: pairs of a class and its number of images.
    contents: list[list[tuple[int, int]]]
    #: Whether each group is in the part that is split off.
    in_part: list[bool]
    #: For each class: images split off, less those that should be.
    excess: list[int]
    total_excess: int
    #: For each class: groups that train, groups that are split off.
    training: list[int]
    split_off: list[int]

    @classmethod
    def of(cls, labels: NDArray[np.int64], member: NDArray[np.int64], count: int) -> _Draft:
        pairs, images = np.unique(np.stack((member, labels)), axis=1, return_counts=True)
        contents: list[list[tuple[int, int]]] = [[] for _ in range(int(member.max()) + 1)]
        for group, label, n in zip(*pairs.tolist(), images.tolist(), strict=True):
            contents[group].append((label, n))
        counts = np.bincount(labels)
        groups = np.bincount(pairs[1], minlength=len(counts))
        spare = np.where(groups >= 2, counts - 1, 0)
        lower = np.minimum(spare, 1) if count >= np.count_nonzero(spare) else 0 * counts
        shares = shares_of(counts, min(count, int(spare.sum())), lower=lower, upper=spare)
        return cls(
            contents=contents,
            in_part=[False] * len(contents),
            excess=(-shares).tolist(),
            total_excess=-int(shares.sum()),
            training=groups.tolist(),
            split_off=[0] * len(counts),
        )

    def can_take(self, group: int) -> bool:
        """Whether each class of the group has another group that trains."""
        return not self.in_part[group] and all(
            self.training[c] > 1 for c, _ in self.contents[group]
        )

    def can_give_back(self, group: int) -> bool:
        """Whether each class of the group has another group that is split off."""
        return self.in_part[group] and all(self.split_off[c] > 1 for c, _ in self.contents[group])

    def change(self, group: int, *, total: bool) -> int:
        """Return how the sum of squared excesses changes when the group changes sides.

        If ``total``, the excess over all classes counts too, as much as two classes.
        """
        sign = -1 if self.in_part[group] else 1
        parts = [(self.excess[c], sign * n) for c, n in self.contents[group]]
        if total:
            parts += [(self.total_excess, sum(n for _, n in parts))] * 2
        return sum(n * (2 * excess + n) for excess, n in parts)

    def take(self, group: int) -> None:
        """Move the group to the other side."""
        sign = -1 if self.in_part[group] else 1
        self.in_part[group] = not self.in_part[group]
        for label, n in self.contents[group]:
            self.excess[label] += sign * n
            self.total_excess += sign * n
            self.training[label] -= sign
            self.split_off[label] += sign

    def represent_every_class(self, order: list[int]) -> None:
        """Split off the smallest free group of each class that isn't in that part but should be."""
        of_class: dict[int, list[int]] = {}
        for group in order:
            for label, _ in self.contents[group]:
                of_class.setdefault(label, []).append(group)
        for label, groups in sorted(of_class.items()):
            if self.split_off[label] == 0 and self.excess[label] < 0:
                free = [group for group in groups if self.can_take(group)]
                if free:
                    self.take(min(free, key=lambda group: sum(n for _, n in self.contents[group])))

    def strays(self, group: int) -> bool:
        """Whether the move takes a class too far from its share.

        That is further than now, and by more than the class's images in the group.
        """
        sign = -1 if self.in_part[group] else 1
        return any(
            abs(self.excess[c] + sign * n) > max(n, abs(self.excess[c]))
            for c, n in self.contents[group]
        )

    def improve(self, group: int) -> bool:
        """Move the group if that brings the sizes nearer to what they should be.

        A class may miss its share for the sake of the total, but by no more than the group.
        """
        movable = self.can_give_back(group) or self.can_take(group)
        better = movable and not self.strays(group) and self.change(group, total=True) < 0
        if better:
            self.take(group)
        return better
