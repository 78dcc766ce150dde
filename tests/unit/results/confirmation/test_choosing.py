"""What a share of the search's epochs does to the finalists and their seeds."""

from __future__ import annotations

from functools import partial

import pytest
from support.specs import made_up_spec

from hpsearch.results.confirmation.choosing import most_trainings, within_share
from hpsearch.results.confirmation.finalists import Candidate, Finalists, finalists
from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    TrainingResult,
    expected_length,
    progress,
)
from hpsearch.study_file.study import Confirm

#: Far apart for ten thousand images: nobody is tied.
CANDIDATES = [
    Candidate(trial=number, value=0.9 - 0.05 * number, params={"lr": number}) for number in range(8)
]


def best(top: int, with_rival: bool, rival: int | None = None) -> Finalists:
    return finalists(
        CANDIDATES,
        metric="val_accuracy",
        images=10_000,
        top=top,
        rival=rival if with_rival else None,
    )


@pytest.mark.parametrize(
    ("share", "top", "seeds"),
    [
        # 10 epochs each: 6 finalists and 5 seeds may take 40 trainings
        (4.0, 6, 5),
        (3.99, 5, 5),
        (2.0, 2, 5),
        (1.99, 2, 4),
        (1.2, 2, 3),
        (1.19, 1, 5),
        (0.4, 1, 2),
    ],
)
def test_less_is_asked_for_until_it_fits(share: float, top: int, seeds: int) -> None:
    settings = Confirm(top=6, seeds=5, share=share)
    choice = within_share(best, settings, share, search_epochs=100, epochs_per_trial=10)
    assert (len(choice.finalists.trials), choice.seeds) == (top, seeds)
    assert most_trainings(top, seeds, baseline=False) * 10 <= share * 100
    assert ("so top 6 became" in choice.rule) == (share < 4)
    assert "no confirmation is smaller" not in choice.rule


@pytest.mark.parametrize(
    ("share", "trials", "seeds"),
    [
        (3.0, (0, 1, 5), 5),
        (2.0, (0, 1, 5), 4),
        # Two can be trained: the best, and what the study's question compares it with
        (1.4, (0, 5), 3),
        (1.2, (0, 5), 3),
        (1.19, (0,), 5),
    ],
)
def test_the_questions_rival_comes_before_others(
    share: float, trials: tuple[int, ...], seeds: int
) -> None:
    choice = within_share(
        partial(best, rival=5), Confirm(top=2, seeds=5, share=share), share,
        search_epochs=100, epochs_per_trial=10,
    )  # fmt: skip
    assert (choice.finalists.trials, choice.seeds) == (trials, seeds)


def test_where_nothing_is_small_enough_the_smallest_is_taken_and_told() -> None:
    settings = Confirm(top=6, seeds=5, share=0.1)
    choice = within_share(best, settings, 0.1, search_epochs=100, epochs_per_trial=10)
    assert (len(choice.finalists.trials), choice.seeds) == (1, 2)
    assert "no confirmation is smaller: it may take 40" in choice.rule


def test_a_bound_that_nobody_asked_for_says_how_to_ask_for_more() -> None:
    choice = within_share(best, Confirm(), 1.0, search_epochs=100, epochs_per_trial=10)
    assert choice.rule.endswith(
        "it may cost as many epochs as the search ran, 100, so top 6 became 1 and seeds 5 became 5 "
        "(--top and --seeds ask for more)"
    )


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("apart", [False, True])
def test_no_plan_is_longer_than_was_told(count: int, seeds: int, apart: bool) -> None:
    trials = tuple(range(count))
    contest = made_up_spec(trials, baseline=99 if apart else None, seeds=seeds, maximize=True)
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    while not (now := progress(contest, outcomes)).finished:
        for entry in now.planned:
            # Everybody's seeds differ by as much as trials do: nobody is rejected
            value = 0.5 + 0.01 * ((entry.trial + entry.seed) % 2)
            outcomes[entry] = TrainingResult(value=value)
    assert len(now.planned) <= most_trainings(count, seeds, baseline=apart)


@pytest.mark.parametrize("baseline", [None, 99])
def test_what_is_left_is_known_before_the_last_round_is_planned(baseline: int | None) -> None:
    """The plan grows round by round; the time left is told of all of them."""
    contest = made_up_spec((0, 1, 2), baseline=baseline, seeds=5, maximize=True)
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    lengths = []
    while not (now := progress(contest, outcomes)).finished:
        lengths.append((len(now.planned), expected_length(contest, outcomes)))
        for entry in now.planned:
            outcomes[entry] = TrainingResult(value=0.5 + 0.01 * ((entry.trial + entry.seed) % 2))
    planned, expected = zip(*lengths, strict=True)
    assert planned[0] == 6
    # Each chooses among three by five seeds; winner, runner-up and baseline have five more
    assert set(expected) == {15 + 10 + (0 if baseline is None else 5)}
    assert len(now.planned) == expected[-1] == expected_length(contest, outcomes)
