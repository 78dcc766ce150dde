"""The four protocols of an augmentation, which differ in their method.

Each takes float batches (n, channels, height, width) and returns changed copies of the same shape,
dtype, device and memory format. All randomness comes from ``generator``, which may be on the CPU
while the batch is on a GPU. The count of numbers drawn depends on the batch's shape alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from hpsearch.registry import Registry

Probability = Annotated[float, Field(ge=0, le=1)]


@runtime_checkable
class ImageChange(Protocol):
    """Changes normalised images and keeps their labels."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of the normalised ``images``."""


@runtime_checkable
class ColourChange(Protocol):
    """Changes the colours of images that aren't normalised and keeps their labels."""

    def recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``images``; pixels are 0 (black) to 1 before and after."""


@runtime_checkable
class Mixing(Protocol):
    """Mixes several images into one, and their targets in the same way."""

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return mixed copies of ``images`` and of their ``targets``.

        Args:
            images: Normalised images, float (n, channels, height, width).
            targets: Each class's share of each image, float (n, classes); each row sums to 1.
            generator: Source of all randomness.
        """


@dataclass(frozen=True)
class BatchPosition:
    """Which images a batch contains, and when."""

    #: Each image's row among all images of the data, int64 (n,), on the batch's device.
    rows: Tensor
    #: From 1.
    epoch: int
    #: The same for the whole training, and another one for another training.
    seed: int


@runtime_checkable
class EpochChange(Protocol):
    """Changes normalised images by the epoch, without random numbers, and keeps their labels."""

    def in_epoch(self, images: Tensor, position: BatchPosition) -> Tensor:
        """Return a changed copy of the normalised ``images``."""


Augmentation: TypeAlias = ImageChange | ColourChange | Mixing | EpochChange

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")
