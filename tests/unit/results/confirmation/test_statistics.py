"""Intervals over seeds and images: by hand, by statsmodels, and on average."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from hpsearch.results.confirmation.statistics import (
    Estimate,
    Interval,
    TrainingValues,
    difference,
    estimate,
    prob_best,
)


def judged(
    values: list[float] | NDArray[np.float64], rows: list[int] | None = None
) -> TrainingValues:
    given_rows = np.arange(len(values)) if rows is None else np.array(rows)
    return TrainingValues(rows=given_rows, values=np.asarray(values, dtype=np.float64))


def of(mean: float, variance: float, freedom: int = 4, images_variance: float = 0.0) -> Estimate:
    return Estimate(
        mean=mean,
        seeds=freedom + 1,
        images=1000,
        seeds_variance=variance,
        seeds_freedom=freedom,
        images_variance=images_variance,
    )


def test_two_seeds_by_hand() -> None:
    # Means 0.5 and 0.75: their variance is 1/32, so that of their mean is 1/64.
    # Values less means: (.5, .5, -.5, -.5) and (.25, .25, .25, -.75): covariance 1/6, over 4 images
    found = estimate([judged([1, 1, 0, 0]), judged([1, 1, 1, 0])])
    assert found.mean == 0.625
    assert found.seeds_variance == pytest.approx(1 / 64)
    assert found.images_variance == pytest.approx(1 / 24)
    variance = 1 / 64 + 1 / 24
    freedom = variance**2 / (1 / 64**2 + 1 / 24**2 / 3)
    assert found.freedom == pytest.approx(freedom)
    both = found.over_seeds_and_images()
    assert both.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(variance))
    # By two seeds alone it would be 12.7 / 8, one and a half: more than with the images' part.
    assert found.over_seeds() == both


def test_seeds_alone_by_hand() -> None:
    found = of(0.5, 1 / 64, freedom=4, images_variance=1 / 24).over_seeds()
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 4) / 8)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(3, 60), st.floats(0.05, 0.95))
@settings(max_examples=100, deadline=None)
def test_other_images_make_nobody_surer(seed: int, seeds: int, images: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    drawn = [judged((rng.random(images) < share).astype(float)) for _ in range(seeds)]
    found = estimate(drawn, share=True)
    assert found.over_seeds().half_width <= found.over_seeds_and_images().half_width


def test_where_all_seeds_judge_all_images_it_is_the_analysis_of_variance() -> None:
    # They take a second, so not when the tests are collected
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(5)
    table = rng.normal(size=(4, 1)) + rng.normal(size=40) + rng.normal(size=(4, 40))
    found = estimate([judged(row) for row in table])
    seeds, images = np.indices(table.shape)
    frame = pd.DataFrame({"y": table.ravel(), "seed": seeds.ravel(), "image": images.ravel()})
    squares = anova_lm(smf.ols("y ~ C(seed) + C(image)", frame).fit())
    mean = squares["sum_sq"] / squares["df"]
    assert found.seeds_variance == pytest.approx(mean["C(seed)"] / 160)
    assert found.images_variance == pytest.approx((mean["C(image)"] - mean["Residual"]) / 160)


def test_splits_that_share_no_image_show_everything_between_seeds() -> None:
    found = estimate([judged([1, 0], [0, 1]), judged([1, 1], [2, 3]), judged([0, 0], [4, 5])])
    assert (found.images_variance, found.images) == (0.0, 6)


def test_only_the_images_that_two_seeds_share_count_as_shared() -> None:
    # Seeds 1 and 2 share rows 1 and 2, with the values (1, 0) for both: covariance 1/2, 2 images
    # of 3 and 3, so 1/2 * 2 / 9. No other pair shares two.
    trainings = [judged([0, 1, 0], [0, 1, 2]), judged([1, 0, 1], [1, 2, 3])]
    found = estimate([*trainings, judged([1, 1, 0], [4, 5, 6])])
    shared = 1 / 2 * 2 / 9 / 3
    # Within each training the variance is 1/3, over 3 images: more than these seeds' means show
    certain = (1 / 9 - shared) / 3 * 2 / 3
    assert found.seeds_variance == pytest.approx(1 / 81)
    assert found.images_variance == pytest.approx(shared + certain - 1 / 81)


def test_seeds_that_agree_by_luck_are_not_believed() -> None:
    # 60 of 100 right twice, on different images: as sure as 120 of 200, not surer
    halves = [judged([1.0] * 60 + [0.0] * 40, list(range(at, at + 100))) for at in (0, 100)]
    found = estimate(halves, share=True)
    assert (found.seeds_variance, found.standard_error) == (0.0, pytest.approx(0.0348, abs=1e-4))
    assert found.over_seeds_and_images().half_width == pytest.approx(0.0676, abs=1e-3)


def test_configurations_judged_on_other_images_are_not_compared() -> None:
    one, other = judged([1, 0, 1], [0, 1, 2]), judged([1, 0, 1], [2, 3, 4])
    assert difference({1: one}, {1: other}) is None


@pytest.mark.parametrize("pool", [150, 600])
def test_the_variance_is_right_on_average(pool: int) -> None:
    rng = np.random.default_rng(pool)
    means, variances = [], []
    for _ in range(1500):
        ease = rng.normal(size=pool)
        trainings = []
        for _ in range(4):
            rows = np.sort(rng.permutation(pool)[:150])
            noise = rng.normal(0, 0.1) + rng.normal(0, 0.5, 150)
            trainings.append(TrainingValues(rows=rows, values=ease[rows] + noise))
        found = estimate(trainings)
        means.append(found.mean)
        variances.append(found.seeds_variance + found.images_variance)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.12)


@pytest.mark.parametrize("right", [0, 1, 49, 50, 97, 100])
def test_a_shares_interval_is_wilsons_where_all_seeds_say_the_same(right: int) -> None:
    values = [1.0] * right + [0.0] * (100 - right)
    found = estimate([judged(values), judged(values), judged(values)], share=True)
    interval = found.over_seeds_and_images()
    low, high = stats.binomtest(right, 100).proportion_ci(method="wilson")
    # t instead of z, and n - 1 instead of n: a little wider
    assert interval.low == pytest.approx(low, abs=0.002)
    assert interval.high == pytest.approx(high, abs=0.002)


def test_a_single_seed_tells_nothing_of_seeds() -> None:
    found = estimate([judged([1, 0, 1])], share=True)
    assert (found.over_seeds().low, found.over_seeds().high) == (0.0, 1.0)
    assert estimate([judged([1, 0])]).over_seeds_and_images().half_width == math.inf
    with pytest.raises(ValueError, match="at least one training"):
        estimate([])


def test_one_more_training_spreads_as_the_seeds_do() -> None:
    trainings = [judged([value] * 4) for value in (0.4, 0.5, 0.6, 0.9)]
    found = estimate(trainings).next_training()
    spread = np.std([0.4, 0.5, 0.6, 0.9], ddof=1) * math.sqrt(1 + 1 / 4)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 3) * spread)


def test_differences_are_paired_by_seed_and_by_image() -> None:
    rng = np.random.default_rng(1)
    ease = rng.normal(size=60)
    one = {seed: judged(ease + seed) for seed in (1, 2, 3)}
    # Half of the images, another order of seeds, and one seed that the other doesn't have
    other = {seed: judged(ease[::2] + seed - 0.25, list(range(0, 60, 2))) for seed in (3, 2, 9)}
    found = difference(one, other)
    assert found is not None
    assert (found.mean, found.seeds, found.images) == (pytest.approx(0.25), 2, 30)
    assert found.standard_error == pytest.approx(0, abs=1e-8), "what both share cancels"
    assert difference(one, {7: one[1]}) is None


def test_given_noise_stands_in_for_the_spread_of_two_seeds() -> None:
    one = {1: judged([1, 1, 1]), 2: judged([1, 1, 1])}
    other = {1: judged([0, 1, 1]), 2: judged([0, 1, 1])}
    found = difference(one, other, noise=(0.1, 7))
    assert found is not None
    assert (found.seeds_variance, found.seeds_freedom) == (pytest.approx(0.1**2), 7)


def test_chance_of_best_is_the_students_and_dunnetts() -> None:
    assert prob_best([]) == pytest.approx(1.0)
    lead = of(0.02, 0.01**2)
    assert lead.chance_above(0) == pytest.approx(stats.t.cdf(2, 4))
    assert prob_best([lead]) == pytest.approx(stats.t.cdf(2, 4))
    # Of six that nothing tells apart each is the best with 1/6
    assert prob_best([of(0.0, 1.0)] * 5) == pytest.approx(1 / 6)
    leads = [of(0.02, 0.01**2), of(0.01, 0.02**2, 9), of(0.0, 0.01**2)]
    bounds = stats.norm.ppf([each.chance_above(0) for each in leads])
    alike = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    expected = stats.multivariate_normal.cdf(bounds, cov=alike, abseps=1e-7)
    assert prob_best(leads) == pytest.approx(expected, abs=1e-4)


def test_a_chance_is_at_most_1_whatever_the_last_digits_of_the_integral(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes, weights and sums come from LAPACK and BLAS, whose last digits depend on the CPU."""
    luck, exact = np.polynomial.hermite_e.hermegauss(64)
    rng = np.random.default_rng(0)
    certain = of(1.0, 1e-12)
    for _ in range(200):
        weights = exact * (1 + rng.integers(-4, 5, 64) * np.finfo(np.float64).eps)
        monkeypatch.setattr(np.polynomial.hermite_e, "hermegauss", lambda _, w=weights: (luck, w))
        for rivals in ([], [certain], [certain] * 5):
            assert 0.0 <= prob_best(rivals) <= 1.0


