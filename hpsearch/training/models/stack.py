"""Convolutional networks whose layers form one sequence, built layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias

from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.models.convolution import Window
from hpsearch.training.models.dense import add_dense_layers
from hpsearch.training.registries import ACTIVATIONS

Pooling: TypeAlias = Literal["max", "average"]

#: 2x2 pooling, which halves the size.
HALF = Window(kernel_size=2, stride=2)


class Layers(nn.Sequential):
    """Layers in sequence; computes a ReLU later if that is faster, with the same digits.

    - A ReLU before max pooling runs after it: the result is the same, from a quarter of the values.
    - A ReLU before flattening runs after it: flattening turns channels last into channels first,
      and a ReLU's backward pass takes ten times as long if the memory formats of gradient and
      values differ.

    If forward hooks watch one of the two layers, their order stays.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the last layer's output."""
        layers = list(self)
        place = 0
        while place < len(layers) - 1:
            one, other = layers[place : place + 2]
            if (
                type(one) is nn.ReLU
                and type(other) in (nn.MaxPool2d, nn.Flatten)
                and not one._forward_hooks
                and not other._forward_hooks
            ):
                layers[place : place + 2] = other, one
                place += 1  # each ReLU moves once: after a pooling, little more can be gained
            place += 1
        for layer in layers:
            input = layer(input)
        return input


class Stack:
    """A model built layer by layer, which knows the shape of its output.

    Convolutions have the names ``conv1``, ``conv2``, ..., and the layers after one have its name as
    a prefix: ``conv1_act``, ``conv1_bn``, ``conv1_pool``.
    """

    def __init__(self, input_shape: tuple[int, int, int], activation: Component) -> None:
        self.channels, height, width = input_shape
        self.size = (height, width)
        self._activation = activation
        self._model = Layers()
        self._convolutions = 0

    def conv(self, channels: int, window: Window, *, bias: bool = True) -> Self:
        """Append a convolution.

        Args:
            channels: Output channels.
            window: The geometry of the kernel.
            bias: Whether the convolution has a bias.

        Returns:
            The stack itself.

        Raises:
            InfeasibleConfig: If the window is larger than its input; the message shows the
                arithmetic.
        """
        self._convolutions += 1
        self.size = window.slide(self._name, self.size)
        convolution = nn.Conv2d(
            self.channels,
            channels,
            window.kernel_size,
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            bias=bias,
        )
        self._model.add_module(self._name, convolution)
        self.channels = channels
        return self

    def act(self) -> Self:
        """Append the activation function."""
        self._model.add_module(f"{self._name}_act", ACTIVATIONS.build(self._activation))
        return self

    def norm(self) -> Self:
        """Append batch norm."""
        self._model.add_module(f"{self._name}_bn", nn.BatchNorm2d(self.channels))
        return self

    def pool(self, window: Window = HALF, kind: Pooling = "max") -> Self:
        """Append a pooling.

        Raises:
            InfeasibleConfig: If the window is larger than its input; the message shows the
                arithmetic.
        """
        name = f"{self._name}_pool"
        self.size = window.slide(name, self.size)
        layer = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
        self._model.add_module(
            name, layer(window.kernel_size, stride=window.stride, padding=window.padding)
        )
        return self

    def dense(
        self,
        hidden: Sequence[int] | str,
        classes: int,
        *,
        dropout: float,
        batch_norm: bool = False,
        dropout_before: bool = False,
    ) -> nn.Sequential:
        """Append the dense layers and return the model.

        Args:
            hidden: Widths of the dense layers before the logits, or the rule for them.
            classes: Number of classes.
            dropout: Share of activations zeroed in training; 0 appends no dropout.
            batch_norm: Whether batch norm follows each activation.
            dropout_before: Whether a dropout precedes the first dense layer.
        """
        self._model.add_module("flatten", nn.Flatten())
        add_dense_layers(
            self._model,
            self.channels * self.size[0] * self.size[1],
            hidden,
            classes,
            activation=self._activation,
            dropout=dropout,
            batch_norm=batch_norm,
            dropout_before=dropout_before,
        )
        return self._model

    @property
    def _name(self) -> str:
        return f"conv{self._convolutions}"
