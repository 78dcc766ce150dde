"""Trials, epochs and sizes that fit a time."""

from __future__ import annotations

import pytest

from hpsearch.starter.fitting import Cost, Task, fit

#: Three networks in three sizes.
COSTS = {
    (edge, name): Cost(setup=0.1, epoch=seconds * (edge / 32) ** 2)
    for edge in (32, 48, 64)
    for name, seconds in {"small": 0.4, "medium": 1.2, "large": 6.0}.items()
}


def task(seconds, **changes):
    return Task(**{"seconds": seconds, "workers": 2, "images": 950, "classes": 22, **changes})


@pytest.mark.parametrize("seconds", [60, 300, 600, 1800, 7200, 36_000])
def test_search_and_confirmation_fit(seconds):
    plan = fit(COSTS, task(seconds))
    assert plan.fits
    assert plan.seconds <= seconds
    assert plan.share == 1
    assert plan.trials >= 20
    assert 10 <= plan.epochs <= 40
    # So many trainings are allowed to the confirmation as were counted
    searched = plan.first_epochs + plan.later_epochs
    assert plan.confirm_share * searched >= plan.confirm_trainings * plan.epochs


def test_more_time_is_used_for_larger_pictures_and_networks():
    short, middle, long = (fit(COSTS, task(seconds)) for seconds in (60, 1800, 36_000))
    assert (short.sizes, short.models) == ((32,), ("small",))
    assert middle.sizes[-1] > 32
    assert "medium" in middle.models
    assert (long.sizes, long.models) == ((48, 64), ("small", "medium", "large"))


def test_too_many_pictures_for_the_time_are_not_all_used():
    dear = {(None, "small"): Cost(setup=0.1, epoch=60.0)}
    plan = fit(dear, task(600, images=60_000, classes=10))
    assert plan.fits
    assert 500 / 60_000 < plan.share < 1
    assert plan.seconds <= 600


def test_a_time_that_is_too_short_gets_the_least_search():
    plan = fit(COSTS, task(2))
    assert not plan.fits
    assert (plan.trials, plan.epochs) == (20, 10)
    assert plan.seconds > 2


def test_a_network_that_fits_only_large_pictures():
    costs = {(32, "small"): Cost(setup=0, epoch=0.1), (64, "small"): Cost(setup=0, epoch=0.2)}
    costs[64, "large"] = Cost(setup=0, epoch=0.3)
    assert fit(costs, task(3600)).models == ("small", "large")
    assert fit(costs, task(20)).models == ("small",)


def test_a_disturbed_measurement_is_corrected_by_that_of_larger_pictures():
    costs = {(32, "small"): Cost(setup=0.1, epoch=900.0), (48, "small"): COSTS[48, "small"]}
    plan = fit(costs, task(120))
    assert plan.fits
    assert plan.mean_epoch < 1.0


def test_one_worker_needs_twice_the_time():
    one = fit({(32, "small"): COSTS[32, "small"]}, task(3000, workers=1))
    two = fit({(32, "small"): COSTS[32, "small"]}, task(3000, workers=2))
    assert two.trials * two.epochs >= one.trials * one.epochs
