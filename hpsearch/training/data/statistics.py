"""Mean and standard deviation of the training images, per channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.training.data.content import note, recall

#: Images counted at a time.
_CHUNK = 1024


def mean_and_std(
    images: NDArray[np.uint8], indices: NDArray[np.int64], *, memo: Path
) -> tuple[Tensor, Tensor]:
    """Return mean and (population) standard deviation, float64 ``(channels,)`` on the 0..1 scale.

    Pixel values are counted, not summed in floats, so every machine and number of threads gives
    the same two numbers. A channel with a single value has deviation 1, by which it can be
    divided.

    Args:
        images: uint8 ``(n, channels, height, width)``.
        indices: The images to measure, int64.
        memo: A file that stores the counts for the next start.
    """
    counts = _recall_counts(memo, images, indices)
    if counts is None:
        counts = _count(images, indices)
        note(memo, {"pixel_counts": counts.tolist()})
    values = [int(value) for value in range(256)]
    means, deviations = [], []
    for channel in counts.tolist():
        n = sum(channel)
        total = sum(count * value for count, value in zip(channel, values, strict=True))
        squares = sum(count * value * value for count, value in zip(channel, values, strict=True))
        # Whole numbers, since n * squares - total**2 in floats would lose digits
        variance = (n * squares - total * total) / (n * n)
        means.append(total / n / 255)
        deviations.append(variance**0.5 / 255 if variance else 1.0)
    return torch.tensor(means, dtype=torch.float64), torch.tensor(deviations, dtype=torch.float64)


def _count(images: NDArray[np.uint8], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each of the 256 values occurs, int64 ``(channels, 256)``."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(indices), _CHUNK):
        chunk = images[indices[start : start + _CHUNK]]
        for channel in range(images.shape[1]):
            counts[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    return counts


def _recall_counts(
    memo: Path, images: NDArray[np.uint8], indices: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    try:
        counts = np.array(recall(memo)["pixel_counts"], dtype=np.int64)
    except (ValueError, KeyError, TypeError):
        return None
    pixels = len(indices) * images.shape[2] * images.shape[3]
    whole = counts.shape == (images.shape[1], 256) and bool((counts.sum(axis=1) == pixels).all())
    return counts if whole else None
