from __future__ import annotations

import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.interactions import interactions
from hpsearch.reporting.analysis.outcomes import ImputedOutcomes, outcomes
from hpsearch.results.verdicts import Verdict


def helps_without_flip(params) -> float:
    return 0.8 + 0.04 * (params["dilation"] == 3) * (not params["flip"])


def additive(params) -> float:
    return 0.8 + 0.04 * (params["dilation"] == 3) + 0.04 * params["flip"]


def ends_of(end) -> ImputedOutcomes:
    ends = outcomes(evidence(end, trials=120))
    assert isinstance(ends, ImputedOutcomes)
    return ends


def test_a_dependence_is_found_with_its_size() -> None:
    (first, *_), examined = interactions(ends_of(helps_without_flip), at_most=2)
    assert examined >= 6
    assert ({first.a, first.b}, first.verdict) == ({"dilation", "flip"}, Verdict.YES)
    assert first.strongest is not None
    assert (first.strongest.level, first.strongest.other) in {("1", "3"), ("2", "3"), ("3", "1")}
    assert first.strongest.difference.low < 0.04 < first.strongest.difference.high
    # The lead of 1 over 3 is larger where 3 doesn't help
    assert first.strongest.where == "true"
    means = {(cell.a, cell.b): cell.mean for cell in first.cells}
    assert means[("3", "false")] - means[("1", "false")] == pytest.approx(0.04, abs=0.006)
    assert means[("3", "true")] - means[("1", "true")] == pytest.approx(0.0, abs=0.006)


def test_effects_that_add_up_are_no_dependence() -> None:
    pairs, _ = interactions(ends_of(additive), at_most=3)
    assert Verdict.YES not in {pair.verdict for pair in pairs}


def test_a_pair_of_the_caller_is_returned_whatever_the_result() -> None:
    [pair], examined = interactions(ends_of(additive), pairs=[("dilation", "flip")])
    assert (pair.verdict, examined) == (Verdict.UNDECIDED, 1)
    assert pair.sentence.startswith("dilation and flip: undecided, the lead of dilation ")
    assert len(pair.cells) == 6


def test_a_pair_in_different_branches_has_a_reason_and_no_estimate() -> None:
    ends = ends_of(additive)
    [pair], _ = interactions(ends, pairs=[("optimizer", "optimizer.sgd.momentum")])
    assert pair.reason == "too few trials have values of both to compare four cells"
    with pytest.raises(KeyError):
        interactions(ends, pairs=[("dilation", "nothing")])


def test_effects_contain_the_pairs_of_the_caller() -> None:
    study = effects(evidence(helps_without_flip, trials=60), pairs=[("flip", "width")])
    assert [(pair.a, pair.b) for pair in study.interactions] == [("flip", "width")]
    assert study.examined_pairs == 1
