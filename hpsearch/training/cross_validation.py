"""A trial of several trainings: one model per fold or split, an epoch of each in turn.

All are trained in lockstep, so that a trial has metrics of all trainings after every epoch, by
which it can be pruned. With folds, every image validates once, and the validation metrics are over
all images; with repeated splits they are means over the splits. Training metrics are means over
the trainings; seconds are summed. Early stopping uses these metrics, so that all trainings end
after the same epoch.

In addition to the state of one training (see ``training.state``), a state contains::

    model      a list: the weights of each training
    history    the metrics of the trial
    rounds     the state of each training; None before it begins
    waiting    the results of the trainings that have finished the epoch in progress:
               metrics, and rows, predicted, truth, losses (and probabilities, if a metric needs
               them) of the validation images; else None
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import mean
from typing import Any, TypeAlias

import numpy as np
import torch

from hpsearch.errors import TrainingDiverged, TrainingInterrupted
from hpsearch.metric_registry import compute, require_finite
from hpsearch.metrics import (
    CONFUSION_CLASSES,
    METRIC_COLUMNS,
    EpochEnd,
    EpochMetrics,
    ValPredictions,
)
from hpsearch.seeds import hashed_seed
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.confusion import balanced_accuracy, confusion, macro_f1
from hpsearch.training.data.prepare import PreparedData
from hpsearch.training.early_stopping import is_over
from hpsearch.training.precision import ComputePrecision
from hpsearch.training.state import identity, require_same

_SUMS = ("seconds", "val_seconds")
_ARRAYS = ("rows", "predicted", "truth", "losses")


#: Trains one model and yields every epoch with its predictions. Takes the configuration, the
#: images, the state to continue from (or ``None``), and the precision (``None`` follows the rule).
TrainOne: TypeAlias = Callable[
    [TrialConfig, PreparedData, Mapping[str, Any] | None, ComputePrecision | None],
    Iterator[EpochEnd],
]


def fold_config(config: TrialConfig, number: int) -> TrialConfig:
    """Return the configuration of a fold's or split's training (from 0), with a seed of its own."""
    return replace(config, seed=hashed_seed(config.seed, "round", number), early_stopping=None)


def train_folds(
    config: TrialConfig,
    data: PreparedData,
    train_one: TrainOne,
    *,
    resume_from: Mapping[str, Any] | None,
    keep_predictions: bool,
) -> Iterator[EpochEnd]:
    """Train on each of ``data.rounds``, yielding the joined metrics of all of them for every epoch.

    Args:
        config: The configuration of the trial.
        data: Images with several trainings in ``rounds``.
        train_one: Trains one model.
        resume_from: State to continue from; ``None`` starts at the beginning.
        keep_predictions: Whether results contain ``val_predictions``; only folds have them.

    Raises:
        CheckpointError: If ``resume_from`` belongs to another configuration, other images or
            another split.
        TrainingDiverged: If one training diverges, which ends the trial.
        TrainingInterrupted: If one training is interrupted; it carries the state of all.
    """
    trial = _Trial(config, data)
    if resume_from is not None:
        trial.restore(resume_from)
    trial.begin(train_one)
    while not trial.is_over:
        trial.train_an_epoch()
        joined = trial.end_epoch()
        yield EpochEnd(
            metrics=joined.metrics,
            last=trial.is_over,
            state=partial(trial.state_after, joined.metrics.epoch),
            val_confusion=joined.confusion,
            val_predictions=joined.predictions if keep_predictions else None,
        )


@dataclass(frozen=True)
class _FoldEpoch:
    """One epoch of one training."""

    metrics: EpochMetrics
    predictions: ValPredictions


@dataclass(frozen=True, kw_only=True)
class _JoinedEpoch:
    """One epoch of all trainings."""

    metrics: EpochMetrics
    #: Validation images by true and predicted class; ``None`` with many classes.
    confusion: list[list[int]] | None
    #: In the order of the rows; ``None`` unless every image validates in exactly one training.
    predictions: ValPredictions | None


@dataclass
class _FoldTraining:
    """The training of one fold or split."""

    #: Returns the latest state; ``None`` before the training begins.
    state: Callable[[], dict[str, Any]] | None = None
    #: Its part of the trial's epoch in progress; ``None`` until this training has finished it.
    fold_epoch: _FoldEpoch | None = None
    epochs: Iterator[EpochEnd] = field(default_factory=lambda: iter(()))


class _Trial:
    def __init__(self, config: TrialConfig, data: PreparedData) -> None:
        self.config, self.data = config, data
        self.rounds = [_FoldTraining() for _ in data.rounds]
        self.history: list[dict[str, Any]] = []
        self._precision: ComputePrecision | None = None
        self._identity = identity(config, data.data_hash, data.split_hash)

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        losses = [metrics["val_loss"] for metrics in self.history]
        ended = len(self.history) >= self.config.epochs
        return ended or is_over(losses, self.config.early_stopping)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``.

        Raises:
            CheckpointError: If it belongs to another configuration, other images or another split.
        """
        require_same(state, self._identity)
        self.history = list(state["history"])
        self._precision = state["precision"]
        for training, own, waiting in zip(
            self.rounds, state["rounds"], state["waiting"], strict=True
        ):
            training.state = None if own is None else lambda own=own: own
            training.fold_epoch = None if waiting is None else _unpacked(waiting)

    def begin(self, train_one: TrainOne) -> None:
        """Create the iterator of every training; none runs yet."""
        for number, (training, data) in enumerate(zip(self.rounds, self.data.rounds, strict=True)):
            state = None if training.state is None else training.state()
            config = fold_config(self.config, number)
            training.epochs = train_one(config, data, state, self._precision)

    def train_an_epoch(self) -> None:
        """Train each model to the end of the epoch in progress.

        Raises:
            TrainingDiverged: If one training diverges.
            TrainingInterrupted: If one training is interrupted; it carries the state of all.
        """
        for number, training in enumerate(self.rounds, start=1):
            if training.fold_epoch is not None:
                continue
            name = f"{'fold' if self.config.data.folds else 'split'} {number}"
            try:
                end = next(training.epochs)
            except TrainingDiverged as error:
                raise TrainingDiverged(f"{name} of {len(self.rounds)}: {error}") from error
            except TrainingInterrupted as interrupted:
                training.state = interrupted.state
                message = f"{name} of {len(self.rounds)}: {interrupted}"
                raise TrainingInterrupted(message, self.state) from None
            training.state = end.state
            if end.val_predictions is None:
                raise RuntimeError("each training yields its epochs with their predictions")
            training.fold_epoch = _FoldEpoch(end.metrics, end.val_predictions)

    def end_epoch(self) -> _JoinedEpoch:
        """Return the epoch's metrics, add them to the history, and begin the next epoch."""
        parts = [training.fold_epoch for training in self.rounds if training.fold_epoch is not None]
        every_image_once = self.config.data.folds is not None
        joined = _join(parts, self.data.class_names, together=every_image_once)
        self.history.append(joined.metrics.to_dict())
        for training in self.rounds:
            training.fold_epoch = None
        return joined

    def state_after(self, epoch: int) -> dict[str, Any]:
        """Return the state after ``epoch``.

        Raises:
            RuntimeError: If training has moved on since.
        """
        if len(self.history) != epoch or any(
            training.fold_epoch is not None for training in self.rounds
        ):
            raise RuntimeError(
                f"the state after epoch {epoch} is no longer available: training has continued"
            )
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return a copy of everything."""
        states = [None if training.state is None else training.state() for training in self.rounds]
        begun = [state for state in states if state is not None]
        return {
            **self._identity,
            "precision": begun[0]["precision"] if begun else self._precision,
            "epoch": len(self.history),
            "history": [dict(metrics) for metrics in self.history],
            "model": [None if state is None else state["model"] for state in states],
            "rounds": states,
            "waiting": [
                None if training.fold_epoch is None else _packed(training.fold_epoch)
                for training in self.rounds
            ],
        }


def _join(
    parts: Sequence[_FoldEpoch], class_names: Sequence[str], *, together: bool
) -> _JoinedEpoch:
    """Return one epoch of all trainings.

    If every image validates in exactly one training (``together``), the validation metrics are over
    all images.
    """
    classes = len(class_names)
    metrics: dict[str, Any] = {
        name: float(mean(getattr(part.metrics, name) for part in parts)) for name in METRIC_COLUMNS
    }
    metrics["epoch"] = parts[0].metrics.epoch
    metrics |= {name: sum(getattr(part.metrics, name) for part in parts) for name in _SUMS}
    others = list(parts[0].metrics.others)
    metrics["others"] = {name: mean(part.metrics.others[name] for part in parts) for name in others}
    rows, predicted, truth, losses = (
        np.concatenate([getattr(part.predictions, name) for part in parts]) for name in _ARRAYS
    )
    arrays = [array for part in parts if (array := part.predictions.probabilities) is not None]
    probabilities = np.concatenate(arrays) if len(arrays) == len(parts) else None
    matrix = confusion(torch.from_numpy(truth), torch.from_numpy(predicted), classes)
    if together:
        metrics |= {
            "val_loss": float(losses.astype(np.float64).mean()),
            "val_accuracy": int(matrix.trace()) / len(rows),
            "val_macro_f1": macro_f1(matrix),
            "val_balanced_accuracy": balanced_accuracy(matrix),
        }
        if probabilities is not None:
            values = {name: compute(name, probabilities, truth, class_names) for name in others}
            require_finite(values, len(rows))
            metrics["others"] = values
    order = np.argsort(rows)
    predictions = ValPredictions(
        rows=rows[order],
        predicted=predicted[order],
        truth=truth[order],
        losses=losses[order],
        probabilities=None if probabilities is None else probabilities[order],
    )
    return _JoinedEpoch(
        metrics=EpochMetrics(**metrics),
        confusion=matrix.tolist() if classes <= CONFUSION_CLASSES else None,
        predictions=predictions if together else None,
    )


def _packed(epoch: _FoldEpoch) -> dict[str, Any]:
    arrays = {name: torch.from_numpy(getattr(epoch.predictions, name)) for name in _ARRAYS}
    if epoch.predictions.probabilities is not None:
        arrays["probabilities"] = torch.from_numpy(epoch.predictions.probabilities)
    return {**epoch.metrics.to_dict(), **arrays}


def _unpacked(packed: Mapping[str, Any]) -> _FoldEpoch:
    probabilities = packed.get("probabilities")
    return _FoldEpoch(
        EpochMetrics(
            **{name: packed[name] for name in METRIC_COLUMNS}, others=packed.get("others", {})
        ),
        ValPredictions(
            **{name: packed[name].numpy() for name in _ARRAYS},
            probabilities=None if probabilities is None else probabilities.numpy(),
        ),
    )
