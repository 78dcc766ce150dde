"""Any of torchvision's classifiers by its name there, with new dense layers at its end.

torchvision is imported only if such a model is used, since the import takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.models.activations import RELU, Activation
from hpsearch.training.models.dense import Dropout
from hpsearch.training.models.pretrained import Weights, load_backbone
from hpsearch.training.models.transfer import (
    Classifier,
    Freeze,
    check_freeze,
    put_layer,
    replace_activations,
)
from hpsearch.training.models.widths import Hidden
from hpsearch.training.registries import MODELS

#: Architectures that call activations as functions, which can't be replaced.
_FUNCTIONAL = ("densenet", "googlenet", "inception")


@MODELS.register("torchvision")
def torchvision(
    input_shape: tuple[int, int, int],
    classes: int,
    /,
    *,
    name: str,
    weights: Weights = "none",
    freeze: Freeze = "none",
    hidden: Hidden = [],  # noqa: B006 - never changed; a key's default must be JSON
    activation: Activation | None = None,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Any classifier of torchvision by its name there, its last layer replaced.

    Args:
        input_shape: (channels, height, width).
        classes: Number of classes.
        name: torchvision's name of the model.
        weights: ``none`` (random), ``imagenet``, or a file of a ``state_dict``.
        freeze: ``backbone`` trains only the dense layers, ``none`` everything; or the names of
            layers that aren't trained.
        hidden: Widths of the dense layers before the logits, or the rule for them.
        activation: Replaces the architecture's activations; ``None`` keeps them, with ReLU in the
            dense layers.
        dropout: Share of activations zeroed in training, before the dense layers and after each
            hidden one.

    Raises:
        UserError: If torchvision has no such model.
        DataError: If the weights can't be loaded.
        InfeasibleConfig: If the settings don't fit the model or the image.
    """
    check_freeze(freeze, weights)
    net = _build(name, input_shape)
    backbone, features, classifier = _without_classifier(net)
    first = _take_channels(backbone, input_shape[0])
    load_backbone(
        backbone, weights, architecture=name, first_convs=(first,), classifiers=(classifier,)
    )
    if activation is not None:
        _replace_activations(backbone, name, activation)
    return Classifier(
        backbone,
        features,
        classes,
        freeze=freeze,
        hidden=hidden,
        activation=activation or RELU,
        dropout=dropout,
    )


def _build(name: str, input_shape: tuple[int, int, int]) -> nn.Module:
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        near = get_close_matches(name, names, n=5, cutoff=0.4)
        raise UserError(
            f"name must be one of torchvision's {len(names)} classifiers, but got {name!r}; "
            + (f"similar names: {', '.join(near)}; " if near else "")
            + "all: python -c 'import torchvision.models as m; print(m.list_models(module=m))'"
        )
    _, height, width = input_shape
    sizes: dict[str, Any] = {}
    if name.startswith("vit_"):
        if height != width:
            raise InfeasibleConfig(
                f"{name} accepts only square images, but they are {height} x {width} pixels "
                "(height x width); set input_size"
            )
        sizes["image_size"] = height
    elif name.startswith("maxvit"):
        sizes["input_size"] = (height, width)
    elif name in ("googlenet", "inception_v3"):
        # No auxiliary outputs, which only the original's training needed, and no warning
        sizes.update(aux_logits=False, init_weights=True)
    get_model: Callable[..., nn.Module] = models.get_model
    try:
        with _CountingOnCpu() if name.startswith("regnet") else nullcontext():
            return get_model(name, weights=None, **sizes)
    except (AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InfeasibleConfig(
            f"{name} can't be built for images of {height} x {width} pixels (height x width): "
            f"{reason}; use another input_size"
        ) from error


class _CountingOnCpu(TorchFunctionMode):
    """Lets RegNet calculate its widths on the CPU while it is built on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func``, on the CPU if RegNet calculates its widths with it."""
        options = {"device": "cpu"} if func in (torch.arange, torch.tensor) else {}
        return func(*args, **{**options, **(kwargs or {})})


def _without_classifier(net: nn.Module) -> tuple[nn.Module, int, str]:
    """Return the net without its last layer, the number of its features, and that layer's name."""
    layers = [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    name, last = layers[-1]
    if isinstance(last, nn.Conv2d):
        # SqueezeNet: a 1x1 convolution, a ReLU, then the average. A dense layer after the average
        # is the same except for the ReLU
        net.classifier = nn.AdaptiveAvgPool2d(1)
        return net, last.in_channels, "classifier"
    put_layer(net, name, nn.Identity())
    return net, last.in_features, name


def _take_channels(net: nn.Module, channels: int) -> str:
    """Give the first convolution ``channels`` input channels, and return its name."""
    convolutions: dict[str, nn.Conv2d] = {
        name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)
    }
    name, first = next(iter(convolutions.items()))
    if first.in_channels != channels:
        convolution = nn.Conv2d(
            channels,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            stride=first.stride,  # type: ignore[arg-type]
            padding=first.padding,  # type: ignore[arg-type]
            bias=first.bias is not None,
        )
        put_layer(net, name, convolution)
    return name


def _replace_activations(net: nn.Module, name: str, activation: Component) -> None:
    if name.startswith(_FUNCTIONAL):
        raise InfeasibleConfig(
            f"{name} calls its activation as a function, so it can't be replaced, but activation "
            f"is {activation.name}; use activation: null"
        )
    replace_activations(net, activation)
