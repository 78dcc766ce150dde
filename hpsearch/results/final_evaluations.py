"""A study's test evaluations: their number and results.

Test images give an honest value once. If someone evaluates, changes something and evaluates again,
the test images have become validation images. So every evaluation is an event of the study, which
nothing deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.metrics import OBJECTIVES
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.events import Event, EventKind, event_log


@dataclass(frozen=True, kw_only=True)
class FinalEvaluation:
    """One final evaluation. Shares are 0..1."""

    #: Number of the trial whose weights were evaluated, and the weights' epoch (the last one if
    #: there are several trainings).
    trial: int
    epoch: int
    images: int
    loss: float
    accuracy: float
    macro_f1: float
    balanced_accuracy: float
    class_names: list[str]
    #: Images by true class (rows) and predicted class.
    confusion: list[list[int]]
    #: Of a confirmed winner: the seeds of its trainings, whose metrics are averaged (the matrices
    #: added up), the accuracy of each, and the mean's 95 % interval over seeds and images.
    seeds: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    spread: list[float] | None = None
    #: Number of evaluated models, whose metrics are averaged; with folds, a training has one model
    #: per fold.
    models: int = 1
    #: Number of groups of the images, which intervals are over; ``None`` if each image counts as
    #: independent, as in every evaluation of earlier versions.
    groups: int | None = None
    #: Objective -> 95 % interval of its value, as ``interval``; empty in earlier versions.
    intervals: dict[str, list[float]] = field(default_factory=dict)
    #: The values of the metrics that only this study measures.
    others: dict[str, float] = field(default_factory=dict)
    #: ``accuracy``, ``loss``, ``macro_f1`` and ``balanced_accuracy`` with the mean logits of each
    #: image and its mirror image; ``None`` unless asked for. Nothing else contains them.
    mirrored: dict[str, float] | None = None

    @property
    def sample(self) -> str:
        """The images as text: ``211 images in 71 groups``."""
        images = count_noun(self.images, "image")
        return images if self.groups is None else f"{images} in {count_noun(self.groups, 'group')}"

    @property
    def over(self) -> str:
        """What ``interval`` is over, as text."""
        images = "images" if self.groups is None else "groups of images"
        return f"seeds and {images}" if self.seeds else images

    def value_of(self, metric: str) -> float | None:
        """Return an objective's value on the test images; ``None`` if they lack its class."""
        if metric in OBJECTIVES:
            value: float = getattr(self, metric.removeprefix("val_"))
            return value
        return self.others.get(metric)

    def interval_of(self, metric: str) -> tuple[float, float] | None:
        """Return the 95 % interval of ``value_of(metric)``; ``None`` if it isn't known."""
        if metric == "val_accuracy":
            return self.interval
        interval = self.intervals.get(metric)
        return None if interval is None else (interval[0], interval[1])

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval.

        For one training, it is over images (Wilson's), so it doesn't include the variation with
        another seed. For a confirmed winner, it is over seeds and images. If the images came in
        groups, it is over groups.
        """
        if self.spread is not None:
            low, high = self.spread
            return low, high
        # Imported late: it takes more than a second, and most commands need no interval
        from scipy.stats import binomtest

        right = round(self.accuracy * self.images)
        wilson = binomtest(right, self.images).proportion_ci(0.95, method="wilson")
        return float(wilson.low), float(wilson.high)

    def metrics(self) -> dict[str, Any]:
        """Return the part that reports show: trial, images and metrics, without the matrix."""
        low, high = self.interval
        seeds = {"seeds": self.seeds} if self.seeds else {}
        names = ("trial", "epoch", "images", "loss", "accuracy", "macro_f1", "balanced_accuracy")
        metrics = {name: getattr(self, name) for name in names}
        groups = {} if self.groups is None else {"groups": self.groups}
        others = {
            name: {"value": value, "interval": self.intervals.get(name)}
            for name, value in self.others.items()
        }
        return {
            **metrics,
            **({"others": others} if others else {}),
            **groups,
            **seeds,
            "interval": [low, high],
        }


def record_evaluation(database: Database, study_id: int, evaluation: FinalEvaluation) -> None:
    """Add a test evaluation to the study's event log.

    Args:
        database: The study's database.
        study_id: Its id.
        evaluation: The evaluation.
    """
    studies.record_study_event(database, study_id, EventKind.TEST_OPENED, asdict(evaluation))


def evaluations(database: Database, study_id: int) -> list[FinalEvaluation]:
    """Return every test evaluation, oldest first."""
    log = event_log(database, study_id)
    return [
        FinalEvaluation(**event.detail)
        for event in log
        if event.kind == EventKind.TEST_OPENED and _is_whole(event)
    ]


def _is_whole(event: Event) -> bool:
    required = {
        field.name for field in fields(FinalEvaluation) if field.default is field.default_factory
    }
    return required <= event.detail.keys()


def summarize(evaluations: Sequence[FinalEvaluation]) -> dict[str, Any] | None:
    """Return the test evaluations for a frozen config and a summary; ``None`` without one.

    Only the first value is a test result, however many evaluations follow.
    """
    return {"opened": len(evaluations), **evaluations[0].metrics()} if evaluations else None
