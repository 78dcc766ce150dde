"""Augmentation: exact, random from the generator alone, whatever the memory format."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from hpsearch.registry import Component
from hpsearch.training.augmentation.colour import colour_jitter
from hpsearch.training.augmentation.erasing import cutout, random_erasing
from hpsearch.training.augmentation.geometric import (
    alternating_flip,
    horizontal_flip,
    random_crop,
)
from hpsearch.training.augmentation.kinds import Augmentation, BatchPosition, ColourChange, Mixing
from hpsearch.training.augmentation.mixing import cutmix, mixup
from hpsearch.training.augmentation.policies import rand_augment, trivial_augment
from hpsearch.training.registries import AUGMENTATIONS

EVERY = [
    pytest.param(horizontal_flip(), id="horizontal_flip"),
    pytest.param(random_crop(padding=3), id="random_crop"),
    pytest.param(random_erasing(probability=0.7, max_aspect=9.0), id="random_erasing"),
    pytest.param(random_erasing(min_area=0.3, fill="noise"), id="random_erasing with noise"),
    pytest.param(cutout(), id="cutout"),
    pytest.param(colour_jitter(hue=0.3), id="colour_jitter"),
    pytest.param(mixup(alpha=1.0, probability=0.8), id="mixup"),
    pytest.param(cutmix(probability=0.9), id="cutmix"),
    pytest.param(trivial_augment(), id="trivial_augment"),
    pytest.param(rand_augment(), id="rand_augment"),
]
SHAPES = [(64, 3, 12, 10), (64, 1, 12, 10), (1, 3, 5, 5), (64, 4, 7, 1)]
FORMATS = [torch.contiguous_format, torch.channels_last]


def batch(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(
    augmentation: Augmentation, images: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Apply an augmentation of any kind."""
    if isinstance(augmentation, Mixing):
        targets = torch.eye(len(images), dtype=images.dtype)
        return augmentation.mix(images, targets, generator)[0]
    if isinstance(augmentation, ColourChange):
        return augmentation.recolour(images, generator)
    return augmentation(images, generator)


class TestEveryAugmentation:
    """The contract of the protocols in ``augmentation.kinds``."""

    @pytest.mark.parametrize("augmentation", EVERY)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_shape_type_and_values_of_any_memory_format(
        self, augmentation: Augmentation, shape, dtype
    ):
        images = batch(*shape).to(dtype)
        plain = changed(augmentation, images, seeded(1))
        assert plain.shape == images.shape
        assert plain.dtype == dtype
        assert plain.stride() == images.stride()
        last = images.to(memory_format=torch.channels_last)
        result = changed(augmentation, last, seeded(1))
        assert torch.equal(result, plain)
        assert result.stride() == last.stride()
        strided = torch.stack([images, images], dim=-1)[..., 0]  # neither of the two
        assert torch.equal(changed(augmentation, strided, seeded(1)), plain)

    @pytest.mark.parametrize("augmentation", EVERY)
    @pytest.mark.parametrize("memory_format", FORMATS)
    def test_the_batch_itself_stays(self, augmentation, memory_format):
        images = batch(64, 3, 12, 10).to(memory_format=memory_format)
        before = images.clone()
        assert not torch.equal(changed(augmentation, images, seeded(1)), images)
        assert torch.equal(images, before)

    @pytest.mark.parametrize("augmentation", EVERY)
    def test_the_generator_alone_decides(self, augmentation):
        images, state = batch(64, 3, 12, 10), torch.get_rng_state()
        first = changed(augmentation, images, seeded(1))
        torch.rand(5)
        assert torch.equal(changed(augmentation, images, seeded(1)), first)
        assert not torch.equal(changed(augmentation, images, seeded(2)), first)
        torch.set_rng_state(state)
        changed(augmentation, images, seeded(1))
        assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from torch's own

    @pytest.mark.parametrize("augmentation", EVERY)
    def test_batches_go_on_from_a_stored_generator(self, augmentation):
        images, generator = batch(64, 3, 12, 10), seeded(1)
        first = changed(augmentation, images, generator)
        state = generator.get_state()
        second = changed(augmentation, images, generator)
        assert not torch.equal(first, second)
        resumed = torch.Generator()
        resumed.set_state(state)
        assert torch.equal(changed(augmentation, images, resumed), second)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_an_image_is_mirrored_or_left_alone(memory_format):
    images = batch(2000, 3, 4, 6).to(memory_format=memory_format)
    result = horizontal_flip(probability=0.3)(images, seeded(1))
    mirrored = (result == images.flip(3)).flatten(1).all(dim=1)
    same = (result == images).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.04)  # 4 deviations


