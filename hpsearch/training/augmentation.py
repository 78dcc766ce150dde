"""Augmentation: random changes of training batches, on tensors, where the batch lies.

Nothing here loops over images, and nothing draws from torch's global generator: the same
generator state gives the same batch, so that a resumed trial goes on bit-exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.functional import pad

from hpsearch.training.registries import AUGMENTATIONS

Probability = Annotated[float, Field(ge=0, le=1)]


class Augmentation(Protocol):
    """A random change of a batch; labels stay as they are."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``images``, float ``(n, channels, height, width)``.

        Shape, dtype, device and memory format stay. All randomness comes from ``generator``,
        which may live on the CPU while the batch lies on a GPU.
        """


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirrors each image left to right with a probability."""

    probability: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Flip some of ``images``."""
        draws = torch.rand(len(images), generator=generator, device=generator.device)
        flipped = (draws < self.probability).nonzero()[:, 0].to(images.device)
        rows, channels_last = _rows(images)
        width_axis = 2 if channels_last else 3
        # Picking the flipped images' rows is several times faster than choosing by torch.where.
        changed = rows.clone()
        changed.index_copy_(0, flipped, rows.index_select(0, flipped).flip(width_axis))
        return _images(changed, channels_last)


@dataclass(frozen=True)
class RandomCrop:
    """Surrounds each image with zeros and cuts a window of its own size from the result."""

    padding: int

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Shift ``images``, each by its own -padding..padding pixels down and across."""
        n, channels, height, width = images.shape
        corners = torch.randint(
            2 * self.padding + 1, (2, n), generator=generator, device=generator.device
        ).to(images.device)
        rows, channels_last = _rows(images)
        padded = pad(rows, ((0, 0) if channels_last else ()) + (self.padding,) * 4)
        high, wide = height + 2 * self.padding, width + 2 * self.padding
        # In memory a row of the window is one unbroken run: of width * channels numbers where
        # channels are last, else of width numbers in each channel's plane. So a crop is a
        # selection of runs, by where they start.
        planes, step = (1, channels) if channels_last else (channels, 1)
        plane = torch.arange(n * planes, device=images.device).view(n, planes, 1)
        top, left = (corner.view(n, 1, 1) for corner in corners)
        line = plane * high + top + torch.arange(height, device=images.device)
        starts = (line * wide + left) * step
        runs = padded.reshape(-1).unfold(0, width * step, 1)
        cropped = runs.index_select(0, starts.view(-1))
        shape = (n, height, width, channels) if channels_last else tuple(images.shape)
        return _images(cropped.view(shape), channels_last)


@AUGMENTATIONS.register("horizontal_flip")
def horizontal_flip(*, probability: Probability = 0.5) -> Augmentation:
    """Mirror each image left to right with ``probability``."""
    return HorizontalFlip(probability)


@AUGMENTATIONS.register("random_crop")
def random_crop(*, padding: PositiveInt = 4) -> Augmentation:
    """Pad with ``padding`` zero pixels on each side, then cut a window of the input's size."""
    return RandomCrop(padding)


def _rows(images: Tensor) -> tuple[Tensor, bool]:
    """Return ``images`` contiguous, in the order of its memory, and whether channels are last."""
    # With one channel both orders fit; then the strides tell which one was meant.
    if images.stride(1) == 1 and images.is_contiguous(memory_format=torch.channels_last):
        return images.permute(0, 2, 3, 1), True
    return images.contiguous(), False


def _images(rows: Tensor, channels_last: bool) -> Tensor:
    return rows.permute(0, 3, 1, 2) if channels_last else rows
