"""One concrete configuration: the input of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hpsearch.registry import Component
from hpsearch.seeds import hashed_seed

Precision = Literal["auto", "fp32", "bf16"]
#: The weight of a training image: equal for all, or the inverse of its class's frequency.
ClassWeights = Literal["none", "balanced"]
#: Which weights are evaluated and saved: those of the last step, or their moving average.
Evaluate = Literal["weights", "ema"]

#: How pixels are scaled: to mean 0 and deviation 1 as measured on the training images, to 0..255,
#: 0..1, -1..1, or by the given ``mean`` and ``std``, per channel, on the 0..1 scale.
Normalization: TypeAlias = (
    Literal["measured", "raw", "unit", "symmetric"]
    | Mapping[Literal["mean", "std"], Sequence[float]]
)


#: A parameter of every trial of a confirmation: the number (from 1) of its fresh seed.
CONFIRM_SEED = "confirm_seed"


#: The largest edge of the input in pixels, against typing errors: one image with an edge of 100,000
#: pixels is 30 GB.
LARGEST_INPUT = 4096


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, how many, and how they are prepared."""

    source: Component
    #: A fraction of the training images (0 < x < 1), or a number of them. Unused if the source has
    #: its own validation images.
    validation: float | int = 0.2
    #: Folds of a cross-validation, for each of which a trial trains a model; ``None`` for none.
    folds: int | None = None
    #: Repeated random splits, each with its own ``validation`` images; ``None`` for one split.
    splits: int | None = None
    #: Edge of the square input in pixels; ``None`` keeps the source's size.
    input_size: int | None = None
    #: How many training images to take (stratified) before the split; ``None`` takes all.
    limit: int | None = None
    #: How many training images of each class to take before the split (all of a class that has
    #: fewer); ``None`` takes all. Not together with ``limit``.
    per_class: int | None = None
    #: Seeds ``limit`` and ``per_class``; with ``None`` the split's seed does.
    limit_seed: int | None = None
    normalization: Normalization = "measured"
    #: Whether validation images are trained on as well, so that none is left to validate: for a
    #: model whose metrics are already known. A study file can't set it.
    train_on_validation: bool = False
    #: Applied to training batches only, in this order.
    augmentation: tuple[Component, ...] = ()

    @property
    def rounds(self) -> int:
        """How many models a trial trains: one for each fold or split."""
        return 1 if self.train_on_validation else self.folds or self.splits or 1


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Training ends when the validation loss has stopped falling."""

    #: Number of epochs in a row without a new lowest validation loss after which training ends.
    patience: int
    #: How much lower than the lowest loss so far a new lowest must be.
    min_delta: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """A configuration that ``training.engine.train`` runs."""

    data: DataConfig
    model: Component
    optimizer: Component
    lr_schedule: Component
    #: All of them apply, to training only.
    regularization: tuple[Component, ...] = ()
    class_weights: ClassWeights = "none"
    batch_size: int
    epochs: int
    #: ``None``: every trial runs to its last epoch.
    early_stopping: EarlyStopping | None = None
    precision: Precision = "auto"
    evaluate: Evaluate = "weights"
    #: Metrics of ``metric_registry.METRICS`` that are measured after every epoch.
    metrics: tuple[str, ...] = ()
    #: Seeds ``limit`` and the train/validation split; the same for every trial of a search.
    split_seed: int
    #: Seeds weights, data order, augmentation and dropout; differs from trial to trial.
    seed: int


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """A configuration of a training loop of the user's own (``training.loops.run_loop``)."""

    loop: Component
    #: The metrics that the study names, which every epoch has.
    metrics: tuple[str, ...]
    epochs: int
    seed: int


def loop_config(
    config: Mapping[str, Any], *, epochs: int, seed: int, metrics: tuple[str, ...]
) -> LoopConfig:
    """Build a ``LoopConfig`` from a point of a study's space.

    Args:
        config: The point, as ``Draw.config``.
        epochs: Number of epochs to train.
        seed: The seed of the training.
        metrics: The metrics that the study names.
    """
    return LoopConfig(loop=_component(config["loop"]), metrics=metrics, epochs=epochs, seed=seed)


def trial_config(
    config: Mapping[str, Any],
    *,
    epochs: int,
    split_seed: int,
    seed: int,
    limit_seed: int | None = None,
    metrics: tuple[str, ...] = (),
) -> TrialConfig:
    """Build a ``TrialConfig`` from a point of a study's space.

    Args:
        config: The point, as ``Draw.config``.
        epochs: Number of epochs to train.
        split_seed: Seeds the train/validation split.
        seed: Seeds weights, data order, augmentation and dropout.
        limit_seed: Seeds ``limit`` and ``per_class``; with ``None`` the split's seed does.
        metrics: Metrics of ``METRICS`` that are measured after every epoch.
    """
    data, stopping = config["data"], config["early_stopping"]
    return TrialConfig(
        data=DataConfig(
            source=_component(data["source"]),
            validation=data.get("validation", DataConfig.validation),
            folds=data.get("folds"),
            splits=data.get("splits"),
            input_size=data["input_size"],
            limit=data["limit"],
            per_class=data["per_class"],
            limit_seed=limit_seed,
            normalization=data["normalization"],
            augmentation=_switched_on(data["augmentation"]),
        ),
        model=_component(config["model"]),
        optimizer=_component(config["optimizer"]),
        lr_schedule=_component(config["lr_schedule"]),
        regularization=_switched_on(config["regularization"]),
        class_weights=config["class_weights"],
        batch_size=config["batch_size"],
        epochs=epochs,
        early_stopping=None if stopping is None else EarlyStopping(**stopping),
        precision=config["precision"],
        evaluate=config["evaluate"],
        metrics=metrics,
        split_seed=split_seed,
        seed=seed,
    )


def trial_seed(study_seed: int, ticket: int) -> int:
    """Return the training seed (0..2**31-1) of a ticket: the same on every host and relaunch."""
    return hashed_seed(study_seed, ticket)


def confirming_seed(study_seed: int, fresh: int, purpose: Literal["training", "split"]) -> int:
    """Return a seed (0..2**31-1) of a confirmation.

    It is the same for every finalist, so that their results can be compared in pairs.

    Args:
        study_seed: The study's seed.
        fresh: The number of the fresh seed, from 1.
        purpose: Whether it seeds the training or the split.
    """
    return hashed_seed(study_seed, "confirm", purpose, fresh)


def _component(section: Mapping[str, Any]) -> Component:
    ((name, settings),) = section.items()
    return Component(name, settings)


def _switched_on(section: Mapping[str, Any]) -> tuple[Component, ...]:
    """Return the components of a section that are switched on, in the file's order."""
    return tuple(
        Component(name, {} if settings is True else settings)
        for name, settings in section.items()
        if settings is not False
    )
