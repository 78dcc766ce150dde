"""Seeded, stratified choices: ``limit``, ``per_class``, and the split into two parts.

Each image gets a 64-bit key from a PCG64 stream, and the images with the smallest keys of each
class are chosen. NumPy guarantees that the raw stream never changes (it doesn't for the methods of
``Generator``), so a split is the same on every platform and release. With the same seed, a larger
part contains the smaller one as far as the classes' shares allow. ``group_split`` splits images
that must stay together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError

Indices = NDArray[np.int64]

#: The part that is split off the training images.
SplitOff = Literal["validation", "test"]

#: The purpose of a stream of keys.
Stream = Literal["limit", "validation", "test", "folds"]

#: The number of each purpose in the seed, so that two purposes get different keys.
_STREAMS = {"limit": 1, "validation": 2, "test": 3, "folds": 4}
_KEYS = {"validation": "data.validation", "test": "test_fraction"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which images train and which don't: two sorted, disjoint sets that cover all."""

    train: Indices
    #: The images that were split off; test images if ``part`` was ``test``.
    validation: Indices


def limit_images(labels: NDArray[np.int64], limit: int, *, seed: int) -> Indices:
    """Return the sorted indices of some of the images, stratified by class.

    Every class that occurs keeps at least one image.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        limit: The number of images to take.
        seed: The seed of the choice, 0 or more.

    Raises:
        DataError: If ``limit`` is smaller than the number of classes that occur, or larger than the
            number of images.
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    if not classes <= limit <= len(labels):
        raise DataError(
            "data.limit must be between the number of classes and the number of training images "
            f"({classes} <= limit <= {len(labels)}), but got {limit}; leave it out to use every "
            "image"
        )
    shares = shares_of(counts, limit, lower=np.minimum(counts, 1), upper=counts)
    return _pick(labels, shares, seed=seed, stream="limit")


def images_per_class(labels: NDArray[np.int64], per_class: int, *, seed: int) -> Indices:
    """Return the sorted indices of ``per_class`` images of each class (all, if it has fewer).

    Args:
        labels: The class of each image, int64 ``(n,)``.
        per_class: The number of images to take of each class.
        seed: The seed of the choice, 0 or more.

    Raises:
        DataError: If ``per_class`` is below 1, or no class has so many images.
    """
    counts = np.bincount(labels)
    if not 1 <= per_class <= counts.max():
        raise DataError(
            "data.per_class must be between 1 and the number of images of the largest class (1 <= "
            f"per_class <= {counts.max()}), but got {per_class}; leave it out to use every image"
        )
    return _pick(labels, np.minimum(counts, per_class), seed=seed, stream="limit")


def stratified_split(
    labels: NDArray[np.int64],
    validation: float | int,
    *,
    seed: int,
    part: SplitOff = "validation",
) -> Split:
    """Split images so that each class has its share of both parts.

    A class with two or more images is in both parts if the sizes allow it; a class with a single
    image trains, unless the other classes can't spare enough.

    Args:
        labels: The class of each image, int64 ``(n,)``.
        validation: The size of the part that is split off: a fraction (a float with 0 < x < 1) or
            a number of images (an int).
        seed: The seed of the choice, 0 or more.
        part: What is split off.

    Returns:
        The split; its ``validation`` contains what is split off.

    Raises:
        DataError: If one of the two parts would be empty.
    """
    total = len(labels)
    count = count_of(validation, total, part)
    counts = np.bincount(labels)
    divisible = counts >= 2
    lower = divisible.astype(np.int64) if count >= np.count_nonzero(divisible) else 0 * counts
    upper = np.where(divisible, counts - 1, 0)
    if upper.sum() < count:
        # More validation images than the classes can spare: some classes don't train.
        upper = counts
    shares = shares_of(counts, count, lower=lower, upper=upper)
    indices = _pick(labels, shares, seed=seed, stream=part)
    training = np.ones(total, dtype=bool)
    training[indices] = False
    return Split(train=np.flatnonzero(training), validation=indices)


def split_hash(split: Split) -> str:
    """Return the SHA-256 (hex) of both sets of indices: equal hashes mean equal splits."""
    digest = hashlib.sha256()
    for indices in (split.train, split.validation):
        digest.update(len(indices).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(indices, dtype="<i8").tobytes())
    return digest.hexdigest()


def count_of(size: float | int, total: int, part: SplitOff) -> int:
    """Return how many images are split off.

    Args:
        size: A fraction of the images (a float with 0 < x < 1) or their number (an int).
        total: The number of all images.
        part: What is split off; it decides the name of the setting in errors.

    Raises:
        DataError: If a fraction isn't between 0 and 1, or one of the two parts would be empty.
    """
    key = _KEYS[part]
    if isinstance(size, int):
        if not 1 <= size < total:
            raise DataError(
                f"{key} as a number of images must leave at least one image to each "
                f"part (1 <= {part} < {total}), but got {size}; "
                "use a smaller number or a fraction such as 0.2"
            )
        return size
    if not 0 < size < 1:
        raise DataError(
            f"{key} as a fraction must be between 0 and 1, both excluded, but got {size}; a whole "
            "number such as 205 is a number of images"
        )
    count = round(size * total)
    if not 1 <= count < total:
        raise DataError(
            f"{key} must leave at least one image to each part, but {size} of "
            f"{total} images is {count}; use another fraction or more images"
        )
    return count


def shares_of(counts: Indices, total: int, *, lower: Indices, upper: Indices) -> Indices:
    """Divide ``total`` among classes in proportion to ``counts``, by largest remainder.

    The arithmetic is in integers, so that no rounding differs between platforms. The first class
    wins ties.

    Args:
        counts: The number of images of each class, int64 ``(classes,)``.
        total: What is divided, between the sum of ``lower`` and that of ``upper``.
        lower: The least share of each class, int64 ``(classes,)``.
        upper: The largest share of each class, int64 ``(classes,)``.

    Returns:
        The share of each class, int64 ``(classes,)``.
    """
    images = int(counts.sum())
    targets = counts * total  # in units of 1/images
    shares: Indices = np.clip(targets // images, lower, upper)
    nowhere = np.iinfo(np.int64).min
    while (missing := total - int(shares.sum())) != 0:
        gap = targets - shares * images
        if missing > 0:
            shares[np.argmax(np.where(shares < upper, gap, nowhere))] += 1
        else:
            shares[np.argmax(np.where(shares > lower, -gap, nowhere))] -= 1
    return shares


def random_keys(count: int, *, seed: int, stream: Stream) -> NDArray[np.uint64]:
    """Return random numbers of 64 bits, the same on every platform and release.

    Args:
        count: How many.
        seed: The seed, 0 or more.
        stream: The purpose; each has other numbers.

    Returns:
        uint64 ``(count,)``.

    Raises:
        DataError: If ``seed`` is negative.
    """
    if seed < 0:
        raise DataError(f"the seed of a split must be 0 or more, but got {seed}")
    bits = np.random.PCG64(np.random.SeedSequence([seed, _STREAMS[stream]]))
    return np.asarray(bits.random_raw(count))


def _pick(
    labels: NDArray[np.int64],
    shares: Indices,
    *,
    seed: int,
    stream: Stream,
) -> Indices:
    keys = random_keys(len(labels), seed=seed, stream=stream)
    order = np.lexsort((keys, labels))  # by class, then by key
    starts = np.concatenate(([0], np.cumsum(np.bincount(labels))[:-1]))
    rank = np.arange(len(labels)) - starts[labels[order]]
    return np.sort(order[rank < shares[labels[order]]])
