"""Variances over groups of images: by hand, by statsmodels, by matrices and by resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from hpsearch.results.confirmation.clusters import (
    covariance,
    freedom,
    likeness,
    table_of_groups,
)

SEEDS = st.integers(0, 2**32 - 1)


def variance(
    values: NDArray[np.float64], groups: NDArray[np.int64], correlation: float = 0.0
) -> float:
    sums, counts = table_of_groups([values], [groups])
    found = covariance((sums[0], sums[0]), (counts[0], counts[0]), correlation)
    assert found is not None
    return found


def drawn(seed: int, groups: int = 12) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values of groups of uneven sizes, alike within a group."""
    rng = np.random.default_rng(seed)
    of_image = np.repeat(np.arange(groups), rng.integers(1, 9, groups))
    return rng.normal(size=groups)[of_image] + rng.normal(size=len(of_image)), of_image


def test_by_hand() -> None:
    # Mean 0.6 over 5 images. Group 0, 2 images: (1, 1) less the mean is 0.8; group 1, 3
    # images: (1, 0, 0) less the mean is -0.8. 0.64 / 0.6 / 25 + 0.64 / 0.4 / 25 if images count as
    # independent. If they are all alike, sums vary by 4 and 9: 1 - 2 * 0.4 + 0.16 * 13 / 4 = 0.72
    # of group 0's is left after the mean, and 1 - 2 * 0.6 + 0.36 * 13 / 9 = 0.32 of group 1's
    values, groups = np.array([1.0, 1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1, 1])
    assert variance(values, groups) == pytest.approx(0.64 / 0.6 / 25 + 0.64 / 0.4 / 25)
    assert variance(values, groups, 1.0) == pytest.approx(0.64 / 0.72 / 25 + 0.64 / 0.32 / 25)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0, 1))
def test_of_groups_of_one_size_it_is_statsmodels_cluster_robust_variance(
    seed: int, correlation: float
) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(9), 4)
    values = rng.normal(size=9)[groups] + rng.normal(size=36)
    import statsmodels.api as sm  # takes a second, so not when the tests are collected

    fit = sm.OLS(values, np.ones(36)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert variance(values, groups, correlation) == pytest.approx(fit.bse[0] ** 2)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_of_independent_images_in_uneven_groups_it_is_bell_and_mccaffreys(seed: int) -> None:
    values, groups = drawn(seed)
    residuals, total = values - values.mean(), 0.0
    for group in np.unique(groups):
        mine = groups == group
        hat = np.full((mine.sum(), mine.sum()), 1 / len(values))
        # To the power -1/2 (symmetric, so by its eigenvectors)
        scales, vectors = np.linalg.eigh(np.eye(mine.sum()) - hat)
        adjusted = (vectors / np.sqrt(scales)) @ vectors.T @ residuals[mine]
        total += adjusted.sum() ** 2
    assert variance(values, groups) == pytest.approx(total / len(values) ** 2)


def form_of(groups: NDArray[np.int64], correlation: float) -> NDArray[np.float64]:
    """Return the covariances of the groups' sums less the mean's part, by matrices of images."""
    total = len(groups)
    same = (groups[:, None] == groups).astype(float)
    covariances = (1 - correlation) * np.eye(total) + correlation * same
    of_group = np.arange(groups.max() + 1)[:, None] == groups
    # What makes the diagonal as large as that of the sums themselves
    without = of_group - of_group.sum(1, keepdims=True) / total
    wanted = np.diag(of_group @ covariances @ of_group.T)
    sums = without * np.sqrt(wanted / np.diag(without @ covariances @ without.T))[:, None]
    form: NDArray[np.float64] = sums @ covariances @ sums.T
    return form


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0, 1))
def test_degrees_of_freedom_are_those_of_the_quadratic_form(seed: int, correlation: float) -> None:
    groups = drawn(seed)[1]
    form = form_of(groups, correlation)
    expected = np.trace(form) ** 2 / np.trace(form @ form)
    counts = np.bincount(groups).astype(float)
    assert freedom(counts, correlation) == pytest.approx(expected)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_however_uneven_the_groups_are_it_is_right_on_average(correlation: float) -> None:
    groups = np.repeat(np.arange(6), [1, 1, 2, 4, 9, 20])
    same = (groups[:, None] == groups).astype(float)
    covariances = (1 - correlation) * np.eye(37) + correlation * same
    # A quadratic form's mean is the sum over its covariances' eigenvectors, each as the values
    sizes, vectors = np.linalg.eigh(covariances)
    found = sum(
        max(size, 0.0) * variance(vector, groups, correlation)
        for size, vector in zip(sizes, vectors.T, strict=True)
    )
    assert found == pytest.approx(covariances.sum() / 37**2)


