from __future__ import annotations

import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.interactions import interaction, interactions
from hpsearch.reporting.analysis.outcomes import ImputedOutcomes, outcomes
from hpsearch.results.verdicts import Verdict


def helps_without_flip(params) -> float:
    return 0.8 + 0.04 * (params["dilation"] == 3) * (not params["flip"])


def additive(params) -> float:
    return 0.8 + 0.04 * (params["dilation"] == 3) + 0.04 * params["flip"]


def ends_of(end) -> ImputedOutcomes:
    found = outcomes(evidence(end, trials=120))
    assert isinstance(found, ImputedOutcomes)
    return found


def test_a_dependence_is_found_with_its_size() -> None:
    found, examined = interactions(ends_of(helps_without_flip), at_most=2)
    assert examined >= 6
    first = found[0]
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
    found, _ = interactions(ends_of(additive), at_most=3)
    assert Verdict.YES not in {each.verdict for each in found}


def test_a_pair_that_is_asked_for_is_told_whatever_comes_out() -> None:
    told = interaction(ends_of(additive), "dilation", "flip")
    assert told.verdict is Verdict.UNDECIDED
    assert told.sentence.startswith("dilation and flip: undecided, the lead of dilation ")
    assert len(told.cells) == 6


def test_a_pair_in_different_branches_says_why_nothing_can_be_told() -> None:
    told = interaction(ends_of(additive), "optimizer", "optimizer.sgd.momentum")
    assert told.reason == "too few trials have values of both to compare four cells"
    with pytest.raises(KeyError):
        interaction(ends_of(additive), "dilation", "nothing")


def test_effects_carry_the_pairs_that_were_asked_for() -> None:
    told = effects(evidence(helps_without_flip, trials=60), pairs=[("flip", "width")])
    assert [(each.a, each.b) for each in told.interactions] == [("flip", "width")]
    assert told.examined_pairs == 1
