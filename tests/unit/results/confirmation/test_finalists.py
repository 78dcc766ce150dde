"""Who is trained again: the best few, those chance may have put behind, and nobody twice."""

from __future__ import annotations

import pytest

from hpsearch.errors import UserError
from hpsearch.results.confirmation.finalists import Candidate, finalists, standard_error


def ranked(*values: float) -> list[Candidate]:
    return [
        Candidate(trial=10 + place, value=value, params={"lr": place})
        for place, value in enumerate(values)
    ]


def test_the_best_few_and_those_within_one_standard_error_of_the_last_of_them() -> None:
    # One standard error of 0.9 over 900 images is 0.01
    found = finalists(
        ranked(0.95, 0.93, 0.90, 0.8951, 0.8901, 0.8899, 0.5),
        metric="val_accuracy",
        images=900,
        top=3,
    )
    assert found.trials == (10, 11, 12, 13, 14)
    assert found.noise == pytest.approx(0.01)
    assert found.rule == (
        "the best 3 of 7 complete trials, and 2 within 1.00 points of the last of them: one "
        "standard error of val_accuracy over 900 images"
    )


def test_at_most_twice_as_many_as_asked_for() -> None:
    found = finalists(ranked(*[0.9] * 30), metric="val_accuracy", images=100, top=2)
    assert found.trials == (10, 11, 12, 13)


def test_exactly_as_many_as_asked_for() -> None:
    found = finalists(ranked(*[0.9] * 30), metric="val_accuracy", images=100, top=3, exactly=True)
    assert found.trials == (10, 11, 12)
    assert found.rule == "the best 3 of 30 complete trials"


def test_where_nothing_is_tied_only_the_best_few() -> None:
    found = finalists(ranked(0.9, 0.8, 0.5), metric="val_accuracy", images=1000, top=2)
    assert (found.trials, found.rule) == ((10, 11), "the best 2 of 3 complete trials")


def test_fewer_complete_trials_than_asked_for_all_take_part() -> None:
    assert finalists(ranked(0.9, 0.5), metric="val_accuracy", images=9).trials == (10, 11)


def test_what_the_study_asks_about_has_its_best_trial_among_them() -> None:
    values = ranked(0.95, 0.94, 0.80, 0.70)
    found = finalists(values, metric="val_accuracy", images=9000, top=2, rival=13)
    assert found.trials == (10, 11, 13)
    assert found.rule == (
        "the best 2 of 4 complete trials, and trial 13: the best that differs from the first in "
        "what the study asks about"
    )
    found = finalists(values, metric="val_accuracy", images=9000, top=2, rival=11)
    assert (found.trials, found.rule) == ((10, 11), "the best 2 of 4 complete trials")


def test_losses_are_tied_upwards() -> None:
    found = finalists(ranked(0.20, 0.21, 0.2209, 0.24), metric="val_loss", images=400, top=2)
    assert found.trials == (10, 11), "0.0105 is one standard error of 0.21"
    found = finalists(ranked(0.20, 0.21, 0.2204, 0.24), metric="val_loss", images=400, top=2)
    assert found.trials == (10, 11, 12)


def test_equal_parameters_are_one_finalist_and_a_baseline_like_one_needs_no_training_apart() -> (
    None
):
    same = {"lr": 0.1}
    candidates = [
        Candidate(trial=5, value=0.9, params=same),
        Candidate(trial=0, value=0.89, params=same),
        Candidate(trial=3, value=0.88, params={"lr": 0.2}),
    ]
    found = finalists(candidates, metric="val_accuracy", images=100, baseline=0)
    assert (found.trials, found.baseline) == ((5, 3), 5)


def test_a_baseline_far_behind_is_still_the_baseline() -> None:
    candidates = ranked(0.9, 0.8, 0.3)
    found = finalists(candidates, metric="val_accuracy", images=1000, top=1, baseline=12)
    assert (found.trials, found.baseline) == ((10,), 12)


def test_one_standard_error_of_a_share_is_the_binomial_one() -> None:
    assert standard_error("val_accuracy", 0.5, 100) == pytest.approx(0.05)
    assert standard_error("val_accuracy", 1.0, 100) == 0.0


def test_nothing_to_choose_from_is_told() -> None:
    with pytest.raises(
        UserError, match="only a trial that is complete or paused at a rung can be confirmed"
    ):
        finalists([], metric="val_accuracy", images=10)
    with pytest.raises(UserError, match="at least one finalist must be trained again, but got 0"):
        finalists(ranked(0.9), metric="val_accuracy", images=10, top=0)
