"""Splits by group: nothing on both sides, and sizes as near as groups allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpsearch.errors import DataError
from hpsearch.training.data.group_split import grouped_split, hold_out, split_images
from hpsearch.training.data.split import split_hash, stratified_split

seeds = st.integers(0, 2**31 - 1)


@st.composite
def grouped(draw):
    """Labels and groups; a group may hold images of several classes."""
    n = draw(st.integers(4, 80))
    labels = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(-5, 20), min_size=n, max_size=n))
    return np.array(labels), np.array(groups)


@given(case=grouped(), fraction=st.floats(0.05, 0.95), seed=seeds)
def test_no_group_is_on_both_sides(case, fraction, seed):
    labels, groups = case
    try:
        split = grouped_split(labels, groups, fraction, seed=seed)
    except DataError as error:
        # Only where it is so: each group holds all images of a class, or no image is to be split
        whole = all(
            any(
                set(np.flatnonzero(labels == c)) <= set(np.flatnonzero(groups == g)) for c in labels
            )
            for g in groups
        )
        count = round(fraction * len(labels))
        assert whole or not 1 <= count < len(labels), str(error)
        return
    together = np.concatenate([split.train, split.validation])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    assert not set(groups[split.train]) & set(groups[split.validation])
    assert set(labels[split.train]) == set(labels)  # every class trains
    assert len(split.validation) > 0
    for part in (split.train, split.validation):
        assert np.array_equal(part, np.sort(part))


@given(
    groups_per_class=st.lists(st.integers(6, 40), min_size=2, max_size=12),
    size=st.integers(1, 4),
    fraction=st.floats(0.1, 0.9),
    seed=seeds,
)
@example(  # one class was once moved further and further to keep the total right
    groups_per_class=[6, 8, 12, 16, 22, 23, 37, 9], size=2, fraction=0.16796875, seed=16403
)
def test_shares_are_met_to_about_a_group(groups_per_class, size, fraction, seed):
    labels = np.repeat(np.arange(len(groups_per_class)), np.array(groups_per_class) * size)
    groups = np.repeat(np.arange(sum(groups_per_class)), size)
    split = grouped_split(labels, groups, fraction, seed=seed)
    wanted = np.bincount(labels) * fraction
    got = np.bincount(labels[split.validation], minlength=len(groups_per_class))
    assert (np.abs(got - wanted) <= 2 * size).all()
    if round(fraction * len(labels)) >= len(groups_per_class):
        assert (got > 0).all()  # a class with two groups is on both sides


def test_many_roundings_do_not_add_up():
    # 20 classes of 21 triplets: each share is 12.6 images, so that 12 is nearest in each
    labels, groups = np.repeat(np.arange(20), 63), np.arange(20 * 63) // 3
    for seed in range(5):
        split = grouped_split(labels, groups, 0.2, seed=seed)
        assert abs(len(split.validation) - 252) <= 2
        assert set(np.bincount(labels[split.validation])) <= {12, 15}


def test_groups_of_one_image_are_stratified_exactly():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    split = grouped_split(labels, np.arange(100), 0.2, seed=1)
    assert np.bincount(labels[split.validation]).tolist() == [10, 6, 4]


def test_a_large_group_goes_where_it_fits():
    # 60 images of one person among 40 of their own: a fifth is 20
    labels, groups = np.zeros(100, dtype=np.int64), np.repeat(np.arange(41), [60] + [1] * 40)
    for seed in range(10):
        split = grouped_split(labels, groups, 0.2, seed=seed)
        assert len(split.validation) == 20
        assert 0 in groups[split.train]


@pytest.mark.parametrize(
    ("labels", "groups", "validated"),
    [
        pytest.param([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2], {0}, id="a class of one group trains"),
        pytest.param([0, 1, 0, 1], [0, 0, 1, 1], {0, 1}, id="groups of several classes"),
        pytest.param([0] * 8 + [1] * 8, [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4, {0, 1}, id="halves"),
    ],
)
def test_few_groups(labels, groups, validated):
    for seed in range(5):
        split = grouped_split(np.array(labels), np.array(groups), 0.3, seed=seed)
        assert set(np.array(labels)[split.validation]) == validated


def test_seeds_decide_and_names_of_groups_do_not():
    labels, groups = np.arange(300) % 3, np.arange(300) // 6
    first = grouped_split(labels, groups, 0.2, seed=1)
    again = grouped_split(labels, groups * 7 - 100, 0.2, seed=1)
    other = grouped_split(labels, groups, 0.2, seed=2)
    assert split_hash(first) == split_hash(again) != split_hash(other)


def test_a_split_is_the_same_on_every_platform_and_release():
    split = grouped_split(np.arange(24) % 3, np.arange(24) // 2, 0.25, seed=7)
    assert split.validation.tolist() == [12, 13, 16, 17, 20, 21]


def test_what_is_held_out_depends_on_no_seed_and_respects_groups():
    labels, groups = np.arange(120) % 4, np.arange(120) // 5
    assert split_hash(hold_out(labels, groups, 0.25)) == split_hash(
        grouped_split(labels, groups, 0.25, seed=0, part="test")
    )
    assert split_hash(hold_out(labels, None, 0.25)) == split_hash(
        stratified_split(labels, 0.25, seed=0, part="test")
    )
    assert not np.array_equal(
        hold_out(labels, None, 0.25).validation,
        split_images(labels, None, 0.25, seed=0).validation,
    )


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        pytest.param(
            [0, 0, 1, 1], [5, 5, 5, 5], r"1 group\(s\) contains all images", id="one group"
        ),
        pytest.param(
            [0, 0, 1, 1], [0, 0, 1, 1], r"2 group\(s\) contains all", id="a group per class"
        ),
    ],
)
def test_groups_that_cannot_be_divided_are_refused(labels, groups, message):
    with pytest.raises(DataError, match=message) as caught:
        grouped_split(np.array(labels), np.array(groups), 0.5, seed=0)
    assert "use a pattern that makes smaller groups, or none" in str(caught.value)


def test_many_groups_of_many_classes():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 100, 10_000), rng.integers(0, 4_000, 10_000)
    split = grouped_split(labels, groups, 0.2, seed=0)
    assert abs(len(split.validation) - 2_000) < 5
    assert (np.abs(np.bincount(labels[split.validation]) - np.bincount(labels) / 5) < 5).all()
