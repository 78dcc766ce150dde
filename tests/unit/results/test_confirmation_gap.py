"""When a test figure contradicts the confirmed one, and what is named as the reason."""

from __future__ import annotations

from typing import Any

import pytest
from support.specs import made_up_result

from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import ConfirmationResult, PerClass
from hpsearch.results.confirmation_gap import find_test_gap
from hpsearch.results.final_evaluations import FinalEvaluation

#: As a study's document says it.
FIXED = {
    "objective": {"metric": "val_accuracy", "at": "last"},
    "data": {"source": {"image_folder": {"path": "x", "test_fraction": 0.2, "group": "a"}}},
}


def confirmed(low: float = 0.334, high: float = 0.403, **changes: Any) -> ConfirmationResult:
    interval = Interval(estimate=0.368, low=low, high=high)
    own: dict[str, Any] = {
        "best_seen": 0.4, "complete": 30, "winner_seen": 0.4, "reported": {6: 0.36, 7: 0.376},
        "images": 239, "groups": 80,
    }  # fmt: skip
    return made_up_result(interval, **{**own, **changes})


def opened(accuracy: float = 0.285, **changes: Any) -> FinalEvaluation:
    told: dict[str, Any] = {
        "trial": 4, "epoch": 8, "images": 211, "loss": 2.5, "accuracy": accuracy,
        "macro_f1": accuracy, "balanced_accuracy": accuracy, "class_names": ["a", "b"],
        "confusion": [[60, 40], [40, 71]], "seeds": [6, 7], "accuracies": [0.28, 0.29],
        "spread": [0.203, 0.385], "groups": 71,
    }  # fmt: skip
    return FinalEvaluation(**{**told, **changes})


def reasons(verdict: ConfirmationResult, opening: FinalEvaluation, document: Any = FIXED) -> str:
    found = find_test_gap(verdict, opening, document)
    assert found is not None
    return " ".join(found.reasons)


def test_a_figure_below_the_interval_is_told_with_both_intervals() -> None:
    found = find_test_gap(confirmed(), opened(), FIXED)
    assert found is not None and found.worse
    assert found.headline == (
        "The test value is outside the confirmed interval: 28.50 % (95 %: 20.30 to 38.50 %) on the "
        "test images, 36.80 % confirmed (95 %: 33.40 to 40.30 %). It is worse by 8.30 points."
    )
    # Each side's own reach: below sqrt(8.2**2 + 3.5**2), above sqrt(10**2 + 3.4**2)
    assert found.difference is not None
    assert found.difference.low == pytest.approx(-0.083 - (0.082**2 + 0.035**2) ** 0.5)
    assert found.difference.high == pytest.approx(-0.083 + (0.1**2 + 0.034**2) ** 0.5)
    assert found.by_chance is True
    assert found.reasons[0] == (
        "Chance may explain it: the difference of -8.30 points is uncertain (95 %: -17.22 to +2.26 "
        "points), because the test value depends on only 211 images in 71 groups."
    )


def test_a_figure_inside_or_of_another_trial_contradicts_nothing() -> None:
    assert find_test_gap(confirmed(), opened(0.37), FIXED) is None
    assert find_test_gap(confirmed(), opened(trial=5), FIXED) is None
    assert find_test_gap(confirmed(finished=False), opened(), FIXED) is None
    assert find_test_gap(confirmed(winner=None), opened(), FIXED) is None


def test_what_chance_cant_explain_says_so() -> None:
    found = find_test_gap(confirmed(), opened(spread=[0.26, 0.31]), FIXED)
    assert found is not None and found.by_chance is False
    assert found.reasons[0].startswith("Chance alone hardly explains it: the difference is -8.30")


def test_a_better_test_figure_is_told_too_without_reasons_for_a_worse_one() -> None:
    own = {"data": {"source": {"cifar10": {}}}, "objective": FIXED["objective"]}
    found = find_test_gap(confirmed(new_splits=False), opened(0.5, spread=[0.44, 0.56]), own)
    assert found is not None and not found.worse
    assert "It is better by 13.20 points" in found.headline
    told = " ".join(found.reasons)
    assert "easier, or copies of training images" in told
    assert "flatters" not in told


def test_less_is_better_for_a_loss() -> None:
    document = {**FIXED, "objective": {"metric": "val_loss", "at": "last"}}
    interval = Interval(estimate=2.0, low=1.9, high=2.1)
    verdict = confirmed(
        metric="val_loss", maximize=False, over_seeds=interval, over_seeds_and_images=interval
    )
    found = find_test_gap(verdict, opened(intervals={"val_loss": [2.3, 2.7]}), document)
    assert found is not None and found.worse and found.by_chance is False
    assert "2.5 (95 %: 2.3 to 2.7) on the test images, 2 confirmed" in found.headline
    assert find_test_gap(verdict, opened(loss=2.05), document) is None
    unknown = find_test_gap(verdict, opened(), document)
    assert unknown is not None and unknown.by_chance is None, "earlier versions stored no interval"
    assert "Chance" not in " ".join(unknown.reasons)


def test_another_mix_of_classes_is_a_reason_where_it_explains_enough() -> None:
    def classes(hard: float) -> list[PerClass]:
        shares = {"a": 0.6, "b": hard}
        return [
            PerClass(name=name, images=100, precision=None, recall=recall, f1=None)
            for name, recall in shares.items()
        ]

    # The test images are mostly of class b: (11 * 0.6 + 200 * 0.136) / 211
    mixed = opened(confusion=[[6, 5], [140, 60]])
    told = reasons(confirmed(per_class=classes(0.136)), mixed)
    assert (
        "another mix of classes: with that mix, the same validation results would give 16.02 %"
        in told
    )
    assert "mix of classes" not in reasons(confirmed(per_class=classes(0.36)), mixed)
    assert "mix of classes" not in reasons(confirmed(per_class=classes(0.136)), opened())


def test_what_flatters_the_confirmed_figure_is_named_where_it_applies() -> None:
    assert "flatters" not in reasons(confirmed(), opened())
    assert "the same validation images that confirm" in reasons(
        confirmed(new_splits=False), opened()
    )
    best = {**FIXED, "objective": {**FIXED["objective"], "at": "best"}}
    assert "with its best epoch" in reasons(confirmed(), opened(), best)


def test_groups_that_nobody_named_or_stored_are_a_reason() -> None:
    plain = {**FIXED, "data": {"source": {"image_folder": {"path": "x", "test_fraction": 0.2}}}}
    alone = opened(groups=None)
    assert "The study has no groups" in reasons(confirmed(groups=None), alone, plain)
    assert "The study has no groups" not in reasons(confirmed(), opened())
    assert "stored before hpsearch recorded" in reasons(
        confirmed(groups=None, lacks_groups=True), opened()
    )
    assert "stored before hpsearch recorded" in reasons(confirmed(), alone)


def test_test_images_of_their_own_may_be_of_another_kind() -> None:
    own = {**FIXED, "data": {"source": {"image_folder": {"path": "x", "group": "a"}}}}
    assert "harder or of another kind" in reasons(confirmed(), opened(), own)
    assert "of another kind" not in reasons(confirmed(), opened())
