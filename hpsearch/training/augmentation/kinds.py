"""What an augmentation is: one of three protocols, told apart by their method.

Each gets float batches ``(n, channels, height, width)`` and returns changed copies: shape, dtype,
device and memory format stay. All randomness comes from ``generator``, which may live on the CPU
while the batch lies on a GPU. How many numbers are drawn depends on the batch's shape alone.
"""

from __future__ import annotations

from typing import Annotated, Protocol, TypeAlias, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

Probability = Annotated[float, Field(ge=0, le=1)]


@runtime_checkable
class ImageChange(Protocol):
    """Changes normalised images; their labels stay."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``images``, as the model would see them."""


@runtime_checkable
class ColourChange(Protocol):
    """Changes colours as people see them; labels stay."""

    def recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``images``; pixels are 0 (black) to 1, before and after."""


@runtime_checkable
class Mixing(Protocol):
    """Makes images of parts of several, and their targets alike."""

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return mixed copies of the (normalised) ``images`` and of their ``targets``.

        ``targets`` is float ``(n, classes)``: each class's share of each image; a row sums to 1.
        """


Augmentation: TypeAlias = ImageChange | ColourChange | Mixing