def test_without_any_noise_the_chance_is_a_certainty() -> None:
    assert [of(mean, 0.0).chance_above(0) for mean in (-1, 0, 1)] == [0.0, 0.5, 1.0]
    assert prob_best([of(0.1, 0.0), of(0.2, 0.0)]) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(
    table=st.lists(
        st.lists(st.sampled_from([0.0, 1.0]), min_size=6, max_size=6), min_size=2, max_size=6
    )
)
def test_a_shares_intervals_hold_the_estimate_and_stay_within_0_and_1(
    table: list[list[float]],
) -> None:
    found = estimate([judged(row) for row in table], share=True)
    seeds, both = found.over_seeds(), found.over_seeds_and_images()
    for each in (seeds, both, found.next_training()):
        assert 0 <= each.low <= each.estimate <= each.high <= 1
        assert each.half_width > 0, "no finite number of images makes certain"
    assert found.standard_error >= math.sqrt(found.seeds_variance)


def in_groups(judged: TrainingValues, groups: NDArray[np.int64]) -> TrainingValues:
    return TrainingValues(rows=judged.rows, values=judged.values, groups=groups[judged.rows])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_images_that_are_groups_of_their_own_change_nothing(seed: int, same_images: bool) -> None:
    rng = np.random.default_rng(seed)
    ease = rng.normal(size=60)
    trainings = []
    for _ in range(4):
        rows = np.arange(30) if same_images else np.sort(rng.permutation(60)[:30])
        values = (ease[rows] + rng.normal(size=30) > 0).astype(float)
        trainings.append(TrainingValues(rows=rows, values=values))
    alone = estimate(trainings, share=True)
    grouped = estimate([in_groups(each, np.arange(60)) for each in trainings], share=True)
    assert (grouped.images, grouped.groups) == (alone.images, alone.images)
    assert grouped.standard_error == pytest.approx(alone.standard_error)
    assert grouped.freedom == pytest.approx(alone.freedom)
    both, expected = grouped.over_seeds_and_images(), alone.over_seeds_and_images()
    assert (both.low, both.high) == pytest.approx((expected.low, expected.high))


