from __future__ import annotations

from dataclasses import replace

import pytest
from support.evidence import evidence

from hpsearch.reporting.analysis.importances import importances


@pytest.mark.parametrize("evaluator", ["ped_anova", "fanova"])
def test_what_the_value_depends_on_is_the_most_important(evaluator: str) -> None:
    data = evidence(lambda p: 0.7 + 0.1 * (p["dilation"] == 2), trials=80)
    shares = importances(data, evaluator=evaluator, resamples=4)
    shared = shares.groups[0]
    assert shared.branch == {}
    assert shared.importances[0].parameter == "dilation"
    assert shared.importances[0].share > 0.6
    assert sum(importance.share for importance in shared.importances) == pytest.approx(1.0)
    assert all(
        importance.low <= importance.share <= importance.high for importance in shared.importances
    )


def test_a_branch_is_a_group_of_its_own() -> None:
    shares = importances(evidence(lambda p: 0.8, trials=60), resamples=2)
    assert [group.branch for group in shares.groups] == [{}, {"optimizer": "sgd"}]
    assert shares.groups[1].reason == "shares need two parameters that vary, but there are 1"


def test_few_or_equal_trials_give_a_reason_in_place_of_an_exception() -> None:
    few = importances(evidence(lambda p: 0.8, trials=9))
    assert few.groups[0].reason == "at least 10 complete trials are needed, but there are 9"
    equal = importances(evidence(lambda p: 0.8, trials=30, noise=0.0, start=lambda p: 1.0))
    assert equal.groups[0].reason == "all complete trials have the same value"
    data = evidence(lambda p: 0.8, trials=20)
    same = [replace(trial, params=data.trials[0].params) for trial in data.trials]
    assert "there are 0" in (importances(replace(data, trials=same)).groups[0].reason or "")


def test_pruned_trials_are_left_out() -> None:
    data = evidence(lambda p: 0.8, trials=40, survives=lambda number, first: number % 2 == 0)
    assert importances(data, resamples=1).groups[0].trials == 20
