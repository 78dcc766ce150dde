"""What a model is made of, found on PyTorch's meta device: shapes without memory or arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.registries import MODELS


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One use of a module that has no parts, or that holds parameters of its own."""

    #: As in the model's ``state_dict``: ``conv1``, ``blocks.0.conv``.
    name: str
    #: The module's class: ``Conv2d``.
    kind: str
    #: Without the batch: ``(channels, height, width)`` or ``(features,)``.
    output_shape: tuple[int, ...]
    #: The module's own parameters; 0 where the table has counted them before.
    parameters: int
    #: For one sample, forward.
    multiply_adds: int


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """A model's size and its layers in the order of their use."""

    parameters: int
    #: Multiply-adds of the convolutions and dense layers for one sample, forward.
    multiply_adds: int
    layers: tuple[Layer, ...]
    #: Whether there are convolutions over images, so that channels-last memory pays.
    convolutional: bool
    #: Whether there is batch norm, so that one sample can't be a training batch.
    batch_norm: bool

    @property
    def largest_output(self) -> int:
        """Number of values in the largest layer output of one sample."""
        sizes = [torch.Size(layer.output_shape).numel() for layer in self.layers]
        return max(sizes, default=0)


def describe(model: Component, *, input_shape: tuple[int, int, int], classes: int) -> ModelSummary:
    """Build ``model`` on the meta device, pass one image through it, and say what was there.

    ``input_shape`` is (channels, height, width). Raises ``InfeasibleConfig`` with the arithmetic
    where the image doesn't fit, and ``UserError`` where the model doesn't return logits.
    """
    with torch.device("meta"):
        built = MODELS.build(model, input_shape, classes).eval()
        image = torch.empty(1, *input_shape)
    layers: list[Layer] = []
    counted: set[int] = set()

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        own = [parameter for parameter in module.parameters(False) if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in own)
        if isinstance(output, Tensor):
            layers.append(
                Layer(
                    name=name,
                    kind=type(module).__name__,
                    output_shape=tuple(output.shape[1:]),
                    parameters=sum(parameter.numel() for parameter in own),
                    multiply_adds=_multiply_adds(module, inputs, output),
                )
            )

    for name, module in built.named_modules():
        if not any(module.children()) or any(True for _ in module.parameters(False)):
            module.register_forward_hook(
                lambda module, inputs, output, name=name: note(name, module, inputs, output)
            )
    logits = _forward(built, image, model)
    _check_logits(model.name, logits, layers, classes)
    return ModelSummary(
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        layers=tuple(layers),
        convolutional=any(isinstance(module, nn.Conv2d) for module in built.modules()),
        batch_norm=any(isinstance(module, _BatchNorm) for module in built.modules()),
    )


def _forward(built: nn.Module, image: Tensor, model: Component) -> Any:
    try:
        with torch.inference_mode():
            return built(image)
    except RuntimeError as error:
        # PyTorch's way to say that shapes don't fit: a plug-in need not do the arithmetic
        channels, height, width = image.shape[1:]
        raise InfeasibleConfig(
            f"model {model.name!r} with {_words(model.settings)} can't take an image of "
            f"{channels} x {height} x {width} (channels x height x width): "
            f"{str(error).partition(chr(10))[0]}"
        ) from error


def _check_logits(name: str, logits: Any, layers: list[Layer], classes: int) -> None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (1, classes):
        raise UserError(
            f"a model must return logits of the shape (n, classes) = (1, {classes}) for one image, "
            f"but {name!r} returned {shape}; end it with nn.Linear(.., classes)"
        )
    if layers and layers[-1].kind in ("Softmax", "LogSoftmax"):
        raise UserError(
            f"a model must return logits, but the last layer of {name!r} is {layers[-1].kind}, "
            "and the cross-entropy loss takes the softmax itself; leave that layer out"
        )


def _multiply_adds(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    match module:
        case nn.Linear():
            return output.numel() * module.in_features
        case _ConvTransposeNd():
            taps = torch.Size(module.kernel_size).numel() * module.out_channels // module.groups
            return int(inputs[0].numel()) * taps
        case _ConvNd():
            taps = torch.Size(module.kernel_size).numel() * module.in_channels // module.groups
            return output.numel() * taps
        case _:
            return 0


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "its defaults"
