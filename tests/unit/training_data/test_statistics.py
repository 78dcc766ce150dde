"""Mean and deviation of the training images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hpsearch.training.data import statistics
from hpsearch.training.data.statistics import mean_and_std


@pytest.fixture
def memo(tmp_path):
    return tmp_path / "pixels.json"


def test_they_are_those_of_the_chosen_images(pictures, memo):
    images = pictures(2500, 3, 4, 5)
    images[:, 1] //= 4
    images[:, 2] = images[:, 2] % 2 * 255
    indices = np.arange(1, 2500, 2)  # more than a chunk
    mean, std = mean_and_std(images, indices, memo=memo)
    scaled = images[indices].astype(np.float64) / 255
    assert mean.dtype == std.dtype == torch.float64
    assert mean.tolist() == pytest.approx(scaled.mean(axis=(0, 2, 3)).tolist(), rel=1e-6)
    assert std.tolist() == pytest.approx(scaled.std(axis=(0, 2, 3)).tolist(), rel=1e-6)


def test_nearly_constant_images_lose_no_digit(memo):
    # One pixel of 10**10 differs. Sums of squares in floats would leave noise for a variance.
    images = np.broadcast_to(np.uint8(255), (10**6, 1, 100, 100))
    n = images.size
    memo.write_text(json.dumps({"pixel_counts": [[0] * 254 + [1, n - 1]]}))
    mean, std = mean_and_std(images, np.arange(10**6), memo=memo)
    assert mean.item() == pytest.approx(1, rel=1e-7)
    assert std.item() == pytest.approx((n - 1) ** 0.5 / n / 255, rel=1e-6)


def test_a_constant_channel_divides_by_one(memo):
    images = np.zeros((3, 2, 2, 2), dtype=np.uint8)
    images[0, 1] = 255
    mean, std = mean_and_std(images, np.arange(3), memo=memo)
    assert mean.tolist() == pytest.approx([0, 1 / 3])
    assert std.tolist() == pytest.approx([1, 2**0.5 / 3])


def test_they_are_measured_once(pictures, memo, monkeypatch):
    images, indices = pictures(20, 3, 4, 4), np.arange(15)
    first = mean_and_std(images, indices, memo=memo)
    monkeypatch.delattr(statistics, "_count")
    again = mean_and_std(images, indices, memo=memo)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        json.dumps({"pixel_counts": [[1, 2], [3]]}),
        json.dumps({"pixel_counts": [[1] * 256] * 3}),
    ],
    ids=["half", "another thing", "ragged", "other images"],
)
def test_a_damaged_memo_is_measured_anew(pictures, memo, damage):
    images, indices = pictures(20, 3, 4, 4), np.arange(15)
    first = mean_and_std(images, indices, memo=memo)
    good = memo.read_text()
    memo.write_text(damage)
    assert torch.equal(mean_and_std(images, indices, memo=memo)[0], first[0])
    assert memo.read_text() == good


def test_a_memo_that_cannot_be_written_is_done_without(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    mean, _ = mean_and_std(
        pictures(20, 3, 4, 4), np.arange(15), memo=tmp_path / "file" / "pixels.json"
    )
    assert mean.shape == (3,)
