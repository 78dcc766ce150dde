"""Variances of means if images come in groups: of one object, one person, one drawing style.

Images of a group tend to be right or wrong together, so fifty images of ten groups are less than
fifty observations. Only the groups are independent, and the mean over images is a ratio of two sums
over groups. With a training's values ``v``, their mean ``m``, and ``n_g`` of its ``n`` images in
group ``g``, the variance of the mean is

    sum over g of z_g**2 * w_g / n**2,    z_g = sum over the group's images of (v - m).

The subtracted mean contains a part of each group, so the sums are too small, most of all those of
large groups. The weight w_g corrects this. With s_g the variance of a group's sum, and S the sum of
all s_g, it is

    w_g = 1 / (1 - 2 n_g / n + (n_g / n)**2 S / s_g).

This is the cluster-robust variance CR2 of Bell and McCaffrey (2002) for a mean, with the measured
correlation r of two images of one group (``likeness``) as its working model:
s_g = n_g (1 - r + n_g r). With independent images (r = 0, the usual form of CR2), w_g would be
``1 / (1 - n_g / n)``, which is too small with few groups of uneven sizes. The weight is the
familiar ``G / (G - 1)`` if all G groups have the same size, and ``n / (n - 1)`` if each image is a
group of its own. A t interval needs matching degrees of freedom: G - 1 is too many if a few groups
contain most of the images, so they are computed from the same model (Imbens and Kolesar 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


def table_of_groups(
    values: Sequence[Values], groups: Sequence[Indices]
) -> tuple[Values, NDArray[np.float64]]:
    """Add up each training's values by group.

    Args:
        values: Of each training, float64 ``(n,)``; trainings may have different images.
        groups: Of each training, the group of each of its images, int64 ``(n,)``.

    Returns:
        ``(trainings, groups)`` tables: the sum of the values, and the number of images.
    """
    group_numbers = np.unique(np.concatenate(groups))
    sums = np.zeros((len(values), len(group_numbers)))
    counts = np.zeros_like(sums)
    for row, (row_values, of_image) in enumerate(zip(values, groups, strict=True)):
        places = np.searchsorted(group_numbers, of_image)
        sums[row] = np.bincount(places, row_values, minlength=len(group_numbers))
        counts[row] = np.bincount(places, minlength=len(group_numbers))
    return sums, counts


def covariance(
    sums: tuple[Values, Values], counts: tuple[Values, Values], correlation: float
) -> float | None:
    """Return the covariance of two trainings' means through their common groups.

    The covariance of a training with itself is the variance of its mean.

    Args:
        sums: Of both trainings, the sum of the values in each group, float64 ``(groups,)``.
        counts: Of both, the number of images in each group, 0 without one.
        correlation: Of two images of one group (``likeness``).

    Returns:
        The covariance; ``None`` if fewer than two groups are shared, which show no spread.
    """
    shared = (counts[0] > 0) & (counts[1] > 0)
    if np.count_nonzero(shared) < 2:
        return None
    product = np.ones(np.count_nonzero(shared))
    for total, count in zip(sums, counts, strict=True):
        inside, images = total[shared], count[shared]
        deviation = inside - inside.sum() / images.sum() * images
        weight = np.sqrt(_weights(images, _variances(images, correlation)))
        product = product * deviation * weight / count.sum()
    return float(product.sum())


def likeness(values: Values, groups: Indices) -> float:
    """Return the correlation of two images of one group, 0..1; 0 if no group has two images."""
    residuals = values - values.mean()
    squares = float(residuals @ residuals)
    _, places = np.unique(groups, return_inverse=True)
    counts = np.bincount(places)
    pairs = float((counts * (counts - 1)).sum())
    if pairs == 0 or squares == 0:
        return 0.0
    within = float((np.bincount(places, residuals) ** 2).sum()) - squares
    return float(np.clip(within / pairs / (squares / len(values)), 0.0, 1.0))


def freedom(counts: Values, correlation: float) -> float:
    """Return the degrees of freedom of ``covariance``'s variance, between 1 and G - 1.

    Args:
        counts: Images of each group, float64 ``(groups,)``, each above 0; two groups or more.
        correlation: Of two images of one group (``likeness``).
    """
    total = counts.sum()
    spread = _variances(counts, correlation)
    weight = _weights(counts, spread)
    # The estimate is a quadratic form of the groups' sums with matrix diag(own) - ab' - ba' + sbb'
    own = weight * spread
    a, b = np.sqrt(weight) * spread, np.sqrt(weight) * counts / total
    everything = spread.sum()
    low_rank = np.array([[0.0, 1.0], [1.0, -everything]])
    inner = np.array([[a @ a, a @ b], [a @ b, b @ b]])
    trace = own.sum() - 2 * (a @ b) + everything * (b @ b)
    crossed = own @ (2 * a * b - everything * b**2)
    squared = (own**2).sum() - 2 * crossed + np.trace(low_rank @ inner @ low_rank @ inner)
    return float(np.clip(trace**2 / squared, 1.0, len(counts) - 1.0))


def _variances(counts: Values, correlation: float) -> Values:
    """Return the variance of each group's sum, in units of one image's variance."""
    return counts * (1 - correlation) + counts**2 * correlation


def _weights(counts: Values, spread: Values) -> Values:
    """Return the correction factor for the square of each group's sum less its part of the mean."""
    part = counts / counts.sum()
    weights: Values = 1 / (1 - 2 * part + part**2 * spread.sum() / spread)
    return weights
