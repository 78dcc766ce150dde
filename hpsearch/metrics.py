"""The metrics of an epoch, and the direction in which each is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hpsearch.formatting import format_seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction: TypeAlias = Literal["maximize", "minimize"]

#: Objectives that every training measures. Others are in ``metric_registry.METRICS``, and are
#: measured if the study uses them.
OBJECTIVES: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    # For classes of different sizes: every class counts the same
    "val_macro_f1": "maximize",
    "val_balanced_accuracy": "maximize",
}

#: Costs of a model, which may be further objectives or have bounds.
COSTS: dict[str, Direction] = {
    # Known once a configuration is drawn: learned numbers, and multiply-adds per image
    "parameters": "minimize",
    "multiply_adds": "minimize",
    # Measured during and after training: the median epoch in seconds, one image in milliseconds
    "epoch_seconds": "minimize",
    "latency": "minimize",
}

#: Those of ``COSTS`` that are known before training.
STATIC_COSTS = ("parameters", "multiply_adds")

#: Those of ``COSTS`` that are measured in training.
MEASURED_COSTS = tuple(name for name in COSTS if name not in STATIC_COSTS)

#: The one of them that is measured once, at a trial's end.
LATENCY = "latency"

#: With more classes than this, no confusion matrix is recorded: it would be too large to read.
CONFUSION_CLASSES = 100


#: Measured times in seconds, and units of other metrics.
_TIMES = ("epoch_seconds", "compute_seconds")
_UNITS = {"latency": "ms", "receptive_field": "pixels"}


#: A metric whose name ends so is a share. The rule is by name, so that every command prints a
#: plug-in's metric in the same way, even if the plug-in isn't loaded.
SHARE_ENDINGS = ("accuracy", "f1", "auroc", "recall", "precision", "sensitivity", "specificity")


def is_share(metric: str) -> bool:
    """Whether a metric's values are in 0..1, and written in percent (``SHARE_ENDINGS``).

    Losses, counts, times and so on are not.
    """
    return metric.partition("(")[0].endswith(SHARE_ENDINGS)  # `val_recall(CLASS)`, too


@dataclass(frozen=True)
class MetricFormat:
    """How the values of one metric are written.

    Shares are in percent with two decimals, their differences in points; losses have four
    significant digits, counts are whole numbers, times have their unit.
    """

    metric: str
    #: Decimals of shares; other numbers have two significant digits more.
    digits: int = 2

    @property
    def is_share(self) -> bool:
        """Whether values are in 0..1 and written in percent."""
        return is_share(self.metric)

    @property
    def unit(self) -> str:
        """The unit of a value: ``%``, ``s``, ``ms``; empty for a loss."""
        if self.is_share:
            return "%"
        return "s" if self.metric in _TIMES else _UNITS.get(self.metric, "")

    @property
    def points(self) -> str:
        """The unit of a difference, with a space before it; empty for a loss."""
        unit = "points" if self.is_share else self.unit
        return f" {unit}" if unit else ""

    def value(self, value: float | None) -> str:
        """Return ``93.75 %``, ``0.2134`` or ``3.2 s``; ``-`` for ``None``."""
        if value is None:
            return "-"
        if self.metric in _TIMES and isfinite(value):
            return format_seconds(value)
        return f"{self.number(value)} {self.unit}".rstrip()

    def number(self, value: float) -> str:
        """Return a value or a distance without its unit: ``93.75``, or ``0.2134``."""
        if self.is_share:
            return f"{100 * value:.{self.digits}f}"
        return f"{value:,.0f}" if self.metric in STATIC_COSTS else f"{value:.{self.digits + 2}g}"

    def width(self, value: float | None) -> str:
        """Return a distance without a sign: ``0.42 points``."""
        return "-" if value is None else f"{self.number(value)}{self.points}"

    def signed(self, value: float) -> str:
        """Return a difference with its sign and without its unit: ``+0.42``."""
        return f"{'-' if value < 0 else '+'}{self.number(abs(value))}"

    def difference(self, value: float | None) -> str:
        """Return a difference with its sign: ``+0.42 points``."""
        return "-" if value is None else f"{self.signed(value)}{self.points}"

    def differences(self, low: float, high: float) -> str:
        """Return the interval of a difference: ``-0.10 to +0.42 points``."""
        return f"{self.signed(low)} to {self.signed(high)}{self.points}"

    def interval(self, bounds: Sequence[float] | None) -> str:
        """Return ``93.10 to 94.20 %``."""
        if bounds is None:
            return "-"
        low, high = bounds
        return f"{self.number(low)} to {self.number(high)} {self.unit}".rstrip()


#: Shares of images that aren't the metric of an epoch: recall, precision, accuracy in a test.
SHARE = MetricFormat("accuracy")


def format_metrics(values: Mapping[str, float]) -> str:
    """Return several metrics on one line: ``val_accuracy 93.75 %  parameters 9,610``."""
    return "  ".join(f"{name} {MetricFormat(name).value(value)}" for name, value in values.items())


@dataclass(frozen=True, kw_only=True, eq=False)
class ValPredictions:
    """A model's predictions of the validation images, in the order of the images' rows."""

    #: Rows of the images in the prepared data, ascending; (n,) int64.
    rows: NDArray[np.int64]
    #: Predicted and true class of each image; (n,) int64.
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    #: The cross-entropy of each image, at its true class; (n,) float32.
    losses: NDArray[np.float32]
    #: Softmax of the model's outputs, (n, classes) float64; ``None`` if no metric needs it.
    probabilities: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """The metrics of one epoch. Losses and accuracies are means over samples, not over batches.

    Accuracies are in 0..1. ``train_*`` are measured during training (with augmentation and
    dropout), ``val_*`` in evaluation mode after the epoch's last step. Losses are the plain
    cross-entropy, without regularizers and class weights. If augmentation mixes images, the
    training loss uses their mixed labels, and the training accuracy the class of the larger part.
    ``val_*`` are NaN if validation images are trained on as well.
    """

    #: 1-based.
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    #: Mean over classes of F1, 0..1 (``training.confusion`` defines which classes count).
    val_macro_f1: float
    #: Mean over classes of the share of their images that were classified correctly, 0..1.
    val_balanced_accuracy: float
    #: Learning rate of the epoch's first step.
    lr: float
    #: Wall time of the epoch, validation included.
    seconds: float
    #: Wall time of the validation.
    val_seconds: float
    #: Further metrics that the study uses, by name.
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def train_seconds(self) -> float:
        """Wall time of the training steps."""
        return self.seconds - self.val_seconds

    def value(self, metric: str) -> float:
        """Return the value of a metric, one of the fields or of ``others``."""
        other = self.others.get(metric)
        return float(getattr(self, metric)) if other is None else other

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as ``EpochMetrics(**fields)`` takes them."""
        values = asdict(self)
        if not self.others:
            del values["others"]  # equals what earlier versions stored
        return values


#: The columns that every curve has.
METRIC_COLUMNS = tuple(column.name for column in fields(EpochMetrics) if column.name != "others")


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochEnd:
    """What training yields after an epoch: its metrics, and what else is known then."""

    metrics: EpochMetrics
    #: Whether training ends after this epoch: it is the last one planned, or training stops early.
    last: bool
    #: Returns everything needed to continue bit-exactly after this epoch (see
    #: ``training.checkpoint``). Valid only until the generator of this object is advanced.
    state: Callable[[], dict[str, Any]] = field(repr=False)
    #: Validation images by true class (rows) and predicted class (columns); ``None`` if there
    #: are more than ``CONFUSION_CLASSES``, or if it wasn't kept.
    val_confusion: Sequence[Sequence[int]] | None = field(default=None, repr=False)
    #: The predictions of the validation images; ``None`` unless training was asked to keep them.
    val_predictions: ValPredictions | None = field(default=None, repr=False)
    #: What the row of a trial that ends with this epoch records besides its metrics; JSON-like.
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 1."""
        return self.metrics.epoch
