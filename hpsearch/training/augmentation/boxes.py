"""Rectangles inside images, one for each, as masks."""

from __future__ import annotations

import torch
from torch import Tensor


def box_masks(
    top: Tensor, left: Tensor, high: Tensor, wide: Tensor, height: int, width: int
) -> Tensor:
    """Return bool ``(n, height, width)``: true inside each image's box, clipped to the image.

    The four are whole numbers of shape ``(n,)``; a box covers the rows ``top .. top + high - 1``
    and the columns ``left .. left + wide - 1``.
    """
    rows = torch.arange(height, device=top.device)
    columns = torch.arange(width, device=top.device)
    top, left, high, wide = (each.view(-1, 1) for each in (top, left, high, wide))
    in_rows = (rows >= top) & (rows < top + high)  # (n, height)
    in_columns = (columns >= left) & (columns < left + wide)  # (n, width)
    return in_rows.unsqueeze(2) & in_columns.unsqueeze(1)


def random_whole(draws: Tensor, count: Tensor | int) -> Tensor:
    """Return whole numbers 0 .. ``count - 1`` for uniform ``draws`` in 0..1 (1 not included)."""
    # Rounding may lift draw * count to count itself
    return (draws * count).long().minimum(torch.as_tensor(count, device=draws.device).long() - 1)
