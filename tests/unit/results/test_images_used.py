from __future__ import annotations

import pytest

from hpsearch.component_registries import registries
from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.results.images_used import images_used
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.study import StudyFile


def study(**data: object) -> StudyFile:
    document = {
        "study": "sizes",
        "budget": {"trials": 1, "epochs_per_trial": 1},
        "data": {"source": "digits", **data},
        "model": "mlp",
        "optimizer": {"sgd": {"lr": {"min": 0.1, "max": 0.2}}},
        "batch_size": {"values": [8, 16]},
    }
    return study_from_document(document, registries)


def test_every_source_limit_and_size_once():
    used = images_used(
        study(
            source={"cifar10": {"train_batches": {"values": [[1], [2]]}}, "digits": {}},
            input_size={"min": 8, "max": 32, "step": 8},
            limit={"values": [None, 100]},
        )
    )
    assert len(used) == 3 * 4 * 2
    assert {config.input_size for config in used} == {8, 16, 24, 32}
    assert used[0].source.settings["train_batches"] == [1]
    assert {config.limit for config in used if config.source == Component("digits")} == {None, 100}


def test_what_is_applied_later_makes_no_difference():
    flip = {"horizontal_flip": {"probability": {"min": 0.0, "max": 1.0}}}
    (config,) = images_used(study(validation={"min": 0.1, "max": 0.5}, augmentation=flip))
    assert config.augmentation == ()


def test_more_sizes_than_anybody_has_room_for():
    with pytest.raises(UserError, match="at most 200 sizes can be prepared in advance"):
        images_used(study(input_size={"min": 1, "max": 300}))