def test_degrees_of_freedom_of_equal_groups_are_one_less_than_there_are() -> None:
    assert freedom(np.ones(50), 0.0) == pytest.approx(49)
    assert freedom(np.full(10, 7.0), 0.4) == pytest.approx(9)
    # A group that has almost everything leaves next to nothing to compare it with
    assert freedom(np.array([500.0, *[1.0] * 20]), 0.5) < 2


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_images_that_are_groups_of_their_own_have_the_usual_variance(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=23)
    assert variance(values, np.arange(23)) == pytest.approx(values.var(ddof=1) / 23)


def test_resampling_whole_groups_gives_the_same() -> None:
    rng = np.random.default_rng(4)
    values, groups = drawn(4, groups=150)
    members = [np.flatnonzero(groups == group) for group in range(150)]
    means = []
    for _ in range(2000):
        taken = np.concatenate([members[each] for each in rng.integers(0, 150, 150)])
        means.append(values[taken].mean())
    assert np.sqrt(variance(values, groups)) == pytest.approx(np.std(means), rel=0.1)


def test_trainings_share_luck_through_the_groups_that_both_judged() -> None:
    # Groups 1 and 2 are shared. Their values less their mean: (1, -1) and (2, -2), two images of
    # three each: each product is corrected by 1 / (1 - 1/2)
    values = [np.array([9.0, 2.0, 0.0]), np.array([4.0, 0.0, 9.0])]
    sums, counts = table_of_groups(values, [np.array([0, 1, 2]), np.array([1, 2, 3])])
    found = covariance((sums[0], sums[1]), (counts[0], counts[1]), 0.5)
    assert found == pytest.approx((1 * 2 + 1 * 2) / (1 / 2) / 9)


def test_one_shared_group_shows_no_spread() -> None:
    sums, counts = table_of_groups([np.array([1.0, 0.0])], [np.array([5, 5])])
    assert covariance((sums[0], sums[0]), (counts[0], counts[0]), 0.0) is None


def test_likeness_of_a_group() -> None:
    groups = np.array([0, 0, 1, 1])
    assert likeness(np.array([1.0, 1.0, 0.0, 0.0]), groups) == pytest.approx(1.0)
    assert likeness(np.array([1.0, 0.0, 1.0, 0.0]), groups) == 0.0
    assert likeness(np.array([1.0, 0.0, 1.0, 0.0]), np.arange(4)) == 0.0
    assert likeness(np.ones(4), groups) == 0.0
    values, of_image = drawn(1, groups=3000)
    assert likeness(values, of_image) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("groups", [8, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(groups: int) -> None:
    held = []
    for seed in range(1500):
        values, of_image = drawn(seed, groups)
        counts = np.bincount(of_image).astype(float)
        alike = likeness(values, of_image)
        error = np.sqrt(variance(values, of_image, alike))
        free = freedom(counts, alike)
        held.append(abs(values.mean()) <= stats.t.ppf(0.975, free) * error)
    assert 0.93 <= np.mean(held) <= 0.975
