"""Luck with the images that chose a winner, against searches whose luck is known."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.results.confirmation.luck import at_level_of, field_of, share_of_luck
from hpsearch.results.confirmation.spec import Field
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


def figure(mean: float, *, share: bool = True) -> Estimate:
    return Estimate(
        mean=mean,
        seeds=5,
        images=400,
        seeds_variance=1e-5,
        seeds_freedom=4,
        images_variance=1e-5,
        share=share,
    )


def test_distances_of_shares_are_smaller_near_one() -> None:
    field = Field(middle=0.8, variance=0.0025, better=50)
    found = at_level_of(figure(0.95), field)
    # By hand: the variance of a share goes with p (1 - p), 0.0475 here and 0.1452 between middle
    # and middle + deviation; (0.95 * 400 + 0.5) / 401 in place of 0.95
    assert found.variance == pytest.approx(0.0025 * 0.0484 / 0.1452, rel=0.02)
    assert found.middle > field.middle
    assert found.better == field.better
    # Where all are at one level there is nothing to bring there
    near = at_level_of(figure(0.801), Field(middle=0.8, variance=1e-6, better=50))
    assert (near.middle, near.variance) == (pytest.approx(0.8), pytest.approx(1e-6, rel=0.01))


def test_a_loss_is_taken_as_it_is() -> None:
    assert at_level_of(figure(0.2, share=False), FIELD) == FIELD


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_a_field_can_be_brought_to_the_end_of_the_scale(mean: float) -> None:
    for field in (
        FIELD,
        Field(middle=1.0, variance=0.0, better=3),
        Field(middle=1.0, variance=0.01, better=3),
    ):
        found = at_level_of(figure(mean), field)
        assert np.isfinite([found.middle, found.variance]).all()
        assert 0 <= share_of_luck(found, [lead(0.001)], (0.03, 20)) <= 1
    assert at_level_of(figure(1.0), FIELD).variance > 0, "half an image is missing from 1"


def test_it_is_the_luck_that_winners_had_with_shares() -> None:
    # Configurations and luck spread alike on the scale of angles, so less near 1
    rng = np.random.default_rng(9)
    spread, images, noise = 0.05, 0.03, 0.01
    had, said, taken_as_it_is = [], [], []
    for _ in range(400):
        skill = rng.normal(1.27, spread, 100)  # the median share is 91 %
        luck = rng.normal(0, images, 100)
        true, figures = np.sin(skill) ** 2, np.sin(skill + luck) ** 2
        seen = np.sin(skill + luck + rng.normal(0, noise, 100)) ** 2
        winner = int(seen.argmax())
        confirmed = figure(figures[winner])
        step = 2 * (figures[winner] * (1 - figures[winner])) ** 0.5
        of_search = field_of(sorted(map(float, seen), reverse=True))
        for field, into in ((at_level_of(confirmed, of_search), said), (of_search, taken_as_it_is)):
            share = share_of_luck(field, [lead(2 * (step * images) ** 2)], (step * noise, 40))
            into.append(share * (confirmed.mean - field.middle))
        had.append(figures[winner] - true[winner])
    assert np.mean(said) == pytest.approx(np.mean(had), rel=0.12)
    assert np.mean(taken_as_it_is) < 0.75 * np.mean(had)
