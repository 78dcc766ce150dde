"""Augmentations that blank a part of an image: random_erasing and cutout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from hpsearch.errors import InfeasibleConfig
from hpsearch.training.augmentation.boxes import box_masks, choose, random_whole
from hpsearch.training.augmentation.kinds import AUGMENTATIONS, Augmentation, Probability

#: A share of an image's area or side.
Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class RandomErasing:
    """Blanks one rectangle inside each image with a probability."""

    probability: float
    min_area: float
    max_area: float
    max_aspect: float
    fill: Literal["zero", "noise"]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a copy in which some of ``images`` have a rectangle."""
        n, _, height, width = images.shape
        draws = torch.rand(5, n, generator=generator, device=generator.device).to(images.device)
        high, wide = self._sizes(draws[0], draws[1], height, width)
        top = random_whole(draws[2], height + 1 - high)
        left = random_whole(draws[3], width + 1 - wide)
        high = torch.where(draws[4] < self.probability, high, 0)
        masks = box_masks(top, left, high, wide, height, width)
        if self.fill == "zero":
            return choose(masks, 0.0, images)
        noise = torch.randn(images.shape, generator=generator, device=generator.device)
        return choose(masks, noise.to(images.device, images.dtype), images)

    def _sizes(
        self, area_draws: Tensor, aspect_draws: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Return heights and widths in whole pixels: areas uniform, aspects uniform on a log scale.

        An aspect (height : width) is drawn from those with which the area fits into the image.
        """
        shares = self.min_area + (self.max_area - self.min_area) * area_draws
        areas = shares * (height * width)
        least, most = areas / width**2, height**2 / areas
        low = torch.clamp(torch.full_like(areas, 1 / self.max_aspect), min=least, max=most)
        high = torch.clamp(torch.full_like(areas, self.max_aspect), min=least, max=most)
        aspects = low * (high / low) ** aspect_draws
        heights, widths = (areas * aspects).sqrt(), (areas / aspects).sqrt()
        return (
            heights.round().clamp(1, height).long(),
            widths.round().clamp(1, width).long(),
        )


@dataclass(frozen=True)
class Cutout:
    """Blanks one square in each image; its centre may be any pixel."""

    size: float

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a copy in which each of ``images`` has a square."""
        n, _, height, width = images.shape
        draws = torch.rand(2, n, generator=generator, device=generator.device).to(images.device)
        side = max(1, round(self.size * min(height, width)))
        sides = torch.full((n,), side, device=images.device)
        top = random_whole(draws[0], height) - side // 2
        left = random_whole(draws[1], width) - side // 2
        return choose(box_masks(top, left, sides, sides, height, width), 0.0, images)


@AUGMENTATIONS.register("random_erasing")
def random_erasing(
    *,
    probability: Probability = 0.5,
    min_area: Share = 0.02,
    max_area: Share = 0.33,
    max_aspect: Annotated[float, Field(ge=1)] = 3.3,
    fill: Literal["zero", "noise"] = "zero",
) -> Augmentation:
    """Blank a rectangle of ``min_area`` to ``max_area`` of an image, with ``probability``.

    The rectangle is filled after normalisation. Source: Zhong et al. 2020, "Random Erasing Data
    Augmentation".

    Args:
        probability: Probability that an image gets a rectangle.
        min_area: Smallest area, as a share of the image's.
        max_area: Largest area, as a share of the image's.
        max_aspect: Height : width is between 1 / ``max_aspect`` and ``max_aspect``.
        fill: ``zero`` (the mean colour of the training images), or ``noise`` (Gaussian, of standard
            deviation 1).

    Raises:
        InfeasibleConfig: If ``min_area`` is larger than ``max_area``.
    """
    if min_area > max_area:
        raise InfeasibleConfig(
            f"random_erasing: min_area <= max_area must hold, but got {min_area:g} > {max_area:g}"
        )
    return RandomErasing(
        probability=probability,
        min_area=min_area,
        max_area=max_area,
        max_aspect=max_aspect,
        fill=fill,
    )


@AUGMENTATIONS.register("cutout")
def cutout(*, size: Share = 0.5) -> Augmentation:
    """Blank a square of ``size`` times the image's shorter side; it may stick out of the image.

    The square is filled with 0 after normalisation. Source: DeVries and Taylor 2017; 0.5 is their
    16 of 32 pixels for CIFAR-10.
    """
    return Cutout(size)
