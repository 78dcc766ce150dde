from __future__ import annotations

from dataclasses import replace

import pytest

from hpsearch.reporting.analysis.comparison import Line, compare_lines
from hpsearch.results.confirmation.statistics import Interval

DENSE = Line(
    study="dense", metric="val_accuracy", maximize=True, trials=20, complete=9, pruned=11,
    number=3, params={}, best_seen=0.60, epochs=100, hours=1.0, confirmation_epochs=50,
    confirmed=Interval(estimate=0.55, low=0.53, high=0.57),
)  # fmt: skip
CONV = replace(
    DENSE, study="conv", best_seen=0.62, confirmed=Interval(estimate=0.61, low=0.60, high=0.62)
)


def test_the_confirmed_winner_leads_and_says_by_how_much() -> None:
    comparison = compare_lines([DENSE, CONV])
    assert comparison.leader == "conv"
    (rival,) = comparison.rivals
    assert rival.study == "dense"
    assert rival.behind.estimate == pytest.approx(0.06)
    assert rival.behind.low == pytest.approx(0.06 - (0.01**2 + 0.02**2) ** 0.5)
    assert rival.distinguishable is True


def test_overlapping_winners_cant_be_told_apart() -> None:
    near = replace(DENSE, confirmed=Interval(estimate=0.60, low=0.58, high=0.62))
    assert compare_lines([near, CONV]).rivals[0].distinguishable is False


def test_a_lower_loss_leads() -> None:
    loss = {"metric": "val_loss", "maximize": False}
    one = replace(DENSE, **loss, confirmed=Interval(estimate=0.5, low=0.45, high=0.60))
    two = replace(CONV, **loss, confirmed=Interval(estimate=0.4, low=0.38, high=0.43))
    comparison = compare_lines([one, two])
    assert comparison.leader == "conv"
    behind = comparison.rivals[0].behind
    assert behind.low == pytest.approx(0.1 - (0.03**2 + 0.05**2) ** 0.5)
    assert behind.high == pytest.approx(0.1 + (0.02**2 + 0.10**2) ** 0.5)


def test_what_wasnt_confirmed_neither_leads_nor_is_told_apart() -> None:
    lucky = replace(DENSE, best_seen=0.9, confirmed=None)
    comparison = compare_lines([lucky, CONV])
    assert (comparison.leader, comparison.rivals) == (None, ())
    assert "optimistic" in comparison.note
    third = replace(CONV, study="third")
    note = compare_lines([lucky, CONV, third]).note
    assert note.endswith("not confirmed, so not compared: dense")


def test_studies_of_different_figures_have_no_leader() -> None:
    comparison = compare_lines([DENSE, replace(CONV, metric="val_loss", maximize=False)])
    assert (comparison.leader, comparison.rivals) == (None, ())
    assert "val_accuracy, val_loss" in comparison.note


def test_studies_without_a_winner_have_no_leader() -> None:
    empty = replace(DENSE, number=None, best_seen=None, confirmed=None)
    assert compare_lines([empty]).leader is None
    assert compare_lines([]).lines == ()
