"""What is in a folder of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from support.photo_folders import photos

from hpsearch.errors import DataError
from hpsearch.starter.finding import SourceChoice
from hpsearch.starter.inspection import inspect, inspect_path
from hpsearch.starter.recipe import recipe_for


def test_numbers_sizes_and_colours(tmp_path):
    photos(tmp_path, {"cat": 20, "dog": 30}, size=(40, 60))
    findings = inspect_path(tmp_path)
    assert findings.class_names == ("cat", "dog")
    assert findings.per_class == (17, 25)  # without the test images
    assert findings.choice.settings["test_fraction"] == 0.15
    assert findings.edges == (40, 40, 40)
    assert not findings.square
    assert findings.channels == 3


def test_gray_pictures_have_one_channel(tmp_path):
    findings = inspect_path(photos(tmp_path, {"cat": 6, "dog": 6}, gray=True))
    assert findings.choice.settings["colour"] == "gray"
    assert findings.channels == 1


def test_few_pictures_are_all_trained_on(tmp_path):
    findings = inspect_path(photos(tmp_path, {"cat": 6, "dog": 6}))
    assert "test_fraction" not in findings.choice.settings
    assert not findings.has_test


def test_parts_of_the_folder_are_kept(tmp_path):
    for part, count in {"train": 20, "val": 5, "test": 5}.items():
        photos(tmp_path / part, {"cat": count, "dog": count})
    findings = inspect_path(tmp_path)
    assert (findings.images, findings.val_images, findings.has_test) == (40, 10, True)
    assert "test_fraction" not in findings.choice.settings


def test_certain_groups_become_a_key(tmp_path):
    photos(tmp_path, {"cat": 30, "dog": 30}, name=lambda n: f"p_{n // 3}_{n}.png")
    findings = inspect_path(tmp_path)
    assert findings.groups is not None
    assert not findings.groups.certain  # p_0 is in both classes
    assert "group" not in findings.choice.settings
    photos(tmp_path / "b", {"cat": 30}, name=lambda n: f"c_{n // 3}_{n}.png")
    photos(tmp_path / "b", {"dog": 30}, name=lambda n: f"d_{n // 3}_{n}.png")
    certain = inspect_path(tmp_path / "b")
    assert certain.choice.settings["group"] == "^([^_]+_[^_]+)_"
    assert certain.fewest_groups < 30


def test_groups_that_two_parts_share_are_left_to_a_person(tmp_path):
    for part in ("train", "val"):
        photos(tmp_path / part, {"cat": 30}, name=lambda n: f"c_{n // 3}_{n}.png")
        photos(tmp_path / part, {"dog": 30}, name=lambda n: f"d_{n // 3}_{n}.png")
    findings = inspect_path(tmp_path)
    assert findings.groups is not None
    assert not findings.groups.certain
    assert "group" not in findings.choice.settings


def test_a_table_holds_out_its_test_pictures_by_group(tmp_path):
    photos(tmp_path, {"images": 60})
    rows = [f"{n}.png,{'cat' if n % 4 < 2 else 'dog'},p{n // 2}" for n in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,patient", *rows]))
    findings = inspect_path(tmp_path)
    assert findings.choice.source == "table"
    assert findings.choice.settings["group"] == "patient"
    assert findings.choice.settings["test_fraction"] == 0.15
    assert findings.images < 60
    assert findings.images % 2 == 0  # whole groups
    assert findings.class_names == ("cat", "dog")


def test_a_column_of_groups_that_the_parts_of_a_table_divide_is_left_out(tmp_path):
    photos(tmp_path, {"images": 60})
    rows = [f"{n}.png,{n % 2},p{n // 4},{'train' if n < 50 else 'val'}" for n in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,patient,split", *rows]))
    choice = inspect_path(tmp_path).choice
    assert "group" not in choice.settings
    assert choice.settings["split"] == "split"
    assert "'patient' isn't used" in choice.notes[-2]
    assert "p12" in choice.notes[-2]
    assert "some are in several parts" in choice.notes[-1]


def test_groups_in_the_file_names_of_a_table(tmp_path):
    names = [f"{'cd'[n % 2]}_{n // 6}_{n}.png" for n in range(60)]
    photos(tmp_path, {"images": 60}, name=names.__getitem__)
    rows = [f"{name},{'cat' if name[0] == 'c' else 'dog'}" for name in names]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    findings = inspect_path(tmp_path)
    assert findings.choice.settings["group_pattern"] == "^([^_]+_[^_]+)_"
    assert findings.fewest_groups < 30


def test_arrays_in_one_file(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.arange(60)[:, None] % 3)
    findings = inspect_path(tmp_path / "set.npz")
    assert (findings.one_size, findings.channels, findings.edges) == (True, 1, (28, 28, 28))
    assert findings.choice.settings["test_fraction"] == 0.15
    assert recipe_for(findings).sizes == (None,)


def test_too_few_pictures(tmp_path):
    photos(tmp_path, {"cat": 2, "dog": 1})
    with pytest.raises(DataError, match=r"at least 10 pictures .* has 3; add pictures"):
        inspect_path(tmp_path)


def test_damaged_pictures(tmp_path):
    photos(tmp_path, {"cat": 6, "dog": 6})
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 12 that were tried is"):
        inspect_path(tmp_path)


def test_a_built_in_source(tmp_path):
    findings = inspect(SourceChoice(source="digits"), tmp_path)
    assert (findings.images, findings.val_images, findings.has_test) == (1442, None, True)
    recipe = recipe_for(findings)
    assert recipe.sizes == (None,)
    assert not recipe.flip  # the classes are digits
    assert recipe.folds is None
    assert recipe.objective == "val_accuracy"


def test_ten_thousand_classes(tmp_path):
    for number in range(10_000):
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / "1.png").touch()
    photos(tmp_path, {"c0": 1})
    findings = inspect_path(tmp_path)
    assert len(findings.class_names) == 10_000
    assert recipe_for(findings).folds is None
