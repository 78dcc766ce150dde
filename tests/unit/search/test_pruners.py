"""The pruning rules are pure functions: tables of who reported what, and who ends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from hpsearch.search.pruning.pruners import (
    PRUNERS,
    EpochScore,
    bracket_count,
    bracket_of,
    is_rung,
    stays,
)


class Board:
    """The other trials' scores: ticket -> score per epoch; tickets in ``completed`` ran whole."""

    def __init__(self, curves: Mapping[int, Sequence[float]], completed: Sequence[int] = ()):
        self.curves = curves
        self.completed = completed

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> dict[int, float]:
        return {
            ticket: curve[epoch - 1]
            for ticket, curve in self.curves.items()
            if len(curve) >= epoch and (ticket in self.completed or not completed_only)
        }


def report(epoch: int, score: float, *, best: float | None = None, ticket: int = 99, epochs=27):
    best = score if best is None else best
    return EpochScore(ticket=ticket, epoch=epoch, epochs=epochs, score=score, best_score=best)


def build(name: str, **settings):
    return PRUNERS[name].build(**settings)


def test_registered_names():
    assert PRUNERS.names() == ["asha", "hyperband", "median", "none", "percentile"]


def test_none_never_prunes():
    board = Board({1: [1.0], 2: [1.0]}, completed=[1, 2])
    assert not build("none")(report(1, -math.inf), board)


@pytest.mark.parametrize(
    ("min_epochs", "factor", "rungs"),
    [
        pytest.param(1, 3, [1, 3, 9, 27], id="from the first epoch"),
        pytest.param(2, 3, [2, 6, 18], id="a later first rung"),
        pytest.param(5, 2, [5, 10, 20], id="halving"),
        pytest.param(1, 2, [1, 2, 4, 8, 16], id="powers of two"),
        pytest.param(40, 3, [], id="first rung beyond the last epoch"),
    ],
)
def test_rungs_are_one_based(min_epochs, factor, rungs):
    assert [epoch for epoch in range(1, 28) if is_rung(epoch, min_epochs, factor)] == rungs


@pytest.mark.parametrize(
    ("others", "score", "expected"),
    [
        # factor 3: the top third of those who reached the rung stays
        pytest.param([], 0.1, True, id="alone"),
        pytest.param([0.9], 0.1, True, id="second of two: fewer than the factor all stay"),
        pytest.param([0.9, 0.8], 0.7, False, id="third of three"),
        pytest.param([0.9, 0.8], 0.85, False, id="second of three: only one stays"),
        pytest.param([0.9, 0.8], 0.95, True, id="first of three"),
        pytest.param([0.9, 0.8], 0.9, True, id="a tie with the best stays"),
        pytest.param([0.9] * 5, 0.9, True, id="everybody equal: everybody stays"),
        pytest.param([0.9, 0.8, 0.7, 0.6, 0.5], 0.8, True, id="tied for second of six"),
        pytest.param([0.9, 0.8, 0.7, 0.6, 0.5], 0.79, False, id="third of six: two stay"),
        pytest.param([0.9, 0.8, 0.7, 0.6], 0.85, False, id="second of five: 5 // 3 is 1"),
    ],
)
def test_asha_keeps_the_top_third(others, score, expected):
    assert stays(score, others, 3) is expected
    board = Board({ticket: [value] for ticket, value in enumerate(others)})
    assert build("asha", stop=True)(report(1, score), board) is not expected


def test_asha_asks_only_at_rungs():
    board = Board({1: [0.9] * 27, 2: [0.8] * 27})
    rule = build("asha", min_epochs=2, stop=True)
    pruned_at = [epoch for epoch in range(1, 27) if rule(report(epoch, 0.1), board)]
    assert pruned_at == [2, 6, 18]


