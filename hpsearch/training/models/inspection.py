"""The size and layers of a model, from PyTorch's meta device: no memory, no arithmetic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd

from hpsearch.errors import InfeasibleConfig, UserError
from hpsearch.registry import Component
from hpsearch.training.models.autograd_memory import saved_bytes_per_image
from hpsearch.training.models.pretrained import are_weights_awaited, is_pretrained
from hpsearch.training.models.tracing import Trace
from hpsearch.training.registries import MODELS

#: Bytes of a value in fp32.
_VALUE = 4

_NORMALIZING = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One use of a module that has no submodules, or that has parameters of its own."""

    #: As in the model's ``state_dict``: ``conv1``, ``blocks.0.conv``.
    name: str
    #: The module's class: ``Conv2d``.
    kind: str
    #: Without the batch: ``(channels, height, width)`` or ``(features,)``; empty if parameters
    #: were used without a call of their module.
    output_shape: tuple[int, ...]
    #: The module's own parameters; 0 if an earlier row counts them.
    parameters: int
    #: Of one sample's forward pass.
    multiply_adds: int
    #: Whether it has no parameters and as many values as its input: activation, dropout, flatten.
    #: Tables such as torchsummary's omit such a layer if the model calls it as a function.
    pointwise: bool

    @property
    def output_bytes(self) -> int:
        """Bytes of one sample's output in fp32."""
        return torch.Size(self.output_shape).numel() * _VALUE if self.output_shape else 0


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """A model's size and its layers in the order of their use. Bytes are those of fp32."""

    #: (channels, height, width).
    input_shape: tuple[int, int, int]
    parameters: int
    #: Those that the optimizer changes: all except a frozen backbone's.
    trainable_parameters: int
    #: Multiply-adds of convolutions and matrix products in one sample's forward pass.
    multiply_adds: int
    layers: tuple[Layer, ...]
    #: Whether there are convolutions over images, so that channels-last memory pays.
    convolutional: bool
    #: Whether there is batch norm, so that one sample can't be a training batch.
    batch_norm: bool
    #: Whether a layer normalizes: over batches, groups or layers.
    normalized: bool
    #: The largest share of values that a layer drops in training.
    dropout: float
    #: Whether training begins with pretrained weights.
    pretrained: bool
    #: (height, width) in pixels of the area on which one value of the last convolution depends,
    #: padding included; ``None`` if there are no convolutions or it is unknown.
    receptive_field: tuple[int, int] | None
    #: Bytes per sample that a training step keeps until its backward pass.
    saved_bytes: int

    @property
    def largest_output(self) -> int:
        """Number of values in the largest layer output of one sample."""
        sizes = [torch.Size(layer.output_shape).numel() for layer in self.layers]
        return max(sizes, default=0)

    def activation_bytes(self, batch_size: int) -> int:
        """Estimate the memory of a training step's activations, images included, in bytes.

        This is what autograd keeps for the backward pass, about half of it in bf16. Weights,
        gradients, the optimizer's state and the working space of single operations are extra.
        """
        return batch_size * self.saved_bytes

    @property
    def input_bytes(self) -> int:
        """Bytes of one image."""
        return torch.Size(self.input_shape).numel() * _VALUE

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters."""
        return self.parameters * _VALUE

    @property
    def forward_backward_bytes(self) -> int:
        """Bytes of all layers' outputs and their gradients for one image, without pointwise layers.

        torchsummary prints this estimate as "Forward/backward pass size" for a model that calls its
        activations as functions. ``activation_bytes`` is closer to what a step needs.
        """
        return 2 * sum(layer.output_bytes for layer in self.layers if not layer.pointwise)


def describe(model: Component, *, input_shape: tuple[int, int, int], classes: int) -> ModelSummary:
    """Build ``model`` on the meta device, pass one image through it, and return a summary.

    Args:
        model: The model's name and settings.
        input_shape: (channels, height, width).
        classes: Number of classes.

    Raises:
        InfeasibleConfig: If the image doesn't fit the model; the message shows the arithmetic.
        UserError: If the model doesn't return logits.
    """
    # Cached, since a search describes every configuration, and a large model takes a second
    return _summarize(
        _CacheKey(
            model=model,
            settings=json.dumps(model.settings, sort_keys=True, default=repr),
            build=MODELS[model.name].build,
            input_shape=input_shape,
            classes=classes,
            weights_come_later=are_weights_awaited(),
        )
    )


@dataclass(frozen=True, kw_only=True)
class _CacheKey:
    """The key of the cache: everything that the summary depends on."""

    model: Component = field(compare=False)
    settings: str
    build: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]
    classes: int
    #: Part of the key, since a summary made without loading weights doesn't prove that they exist.
    weights_come_later: bool


@lru_cache(maxsize=256)
def _summarize(key: _CacheKey) -> ModelSummary:
    with torch.device("meta"):
        net = MODELS.build(key.model, key.input_shape, key.classes).eval()
        image = torch.empty(1, *key.input_shape)
    layers: list[Layer] = []
    counted: set[int] = set()

    def new_parameters(module: nn.Module) -> int:
        own = [parameter for parameter in module.parameters(False) if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in own)
        return sum(parameter.numel() for parameter in own)

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, tuple):  # attention returns its weights, too
            output = output[0]
        if isinstance(output, Tensor):
            bare = not any(True for _ in module.parameters(False))
            input_size = inputs[0].numel() if inputs and isinstance(inputs[0], Tensor) else None
            layers.append(
                Layer(
                    name=name,
                    kind=type(module).__name__,
                    output_shape=tuple(output.shape[1:]),
                    parameters=new_parameters(module),
                    multiply_adds=_multiply_adds(module, inputs, output),
                    pointwise=bare and output.numel() == input_size,
                )
            )

    for name, module in net.named_modules():
        if not any(module.children()) or any(True for _ in module.parameters(False)):
            module.register_forward_hook(
                lambda module, inputs, output, name=name: note(name, module, inputs, output)
            )
    trace = Trace(image)
    with trace:
        logits = _forward(net, image, key.model)
    _check_logits(key.model.name, logits, layers, key.classes)
    for name, module in net.named_modules():
        if rest := new_parameters(module):
            layers.append(_uncalled(name, module, rest))
    parameters = list(net.parameters())
    return ModelSummary(
        input_shape=key.input_shape,
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(
            parameter.numel() for parameter in parameters if parameter.requires_grad
        ),
        multiply_adds=trace.multiply_adds,
        layers=tuple(layers),
        convolutional=any(isinstance(module, nn.Conv2d) for module in net.modules()),
        batch_norm=any(isinstance(module, _BatchNorm) for module in net.modules()),
        normalized=any(isinstance(module, _NORMALIZING) for module in net.modules()),
        dropout=max(
            (float(module.p) for module in net.modules() if isinstance(module, _DropoutNd)),
            default=0.0,
        ),
        pretrained=any(map(is_pretrained, net.modules())),
        receptive_field=trace.receptive_field,
        saved_bytes=_saved_bytes(net, key.input_shape, layers),
    )


def _uncalled(name: str, module: nn.Module, parameters: int) -> Layer:
    return Layer(
        name=name,
        kind=type(module).__name__,
        output_shape=(),
        parameters=parameters,
        multiply_adds=0,
        pointwise=False,
    )


def _saved_bytes(net: nn.Module, input_shape: tuple[int, int, int], layers: list[Layer]) -> int:
    try:
        return saved_bytes_per_image(net, input_shape)
    except (RuntimeError, ValueError):
        # A plug-in's training mode may need what the meta device lacks, such as values
        return sum(layer.output_bytes for layer in layers)


def _forward(net: nn.Module, image: Tensor, model: Component) -> Any:
    try:
        with torch.no_grad():
            return net(image)
    except (RuntimeError, AssertionError) as error:
        # PyTorch raises these if shapes don't fit, so a plug-in needs no check of its own
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
            f"a model must return logits, but the last layer of {name!r} is {layers[-1].kind}, and "
            "the cross-entropy loss already contains the softmax; leave that layer out"
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
