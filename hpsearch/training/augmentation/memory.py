"""Batches in the order in which they lie in memory, so that a change copies whole runs of it."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_of(images: Tensor) -> tuple[Tensor, bool]:
    """Return ``images`` contiguous, in the order of its memory, and whether channels are last.

    The shape is ``(n, height, width, channels)`` then, else ``(n, channels, height, width)``.
    """
    # With one channel both orders fit; then the strides tell which one was meant.
    if images.stride(1) == 1 and images.is_contiguous(memory_format=torch.channels_last):
        return images.permute(0, 2, 3, 1), True
    return images.contiguous(), False


def images_of(rows: Tensor, channels_last: bool) -> Tensor:
    """Return rows of that order as ``(n, channels, height, width)``."""
    return rows.permute(0, 3, 1, 2) if channels_last else rows


def match_memory_format(images: Tensor, changed: Tensor) -> Tensor:
    """Return ``changed`` (of the same shape) in the memory format of ``images``."""
    if changed.stride() == images.stride():
        return changed
    return torch.empty_like(images).copy_(changed)
