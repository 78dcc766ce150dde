"""The winner in one sentence, which every output shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.specs import made_up_result

from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.winner import (
    basis_of,
    best_seen,
    confirmed_winner,
    newer_trials_warning,
    repetition_warning,
    unconfirmed_sentence,
    winner_of,
)


@pytest.fixture
def record(searched: Any) -> StudyRecord:
    return read_study(searched.database, "made_up")


def verdict(**changes: Any) -> ConfirmationResult:
    interval = Interval(estimate=0.9875, low=0.98092, high=0.9917)
    return made_up_result(interval, **changes)


def test_a_confirmed_winner(record: StudyRecord) -> None:
    winner = winner_of(record, verdict())
    assert winner is not None and winner.is_confirmed
    assert winner.sentence == (
        "The winner is line (trial 4): val_accuracy 98.75 % (95 %: 98.09 to 99.17 %), confirmed "
        "with 2 fresh seeds."
    )
    assert (winner.trial, winner.value, winner.interval) == (4, 0.9875, (0.98092, 0.9917))


def test_a_loss_has_no_percent(record: StudyRecord) -> None:
    loss = Interval(estimate=0.213456, low=0.2, high=0.22)
    winner = confirmed_winner(record, verdict(metric="val_loss", over_seeds_and_images=loss))
    assert winner is not None
    assert "val_loss 0.2135 (95 %: 0.2 to 0.22), confirmed" in winner.sentence


@pytest.mark.parametrize(
    "changes", [{"finished": False}, {"winner": None}, {"invalid": {4: "wrong labels"}}]
)
def test_without_a_valid_winner_it_is_the_best_seen(
    record: StudyRecord, changes: dict[str, Any]
) -> None:
    assert confirmed_winner(record, verdict(**changes)) is None
    winner = winner_of(record, verdict(**changes))
    assert winner == best_seen(record) == winner_of(record, None)
    assert winner is not None and not winner.is_confirmed
    assert winner.sentence == (
        "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (one seed, the best "
        "of 3 complete trials: optimistic)."
    )


def test_without_a_complete_trial_there_is_none(made_up: Any) -> None:
    made_up.trial(0.1, 0.2)
    assert winner_of(read_study(made_up.database, "made_up"), None) is None


def test_other_trials_are_the_best_of_nothing(record: StudyRecord) -> None:
    assert unconfirmed_sentence(record, record.trial(4)) == (
        "Trial 4 is number 2 of 3 complete trials: val_accuracy 80.00 %, not confirmed (one seed)."
    )
    assert unconfirmed_sentence(record, record.trial(3)).startswith("This trial is pruned, so")
    alone = replace(record, trials=[record.trial(2)])
    assert unconfirmed_sentence(alone, record.trial(2)).endswith(
        "(one seed, the only complete trial)."
    )
    several = replace(record.goals, objectives=("val_accuracy", "parameters"))
    trials = [
        replace(each, metrics={"val_accuracy": each.value or 0.0, "parameters": 9.0})
        for each in record.trials
    ]
    front = replace(record, goals=several, trials=trials)
    assert unconfirmed_sentence(front, front.trial(2)) == (
        "Trial 2 was chosen from 3 complete trials by several objectives: val_accuracy 80.00 %, "
        "not confirmed (one seed: optimistic)."
    )


def test_what_the_value_is_based_on() -> None:
    text = basis_of(verdict(groups=12, next_training=Interval(estimate=0.98, low=0.97, high=1.0)))
    assert "the interval is over seeds and groups of validation images." in text
    assert "so together they are 100 validation images in 12 groups." in text
    assert text.endswith("The 95 % interval of one more training is 97.00 to 100.00 %.")
    assert (repetition_warning(1), newer_trials_warning(0)) == ("", "")
    assert "confirmation 3" in basis_of(
        verdict(), 3
    ) and "1 newer trial not" in newer_trials_warning(1)
