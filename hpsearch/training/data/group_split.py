"""Splits that keep images together which belong together: the same person, the same object.

Such images resemble each other, so one in training and one in validation would flatter the model.
"""

from __future__ import annotations

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

#: The study's seed plays no part in what is held out, so that it stays closed to every study.
_TEST_SEED = 0

#: Later sweeps hardly gain anything, and with many groups of many classes each takes its time.
_SWEEPS = 4


def hold_out(labels: NDArray[np.int64], groups: NDArray[np.int64] | None, fraction: float) -> Split:
    """Split off a source's test images: the same ones for every study and seed."""
    return split_images(labels, groups, fraction, seed=_TEST_SEED, part="test")


def split_images(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    size: float | int,
    *,
    seed: int,
    part: SplitOff = "validation",
) -> Split:
    """Split off ``size`` images, by group where there are ``groups``, else stratified."""
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
    """Split ``len(labels)`` images so that no group is on both sides.

    ``groups`` holds one number per image, equal where images belong together. Class by class the
    part that is split off comes as near to its share of ``size`` as whole groups allow, so its
    total may differ from ``size`` by a few images. A class trains with at least one of its groups,
    and is in the other part too where it has a second group to spare. Raises ``DataError`` where
    no group can be spared.
    """
    count = count_of(size, len(labels), part)
    _, member = np.unique(groups, return_inverse=True)
    draft = _Draft.of(labels, member, count)
    order = np.argsort(random_keys(len(draft.contents), seed=seed, stream=part)).tolist()
    for group in order:
        if draft.can_take(group) and draft.change(group, total=False) < 0:
            draft.take(group)
    draft.represent_every_class(order)
    # Rounding to whole groups in each class adds up over many classes: now with an eye on the total
    for _ in range(_SWEEPS):
        moved = [draft.improve(group) for group in order]
        if not any(moved):
            break
    chosen = np.array(draft.taken)[member]
    if not chosen.any():
        raise DataError(
            f"a split by group needs a class with two groups at least, one for each part, but "
            f"every one of the {len(draft.taken)} group(s) holds all images of a class; "
            "use a pattern that makes smaller groups, or none"
        )
    return Split(train=np.flatnonzero(~chosen), validation=np.flatnonzero(chosen))


@dataclass
class _Draft:
    """Which groups are split off, and how far each class is from its share."""

    #: Of each group: (class, images of it).
    contents: list[list[tuple[int, int]]]
    #: Whether each group is split off.
    taken: list[bool]
    #: Of each class: images split off, less those that should be.
    excess: list[int]
    total_excess: int
    #: Of each class: groups that train, groups that are split off.
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
            taken=[False] * len(contents),
            excess=(-shares).tolist(),
            total_excess=-int(shares.sum()),
            training=groups.tolist(),
            split_off=[0] * len(counts),
        )

    def can_take(self, group: int) -> bool:
        """Whether each class of the group would still train with another one."""
        return not self.taken[group] and all(self.training[c] > 1 for c, _ in self.contents[group])

    def can_give_back(self, group: int) -> bool:
        """Whether each class of the group would still be split off with another one."""
        return self.taken[group] and all(self.split_off[c] > 1 for c, _ in self.contents[group])

    def change(self, group: int, *, total: bool) -> int:
        """Return how the sum of squared excesses changes when the group changes sides.

        With ``total`` the excess over all classes counts too, as much as two classes.
        """
        sign = -1 if self.taken[group] else 1
        parts = [(self.excess[c], sign * n) for c, n in self.contents[group]]
        if total:
            parts += [(self.total_excess, sum(n for _, n in parts))] * 2
        return sum(n * (2 * excess + n) for excess, n in parts)

    def take(self, group: int) -> None:
        """Move the group to the other side."""
        sign = -1 if self.taken[group] else 1
        self.taken[group] = not self.taken[group]
        for label, n in self.contents[group]:
            self.excess[label] += sign * n
            self.total_excess += sign * n
            self.training[label] -= sign
            self.split_off[label] += sign

    def represent_every_class(self, order: list[int]) -> None:
        """Split off the smallest group of each class that should be there and isn't."""
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
        """Whether moving the group takes a class further from its share than the group is large."""
        sign = -1 if self.taken[group] else 1
        return any(
            abs(self.excess[c] + sign * n) > max(n, abs(self.excess[c]))
            for c, n in self.contents[group]
        )

    def improve(self, group: int) -> bool:
        """Move the group where that brings sizes nearer to what they should be.

        For the sake of the total a class may stray from its share by the group, but no further.
        """
        movable = self.can_give_back(group) or self.can_take(group)
        better = movable and not self.strays(group) and self.change(group, total=True) < 0
        if better:
            self.take(group)
        return better
