"""airbench: a small, fast convolutional network in the manner of the CIFAR-10 speed records.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", after Page's ResNet-9. Its
first layer, its order of layers, its initial weights and its logits' scale are the paper's; the
default width is a fraction of the paper's 64, for two CPU cores.
"""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.whitening import WhitenedConv
from hpsearch.training.registries import ACTIVATIONS, MODELS

#: Channels of the three groups, in units of the width.
_GROUPS = (1, 4, 4)
#: The logits are divided by this, so that training begins with small ones.
_LOGIT_SCALE = 9.0
#: Edge of the first kernel in pixels, and of the smallest image that three poolings accept.
_FIRST, _SMALLEST = 2, 6


@MODELS.register("airbench")
def airbench(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    width: PositiveInt = 16,
    whiten: bool = True,
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Fast: a 2x2 convolution, whitened, then three groups of two 3x3 convolutions with batch norm.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        width: Channels of the first group; the other two have four times as many.
        whiten: Whether the first kernels are the whitened patches of the training images and stay
            so; if not, they are random and trained.
        activation: Follows each convolution.
        dropout: Share of the features zeroed in training, before the last layer.

    Raises:
        InfeasibleConfig: If the image is too small.
    """
    if min(input_shape[1:]) < _SMALLEST:
        raise InfeasibleConfig(
            f"airbench: three poolings need images of at least {_SMALLEST} pixels, but "
            f"{min(input_shape[1:])} < {_SMALLEST}; use a larger input_size"
        )
    return Airbench(
        input_shape[0],
        classes,
        width=width,
        whiten=whiten,
        activation=activation,
        dropout=dropout,
    )


class Airbench(nn.Module):
    """The network.

    Args:
        channels: Channels of the images.
        classes: Number of classes.
        width: Channels of the first group.
        whiten: Whether the first convolution is a ``WhitenedConv``.
        activation: Follows each convolution.
        dropout: Share of the features zeroed in training.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        width: int,
        whiten: bool,
        activation: Component,
        dropout: float,
    ) -> None:
        super().__init__()
        first = 2 * channels * _FIRST**2  # each eigenvector of the patches, and its negative
        kind = WhitenedConv if whiten else nn.Conv2d
        self.first = kind(channels, first, _FIRST)
        self.first_act = ACTIVATIONS.build(activation)
        self.groups = nn.Sequential()
        inputs = first
        for factor in _GROUPS:
            self.groups.append(Group(inputs, factor * width, activation))
            inputs = factor * width
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(inputs, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``images``, (n, classes)."""
        hidden = self.groups(self.first_act(self.first(images)))
        features: Tensor = self.drop(self.pool(hidden).flatten(1))
        logits: Tensor = self.head(features) / _LOGIT_SCALE
        return logits


class Group(nn.Module):
    """Two 3x3 convolutions; the first one's output is halved before its norm and activation."""

    def __init__(self, inputs: int, width: int, activation: Component) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, width)
        # Keeps the last row of an odd size, so that small images have three halvings
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.bn1 = nn.BatchNorm2d(width, momentum=0.4)
        self.act1 = ACTIVATIONS.build(activation)
        self.conv2 = _convolution(width, width)
        self.bn2 = nn.BatchNorm2d(width, momentum=0.4)
        self.act2 = ACTIVATIONS.build(activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, height, width) to (n, channels, height / 2, width / 2)."""
        hidden = self.act1(self.bn1(self.pool(self.conv1(images))))
        out: Tensor = self.act2(self.bn2(self.conv2(hidden)))
        return out


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution whose first channels begin as copies of its input's."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight[: min(inputs, outputs)].data)
    return convolution
