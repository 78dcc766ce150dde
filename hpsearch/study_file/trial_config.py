"""One concrete configuration: what training is told, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hpsearch.registry import Component

Precision = Literal["auto", "fp32", "bf16"]

#: How pixels are scaled: to mean 0 and deviation 1 as measured on the training images, to 0..255,
#: 0..1, -1..1, or by ``mean`` and ``std`` as given, per channel, on the 0..1 scale.
Normalization: TypeAlias = (
    Literal["measured", "raw", "unit", "symmetric"]
    | Mapping[Literal["mean", "std"], Sequence[float]]
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, how many, and how they are prepared."""

    source: Component
    #: A fraction of the training images (0 < x < 1), or a number of them. Unused where the
    #: source brings a validation part of its own.
    validation: float | int = 0.2
    #: Edge of the square input in pixels; ``None`` keeps the source's own size.
    input_size: int | None = None
    #: How many training images to take (stratified) before the split; ``None`` takes all.
    limit: int | None = None
    #: How many training images of each class to take before the split (all of a class that has
    #: fewer); not together with ``limit``.
    per_class: int | None = None
    normalization: Normalization = "measured"
    #: Applied to training batches only, in this order.
    augmentation: tuple[Component, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """A configuration that ``training.engine.train`` runs."""

    data: DataConfig
    model: Component
    optimizer: Component
    lr_schedule: Component
    batch_size: int
    epochs: int
    precision: Precision = "auto"
    #: Seeds ``limit`` and the train/validation split; the same for every trial of a study.
    split_seed: int
    #: Seeds weights, data order, augmentation and dropout; differs from trial to trial.
    seed: int


def trial_config(
    config: Mapping[str, Any], *, epochs: int, split_seed: int, seed: int
) -> TrialConfig:
    """Build a ``TrialConfig`` from a point of a study's space (``Draw.config``)."""
    data = config["data"]
    return TrialConfig(
        data=DataConfig(
            source=_component(data["source"]),
            validation=data["validation"],
            input_size=data["input_size"],
            limit=data["limit"],
            per_class=data["per_class"],
            normalization=data["normalization"],
            augmentation=tuple(
                Component(name, {} if settings is True else settings)
                for name, settings in data["augmentation"].items()
                if settings is not False
            ),
        ),
        model=_component(config["model"]),
        optimizer=_component(config["optimizer"]),
        lr_schedule=_component(config["lr_schedule"]),
        batch_size=config["batch_size"],
        epochs=epochs,
        precision=config["precision"],
        split_seed=split_seed,
        seed=seed,
    )


def trial_seed(study_seed: int, ticket: int) -> int:
    """Return the training seed (0..2**31-1) of a ticket: the same on every host and relaunch."""
    digest = hashlib.sha256(f"{study_seed}/{ticket}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _component(named: Mapping[str, Any]) -> Component:
    ((name, settings),) = named.items()
    return Component(name, settings)