def test_copies_of_an_image_in_one_group_make_nobody_surer() -> None:
    rng = np.random.default_rng(2)
    trainings = [judged((rng.random(40) < 0.7).astype(float)) for _ in range(3)]
    alone = estimate(trainings, share=True)
    five_times = [judged(np.repeat(each.values, 5)) for each in trainings]
    believed = estimate(five_times, share=True)
    known = estimate([in_groups(each, np.arange(200) // 5) for each in five_times], share=True)
    assert (known.images, known.groups) == (200, 40)
    assert known.standard_error == pytest.approx(alone.standard_error)
    assert known.over_seeds_and_images().half_width == pytest.approx(
        alone.over_seeds_and_images().half_width
    )
    assert believed.images_variance < known.images_variance / 2


@pytest.mark.parametrize("new_splits", [False, True])
def test_the_variance_over_groups_is_right_on_average(new_splits: bool) -> None:
    rng = np.random.default_rng(7)
    means, variances = [], []
    for _ in range(1200):
        groups = np.repeat(np.arange(120), rng.integers(1, 8, 120))
        ease = rng.normal(size=120)[groups] + rng.normal(0, 0.7, len(groups))
        trainings = []
        for _ in range(4):
            taken = rng.permutation(120)[:40] if new_splits else np.arange(40)
            rows = np.flatnonzero(np.isin(groups, taken))
            noise = rng.normal(0, 0.1) + rng.normal(0, 0.5, len(rows))
            trainings.append(
                TrainingValues(rows=rows, values=ease[rows] + noise, groups=groups[rows])
            )
        found = estimate(trainings)
        means.append(found.mean)
        variances.append(found.seeds_variance + found.images_variance)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.13)


def test_one_group_says_nothing_of_others() -> None:
    trainings = [judged([1, 0, 1, 1]), judged([1, 1, 1, 0]), judged([0, 0, 1, 1])]
    found = estimate([in_groups(each, np.zeros(4, np.int64)) for each in trainings], share=True)
    both = found.over_seeds_and_images()
    assert (found.groups, found.freedom) == (1, 0)
    assert (both.low, both.high) == (0.0, 1.0)
    assert found.over_seeds().half_width < 0.5, "of seeds on these images something is known"
    assert found.chance_above(0.1) == 0.5


def test_differences_are_over_groups_too() -> None:
    rng = np.random.default_rng(3)
    groups = np.arange(100) // 5
    better = rng.normal(size=20)[groups]
    one = {seed: in_groups(judged(better + rng.normal(size=100)), groups) for seed in (1, 2, 3)}
    other = {seed: in_groups(judged(rng.normal(size=100)), groups) for seed in (1, 2, 3)}
    found, alone = (
        difference(one, other),
        difference(
            {seed: judged(each.values) for seed, each in one.items()},
            {seed: judged(each.values) for seed, each in other.items()},
        ),
    )
    assert found is not None and alone is not None
    assert found.groups == 20 and alone.groups is None
    assert found.mean == pytest.approx(alone.mean)
    assert found.images_variance > 2 * alone.images_variance


def test_an_interval_reaches_to_the_side_of_the_truth() -> None:
    found = Interval(estimate=0.9, low=0.85, high=0.94)
    assert found.reaching(0.02, share=True) == replace(found, low=pytest.approx(0.83))
    assert found.reaching(-0.02, share=True) == replace(found, high=pytest.approx(0.96))
    assert found.reaching(-0.2, share=True) == replace(found, high=1.0)
    assert found.reaching(0.9, share=True) == replace(found, low=0.0)
    assert found.reaching(0.9, share=False) == replace(found, low=pytest.approx(-0.05))
    assert found.reaching(0.0, share=True) == found


def test_what_a_figure_leans_by_is_in_the_interval_over_images() -> None:
    rng = np.random.default_rng(4)
    plain = [judged((rng.random(50) < 0.8).astype(float)) for _ in range(3)]
    low = [
        replace(each, lean=each_lean)
        for each, each_lean in zip(plain, (-0.01, -0.03, -0.02), strict=True)
    ]
    expected = estimate(plain, share=True)
    found = estimate(low, share=True)
    both, without = found.over_seeds_and_images(), expected.over_seeds_and_images()
    assert (both.low, both.high) == pytest.approx((without.low, without.high + 0.02))
    # Luck is on the other side: the two partly cancel
    both = found.over_seeds_and_images(luck=0.05)
    assert (both.low, both.high) == pytest.approx((without.low - 0.03, without.high))
    assert found.next_training() == expected.next_training()
    # Two configurations on the same images read low alike
    same = difference(dict(enumerate(low)), dict(enumerate(low)))
    assert same is not None
    assert same.lean == 0
