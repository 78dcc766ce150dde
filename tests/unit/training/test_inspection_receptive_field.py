"""Receptive fields by arithmetic, against the pixels that a gradient really reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.resnets import ResNet
from hpsearch.training.registries import MODELS


def reached(model: nn.Module, size: int, *, channels: int = 1) -> tuple[int, int]:
    """Return height and width of the pixels that the middle of the last convolutions depends on.

    The last two, as the very last may be on a path around the other.
    ``model`` is changed: each weight is positive and a maximum becomes an average, so that nothing
    cancels and nothing hides.
    """
    outputs: list[Tensor] = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            averaging = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, averaging)
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    image = torch.ones(1, channels, size, size, dtype=torch.float64, requires_grad=True)
    model.double().eval()(image)
    fields = [_reached_by(output, image) for output in outputs[-2:]]
    return max(height for height, _ in fields), max(width for _, width in fields)


def _reached_by(output: Tensor, image: Tensor) -> tuple[int, int]:
    middle = output[0, 0, output.shape[2] // 2, output.shape[3] // 2]
    (gradient,) = torch.autograd.grad(middle, image, retain_graph=True)
    rows, columns = gradient[0].sum(0).nonzero(as_tuple=True)
    # The window must lie inside the image to be seen whole
    assert rows.min() > 0 and rows.max() < image.shape[2] - 1
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


conv = st.fixed_dictionaries(
    {
        "channels": st.just(1),
        "kernel_size": st.integers(1, 5),
        "dilation": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 2),
    }
)


@settings(max_examples=25, deadline=None)
@given(conv1=conv, conv2=conv)
def test_kernels_strides_dilations_and_pooling(
    conv1: dict[str, int], conv2: dict[str, int]
) -> None:
    model = Component("dilated_cnn", {"conv1": conv1, "conv2": conv2, "hidden": 1})
    size = 160

    summary = describe(model, input_shape=(1, size, size), classes=2)

    # A 2x2 pooling behind the first convolution: one value more of it, and a step of two
    first = conv1["dilation"] * (conv1["kernel_size"] - 1) + 1
    pooled, step = first + conv1["stride"], 2 * conv1["stride"]
    second = pooled + conv2["dilation"] * (conv2["kernel_size"] - 1) * step
    assert summary.receptive_field == (second, second)
    assert reached(MODELS.build(model, (1, size, size), 2), size) == (second, second)


@pytest.mark.parametrize(
    ("name", "field", "size"),
    [
        # Two convolutions of 3x3, a 3x3 pooling of stride 2 and so on: 5, 7, 15, 19, ... 75
        pytest.param("cnn_big", 75, 128, id="cnn_big"),
        pytest.param("cnn_small", 45, 96, id="cnn_small"),
        # 3, 5, then 3x3 on every fourth pixel: 5 + 2 * 4
        pytest.param("emoji_net", 13, 48, id="emoji_net"),
        # LeCun's three convolutions see the whole 32 x 32
        pytest.param("lenet5", 32, 64, id="lenet5"),
    ],
)
def test_built_in_models(name: str, field: int, size: int) -> None:
    model = Component(name)

    assert describe(model, input_shape=(1, size, size), classes=2).receptive_field == (field, field)
    assert reached(MODELS.build(model, (1, size, size), 2), size) == (field, field)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        # As in the literature (Araujo et al., 2019: 196 behind VGG-16's last convolution)
        pytest.param(Component("vgg16"), 196, id="vgg16"),
        pytest.param(Component("resnet18", {"stem": "imagenet"}), 435, id="resnet18"),
        pytest.param(Component("dilated_cnn", {"conv1": {"kernel_size": 2, "dilation": 2}}), 8,
                     id="2x2 over the corners of 3x3, as wide as 3x3"),
    ],
)  # fmt: skip
def test_known_fields(model: Component, field: int) -> None:
    assert describe(model, input_shape=(3, 64, 64), classes=10).receptive_field == (field, field)


class Module(nn.Module):
    """A network from its layers and a function of them."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self._forward = forward

    def forward(self, images: Tensor) -> Tensor:
        hidden = self._forward(self.layers, images)
        return hidden.mean((2, 3))


@pytest.fixture
def field(register: Callable[..., None]) -> Callable[..., tuple[int, int] | None]:
    def of(build: Callable[[], nn.Module], size: int = 9) -> tuple[int, int] | None:
        register(MODELS, "mine", lambda shape, classes, /: build())
        return describe(Component("mine"), input_shape=(1, size, size), classes=1).receptive_field

    return of


