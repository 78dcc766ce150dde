"""The section of a frozen config about the confirmation of its winner."""

from __future__ import annotations

from typing import Any

from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import Comparison, ConfirmationResult

#: ``winner.LACKS_GROUPS`` for metrics of a single training, or of the test images.
INTERVAL_LACKS_GROUPS = (
    "The images have groups, but some of these values were measured before hpsearch recorded them: "
    "intervals over validation images or test images (unless they mention groups) treat each image "
    "as independent, so they are too narrow."
)


def confirmed_section(verdict: ConfirmationResult, study: str) -> dict[str, Any]:
    """Return ``provenance.confirmed``; ``study`` is the confirmation's name. Intervals are 95 %."""
    figure = verdict.over_seeds_and_images or verdict.over_seeds
    invalid = {str(trial): reason for trial, reason in verdict.invalid.items()}
    return {
        "study": study,
        "metric": verdict.metric,
        "mean": None if figure is None else figure.estimate,
        "interval_over_seeds": _bounds(verdict.over_seeds),
        "interval_over_seeds_and_images": _bounds(verdict.over_seeds_and_images),
        "next_training": _bounds(verdict.next_training),
        "seeds": {str(seed): value for seed, value in verdict.reported.items()},
        "images": verdict.images,
        **({} if verdict.groups is None else {"groups": verdict.groups}),
        **({"lacks_groups": True} if verdict.lacks_groups else {}),
        "split": _split(verdict),
        "best_seen": verdict.best_seen,
        "complete_trials": verdict.complete,
        "optimism": verdict.optimism,
        "runner_up": _comparison(verdict.runner_up),
        "first_tried": _comparison(verdict.baseline),
        "chance_of_best": verdict.chance_of_best,
        "finalists": len(verdict.finalists),
        **({"invalid": invalid} if invalid else {}),
    }


def _split(verdict: ConfirmationResult) -> str:
    split = "newly drawn for each seed" if verdict.new_splits else "fixed"
    return split if verdict.folds is None else f"{verdict.folds} folds, {split}"


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _comparison(other: Comparison | None) -> dict[str, Any] | None:
    if other is None:
        return None
    return {
        "trial": other.trial,
        "ahead": other.ahead.estimate,
        "interval": _bounds(other.ahead),
        "distinguishable": other.distinguishable,
        "cheaper": dict(other.cheaper),
    }
