"""How many trials will complete is told before they are trained."""

from __future__ import annotations

import pytest

from hpsearch.registry import Component
from hpsearch.search.pruning.forecast import ENOUGH, completion, expected_complete
from hpsearch.search.pruning.pruners import PRUNERS


@pytest.mark.parametrize(
    ("pruner", "trials", "epochs", "low", "high"),
    [
        (Component("none"), 30, 10, 30, 30),
        # A third of 30 at epoch 1, a third of these at epoch 3
        (Component("asha"), 30, 10, 3, 3),
        (Component("asha"), 270, 10, 30, 30),
        (Component("asha", {"stop": True}), 30, 10, 2, 8),
        (Component("median"), 40, 10, 4, 20),
        (Component("hyperband"), 81, 9, 5, 40),
        (Component("asha"), 5, 1, 5, 5),
        (Component("median"), 3, 10, 3, 3),
    ],
)
def test_about_as_many_as_the_rule_lets_live(pruner, trials, epochs, low, high):
    assert low <= expected_complete(PRUNERS.build(pruner), trials, epochs) <= high


def test_it_is_the_same_each_time():
    rule = PRUNERS.build(Component("median"))
    assert len({expected_complete(rule, 1000, 20) for _ in range(2)}) == 1


def test_what_a_report_can_tell_of_so_few():
    assert "show little of the effect of each parameter" in completion(ENOUGH - 1, 90)
    assert completion(ENOUGH, 90) == "about 10 of 90 trials will complete; the others end early"
    assert "no trial can be confirmed or exported" in completion(0, 8)
    assert completion(9, 9) == "all of the 9 trials will complete"
