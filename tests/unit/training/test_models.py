"""Networks: parameters counted by hand, shapes, what doesn't fit, no layer shared."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.models.convolution import Window, conv_out
from hpsearch.training.models.inspection import describe
from hpsearch.training.registries import ACTIVATIONS, MODELS

DIGITS, COLOUR = (1, 8, 8), (3, 32, 32)


class TestParameterCounts:
    """Weights and biases layer by layer: inputs x outputs + outputs."""

    @pytest.mark.parametrize(
        ("model", "shape", "classes", "expected"),
        [
            pytest.param(
                Component("mlp"), DIGITS, 10, (64 * 128 + 128) + (128 * 10 + 10), id="mlp"
            ),
            pytest.param(
                Component("mlp", {"hidden": []}), COLOUR, 10, 3072 * 10 + 10, id="no hidden layer"
            ),
            pytest.param(
                # Report A's relu_layer_div4: the 3072 pixels, then widths divided by 4
                Component("mlp", {"hidden": [768, 192, 48, 12], "dropout": 0.5}),
                COLOUR,
                10,
                3073 * 768 + 769 * 192 + 193 * 48 + 49 * 12 + 13 * 10,
                id="report A, divided by 4",
            ),
            pytest.param(
                # Report A: conv 3->32, pool, conv 32->64, pool: 64 channels of 8 x 8
                Component("simple_cnn"),
                COLOUR,
                10,
                (27 * 32 + 32) + (288 * 64 + 64) + (64 * 8 * 8 * 128 + 128) + (128 * 10 + 10),
                id="simple_cnn",
            ),
            pytest.param(
                Component("simple_cnn", {"conv1_channels": 4, "conv2_channels": 5, "hidden": [7]}),
                DIGITS,
                3,
                (9 * 4 + 4) + (36 * 5 + 5) + (5 * 2 * 2 * 7 + 7) + (7 * 3 + 3),
                id="small simple_cnn on digits",
            ),
            pytest.param(
                # 32 -> conv 30 -> pool 15 -> conv 13 -> pool 6
                Component("dilated_cnn"),
                COLOUR,
                10,
                (27 * 32 + 32) + (288 * 64 + 64) + (64 * 6 * 6 * 128 + 128) + (128 * 10 + 10),
                id="dilated_cnn",
            ),
            pytest.param(
                # Report D's 2x2 kernel on the corners of 3x3: 28 -> 26 -> 13 -> 9 -> 4
                Component(
                    "dilated_cnn",
                    {
                        "conv1": {"channels": 16, "kernel_size": 2, "dilation": 2},
                        "conv2": {"channels": 24, "kernel_size": 5},
                        "hidden": 50,
                    },
                ),
                (1, 28, 28),
                10,
                (4 * 16 + 16) + (16 * 25 * 24 + 24) + (24 * 4 * 4 * 50 + 50) + (50 * 10 + 10),
                id="2x2 kernel with dilation 2",
            ),
            pytest.param(
                # 32 -> (32 + 2*2 - 3*1 - 1) // 2 + 1 = 17 -> 8 -> 6 -> 3
                Component(
                    "dilated_cnn",
                    {
                        "conv1": {
                            "channels": 8,
                            "kernel_size": 2,
                            "dilation": 3,
                            "stride": 2,
                            "padding": 2,
                        }
                    },
                ),
                COLOUR,
                10,
                (12 * 8 + 8) + (8 * 9 * 64 + 64) + (64 * 3 * 3 * 128 + 128) + (128 * 10 + 10),
                id="stride, dilation and padding",
            ),
        ],
    )
    def test_by_hand(
        self, model: Component, shape: tuple[int, int, int], classes: int, expected: int
    ) -> None:
        built = MODELS.build(model, shape, classes)

        assert sum(parameter.numel() for parameter in built.parameters()) == expected
        assert describe(model, input_shape=shape, classes=classes).parameters == expected
        assert built(torch.zeros(2, *shape)).shape == (2, classes)


#: Every built-in model, and hidden layers for it (hidden activations: 2, 2 + 1, 2 + 1).
HIDDEN: dict[str, Any] = {"mlp": [20, 15], "simple_cnn": [20], "dilated_cnn": 20}


@pytest.mark.parametrize("name", HIDDEN)
class TestEveryModel:
    @pytest.mark.parametrize("activation", ACTIVATIONS.names())
    def test_every_activation_is_a_layer_of_its_own(self, name: str, activation: str) -> None:
        kind = type(ACTIVATIONS.build(Component(activation)))
        model = Component(name, {"activation": {activation: {}}, "hidden": HIDDEN[name]})

        built = MODELS.build(model, COLOUR, 10)

        layers = [module for module in built.modules() if isinstance(module, kind)]
        assert len(layers) == {"mlp": 2, "simple_cnn": 3, "dilated_cnn": 3}[name]
        assert type(list(built.children())[-1]) is nn.Linear  # logits: no activation after it

    def test_no_layer_is_used_twice(self, name: str) -> None:
        summary = describe(Component(name), input_shape=COLOUR, classes=10)

        names = [layer.name for layer in summary.layers]
        assert len(names) == len(set(names))

    def test_dropout_is_live_in_training_mode_alone(self, name: str) -> None:
        model = MODELS.build(Component(name, {"dropout": 0.5}), COLOUR, 10)
        image = torch.ones(1, *COLOUR)

        assert not torch.equal(model(image), model(image))
        model.eval()
        assert torch.equal(model(image), model(image))

    def test_no_dropout_no_layer(self, name: str) -> None:
        model = MODELS.build(Component(name), COLOUR, 10)

        assert not [module for module in model.modules() if isinstance(module, nn.Dropout)]


@pytest.mark.parametrize(
    ("activation", "at", "expected"),
    [
        pytest.param(Component("relu"), [-2.0, 3.0], [0.0, 3.0], id="relu"),
        pytest.param(
            Component("leaky_relu", {"negative_slope": 0.2}), [-2.0, 3.0], [-0.4, 3.0], id="leaky"
        ),
        pytest.param(Component("relu6"), [-2.0, 9.0], [0.0, 6.0], id="relu6"),
        pytest.param(Component("elu", {"alpha": 2.0}), [-1.0, 3.0], [-1.26424, 3.0], id="elu"),
        pytest.param(Component("tanh"), [-1.0, 0.0], [-0.76159, 0.0], id="tanh"),
        pytest.param(Component("silu"), [-1.0, 2.0], [-0.26894, 1.76159], id="silu"),
        pytest.param(Component("gelu"), [-1.0, 2.0], [-0.15866, 1.95450], id="gelu"),
        pytest.param(Component("sigmoid"), [-1.0, 0.0], [0.26894, 0.5], id="sigmoid"),
        pytest.param(Component("softmax"), [0.0, 1.0], [0.26894, 0.73106], id="softmax"),
    ],
)
def test_activations(activation: Component, at: list[float], expected: list[float]) -> None:
    values = torch.tensor([at])

    out = ACTIVATIONS.build(activation)(values)

    assert out[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert values.tolist() == [at]  # not overwritten: x + activation(x) must come out right


def test_softmax_sums_over_channels() -> None:
    out = ACTIVATIONS.build(Component("softmax"))(torch.randn(2, 5, 3, 3))

    torch.testing.assert_close(out.sum(1), torch.ones(2, 3, 3))


class TestWhatDoesntFit:
    def test_the_message_holds_the_arithmetic(self) -> None:
        # 16 -> conv 14 -> pool 7 -> conv2 spans 13
        model = Component("dilated_cnn", {"conv2": {"kernel_size": 5, "dilation": 3}})

        with pytest.raises(InfeasibleConfig) as raised:
            MODELS.build(model, (3, 16, 16), 10)

        assert str(raised.value) == (
            "conv2: kernel 5 with dilation 3 spans 13 pixels, but its input is 7 pixels high: "
            "floor((7 + 2*0 - 3*(5-1) - 1)/1) + 1 = -5; "
            "use a smaller kernel, less dilation, more padding or a larger input_size"
        )

    def test_padding_and_stride_are_part_of_it(self) -> None:
        model = Component("dilated_cnn", {"conv1": {"kernel_size": 13, "padding": 1, "stride": 2}})

        with pytest.raises(InfeasibleConfig) as raised:
            MODELS.build(model, (1, 8, 8), 10)

        assert str(raised.value).startswith(
            "conv1: kernel 13 spans 13 pixels, but its input is 8 pixels high and padded by 1 on "
            "each side: floor((8 + 2*1 - 1*(13-1) - 1)/2) + 1 = -1; "
        )

    def test_pooling_is_part_of_it(self) -> None:
        with pytest.raises(InfeasibleConfig) as raised:
            MODELS.build(Component("simple_cnn"), (1, 3, 3), 10)

        assert str(raised.value).startswith(
            "conv2_pool: kernel 2 spans 2 pixels, but its input is 1 pixel high: "
        )

    def test_width_counts_as_well_as_height(self) -> None:
        with pytest.raises(InfeasibleConfig, match="its input is 3 pixels wide"):
            MODELS.build(Component("dilated_cnn", {"conv1": {"kernel_size": 5}}), (1, 64, 3), 10)


conv = st.fixed_dictionaries(
    {
        "channels": st.just(2),
        "kernel_size": st.integers(1, 6),
        "dilation": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 3),
    }
)


@settings(max_examples=75, deadline=None)
@given(conv1=conv, conv2=conv, height=st.integers(1, 24), width=st.integers(1, 24))
def test_dilated_cnn_fits_exactly_where_the_formula_says_so(
    conv1: dict[str, int], conv2: dict[str, int], height: int, width: int
) -> None:
    """Against the formula written out again, and against PyTorch's own forward pass."""
    sizes = [height, width]
    fits, shapes = True, []
    for block in (conv1, conv2):
        reach = block["dilation"] * (block["kernel_size"] - 1) + 1
        fits = fits and all(size + 2 * block["padding"] >= reach for size in sizes)
        if fits:
            sizes = [(s + 2 * block["padding"] - reach) // block["stride"] + 1 for s in sizes]
            shapes.append((2, *sizes))
            fits = min(sizes) >= 2
            sizes = [size // 2 for size in sizes]
            shapes.append((2, *sizes))
    model = Component("dilated_cnn", {"conv1": conv1, "conv2": conv2, "hidden": 3})

    if not fits:
        with pytest.raises(InfeasibleConfig):
            describe(model, input_shape=(1, height, width), classes=3)
        return
    summary = describe(model, input_shape=(1, height, width), classes=3)
    table = {layer.name: layer.output_shape for layer in summary.layers}
    layers = ["conv1", "conv1_pool", "conv2", "conv2_pool"]
    assert [table[name] for name in layers] == shapes

    real: dict[str, Any] = {}
    built = MODELS.build(model, (1, height, width), 3)
    for name, module in built.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: real.update({name: out.shape}))
    built(torch.zeros(2, 1, height, width))
    assert table == {name: tuple(real[name][1:]) for name in table}


def test_conv_out_is_what_pytorch_computes() -> None:
    layer = nn.Conv1d(1, 1, 4, stride=3, padding=2, dilation=2)

    assert conv_out(20, kernel_size=4, stride=3, padding=2, dilation=2) == 6
    assert layer(torch.zeros(1, 1, 20)).shape[-1] == 6
    assert Window(kernel_size=2, stride=2).slide("pool", (9, 5)) == (4, 2)


def test_a_kernel_just_as_large_as_its_input_fits() -> None:
    assert Window(kernel_size=3, dilation=2).slide("conv", (5, 5)) == (1, 1)
    with pytest.raises(InfeasibleConfig, match=re.escape("spans 5 pixels, but its input is 4")):
        Window(kernel_size=3, dilation=2).slide("conv", (5, 4))
