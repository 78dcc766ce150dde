"""A configuration's optimizer and model, built: the properties that a prior judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import nn, optim

from hpsearch.metrics import STATIC_COSTS
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.data.prepare import prepare
from hpsearch.training.lr_schedules import finish_epoch, moves_within_epoch
from hpsearch.training.models.inspection import describe
from hpsearch.training.models.pretrained import weights_come_later
from hpsearch.training.registries import LR_SCHEDULES, OPTIMIZERS


class Images(NamedTuple):
    """The images that a configuration trains on."""

    #: (channels, height, width).
    shape: tuple[int, int, int]
    classes: int
    #: The number of training images.
    training: int


ImagesOf: TypeAlias = Callable[[DataConfig], Images]

#: Optimizers that divide each step of a weight by the size of its gradients.
_ADAPTIVE = (optim.Adam, optim.Adamax, optim.NAdam, optim.RAdam, optim.AdamW, optim.RMSprop)

_SATURATING = (nn.Sigmoid.__name__, nn.Softmax.__name__)
_TANH = (nn.Tanh.__name__, nn.Hardtanh.__name__, nn.Softsign.__name__)
_SMOOTH = tuple(
    layer.__name__ for layer in (nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.SELU, nn.Softplus)
)

#: Steps per epoch in which a schedule is followed: enough for its mean.
_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class BuiltOptimizer:
    """An optimizer of a family that priors know."""

    #: The name of its class.
    family: str
    lr: float
    #: The share of the running mean of gradients, or of the running sum of steps, that stays.
    momentum: float
    #: Whether that is a sum: with a momentum of 0.9 steps become ten times as large. A mean
    #: (Adam's) doesn't enlarge them.
    sums: bool
    weight_decay: float
    #: Whether weight decay is decoupled from the gradients (AdamW).
    decoupled: bool
    adaptive: bool

    @property
    def effective_lr(self) -> float:
        """How far a steady gradient moves a weight in a step."""
        return self.lr / (1 - self.momentum) if self.sums else self.lr


@dataclass(frozen=True, kw_only=True)
class BuiltModel:
    """A model."""

    convolutional: bool
    #: Layers with products, and the share of convolutions among them.
    depth: int
    convolutions: float
    normalized: bool
    dropout: float
    #: Whether it has activations that lose their gradient for large inputs: sigmoid, softmax.
    saturating: bool
    #: Whether it has activations like tanh, and like GELU, SiLU, ELU.
    tanh: bool
    smooth: bool
    #: Whether its training begins with pretrained weights.
    pretrained: bool
    #: The metrics that a study may bound and that are known before training.
    costs: Mapping[str, float]


def built_optimizer(component: Component) -> BuiltOptimizer | None:
    """Build an optimizer of one number; ``None`` if its family is unknown or has no learning rate.

    Raises:
        InfeasibleConfig: Its settings contradict each other.
    """
    optimizer = OPTIMIZERS.build(component, [nn.Parameter(torch.zeros(1))])
    group = optimizer.param_groups[0]
    adaptive = isinstance(optimizer, _ADAPTIVE)
    lr = group.get("lr")
    if not (adaptive or isinstance(optimizer, optim.SGD)) or lr is None or not float(lr) > 0:
        return None
    return BuiltOptimizer(
        family=type(optimizer).__name__,
        lr=float(lr),
        momentum=float(group["momentum"] if "momentum" in group else group["betas"][0]),
        sums="momentum" in group,
        weight_decay=float(group["weight_decay"]),
        decoupled=isinstance(optimizer, optim.AdamW) or bool(group.get("decoupled_weight_decay")),
        adaptive=adaptive,
    )


def mean_lr(config: TrialConfig) -> float:
    """Return the mean learning rate of a training, as a share of the optimizer's own.

    For a schedule that follows the validation loss, the loss is assumed to improve in every epoch.

    Raises:
        InfeasibleConfig: Optimizer and schedule don't fit together.
    """
    optimizer = OPTIMIZERS.build(config.optimizer, [nn.Parameter(torch.zeros(1))])
    group = optimizer.param_groups[0]
    own = float(group["lr"])
    schedule = LR_SCHEDULES.build(config.lr_schedule, optimizer, config.epochs, _STEPS)
    optimizer.step()  # before the schedule's first one, or PyTorch warns
    inside, rates = moves_within_epoch(schedule), []
    for epoch in range(config.epochs):
        for _ in range(_STEPS if inside else 1):
            rates.append(float(group["lr"]))
            if inside:
                schedule.step()
        finish_epoch(schedule, -float(epoch))
    return sum(rates) / len(rates) / own


def built_model(component: Component, images: Images) -> BuiltModel:
    """Build a model on the meta device. Pretrained weights are neither needed nor downloaded.

    Raises:
        InfeasibleConfig: The model can't take the images.
    """
    with weights_come_later():
        summary = describe(component, input_shape=images.shape, classes=images.classes)
    kinds = {layer.kind for layer in summary.layers}
    products = [layer.kind for layer in summary.layers if layer.multiply_adds]
    convolutions = sum(kind.startswith("Conv") for kind in products)
    return BuiltModel(
        convolutional=summary.convolutional,
        depth=len(products),
        convolutions=convolutions / max(1, len(products)),
        normalized=summary.normalized,
        dropout=summary.dropout,
        saturating=not kinds.isdisjoint(_SATURATING),
        tanh=not kinds.isdisjoint(_TANH),
        smooth=not kinds.isdisjoint(_SMOOTH),
        pretrained=summary.pretrained,
        costs={name: getattr(summary, name) for name in STATIC_COSTS},
    )


def images_in(data_root: Path | None, split_seed: int) -> ImagesOf:
    """Return a function that returns the images that a configuration trains on.

    It prepares each source in one size; other sizes follow from it. It raises ``DataError`` as
    ``prepare``.

    Args:
        data_root: As in ``prepare``.
        split_seed: As in ``prepare``.
    """
    by_source: dict[str, Images] = {}

    def images_of(config: DataConfig) -> Images:
        size = config.input_size
        source = repr(replace(config, input_size=None if size is None else 1, augmentation=()))
        if source not in by_source:
            data = prepare(config, split_seed=split_seed, root=data_root)
            training = max(len(split.train_indices) for split in data.rounds or (data,))
            by_source[source] = Images(data.input_shape, len(data.class_names), training)
        images = by_source[source]
        return images if size is None else images._replace(shape=(images.shape[0], size, size))

    return images_of
