"""torchvision's classifiers by name, and our residual networks against torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.registries import MODELS


def of(name: str, **settings: Any) -> Component:
    return Component("torchvision", {"name": name, **settings})


def described(
    name: str, shape: tuple[int, int, int] = (3, 64, 64), **settings: Any
) -> ModelSummary:
    return describe(of(name, **settings), input_shape=shape, classes=7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_our_residual_networks_compute_what_torchvisions_do(name: str, tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(8)
    theirs = models.get_model(name, weights=None)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # not the same in every channel
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    theirs.fc = nn.Identity()
    ours = MODELS.build(Component(name, {"weights": str(tmp_path / "theirs.pth")}), (3, 64, 64), 10)
    images = torch.randn(2, 3, 64, 64)

    with torch.inference_mode():
        expected = theirs.eval()(images)
        features = ours.eval().get_submodule("backbone")(images)

    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


# torchvision's own number for 1000 classes, and the inputs of its last layer, which goes
@pytest.mark.parametrize(
    ("name", "published", "features"),
    [
        ("alexnet", 61_100_840, 4096),
        ("efficientnet_b0", 5_288_548, 1280),
        ("mobilenet_v3_small", 2_542_856, 1024),
        ("shufflenet_v2_x0_5", 1_366_792, 1024),
        ("squeezenet1_1", 1_235_496, 512),
        ("regnet_x_400mf", 5_495_976, 400),  # computes its widths while it is built
    ],
)
def test_the_last_layer_is_replaced(name: str, published: int, features: int) -> None:
    summary = described(name)

    assert summary.parameters == published - (features + 1) * 1000 + (features + 1) * 7
    assert summary.layers[-1].name == "head.logits"


def test_attention_is_counted_and_its_reach_isnt_followed() -> None:
    summary = described("vit_b_16", (3, 32, 32))

    tokens, width = 2 * 2 + 1, 768
    products = 4 * tokens * width * width + 2 * tokens * tokens * width  # q, k, v, out; q k, k v
    dense = 2 * tokens * width * 3072
    patches = 4 * width * 3 * 16 * 16
    assert summary.multiply_adds == patches + 12 * (products + dense) + width * 7
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters
    assert summary.receptive_field == (16, 16)  # its one convolution's: the patches


def test_more_dense_layers_and_dropout_behind_the_features() -> None:
    model = MODELS.build(
        of("squeezenet1_1", hidden=[20], activation={"tanh": {}}, dropout=0.3), (3, 32, 32), 7
    )

    kinds = [type(layer) for layer in model.get_submodule("head")]
    assert kinds == [nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]


def test_activation_null_keeps_the_architectures_own() -> None:
    def kinds(**settings: Any) -> set[str]:
        return {layer.kind for layer in described("mobilenet_v3_small", **settings).layers}

    assert {"ReLU", "Hardswish", "Hardsigmoid"} <= kinds()
    # Hardsigmoid is a gate, not an activation
    replaced = kinds(activation={"elu": {}})
    assert "Hardsigmoid" in replaced and "ELU" in replaced
    assert not {"ReLU", "Hardswish"} & replaced


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "inception_v3"])
def test_activations_that_are_functions_cant_be_replaced(name: str) -> None:
    with pytest.raises(InfeasibleConfig) as raised:
        MODELS.build(of(name, activation="tanh"), (3, 96, 96), 7)

    assert str(raised.value) == (
        f"{name} calls its activation as a function, so it can't be replaced, but activation is "
        "tanh; use activation: null"
    )


def test_networks_with_side_outputs_return_logits_alone() -> None:
    with torch.device("meta"):
        model = MODELS.build(of("googlenet"), (1, 64, 64), 7)

    assert model.train()(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 7)


class TestRefused:
    def test_an_unknown_name_lists_near_ones(self) -> None:
        with pytest.raises(UserError) as raised:
            described("eficientnet_b0")

        said = str(raised.value)
        assert said.startswith("name must be one of torchvision's ")
        assert " classifiers, but got 'eficientnet_b0'; similar names: efficientnet_b0, " in said
        assert "list_models" in said

    def test_a_name_that_isnt_near_any(self) -> None:
        with pytest.raises(UserError, match=r"but got '\?'; all: python -c"):
            described("?")

    def test_a_transformers_patches(self) -> None:
        with pytest.raises(InfeasibleConfig) as raised:
            described("vit_b_16", (3, 40, 40))
        assert str(raised.value) == (
            "vit_b_16 can't be built for images of 40 x 40 pixels (height x width): "
            "Input shape indivisible by patch size!; use another input_size"
        )

    def test_a_transformers_square(self) -> None:
        with pytest.raises(InfeasibleConfig, match="accepts only square images, but they are 32 x"):
            described("vit_b_16", (3, 32, 48))

    def test_an_image_that_is_too_small(self) -> None:
        with pytest.raises(InfeasibleConfig, match="can't take an image of 3 x 16 x 16 "):
            described("alexnet", (3, 16, 16))
