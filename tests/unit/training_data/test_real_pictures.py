"""The emoji pictures of ``shared/data``, where they lie beside the repository."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.prepare import build_source, prepare

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
POINT = r"_([0-9a-f-]+)\.png$"


def shared(name: str) -> Path:
    path = Path(os.environ.get("HPSEARCH_TEST_DATA") or SHARED) / name
    if not path.exists():
        pytest.skip(f"needs {name} (HPSEARCH_TEST_DATA names its folder)")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    archive = shared("emoji_folder.tar")
    target = tmp_path_factory.mktemp("emoji")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "emoji_folder"


def test_the_pickle_of_report_e(root):
    source = Component("pickled_dict", {"path": str(shared("emoji5_32.pkl"))})
    config = DataConfig(source=source, validation=205)
    data = prepare(config, split_seed=5, root=root)
    assert data.input_shape == (3, 32, 32)
    assert (len(data.train_indices), len(data.val_indices)) == (800, 205)
    assert data.class_names == ("transport", "animal", "food", "person", "object")
    assert torch.bincount(data.labels).tolist() == [144, 216, 215, 215, 215]
    assert data.class_counts.tolist() == [115, 172, 171, 171, 171]
    assert (data.mean > 0.7).all()  # pictures on white


@pytest.mark.parametrize("taken", [{}, {"limit": 700}, {"per_class": 30}], ids=str)
def test_no_code_point_is_on_both_sides(folder, root, taken):
    settings = {"path": str(folder), "group": POINT, "test_fraction": 0.15}
    config = replace(DataConfig(source=Component("image_folder", settings), input_size=32), **taken)
    source = build_source(config, root)
    parts = {name: getattr(source, name).files for name in ("train", "test")}
    points = {name: {file.stem.split("_", 1)[1] for file in files} for name, files in parts.items()}
    assert sum(map(len, parts.values())) == 1400
    assert not points["train"] & points["test"]
    assert len(parts["test"]) == pytest.approx(210, abs=3)
    data = prepare(config, split_seed=3, root=root)
    assert len(data.class_names) == 22
    # Rows of the cache in the order of the source's files, of which some were taken
    entry = preparing._training_entry(source, preparing._request(config, root, split_seed=3))
    files = [parts["train"][index] for index in entry.array("chosen")]
    sides = [
        {files[index].stem.split("_", 1)[1] for index in indices}
        for indices in (data.train_indices, data.val_indices)
    ]
    assert not sides[0] & sides[1]
    assert len(data.val_indices) == pytest.approx(0.2 * len(files), abs=3)
    assert (torch.bincount(data.labels[data.val_indices], minlength=22) > 0).all()
    assert (data.class_counts > 0).all()


def test_the_whole_folder_is_22_classes_of_1400_pictures(folder, root):
    config = DataConfig(source=Component("image_folder", {"path": str(folder)}))
    data = prepare(config, split_seed=3, root=root)
    assert data.images.shape == (1400, 3, 64, 64)
    counts = torch.bincount(data.labels)
    assert (counts.min().item(), counts.max().item()) == (48, 84)
    assert data.class_names[0] == "animal-bird"
    assert data.class_names[-1] == "tool"
