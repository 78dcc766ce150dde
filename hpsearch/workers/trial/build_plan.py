"""How one configuration will be trained here, and what its trial's row records of that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hpsearch.metrics import STATIC_COSTS
from hpsearch.results.data_sets import Images
from hpsearch.study_file.trial_config import LoopConfig, TrialConfig
from hpsearch.training.plan import Plan, plan
from hpsearch.training.threads import threads_for


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """A configuration that can be built, and how it is trained on this host."""

    config: TrialConfig
    plan: Plan
    device: str
    threads: int

    def costs(self) -> dict[str, float]:
        """Return the metrics that a study may bound and that are known before training."""
        return {name: getattr(self.plan.model, name) for name in STATIC_COSTS}

    def images(self) -> Images:
        """Return what identifies the images of this training."""
        return Images(
            data_hash=self.plan.data_hash,
            class_names=self.plan.class_names,
            per_class=self.plan.images_per_class,
            total=sum(self.plan.images_per_class),
        )

    def attributes(self) -> dict[str, Any]:
        """Return what a trial's row and a frozen config record.

        Device, threads and precision are among it, since they change the last digits of a result.
        """
        return {
            "device": device_name(self.device),
            "threads": self.threads,
            "precision": self.plan.precision,
            "parameters": self.plan.model.parameters,
            "multiply_adds": self.plan.model.multiply_adds,
            "receptive_field": self.plan.model.receptive_field,
            "input_shape": list(self.plan.input_shape),
            "classes": len(self.plan.class_names),
            "class_names": list(self.plan.class_names),
            "trial_seed": self.config.seed,
            "split_seed": self.config.split_seed,
            "data_hash": self.plan.data_hash,
            "split_hash": self.plan.split_hash,
            "train_images": self.plan.train_images,
            "val_images": self.plan.val_images,
            **({} if self.plan.val_groups is None else {"val_groups": self.plan.val_groups}),
            "images_per_class": list(self.plan.images_per_class),
            **({"trainings": self.plan.rounds} if self.plan.rounds > 1 else {}),
        }


@dataclass(frozen=True, kw_only=True)
class LoopBuildPlan:
    """A configuration of the study's own training loop, and where it runs."""

    config: LoopConfig
    device: str
    threads: int

    def costs(self) -> dict[str, float]:
        """Return no metric: nothing is known before training."""
        return {}

    def attributes(self) -> dict[str, Any]:
        """Return what a trial's row and a frozen config record."""
        return {
            "device": device_name(self.device),
            "threads": self.threads,
            "trial_seed": self.config.seed,
        }


def plan_build(
    config: TrialConfig,
    *,
    device: str,
    threads: int,
    data: Path | None,
    exact_threads: bool = True,
) -> BuildPlan:
    """Check that ``config`` can be built, without training a step.

    Args:
        config: The configuration.
        device: The device, such as ``cpu`` or ``cuda:0``.
        threads: The most threads that it may use.
        data: The data root; ``None``: the default one.
        exact_threads: Whether it uses all of ``threads``; otherwise a small network uses one.

    Raises:
        InfeasibleConfig: It can't be built; the message contains the arithmetic.
        DataError: The data isn't there.
    """
    training_plan = plan(config, device=device, data_root=data)
    if not exact_threads:
        threads = threads_for(
            torch.device(device),
            available=threads,
            multiply_adds=training_plan.model.multiply_adds,
            batch_size=config.batch_size,
        )
    return BuildPlan(config=config, plan=training_plan, device=device, threads=threads)


def device_name(device: str) -> str:
    """Return the device, with its model if it is a CUDA GPU: ``cuda:0 (NVIDIA H100)``."""
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device
