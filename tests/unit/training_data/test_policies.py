"""trivial_augment and rand_augment: each operation, against Pillow and torchvision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as T

from hpsearch.training.augmentation.policies import RandomPolicy, Ranges, rand_augment

RANGES = Ranges(shear=0.3, translate=0.5, degrees=30.0, factor=0.9, bits=4)
#: By the number of the operation.
NAMES = [
    "nothing",
    *("shear_x", "shear_y", "shift_x", "shift_y", "turn"),
    *("brighten", "contrast", "saturate", "sharpen"),
    *("posterize", "solarize", "autocontrast", "equalize"),
]


def pictures(n: int = 4) -> Tensor:
    """8-bit shades between 0.1 and 0.8, as 0..1."""
    drawn = torch.rand(n, 3, 10, 10, generator=torch.Generator().manual_seed(5))
    return ((0.1 + 0.7 * drawn) * 255).round() / 255


def one(name: str, images: Tensor, strength: float) -> Tensor:
    """Apply one operation to all images."""
    policy = RandomPolicy(RANGES, operations=1, magnitude=None)
    changed = images.clone()
    kind = torch.full((len(images),), NAMES.index(name))
    policy._apply(changed, kind, torch.full((len(images),), strength))
    return changed


def bytes_of(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


def affine(images: Tensor, **settings: object) -> Tensor:
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | settings
    return T.affine(images, **plain, interpolation=InterpolationMode.BILINEAR)


@pytest.mark.parametrize("strength", [-1.0, -0.4, 0.7])
class TestAsTorchvision:
    def test_turn(self, strength: float) -> None:
        theirs = affine(pictures(), angle=-30.0 * strength)
        assert torch.allclose(one("turn", pictures(), strength), theirs, atol=1e-4)

    def test_shifts_of_whole_pixels(self, strength: float) -> None:
        pixels = round(10 * 0.5 * strength)
        exact = pixels / 5
        across = affine(pictures(), translate=[-pixels, 0])
        assert torch.allclose(one("shift_x", pictures(), exact), across, atol=1e-4)
        down = affine(pictures(), translate=[0, -pixels])
        assert torch.allclose(one("shift_y", pictures(), exact), down, atol=1e-4)

    @pytest.mark.parametrize(
        ("name", "theirs"),
        [
            ("brighten", T.adjust_brightness),
            ("contrast", T.adjust_contrast),
            ("saturate", T.adjust_saturation),
            ("sharpen", T.adjust_sharpness),
        ],
    )
    def test_factors(self, strength: float, name: str, theirs: object) -> None:
        expected = theirs(pictures(), 1 + 0.9 * strength)  # type: ignore[operator]
        # Their weights of red, green and blue have one digit more
        assert torch.allclose(one(name, pictures(), strength), expected, atol=2e-3)

    def test_posterize(self, strength: float) -> None:
        bits = 8 - round(4 * abs(strength))
        expected = T.posterize(bytes_of(pictures()), bits)
        assert torch.equal(bytes_of(one("posterize", pictures(), strength)), expected)

    def test_solarize(self, strength: float) -> None:
        expected = T.solarize(pictures(), 1 - abs(strength))
        assert torch.allclose(one("solarize", pictures(), strength), expected)


def test_autocontrast_and_equalize() -> None:
    assert torch.allclose(
        one("autocontrast", pictures(), 0.5), T.autocontrast(pictures()), atol=1e-5
    )
    few = torch.where(pictures() > 0.5, 0.6, pictures())  # so that steps aren't 0
    large = few.repeat(1, 1, 6, 6)
    assert torch.equal(bytes_of(one("equalize", large, 0.5)), T.equalize(bytes_of(large)))


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_an_even_picture_stays(name: str) -> None:
    even = torch.full((2, 3, 5, 5), 0.4)
    assert torch.allclose(one(name, even, 0.5), even, atol=1e-6)


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 2), ("shear_y", 3)])
def test_a_shear_moves_lines_by_their_distance_from_the_middle(name: str, axis: int) -> None:
    """A line through the middle becomes a slanted one; torchvision's shear also scales."""
    line = torch.zeros(1, 1, 11, 11)
    line.select(5 - axis, 5).fill_(1.0)
    moved = one(name, line, 2 / 3)  # 0.2 pixels per line
    place = torch.arange(11.0).view(1, 1, *((1, 11) if axis == 2 else (11, 1)))
    centres = (moved * place).sum(5 - axis).flatten() / moved.sum(5 - axis).flatten()
    steps = centres.diff()
    assert torch.allclose(steps.abs(), torch.full_like(steps, 0.2), atol=1e-4)


def test_every_operation_is_drawn_equally_often() -> None:
    """Each image of a batch draws for itself; only ``nothing`` leaves an image as it is."""
    # Of more pixels than shades, or equalize does nothing
    images = pictures(1).repeat(1, 1, 2, 2).expand(2800, -1, -1, -1)
    changed = rand_augment(operations=1, magnitude=20).recolour(
        images, torch.Generator().manual_seed(0)
    )
    same = (changed == images).flatten(1).all(1).float().mean().item()
    assert same == pytest.approx(1 / 14, abs=0.02)  # 4 deviations
    # 12 operations have two signs each, autocontrast and equalize one effect; four ignore the sign
    kinds = {tuple(image.flatten().tolist()) for image in changed}
    assert len(kinds) == 1 + 2 * 9 + 4


@pytest.mark.parametrize("error", [-1e-6, 1e-6])
def test_pixels_stay_between_0_and_1(error: float) -> None:
    """Pixels whose normalisation was undone are off by a rounding error."""
    black_and_white = (pictures(500) > 0.4).float() + error
    changed = rand_augment(operations=3, magnitude=30).recolour(
        black_and_white, torch.Generator().manual_seed(0)
    )
    assert changed.min() >= 0
    assert changed.max() <= 1
