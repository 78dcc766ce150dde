"""Shapes, precision and batches of a configuration, and whether it can be built.

The search plans every configuration that it draws (a few milliseconds once the data is prepared),
the engine follows the plan, and a frozen config records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.metric_registry import require_usable
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training import precision
from hpsearch.training.augmentation import chain
from hpsearch.training.batches import batch_sizes
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.registries import LR_SCHEDULES, OPTIMIZERS, REGULARIZERS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The training of a configuration on a device, in numbers."""

    model: ModelSummary
    #: Chosen by the rule of ``training.precision`` if the configuration has ``auto``.
    precision: precision.ComputePrecision
    #: (channels, height, width).
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    #: Training images of one training, the largest if a trial has several (``cross_validation``).
    train_images: int
    #: Images that validate in at least one training of the trial.
    val_images: int
    #: Training and validation images together, in the order of ``class_names``.
    images_per_class: tuple[int, ...]
    #: Sizes of an epoch's training batches, in order.
    batches: tuple[int, ...]
    #: Hashes of the prepared images, and of their split into training and validation.
    data_hash: str
    split_hash: str
    #: Whether a moving average of the weights is kept beside them (``evaluate: ema``).
    averaged: bool = False
    #: Number of models that a trial trains side by side (``DataConfig.rounds``).
    rounds: int = 1
    #: Number of groups of the validation images; ``None`` if the source has no groups.
    val_groups: int | None = None


def plan(
    config: TrialConfig, *, device: str | torch.device = "cpu", data_root: Path | None = None
) -> Plan:
    """Return the plan of ``train(config, device=device)``, without weights or training.

    The data is prepared if it isn't yet.

    Args:
        config: What to train.
        device: The device, or its name.
        data_root: Folder of the data; ``None`` is the default one.

    Raises:
        InfeasibleConfig: If the configuration can't be built.
        DataError: If the data is missing or can't be used.
    """
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    return plan_on(config, data, torch.device(device))


def plan_on(config: TrialConfig, data: PreparedData, device: torch.device) -> Plan:
    """Return the plan of training ``config`` on ``data``.

    Args:
        config: What to train.
        data: The prepared images.
        device: The device of the training.

    Raises:
        InfeasibleConfig: If the configuration can't be built, or if batch norm would get a batch of
            one sample.
        UserError: If a metric can't be computed for these classes.
    """
    classes = len(data.class_names)
    require_usable(config.metrics, data.class_names)
    model = describe(config.model, input_shape=data.input_shape, classes=classes)
    trainings = [len(training.train_indices) for training in data.rounds or (data,)]
    for train_images in trainings:
        if model.batch_norm and min(batch_sizes(train_images, config.batch_size)) == 1:
            raise InfeasibleConfig(
                "batch norm needs at least 2 samples in every training batch, but batch_size is "
                f"{config.batch_size} with {train_images} training images; "
                "use a larger batch_size"
            )
    batches = batch_sizes(max(trainings), config.batch_size)
    _try_settings(config, len(batches))
    return Plan(
        model=model,
        precision=precision.choose(
            config.precision,
            device=device,
            multiply_adds=model.multiply_adds,
            batch_size=config.batch_size,
        ),
        input_shape=data.input_shape,
        class_names=data.class_names,
        train_images=max(trainings),
        val_images=len(data.val_indices),
        images_per_class=data.images_per_class,
        batches=batches,
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        averaged=config.evaluate == "ema",
        rounds=len(trainings),
        val_groups=data.val_groups,
    )


def _try_settings(config: TrialConfig, steps_per_epoch: int) -> None:
    """Build the other components for one parameter; they raise if settings don't go together."""
    optimizer = OPTIMIZERS.build(config.optimizer, [nn.Parameter(torch.zeros(1))])
    LR_SCHEDULES.build(config.lr_schedule, optimizer, config.epochs, steps_per_epoch)
    chain.build(config.data.augmentation)
    for regularizer in config.regularization:
        REGULARIZERS.build(regularizer)
