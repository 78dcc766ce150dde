"""Whether a configuration can be built, and what it is then: known before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.models.inspection import ModelSummary, describe
from hpsearch.training.precision import Chosen, choose
from hpsearch.training.registries import LR_SCHEDULES, OPTIMIZERS


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A configuration that can be built: its data, its model's size, how it will be computed."""

    config: TrialConfig
    data: PreparedData
    model: ModelSummary
    precision: Chosen
    device: str
    threads: int

    def attributes(self) -> dict[str, Any]:
        """Return what a trial's row records of it; a frozen config repeats these."""
        return {
            "device": device_name(self.device),
            "threads": self.threads,
            "precision": self.precision,
            "parameters": self.model.parameters,
            "multiply_adds": self.model.multiply_adds,
            "trial_seed": self.config.seed,
            "split_seed": self.config.split_seed,
            "data_hash": self.data.data_hash,
            "split_hash": self.data.split_hash,
            "train_images": len(self.data.train_indices),
            "val_images": len(self.data.val_indices),
        }


def draw_up(config: TrialConfig, *, device: str, threads: int, data: Path | None) -> Blueprint:
    """Check that ``config`` can be built, without training a step.

    Raises:
        InfeasibleConfig: model, optimizer or schedule don't fit together; with the arithmetic.
        DataError: the source is missing or damaged.
    """
    prepared = prepare(config.data, split_seed=config.split_seed, root=data)
    summary = describe(
        config.model, input_shape=prepared.input_shape, classes=len(prepared.class_names)
    )
    # Their functions refuse combinations (Nesterov without momentum); one parameter shows it.
    optimizer = OPTIMIZERS.build(config.optimizer, [nn.Parameter(torch.zeros(1))])
    steps = -(-len(prepared.train_indices) // config.batch_size)
    LR_SCHEDULES.build(config.lr_schedule, optimizer, config.epochs, steps)
    precision = choose(
        config.precision,
        device=torch.device(device),
        parameters=summary.parameters,
        multiply_adds=summary.multiply_adds,
        batch_size=config.batch_size,
    )
    return Blueprint(
        config=config,
        data=prepared,
        model=summary,
        precision=precision,
        device=device,
        threads=threads,
    )


def device_name(device: str) -> str:
    """Return the device with its model where it is a GPU: ``cuda:0 (NVIDIA H100)``."""
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device
