"""The overfitting rule: what it flags, from where, and what it leaves alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from support.searching import epoch_metrics

from hpsearch.metrics import EpochMetrics
from hpsearch.results.overfitting import overfits_from

FALLING = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1]


def curve(train: Sequence[float], val: Sequence[float]) -> list[EpochMetrics]:
    return [
        epoch_metrics(epoch, 0.5, train_loss=mine, val_loss=its)
        for epoch, (mine, its) in enumerate(zip(train, val, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        pytest.param(
            FALLING, [1, 0.8, 0.7, 0.6, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8], 6, id="a clear turn"
        ),
        pytest.param(
            FALLING,
            [1, 0.8, 0.7, 0.6, 0.5, 0.52, 0.52, 0.52, 0.52, 0.52],
            None,
            id="4 % is no rise",
        ),
        pytest.param(FALLING, FALLING, None, id="both fall"),
        pytest.param(
            [1, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            [1, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            None,
            id="both rise: that is no overfitting",
        ),
        pytest.param(
            FALLING,
            [1, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.8],
            None,
            id="two epochs are few",
        ),
        pytest.param(
            FALLING,
            [1, 0.8, 0.7, 0.6, 0.5, 2.0, 0.5, 0.48, 0.5, 0.49],
            None,
            id="one epoch that jumped up",
        ),
        pytest.param(
            FALLING,
            [1, 0.8, 0.1, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4],
            None,
            id="one that jumped down",
        ),
        pytest.param(
            FALLING[:4], [0.5, 0.6, 0.7, 0.8], 2, id="from the first on, in as few epochs as may be"
        ),
        pytest.param(FALLING[:3], [0.5, 0.7, 0.9], None, id="too few epochs to tell"),
        pytest.param([], [], None, id="no epoch"),
        pytest.param(
            [0.0] * 6, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], None, id="training loss can't fall below 0"
        ),
    ],
)
def test_rule(train, val, expected):
    assert overfits_from(curve(train, val)) == expected


def test_epochs_are_named_as_the_curve_names_them():
    late = curve(FALLING, [1, 0.8, 0.7, 0.6, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8])[3:]
    assert late[0].epoch == 4
    assert overfits_from(late) == 6


def noisy(losses: Sequence[float], noise: float, draws: random.Random) -> list[float]:
    return [loss * (1 + draws.gauss(0, noise)) for loss in losses]


@pytest.mark.parametrize(
    ("rise", "noise", "least", "most"),
    [
        # of 400 curves of 30 epochs; the numbers of the module's docstring
        pytest.param(0.0, 0.02, 0, 10, id="level, 2 %"),
        pytest.param(0.0, 0.05, 1, 32, id="level, 5 %"),
        pytest.param(0.25, 0.02, 400, 400, id="rising, 2 %"),
        pytest.param(0.25, 0.05, 398, 400, id="rising, 5 %"),
    ],
)
def test_noise_is_no_rise(rise, noise, least, most):
    draws = random.Random(1)
    train = [2 * 0.9**epoch + 0.05 for epoch in range(30)]
    val = [0.5 + 1.5 * 0.7**epoch + rise * max(0, epoch - 15) / 15 for epoch in range(30)]
    flagged = [
        overfits_from(curve(noisy(train, noise, draws), noisy(val, noise, draws)))
        for _ in range(400)
    ]
    found = [epoch for epoch in flagged if epoch is not None]
    assert least <= len(found) <= most
    if rise:
        assert 14 <= sorted(found)[len(found) // 2] <= 18
