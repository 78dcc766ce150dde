"""Promotion as a pure rule: where the rungs are, and from which one a trial goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.search.pruning.promotion import PAUSED_KEPT, Promotion, Rung, fronts, most_paused
from hpsearch.search.pruning.pruners import PRUNERS


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, ()),  # nothing to save
        (2, (1,)),
        (4, (1,)),  # a rung at 3 of 4 would save nothing
        (9, (1, 3)),
        (20, (1, 3, 9)),
        (27, (1, 3, 9)),
        (60, (1, 3, 9, 27)),
    ],
)
def test_rungs_lie_apart_and_not_near_the_end(epochs, rungs):
    assert Promotion().rungs(epochs) == rungs


def test_the_first_rung_is_min_epochs():
    assert Promotion(min_epochs=2, reduction_factor=2).rungs(16) == (2, 4, 8)


def rung(epoch: int, reached: int, promoted: int, waiting: int = 1) -> Rung:
    return Rung(epoch=epoch, reached=reached, promoted=promoted, waiting=waiting)


@pytest.mark.parametrize(
    ("rungs", "expected"),
    [
        ([rung(1, 2, 0)], None),  # a third of two is none
        ([rung(1, 3, 0)], 1),
        ([rung(1, 5, 1)], None),
        ([rung(1, 6, 1)], 1),
        ([rung(1, 9, 1), rung(3, 3, 0)], 3),  # the highest first
        ([rung(3, 3, 0), rung(1, 9, 1)], 3),  # in whatever order they come
        ([rung(1, 9, 1), rung(3, 3, 0, waiting=0)], 1),  # nobody waits there: they all run
        ([], None),
    ],
)
def test_the_highest_rung_that_owes_a_promotion(rungs, expected):
    choice = Promotion(startup_trials=1).next_rung(rungs)
    assert (choice and choice.epoch) == expected


@pytest.mark.parametrize(("reached", "promotes"), [(9, False), (10, True)])
def test_none_is_promoted_before_the_startup_trials_have_reached_the_first_rung(reached, promotes):
    choice = Promotion().next_rung([rung(1, reached, 0), rung(3, 0, 0, waiting=0)])
    assert (choice is not None) == promotes


@given(
    factor=st.integers(2, 5),
    reached=st.integers(0, 60),
    promoted=st.integers(0, 60),
    waiting=st.integers(0, 60),
)
def test_never_more_than_the_share_is_promoted(factor, reached, promoted, waiting):
    rule = Promotion(reduction_factor=factor, startup_trials=1)
    choice = rule.next_rung([rung(1, reached, promoted, waiting)])
    assert (choice is not None) == (waiting > 0 and (promoted + 1) * factor <= reached)


def test_asha_promotes_unless_it_is_told_to_stop_trials():
    assert PRUNERS["asha"].build(reduction_factor=4) == Promotion(reduction_factor=4)
    assert not isinstance(PRUNERS["asha"].build(stop=True), Promotion)


def test_checkpoints_of_paused_trials_are_bounded_by_the_workers():
    assert most_paused(0) == PAUSED_KEPT
    assert most_paused(4) == PAUSED_KEPT + 12


def brute_force(costs: list[tuple[float, ...]]) -> list[int]:
    """Take away those that none of the rest dominates, again and again."""
    front_of: dict[int, int] = {}
    while len(front_of) < len(costs):
        rest = [place for place in range(len(costs)) if place not in front_of]
        first = [
            place
            for place in rest
            if not any(
                all(a <= b for a, b in zip(costs[other], costs[place], strict=True))
                and costs[other] != costs[place]
                for other in rest
            )
        ]
        front_of |= dict.fromkeys(first, max(front_of.values(), default=-1) + 1)
    return [front_of[place] for place in range(len(costs))]


COST = st.integers(0, 5).map(float) | st.just(float("inf"))


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[COST] * n), max_size=25)))
@settings(deadline=None, derandomize=True)
def test_fronts_are_those_of_taking_the_undominated_away_again_and_again(costs):
    assert fronts(costs) == brute_force(costs)
