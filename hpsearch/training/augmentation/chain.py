"""All augmentations of a study file, applied in their order to batches of training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.training.augmentation.kinds import (
    AUGMENTATIONS,
    Augmentation,
    BatchPosition,
    ColourChange,
    EpochChange,
    ImageChange,
    Mixing,
)


def build(components: Sequence[Component]) -> list[Augmentation]:
    """Build the augmentations.

    Raises:
        InfeasibleConfig: If settings don't go together.
        UserError: If a plug-in's function returns something else than an augmentation.
    """
    augmentations = [AUGMENTATIONS.build(component) for component in components]
    for component, augmentation in zip(components, augmentations, strict=True):
        if _kind(augmentation) is None:
            raise UserError(
                "an augmentation must be callable with (images, generator), or have a method "
                f"`recolour`, `mix` or `in_epoch`, but {component.name!r} returned "
                f"{type(augmentation).__name__}; see hpsearch.training.augmentation.kinds"
            )
    return augmentations


class Chain:
    """Applies ``augmentations`` in their order.

    Args:
        augmentations: What to apply.
        mean: Per channel, float (channels,), on the 0..1 scale; the batches are normalised with it.
        std: As ``mean``.
        classes: Number of classes.
        device: Device of the batches.
    """

    def __init__(
        self,
        augmentations: Sequence[Augmentation],
        *,
        mean: Tensor,
        std: Tensor,
        classes: int,
        device: torch.device,
    ) -> None:
        # Done once: an isinstance check of a protocol takes longer than many augmentations
        self._steps: list[tuple[type | None, Any]] = [
            (_kind(augmentation), augmentation) for augmentation in augmentations
        ]
        self._mean = mean.float().to(device).view(-1, 1, 1)
        self._std = std.float().to(device).view(-1, 1, 1)
        self._classes = classes

    def __call__(
        self, images: Tensor, labels: Tensor, generator: torch.Generator, position: BatchPosition
    ) -> tuple[Tensor, Tensor]:
        """Return changed images and their targets.

        Args:
            images: Normalised images, float (n, channels, height, width).
            labels: Class of each image, int64 (n,).
            generator: Source of all randomness.
            position: Which images these are, and when.

        Returns:
            The images, and the targets: the labels themselves, or each class's share as float
            (n, classes) if an augmentation mixes images.
        """
        targets = labels
        for kind, augmentation in self._steps:
            if kind is Mixing:
                if targets.dim() == 1:
                    targets = F.one_hot(labels, self._classes).float()
                images, targets = augmentation.mix(images, targets, generator)
            elif kind is ColourChange:
                pixels = (images * self._std).add_(self._mean)
                changed = augmentation.recolour(pixels, generator)
                images = (changed - self._mean).div_(self._std)
            elif kind is EpochChange:
                images = augmentation.in_epoch(images, position)
            else:
                images = augmentation(images, generator)
        return images, targets


def _kind(augmentation: Any) -> type | None:
    kinds = (Mixing, ColourChange, EpochChange, ImageChange)
    return next((kind for kind in kinds if isinstance(augmentation, kind)), None)


def dominant(targets: Tensor) -> Tensor:
    """Return the class of each image, int64 ``(n,)``: the one with the largest share, if mixed."""
    return targets if targets.dim() == 1 else targets.argmax(1)
