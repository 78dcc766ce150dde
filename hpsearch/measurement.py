"""What one epoch of training measures, and which way each metric points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

#: Metrics that a study may optimize, and the direction that is better.
OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
}


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """The figures of one epoch. Losses and accuracies are means over samples, never over batches.

    Accuracies lie in 0..1. ``train_*`` are measured while training (with augmentation and
    dropout), ``val_*`` in evaluation mode after the epoch's last step.
    """

    #: 1-based.
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    #: Learning rate of the epoch's first step.
    lr: float
    #: Wall time of the epoch, validation included.
    seconds: float
    #: Everything needed to go on bit-exactly after this epoch (see ``training.checkpoint``).
    #: Valid only until the generator that yielded this result is advanced.
    state: Callable[[], dict[str, Any]] | None = field(default=None, repr=False, compare=False)
