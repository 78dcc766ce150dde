"""The mean and deviation by which pixels become numbers around zero."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hpsearch.errors import DataError
from hpsearch.study_file.trial_config import Normalization

#: Mean and deviation on the 0..1 scale, so that a pixel p of 0..255 becomes (p/255 - mean)/std.
_FIXED = {
    "raw": (0.0, 1 / 255),  # 0..255, as they are
    "unit": (0.0, 1.0),  # 0..1
    "symmetric": (0.5, 0.5),  # -1..1
}


def mean_and_std_of(
    normalization: Normalization,
    *,
    channels: int,
    measure: Callable[[], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation, each float64 ``(channels,)`` on the 0..1 scale.

    Args:
        normalization: The setting ``data.normalization``.
        channels: The number of channels of the images.
        measure: Returns both for the training images; called only for ``measured``.

    Raises:
        DataError: If given numbers are neither one per channel nor one for all, or a deviation
            isn't above 0.
    """
    if normalization == "measured":
        return measure()
    if isinstance(normalization, str):
        mean, std = _FIXED[normalization]
        return _per_channel([mean] * channels), _per_channel([std] * channels)
    for name in ("mean", "std"):
        numbers = normalization[name]
        if len(numbers) not in (1, channels):
            raise DataError(
                f"data.normalization: {name} must have one number per channel of the images "
                f"({channels}), or one for all, but got {len(numbers)}: {list(numbers)}"
            )
        if name == "std" and min(numbers) <= 0:
            raise DataError(
                f"data.normalization: std must be above 0 in every channel, but got {list(numbers)}"
            )
    means, stds = ([*normalization[name]] for name in ("mean", "std"))
    return (
        _per_channel(means * (channels // len(means))),
        _per_channel(stds * (channels // len(stds))),
    )


def _per_channel(numbers: list[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
