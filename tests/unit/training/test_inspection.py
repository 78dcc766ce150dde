"""The layer table, multiply-adds, and models that don't do what a model must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe
from hpsearch.training.registries import MODELS

DIGITS = (1, 8, 8)


def test_layer_table() -> None:
    model = Component("simple_cnn", {"hidden": [16], "dropout": 0.1})

    summary = describe(model, input_shape=(3, 32, 32), classes=10)

    # Multiply-adds: output values x what each is summed over
    expected = [
        ("conv1", "Conv2d", (32, 32, 32), 896, 32 * 32 * 32 * 27),
        ("conv1_act", "ReLU", (32, 32, 32), 0, 0),
        ("conv1_pool", "MaxPool2d", (32, 16, 16), 0, 0),
        ("conv2", "Conv2d", (64, 16, 16), 18_496, 64 * 16 * 16 * 288),
        ("conv2_act", "ReLU", (64, 16, 16), 0, 0),
        ("conv2_pool", "MaxPool2d", (64, 8, 8), 0, 0),
        ("flatten", "Flatten", (4096,), 0, 0),
        ("dense1", "Linear", (16,), 65_552, 16 * 4096),
        ("dense1_act", "ReLU", (16,), 0, 0),
        ("dense1_dropout", "Dropout", (16,), 0, 0),
        ("logits", "Linear", (10,), 170, 160),
    ]
    table = [
        (layer.name, layer.kind, layer.output_shape, layer.parameters, layer.multiply_adds)
        for layer in summary.layers
    ]
    assert table == expected
    assert summary.parameters == sum(row[3] for row in expected)
    assert summary.multiply_adds == sum(row[4] for row in expected)
    assert summary.largest_output == 32 * 32 * 32
    assert summary.convolutional
    assert not summary.batch_norm


def test_what_kind_of_model() -> None:
    assert not describe(Component("mlp"), input_shape=DIGITS, classes=3).convolutional
    assert describe(Component("small_net"), input_shape=DIGITS, classes=3).batch_norm


def test_grouped_and_transposed_convolutions(register: Callable[..., None]) -> None:
    def model(shape: Any, classes: int, /) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 1),  # 4 x 8 x 8 values, each of 1
            nn.Conv2d(4, 8, 3, groups=4),  # 8 x 6 x 6 values, each of 9: one channel a group
            nn.ConvTranspose2d(8, 2, 2, stride=2),  # each of 8 x 6 x 6 values spread on 2 x 4
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2, classes),
        )

    register(MODELS, "odd", model)

    summary = describe(Component("odd"), input_shape=DIGITS, classes=3)

    by_kind = [layer.multiply_adds for layer in summary.layers]
    assert by_kind == [4 * 64, 8 * 36 * 9, 8 * 36 * 8, 0, 0, 6]


class Shared(nn.Module):
    """One layer used twice, and a parameter that belongs to no layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.mix = nn.Linear(64, 64)
        self.out = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.mix(self.mix(images.flatten(1))))
        return logits


def test_parameters_are_counted_once(register: Callable[..., None]) -> None:
    register(MODELS, "shared", lambda shape, classes, /: Shared(classes))

    summary = describe(Component("shared"), input_shape=DIGITS, classes=3)

    assert [(layer.name, layer.parameters) for layer in summary.layers] == [
        ("mix", 64 * 64 + 64),
        ("mix", 0),
        ("out", 64 * 3 + 3),
        ("", 5),
    ]
    assert summary.parameters == 5 + 64 * 65 + 65 * 3
    assert summary.multiply_adds == 2 * 64 * 64 + 64 * 3


def test_nothing_is_computed_and_no_random_number_is_drawn() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)

    # 40 billion parameters: more than any machine here would hold
    summary = describe(
        Component("mlp", {"hidden": [200_000, 200_000]}), input_shape=(3, 32, 32), classes=10
    )

    assert summary.parameters > 40e9
    assert torch.equal(torch.rand(1), expected)


class TestUnsuitable:
    @pytest.fixture
    def describe_as(self, register: Callable[..., None]) -> Callable[..., Any]:
        def run(*layers: nn.Module) -> Any:
            register(MODELS, "mine", lambda shape, classes, /: nn.Sequential(*layers))
            return describe(Component("mine"), input_shape=DIGITS, classes=3)

        return run

    def test_a_plugin_that_doesnt_fit_need_not_say_so_itself(
        self, describe_as: Callable[..., Any]
    ) -> None:
        with torch.device("meta"):
            layers = [nn.Flatten(), nn.Linear(10, 3)]
        with pytest.raises(InfeasibleConfig) as raised:
            describe_as(*layers)

        said = (
            "model 'mine' with its defaults can't take an image of 1 x 8 x 8 "
            "(channels x height x width): "
        )
        assert str(raised.value).startswith(said)
        assert len(str(raised.value)) > len(said)

    def test_wrong_number_of_classes(self, describe_as: Callable[..., Any]) -> None:
        with torch.device("meta"):
            layers = [nn.Flatten(), nn.Linear(64, 4)]
        with pytest.raises(UserError) as raised:
            describe_as(*layers)

        assert str(raised.value) == (
            "a model must return logits of the shape (n, classes) = (1, 3) for one image, but "
            "'mine' returned (1, 4); end it with nn.Linear(.., classes)"
        )

    def test_softmax_as_the_last_layer(self, describe_as: Callable[..., Any]) -> None:
        with torch.device("meta"):
            layers = [nn.Flatten(), nn.Linear(64, 3), nn.Softmax(dim=1)]
        with pytest.raises(UserError) as raised:
            describe_as(*layers)

        assert str(raised.value) == (
            "a model must return logits, but the last layer of 'mine' is Softmax, and the "
            "cross-entropy loss already contains the softmax; leave that layer out"
        )
