"""LeNet-5 and VGG-16, as report B used them on 32 pixels."""

from __future__ import annotations

from pydantic import NonNegativeInt
from torch import nn

from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.convolution import Window, init_for_depth
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.stack import Pooling, Stack
from hpsearch.training.models.widths import Hidden
from hpsearch.training.registries import MODELS

_PLAIN_5X5 = Window(kernel_size=5)
_SAME_3X3 = Window(kernel_size=3, padding=1)

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@MODELS.register("lenet5")
def lenet5(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    padding: NonNegativeInt = 0,
    pool: Pooling = "max",
    hidden: Hidden = [84],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """LeNet-5 (LeCun et al., 1998): three 5x5 convolutions, two poolings, two dense layers.

    It is made for 32 pixels; 28 pixels need ``padding: 2``. The original has ``pool: average`` and
    ``activation: tanh``.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        padding: Zeros on each side of the first convolution's input, in pixels.
        pool: Kind of pooling.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, after each hidden dense layer.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    stack = Stack(input_shape, activation)
    stack.conv(6, Window(kernel_size=5, padding=padding)).act().pool(kind=pool)
    stack.conv(16, _PLAIN_5X5).act().pool(kind=pool)
    stack.conv(120, _PLAIN_5X5).act()
    return stack.dense(hidden, classes, dropout=dropout)


@MODELS.register("vgg16")
def vgg16(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    batch_norm: bool = True,
    hidden: Hidden = [],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """VGG-16 (Simonyan and Zisserman, 2015): thirteen 3x3 convolutions in five blocks, one dense.

    It takes images of 32 pixels and more. Report B's net has one dense layer, the original
    ``hidden: [4096, 4096]``.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        batch_norm: Whether batch norm follows each convolution. The original has none, and learns
            slowly at first.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        InfeasibleConfig: If the image is too small for a layer.
    """
    stack = Stack(input_shape, activation)
    for block in _VGG16:
        for channels in block:
            stack.conv(channels, _SAME_3X3)
            if batch_norm:
                stack.norm()
            stack.act()
        stack.pool()
    model = stack.dense(hidden, classes, dropout=dropout, dropout_before=True)
    init_for_depth(model)
    return model
