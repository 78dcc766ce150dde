"""Errors of one training's metrics over groups of images.

A training's row in the database stores this instead of the predictions for every image: a few
numbers, from which frozen configs, cards and ``verify`` compute their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from hpsearch.metrics import CONFUSION_CLASSES, OBJECTIVES
from hpsearch.results.confirmation import clusters
from hpsearch.results.confirmation.contributions import training_values
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.statistics import CONFIDENCE, Interval, TrainingValues, wilson

#: The attribute of a trial's row.
OVER_GROUPS: Final = "over_groups"
#: The attribute with the number of groups of the validation images, from a trial's start.
VAL_GROUPS: Final = "val_groups"

#: Settings of a data source that define groups.
_SETTINGS: Final = ("group", "groups_key")


@dataclass(frozen=True, kw_only=True)
class Error:
    """The error of a metric over other groups of images."""

    groups: int
    #: ``None`` if it isn't known: one group shows no spread.
    standard_error: float | None
    #: Degrees of freedom of the standard error.
    freedom: float | None
    #: The metric's bias (``contributions.lean``).
    lean: float = 0.0

    def interval(self, value: float, *, share: bool) -> tuple[float, float] | None:
        """Return the 95 % interval of ``value``; ``None`` if it isn't known.

        Args:
            value: The value that the error belongs to.
            share: Whether it is in 0..1; then the interval does, too (Wilson's).
        """
        from scipy.special import stdtrit

        if self.standard_error is None or self.freedom is None:
            return None
        quantile = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2))
        reach = quantile * self.standard_error
        low, high = value - reach, value + reach
        if share and 0 <= value <= 1:
            low, high = wilson(value, self.standard_error**2, quantile, self.groups)
        interval = Interval(estimate=value, low=low, high=high).reaching(self.lean, share=share)
        return interval.low, interval.high


@dataclass(frozen=True, kw_only=True)
class OverGroups:
    """The errors of one training's metrics."""

    images: int
    groups: int
    #: By metric.
    figures: Mapping[str, Error]
    #: Of each class's recall, in the order of the classes; empty with too many classes.
    recall: tuple[Error, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the dictionary that ``of_json`` reads."""
        return asdict(self)


def over_groups(
    predictions: Predictions, classes: int, scored: str | None = None
) -> OverGroups | None:
    """Return the errors of a training's metrics; ``None`` if its images have no groups.

    Args:
        predictions: The training's predictions.
        classes: Number of classes.
        scored: The metric of ``predictions.scores``; ``None`` without scores.
    """
    groups = predictions.groups
    if groups is None or not len(predictions):
        return None
    right = (predictions.predicted == predictions.truth).astype(np.float64)
    recalls = classes if classes <= CONFUSION_CLASSES else 0
    return OverGroups(
        images=len(predictions),
        groups=len(np.unique(groups)),
        figures={
            metric: error_of(training_values(metric, predictions))
            for metric in (*OBJECTIVES, *(() if scored is None else (scored,)))
        },
        recall=tuple(
            error_of(
                TrainingValues(rows=predictions.rows[mask], values=right[mask], groups=groups[mask])
            )
            for mask in (predictions.truth == index for index in range(recalls))
        ),
    )


def of_json(stored: Any) -> OverGroups | None:
    """Read ``OverGroups.to_json``; ``None`` if nothing readable was stored."""
    try:
        return OverGroups(
            images=int(stored["images"]),
            groups=int(stored["groups"]),
            figures={name: Error(**fields) for name, fields in stored["figures"].items()},
            recall=tuple(Error(**fields) for fields in stored["recall"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def names_groups(data: Any) -> bool:
    """Whether a study's ``data`` section configures a source to keep groups together."""
    source = data.get("source") if isinstance(data, Mapping) else None
    return _any_setting(source)


def _any_setting(node: Any) -> bool:
    if not isinstance(node, Mapping):
        return False
    return any(
        value is not None if key in _SETTINGS else _any_setting(value)
        for key, value in node.items()
    )


def error_of(training: TrainingValues) -> Error:
    """Return the error of a training's metric over other groups, or other images without groups."""
    values, groups = training.values, training.groups
    if not len(values):
        return Error(groups=0, standard_error=None, freedom=None)
    if groups is None:
        groups = training.rows
    sums, counts = clusters.table_of_groups([values], [groups])
    alike = clusters.likeness(values, groups)
    variance = clusters.covariance((sums[0], sums[0]), (counts[0], counts[0]), alike)
    if variance is None:
        return Error(groups=1, standard_error=None, freedom=None)
    return Error(
        groups=counts.shape[1],
        standard_error=math.sqrt(variance),
        freedom=clusters.freedom(counts[0], alike),
        lean=training.lean,
    )
