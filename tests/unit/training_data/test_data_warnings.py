"""What makes an accuracy say less than it seems to is said with its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.data_warnings import data_warnings, images_per_class
from hpsearch.training.data.images import Images, Part, Source
from hpsearch.training.data.prepare import prepare
from hpsearch.training.registries import SOURCES


@pytest.fixture
def warned(root, monkeypatch) -> Callable[..., tuple[str, ...]]:
    """The warnings of so many images per class, divided as the settings say."""

    def warned(counts: list[int], *, validation_part: list[int] | None = None, **settings):
        def part(counts: list[int]) -> Part:
            labels = np.repeat(np.arange(len(counts)), counts)
            pixels = np.zeros((len(labels), 2, 2, 1), np.uint8)
            return Part(read=lambda: Images(images=pixels, labels=labels))

        source = Source(
            name=f"s{counts}{validation_part}",
            class_names=tuple(f"c{number}" for number in range(len(counts))),
            train=part(counts),
            validation=None if validation_part is None else part(validation_part),
        )
        monkeypatch.setattr(SOURCES, "build", lambda component, place: source)
        config = replace(DataConfig(source=Component("any", {"c": str(source.name)})), **settings)
        data = prepare(config, split_seed=1, root=root)
        limited = settings.get("limit") or settings.get("per_class")
        assert limited or sum(images_per_class(data)) == sum(counts) + sum(validation_part or [])
        return data_warnings("mine", data)

    return warned


def test_nothing_is_said_of_usual_images(warned):
    assert warned([20, 30, 40]) == ()
    assert warned([20, 30, 40], folds=5) == ()
    assert warned([20, 30, 40], splits=3, validation=0.4) == ()
    assert warned([20, 30], validation_part=[5, 6]) == ()


def test_classes_that_validate_and_never_train(warned):
    one, other = warned([1] * 30, validation=8)
    assert one.startswith("8 of 30 classes (c")
    assert (
        "of data source mine have no training image, so a model gets 8 of the 8 validation" in one
    )
    assert other.startswith("22 of 30 classes (c")
    assert "have no validation image, so the accuracy doesn't include them" in other
    assert " and 12 more)" in other
    (only,) = warned([20, 0, 20], validation_part=[5, 5, 5])
    assert only.startswith("1 of 3 classes (c1) of data source mine has no training image, so a ")
    assert "a model gets 5 of the 15 validation images wrong" in only


def test_more_images_validate_than_train(warned):
    (only,) = warned([100, 100, 100], validation=205)
    assert only == (
        "205 of the 300 images of data source mine are validation images, so a model trains on 95 "
        "only; use a smaller data.validation to train on more"
    )
    (split,) = warned([100, 100], splits=2, validation=150)
    assert split.startswith("150 of the 200 images")


def test_classes_without_an_image(warned):
    (only,) = warned([20, 0, 20])
    assert only.startswith("1 of 3 classes (c1) of data source mine has no image at all")


def test_rare_classes_say_nothing_of_themselves(warned):
    (only,) = warned([20, 20, 1])
    assert only.startswith("1 of 3 classes (c2) of data source mine has no validation image")


def test_a_model_that_trains_on_everything_has_nothing_to_validate(warned):
    assert warned([20, 20, 1], train_on_validation=True) == ()
