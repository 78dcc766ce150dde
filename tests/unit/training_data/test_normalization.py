"""Mean and deviation: named, given or measured."""

from __future__ import annotations

import pytest
import torch

from hpsearch.errors import DataError
from hpsearch.training.data.normalization import mean_and_std_of


def unasked() -> tuple[torch.Tensor, torch.Tensor]:
    raise AssertionError("measured, though nobody wanted it")


@pytest.mark.parametrize(
    ("normalization", "mean", "std"),
    [
        ("raw", [0, 0, 0], [1 / 255] * 3),
        ("unit", [0, 0, 0], [1, 1, 1]),
        ("symmetric", [0.5] * 3, [0.5] * 3),
        ({"mean": [0.4], "std": [1, 2, 3]}, [0.4] * 3, [1, 2, 3]),
        ({"mean": [0.1, 0.2, 0.3], "std": [2]}, [0.1, 0.2, 0.3], [2] * 3),
    ],
    ids=str,
)
def test_named_and_given(normalization, mean, std):
    found = mean_and_std_of(normalization, channels=3, measure=unasked)
    assert [each.tolist() for each in found] == [mean, std]
    assert all(each.dtype == torch.float64 for each in found)


def test_measured():
    measured = (torch.zeros(3), torch.ones(3))
    assert mean_and_std_of("measured", channels=3, measure=lambda: measured) is measured


@pytest.mark.parametrize(
    ("normalization", "message"),
    [
        (
            {"mean": [0.5, 0.5], "std": [1]},
            r"mean must have one number per channel of the images \(3\), or one for all, but got 2",
        ),
        ({"mean": [0.5], "std": [1] * 4}, "std must have one number per channel .* but got 4"),
        ({"mean": [], "std": [1]}, "mean must have one number per channel .* but got 0"),
        ({"mean": [0.5], "std": [1, 0, 1]}, r"std must be above 0 in every .*got \[1, 0, 1\]"),
    ],
    ids=["two means", "four deviations", "no mean", "zero"],
)
def test_numbers_that_do_not_fit_are_refused(normalization, message):
    with pytest.raises(DataError, match=message):
        mean_and_std_of(normalization, channels=3, measure=unasked)
