"""Parquet files with pictures inside, as Hugging Face's package ``datasets`` writes them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import image_names, prepare
from hpsearch.training.data.sources import parquet as module
from hpsearch.training.data.sources.parquet import parquet
from hpsearch.training.data.sources.table_rows import require_pyarrow

arrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def save(tmp_path, pictures):
    """Writes rows of pictures as ``datasets.Dataset.to_parquet`` does: 4 rows per row group."""

    def save(name: str, count: int = 12, seed: int = 0, labels=None, features=None, **extra):
        def png(number: int) -> bytes:
            held = io.BytesIO()
            Image.fromarray(pictures(4, 6, 3, seed=seed + number)).save(held, "PNG")
            return held.getvalue()

        columns = {
            "image": [{"bytes": png(n), "path": f"{n}.png"} for n in range(count)],
            "label": [n % 3 for n in range(count)] if labels is None else labels,
            **extra,
        }
        if features is None:
            features = {
                "image": {"_type": "Image"},
                "label": {"names": NAMES, "_type": "ClassLabel"},
            }
        table = arrow.table(columns)
        metadata = json.dumps({"info": {"features": features}}) if features != {} else "{"
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table.replace_schema_metadata({"huggingface": metadata}), path, row_group_size=4
        )
        return path

    return save


def test_one_file_is_read_with_its_class_names(save, place, pictures):
    source = parquet(place, path=save("test/some.parquet"))
    images = source.train.read()
    assert source.class_names == tuple(NAMES)
    assert images.labels.tolist() == [n % 3 for n in range(12)]
    assert len(images.images) == 12
    for index in (11, 0, 5, 4):
        assert np.array_equal(images.images[index], pictures(4, 6, 3, seed=index))
    assert source.validation is source.test is None
    assert source.notes == ("columns found: 'image' (pictures), 'label' (classes)",)


def test_one_block_of_rows_is_in_memory_at_a_time(save, place, monkeypatch):
    pictures = parquet(place, path=save("some.parquet")).train.read().images
    read = []
    own = module._Pictures._contents
    monkeypatch.setattr(
        module._Pictures,
        "_contents",
        lambda self, block: read.append(block.number) or own(self, block),
    )
    for index in range(12):
        assert pictures[index].shape == (4, 6, 3)
    assert read == [0, 1, 2]


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002", "data/train-00001-of-00002", "data/validation-00000-of-00001",
         "data/test-00000-of-00001"],
        ["default/train/0000", "default/train/0001", "default/validation/0000",
         "default/test/0000"],
        ["set_train_0", "set_train_1", "set_val", "set_test"],
    ],
)  # fmt: skip
def test_parts_are_in_the_names(save, place, tmp_path, pictures, names):
    files = [save(f"{name}.parquet", seed=20 * n) for n, name in enumerate(names)]
    config = DataConfig(source=Component("parquet", {"path": str(tmp_path)}))
    prepared = prepare(config, split_seed=1, root=place.root)
    assert (len(prepared.train_indices), len(prepared.val_indices)) == (24, 12)
    test, labels = preparing.test_images(config, root=place.root)
    assert np.array_equal(test[3].numpy().transpose(1, 2, 0), pictures(4, 6, 3, seed=63))
    assert labels.tolist() == [n % 3 for n in range(12)]
    source = parquet(place, path=tmp_path)
    assert source.train.files == tuple(files[:2])
    (name,) = image_names(config, [17], split_seed=1, root=place.root).values()
    assert name == f"{files[1].name} row 6"


def test_test_labels_stay_closed_until_the_end(save, place, tmp_path):
    """Hugging Face's hidden labels are -1."""
    save("train-00000-of-00001.parquet")
    save("test-00000-of-00001.parquet", labels=[-1] * 12)
    source = parquet(place, path=tmp_path)
    assert len(source.train.read().labels) == 12
    assert source.test is not None
    with pytest.raises(
        DataError, match=r"12 of 12 in column 'label' .*\.parquet row 1: -1; .*9 more"
    ):
        source.test.read()


