"""The kinds of component of a training. A plug-in imports these registries and adds its own.

The positional arguments of each kind's function, and its result:

- ``MODELS``: ``(input_shape, classes)`` with ``input_shape = (channels, height, width)``; a module
  that maps a float batch (n, channels, height, width) to logits (n, classes). A configuration that
  doesn't fit raises ``InfeasibleConfig`` with the arithmetic.
- ``ACTIVATIONS``: none; a module.
- ``OPTIMIZERS``: ``(parameters)``; a ``torch.optim.Optimizer``.
- ``LR_SCHEDULES``: ``(optimizer, epochs, steps_per_epoch)``; an ``LRScheduler`` that steps once per
  epoch, except as described in ``training.lr_schedules``.
- ``AUGMENTATIONS``: none; a ``training.augmentation.kinds.Augmentation``.
- ``REGULARIZERS``: none; a ``training.regularizers.Regularizer``.
- ``SOURCES``: ``(place)``, a ``training.data.place.DataRoot`` (the data root, and whether downloads
  are allowed); a ``training.data.images.Source``.
"""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hpsearch.registry import Registry
from hpsearch.training.augmentation.kinds import AUGMENTATIONS
from hpsearch.training.data.images import SOURCES
from hpsearch.training.regularizers import REGULARIZERS

__all__ = [
    "ACTIVATIONS",
    "AUGMENTATIONS",
    "LR_SCHEDULES",
    "MODELS",
    "OPTIMIZERS",
    "REGULARIZERS",
    "SOURCES",
]

MODELS: Registry[nn.Module] = Registry("model", returns=nn.Module)
ACTIVATIONS: Registry[nn.Module] = Registry("activation", returns=nn.Module)
OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", returns=Optimizer)
LR_SCHEDULES: Registry[LRScheduler] = Registry("learning-rate schedule", returns=LRScheduler)
