"""airbench, and its first layer that is measured on the training images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.engine import train
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.whitening import WhitenedConv


def images(n: int = 200) -> torch.Tensor:
    """Smooth images, whose neighbouring pixels and channels are correlated."""
    noise = torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    return F.avg_pool2d(noise + noise.roll(1, 1), 3, stride=1)


def test_outputs_are_uncorrelated_and_of_variance_1() -> None:
    layer = WhitenedConv(3, 24, 2)
    layer.measure(images())

    with torch.no_grad():
        layer.bias.zero_()
        found = layer(images()).transpose(0, 1).flatten(1)

    assert torch.allclose(found[12:], -found[:12], atol=1e-5)
    second = found[:12] @ found[:12].T / found.shape[1]
    # Directions of a small variance are damped
    assert (second - torch.diag(second.diag())).abs().max() < 1e-3
    assert second.diag().max() < 1.001
    assert second.diag().median() > 0.9


def test_directions_without_variance_are_not_blown_up() -> None:
    layer = WhitenedConv(3, 24, 2)
    layer.measure(torch.ones(5, 3, 4, 4))

    assert layer.weight.isfinite().all()
    assert layer.weight.abs().max() < 50


def test_the_measured_weights_stay_and_the_others_are_trained(
    plain_config: TrialConfig, data: PreparedData
) -> None:
    config = replace(
        plain_config,
        model=Component("airbench", {"width": 4}),
        optimizer=Component("sgd", {"lr": 0.05, "weight_decay": 0.1}),
    )
    first, *_, last = [each.state()["model"] for each in train(config)]

    pixels = data.images[data.train_indices].float() / 255
    expected = WhitenedConv(1, 8, 2)
    expected.measure((pixels - data.mean) / data.std)
    assert torch.allclose(first["first.weight"].abs(), expected.weight.abs(), atol=1e-3)
    assert torch.equal(first["first.weight"], last["first.weight"])
    assert not torch.equal(first["first.bias"], last["first.bias"])
    assert not torch.equal(first["head.weight"], last["head.weight"])


def test_without_whitening_the_first_layer_is_trained(plain_config: TrialConfig) -> None:
    config = replace(plain_config, model=Component("airbench", {"width": 4, "whiten": False}))

    first, *_, last = [each.state()["model"] for each in train(config)]

    assert not torch.equal(first["first.weight"], last["first.weight"])


def test_the_smallest_image() -> None:
    summary = describe(Component("airbench"), input_shape=(1, 6, 6), classes=3)
    assert summary.layers[-1].output_shape == (3,)
    with pytest.raises(InfeasibleConfig, match=r"images of at least 6 pixels, but 5 < 6"):
        describe(Component("airbench"), input_shape=(1, 5, 9), classes=3)