class TestAlternatingFlip:
    @pytest.mark.parametrize("memory_format", FORMATS)
    def test_every_image_is_mirrored_in_every_other_epoch(self, memory_format):
        images, rows = batch(500, 3, 4, 6).to(memory_format=memory_format), torch.arange(500)
        flip = alternating_flip()
        mirrored = []
        for epoch in (1, 2, 3, 4):
            result = flip.in_epoch(images, BatchPosition(rows, epoch, seed=8))
            assert result.stride() == images.stride()
            mirrored.append((result == images.flip(3)).flatten(1).all(dim=1))
            assert (mirrored[-1] ^ (result == images).flatten(1).all(dim=1)).all()
        assert torch.equal(mirrored[1], ~mirrored[0])
        assert torch.equal(mirrored[2], mirrored[0])
        assert torch.equal(mirrored[3], mirrored[1])

    def test_the_first_half_is_a_random_one_of_the_seed(self):
        rows = torch.arange(20_000)
        images = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2).expand(len(rows), 1, 1, 2)

        def first(seed):
            return (
                alternating_flip().in_epoch(images, BatchPosition(rows, 1, seed))[:, 0, 0, 0] == 2
            )

        one, other = first(0), first(1)
        for chosen in (one, one[::2], one[:2000], one ^ other, one[1:] ^ one[:-1]):
            assert chosen.float().mean().item() == pytest.approx(0.5, abs=0.05)  # over 4 deviations
        assert torch.equal(first(0), one)

    def test_an_images_turn_does_not_depend_on_its_batch(self):
        images, rows, flip = batch(50, 3, 4, 6), torch.arange(50), alternating_flip()
        whole = flip.in_epoch(images, BatchPosition(rows, 1, 3))
        order = torch.randperm(50, generator=seeded(1))
        parts = [flip.in_epoch(images[part], BatchPosition(part, 1, 3)) for part in order.split(7)]
        assert torch.equal(torch.cat(parts), whole[order])


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_flips(probability):
    images = batch(50, 3, 4, 6)
    result = horizontal_flip(probability=probability)(images, seeded(1))
    assert torch.equal(result, images.flip(3) if probability else images)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_window_of_the_padded_image(memory_format, channels):
    n, padding = 3000, 2
    images = batch(n, channels, 5, 6).to(memory_format=memory_format)
    result = random_crop(padding=padding)(images, seeded(1))
    padded = pad(images, (padding,) * 4)
    found = torch.zeros(5, 5, dtype=torch.int64)
    matched = torch.zeros(n, dtype=torch.bool)
    for top in range(5):
        for left in range(5):
            window = padded[:, :, top : top + 5, left : left + 6]
            equal = (result == window).flatten(1).all(dim=1)
            assert not (matched & equal).any()
            matched |= equal
            found[top, left] = equal.sum()
    assert matched.all()
    # 25 shifts of 120 expected each; five deviations are 54.
    assert found.min() > 66
    assert found.max() < 174


def test_the_channels_of_an_image_move_together():
    images = torch.arange(1, 101).float().view(1, 1, 10, 10).expand(32, 3, 10, 10)
    result = random_crop(padding=4)(images, seeded(1))
    assert torch.equal(result[:, 0], result[:, 1])
    assert torch.equal(result[:, 0], result[:, 2])
    assert len({tuple(image.flatten().tolist()) for image in result[:, 0]}) > 16


def test_they_are_built_from_a_study_file():
    flip = AUGMENTATIONS.build(Component("horizontal_flip", {"probability": 1.0}))
    crop = AUGMENTATIONS.build(Component("random_crop", {"padding": 1}))
    assert flip == horizontal_flip(probability=1.0)
    assert crop == random_crop(padding=1)
    assert AUGMENTATIONS["random_crop"].keys["padding"].default == 4
    assert AUGMENTATIONS["horizontal_flip"].keys["probability"].default == 0.5


def test_the_registered_ones_are_these():
    built = {entry.name for entry in AUGMENTATIONS}
    assert built == {
        "horizontal_flip",
        "random_crop",
        "random_erasing",
        "cutout",
        "colour_jitter",
        "mixup",
        "cutmix",
        "alternating_flip",
        "trivial_augment",
        "rand_augment",
    }
