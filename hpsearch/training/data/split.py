"""Seeded, stratified choices: ``limit``, ``per_class``, and the split into two parts.

Each image draws one 64-bit key from a PCG64 stream, and a class gives its images with the smallest
keys. NumPy promises that the raw stream never changes (it doesn't for ``Generator``'s methods), so
a split is the same on every platform and release, and a bigger part contains the smaller one of
the same seed as far as the classes' shares allow. Images that must stay together are split by
``group_split``.
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

#: Whose keys are drawn.
Stream = Literal["limit", "validation", "test", "folds"]

#: What a stream of keys is for; two purposes of one seed draw different keys.
_STREAMS = {"limit": 1, "validation": 2, "test": 3, "folds": 4}
_KEYS = {"validation": "data.validation", "test": "test_fraction"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which images train and which don't: two sorted, disjoint sets that cover all."""

    train: Indices
    #: The images that were split off; they test where ``part`` was ``test``.
    validation: Indices


def limit_images(labels: NDArray[np.int64], limit: int, *, seed: int) -> Indices:
    """Return the sorted indices of ``limit`` images, shared among classes as ``labels`` are.

    Every class that occurs keeps at least one image. Raises ``DataError`` where ``limit`` is
    smaller than the number of classes or larger than the number of images.
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    if not classes <= limit <= len(labels):
        raise DataError(
            f"data.limit must lie between the number of classes and the number of training "
            f"images ({classes} <= limit <= {len(labels)}), but got {limit}; "
            "leave it out to take every image"
        )
    shares = shares_of(counts, limit, lower=np.minimum(counts, 1), upper=counts)
    return _pick(labels, shares, seed=seed, stream="limit")


def images_per_class(labels: NDArray[np.int64], per_class: int, *, seed: int) -> Indices:
    """Return the sorted indices of ``per_class`` images of each class (all, where it has fewer).

    Raises ``DataError`` where no class has so many: nothing would be left out.
    """
    counts = np.bincount(labels)
    if not 1 <= per_class <= counts.max():
        raise DataError(
            f"data.per_class must lie between 1 and the images of the largest class "
            f"(1 <= per_class <= {counts.max()}), but got {per_class}; "
            "leave it out to take every image"
        )
    return _pick(labels, np.minimum(counts, per_class), seed=seed, stream="limit")


def stratified_split(
    labels: NDArray[np.int64],
    validation: float | int,
    *,
    seed: int,
    part: SplitOff = "validation",
) -> Split:
    """Split ``len(labels)`` images, each class in its share of both parts.

    ``validation`` is a fraction (a float with 0 < x < 1) or a number of images (an int). A class
    with two images or more is in both parts wherever the sizes allow it; a class with a single
    image trains. Raises ``DataError`` where one of the parts would be empty.
    """
    total = len(labels)
    count = count_of(validation, total, part)
    counts = np.bincount(labels)
    divisible = counts >= 2
    lower = divisible.astype(np.int64) if count >= np.count_nonzero(divisible) else 0 * counts
    upper = np.where(divisible, counts - 1, 0)
    if upper.sum() < count:
        # More validation images than the classes can spare: some classes leave training.
        upper = counts
    shares = shares_of(counts, count, lower=lower, upper=upper)
    chosen = _pick(labels, shares, seed=seed, stream=part)
    training = np.ones(total, dtype=bool)
    training[chosen] = False
    return Split(train=np.flatnonzero(training), validation=chosen)


def split_hash(split: Split) -> str:
    """Return the SHA-256 of both sets of indices: equal hashes are equal splits."""
    digest = hashlib.sha256()
    for indices in (split.train, split.validation):
        digest.update(len(indices).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(indices, dtype="<i8").tobytes())
    return digest.hexdigest()


def count_of(size: float | int, total: int, part: SplitOff) -> int:
    """Return how many of ``total`` images a fraction (float) or a number (int) of them is.

    Raises ``DataError`` where one of the two parts would be empty.
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
            f"{key} as a fraction must lie between 0 and 1, both excluded, "
            f"but got {size}; a whole number such as 205 is a number of images"
        )
    count = round(size * total)
    if not 1 <= count < total:
        raise DataError(
            f"{key} must leave at least one image to each part, but {size} of "
            f"{total} images is {count}; use another fraction or more images"
        )
    return count


def shares_of(counts: Indices, total: int, *, lower: Indices, upper: Indices) -> Indices:
    """Divide ``total`` among classes like ``counts``, inside the bounds, by largest remainder.

    All in integers, so that no rounding differs between platforms; ties go to the first class.
    """
    images = int(counts.sum())
    wanted = counts * total  # in units of 1/images
    shares: Indices = np.clip(wanted // images, lower, upper)
    nowhere = np.iinfo(np.int64).min
    while (missing := total - int(shares.sum())) != 0:
        gap = wanted - shares * images
        if missing > 0:
            shares[np.argmax(np.where(shares < upper, gap, nowhere))] += 1
        else:
            shares[np.argmax(np.where(shares > lower, -gap, nowhere))] -= 1
    return shares


def random_keys(count: int, *, seed: int, stream: Stream) -> NDArray[np.uint64]:
    """Return ``count`` random numbers of 64 bits, the same on every platform and release."""
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
