"""Two-block convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.convolution import Window
from hpsearch.training.models.dense import Dropout, add_dense_layers
from hpsearch.training.registries import ACTIVATIONS, MODELS

_POOL = Window(kernel_size=2, stride=2)


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """One convolution with a square kernel."""

    #: Output channels.
    channels: PositiveInt = 32
    kernel_size: PositiveInt = 3
    #: Distance of two kernel elements in pixels; 1 leaves none out.
    dilation: PositiveInt = 1
    stride: PositiveInt = 1
    #: Zeros added on each side.
    padding: NonNegativeInt = 0


_CONV1 = ConvLayer(channels=32)
_CONV2 = ConvLayer(channels=64)


@MODELS.register("simple_cnn")
def simple_cnn(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    conv1_channels: PositiveInt = 32,
    conv2_channels: PositiveInt = 64,
    hidden: list[PositiveInt] = [128],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Two 3x3 convolutions (padding 1), each with 2x2 max pooling, then dense layers."""
    return _two_block_cnn(
        input_shape,
        classes,
        ConvLayer(channels=conv1_channels, padding=1),
        ConvLayer(channels=conv2_channels, padding=1),
        hidden=hidden,
        activation=activation,
        dropout=dropout,
    )


@MODELS.register("dilated_cnn")
def dilated_cnn(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    conv1: ConvLayer = _CONV1,
    conv2: ConvLayer = _CONV2,
    hidden: PositiveInt = 128,
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Two convolutions of any kernel, dilation, stride and padding, 2x2 max pooling, two dense."""
    return _two_block_cnn(
        input_shape,
        classes,
        conv1,
        conv2,
        hidden=[hidden],
        activation=activation,
        dropout=dropout,
    )


def _two_block_cnn(
    input_shape: tuple[int, int, int],
    classes: int,
    *convolutions: ConvLayer,
    hidden: list[int],
    activation: Component,
    dropout: float,
) -> nn.Module:
    """Return (convolution, activation, pool) for each of ``convolutions``, then dense layers."""
    channels, height, width = input_shape
    size = (height, width)
    model = nn.Sequential()
    for number, layer in enumerate(convolutions, start=1):
        window = Window(
            kernel_size=layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
        )
        size = window.slide(f"conv{number}", size)
        size = _POOL.slide(f"conv{number}_pool", size)
        convolution = nn.Conv2d(
            channels,
            layer.channels,
            layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
        )
        model.add_module(f"conv{number}", convolution)
        model.add_module(f"conv{number}_act", ACTIVATIONS.build(activation))
        model.add_module(f"conv{number}_pool", nn.MaxPool2d(_POOL.kernel_size))
        channels = layer.channels
    model.add_module("flatten", nn.Flatten())
    add_dense_layers(
        model, channels * size[0] * size[1], hidden, classes, activation=activation, dropout=dropout
    )
    return model
