"""colour_jitter against torchvision's functions and the standard library's colorsys."""

from __future__ import annotations

import colorsys

import pytest
import torch

from hpsearch.training.augmentation.colour import colour_jitter


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int = 3, edge: int = 6) -> torch.Tensor:
    return torch.rand(n, channels, edge, edge, generator=seeded(3))


def amounts(n: int, row: int) -> torch.Tensor:
    """Return what is drawn for each image, -1..1: brightness, contrast, saturation, hue."""
    return 2 * torch.rand(4, n, generator=seeded(1))[row] - 1


@pytest.mark.parametrize(
    ("key", "row", "function"),
    [
        ("brightness", 0, "adjust_brightness"),
        ("contrast", 1, "adjust_contrast"),
        ("saturation", 2, "adjust_saturation"),
    ],
)
def test_like_torchvision_with_each_images_own_factor(key, row, function):
    from torchvision.transforms.v2 import functional

    images = pictures(20)
    off = dict.fromkeys(("brightness", "contrast", "saturation"), 0.0)
    result = colour_jitter(**{**off, key: 0.7}).recolour(images, seeded(1))
    factors = 1 + 0.7 * amounts(20, row)
    assert factors.min() < 0.5
    assert factors.max() > 1.5
    adjust = getattr(functional, function)
    for image, factor, mine in zip(images, factors.tolist(), result, strict=True):
        # torchvision rounds its weights of red, green and blue to four digits
        assert torch.allclose(mine, adjust(image, factor), atol=2e-4)


def test_hues_turn_as_colorsys_says():
    images = pictures(50, edge=3)
    images[0, :, 0, 0] = torch.tensor([0.4, 0.4, 0.4])  # gray has no hue
    images[1, :, 0, 0] = torch.tensor([0.9, 0.9, 0.1])  # two channels alike
    images[2, :, 0, 0] = torch.tensor([0.1, 0.7, 0.7])
    jitter = colour_jitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    result = jitter.recolour(images, seeded(1))
    turns = 0.5 * amounts(50, 3)
    assert turns.min() < -0.45
    assert turns.max() > 0.45
    for image, turn, mine in zip(images, turns.tolist(), result, strict=True):
        for pixel, changed in zip(
            image.flatten(1).T.tolist(), mine.flatten(1).T.tolist(), strict=True
        ):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            assert changed == pytest.approx(expected, abs=1e-5)


def test_pixels_stay_between_0_and_1():
    jitter = colour_jitter(brightness=1, contrast=1, saturation=1, hue=0.5)
    result = jitter.recolour(pictures(300).round(), seeded(1))
    assert result.min() == 0
    assert result.max() == 1


@pytest.mark.parametrize("channels", [1, 4])
def test_saturation_and_hue_need_three_channels(channels):
    images = pictures(20, channels)
    jitter = colour_jitter(brightness=0, contrast=0, saturation=1, hue=0.5)
    assert torch.equal(jitter.recolour(images, seeded(1)), images)
    assert not torch.equal(colour_jitter(hue=0.5).recolour(images, seeded(1)), images)


def test_all_channels_of_a_gray_picture_stay_alike():
    images = pictures(20, 1).expand(-1, 3, -1, -1)
    result = colour_jitter(hue=0.5).recolour(images, seeded(1))
    assert torch.allclose(result, result[:, :1].expand(-1, 3, -1, -1), atol=1e-6)


def test_what_is_off_doesnt_move_what_is_on():
    """The same numbers are drawn whatever is switched on."""
    images = pictures(20)
    alone = colour_jitter(brightness=0.2, contrast=0, saturation=0).recolour(images, seeded(1))
    with_hue = colour_jitter(brightness=0.2, contrast=0, saturation=0, hue=1e-7)
    assert torch.allclose(with_hue.recolour(images, seeded(1)), alone, atol=1e-5)
