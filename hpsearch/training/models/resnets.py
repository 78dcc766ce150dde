"""Residual networks (He et al., 2016) for small and large images.

Layers have the names of torchvision's, so that its weights load. But each activation is a module of
its own and of any kind; torchvision uses one ReLU in several places.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from torch import Tensor, nn

from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.convolution import init_for_depth
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.pretrained import Weights, load_backbone
from hpsearch.training.models.transfer import Classifier, Freeze, check_freeze
from hpsearch.training.models.widths import Hidden
from hpsearch.training.registries import ACTIVATIONS, MODELS

#: The first layers. ``imagenet``: 7x7 with stride 2 and a pooling; ``small``: 3x3 and no pooling;
#: ``auto``: ``small`` below 64 pixels if no weights are loaded, else ``imagenet``.
Stem: TypeAlias = Literal["auto", "small", "imagenet"]

_SMALL_BELOW = 64


@MODELS.register("resnet18")
def resnet18(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    stem: Stem = "auto",
    weights: Weights = "none",
    freeze: Freeze = "none",
    hidden: Hidden = [],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """ResNet-18: eight blocks of two 3x3 convolutions, average pooling, one dense layer.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        stem: The first layers (see ``Stem``).
        weights: ``none`` (random), ``imagenet``, or a file of a ``state_dict``.
        freeze: ``backbone`` trains only the dense layers, ``none`` everything; or the names of
            layers that aren't trained.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        DataError: If the weights can't be loaded.
        InfeasibleConfig: If the weights don't fit the image's channels, or if random weights would
            be frozen.
    """
    return _resnet(
        "resnet18",
        input_shape,
        classes,
        blocks=(2, 2, 2, 2),
        bottleneck=False,
        stem=stem,
        weights=weights,
        freeze=freeze,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
    )


@MODELS.register("resnet50")
def resnet50(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    stem: Stem = "auto",
    weights: Weights = "none",
    freeze: Freeze = "none",
    hidden: Hidden = [],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation = RELU,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """ResNet-50: sixteen bottleneck blocks, average pooling, one dense layer or more.

    Report A's net has ``weights: imagenet`` and ``hidden: [1024, 256, 64, 16]``.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        stem: The first layers (see ``Stem``).
        weights: ``none`` (random), ``imagenet``, or a file of a ``state_dict``.
        freeze: ``backbone`` trains only the dense layers, ``none`` everything; or the names of
            layers that aren't trained.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Follows each hidden layer.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        DataError: If the weights can't be loaded.
        InfeasibleConfig: If the weights don't fit the image's channels, or if random weights would
            be frozen.
    """
    return _resnet(
        "resnet50",
        input_shape,
        classes,
        blocks=(3, 4, 6, 3),
        bottleneck=True,
        stem=stem,
        weights=weights,
        freeze=freeze,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
    )


class ResNet(nn.Module):
    """The layers up to the average pooling: (n, channels, height, width) to (n, features).

    Args:
        channels: Channels of the images.
        blocks: Number of blocks in each of the four stages.
        bottleneck: Whether blocks are ``Bottleneck``, else ``BasicBlock``.
        small_stem: Whether the first convolution is 3x3 without pooling, else 7x7 with it.
        activation: Follows each hidden layer.
    """

    def __init__(
        self,
        channels: int,
        *,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
        small_stem: bool,
        activation: Component,
    ) -> None:
        super().__init__()
        if small_stem:
            self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = ACTIVATIONS.build(activation)
        self.maxpool = None if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        kind = Bottleneck if bottleneck else BasicBlock
        #: Output channels of the last block so far, which are the features at the end.
        self.features = 64
        stages = []
        for stage, number in enumerate(blocks):
            stages.append(nn.Sequential())
            for block in range(number):
                stride = 2 if stage > 0 and block == 0 else 1
                stages[-1].append(
                    kind(self.features, 64 * 2**stage, stride=stride, activation=activation)
                )
                self.features = kind.expansion * 64 * 2**stage
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        init_for_depth(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of ``images``, (n, features)."""
        hidden = self.act1(self.bn1(self.conv1(images)))
        if self.maxpool is not None:
            hidden = self.maxpool(hidden)
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        pooled: Tensor = self.avgpool(hidden)
        return pooled.flatten(1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, whose output is added to the input."""

    #: Output channels divided by ``width``.
    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int, activation: Component) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = ACTIVATIONS.build(activation)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)
        self.act2 = ACTIVATIONS.build(activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, height, width) to (n, width, height / stride, width / stride)."""
        hidden = self.act1(self.bn1(self.conv1(images)))
        hidden = self.bn2(self.conv2(hidden))
        shortcut = images if self.downsample is None else self.downsample(images)
        out: Tensor = self.act2(hidden + shortcut)
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, whose output is added to the input.

    The 3x3 convolution has the stride, as in torchvision ("ResNet V1.5").
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int, activation: Component) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = ACTIVATIONS.build(activation)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = ACTIVATIONS.build(activation)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)
        self.act3 = ACTIVATIONS.build(activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, height, width) to (n, 4 * width, height / stride, width / stride)."""
        hidden = self.act1(self.bn1(self.conv1(images)))
        hidden = self.act2(self.bn2(self.conv2(hidden)))
        hidden = self.bn3(self.conv3(hidden))
        shortcut = images if self.downsample is None else self.downsample(images)
        out: Tensor = self.act3(hidden + shortcut)
        return out


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Return layers that give a block's input the shape of its output; ``None`` if it has it."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
    )


def _resnet(
    architecture: str,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    blocks: tuple[int, int, int, int],
    bottleneck: bool,
    stem: Stem,
    weights: str | Path,
    freeze: Freeze,
    hidden: Hidden,
    activation: Component,
    dropout: float,
) -> nn.Module:
    check_freeze(freeze, weights)
    if stem == "auto":
        # Pretrained weights fit only the stem that they were trained with
        small = weights == "none" and min(input_shape[1:]) < _SMALL_BELOW
        stem = "small" if small else "imagenet"
    backbone = ResNet(
        input_shape[0],
        blocks=blocks,
        bottleneck=bottleneck,
        small_stem=stem == "small",
        activation=activation,
    )
    load_backbone(
        backbone, weights, architecture=architecture, first_convs=("conv1",), classifiers=("fc",)
    )
    return Classifier(
        backbone,
        backbone.features,
        classes,
        freeze=freeze,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
    )
