"""A test value outside the confirmed interval: by how much, whether by chance, and why.

A confirmed interval is a statement about other images of the same kind. Test images are, or should
be, such images, so a reader must see a contradiction before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hpsearch.metrics import MetricFormat
from hpsearch.results.confirmation.over_groups import names_groups
from hpsearch.results.confirmation.reading import read_confirmation
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.final_evaluations import FinalEvaluation, evaluations
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database
from hpsearch.study_file.goals import Goals

#: Another mix of classes is a reason if it explains at least this share of the difference.
_WORTH_NAMING = 0.25

#: Settings of a data source that hold out test images at random from the same pool.
_HELD_OUT = "test_fraction"


@dataclass(frozen=True, kw_only=True)
class TestGap:
    """A test value outside the confirmed interval. Values are in the objective's unit."""

    __test__ = False  # not a test for pytest

    metric: str
    trial: int
    #: The value on the test images, and its 95 % interval; ``None`` if it isn't known.
    test: float
    test_interval: tuple[float, float] | None
    confirmed: float
    confirmed_interval: tuple[float, float]
    #: Whether the test value is the worse one.
    worse: bool
    #: Test less confirmed, with its 95 % interval; ``None`` without the test value's own.
    difference: Interval | None
    #: Likely reasons, each a sentence, the likeliest first.
    reasons: tuple[str, ...]

    @property
    def by_chance(self) -> bool | None:
        """Whether chance in both values explains the difference; ``None`` if it isn't known."""
        return None if self.difference is None else not self.difference.excludes(0.0)

    @property
    def headline(self) -> str:
        """The contradiction in one sentence."""
        unit = MetricFormat(self.metric)
        interval = ""
        if self.test_interval is not None:
            interval = f" (95 %: {unit.interval(self.test_interval)})"
        return (
            f"The test value is outside the confirmed interval: {unit.value(self.test)}{interval} "
            f"on the test images, {unit.value(self.confirmed)} confirmed (95 %: "
            f"{unit.interval(self.confirmed_interval)}). It is "
            f"{'worse' if self.worse else 'better'} by "
            f"{unit.width(abs(self.test - self.confirmed))}."
        )

    def sentences(self) -> list[str]:
        """Return the contradiction and its likely reasons."""
        return [self.headline, *self.reasons]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like dictionary for programs and frozen configs."""
        content = {**asdict(self), "by_chance": self.by_chance, "headline": self.headline}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in content.items()
        }


def read_test_gap(
    database: Database, record: StudyRecord, verdict: ConfirmationResult | None = None
) -> TestGap | None:
    """Compare the first test value of a search with its newest confirmation.

    Args:
        database: The database of both.
        record: The search.
        verdict: The verdict of its newest confirmation; ``None`` reads it.

    Returns:
        The gap; ``None`` if there is no contradiction: the search isn't confirmed, there is no test
        evaluation or it is of another trial, or the value is inside the interval.
    """
    oldest_first = evaluations(database, record.study.study_id)
    if not oldest_first:
        return None
    verdict = verdict or read_confirmation(database, record)
    # Only the first evaluation is a test
    return (
        None if verdict is None else find_test_gap(verdict, oldest_first[0], record.study.document)
    )


def find_test_gap(
    verdict: ConfirmationResult, evaluation: FinalEvaluation, document: Mapping[str, Any]
) -> TestGap | None:
    """Compare a test value with the confirmed one.

    Args:
        verdict: Of the search's confirmation.
        evaluation: An evaluation on the test images.
        document: The search's study file, as stored.

    Returns:
        The gap; ``None`` if the value is inside the confirmed interval, or is of another trial.
    """
    confirmed = verdict.over_seeds_and_images
    if not verdict.finished or verdict.winner != evaluation.trial or confirmed is None:
        return None
    test = evaluation.value_of(verdict.metric)
    if test is None or not confirmed.excludes(test):
        return None
    test_interval = evaluation.interval_of(verdict.metric)
    difference = None if test_interval is None else _difference(test, test_interval, confirmed)
    gap = TestGap(
        metric=verdict.metric,
        trial=evaluation.trial,
        test=test,
        test_interval=test_interval,
        confirmed=confirmed.estimate,
        confirmed_interval=(confirmed.low, confirmed.high),
        worse=(test < confirmed.estimate) == verdict.maximize,
        difference=difference,
        reasons=(),
    )
    return replace(gap, reasons=tuple(_reasons(gap, verdict, evaluation, document)))


def _difference(test: float, test_interval: Sequence[float], confirmed: Interval) -> Interval:
    """Return test less confirmed. Each side has its own width (Newcombe 1998, method 10)."""
    low = ((test - test_interval[0]) ** 2 + (confirmed.high - confirmed.estimate) ** 2) ** 0.5
    high = ((test_interval[1] - test) ** 2 + (confirmed.estimate - confirmed.low) ** 2) ** 0.5
    estimate = test - confirmed.estimate
    return Interval(estimate=estimate, low=estimate - low, high=estimate + high)


def _reasons(
    gap: TestGap,
    verdict: ConfirmationResult,
    evaluation: FinalEvaluation,
    document: Mapping[str, Any],
) -> list[str]:
    data = document.get("data", {})
    sentences = [_chance(gap, evaluation), _classes(gap, verdict, evaluation)]
    if verdict.lacks_groups or (evaluation.groups is None and names_groups(data)):
        sentences.append(
            "The images have groups, but a value was stored before hpsearch recorded them: its "
            "interval treats each image as independent, so it is too narrow. `hpsearch confirm "
            "--again` records them."
        )
    if gap.worse and not verdict.new_splits:
        sentences.append(
            "The finalists were chosen on the same validation images that confirm them, because "
            "these images are fixed. This makes the confirmed value optimistic, but not the test "
            "value."
        )
    if gap.worse and Goals.of(document).objective.at == "best":
        sentences.append(
            "Each training counts with its best epoch (`at: best`), chosen by its validation "
            "images. This makes the confirmed value optimistic."
        )
    if gap.worse and verdict.groups is None and not names_groups(data):
        sentences.append(
            "The study has no groups. If several images show one object, person or place and are "
            "on both sides of a split, validation measures memory: keep them together with the "
            "source's `group` or `groups_key` (docs/data.md)."
        )
    if not _mentions(data.get("source"), _HELD_OUT):
        kind = "harder or of another kind" if gap.worse else "easier, or copies of training images"
        sentences.append(
            "The test images are a separate part, not drawn at random from the same images as the "
            f"validation images: they may be {kind}."
        )
    return [sentence for sentence in sentences if sentence]


def _chance(gap: TestGap, evaluation: FinalEvaluation) -> str:
    if gap.difference is None:
        return ""
    unit = MetricFormat(gap.metric)
    by = unit.difference(gap.difference.estimate)
    between = unit.differences(gap.difference.low, gap.difference.high)
    if gap.by_chance:
        return (
            f"Chance may explain it: the difference of {by} is uncertain (95 %: {between}), "
            f"because the test value depends on only {evaluation.sample}."
        )
    return f"Chance alone hardly explains it: the difference is {by} (95 %: {between})."


def _classes(gap: TestGap, verdict: ConfirmationResult, evaluation: FinalEvaluation) -> str:
    """Return how much another mix of classes explains of the difference, as text."""
    if gap.metric != "val_accuracy" or len(verdict.per_class) != len(evaluation.confusion):
        return ""
    images = np.asarray(evaluation.confusion, dtype=np.float64).sum(axis=1)
    is_known = [metrics.recall is not None for metrics in verdict.per_class]
    if not images.sum() or images[~np.array(is_known)].sum():
        return ""  # a class in the test images has no validation images
    recall = np.array([metrics.recall or 0.0 for metrics in verdict.per_class])
    mixed = float(images @ recall / images.sum())
    moved, missing = mixed - gap.confirmed, gap.test - gap.confirmed
    if moved * missing <= 0 or abs(moved) < _WORTH_NAMING * abs(missing):
        return ""
    unit = MetricFormat(gap.metric)
    return (
        "The test images have another mix of classes: with that mix, the same validation results "
        f"would give {unit.value(mixed)}."
    )


def _mentions(node: Any, key: str) -> bool:
    if not isinstance(node, Mapping):
        return False
    return node.get(key) is not None or any(_mentions(child, key) for child in node.values())
