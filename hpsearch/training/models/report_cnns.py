"""The convolutional networks of reports C and E, with the parameter counts of those reports."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.convolution import Window
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.stack import Stack
from hpsearch.training.models.widths import Hidden
from hpsearch.training.registries import MODELS

_SAME_3X3 = Window(kernel_size=3, padding=1)
_PLAIN_3X3 = Window(kernel_size=3)
_POOL_3X3 = Window(kernel_size=3, stride=2, padding=1)


@MODELS.register("cnn_big")
def cnn_big(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    hidden: Hidden = [128, 256, 512, 1024],  # noqa: B006 - never changed; must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Eight 3x3 convolutions of 64 to 512 channels with batch norm, four dense layers with it.

    Report C's net G: 5,655,498 parameters for 3 x 32 x 32 and ten classes. Each layer has its own
    batch norm (the report's code shared one between two: 5,653,578).

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    convolutions = ((64, 64), (128, 128), (256, 256), (512, 512))
    return _report_c(input_shape, convolutions, activation).dense(
        hidden, classes, dropout=dropout, batch_norm=True
    )


@MODELS.register("cnn_small")
def cnn_small(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    hidden: Hidden = [128],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Four 3x3 convolutions of 64 to 512 channels with batch norm, a dense layer with it.

    Report C's net P: 1,816,714 parameters for 3 x 32 x 32 and ten classes.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    convolutions = ((64,), (128,), (256,), (512,))
    return _report_c(input_shape, convolutions, activation).dense(
        hidden, classes, dropout=dropout, batch_norm=True
    )


def _report_c(
    input_shape: tuple[int, int, int],
    convolutions: tuple[tuple[int, ...], ...],
    activation: Component,
) -> Stack:
    """Return blocks of (convolution, activation, batch norm), each followed by a pooling."""
    stack = Stack(input_shape, activation)
    for block in convolutions:
        for channels in block:
            stack.conv(channels, _SAME_3X3).act().norm()
        stack.pool(_POOL_3X3)
    return stack


@MODELS.register("emoji_net")
def emoji_net(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    conv1_channels: PositiveInt = 32,
    conv2_channels: PositiveInt = 64,
    stride: PositiveInt = 2,
    second_pool: bool = False,
    hidden: Hidden = [256],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """A 3x3 convolution with ``stride``, 2x2 max pooling, a 3x3 convolution, dense layers.

    Report E's net: 1,069,509 parameters for 3 x 32 x 32 and five classes. Its variants have
    ``stride: 1`` and ``second_pool: true``.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        conv1_channels: Output channels of the first convolution.
        conv2_channels: Output channels of the second convolution.
        stride: Stride of the first convolution in pixels.
        second_pool: Whether 2x2 max pooling follows the second convolution.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    stack = Stack(input_shape, activation)
    stack.conv(conv1_channels, Window(kernel_size=3, stride=stride, padding=1)).act().pool()
    stack.conv(conv2_channels, _SAME_3X3).act()
    if second_pool:
        stack.pool()
    return stack.dense(hidden, classes, dropout=dropout)


@MODELS.register("emoji_net_initial")
def emoji_net_initial(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    hidden: Hidden = [256],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Three 3x3 convolutions of 16, 32, 64 channels, 2x2 max pooling between, dense layers.

    Report E's first net. Its dense layer has 1024 inputs (64 x 4 x 4 from 32 pixels), which follows
    if no convolution is padded: 32, 30, 15, 13, 6, 4.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    stack = Stack(input_shape, activation)
    stack.conv(16, _PLAIN_3X3).act().pool()
    stack.conv(32, _PLAIN_3X3).act().pool()
    stack.conv(64, _PLAIN_3X3).act()
    return stack.dense(hidden, classes, dropout=dropout)