class TestPlugIns:
    def test_residual_blocks(self, field: Callable[..., Any]) -> None:
        """Paths that branch and join, one of them with a stride but no width."""

        def build() -> nn.Module:
            resnet = ResNet(
                1, blocks=(1, 1, 1, 1), bottleneck=False, small_stem=True, activation=RELU
            )
            return nn.Sequential(resnet, nn.Linear(512, 1))

        assert field(build, 72) == (49, 49)  # 3, 7, 9 and 13, 17 and 25, 33 and 49
        assert reached(build(), 72) == (49, 49)

    def test_a_kernel_that_isnt_square(self, field: Callable[..., Any]) -> None:
        def build() -> nn.Module:
            return Module(lambda layers, x: layers["conv"](x), conv=nn.Conv2d(1, 1, (5, 2)))

        assert field(build) == (5, 2)
        assert reached(build(), 9) == (5, 2)

    def test_functions_count_as_layers_do(self, field: Callable[..., Any]) -> None:
        def build() -> nn.Module:
            return Module(
                lambda layers, x: layers["b"](nn.functional.avg_pool2d(layers["a"](x), 3, 2)),
                a=nn.Conv2d(1, 1, 3),
                b=nn.Conv2d(1, 1, 3),
            )

        assert field(build, 24) == (9, 9)  # 3, 5, and 2 * 2 more
        assert reached(build(), 24) == (9, 9)

    @pytest.mark.parametrize("turn", [1, -1], ids=["left first", "right first"])
    def test_paths_that_look_to_different_sides(self, turn: int, field: Callable[..., Any]) -> None:
        def join(layers: Any, x: Tensor) -> Tensor:
            # At index 0, one sees pixels -2 and -1, the other 0 and 1
            left, right = layers["left"](x)[..., :-4, :-4], layers["right"](x)
            return layers["last"](torch.cat((left, right)[::turn], 1))

        def build() -> nn.Module:
            return Module(
                join,
                left=nn.Conv2d(1, 1, 2, padding=2),
                right=nn.Conv2d(1, 1, 2),
                last=nn.Conv2d(2, 1, 1),
            )

        assert field(build, 12) == (4, 4)
        assert reached(build(), 12) == (4, 4)

    def test_pooling_to_a_size(self, field: Callable[..., Any]) -> None:
        def build() -> nn.Module:
            return Module(
                lambda layers, x: layers["last"](layers["pool"](layers["first"](x))),
                first=nn.Conv2d(1, 1, 3),
                pool=nn.AdaptiveAvgPool2d(3),
                last=nn.Conv2d(1, 1, 1),
            )

        # 20 values into 3 are 7, 8, 7 of them, behind a 3x3 kernel
        assert field(build, 22) == (10, 10)
        assert reached(build(), 22) == (10, 10)

    def test_a_gate_over_the_whole_image(self, field: Callable[..., Any]) -> None:
        def gated(layers: Any, x: Tensor) -> Tensor:
            hidden = layers["first"](x)
            gate = layers["gate"](hidden.mean((2, 3), keepdim=True)).sigmoid()
            return layers["last"](hidden * gate)

        def build() -> nn.Module:
            return Module(
                gated,
                first=nn.Conv2d(1, 2, 3),
                gate=nn.Conv2d(2, 2, 1),
                last=nn.Conv2d(2, 1, 1),
            )

        assert field(build, 20) == (20, 20)

    def test_whats_behind_a_transposed_convolution_isnt_known(
        self, field: Callable[..., Any]
    ) -> None:
        def build() -> nn.Module:
            return Module(
                lambda layers, x: layers["last"](layers["up"](x)),
                up=nn.ConvTranspose2d(1, 1, 2, stride=2),
                last=nn.Conv2d(1, 1, 3),
            )

        assert field(build) is None

    def test_whats_behind_attention_isnt_known(self, field: Callable[..., Any]) -> None:
        def attend(layers: Any, x: Tensor) -> Tensor:
            rows = x.squeeze(1)
            return layers["last"]((rows @ rows.transpose(1, 2)).unsqueeze(1))

        assert field(lambda: Module(attend, last=nn.Conv2d(1, 1, 3))) is None


def test_no_convolution_no_field() -> None:
    assert describe(Component("mlp"), input_shape=(1, 8, 8), classes=3).receptive_field is None
