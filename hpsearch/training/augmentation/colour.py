"""The augmentation that changes colours: colour_jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from hpsearch.training.augmentation.kinds import AUGMENTATIONS, Augmentation
from hpsearch.training.augmentation.memory import match_memory_format

#: The largest distance of a factor from 1, on either side.
Strength = Annotated[float, Field(ge=0, le=1)]

#: Weights of red, green and blue in the brightness (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Changes brightness, contrast, saturation, then hue, each image by different amounts."""

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change the colours of ``images``."""
        draws = torch.rand(4, len(images), generator=generator, device=generator.device)
        draws = (2 * draws - 1).to(images.device, images.dtype).view(4, -1, 1, 1, 1)
        # A contiguous copy, changed in place: allocating memory in each step would take longer
        # than the arithmetic
        changed, coloured = images.clone(memory_format=torch.contiguous_format), len(images[0]) == 3
        if self.brightness:
            changed.mul_(1 + self.brightness * draws[0]).clamp_(0, 1)
        if self.contrast:
            mean = gray(changed).flatten(1).mean(1).view(-1, 1, 1, 1)
            _move_away(changed, mean, 1 + self.contrast * draws[1])
        if self.saturation and coloured:
            _move_away(changed, gray(changed), 1 + self.saturation * draws[2])
        if self.hue and coloured:
            _turn(changed, self.hue * draws[3, :, 0])
        return match_memory_format(images, changed)


@AUGMENTATIONS.register("colour_jitter")
def colour_jitter(
    *,
    brightness: Strength = 0.2,
    contrast: Strength = 0.2,
    saturation: Strength = 0.2,
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0,
) -> Augmentation:
    """Change brightness, contrast, saturation (factors 1 - x to 1 + x) and hue (turned by -x to x).

    As torchvision's ``ColorJitter``, but always in this order, and each image changes by different
    amounts. Saturation and hue don't change gray images.

    Args:
        brightness: Largest distance of the brightness factor from 1.
        contrast: Largest distance from 1 of the factor on differences to the image's mean gray.
        saturation: Largest distance from 1 of the factor on differences to the pixel's own gray.
        hue: Largest turn of the hue; 0.5 is half a turn of the colour circle.
    """
    return ColourJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)


def gray(images: Tensor) -> Tensor:
    """Return the brightness of each pixel, ``(n, 1, height, width)``."""
    if images.shape[1] != 3:
        return torch.stack(images.unbind(1)).mean(0).unsqueeze(1)
    red, green, blue = images.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(1)


def _move_away(images: Tensor, centre: Tensor, factors: Tensor) -> None:
    images.sub_(centre).mul_(factors).add_(centre).clamp_(0, 1)


def _turn(images: Tensor, turns: Tensor) -> None:
    """Move every hue of ``images`` (red, green, blue) by ``turns`` of a full circle."""
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1)
    # The hue in sixths of the circle: 0 red, 2 green, 4 blue
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue += 6 * turns
    for channel, start in enumerate((5, 3, 1)):
        sixth = (hue + start).remainder_(6)
        less = torch.minimum(sixth, 4 - sixth).clamp_(0, 1).mul_(chroma)
        torch.sub(value, less, out=images[:, channel])