def test_test_pictures_may_be_held_out_or_given(save, place):
    train, test = save("a.parquet"), save("b.parquet", seed=20)
    held = parquet(place, path=train, test_fraction=0.25)
    assert held.test is not None
    assert (len(held.train.read().labels), len(held.test.read().labels)) == (9, 3)
    given = parquet(place, path=train, test_path=test)
    assert given.test is not None
    assert given.test.files == (test,)
    with pytest.raises(DataError, match="test_fraction sets test pictures aside"):
        parquet(place, path=train, test_path=test, test_fraction=0.25)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(["b", "c", "a"] * 4, ("a", "b", "c"), id="texts"),
        pytest.param([2, 10, 2] * 4, ("2", "10"), id="numbers"),
        pytest.param([True, False, True] * 4, ("False", "True"), id="truth"),
    ],
)
@pytest.mark.parametrize("features", [{"image": {"_type": "Image"}}, {}, {"label": 3}])
def test_labels_are_the_classes_without_metadata(save, place, labels, names, features):
    source = parquet(place, path=save("a.parquet", labels=labels, features=features))
    assert source.class_names == names
    assert [names[label] for label in source.train.read().labels] == [*map(str, labels)]


def test_columns_are_given_where_they_are_not_clear(save, place):
    """As in CIFAR-100, which has fine and coarse labels."""
    fine = {"names": NAMES, "_type": "ClassLabel"}
    path = save(
        "a.parquet",
        coarse=[n % 2 for n in range(12)],
        features={"label": fine, "coarse": {"names": ["x", "y"], "_type": "ClassLabel"}},
        who=[f"p{n // 3}" for n in range(12)],
    )
    with pytest.raises(DataError, match=r"parquet\.label must name .* 'coarse' \(int64\)"):
        parquet(place, path=path)
    source = parquet(place, path=path, label="coarse", group="who")
    groups = source.train.read().groups
    assert source.class_names == ("x", "y")
    assert groups is not None
    assert groups.tolist() == [n // 3 for n in range(12)]
    with pytest.raises(DataError, match=r"parquet\.group must be a column, but 'x' isn't"):
        parquet(place, path=path, label="coarse", group="x")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"labels": [0, 1, 7] * 4}, r"0 to 2\), but 4 of 12 .*row 3: 7", id="outside"),
        pytest.param({"labels": [0, 1, None] * 4}, "row 3: no label", id="none"),
        pytest.param(
            {"labels": [0.5, 1.5, 2.5] * 4, "features": {}}, "whole numbers or", id="float"
        ),
        pytest.param({"labels": [1] * 12, "features": {}}, "at least two classes", id="one class"),
        pytest.param(
            {"photo": [b"x"] * 12, "image": [0] * 12}, "row 1 .not a picture", id="plain bytes"
        ),
    ],
)
def test_a_file_that_cant_be_used_is_refused(save, place, values, says):
    with pytest.raises(DataError, match=says):
        parquet(place, path=save("a.parquet", **values)).train.read().images[0]


def test_a_picture_that_isnt_in_the_file_is_named(save, place):
    pictures = [{"bytes": b"no picture", "path": None}, {"bytes": None, "path": "1.png"}, None] * 4
    images = parquet(place, path=save("a.parquet", image=pictures)).train.read().images
    with pytest.raises(DamagedPicture, match=r"a\.parquet row 5 \(its bytes aren't in the file\)"):
        images[4]
    with pytest.raises(
        DamagedPicture, match=r"a\.parquet row 1 \(not a picture that can be read\)"
    ):
        images[0]


def test_files_that_dont_belong_together_are_refused(save, place, tmp_path):
    save("one/train-00000-of-00003.parquet")
    with pytest.raises(DataError, match="lacks 2 of them, such as train-00001-of-00003"):
        parquet(place, path=tmp_path / "one")
    save("two/a/train.parquet")
    save("two/b/train.parquet")
    with pytest.raises(DataError, match=r"must be in one folder, but .* contains train files in"):
        parquet(place, path=tmp_path / "two")
    save("three/train.parquet")
    save("three/other.parquet")
    with pytest.raises(DataError, match=r"must contain its part .*, but other\.parquet"):
        parquet(place, path=tmp_path / "three")
    save("four/test.parquet")
    with pytest.raises(DataError, match="must contain training pictures"):
        parquet(place, path=tmp_path / "four")
    (tmp_path / "five").mkdir()
    with pytest.raises(DataError, match="contains none"):
        parquet(place, path=tmp_path / "five")
    with pytest.raises(DataError, match="doesn't exist"):
        parquet(place, path=tmp_path / "six")


def test_a_damaged_file_is_named(save, place):
    path = save("a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet must be a Parquet file, but can't be read"):
        parquet(place, path=path)


def test_the_package_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'hpsearch\[parquet\]'"):
        require_pyarrow(Path("a.parquet"))
