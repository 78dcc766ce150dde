"""Rectangles inside images, one per image, as masks."""

from __future__ import annotations

import torch
from torch import Tensor

from hpsearch.training.augmentation.memory import images_of, rows_of


def box_masks(
    top: Tensor, left: Tensor, high: Tensor, wide: Tensor, height: int, width: int
) -> Tensor:
    """Return a mask of one box per image, clipped to the image.

    A box covers the rows ``top .. top + high - 1`` and the columns ``left .. left + wide - 1``.

    Args:
        top: First row of each box, int64 (n,); may be negative.
        left: First column of each box, int64 (n,); may be negative.
        high: Height of each box in pixels, int64 (n,).
        wide: Width of each box in pixels, int64 (n,).
        height: Height of the images in pixels.
        width: Width of the images in pixels.

    Returns:
        bool (n, height, width), true inside the box.
    """
    in_rows = _inside(top, high, height)
    return in_rows.unsqueeze(2) & _inside(left, wide, width).unsqueeze(1)


def choose(masks: Tensor, inside: Tensor | float, images: Tensor) -> Tensor:
    """Return a copy of ``images`` in which ``inside`` replaces the masked pixels.

    Args:
        masks: bool (n, height, width), true if the pixel is replaced.
        inside: The new pixels: images of the same shape, or one number for all.
        images: float (n, channels, height, width).
    """
    rows, channels_last = rows_of(images)
    if isinstance(inside, Tensor) and channels_last:
        inside = inside.permute(0, 2, 3, 1)
    pixels = torch.where(masks.unsqueeze(3 if channels_last else 1), inside, rows)
    return images_of(pixels.contiguous(), channels_last)


def _inside(first: Tensor, count: Tensor, total: int) -> Tensor:
    """Return bool ``(n, total)``: true at ``first .. first + count - 1``."""
    at = torch.arange(total, device=first.device)
    first, count = first.view(-1, 1), count.view(-1, 1)
    return (at >= first) & (at < first + count)


def random_whole(draws: Tensor, count: Tensor | int) -> Tensor:
    """Return whole numbers from 0 to ``count - 1`` for ``draws`` of ``torch.rand``.

    The largest draw, 1 - 2^-24, times any count is rounded to less than that count.
    """
    return (draws * count).long()
