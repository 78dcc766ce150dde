"""What a configuration comes to, and whether it can be built, before any training.

The search asks this of every draw (a few milliseconds once the data is prepared), the engine
follows it, and a frozen configuration records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hpsearch.errors import InfeasibleConfig
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training import precision
from hpsearch.training.augmentation import chain
from hpsearch.training.batches import batch_sizes
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.registries import LR_SCHEDULES, OPTIMIZERS, REGULARIZERS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What training a configuration on a device will do."""

    model: ModelSummary
    #: Decided by ``training.precision``'s rule where the configuration says ``auto``.
    precision: precision.Chosen
    #: (channels, height, width).
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    #: Of one training; where a trial has several (``cross_validation``), of the largest.
    train_images: int
    #: Images that validate, in one of the trainings.
    val_images: int
    #: Training and validation images together, by ``class_names``.
    images_per_class: tuple[int, ...]
    #: Sizes of an epoch's training batches, in order.
    batches: tuple[int, ...]
    #: Names the prepared images, and their split into training and validation.
    data_hash: str
    split_hash: str
    #: Whether a moving average of the weights is held beside them (``evaluate: ema``).
    averaged: bool = False
    #: How many models a trial trains side by side (``DataConfig.rounds``).
    rounds: int = 1
    #: Groups that the validation images are in; ``None`` if the source makes none.
    val_groups: int | None = None


def plan(
    config: TrialConfig, *, device: str | torch.device = "cpu", data_root: Path | None = None
) -> Plan:
    """Work out what ``train(config, device=device)`` will do, building nothing of size.

    The data is prepared where it isn't yet. Raises ``InfeasibleConfig`` where the configuration
    can't be built, and ``DataError`` where the data isn't there.
    """
    data = prepare(config.data, split_seed=config.split_seed, root=data_root)
    return plan_on(config, data, torch.device(device))


def plan_on(config: TrialConfig, data: PreparedData, device: torch.device) -> Plan:
    """Work out what training ``config`` on ``data`` will do. Raises ``InfeasibleConfig``."""
    classes = len(data.class_names)
    model = describe(config.model, input_shape=data.input_shape, classes=classes)
    trainings = [len(each.train_indices) for each in data.rounds or (data,)]
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
    """Build the other components around one number; they raise where settings don't go together."""
    optimizer = OPTIMIZERS.build(config.optimizer, [nn.Parameter(torch.zeros(1))])
    LR_SCHEDULES.build(config.lr_schedule, optimizer, config.epochs, steps_per_epoch)
    chain.build(config.data.augmentation)
    for regularizer in config.regularization:
        REGULARIZERS.build(regularizer)
