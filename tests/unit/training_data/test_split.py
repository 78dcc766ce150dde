"""Splits: sizes, shares and seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import DataError
from hpsearch.training.data.split import (
    Split,
    images_per_class,
    limit_images,
    split_hash,
    stratified_split,
)

label_lists = st.lists(st.integers(0, 6), min_size=2, max_size=120).map(np.array)
seeds = st.integers(0, 2**31 - 1)


@given(labels=label_lists, data=st.data(), seed=seeds)
def test_a_split_covers_every_image_once(labels, data, seed):
    validation = data.draw(st.integers(1, len(labels) - 1))
    split = stratified_split(labels, validation, seed=seed)
    assert len(split.validation) == validation
    together = np.concatenate([split.train, split.validation])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    assert np.array_equal(split.train, np.sort(split.train))
    assert np.array_equal(split.validation, np.sort(split.validation))


@given(labels=label_lists, data=st.data(), seed=seeds)
def test_each_class_is_in_both_parts_wherever_sizes_allow_it(labels, data, seed):
    validation = data.draw(st.integers(1, len(labels) - 1))
    split = stratified_split(labels, validation, seed=seed)
    counts = np.bincount(labels)
    divisible = np.flatnonzero(counts >= 2)
    spare = int((counts[divisible] - 1).sum())
    if len(divisible) <= validation <= spare:
        assert set(divisible) <= set(labels[split.validation])
    if validation <= spare:
        assert set(labels[split.train]) == set(labels)


@given(
    per_class=st.lists(st.integers(20, 60), min_size=2, max_size=6),
    fraction=st.floats(0.1, 0.9),
    seed=seeds,
)
def test_each_class_gives_its_share_to_one_image(per_class, fraction, seed):
    labels = np.repeat(np.arange(len(per_class)), per_class)
    split = stratified_split(labels, fraction, seed=seed)
    assert len(split.validation) == round(fraction * len(labels))
    exact = np.array(per_class) * len(split.validation) / len(labels)
    assert (np.abs(np.bincount(labels[split.validation]) - exact) < 1).all()


@given(labels=label_lists, data=st.data(), seed=seeds)
def test_limit_keeps_every_class(labels, data, seed):
    limit = data.draw(st.integers(len(set(labels)), len(labels)))
    chosen = limit_images(labels, limit, seed=seed)
    assert len(chosen) == len(set(chosen)) == limit
    assert set(labels[chosen]) == set(labels)
    assert np.array_equal(chosen, np.sort(chosen))


@pytest.mark.parametrize(
    ("counts", "validation", "expected"),
    [
        pytest.param([100, 2], 2, [1, 1], id="a rare class is validated at the common one's cost"),
        pytest.param([100, 2], 1, [1, 0], id="a single image goes to the common class"),
        pytest.param([100, 2], 101, [99, 2], id="a single image trains"),
        pytest.param([100, 2], 100, [99, 1], id="a rare class trains as well"),
        pytest.param([3, 3, 3], 4, [2, 1, 1], id="ties go to the first class"),
        pytest.param([1, 1, 8], 2, [0, 0, 2], id="classes of one image train"),
        pytest.param([1, 1, 1], 2, [1, 1, 0], id="nothing else is possible"),
    ],
)
def test_how_uneven_classes_are_shared(counts, validation, expected):
    labels = np.repeat(np.arange(len(counts)), counts)
    split = stratified_split(labels, validation, seed=1)
    assert np.bincount(labels[split.validation], minlength=len(counts)).tolist() == expected


def test_limit_keeps_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = limit_images(labels, 50, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [30, 15, 5]


def test_a_smaller_limit_is_part_of_a_larger_one():
    labels = np.repeat([0, 1, 2], 100)
    small, large = limit_images(labels, 30, seed=3), limit_images(labels, 90, seed=3)
    assert set(small) < set(large)


def test_per_class_takes_as_many_of_each_class():
    labels = np.repeat([0, 1, 3], [50, 20, 84])
    chosen = images_per_class(labels, 30, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [30, 20, 0, 30]  # all 20 of a smaller class
    assert np.array_equal(chosen, np.unique(chosen))
    assert set(images_per_class(labels, 10, seed=3)) < set(chosen)
    assert not np.array_equal(images_per_class(labels, 30, seed=4), chosen)
    assert len(images_per_class(labels, 84, seed=3)) == 154


@pytest.mark.parametrize("per_class", [0, 85], ids=["none", "more than there are"])
def test_an_impossible_per_class_is_refused(per_class):
    with pytest.raises(DataError, match=rf"\(1 <= per_class <= 84\), but got {per_class}; leave"):
        images_per_class(np.repeat([0, 1], [50, 84]), per_class, seed=0)


def test_test_images_are_drawn_apart_from_validation_images():
    labels = np.arange(200) % 4
    test = stratified_split(labels, 0.25, seed=11, part="test")
    validation = stratified_split(labels, 0.25, seed=11)
    assert not np.array_equal(test.validation, validation.validation)
    with pytest.raises(DataError, match=r"^test_fraction must leave .* but 0.001 of 200 images is"):
        stratified_split(labels, 0.001, seed=0, part="test")


def test_seeds_decide_and_numpys_global_state_does_not():
    labels = np.arange(200) % 4
    np.random.seed(1)
    first = stratified_split(labels, 0.25, seed=11)
    state = np.random.get_state()[1].copy()
    np.random.seed(2)
    again = stratified_split(labels, 0.25, seed=11)
    other = stratified_split(labels, 0.25, seed=12)
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.validation, other.validation)
    np.random.seed(1)
    assert np.array_equal(np.random.get_state()[1], state)  # nothing was drawn from it


def test_limit_and_split_of_one_seed_draw_differently():
    labels = np.zeros(100, dtype=np.int64)
    split = stratified_split(labels, 50, seed=5)
    assert not np.array_equal(limit_images(labels, 50, seed=5), split.validation)


def test_every_image_may_be_chosen():
    labels = np.zeros(50, dtype=np.int64)
    seen = np.concatenate([stratified_split(labels, 10, seed=s).validation for s in range(200)])
    times = np.bincount(seen, minlength=50)
    assert times.sum() == 2000
    assert times.min() > 12  # 40 expected, less or more five standard deviations of 5.7
    assert times.max() < 68


def test_a_split_is_the_same_on_every_platform_and_release():
    # Written down once: a change here would change the meaning of every stored study.
    split = stratified_split(np.arange(20) % 3, 0.3, seed=7)
    assert split.validation.tolist() == [0, 4, 6, 8, 10, 14]
    assert split_hash(split).startswith("1307d0a4bf5fb4c5bacefeeb5c74290a")
    assert limit_images(np.arange(20) % 3, 5, seed=7).tolist() == [1, 3, 10, 11, 18]


def test_a_class_with_one_image_trains():
    labels = np.array([0] * 10 + [1])
    for seed in range(20):
        assert 10 in stratified_split(labels, 0.5, seed=seed).train


def test_the_hash_tells_splits_apart():
    one = Split(train=np.array([0, 1]), validation=np.array([2]))
    other = Split(train=np.array([0]), validation=np.array([1, 2]))
    assert split_hash(one) != split_hash(other)
    narrow = Split(train=one.train.astype(np.int32), validation=one.validation.astype(np.int32))
    assert split_hash(one) == split_hash(narrow)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        pytest.param(10, r"1 <= validation < 10\), but got 10; use a smaller number", id="all"),
        pytest.param(0, r"1 <= validation < 10\), but got 0", id="none"),
        pytest.param(1.0, "between 0 and 1, both excluded, but got 1.0", id="fraction of 1"),
        pytest.param(-0.5, "between 0 and 1, both excluded, but got -0.5", id="negative"),
        pytest.param(float("nan"), "between 0 and 1, both excluded, but got nan", id="nan"),
        pytest.param(0.01, "0.01 of 10 images is 0; use another fraction", id="rounds to none"),
        pytest.param(0.99, "0.99 of 10 images is 10; use another fraction", id="rounds to all"),
    ],
)
def test_an_impossible_validation_part_is_refused(validation, message):
    with pytest.raises(DataError, match=message):
        stratified_split(np.arange(10) % 2, validation, seed=0)


@pytest.mark.parametrize("limit", [3, 21], ids=["below the classes", "above the images"])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(DataError, match=rf"\(4 <= limit <= 20\), but got {limit}; leave it out"):
        limit_images(np.arange(20) % 4, limit, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="seed of a split must be 0 or more, but got -1"):
        stratified_split(np.arange(10) % 2, 0.5, seed=-1)
