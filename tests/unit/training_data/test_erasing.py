"""random_erasing and cutout: where the blank is, how large, and with what."""

from __future__ import annotations

import pytest
import torch

from hpsearch.errors import InfeasibleConfig
from hpsearch.training.augmentation.boxes import box_masks, random_whole
from hpsearch.training.augmentation.erasing import cutout, random_erasing


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ones(n: int, height: int, width: int) -> torch.Tensor:
    return torch.ones(n, 3, height, width)


def boxes(erased: torch.Tensor) -> torch.Tensor:
    """Return (top, left, high, wide) of each image's blank, 0 where there is none: ``(n, 4)``.

    Every blank must be a full rectangle, the same in all channels.
    """
    blank = erased == 0
    assert (blank == blank[:, :1]).all()
    rows, columns = blank[:, 0].any(2), blank[:, 0].any(1)
    high, wide = rows.sum(1), columns.sum(1)
    assert torch.equal(blank[:, 0].sum((1, 2)), high * wide)
    top, left = rows.int().argmax(1), columns.int().argmax(1)
    assert all(row[t : t + h].all() for row, t, h in zip(rows, top, high, strict=True))
    assert all(row[c : c + w].all() for row, c, w in zip(columns, left, wide, strict=True))
    return torch.stack([top, left, high, wide], 1)


class TestRandomErasing:
    def test_area_and_aspect_are_those_asked_for(self):
        """On images so large that rounding to pixels hardly matters."""
        erase = random_erasing(probability=1, min_area=0.1, max_area=0.3, max_aspect=2)
        _, _, high, wide = boxes(erase(ones(300, 200, 200), seeded(1))).unbind(1)
        areas = high * wide / 200**2
        assert 0.098 < areas.min() < 0.11
        assert 0.29 < areas.max() < 0.302
        assert areas.mean().item() == pytest.approx(0.2, abs=0.014)  # 4 deviations
        aspects = (high / wide).log2()
        assert -1.03 < aspects.min() < -0.95
        assert 0.95 < aspects.max() < 1.03
        assert aspects.mean().item() == pytest.approx(0, abs=0.14)  # 4 deviations

    def test_it_lies_anywhere_inside(self):
        erase = random_erasing(probability=1, min_area=0.25, max_area=0.25, max_aspect=1)
        top, left, high, wide = boxes(erase(ones(2000, 4, 6), seeded(1))).unbind(1)
        assert high.unique().tolist() == [2]  # the square root of 6 pixels, rounded
        assert wide.unique().tolist() == [2]
        # 3 places down, 5 across: 133 expected of each; five deviations are 56
        counts = torch.bincount(top * 5 + left, minlength=15)
        assert counts.numel() == 15
        assert counts.min() > 77
        assert counts.max() < 189

    @pytest.mark.parametrize(
        ("height", "width"), [(40, 10), (10, 40)], ids=["a tall image", "a wide image"]
    )
    def test_a_large_area_fits_into_a_long_image(self, height, width):
        """Only aspects with which 60 % fit in are drawn; the square doesn't."""
        erase = random_erasing(probability=1, min_area=0.6, max_area=0.6, max_aspect=3)
        _, _, high, wide = boxes(erase(ones(500, height, width), seeded(1))).unbind(1)
        assert (high * wide / 400 - 0.6).abs().max() < 0.06
        longer = high / wide if height > width else wide / high
        assert longer.min() > 2.2
        assert longer.max() < 3.4

    def test_the_whole_image_can_go(self):
        erase = random_erasing(probability=1, min_area=1, max_area=1, max_aspect=1)
        assert erase(ones(5, 30, 4), seeded(1)).abs().sum() == 0

    def test_each_image_has_its_own_probability(self):
        erased = random_erasing(probability=0.3)(ones(2000, 8, 8), seeded(1))
        share = (erased == 0).flatten(1).any(1).float().mean().item()
        assert share == pytest.approx(0.3, abs=0.042)  # 4 deviations

    @pytest.mark.parametrize("probability", [0.0, 1.0])
    def test_certain(self, probability):
        images = ones(500, 8, 8)
        erased = random_erasing(probability=probability)(images, seeded(1))
        changed = (erased != images).flatten(1).any(1)
        assert changed.all() if probability else not changed.any()

    def test_noise(self):
        images = ones(500, 20, 20)
        zero = random_erasing(probability=1)(images, seeded(1))
        noise = random_erasing(probability=1, fill="noise")(images, seeded(1))
        blank = zero == 0
        assert torch.equal(noise[~blank], images[~blank])
        assert noise[blank].mean().item() == pytest.approx(0, abs=0.01)
        assert noise[blank].std().item() == pytest.approx(1, abs=0.01)

    def test_areas_the_wrong_way_round(self):
        with pytest.raises(InfeasibleConfig) as raised:
            random_erasing(min_area=0.4, max_area=0.3)
        assert str(raised.value) == (
            "random_erasing: min_area <= max_area must hold, but got 0.4 > 0.3"
        )


class TestCutout:
    @pytest.mark.parametrize(
        ("size", "side"), [(0.5, 4), (0.01, 1), (1.0, 8)], ids=["half", "a pixel at least", "all"]
    )
    def test_the_square_is_centred_on_any_pixel(self, size, side):
        n, height, width = 4000, 8, 10
        top, left, high, wide = boxes(cutout(size=size)(ones(n, height, width), seeded(1))).unbind(
            1
        )
        # Its first row is the centre's less half a side, cut off at the border
        first = torch.arange(height) - side // 2
        expected = [(max(0, at), min(height, at + side) - max(0, at)) for at in first.tolist()]
        assert set(zip(top.tolist(), high.tolist(), strict=True)) == set(expected)
        first = torch.arange(width) - side // 2
        expected = [(max(0, at), min(width, at + side) - max(0, at)) for at in first.tolist()]
        assert set(zip(left.tolist(), wide.tolist(), strict=True)) == set(expected)

    def test_every_centre_is_as_likely(self):
        erased = cutout(size=0.01)(ones(8000, 8, 8), seeded(1))  # one pixel: the centre
        centres = (erased[:, 0] == 0).flatten(1).int().argmax(1)
        counts = torch.bincount(centres, minlength=64)
        # 125 expected of each; five deviations are 56
        assert counts.min() > 69
        assert counts.max() < 181


def test_box_masks_are_clipped():
    masks = box_masks(*(torch.tensor([each]) for each in (-1, 2, 3, 9)), height=4, width=5)
    assert masks.int().tolist() == [
        [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 33, 224, 2**23 + 1, 2**24 - 1])
def test_random_whole_stays_below_its_count(count):
    largest = torch.tensor([0.0, 1 - 2**-24])  # the ends of torch.rand
    assert random_whole(largest, count).tolist() == [0, count - 1]
