"""Batches in their memory order, so that a change copies whole runs of memory."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_of(images: Tensor) -> tuple[Tensor, bool]:
    """Return ``images`` as a contiguous tensor in memory order, and whether channels are last.

    If they are, its shape is (n, height, width, channels), else (n, channels, height, width).
    """
    # With one channel both orders fit; only the strides show which one is meant
    if images.stride(1) == 1 and images.is_contiguous(memory_format=torch.channels_last):
        return images.permute(0, 2, 3, 1), True
    return images.contiguous(), False


def images_of(rows: Tensor, channels_last: bool) -> Tensor:
    """Undo ``rows_of``: return ``rows`` as (n, channels, height, width)."""
    return rows.permute(0, 3, 1, 2) if channels_last else rows


def match_memory_format(images: Tensor, changed: Tensor) -> Tensor:
    """Return ``changed`` (of the same shape) in the memory format of ``images``."""
    if changed.stride() == images.stride():
        return changed
    return torch.empty_like(images).copy_(changed)
