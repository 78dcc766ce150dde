"""Two-block convolutional networks: (convolution, activation, pooling) twice, then dense layers."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.convolution import Window
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.stack import Stack
from hpsearch.training.models.widths import Hidden, SimpleCnnHidden
from hpsearch.training.registries import MODELS


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """One convolution with a square kernel."""

    #: Output channels.
    channels: PositiveInt = 32
    kernel_size: PositiveInt = 3
    #: Distance of two kernel elements in pixels; 1 skips none.
    dilation: PositiveInt = 1
    stride: PositiveInt = 1
    #: Zeros on each side, in pixels.
    padding: NonNegativeInt = 0

    @property
    def window(self) -> Window:
        """The geometry of the kernel."""
        return Window(
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )


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
    hidden: SimpleCnnHidden = [128],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Two 3x3 convolutions (padding 1), each with 2x2 max pooling, then dense layers.

    Report A's ``simple_cnn``; ``hidden: arq_2`` and ``arq_4`` are its variants of those names.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        conv1_channels: Output channels of the first convolution.
        conv2_channels: Output channels of the second convolution.
        hidden: Widths of the dense layers before the logits, the rule for them, or a report's name.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    return _two_block_cnn(
        input_shape,
        ConvLayer(channels=conv1_channels, padding=1),
        ConvLayer(channels=conv2_channels, padding=1),
        activation=activation,
    ).dense(hidden, classes, dropout=dropout)


@MODELS.register("default_conv")
def default_conv(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    conv1_channels: PositiveInt = 6,
    conv2_channels: PositiveInt = 16,
    kernel_size: PositiveInt = 5,
    hidden: Hidden = [120, 84],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """A baseline: two 5x5 convolutions, each with 2x2 max pooling, then dense layers.

    Report A starts from "a given small conv net" and doesn't define it. This one is from PyTorch's
    tutorial "Training a classifier".

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        conv1_channels: Output channels of the first convolution.
        conv2_channels: Output channels of the second convolution.
        kernel_size: Width of both kernels in pixels.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    return _two_block_cnn(
        input_shape,
        ConvLayer(channels=conv1_channels, kernel_size=kernel_size),
        ConvLayer(channels=conv2_channels, kernel_size=kernel_size),
        activation=activation,
    ).dense(hidden, classes, dropout=dropout)


@MODELS.register("cnn_lessvalues")
def cnn_lessvalues(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    conv1_channels: PositiveInt = 8,
    conv2_channels: PositiveInt = 16,
    hidden: Hidden = [64],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """A narrow net: two 3x3 convolutions (padding 1), each with 2x2 max pooling, dense layers.

    Report B gives "2 conv + dense" without widths; the channels are a quarter of ``simple_cnn``'s.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        conv1_channels: Output channels of the first convolution.
        conv2_channels: Output channels of the second convolution.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    return _two_block_cnn(
        input_shape,
        ConvLayer(channels=conv1_channels, padding=1),
        ConvLayer(channels=conv2_channels, padding=1),
        activation=activation,
    ).dense(hidden, classes, dropout=dropout)


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
    """Two convolutions of any kernel, dilation, stride and padding, 2x2 max pooling, two dense.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        conv1: The first convolution.
        conv2: The second convolution.
        hidden: Width of the dense layer before the logits.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after the hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    return _two_block_cnn(input_shape, conv1, conv2, activation=activation).dense(
        [hidden], classes, dropout=dropout
    )


def _two_block_cnn(
    input_shape: tuple[int, int, int], *convolutions: ConvLayer, activation: Component
) -> Stack:
    stack = Stack(input_shape, activation)
    for layer in convolutions:
        stack.conv(layer.channels, layer.window).act().pool()
    return stack
