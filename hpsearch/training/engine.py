"""The training loop: one function, from the first batch to the last epoch.

On the CPU the same configuration, threads and precision give the same digits, however often the
run was interrupted and resumed. Other threads or another device may change the last digits. CUDA
and MPS are experimental: this code hasn't run on them (``make gpu`` tests it on a CUDA GPU).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.errors import TrainingDiverged, TrainingInterrupted, UserError
from hpsearch.metric_registry import compute, require_finite
from hpsearch.metrics import CONFUSION_CLASSES, EpochEnd, EpochMetrics, ValPredictions
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.augmentation.chain import Chain, build, dominant
from hpsearch.training.augmentation.kinds import BatchPosition
from hpsearch.training.batches import ImageStore
from hpsearch.training.cross_validation import train_folds
from hpsearch.training.data.prepare import PreparedData, prepare
from hpsearch.training.evaluate import (
    Evaluation,
    Stopped,
    autocast,
    evaluate,
    evaluation_batch,
)
from hpsearch.training.losses import TrainingLoss, balanced_weights
from hpsearch.training.lr_schedules import finish_epoch, follows_validation, moves_within_epoch
from hpsearch.training.malloc import keep_freed_pages
from hpsearch.training.models.whitening import SAMPLE, measured_layers
from hpsearch.training.optimizer_step import OptimizerStep
from hpsearch.training.plan import plan_on
from hpsearch.training.precision import ComputePrecision
from hpsearch.training.randomness import derived_seed, shuffled
from hpsearch.training.registries import REGULARIZERS
from hpsearch.training.regularizers import GradientChanges
from hpsearch.training.state import TrainingState


def train(
    config: TrialConfig,
    *,
    device: str = "cpu",
    resume_from: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    keep_predictions: bool = False,
) -> Iterator[EpochEnd]:
    """Train ``config``, yielding the end of each epoch; the consumer may stop after any epoch.

    If the data has folds or several splits, a model is trained on each, and a result is of all of
    them (see ``training.cross_validation``). The process's global random numbers stay as they are.
    ``InfeasibleConfig``, ``DataError`` and ``CheckpointError`` are raised at the first ``next``.

    Args:
        config: What to train.
        device: Name of the device, such as ``cpu`` or ``cuda``.
        resume_from: A state (``EpochEnd.state``, ``TrainingInterrupted.state``, or
            ``checkpoint.load``) to continue from, with the digits of a training that never stopped;
            ``None`` starts at the beginning.
        data_root: Folder of the data; ``None`` is the default one.
        should_stop: Called before every batch; true interrupts the training.
        keep_predictions: Whether results contain ``val_predictions``.

    Raises:
        InfeasibleConfig: If the configuration can't be built.
        DataError: If the data is missing or can't be used.
        CheckpointError: If ``resume_from`` belongs to another configuration, other images or
            another split.
        UserError: If the schedule needs a validation loss and there are no validation images.
        TrainingDiverged: If a loss isn't finite.
        TrainingInterrupted: If ``should_stop`` returns true; it carries the state.
    """
    torch_device = torch.device(device)
    if torch_device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # an epoch has one or two batch sizes
    # The first start decided about `auto`; this machine or version may decide otherwise
    precision = None if resume_from is None else resume_from.get("precision")
    epochs = partial(_epochs, device=torch_device, should_stop=should_stop)
    with keep_freed_pages():
        data = prepare(config.data, split_seed=config.split_seed, root=data_root)
        if data.rounds:
            yield from train_folds(
                config,
                data,
                partial(epochs, keep_predictions=True),
                resume_from=resume_from,
                keep_predictions=keep_predictions,
            )
        else:
            yield from epochs(
                config, data, resume_from, precision, keep_predictions=keep_predictions
            )


def _epochs(
    config: TrialConfig,
    data: PreparedData,
    resume_from: Mapping[str, Any] | None,
    precision: ComputePrecision | None,
    *,
    device: torch.device,
    should_stop: Callable[[], bool],
    keep_predictions: bool,
) -> Iterator[EpochEnd]:
    plan = plan_on(config, data, device)
    if precision is not None:
        plan = replace(plan, precision=precision)
    training = TrainingState(config, plan, device)
    if resume_from is not None:
        training.restore(resume_from)
    else:
        _measure_layers(training.model, data)

    model, schedule, update = training.model, training.schedule, OptimizerStep(training.optimizer)
    classes = len(data.class_names)
    augment = Chain(
        build(config.data.augmentation),
        mean=data.mean,
        std=data.std,
        classes=classes,
        device=device,
    )
    regularizers = [REGULARIZERS.build(component) for component in config.regularization]
    change_gradients = GradientChanges(regularizers, model.parameters())
    balanced = balanced_weights(data.class_counts) if config.class_weights == "balanced" else None
    loss_of = TrainingLoss(regularizers, None if balanced is None else balanced.to(device))
    pixels = ImageStore(
        data.images, data.mean, data.std, device, channels_last=plan.model.convolutional
    )
    all_labels, val_rows = data.labels.to(device), data.val_indices.to(device)
    val_batch = evaluation_batch(plan.model.largest_output, device)
    cast = autocast(device, plan.precision)
    every_batch = moves_within_epoch(schedule)
    turns = derived_seed(config.seed, "turns") % 2**32
    if not len(val_rows) and follows_validation(schedule):
        raise UserError(
            f"lr_schedule {config.lr_schedule.name} uses the validation loss, but there is none if "
            "validation images are also trained on; train on the training images only, or use "
            "another schedule"
        )
    # Reading the loss is free on the CPU; on another device it would wait for the computation
    watch_loss = device.type == "cpu"
    sizes, steps = list(plan.batches), len(plan.batches)
    average = training.average

    while not training.is_over:
        began = time.perf_counter() - training.seconds_before
        order = shuffled(data.train_indices, derived_seed(config.seed, "order", training.epoch))
        order = order.to(device)
        labels = all_labels.index_select(0, order)  # in training order, one gather per epoch
        row_batches, label_batches = torch.split(order, sizes), torch.split(labels, sizes)
        losses, logits_of, truth_of = training.losses, training.logits, training.truth

        with training.randomness.installed():
            model.train()
            for batch in range(training.batch, steps):
                if should_stop():
                    raise _interrupted(training, time.perf_counter() - began, steps)
                images = pixels.batch(row_batches[batch])  # float32 (n, channels, height, width)
                position = BatchPosition(row_batches[batch], training.epoch, turns)
                images, targets = augment(
                    images, label_batches[batch], training.augmentation, position
                )
                with cast:
                    logits = model(images)  # (n, classes)
                loss, plain_loss = loss_of(logits.float(), targets)
                update.clear()
                loss.backward()  # type: ignore[no-untyped-call]
                change_gradients()
                update()
                if average is not None:
                    average.follow((training.epoch - 1) * steps + batch + 1)
                if every_batch:
                    schedule.step()
                # Metrics are calculated from these once per epoch, so that no batch waits
                losses.append(plain_loss)
                logits_of.append(logits.detach())
                truth_of.append(dominant(targets))
                training.batch = batch + 1
                if watch_loss and not math.isfinite(loss.item()):
                    raise _diverged(training, "training", loss.item(), steps)
            train_loss = _mean(losses, sizes)
            if not math.isfinite(train_loss):
                raise _diverged(training, "training", train_loss, steps)

            validation_began = time.perf_counter()
            try:
                with training.evaluated():
                    val = evaluate(
                        model,
                        pixels,
                        all_labels,
                        val_rows,
                        batch_size=val_batch,
                        precision=plan.precision,
                        should_stop=should_stop,
                        probabilities=bool(config.metrics),
                    )
            except Stopped:
                raise _interrupted(training, time.perf_counter() - began, steps) from None
            if val.samples and not math.isfinite(val.loss):
                raise _diverged(training, "validation", val.loss, steps)
            others = _others(config, data, val)
            val_seconds = time.perf_counter() - validation_began
            train_accuracy = training.correct() / len(labels)
            finish_epoch(schedule, val.loss)

        metrics = EpochMetrics(
            epoch=training.epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            val_macro_f1=val.macro_f1,
            val_balanced_accuracy=val.balanced_accuracy,
            lr=training.first_lr,
            seconds=time.perf_counter() - began,
            val_seconds=val_seconds,
            others=others,
        )
        training.end_epoch(metrics)
        yield EpochEnd(
            metrics=metrics,
            last=training.is_over,
            state=_state_after(training, metrics.epoch),
            val_confusion=(
                val.confusion.tolist() if val.samples and classes <= CONFUSION_CLASSES else None
            ),
            val_predictions=_predictions(data, val) if keep_predictions else None,
        )


def _measure_layers(model: nn.Module, data: PreparedData) -> None:
    """Set the weights that are measured on the training images, if the model has such layers."""
    layers = measured_layers(model)
    if layers:
        store = ImageStore(
            data.images, data.mean, data.std, torch.device("cpu"), channels_last=False
        )
        images = store.batch(data.train_indices[:SAMPLE])
        for layer in layers:
            layer.measure(images)


def _predictions(data: PreparedData, val: Evaluation) -> ValPredictions:
    return ValPredictions(
        rows=data.val_indices.numpy(),
        predicted=val.predictions.numpy(),
        truth=data.labels[data.val_indices].numpy(),
        losses=val.losses.numpy(),
        probabilities=None if val.probabilities is None else val.probabilities.numpy(),
    )


def _others(config: TrialConfig, data: PreparedData, val: Evaluation) -> dict[str, float]:
    """Return the metrics that the study uses besides those of every training."""
    if val.probabilities is None:
        return dict.fromkeys(config.metrics, math.nan)  # no validation images
    truth = data.labels[data.val_indices].numpy()
    probabilities = val.probabilities.numpy()
    values = {
        name: compute(name, probabilities, truth, data.class_names) for name in config.metrics
    }
    if not config.data.folds:  # a fold may lack a class, as the value is that of all folds
        require_finite(values, len(truth))
    return values


def _mean(losses: list[Tensor], sizes: list[int]) -> float:
    """Return the mean over samples of losses that are means over batches of ``sizes``."""
    weights = torch.tensor(sizes, dtype=torch.float64)
    return float((torch.stack(losses).cpu().double() * weights).sum() / weights.sum())


def _state_after(training: TrainingState, epoch: int) -> Callable[[], dict[str, Any]]:
    def state() -> dict[str, Any]:
        if len(training.history) != epoch or training.batch:
            raise RuntimeError(
                f"the state after epoch {epoch} is no longer available: training has continued"
            )
        return training.state()

    return state


def _interrupted(training: TrainingState, seconds: float, steps: int) -> TrainingInterrupted:
    return TrainingInterrupted(
        f"training was asked to stop in epoch {training.epoch}, after {training.batch} of {steps} "
        "batches",
        lambda: training.state(seconds),
    )


def _diverged(training: TrainingState, part: str, loss: float, steps: int) -> TrainingDiverged:
    return TrainingDiverged(
        f"the {part} loss must be a finite number, but in epoch {training.epoch}, after "
        f"{training.batch} of {steps} batches, it is {loss}; try a lower learning rate than "
        f"{training.first_lr:g}"
    )
