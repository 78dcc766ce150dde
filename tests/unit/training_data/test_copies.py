"""Copies of a picture on both sides of a split are counted, wherever they come to lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.copies import copies_across
from hpsearch.training.data.prepare import PreparedData, prepare


@pytest.fixture
def folder(tmp_path: Path, pictures) -> Path:
    """Two classes of 12 pictures, no two alike."""
    for name, seed in (("cats", 1), ("dogs", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, pixels in enumerate(pictures(12, 6, 6, 3, seed=seed)):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def prepared(folder: Path, root: Path, **settings) -> PreparedData:
    source = Component("image_folder", {"path": str(folder), **settings.pop("source", {})})
    return prepare(DataConfig(source=source, **settings), split_seed=3, root=root)


def copy(folder: Path, *names: str) -> None:
    """Save pictures a second time, under another name and in the other class."""
    for name in names:
        cls, number = name.split("/")
        other = "dogs" if cls == "cats" else "cats"
        (folder / other / f"again-{number}.png").write_bytes(
            (folder / cls / f"{number}.png").read_bytes()
        )


def counted_by_comparing(data: PreparedData) -> int:
    images = data.images.numpy()
    found = set()
    for each in data.rounds or (data,):
        for row in each.val_indices.tolist():
            if any(np.array_equal(images[row], images[other]) for other in each.train_indices):
                found.add(row)
    return len(found)


def test_none(folder, root):
    assert copies_across(prepared(folder, root, validation=0.5)) == 0


def test_all_that_lie_on_both_sides(folder, root):
    copy(folder, *(f"{cls}/{number}" for cls in ("cats", "dogs") for number in range(8)))
    data = prepared(folder, root, validation=0.5)

    expected = counted_by_comparing(data)

    assert 0 < expected < 16  # some pairs came to lie on one side
    assert copies_across(data) == expected


def test_folds_count_an_image_once(folder, root):
    copy(folder, "cats/1", "cats/2", "dogs/3")
    data = prepared(folder, root, folds=4)

    assert copies_across(data) == counted_by_comparing(data) > 0


def test_copies_of_one_group_lie_on_one_side(folder, root):
    copy(folder, *(f"cats/{number}" for number in range(8)))
    by_number = {"group": r"(\d+)\.png"}
    data = prepared(folder, root, validation=0.5, source=by_number)

    assert copies_across(data) == 0


def test_it_is_measured_once_for_a_split(folder, root):
    copy(folder, "cats/1", "cats/2", "dogs/3", "dogs/4")
    data = prepared(folder, root, validation=0.5)
    first = copies_across(data)
    blank = replace(data, images=torch.zeros_like(data.images))

    assert copies_across(blank) == first < len(data.val_indices)
    for memo in data.cache_folder.glob("copies-*.json"):
        memo.write_text("{")
    assert copies_across(blank) == len(data.val_indices)


def test_one_other_pixel_makes_another_picture(tmp_path, root):
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.full((6, 6, 3), 7, dtype=np.uint8)
            pixels[-1, -1, -1] = 20 * number + (name == "cats")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")

    assert copies_across(prepared(tmp_path / "photos", root, validation=0.5)) == 0
