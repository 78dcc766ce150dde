"""Luck with the images that chose a winner, against searches whose luck is known."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.results.confirmation.luck import Field, field_of, share_of_luck
from hpsearch.results.confirmation.statistics import Estimate


def lead(images_covariance: float) -> Estimate:
    """Return a difference that images move by so much."""
    return Estimate(
        mean=0.01,
        seeds=5,
        images=100,
        seeds_variance=1e-5,
        seeds_freedom=4,
        images_variance=max(0.0, images_covariance),
        images_covariance=images_covariance,
    )


FIELD = Field(middle=0.7, variance=0.0025, better=50)


def test_by_hand() -> None:
    # Two trials' own luck moves a difference by 0.0008: one's by 0.0004. Figures spread by
    # 0.0025 - 0.03**2 = 0.0016 without the seeds' noise
    assert share_of_luck(FIELD, [lead(0.0006), lead(0.001)], (0.03, 20)) == pytest.approx(1 / 4)


def test_nothing_is_known_without_another_finalist() -> None:
    assert share_of_luck(FIELD, [], (0.03, 20)) == 0


def test_it_is_never_more_than_the_whole_lead() -> None:
    assert share_of_luck(FIELD, [lead(0.01)], (0.03, 20)) == 1


def test_images_that_move_no_difference_flatter_nobody() -> None:
    assert share_of_luck(FIELD, [lead(0.0)], (0.2, 20)) == 0
    assert share_of_luck(FIELD, [lead(-0.001)], (0.03, 20)) == 0


def test_a_spread_that_is_lost_in_its_own_error_is_not_taken_for_none() -> None:
    # Each variance's own error is sqrt(2 / how many) of it
    error = (2 * 0.0025**2 / 50 + 2 * 0.05**4 / 20) ** 0.5
    for noise in (0.0499, 0.05):
        found = share_of_luck(FIELD, [lead(0.0002)], (noise, 20))
        assert found == pytest.approx(0.0001 / error, rel=0.01)


def test_nothing_is_known_of_one_trial_or_one_seed() -> None:
    assert share_of_luck(field_of([0.9]), [lead(0.001)], (0.01, 20)) == 0
    assert share_of_luck(FIELD, [lead(0.001)], (0.0, 0)) == 0


def test_measurements_below_zero_count_too() -> None:
    # Cut off at 0 the mean of four would be half as large again
    leads = [lead(each) for each in (0.002, -0.0008, 0.0012, 0.0008)]
    assert share_of_luck(FIELD, leads, (0.03, 20)) == pytest.approx(1 / 4)


def test_the_field_is_told_by_its_better_half() -> None:
    values = [0.9, 0.8, 0.7, 0.5, 0.01]
    field = field_of(values)
    assert (field.middle, field.better) == (0.7, 2)
    assert field.variance == pytest.approx((0.2**2 + 0.1**2) / 2)
    assert field_of([0.9, 0.8, 0.7, 0.1, 0.1]) == field, "how far failures lie behind says nothing"
    assert field_of([0.9]) == Field(middle=0.9, variance=0.0, better=0)
    rising = field_of([0.1, 0.2, 0.3, 0.5, 0.9])  # a loss: best first
    assert (rising.middle, rising.variance) == (0.3, pytest.approx((0.2**2 + 0.1**2) / 2))


@pytest.mark.parametrize("spread", [0.01, 0.03])
def test_it_is_the_luck_that_winners_had(spread: float) -> None:
    rng = np.random.default_rng(8)
    images, noise = 0.015, 0.005
    had, said = [], []
    lead_had, lead_said = [], []
    for _ in range(400):
        luck = rng.normal(0, images, 100)
        figures = 0.7 + rng.normal(0, spread, 100) + luck
        seen = figures + rng.normal(0, noise, 100)
        winner = int(seen.argmax())
        confirmed = figures[winner] + rng.normal(0, noise / 5**0.5)
        field = field_of(sorted(map(float, seen), reverse=True))
        share = share_of_luck(field, [lead(2 * images**2)], (noise, 40))
        had.append(luck[winner])
        said.append(share * (confirmed - field.middle))
        # Against a trial that nobody chose
        lead_had.append(luck[winner] - luck[0])
        lead_said.append(share * (confirmed - figures[0]))
    assert np.mean(had) > 0.006, "there is something to see"
    assert np.mean(said) == pytest.approx(np.mean(had), rel=0.12)
    assert np.mean(lead_said) == pytest.approx(np.mean(lead_had), rel=0.2)
