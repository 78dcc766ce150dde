"""Learning-rate schedules by name. Epochs count from 0 in the formulas, as in PyTorch.

A schedule steps after each epoch, with two exceptions. ``ReduceLROnPlateau`` steps with the epoch's
validation loss. Schedules that move within the epoch (``BatchwiseLambda`` here, PyTorch's
``OneCycleLR`` and ``CyclicLR``) step after each batch.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from hpsearch.training.registries import LR_SCHEDULES

#: A factor of the learning rate.
Factor = Annotated[float, Field(gt=0, le=1)]


@LR_SCHEDULES.register("constant")
def constant(optimizer: Optimizer, epochs: int, steps_per_epoch: int, /) -> LRScheduler:
    """The same learning rate in every epoch.

    Args:
        optimizer: Gives the learning rate.
        epochs: Number of epochs; unused.
        steps_per_epoch: Number of batches per epoch; unused.
    """
    return LambdaLR(optimizer, _one)


def _one(epoch: int) -> float:
    return 1.0


@LR_SCHEDULES.register("exponential")
def exponential(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, /, *, gamma: Factor
) -> LRScheduler:
    """Multiplied by gamma after every epoch: lr * gamma^epoch.

    Args:
        optimizer: Gives the initial learning rate, lr.
        epochs: Number of epochs; unused.
        steps_per_epoch: Number of batches per epoch; unused.
        gamma: Factor after every epoch.
    """
    return ExponentialLR(optimizer, gamma)


@LR_SCHEDULES.register("step")
def step(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    /,
    *,
    step_size: PositiveInt,
    gamma: Factor = 0.1,
) -> LRScheduler:
    """Multiplied by gamma after every step_size epochs: lr * gamma^floor(epoch / step_size).

    Args:
        optimizer: Gives the initial learning rate, lr.
        epochs: Number of epochs; unused.
        steps_per_epoch: Number of batches per epoch; unused.
        step_size: Epochs between two changes.
        gamma: Factor of each change.
    """
    return StepLR(optimizer, step_size, gamma)


@LR_SCHEDULES.register("multistep")
def multistep(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    /,
    *,
    milestones: list[PositiveInt],
    gamma: Factor = 0.1,
) -> LRScheduler:
    """Multiplied by gamma after each of the epochs listed: lr * gamma^(milestones <= epoch).

    Args:
        optimizer: Gives the initial learning rate, lr.
        epochs: Number of epochs; unused.
        steps_per_epoch: Number of batches per epoch; unused.
        milestones: Numbers of epochs after which the learning rate changes, in any order.
        gamma: Factor of each change.
    """
    return MultiStepLR(optimizer, sorted(milestones), gamma)


@LR_SCHEDULES.register("cosine")
def cosine(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    /,
    *,
    final_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> LRScheduler:
    """Half a cosine from lr down to final_fraction * lr, which the end of the last epoch reaches.

    With f = final_fraction: lr * (f + (1 - f) * (1 + cos(pi * epoch / epochs)) / 2). Source:
    SGDR (Loshchilov and Hutter, 2017), without restarts.

    Args:
        optimizer: Gives the initial learning rate, lr.
        epochs: Number of epochs.
        steps_per_epoch: Number of batches per epoch; unused.
        final_fraction: Learning rate at the end of the last epoch, as a share of lr.
    """
    if len(optimizer.param_groups) > 1:  # each group ends at a share of its own rate
        return LambdaLR(optimizer, lambda epoch: _half_cosine(1.0, final_fraction, epoch / epochs))
    lr = optimizer.param_groups[0]["lr"]
    return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=final_fraction * lr)


@LR_SCHEDULES.register("one_cycle")
def one_cycle(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    /,
    *,
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.3,
    start_fraction: Annotated[float, Field(gt=0, le=1)] = 0.04,
    final_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> LRScheduler:
    """Half a cosine up to lr, then one down, moved after every batch; once over the whole training.

    Momentum stays constant. Source: Smith and Topin 2018, "Super-Convergence".

    Args:
        optimizer: Gives the highest learning rate, lr.
        epochs: Number of epochs.
        steps_per_epoch: Number of batches per epoch.
        warmup_fraction: Share of all batches in which the learning rate rises.
        start_fraction: Learning rate of the first batch, as a share of lr.
        final_fraction: Learning rate at the end of the last epoch, as a share of lr.
    """
    steps = epochs * steps_per_epoch
    warmup = warmup_fraction * steps

    def factor(step: int) -> float:
        if step < warmup:
            return _half_cosine(start_fraction, 1.0, step / warmup)
        return _half_cosine(1.0, final_fraction, min(1.0, (step - warmup) / (steps - warmup)))

    return BatchwiseLambda(optimizer, factor)


@LR_SCHEDULES.register("plateau")
def plateau(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    /,
    *,
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    patience: PositiveInt = 5,
    min_delta: NonNegativeFloat = 0.0,
) -> LRScheduler:
    """Multiplied by gamma after each patience epochs in a row without a new lowest validation loss.

    Args:
        optimizer: Gives the initial learning rate, lr.
        epochs: Number of epochs; unused.
        steps_per_epoch: Number of batches per epoch; unused.
        gamma: Factor of each change.
        patience: Epochs in a row without a new lowest validation loss that cause a change.
        min_delta: A new lowest loss is lower than the last one by more than this, as in
            ``early_stopping``.
    """
    return ReduceLROnPlateau(
        optimizer,
        factor=gamma,
        # PyTorch's patience is the number of epochs that cause no change
        patience=patience - 1,
        threshold=min_delta,
        threshold_mode="abs",
        eps=0.0,
    )


class BatchwiseLambda(LambdaLR):
    """A ``LambdaLR`` whose functions count batches, from 0: it steps after each batch."""


def _half_cosine(start: float, end: float, position: float) -> float:
    """Return a value between ``start`` and ``end``, at a position of 0..1; level at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2


def moves_within_epoch(schedule: LRScheduler) -> bool:
    """Whether ``schedule`` steps after every batch, and not after every epoch."""
    return isinstance(schedule, BatchwiseLambda | OneCycleLR | CyclicLR)


def follows_validation(schedule: LRScheduler) -> bool:
    """Whether ``schedule`` depends on the validation loss."""
    return isinstance(schedule, ReduceLROnPlateau)


def finish_epoch(schedule: LRScheduler, val_loss: float) -> None:
    """Step ``schedule`` after an epoch, unless it steps after every batch."""
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(val_loss)
    elif not moves_within_epoch(schedule):
        schedule.step()
