"""Folds and repeated splits: every image judged as often as promised, classes and groups kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.folds import fold_splits, repeated_splits
from hpsearch.training.data.images import Images, Part, Source
from hpsearch.training.data.prepare import prepare
from hpsearch.training.registries import SOURCES

NAMES = tuple("abcdefgh")
DIGITS = DataConfig(source=Component("digits"), limit=203)

seeds = st.integers(0, 2**31 - 1)


def folds_of(labels, groups, folds, seed=0):
    return fold_splits(
        np.asarray(labels),
        None if groups is None else np.asarray(groups),
        folds,
        seed=seed,
        class_names=NAMES,
    )


def assert_each_validates_once(splits, labels):
    together = np.concatenate([each.validation for each in splits])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    for split in splits:
        assert len(split.validation) > 0
        both = np.concatenate([split.train, split.validation])
        assert np.array_equal(np.sort(both), np.arange(len(labels)))
        assert set(labels[split.train]) == set(labels)  # every class trains


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    folds=st.integers(2, 12),
    seed=seeds,
)
def test_each_image_validates_once_and_each_class_in_its_share(labels, folds, seed):
    counts = np.bincount(labels)
    labels = np.array(labels)
    try:
        splits = folds_of(labels, None, folds, seed)
    except DataError as error:
        assert 1 in counts or folds > len(labels), str(error)
        return
    assert len(splits) == folds
    assert_each_validates_once(splits, labels)
    sizes = [len(each.validation) for each in splits]
    assert max(sizes) - min(sizes) <= 1
    by_class = np.array(
        [np.bincount(labels[each.validation], minlength=len(counts)) for each in splits]
    )
    assert (by_class.max(0) - by_class.min(0) <= 1).all()


@st.composite
def grouped(draw):
    n = draw(st.integers(4, 60))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, 25), min_size=n, max_size=n))
    return np.array(labels), np.array(groups)


@given(case=grouped(), folds=st.integers(2, 6), seed=seeds)
def test_no_group_is_in_two_folds(case, folds, seed):
    labels, groups = case
    try:
        splits = folds_of(labels, groups, folds, seed)
    except DataError as error:
        alone = any(len(set(groups[labels == label])) == 1 for label in labels)
        few = len(set(groups)) < folds
        assert alone or few or "can't divide these groups" in str(error)
        return
    assert_each_validates_once(splits, labels)
    for one, other in combinations(splits, 2):
        assert not set(groups[one.validation]) & set(groups[other.validation])


def test_folds_of_groups_are_as_even_as_groups_of_three_allow():
    """Drawings of 60 things by three people, four classes: 15 things a class, 5 folds."""
    things = np.repeat(np.arange(60), 3)
    labels = things % 4
    splits = folds_of(labels, things, 5, seed=3)
    by_class = np.array([np.bincount(labels[each.validation]) for each in splits])
    assert (by_class == 9).all()


def test_a_class_that_would_be_in_one_fold_alone_is_spread():
    # The last two groups, both with an image of class 1, go to the fold that lacks most
    labels = np.array([0, 0, 1, 0, 1, 0])
    groups = np.array([1, 2, 2, 3, 1, 3])
    splits = folds_of(labels, groups, 2)
    assert_each_validates_once(splits, labels)


def test_other_seeds_draw_other_folds_and_the_same_seed_the_same():
    labels = np.arange(60) % 3
    for groups in (None, np.arange(60) // 2 * 3 + labels):
        one, again, other = (folds_of(labels, groups, 4, seed) for seed in (1, 1, 2))
        same = [np.array_equal(a.validation, b.validation) for a, b in zip(one, again, strict=True)]
        assert all(same)
        assert not all(
            np.array_equal(a.validation, b.validation) for a, b in zip(one, other, strict=True)
        )


def test_what_can_not_be_divided_is_refused():
    with pytest.raises(DataError, match=r"at most the number of images \(4\).*but got 5"):
        folds_of([0, 0, 1, 1], None, 5)
    with pytest.raises(DataError, match=r"two images of each class.* only one of class 'b';"):
        folds_of([0, 0, 1], None, 2)
    with pytest.raises(DataError, match=r"at most the number of groups of images \(3\)"):
        folds_of([0, 0, 1, 1], [1, 2, 3, 3], 4)
    with pytest.raises(DataError, match="only one of class 'a' and of 1 more"):
        folds_of([0, 0, 1, 1], [1, 1, 2, 2], 2)


def test_repeated_splits_are_splits_of_their_own_seeds():
    labels = np.arange(50) % 2
    splits = repeated_splits(labels, None, 0.2, 3, seed=1)
    assert [len(each.validation) for each in splits] == [10, 10, 10]
    for split in splits:
        assert np.bincount(labels[split.validation]).tolist() == [5, 5]
        assert not set(split.train) & set(split.validation)
    assert len({tuple(each.validation) for each in splits}) == 3
    others = repeated_splits(labels, None, 0.2, 3, seed=2)
    assert not {tuple(each.validation) for each in splits} & {
        tuple(each.validation) for each in others
    }


def test_prepared_rounds_measure_their_own_training_images(root):
    whole = prepare(replace(DIGITS, folds=5), split_seed=1, root=root)
    assert len(whole.rounds) == 5
    assert len(whole.val_indices) == len(whole.train_indices) == 203
    for each in whole.rounds:
        train = each.images[each.train_indices].double() / 255
        assert each.mean.item() == pytest.approx(train.mean().item())
        assert each.rounds == ()
    assert len({each.mean.item() for each in whole.rounds}) == 5
    judged = torch.cat([each.val_indices for each in whole.rounds]).sort().values
    assert torch.equal(judged, torch.arange(203))


def test_hashes_tell_folds_splits_and_seeds_apart(root):
    settings = [{}, {"folds": 5}, {"folds": 4}, {"splits": 5}, {"splits": 4}]
    found = [prepare(replace(DIGITS, **each), split_seed=1, root=root) for each in settings]
    found.append(
        prepare(replace(DIGITS, folds=5, limit_seed=1), split_seed=2, root=root)  # other folds
    )
    assert len({each.split_hash for each in found}) == 6
    assert len({each.data_hash for each in found}) == 1


def test_on_all_images_there_is_nothing_to_divide(root):
    whole = prepare(replace(DIGITS, folds=5, train_on_validation=True), split_seed=1, root=root)
    assert (whole.rounds, len(whole.train_indices), len(whole.val_indices)) == ((), 203, 0)


@pytest.mark.parametrize("several", [{"folds": 3}, {"splits": 3}])
def test_a_source_with_validation_images_of_its_own_is_refused(root, monkeypatch, several):
    pictures = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    part = Part(read=lambda: Images(images=pictures, labels=np.arange(10) % 2))

    def divided(place, /):
        return Source(name="divided", class_names=("a", "b"), train=part, validation=part)

    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    SOURCES.register("divided")(divided)
    config = DataConfig(source=Component("divided"), **several)
    with pytest.raises(DataError, match=f"data.{next(iter(several))} divides the training images"):
        prepare(config, split_seed=1, root=root)
