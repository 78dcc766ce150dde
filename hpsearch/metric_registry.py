"""Metrics that are computed from a validation's predictions, in a registry that a plug-in extends.

A metric is a function of the predicted probabilities, float64 (n, classes), and the true classes,
int64 (n,). If it has the keyword-only argument ``class_index``, it is a metric of one class, and a
study file names the class: ``val_recall(malignant)``. It returns NaN if the images don't define it,
for example if all of them are of one class::

    @METRICS.register("val_brier", direction="minimize")
    def brier(probabilities, truth, /):
        '''Mean squared distance of the probabilities from the true class.'''
        return np.square(probabilities - np.eye(probabilities.shape[1])[truth]).sum(1).mean()

Only the metrics that a study uses are computed. (``metrics.OBJECTIVES`` are computed always.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.errors import UnknownName, UserError
from hpsearch.metrics import COSTS, OBJECTIVES, Direction
from hpsearch.registry import Component, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Probabilities: TypeAlias = NDArray[np.float64]
    Classes: TypeAlias = NDArray[np.int64]
else:
    # A study file is read without NumPy, and the registry evaluates annotations
    Probabilities = Classes = Any

#: The argument of a metric of one class.
_CLASS = "class_index"

#: Bins of the calibration error.
CALIBRATION_BINS = 15


class MetricRegistry(Registry[float]):
    """Metrics by name, each with the direction that is better."""

    def __init__(self) -> None:
        super().__init__("metric")
        self.directions: dict[str, Direction] = {}

    def register(
        self, name: str, *, direction: Direction = "maximize"
    ) -> Callable[[Callable[..., float]], Callable[..., float]]:
        """Return the decorator that registers a function under ``name``.

        Args:
            name: The metric's name. If it has one of the endings ``metrics.SHARE_ENDINGS``, its
                values are in 0..1 and written in percent.
            direction: Which direction is better.

        Raises:
            ValueError: The direction is unknown, or the name is that of another metric.
        """
        if direction not in ("maximize", "minimize"):
            raise ValueError(f"direction must be maximize or minimize, but got {direction!r}")
        if name in OBJECTIVES or name in COSTS or not name.isidentifier():
            raise ValueError(f"metric {name!r} must be a new name of letters, digits and _")
        decorate = super().register(name)
        self.directions[name] = direction
        return decorate

    def is_of_class(self, name: str) -> bool:
        """Whether a study file must name a class: ``name(CLASS)``."""
        return _CLASS in self[name].keys


METRICS = MetricRegistry()


def split(metric: str) -> tuple[str, str | None]:
    """Return the name and the class of ``name(CLASS)``; the class is ``None`` without one."""
    name, bracket, rest = metric.partition("(")
    return (name, rest.removesuffix(")")) if bracket else (name, None)


def direction_of(metric: str) -> Direction:
    """Return the direction that is better.

    Raises:
        UnknownName: There is no such metric.
    """
    name = split(metric)[0]
    directions = {**OBJECTIVES, **COSTS, **METRICS.directions}
    if name not in directions:
        raise UnknownName("metric", name, directions)
    return directions[name]


def spelled(*, costs: bool = False) -> list[str]:
    """Return every metric as a study file writes it, costs at the end."""
    further = [f"{name}(CLASS)" if METRICS.is_of_class(name) else name for name in METRICS.names()]
    return [*OBJECTIVES, *further, *(COSTS if costs else ())]


def is_spelled(metric: str, *, costs: bool = False) -> bool:
    """Whether a study file may write ``metric``: the name of one, with a class if it needs one."""
    name, of = split(metric)
    if name in METRICS:
        return bool(of) == METRICS.is_of_class(name) and (of is None or metric.endswith(")"))
    return metric in OBJECTIVES or (costs and metric in COSTS)


def require_usable(metrics: Iterable[str], class_names: Sequence[str]) -> None:
    """Check that metrics can be computed for these classes.

    Raises:
        UserError: One names an unknown class, or means nothing with so few classes.
    """
    for metric in metrics:
        name, of = split(metric)
        if of is not None and of not in class_names:
            listed = ", ".join(class_names[:20]) + (", .." if len(class_names) > 20 else "")
            raise UserError(
                f"{metric} must name one of the classes ({listed}), but got {of!r}; write "
                f"{name}({class_names[-1]}), for example"
            )
        if name == "val_top5_accuracy" and len(class_names) <= 5:
            raise UserError(
                f"{metric} needs more than 5 classes, but there are {len(class_names)}, so that "
                "every image would count as right; use val_accuracy"
            )


def compute(
    metric: str,
    probabilities: Probabilities,
    truth: Classes,
    class_names: Sequence[str],
) -> float:
    """Return the value of a metric of ``METRICS``; NaN if these images don't define it.

    Args:
        metric: The metric, as a study file writes it.
        probabilities: Predicted probabilities, (n, classes).
        truth: True classes, (n,).
        class_names: The names of the classes.
    """
    name, of = split(metric)
    settings: Mapping[str, Any] = {} if of is None else {_CLASS: list(class_names).index(of)}
    return float(METRICS.build(Component(name, settings), probabilities, truth))


def require_finite(values: Mapping[str, float], images: int) -> None:
    """Check the values of metrics.

    Args:
        values: Metric -> value.
        images: The number of validation images.

    Raises:
        UserError: A value isn't a finite number.
    """
    for metric, value in values.items():
        if not math.isfinite(value):
            raise UserError(
                f"{metric} must be a finite number, but it is {value} on {images:,} validation "
                "images: a recall needs images of its class, and an AUROC images of two classes; "
                "take more validation images, or another metric"
            )


@METRICS.register("val_auroc")
def auroc(probabilities: Probabilities, truth: Classes, /) -> float:
    """Area under the ROC curve: mean over the classes of one class against the rest.

    With two classes, both have the same area. A class without images, or with all of them, isn't
    counted.
    """
    import numpy as np

    classes = probabilities.shape[1]
    areas = [_area(probabilities[:, index], truth == index) for index in range(classes)]
    finite = [area for area in areas if not math.isnan(area)]
    return float(np.mean(finite)) if finite else math.nan


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive's score is above a negative's; ties count one half."""
    import numpy as np

    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return math.nan
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # from 1; ties share their mean
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


