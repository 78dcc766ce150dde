"""Images in memory, normalised on the device batch by batch, and the batch sizes of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class ImageStore:
    """Images as uint8 on ``device`` (on the CPU: the memory map itself, shared).

    Args:
        images: uint8 (n, channels, height, width), contiguous.
        mean: Per channel, (channels,), on the 0..1 scale.
        std: As ``mean``.
        device: Where the images are stored and normalised.
        channels_last: The memory format of the batches; convolutions are fastest in it.
    """

    def __init__(
        self,
        images: Tensor,
        mean: Tensor,
        std: Tensor,
        device: torch.device,
        *,
        channels_last: bool,
    ) -> None:
        count, *self._shape = images.shape
        # Flat rows, so that gathering and normalising run over one contiguous row per image
        self._rows = images.reshape(count, -1).to(device)
        scale, shift = scale_and_shift(mean, std)
        self._scale = self._per_pixel(scale).to(device)
        self._shift = self._per_pixel(shift).to(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def batch(self, rows: Tensor) -> Tensor:
        """Return the normalised images at ``rows``, float32 (n, channels, height, width)."""
        flat = self._rows.index_select(0, rows).float().mul_(self._scale).add_(self._shift)
        return flat.view(-1, *self._shape).contiguous(memory_format=self._format)

    def _per_pixel(self, per_channel: Tensor) -> Tensor:
        return per_channel.view(-1, 1, 1).expand(*self._shape).flatten().float()


def scale_and_shift(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift, so that (x / 255 - mean) / std is x * scale + shift.

    Both are float64 (channels,).
    """
    std = std.double()
    return 1 / (255 * std), -mean.double() / std


def batch_sizes(samples: int, batch_size: int) -> tuple[int, ...]:
    """Return the sizes of an epoch's batches, the smaller last one included.

    If the last batch has a single sample, the batch before it takes the sample (and then has one
    more than ``batch_size``), since batch norm can't normalise over one sample.
    """
    sizes = [batch_size] * (samples // batch_size)
    ragged = samples % batch_size
    if ragged == 1 and sizes:
        sizes[-1] += 1
    elif ragged:
        sizes.append(ragged)
    return tuple(sizes)