def test_asha_compares_only_trials_that_reached_the_rung():
    # Two of the others ended at epoch 1: at epoch 3 nobody is there to compare with.
    board = Board({1: [0.9], 2: [0.8], 3: [0.7, 0.7, 0.7]})
    assert not build("asha", stop=True)(report(3, 0.1), board)


def test_asha_compares_the_score_at_the_rung_not_the_best():
    board = Board({1: [0.5], 2: [0.6]})
    assert build("asha", stop=True)(report(1, 0.4, best=0.9), board)


@given(
    others=st.lists(st.integers(0, 20), max_size=40),
    score=st.integers(0, 20),
    factor=st.integers(2, 5),
)
def test_asha_against_sorting(others, score, factor):
    """The same rule said differently: my rank among all, ties in my favour, is small enough."""
    ranking = sorted([*others, score], reverse=True)
    rank = ranking.index(score)
    small = len(ranking) < factor
    assert stays(score, others, factor) == (small or rank < len(ranking) // factor)


def completed_board(values: Sequence[float], epoch: int = 1) -> Board:
    curves = {ticket: [value] * epoch for ticket, value in enumerate(values)}
    return Board(curves, completed=list(curves))


@pytest.mark.parametrize(
    ("name", "settings", "values", "score", "pruned"),
    [
        pytest.param("median", {}, [1, 2, 3, 4], 0, False, id="4 completed, 5 needed"),
        pytest.param("median", {}, [1, 2, 3, 4, 5], 2.9, True, id="below the median"),
        pytest.param("median", {}, [1, 2, 3, 4, 5], 3, False, id="at the median"),
        pytest.param("median", {"startup_trials": 1}, [2], 1, True, id="one is enough"),
        pytest.param("percentile", {}, [1, 2, 3, 4, 5], 3.9, True, id="below the top quarter"),
        pytest.param("percentile", {}, [1, 2, 3, 4, 5], 4, False, id="at the top quarter's edge"),
        pytest.param(
            "percentile", {"keep": 75.0}, [1, 2, 3, 4, 5], 1.9, True, id="in the worst quarter"
        ),
    ],
)
def test_percentiles(name, settings, values, score, pruned):
    assert build(name, **settings)(report(1, score), completed_board(values)) is pruned


def test_percentiles_ignore_running_and_pruned_trials():
    board = Board({ticket: [0.9] for ticket in range(9)}, completed=[0, 1, 2, 3])
    assert not build("median")(report(1, 0.0), board)


def test_percentiles_compare_the_best_so_far():
    board = completed_board([0.5] * 5, epoch=2)
    assert not build("median")(report(2, 0.1, best=0.6), board)
    assert build("median")(report(2, 0.1, best=0.4), board)


@pytest.mark.parametrize(
    ("warmup", "interval", "epochs"),
    [
        pytest.param(0, 1, [1, 2, 3, 4, 5, 6, 7, 8], id="every epoch"),
        pytest.param(2, 1, [3, 4, 5, 6, 7, 8], id="not in the first two"),
        pytest.param(0, 3, [1, 4, 7], id="every third"),
        pytest.param(2, 3, [3, 6], id="every third after two"),
    ],
)
def test_percentile_warmup_and_interval(warmup, interval, epochs):
    rule = build("median", warmup_epochs=warmup, interval_epochs=interval)
    board = completed_board([0.5] * 5, epoch=8)
    assert [epoch for epoch in range(1, 9) if rule(report(epoch, 0.0), board)] == epochs


@given(
    values=st.lists(st.floats(-1, 1), min_size=1, max_size=12),
    score=st.floats(-1, 1),
    keep=st.floats(1, 99),
)
def test_percentile_is_numpys(values, score, keep):
    rule = build("percentile", keep=keep, startup_trials=1)
    expected = score < np.percentile(values, 100 - keep)
    assert rule(report(1, score), completed_board(values)) == expected


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("keep", [10.0, 25.0, 50.0, 80.0])
def test_percentile_decides_as_optunas(direction, keep):
    """Optuna's PercentilePruner over the same completed trials, best-so-far and direction."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(3)
    epochs = 4
    curves = {ticket: rng.random(epochs).tolist() for ticket in range(1, 12)}
    study = optuna.create_study(
        direction=direction,
        pruner=optuna.pruners.PercentilePruner(keep, n_startup_trials=5),
    )
    for curve in curves.values():
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=curve[-1],
                intermediate_values=dict(enumerate(curve, start=1)),
            )
        )
    sign = 1.0 if direction == "maximize" else -1.0
    board = Board(
        {ticket: [sign * value for value in curve] for ticket, curve in curves.items()},
        completed=list(curves),
    )
    rule = build("percentile", keep=keep)
    decisions = []
    for _ in range(30):
        trial = study.ask()
        scores: list[float] = []
        for epoch in range(1, epochs + 1):
            value = float(rng.random())
            scores.append(sign * value)
            trial.report(value, epoch)
            ours = rule(report(epoch, scores[-1], best=max(scores)), board)
            assert ours == trial.should_prune()
            decisions.append(ours)
        study.tell(trial, state=TrialState.PRUNED)
    assert set(decisions) == {True, False}


@pytest.mark.parametrize(
    ("epochs", "min_epochs", "factor", "brackets"),
    [
        pytest.param(81, 1, 3, 4, id="first rungs 1, 3, 9, 27"),
        pytest.param(82, 1, 3, 5, id="and 81 just before the last epoch"),
        pytest.param(9, 1, 3, 2, id="first rungs 1, 3"),
        pytest.param(1, 1, 3, 1, id="one epoch still has a bracket"),
        pytest.param(16, 4, 2, 2, id="first rungs 4, 8"),
    ],
)
def test_bracket_count(epochs, min_epochs, factor, brackets):
    assert bracket_count(epochs, min_epochs, factor) == brackets


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("brackets", [1, 2, 3, 4, 5, 6])
def test_bracket_shares_are_hyperbands(brackets, factor):
    """Any 2,000 consecutive tickets split as Hyperband's table says (exact integers)."""
    weights = [
        -(-brackets * factor**halvings // (halvings + 1))
        for halvings in range(brackets - 1, -1, -1)
    ]
    for start in (1, 5_001):
        counted = Counter(
            bracket_of(ticket, brackets, factor) for ticket in range(start, start + 2_000)
        )
        assert set(counted) <= set(range(brackets))
        for bracket, weight in enumerate(weights):
            assert counted[bracket] / 2_000 == pytest.approx(weight / sum(weights), abs=0.004)


@given(ticket=st.integers(1, 10**7), brackets=st.integers(1, 7), factor=st.integers(2, 5))
def test_every_ticket_has_a_bracket(ticket, brackets, factor):
    assert 0 <= bracket_of(ticket, brackets, factor) < brackets


def test_hyperband_compares_within_a_bracket_only():
    epochs = 9  # brackets 0 (first rung 1) and 1 (first rung 3)
    by_bracket: dict[int, list[int]] = {0: [], 1: []}
    for ticket in range(1, 40):
        by_bracket[bracket_of(ticket, 2, 3)].append(ticket)
    eager, patient = by_bracket[0][-1], by_bracket[1][-1]
    rule = build("hyperband")

    good = {ticket: [0.9] * epochs for ticket in by_bracket[0][:6]}
    assert rule(report(1, 0.1, ticket=eager, epochs=epochs), Board(good))
    assert not rule(report(1, 0.1, ticket=patient, epochs=epochs), Board(good)), "rung 1 isn't its"
    assert not rule(report(3, 0.1, ticket=patient, epochs=epochs), Board(good)), "others' bracket"

    same = {ticket: [0.9] * epochs for ticket in by_bracket[1][:6]}
    assert rule(report(3, 0.1, ticket=patient, epochs=epochs), Board(same))
    assert not rule(report(3, 0.1, ticket=eager, epochs=epochs), Board(same))
