"""What is searched for which pictures."""

from __future__ import annotations

import pytest

from hpsearch.starter.finding import SourceChoice
from hpsearch.starter.inspection import Findings
from hpsearch.starter.recipe import recipe_for


def findings(**changes):
    return Findings(
        **{
            "choice": SourceChoice(source="image_folder"),
            "class_names": ("cat", "dog"),
            "per_class": (500, 600),
            "val_images": None,
            "has_test": True,
            "can_hold_out": True,
            "edges": (70, 70, 70),
            "one_size": False,
            "square": True,
            "channels": 3,
            "fewest_groups": 500,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("per_class", "share"), [((500, 600), 0.2), ((3,) * 300, 0.34), ((1,) * 600, 0.5)]
)
def test_every_class_has_a_validation_image_if_possible(per_class, share):
    names = tuple(map(str, range(len(per_class))))
    assert recipe_for(findings(per_class=per_class, class_names=names)).validation == share


def test_uneven_classes_count_alike():
    recipe = recipe_for(findings(per_class=(500, 1000)))
    assert recipe.objective == "val_balanced_accuracy"
    assert recipe.balanced
    assert not recipe_for(findings()).balanced


@pytest.mark.parametrize(
    ("changes", "folds"),
    [
        ({}, None),
        ({"per_class": (100, 110)}, 5),
        ({"per_class": (100, 110), "val_images": 20}, None),  # it validates on these
        ({"per_class": (100, 110), "fewest_groups": 1}, None),  # that group can't do both
    ],
)
def test_few_pictures_are_cross_validated(changes, folds):
    assert recipe_for(findings(**changes)).folds == folds


@pytest.mark.parametrize(
    ("edge", "one_size", "sizes"),
    [
        (70, False, (32, 48, 64)),
        (32, False, (32,)),
        (20, False, (20,)),
        (28, True, (None,)),
        (224, True, (32, 48, 64, 96, 128, 160)),
        (4000, False, (32, 48, 64, 96, 128, 160)),
    ],
)
def test_no_input_is_larger_than_the_pictures(edge, one_size, sizes):
    assert recipe_for(findings(edges=(edge,) * 3, one_size=one_size)).sizes == sizes


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (("cat", "dog"), True),
        (("0", "1", "2"), False),
        (("zero", "one"), False),
        (("letter_a", "letter_b"), False),
        (("turn left", "turn_right"), False),
    ],
)
def test_pictures_of_signs_are_not_mirrored(names, flip):
    changes = {"class_names": names, "per_class": (500,) * len(names)}
    assert recipe_for(findings(**changes)).flip is flip
