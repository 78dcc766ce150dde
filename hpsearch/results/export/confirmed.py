"""The section of a frozen config about the confirmation of its winner."""

from __future__ import annotations

from typing import Any

from hpsearch.metrics import MetricFormat
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import Comparison, ConfirmationResult

#: Warning about an interval that was computed without the images' groups.
LACKS_GROUPS = (
    "The images come in groups, but this confirmation was stored before hpsearch counted them: its "
    "intervals take each image as independent and are too narrow. `hpsearch confirm --again` "
    "confirms anew, over groups."
)


#: The same warning for metrics of a single training, or of the test images.
INTERVAL_LACKS_GROUPS = (
    "The images come in groups, but some of these figures were measured before hpsearch counted "
    "them: intervals over validation images or test images (where it doesn't say groups) take each "
    "image as independent and are too narrow."
)


def confirmed_section(verdict: ConfirmationResult, study: str) -> dict[str, Any]:
    """Return ``provenance.confirmed``; ``study`` is the confirmation's name. Intervals are 95 %."""
    figure = verdict.over_seeds_and_images or verdict.over_seeds
    invalid = {str(trial): why for trial, why in verdict.invalid.items()}
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
        "runner_up": _compared(verdict.runner_up),
        "first_tried": _compared(verdict.baseline),
        "chance_of_best": verdict.chance_of_best,
        "finalists": len(verdict.finalists),
        **({"invalid": invalid} if invalid else {}),
    }


def in_words(verdict: ConfirmationResult, nth: int = 1) -> str:
    """Return the meaning of the confirmed value as text; ``nth`` counts the confirmations."""
    count = len(verdict.reported)
    seeds = f"{count} fresh seed{'s' if count != 1 else ''}"
    mean = verdict.over_seeds_and_images or verdict.over_seeds
    if mean is None:
        return f"{seeds} confirmed it."
    written = MetricFormat(verdict.metric)
    text = (
        f"Trained again with {seeds} that had no say in its choice, it came to "
        f"{written.value(mean.estimate)} (95 %, seeds and {verdict.other_images}: "
        f"{written.interval((mean.low, mean.high))})."
    )
    if verdict.groups is not None:
        text += f" It rests on {verdict.sample}."
    if verdict.lacks_groups:
        text += " " + LACKS_GROUPS
    if verdict.next_training is not None:
        one = verdict.next_training
        low, high = written.number(one.low), written.value(one.high)
        text += f" One more training is expected between {low} and {high}."
    if verdict.invalid:
        text += " " + distrusted(verdict)
    if nth > 1:
        text += (
            f" It is confirmation number {nth}: where one chooses among confirmations, the chosen "
            "figure is optimistic again."
        )
    return text


def distrusted(verdict: ConfirmationResult) -> str:
    """Return which finalists were declared invalid since, as text; empty if there are none."""
    if not verdict.invalid:
        return ""
    listed = "; ".join(f"trial {trial} ({why})" for trial, why in sorted(verdict.invalid.items()))
    return (
        f"Of its finalists these have since been declared invalid in the search: {listed}. "
        "Confirm anew to compare without them (`hpsearch confirm --again`)."
    )


def _split(verdict: ConfirmationResult) -> str:
    drawn = "drawn anew for each seed" if verdict.new_splits else "fixed"
    return drawn if verdict.folds is None else f"{verdict.folds} folds, {drawn}"


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _compared(other: Comparison | None) -> dict[str, Any] | None:
    if other is None:
        return None
    return {
        "trial": other.trial,
        "ahead": other.ahead.estimate,
        "interval": _bounds(other.ahead),
        "distinguishable": other.distinguishable,
        "cheaper": dict(other.cheaper),
    }
