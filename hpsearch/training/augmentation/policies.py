"""Augmentations that draw their operation for each image: trivial_augment and rand_augment.

Both choose among the same 14 operations: nothing, shears, translations and a rotation, brightness,
contrast, saturation and sharpness, posterize, solarize, autocontrast and equalize. All geometric
ones of a batch are one resampling; each other one changes the images that drew it, all at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from hpsearch.training.augmentation.colour import gray
from hpsearch.training.augmentation.kinds import AUGMENTATIONS, Augmentation
from hpsearch.training.augmentation.memory import match_memory_format

#: Changes images, float32 (n, channels, height, width) of 0..1, by strengths -1..1, (n, 1, 1, 1).
_Change: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: Magnitudes are whole numbers from 0 to this.
_LARGEST = 30
_SHADES = 255


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What the largest magnitude does."""

    #: Horizontal shift per row, and vertical shift per column.
    shear: float
    #: As a share of the image's side.
    translate: float
    degrees: float
    #: Distance from 1 of a factor of brightness, contrast, saturation or sharpness.
    factor: float
    #: Bits of 8 that posterize removes.
    bits: int


_TRIVIAL = Ranges(shear=0.99, translate=0.45, degrees=135.0, factor=0.99, bits=6)
_RAND = Ranges(shear=0.3, translate=0.45, degrees=30.0, factor=0.9, bits=4)


