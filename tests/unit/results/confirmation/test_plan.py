"""The plan of a confirmation: who is trained next, who leaves and why, and that it only grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.specs import made_up_spec

from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    TrainingResult,
    entries,
    progress,
    seed_noise,
)
from hpsearch.results.confirmation.spec import ConfirmationSpec

FOUR = made_up_spec((4, 1, 7, 9), seeds=4, maximize=True)


def as_pairs(planned: list[PlannedTraining]) -> list[tuple[int, int]]:
    return [(entry.trial, entry.seed) for entry in planned]


def play(
    contest: ConfirmationSpec, value: Callable[[PlannedTraining], float | None]
) -> tuple[dict[PlannedTraining, TrainingResult], list[list[PlannedTraining]]]:
    """Train whatever the plan asks for; returns the outcomes and the plans on the way."""
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    plans = []
    while True:
        plans.append(entries(contest, outcomes))
        todo = [entry for entry in plans[-1] if entry not in outcomes]
        if not todo:
            return outcomes, plans
        outcomes |= {entry: TrainingResult(value=value(entry)) for entry in todo}


def by_table(table: Mapping[int, list[float | None]]) -> Callable[[PlannedTraining], float | None]:
    return lambda entry: table[entry.trial][entry.seed - 1]


def test_every_finalist_gets_two_seeds_whatever_the_first_one_says() -> None:
    first = [(trial, seed) for seed in (1, 2) for trial in (4, 1, 7, 9)]
    assert as_pairs(entries(FOUR, {})) == first
    some = {
        PlannedTraining(trial=4, seed=1): TrainingResult(value=0.9),
        PlannedTraining(trial=9, seed=1): TrainingResult(value=None),
    }
    assert as_pairs(entries(FOUR, some)) == first


def test_the_hopeless_leave_and_the_tied_get_every_seed() -> None:
    # Trials 4 and 1 change places; 7 is a little behind and 9 far behind, always
    table: dict[int, list[float | None]] = {
        4: [0.930, 0.934, 0.931, 0.935, 0.93, 0.93, 0.93, 0.93],
        1: [0.933, 0.930, 0.934, 0.930, 0.92, 0.92, 0.92, 0.92],
        7: [0.9305, 0.931, 0.931, 0.931, 0, 0, 0, 0],
        9: [0.850, 0.851, 0, 0, 0, 0, 0, 0],
    }
    outcomes, plans = play(FOUR, by_table(table))
    found = progress(FOUR, outcomes)
    assert as_pairs(plans[1][8:]) == [(4, 3), (1, 3), (7, 3)]
    assert as_pairs(plans[2][11:]) == [(4, 4), (1, 4), (7, 4)]
    # The runner-up couldn't be told from the winner: it is trained with the report's seeds too
    assert as_pairs(plans[3][14:]) == [(t, s) for s in (5, 6, 7, 8) for t in (4, 1)]
    assert (found.winner, found.runner_up, found.finished) == (4, 1, True)
    assert [each.trial for each in found.standings] == [4, 1, 7, 9]
    last = found.standings[-1]
    assert (last.seeds, last.rejected_after, last.failed) == (2, 2, False)
    assert last.reason is not None
    assert last.reason.startswith("over seeds 1 to 2 it is 8.15 points behind trial 4; ")


def test_a_lone_survivor_needs_no_more_selection() -> None:
    table: dict[int, list[float | None]] = {
        4: [0.930, 0.9301, *[0.92] * 6],
        1: [0.880, 0.8802, *[0.0] * 6],
        7: [0.870, 0.8701, *[0.0] * 6],
        9: [0.850, 0.8503, *[0.0] * 6],
    }
    outcomes, _ = play(FOUR, by_table(table))
    assert as_pairs(list(outcomes))[8:] == [(4, 5), (4, 6), (4, 7), (4, 8)]
    assert progress(FOUR, outcomes).runner_up == 1


def test_less_is_better_where_a_loss_is_confirmed() -> None:
    contest = made_up_spec((1, 2), seeds=2, maximize=False)
    outcomes, _ = play(contest, by_table({1: [0.4, 0.5, 0.4, 0.4], 2: [0.3, 0.4, 0.4, 0.4]}))
    assert progress(contest, outcomes).winner == 2


def test_of_equals_the_one_that_the_search_ranked_first_wins() -> None:
    outcomes, _ = play(FOUR, lambda entry: 0.9)
    assert [each.trial for each in progress(FOUR, outcomes).standings] == [4, 1, 7, 9]
    assert not [
        each for each in progress(FOUR, outcomes).standings if each.rejected_after is not None
    ]


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_finalist_whose_training_fails_is_out(bad: float | None) -> None:
    def value(entry: PlannedTraining) -> float | None:
        return bad if (entry.trial, entry.seed) == (4, 2) else 0.9 - entry.trial / 1000

    outcomes, plans = play(FOUR, value)
    assert (4, 3) not in as_pairs(plans[-1])
    lost = progress(FOUR, outcomes).standings[-1]
    assert (lost.trial, lost.rejected_after, lost.failed) == (4, 2, True)
    assert lost.reason == "its training failed with seed 2"


def test_a_winner_that_fails_on_a_report_seed_makes_room_for_the_next() -> None:
    table: dict[int, list[float | None]] = {
        1: [0.9, 0.92, 0.91, None],
        2: [0.8, 0.81, 0.8, 0.8],
        3: [0.7, 0.72, 0.7, 0.7],
    }
    contest = made_up_spec((1, 2, 3), seeds=2, maximize=True)
    outcomes, _ = play(contest, by_table(table))
    found = progress(contest, outcomes)
    assert (found.winner, found.runner_up) == (2, 3)
    assert [each.trial for each in found.standings if each.failed] == [1]


def test_where_everything_fails_nothing_wins_and_the_plan_ends() -> None:
    outcomes, plans = play(FOUR, lambda entry: None)
    found = progress(FOUR, outcomes)
    assert (found.winner, found.finished, len(plans[-1])) == (None, True, 8)


def test_a_baseline_that_is_no_finalist_is_trained_with_the_reports_seeds_alone() -> None:
    contest = made_up_spec((5, 6), baseline=0, seeds=2, maximize=True)
    outcomes, _ = play(contest, lambda entry: 0.9 - entry.trial / 100)
    assert [pair for pair in as_pairs(list(outcomes)) if pair[0] == 0] == [(0, 3), (0, 4)]
    assert progress(contest, outcomes).winner == 5, "it doesn't compete"


@pytest.mark.parametrize("trials", [(), (1, 1)])
def test_a_contest_needs_finalists_each_once(trials: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        made_up_spec(trials, seeds=2, maximize=True)


def test_a_contest_of_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds"):
        made_up_spec((1,), seeds=1, maximize=True)


def test_noise_between_seeds_is_pooled_and_what_all_share_taken_out() -> None:
    # Seed 2 is 0.1 better for everybody; what is left is +-0.01 in each of the four cells
    scores = {1: {1: 0.51, 2: 0.59}, 2: {1: 0.69, 2: 0.81}}
    deviation, freedom = seed_noise(scores)
    assert (deviation, freedom) == (pytest.approx(0.02), 1)
    assert seed_noise({1: {1: 0.5, 2: 0.7}}) == (0.0, 0), "one finalist shows only its seeds"
    assert seed_noise({}) == (0.0, 0)


@st.composite
def _contests(draw: st.DrawFn) -> tuple[ConfirmationSpec, dict[PlannedTraining, float | None]]:
    count, seeds = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    baseline = draw(st.sampled_from([None, 0, count]))
    contest = made_up_spec(
        tuple(range(1, count + 1)),
        baseline=baseline,
        seeds=seeds,
        maximize=draw(st.booleans()),
    )
    value = st.one_of(st.none(), *[st.floats(low, low + 0.02) for low in (0.5, 0.9)])
    cells = [
        PlannedTraining(trial=t, seed=s) for t in range(count + 1) for s in range(1, 2 * seeds + 1)
    ]
    return contest, {cell: draw(value) for cell in cells}


@settings(max_examples=60, deadline=None)
@given(_contests(), st.randoms(use_true_random=False))
def test_the_plan_only_grows_in_whatever_order_trainings_end(
    case: tuple[ConfirmationSpec, dict[PlannedTraining, float | None]],
    chance: np.random.RandomState,
) -> None:
    contest, values = case
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    known = entries(contest, outcomes)
    while todo := [entry for entry in known if entry not in outcomes]:
        entry = chance.choice(todo)
        outcomes[entry] = TrainingResult(value=values[entry])
        longer = entries(contest, outcomes)
        assert longer[: len(known)] == known
        known = longer
    found = progress(contest, outcomes)
    assert found.finished
    assert max(Counter(known).values()) == 1, "no training is planned twice"
    if found.winner is None:
        assert all(each.failed for each in found.standings)
    else:
        report = [PlannedTraining(trial=found.winner, seed=seed) for seed in contest.report_seeds]
        assert all(values[entry] is not None for entry in report)
    assert sorted(each.trial for each in found.standings) == sorted(contest.trials)
