"""What a configuration comes to once it is built: the figures that a prior looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn, optim

from hpsearch.measurement import KNOWN_BEFORE
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.prepare import prepare
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.pretrained import weights_come_later
from hpsearch.training.registries import OPTIMIZERS

#: (channels, height, width) of an image, and the number of classes.
Image: TypeAlias = tuple[tuple[int, int, int], int]

ImageOf: TypeAlias = Callable[[DataConfig], Image]

#: Each step of a parameter is divided by how large its gradients are.
_ADAPTIVE = (optim.Adam, optim.Adamax, optim.NAdam, optim.RAdam, optim.AdamW, optim.RMSprop)

_SATURATING = (nn.Sigmoid.__name__, nn.Softmax.__name__)


@dataclass(frozen=True, kw_only=True)
class BuiltOptimizer:
    """An optimizer of a family that priors know."""

    lr: float
    #: 0 for an adaptive one: its momentum averages steps and makes them no larger.
    momentum: float
    weight_decay: float
    #: Whether weight decay is apart from the gradients (AdamW).
    decoupled: bool
    adaptive: bool

    @property
    def effective_lr(self) -> float:
        """How far a steady gradient moves a weight in a step."""
        return self.lr / (1 - self.momentum)


@dataclass(frozen=True, kw_only=True)
class BuiltModel:
    """A net."""

    convolutional: bool
    #: Whether its activations lose their gradient where they are large: sigmoid, softmax.
    saturating: bool
    #: Whether its training begins with somebody else's weights.
    pretrained: bool
    #: The figures that a study may bound and that are known before training.
    costs: Mapping[str, float]


def built_optimizer(component: Component) -> BuiltOptimizer | None:
    """Build an optimizer around one number; ``None`` if its family is unknown, or has no lr.

    Raises ``InfeasibleConfig`` if its settings don't go together.
    """
    built = OPTIMIZERS.build(component, [nn.Parameter(torch.zeros(1))])
    group = built.param_groups[0]
    adaptive = isinstance(built, _ADAPTIVE)
    lr = group.get("lr")
    if not (adaptive or isinstance(built, optim.SGD)) or lr is None or not float(lr) > 0:
        return None
    return BuiltOptimizer(
        lr=float(lr),
        momentum=0.0 if adaptive else float(group["momentum"]),
        weight_decay=float(group["weight_decay"]),
        decoupled=isinstance(built, optim.AdamW) or bool(group.get("decoupled_weight_decay")),
        adaptive=adaptive,
    )


def built_model(component: Component, image: Image) -> BuiltModel:
    """Build a net on the meta device. Raises ``InfeasibleConfig`` if it can't take the image.

    Weights that were trained before are neither needed nor downloaded.
    """
    shape, classes = image
    with weights_come_later():
        summary = describe(component, input_shape=shape, classes=classes)
    return BuiltModel(
        convolutional=summary.convolutional,
        saturating=any(layer.kind in _SATURATING for layer in summary.layers),
        pretrained=summary.pretrained,
        costs={name: getattr(summary, name) for name in KNOWN_BEFORE},
    )


def images_in(data_root: Path | None, split_seed: int) -> ImageOf:
    """Return what says how large a configuration's images are.

    Each source is prepared in one size; other sizes follow from it. ``data_root`` and
    ``split_seed`` are those of ``prepare``, which raises ``DataError``.
    """
    known: dict[str, Image] = {}

    def image_of(config: DataConfig) -> Image:
        size = config.input_size
        source = repr(replace(config, input_size=None if size is None else 1, augmentation=()))
        if source not in known:
            data = prepare(config, split_seed=split_seed, root=data_root)
            known[source] = (data.input_shape, len(data.class_names))
        shape, classes = known[source]
        return (shape if size is None else (shape[0], size, size)), classes

    return image_of