class RandomPolicy:
    """Applies ``operations`` random operations in a row to each image.

    Args:
        ranges: What the largest magnitude does.
        operations: Number of operations for each image.
        magnitude: The magnitude of all, 0 to 30; ``None`` draws one for each image.
    """

    def __init__(self, ranges: Ranges, *, operations: int, magnitude: int | None) -> None:
        self._ranges, self._operations, self._magnitude = ranges, operations, magnitude
        #: Those that aren't geometric, in the order of their numbers, which begin at 6.
        self._changes: tuple[_Change, ...] = (
            self._brighten,
            self._contrast,
            self._saturate,
            self._sharpen,
            self._posterize,
            _solarize,
            _autocontrast,
            _equalize,
        )

    def recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed copy of ``images``, pixels 0..1."""
        n, kinds = len(images), _GEOMETRIC + len(self._changes)
        changed = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        changed.clamp_(0, 1)  # to undo a normalisation leaves rounding errors outside
        for _ in range(self._operations):
            draws = torch.rand(3, n, generator=generator, device=generator.device)
            draws = draws.to(images.device)
            kind = (draws[0] * kinds).long()
            if self._magnitude is None:
                size = (draws[1] * (_LARGEST + 1)).floor() / _LARGEST
            else:
                size = torch.full_like(draws[1], self._magnitude / _LARGEST)
            strength = torch.where(draws[2] < 0.5, -size, size)
            self._apply(changed, kind, strength)
        return match_memory_format(images, changed.to(images.dtype))

    def _apply(self, images: Tensor, kind: Tensor, strength: Tensor) -> None:
        """Change ``images`` in place, each by its ``kind`` (0 is nothing) and ``strength``."""
        geometric = (kind > 0) & (kind < _GEOMETRIC)
        _replace(images, geometric, self._move, kind, strength)
        for number, change in enumerate(self._changes, _GEOMETRIC):
            _replace(images, kind == number, change, strength.view(-1, 1, 1, 1))

    def _move(self, images: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
        """Shear, shift or turn ``images``; what comes from outside of an image is black."""
        height, width = images.shape[2:]
        amounts = [
            strength * (kind == number)
            for number in range(1, _GEOMETRIC)  # shear across, down; shift across, down; turn
        ]
        across, down = amounts[0] * self._ranges.shear, amounts[1] * self._ranges.shear
        right, below = (2 * self._ranges.translate * amount for amount in amounts[2:4])
        turn = amounts[4] * math.radians(self._ranges.degrees)
        cos, sin, ratio = turn.cos(), turn.sin(), height / width
        # From the changed image's coordinates (-1..1 along each side) to the original's
        matrices = torch.stack(
            [
                torch.stack([cos, (across - sin) * ratio, right], 1),
                torch.stack([(down + sin) / ratio, cos, below], 1),
            ],
            1,
        )
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", align_corners=False)

    def _brighten(self, images: Tensor, strength: Tensor) -> Tensor:
        return (images * (1 + self._ranges.factor * strength)).clamp_(0, 1)

    def _contrast(self, images: Tensor, strength: Tensor) -> Tensor:
        return self._blend(gray(images).mean((1, 2, 3), keepdim=True), images, strength)

    def _saturate(self, images: Tensor, strength: Tensor) -> Tensor:
        return self._blend(gray(images), images, strength) if images.shape[1] == 3 else images

    def _sharpen(self, images: Tensor, strength: Tensor) -> Tensor:
        if min(images.shape[2:]) < 3:
            return images
        channels = images.shape[1]
        kernel = torch.ones(3, 3, device=images.device)
        kernel[1, 1] = 5
        smooth = images.clone()
        smooth[:, :, 1:-1, 1:-1] = F.conv2d(
            images, (kernel / kernel.sum()).expand(channels, 1, 3, 3), groups=channels
        )
        return self._blend(smooth, images, strength)

    def _posterize(self, images: Tensor, strength: Tensor) -> Tensor:
        step = 2.0 ** (strength.abs() * self._ranges.bits).round()
        return (images * _SHADES).round_().div_(step).floor_().mul_(step / _SHADES)

    def _blend(self, plain: Tensor, images: Tensor, strength: Tensor) -> Tensor:
        """Move ``images`` away from ``plain`` (strength above 0) or towards it (below)."""
        factor = 1 + self._ranges.factor * strength
        return ((images - plain) * factor).add_(plain).clamp_(0, 1)


#: Operations 1 to 5 are geometric.
_GEOMETRIC = 6


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    return torch.where(images >= 1 - strength.abs(), 1 - images, images)


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1 / _SHADES), images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Make all shades of each channel equally frequent, as Pillow's ``ImageOps.equalize`` does."""
    shades = (
        (images * _SHADES).round().long().clamp_(0, _SHADES).flatten(2)
    )  # (n, channels, pixels)
    counts = shades.new_zeros(*shades.shape[:2], _SHADES + 1)
    counts.scatter_add_(2, shades, torch.ones_like(shades))
    below = counts.cumsum(2)
    last = counts.gather(2, shades.amax(2, keepdim=True))
    step = (shades.shape[2] - last) // _SHADES
    table = ((below - counts + step // 2) // step.clamp(min=1)).clamp_(max=_SHADES)
    equal = table.gather(2, shades).to(images.dtype).div_(_SHADES).view(images.shape)
    return torch.where(step.unsqueeze(3) > 0, equal, images)


def _replace(
    images: Tensor, mask: Tensor, change: Callable[..., Tensor], *settings: Tensor
) -> None:
    """Change the images of ``mask`` in place.

    Args:
        images: float (n, channels, height, width).
        mask: bool (n,), true for the images to change.
        change: Gets images and their settings, and returns changed images.
        settings: Tensors with an entry for each image.
    """
    if images.device.type != "cpu":
        # Indexing would wait for the device to report how many images change
        changed = change(images, *settings)
        images.copy_(torch.where(mask.view(-1, 1, 1, 1), changed, images))
        return
    indices = mask.nonzero()[:, 0]
    if len(indices):
        part, *part_settings = (tensor.index_select(0, indices) for tensor in (images, *settings))
        images.index_copy_(0, indices, change(part, *part_settings))


@AUGMENTATIONS.register("trivial_augment")
def trivial_augment() -> Augmentation:
    """Change each image by one of 14 operations, of a random strength; nothing to tune.

    As torchvision's ``TrivialAugmentWide`` (Mueller and Hutter 2021), but images move by up to 0.45
    of their side instead of 32 pixels, which would push a small image out.
    """
    return RandomPolicy(_TRIVIAL, operations=1, magnitude=None)


@AUGMENTATIONS.register("rand_augment")
def rand_augment(
    *,
    operations: PositiveInt = 2,
    magnitude: Annotated[int, Field(ge=0, le=_LARGEST)] = 9,
) -> Augmentation:
    """Change each image by ``operations`` of 14 operations in a row, all of one ``magnitude``.

    ``magnitude`` is 0 to 30. Source: Cubuk et al. 2020, "RandAugment"; ranges as in torchvision.
    """
    return RandomPolicy(_RAND, operations=operations, magnitude=magnitude)
