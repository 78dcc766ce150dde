"""Normalised batches, batch sizes, and evaluation on its own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hpsearch.training.batches import ImageStore, batch_sizes
from hpsearch.training.evaluate import Stopped, evaluate, evaluation_batch
from hpsearch.training.randomness import OwnRandomness, derived_seed, shuffled

CPU = torch.device("cpu")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_normalised(channels: int, channels_last: bool) -> None:
    images = torch.randint(0, 256, (20, channels, 5, 4), dtype=torch.uint8)
    mean, std = torch.rand(channels), torch.rand(channels) + 0.1
    pixels = ImageStore(images, mean, std, CPU, channels_last=channels_last)
    rows = torch.tensor([3, 17, 3])

    batch = pixels.batch(rows)

    expected = (images[rows] / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch, expected)
    if channels_last:
        assert batch.is_contiguous(memory_format=torch.channels_last)
    else:
        assert batch.is_contiguous()


@pytest.mark.parametrize("channels_last", [False, True])
def test_every_pixel_value_is_normalised_to_the_last_digits(channels_last: bool) -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = values.repeat(2, 3, 1, 1)
    mean = torch.tensor([0.1307, 0.5, 0.9], dtype=torch.float64)
    std = torch.tensor([0.3081, 0.5, 0.02], dtype=torch.float64)

    batch = ImageStore(images, mean, std, CPU, channels_last=channels_last).batch(torch.tensor([1]))

    exact = (images[:1].double() / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    # Two roundings to float32, each by half a last place of the largest number on the way
    largest = torch.maximum(1 / std, mean / std).view(-1, 1, 1)
    assert ((batch.double() - exact).abs() <= largest * 2.0**-23).all()


def test_images_are_not_copied() -> None:
    """Workers share one memory map: what each would copy, each would pay for."""
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    pixels = ImageStore(images, torch.zeros(1), torch.full((1,), 1 / 255), CPU, channels_last=True)

    images[2] = 9

    assert pixels.batch(torch.tensor([2])).unique().tolist() == pytest.approx([9.0])


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [
        (6, 3, (3, 3)),
        (8, 3, (3, 3, 2)),
        (7, 3, (3, 4)),  # 3, 3, 1: batch norm can't take one sample
        (2, 3, (2,)),
        (1, 3, (1,)),  # nothing to join
        (3, 1, (1, 1, 1)),
    ],
)
def test_batch_sizes(samples: int, size: int, expected: tuple[int, ...]) -> None:
    assert batch_sizes(samples, size) == expected


@given(samples=st.integers(1, 500), size=st.integers(1, 200))
def test_batches_hold_every_sample(samples: int, size: int) -> None:
    sizes = batch_sizes(samples, size)

    assert sum(sizes) == samples
    assert max(sizes) <= size + 1
    assert size == 1 or samples == 1 or min(sizes) > 1


class TestEvaluate:
    @pytest.fixture
    def pixels(self) -> ImageStore:
        images = torch.randint(0, 256, (30, 1, 2, 2), dtype=torch.uint8)
        return ImageStore(images, torch.zeros(1), torch.ones(1), CPU, channels_last=False)

    @pytest.fixture
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.9))

    def test_sums_over_samples(self, pixels: ImageStore, model: nn.Module) -> None:
        labels, rows = torch.randint(3, (30,)), torch.tensor([4, 2, 29, 8, 11])
        model.train()

        # Batches of 2, 2 and 1
        found = evaluate(model, pixels, labels, rows, batch_size=2, precision="fp32")

        assert model.training  # put back
        model.eval()
        logits = model(pixels.batch(rows))
        assert found.loss == pytest.approx(F.cross_entropy(logits, labels[rows]).item(), rel=1e-6)
        assert found.predictions.tolist() == logits.argmax(1).tolist()
        assert found.accuracy == int((logits.argmax(1) == labels[rows]).sum()) / 5
        assert found.samples == 5

    def test_leaves_the_model_as_it_is(self, pixels: ImageStore, model: nn.Module) -> None:
        before = {name: value.clone() for name, value in model.state_dict().items()}

        evaluate(
            model,
            pixels,
            torch.zeros(30, dtype=torch.int64),
            torch.arange(30),
            batch_size=7,
            precision="fp32",
        )

        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_stops_between_batches(self, pixels: ImageStore, model: nn.Module) -> None:
        answers = iter([False, False, True])

        with pytest.raises(Stopped):
            evaluate(
                model,
                pixels,
                torch.zeros(30, dtype=torch.int64),
                torch.arange(30),
                batch_size=10,
                precision="fp32",
                should_stop=lambda: next(answers),
            )
        assert model.training
        assert next(answers, None) is None

    def test_batches_shrink_with_the_activations(self) -> None:
        assert evaluation_batch(64, CPU) == 1024
        assert evaluation_batch(32 * 32 * 32, CPU) == 256  # 32 MB
        assert evaluation_batch(10**9, CPU) == 16


class TestRandomness:
    def test_seeds_differ_by_purpose_and_never_change(self) -> None:
        # Written down: a change would make every stored study train differently
        assert derived_seed(7, "order", 1) == 8503990682740509027
        purposes = [(what, epoch) for what in ("order", "weights") for epoch in (1, 2, 11)]
        seeds = {derived_seed(seed, *purpose) for seed in (7, 8) for purpose in purposes}
        assert len(seeds) == 12
        assert all(0 <= seed < 2**63 for seed in seeds)

    def test_shuffled_is_a_permutation_that_the_seed_decides(self) -> None:
        rows = torch.arange(100, 200)

        assert torch.equal(shuffled(rows, 3), shuffled(rows, 3))
        assert not torch.equal(shuffled(rows, 3), shuffled(rows, 4))
        assert torch.equal(shuffled(rows, 3).sort().values, rows)

    def test_installed_only_inside_the_block(self) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        own = torch.rand(4, generator=torch.Generator().manual_seed(9))

        torch.manual_seed(1)
        randomness = OwnRandomness(9, CPU)
        first = torch.rand(1)
        with randomness.installed():
            drawn = torch.rand(2)
        second = torch.rand(1)
        with pytest.raises(KeyError), randomness.installed():
            drawn = torch.cat([drawn, torch.rand(2)])
            raise KeyError
        third = torch.rand(1)

        assert torch.equal(torch.cat([first, second, third]), expected)
        assert torch.equal(drawn, own)

    def test_state_goes_on_where_it_was(self) -> None:
        one, other = OwnRandomness(9, CPU), OwnRandomness(10, CPU)
        with one.installed():
            torch.rand(5)

        assert other.restore(one.state())
        with one.installed():
            expected = torch.rand(3)
        with other.installed():
            assert torch.equal(torch.rand(3), expected)