@METRICS.register("val_top5_accuracy")
def top5_accuracy(probabilities: Probabilities, truth: Classes, /) -> float:
    """Share of images whose class is among the five most probable ones."""
    import numpy as np

    if not len(truth):
        return math.nan
    own = probabilities[np.arange(len(truth)), truth][:, None]
    # Of equally probable classes, the later one comes first, as in scikit-learn
    later = np.arange(probabilities.shape[1]) > truth[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & later)
    return float((ahead.sum(1) < 5).mean())


@METRICS.register("val_recall")
def recall(probabilities: Probabilities, truth: Classes, /, *, class_index: int) -> float:
    """Share of the images of one class that were classified right.

    Args:
        probabilities: Predicted probabilities, (n, classes).
        truth: True classes, (n,).
        class_index: The class.
    """
    of_class = truth == class_index
    if not of_class.any():
        return math.nan
    return float((probabilities[of_class].argmax(1) == class_index).mean())


@METRICS.register("val_calibration_error", direction="minimize")
def calibration_error(probabilities: Probabilities, truth: Classes, /) -> float:
    """Expected calibration error (ECE): distance of confidence from accuracy, over 15 bins.

    Bins of the largest probability are equally wide; each counts by its number of images. (Guo et
    al., 2017.)
    """
    import numpy as np

    if not len(truth):
        return math.nan
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    bins = np.searchsorted(edges, confidence)  # bin b is (b / 15, (b + 1) / 15]
    gaps = np.bincount(bins, confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(truth))


#: Names of the metrics that come with hpsearch.
BUILT_IN = frozenset(METRICS.names())
