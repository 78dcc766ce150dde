"""Convolutional networks that are one layer after another, written as their tables read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias

from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.models.convolution import Window
from hpsearch.training.models.dense import add_dense_layers
from hpsearch.training.registries import ACTIVATIONS

Pooling: TypeAlias = Literal["max", "average"]

#: 2x2 pooling that halves the size.
HALF = Window(kernel_size=2, stride=2)


class Layers(nn.Sequential):
    """Layers one after another; a ReLU is computed where it costs least, to the same digits.

    - Behind the max pooling that it stands in front of: the largest of four values, cut off at 0,
      is the largest of the four cut off, from a quarter of the numbers.
    - Else behind the flattening that it stands in front of: flattening turns channels last into
      channels first, and where the gradient comes back in another memory format than the values
      lie in, a ReLU's backward pass takes ten times as long.

    Where forward hooks watch one of the two, they follow one another as they were appended.
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
                place += 1  # once is enough: behind a pooling there is little left to win
            place += 1
        for layer in layers:
            input = layer(input)
        return input


class Stack:
    """A growing model that knows how large its output is.

    Convolutions are called ``conv1``, ``conv2``, ..., and what follows one is called after it:
    ``conv1_act``, ``conv1_bn``, ``conv1_pool``. A window that is larger than its input raises
    ``InfeasibleConfig`` with the arithmetic.
    """

    def __init__(self, input_shape: tuple[int, int, int], activation: Component) -> None:
        self.channels, height, width = input_shape
        self.size = (height, width)
        self._activation = activation
        self._model = Layers()
        self._convolutions = 0

    def conv(self, channels: int, window: Window, *, bias: bool = True) -> Self:
        """Append a convolution."""
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
        """Append a pooling."""
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
        """Append the dense layers (see ``add_dense_layers``) and return the model."""
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
