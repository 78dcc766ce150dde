"""Each validation image's contribution to an objective: numbers whose mean is the objective.

With contributions, one method of computing intervals works for every objective. For accuracy, an
image contributes 0 or 1, and for the loss its own loss. Macro-F1 and balanced accuracy aren't means
over images; their contribution is the objective plus the image's influence on it (the delta
method): to first order, the objective over other images changes as the mean of these does. For
metrics of ``metric_registry.METRICS``, which are any function of the predicted probabilities, the
influence is estimated by leaving images out (the jackknife).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpsearch.metric_registry import compute
from hpsearch.metrics import ValPredictions
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.statistics import TrainingValues


def contributions(metric: str, predictions: Predictions) -> NDArray[np.float64]:
    """Return float64 ``(n,)``, in the order of ``predictions.rows``; its mean is the objective.

    Args:
        metric: One of ``metrics.OBJECTIVES``, or the metric of ``predictions.scores``.
        predictions: One training's predictions.

    Raises:
        ValueError: If there is no image, or the metric needs scores and there are none.
    """
    if not len(predictions):
        raise ValueError("an objective needs images")
    if metric in _OF:
        return _OF[metric](predictions)
    if predictions.scores is None:
        raise ValueError(f"the contributions to {metric} need its scores")
    return predictions.scores


def predictions_of(
    images: ValPredictions,
    scored: str | None,
    class_names: Sequence[str],
    groups: NDArray[np.int64] | None,
) -> Predictions:
    """Return a training's predictions in the form that is stored.

    Args:
        images: The predictions, with probabilities if ``scored`` is a metric.
        scored: The metric whose contributions are kept; ``None`` if the predicted classes and the
            losses are enough.
        class_names: The names of the classes.
        groups: The group of each image, int64 ``(n,)``; ``None`` if each is independent.
    """
    scores = None
    if scored is not None and images.probabilities is not None:
        probabilities, truth = images.probabilities, images.truth

        def measure(mask: NDArray[np.bool_]) -> float:
            return compute(scored, probabilities[mask], truth[mask], class_names)

        scores = jackknife(measure, images.rows, groups)
    return Predictions(
        rows=images.rows,
        predicted=images.predicted,
        truth=images.truth,
        loss=images.losses.astype("float64"),
        groups=groups,
        scores=scores,
    )


def jackknife(
    measure: Callable[[NDArray[np.bool_]], float],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Return each image's contribution to any metric, float64 ``(n,)``; the mean is the metric.

    Images (or groups of them) are left out in blocks, since a metric may take long: an image's
    influence is the mean one of its block. It is multiplied by the square root of the block's
    number of images or groups, so that the variance of the mean, which is computed as if images
    were independent, is that of the blocks.

    Args:
        measure: Returns the metric of the images of a mask, bool ``(n,)``; NaN if they don't define
            it, and then these images count as without influence.
        rows: Rows of the images, int64 ``(n,)``.
        groups: The group of each image, int64 ``(n,)``; ``None`` if each is independent.
    """
    units = rows if groups is None else groups
    # By number, so that an image is in the same block in every training; mixed, as neighbours may
    # be of one class
    mixed = (units * 2_654_435_761) % 2**32
    block = mixed % _BLOCKS if len(np.unique(units)) > _BLOCKS else units
    whole, count = measure(np.ones(len(rows), dtype=bool)), len(rows)
    scores = np.full(count, whole)
    for number in np.unique(block):
        left_out = block == number
        size = int(left_out.sum())
        without = measure(~left_out) if size < count else np.nan
        if np.isfinite(without):
            influence = (whole - without) * (count - size) / size
            scores[left_out] += np.sqrt(len(np.unique(units[left_out]))) * influence
    scores += whole - scores.mean()
    return scores


def training_values(metric: str, predictions: Predictions) -> TrainingValues:
    """Return a training's contributions in the form that intervals are computed from."""
    return TrainingValues(
        rows=predictions.rows,
        values=contributions(metric, predictions),
        groups=predictions.groups,
        lean=lean(metric, predictions),
    )


