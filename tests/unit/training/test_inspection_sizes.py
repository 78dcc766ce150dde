"""Sizes in memory: the table of report E, and what a training step keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.models.inspection import describe
from hpsearch.training.registries import MODELS

COLOUR = (3, 32, 32)
MB = 2**20


def test_the_table_of_report_e() -> None:
    """As torchsummary printed it: 2 x 4 bytes per output, 4 per parameter, MB of 2^20 bytes."""
    summary = describe(Component("emoji_net"), input_shape=COLOUR, classes=5)

    rows = [
        (layer.kind, layer.output_shape, layer.parameters)
        for layer in summary.layers
        if not layer.pointwise
    ]
    assert rows == [
        ("Conv2d", (32, 16, 16), 896),
        ("MaxPool2d", (32, 8, 8), 0),
        ("Conv2d", (64, 8, 8), 18_496),
        ("Linear", (256,), 1_048_832),
        ("Linear", (5,), 1_285),
    ]
    sizes = (summary.input_bytes, summary.forward_backward_bytes, summary.parameter_bytes)
    assert [f"{size / MB:.2f}" for size in (*sizes, sum(sizes))] == ["0.01", "0.11", "4.08", "4.20"]
    assert (summary.parameters, summary.trainable_parameters) == (1_069_509, 1_069_509)


def test_what_is_pointwise() -> None:
    model = Component("vgg16", {"hidden": [20], "dropout": 0.5})

    layers = describe(model, input_shape=COLOUR, classes=5).layers

    assert {layer.kind for layer in layers if layer.pointwise} == {"ReLU", "Dropout", "Flatten"}
    assert not any(layer.pointwise for layer in layers if layer.kind == "BatchNorm2d")
    assert layers[0].output_bytes == 64 * 32 * 32 * 4


class TestActivationBytes:
    def test_by_hand(self) -> None:
        summary = describe(Component("emoji_net"), input_shape=COLOUR, classes=5)

        values = (
            3 * 32 * 32  # the image, for conv1's weights
            + 32 * 16 * 16  # the ReLU's output, for itself and for the pooling
            + 2 * 32 * 8 * 8  # which pixel was the largest: 8 bytes each
            + 32 * 8 * 8  # for conv2's weights
            + 64 * 8 * 8  # the ReLU's output, for itself and for the dense layer
            + 256  # the same again
        )
        assert summary.activation_bytes(1) == 4 * values
        assert summary.activation_bytes(128) == 128 * 4 * values

    @pytest.mark.parametrize(
        "model",
        [
            Component("cnn_small", {"activation": {"gelu": {}}}),
            Component("lenet5", {"pool": "average", "activation": {"tanh": {}}, "dropout": 0.5}),
            Component("mlp", {"hidden": "div4", "activation": {"leaky_relu": {}}}),
        ],
        ids=lambda model: model.name,
    )
    def test_a_real_training_step_keeps_as_much(self, model: Component) -> None:
        built = MODELS.build(model, COLOUR, 10).train()
        weights = {tensor.data_ptr() for tensor in (*built.parameters(), *built.buffers())}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in weights:
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = built(torch.randn(24, *COLOUR))
        real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        assert logits.shape == (24, 10)

        expected = describe(model, input_shape=COLOUR, classes=10).activation_bytes(24)
        # Batch norm keeps a mean and a deviation per channel, whatever the batch
        assert real == pytest.approx(expected, rel=0.03)

    def test_training_mode_that_reads_values_is_estimated_by_outputs(
        self, register: Callable[..., None]
    ) -> None:
        class Skipping(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.out = nn.Linear(64, 3)

            def forward(self, images: Tensor) -> Tensor:
                hidden = images.flatten(1)
                if self.training and hidden.mean().item() > 0:
                    hidden = hidden * 2
                logits: Tensor = self.out(hidden)
                return logits

        register(MODELS, "skipping", lambda shape, classes, /: Skipping())

        summary = describe(Component("skipping"), input_shape=(1, 8, 8), classes=3)

        assert summary.activation_bytes(2) == 2 * 4 * 3


class TestWhatIsAskedAgain:
    """A search describes each of its draws; what was found is kept."""

    def test_the_same_model_is_built_once(self, register: Callable[..., None]) -> None:
        built: list[int] = []

        def model(shape: Any, classes: int, /, *, width: int = 4) -> nn.Module:
            built.append(width)
            return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

        register(MODELS, "counting", model)

        def ask(width: int, classes: int = 3) -> None:
            wanted = Component("counting", {"width": width})
            describe(wanted, input_shape=(1, 8, 8), classes=classes)

        for width, classes in ((1, 3), (1, 3), (2, 3), (1, 3), (1, 4)):
            ask(width, classes)
        assert built == [1, 2, 1]

    def test_another_function_of_the_same_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = []
        for width in (5, 6):
            monkeypatch.setattr(MODELS, "_entries", {})
            MODELS.register("mine")(
                lambda shape, classes, /, width=width: nn.Sequential(
                    nn.Flatten(), nn.Linear(64, width), nn.Linear(width, classes)
                )
            )
            summary = describe(Component("mine"), input_shape=(1, 8, 8), classes=3)
            sizes.append(summary.parameters)

        assert sizes == [65 * 5 + 6 * 3, 65 * 6 + 7 * 3]


def test_parameters_that_no_module_call_shows(register: Callable[..., None]) -> None:
    """Attention takes its output layer's weights without calling that layer."""

    class Attending(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.out = nn.Linear(8, classes)

        def forward(self, images: Tensor) -> Tensor:
            rows = images.squeeze(1)
            logits: Tensor = self.out(self.attention(rows, rows, rows)[0].mean(1))
            return logits

    register(MODELS, "attending", lambda shape, classes, /: Attending(classes))

    summary = describe(Component("attending"), input_shape=(1, 8, 8), classes=3)

    assert [(layer.name, layer.output_shape, layer.parameters) for layer in summary.layers] == [
        ("attention", (8, 8), 3 * 8 * 8 + 3 * 8),
        ("out", (3,), 27),
        ("attention.out_proj", (), 72),
    ]
    # q, k, v and the output; q k and their product with v; the logits
    assert summary.multiply_adds == 4 * 8 * 8 * 8 + 2 * 8 * 8 * 8 + 24
