"""Shares of images with their 95 % intervals over images, as the model card prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Draws of the bootstrap, and its seed: the same matrix gives the same interval.
_DRAWS, _SEED = 2000, 0

Matrix = NDArray[np.int64]


def share_interval(right: int, images: int) -> tuple[float, float]:
    """Return Wilson's interval over images of ``right`` out of ``images``."""
    from scipy.stats import binomtest

    interval = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy(matrix: Matrix) -> float:
    """Return the share of images on the diagonal."""
    return float(np.trace(matrix) / matrix.sum())


def balanced_accuracy(matrix: Matrix) -> float:
    """Return the mean recall of the classes that have images."""
    images = matrix.sum(1)
    return float((matrix.diagonal()[images > 0] / images[images > 0]).mean())


def macro_f1(matrix: Matrix) -> float:
    """Return the mean F1 of the classes that have images or were predicted."""
    counts = matrix.sum(0) + matrix.sum(1)
    return float((2 * matrix.diagonal()[counts > 0] / counts[counts > 0]).mean())


def bootstrap_interval(
    matrix: Sequence[Sequence[int]], metric: Callable[[Matrix], float]
) -> tuple[float, float]:
    """Return the percentile bootstrap's interval over images of a metric of a confusion matrix."""
    cells = np.asarray(matrix, dtype=np.int64)
    count = int(cells.sum())
    draws = np.random.default_rng(_SEED).multinomial(count, cells.ravel() / count, size=_DRAWS)
    values = [metric(draw.reshape(cells.shape)) for draw in draws]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