def _accuracy(predictions: Predictions) -> NDArray[np.float64]:
    right: NDArray[np.float64] = (predictions.predicted == predictions.truth).astype(np.float64)
    return right


def _loss(predictions: Predictions) -> NDArray[np.float64]:
    return predictions.loss


def _balanced_accuracy(predictions: Predictions) -> NDArray[np.float64]:
    """Mean of recall over the C classes that have images; n_c images of class c.

    An image of class c moves the mean by n / (C n_c) * (1 if right else 0, less c's recall).
    """
    truth = predictions.truth
    right = _accuracy(predictions)
    images = np.bincount(truth).astype(np.float64)
    recall = np.bincount(truth, right) / np.maximum(images, 1.0)
    present = images > 0
    influence = len(truth) / (present.sum() * images[truth]) * (right - recall[truth])
    contribution: NDArray[np.float64] = recall[present].mean() + influence
    return contribution


def _macro_f1(predictions: Predictions) -> NDArray[np.float64]:
    """Mean over the classes that have images or were predicted of F1 = 2 TP / (images + predicted).

    An image changes TP by 1 if it is right, and each of both counts by 1 for its class. With
    D = images + predicted, dF1 = (2 dTP - F1 dD) / D.
    """
    truth, predicted = predictions.truth, predictions.predicted
    right, sums, f1 = _f1(predictions)
    present = sums > 0
    moved = (2.0 * right - f1[truth]) / sums[truth] - f1[predicted] / sums[predicted]
    contribution: NDArray[np.float64] = f1[present].mean() + len(truth) / present.sum() * moved
    return contribution


def _f1(predictions: Predictions) -> tuple[NDArray[np.float64], ...]:
    """Return whether each image is right, and D and F1 of each class."""
    truth, predicted = predictions.truth, predictions.predicted
    classes = int(max(truth.max(), predicted.max())) + 1
    right = _accuracy(predictions)
    sums = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    hits = 2.0 * np.bincount(truth, right, minlength=classes)
    return right, sums.astype(np.float64), hits / np.maximum(sums, 1)


def lean(metric: str, predictions: Predictions) -> float:
    """Return the bias of the objective on a sample of this size: above 0 if it is too high.

    A mean over images has no bias. F1 isn't a mean but a ratio: 2 TP / D of a class, with
    D = images + predicted. The fewer groups of images the sample has, the lower F1 is on average
    (a class that happens to be rare gets many errors of other classes for its size). To first
    order, this is the bias of a ratio, as the jackknife over groups estimates it:
    - sum over groups of (2 TP_g - F1 D_g) D_g / D**2.

    Args:
        metric: One of ``metrics.OBJECTIVES``.
        predictions: One training's predictions. Without groups, each image is a group of its own.
    """
    if metric != "val_macro_f1" or len(predictions) < 2:
        return 0.0
    truth, predicted = predictions.truth, predictions.predicted
    right, sums, f1 = _f1(predictions)
    groups = predictions.rows if predictions.groups is None else predictions.groups
    group_numbers, group = np.unique(groups, return_inverse=True)
    if len(group_numbers) < 2:
        return 0.0
    # An image counts for its class and for the predicted one, so in two (group, class) cells
    cells = np.concatenate([group * len(f1) + truth, group * len(f1) + predicted])
    moved = np.concatenate([right - f1[truth], right - f1[predicted]])
    cells, places = np.unique(cells, return_inverse=True)
    sizes, moved = np.bincount(places), np.bincount(places, moved)
    bias = -np.sum(moved * sizes / sums[cells % len(f1)] ** 2) / np.count_nonzero(sums)
    return float(bias * len(group_numbers) / (len(group_numbers) - 1))


#: Blocks of images that are left out in turn; more take longer and change an interval by little.
_BLOCKS: Final = 100

_OF: Final[dict[str, Callable[[Predictions], NDArray[np.float64]]]] = {
    "val_accuracy": _accuracy,
    "val_loss": _loss,
    "val_balanced_accuracy": _balanced_accuracy,
    "val_macro_f1": _macro_f1,
}
