"""Rectangles inside images, one for each, as masks."""

from __future__ import annotations

import torch
from torch import Tensor

from hpsearch.training.augmentation.memory import images_of, rows_of


def box_masks(
    top: Tensor, left: Tensor, high: Tensor, wide: Tensor, height: int, width: int
) -> Tensor:
    """Return bool ``(n, height, width)``: true inside each image's box, clipped to the image.

    The four are whole numbers of shape ``(n,)``; a box covers the rows ``top .. top + high - 1``
    and the columns ``left .. left + wide - 1``.
    """
    in_rows = _inside(top, high, height)
    return in_rows.unsqueeze(2) & _inside(left, wide, width).unsqueeze(1)


def choose(masks: Tensor, inside: Tensor | float, images: Tensor) -> Tensor:
    """Return a copy of ``images`` with ``inside`` (images too, or one number) in their boxes.

    ``masks`` are bool ``(n, height, width)``.
    """
    rows, channels_last = rows_of(images)
    if isinstance(inside, Tensor) and channels_last:
        inside = inside.permute(0, 2, 3, 1)
    chosen = torch.where(masks.unsqueeze(3 if channels_last else 1), inside, rows)
    return images_of(chosen.contiguous(), channels_last)


def _inside(first: Tensor, count: Tensor, total: int) -> Tensor:
    """Return bool ``(n, total)``: true at ``first .. first + count - 1``."""
    at = torch.arange(total, device=first.device)
    first, count = first.view(-1, 1), count.view(-1, 1)
    return (at >= first) & (at < first + count)


def random_whole(draws: Tensor, count: Tensor | int) -> Tensor:
    """Return whole numbers 0 .. ``count - 1`` for ``draws`` of ``torch.rand``.

    Its largest number, 1 - 2^-24, times any count is rounded to less than that count.
    """
    return (draws * count).long()
