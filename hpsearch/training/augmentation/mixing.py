"""Augmentations that mix images of a batch, and their labels in the same way: mixup and cutmix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import PositiveFloat
from torch import Tensor

from hpsearch.training.augmentation.boxes import box_masks, choose, random_whole
from hpsearch.training.augmentation.kinds import AUGMENTATIONS, Augmentation, Probability
from hpsearch.training.augmentation.memory import images_of, rows_of


@dataclass(frozen=True, kw_only=True)
class Mixup:
    """Blends each image with another one of its batch."""

    alpha: float
    probability: float

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Blend each image and its target with those of a partner, by a share per image.

        Args:
            images: Normalised images, float (n, channels, height, width).
            targets: Each class's share of each image, float (n, classes).
            generator: Source of all randomness.
        """
        partners, shares = _partners(images, self.alpha, self.probability, generator)
        rows, channels_last = rows_of(images)
        blended = torch.lerp(
            rows.index_select(0, partners), rows, shares.to(rows.dtype).view(-1, 1, 1, 1)
        )
        return images_of(blended, channels_last), _mixed(targets, partners, shares)


@dataclass(frozen=True, kw_only=True)
class Cutmix:
    """Pastes a rectangle of another image of the batch into each image, at the same position."""

    alpha: float
    probability: float

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Paste a partner's rectangle into each image; the targets follow the share of pixels.

        Args:
            images: Normalised images, float (n, channels, height, width).
            targets: Each class's share of each image, float (n, classes).
            generator: Source of all randomness.
        """
        n, _, height, width = images.shape
        partners, shares = _partners(images, self.alpha, self.probability, generator)
        draws = torch.rand(2, n, generator=generator, device=generator.device).to(images.device)
        side = (1 - shares).sqrt()  # of the rectangle, as a share of the image's
        high, wide = (height * side).long(), (width * side).long()
        top = random_whole(draws[0], height) - high // 2
        left = random_whole(draws[1], width) - wide // 2
        masks = box_masks(top, left, high, wide, height, width)
        shares = 1 - masks.float().mean((1, 2))  # part of it may be outside
        # Selecting rows is fastest in memory order
        rows, channels_last = rows_of(images)
        others = images_of(rows.index_select(0, partners), channels_last)
        return choose(masks, others, images), _mixed(targets, partners, shares)


@AUGMENTATIONS.register("mixup")
def mixup(*, alpha: PositiveFloat = 0.2, probability: Probability = 1.0) -> Augmentation:
    """Blend each image, and its label, with another of its batch; shares from Beta(alpha, alpha).

    ``probability`` is that of each image. Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization".
    """
    return Mixup(alpha=alpha, probability=probability)


@AUGMENTATIONS.register("cutmix")
def cutmix(*, alpha: PositiveFloat = 1.0, probability: Probability = 0.5) -> Augmentation:
    """Paste a rectangle of another image of the batch; labels by area; from Beta(alpha, alpha).

    ``probability`` is that of each image. Source: Yun et al. 2019, "CutMix"; the defaults are its
    settings for CIFAR-10.
    """
    return Cutmix(alpha=alpha, probability=probability)


def _partners(
    images: Tensor, alpha: float, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return each image's partner in the batch, and the share of itself that it keeps (float)."""
    n = len(images)
    partners = torch.randperm(n, generator=generator, device=generator.device)
    draws = torch.rand(3, n, generator=generator, device=generator.device)
    shares = torch.where(draws[0] < probability, symmetric_beta(draws[1], draws[2], alpha), 1.0)
    return partners.to(images.device), shares.to(images.device)


def symmetric_beta(one: Tensor, other: Tensor, alpha: float) -> Tensor:
    """Turn two tensors of uniform numbers into one of Beta(alpha, alpha), elementwise.

    Exact for every alpha > 0. It rejects no number, so that every batch draws equally many. Source:
    Devroye 1996, "Random variate generation in one line of code": a Student t variable by Bailey's
    polar method, mapped to 0..1.

    Args:
        one: Uniform numbers, 0..1, of any shape.
        other: More of them, independent of ``one`` and of the same shape.
        alpha: Both parameters of the distribution.
    """
    power = one ** (1 / alpha)
    cosine = torch.cos(2 * math.pi * other)
    return (0.5 * (1 + cosine / (power / (1 - power) + cosine**2).sqrt())).clamp(0, 1)


def _mixed(targets: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    share = shares.to(targets.dtype).view(-1, 1)
    return torch.lerp(targets.index_select(0, partners), targets, share)
