"""Which source reads a path, and what is said of paths that none reads."""

from __future__ import annotations

import io
import os
import tarfile

import numpy as np
import pytest
from support.photo_folders import photos

from hpsearch.errors import DataError, UserError
from hpsearch.starter.finding import SourceChoice, find, find_named, with_changes
from hpsearch.starter.inspection import inspect_path

BOTH = {"cat": 1, "dog": 1}


def settings(path):
    choice = find(path)
    assert choice.source == "image_folder"
    return {key: os.path.relpath(value, path) for key, value in choice.settings.items()}


def test_a_folder_of_class_folders(tmp_path):
    assert settings(photos(tmp_path, BOTH)) == {"path": "."}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "Testing"), ("seg_train", "seg_dev", "test1")],
)
def test_parts_are_found_by_their_names(tmp_path, train, val, test):
    for part in (train, val, test):
        photos(tmp_path / part, BOTH)
    (tmp_path / "documents").mkdir()
    assert settings(tmp_path) == {"path": train, "val_path": val, "test_path": test}
    assert "documents" in find(tmp_path).notes[-1]


def test_a_part_inside_a_folder_of_the_same_name(tmp_path):
    photos(tmp_path / "train" / "train", BOTH)
    photos(tmp_path / "test" / "test", BOTH)
    assert settings(tmp_path) == {"path": "train/train", "test_path": "test/test"}


def test_a_test_part_without_classes_is_left_out(tmp_path):
    photos(tmp_path / "train", BOTH)
    photos(tmp_path, {"test": 3})
    assert settings(tmp_path) == {"path": "train"}
    assert "test is left out" in find(tmp_path).notes[0]


def test_two_test_folders_are_classes(tmp_path):
    photos(tmp_path, {"train": 1, "test1": 1, "test2": 1})
    assert settings(tmp_path) == {"path": "."}


def test_what_macos_adds_is_no_class(tmp_path):
    photos(tmp_path / "photos", BOTH)
    photos(tmp_path / "__MACOSX", BOTH)
    photos(tmp_path / "photos" / "__MACOSX", BOTH)
    assert settings(tmp_path) == {"path": "photos"}
    assert inspect_path(photos(tmp_path, {"photos/cat": 10})).class_names == ("cat", "dog")


def test_the_folder_that_an_archive_adds_is_skipped(tmp_path):
    photos(tmp_path / "photos-main" / "photos", BOTH)
    assert settings(tmp_path) == {"path": "photos-main/photos"}
    assert "photos-main" in find(tmp_path).notes[0]


def test_mnist_and_pickles(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    assert find(tmp_path).source == "idx"
    (tmp_path / "images.pkl").touch()
    assert find(tmp_path / "images.pkl").source == "pickled_dict"


def table(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_of_file_names_and_classes(tmp_path):
    file = table(tmp_path / "labels.csv", "image,label", "1.png,cat", "2.png,dog")
    assert find(file).source == "table"
    assert find(file).settings == {"path": str(file), "file": "image", "label": "label"}
    photos(tmp_path, {"images": 3})  # one folder beside the table is no class
    assert find(tmp_path).settings == find(file).settings


def test_parts_and_groups_of_a_table(tmp_path):
    rows = [f"{n}.png,{n % 2},p{n // 2},{'train' if n < 4 else 'test'}" for n in range(6)]
    file = table(tmp_path / "data.csv", "file_name,target,patient_id,split", *rows)
    assert find(file).settings == {
        "path": str(file),
        "file": "file_name",
        "label": "target",
        "split": "split",
        "group": "patient_id",
    }


def test_the_one_archive_beside_a_table(tmp_path):
    file = table(tmp_path / "labels.csv", "image,label", "1.png,cat", "2.png,dog")
    (tmp_path / "images.zip").touch()
    assert find(file).settings["images_path"] == str(tmp_path / "images.zip")
    photos(tmp_path, {"images": 3})
    assert "images_path" not in find(file).settings


def test_keys_that_cannot_be_found_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choice = find(table(tmp_path / "labels.csv", "image,label", "1.png,cat", "2.png,dog"))
    own_choice = with_changes(choice, {"data.source.table.images_path": "elsewhere"})
    assert own_choice.settings["images_path"] == str(tmp_path / "elsewhere")
    for path in ("data.source.arrays.layout", "data.source.table.pictures", "data.limit"):
        with pytest.raises(UserError, match=r"data\.source\.table\.KEY .* images_path"):
            with_changes(choice, {path: 1})


def test_tables_of_a_competition(tmp_path):
    file = table(tmp_path / "train.csv", "image_id,label", "1.png,cat", "2.png,dog")
    table(tmp_path / "sample_submission.csv", "image_id,label", "3.png,cat")
    table(tmp_path / "test.csv", "image_id", "3.png")
    photos(tmp_path, {"train_images": 2, "test_images": 2})
    file.with_name("extra.csv").write_text("image_id,label\n3.png,cat\n")
    assert find(tmp_path).settings["path"] == str(file)


def test_a_table_without_classes(tmp_path):
    file = table(tmp_path / "a.csv", "image,width,height", "1.png,3,4")
    photos(tmp_path, {"images": 1})
    for path in (file, tmp_path):
        text = message(path)
        assert "image, width, height" in text
        assert "rename them to image and label" in text


def test_arrays(tmp_path):
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels, val_images=images)
    assert find(tmp_path / "set.npz").settings == {
        "path": str(tmp_path / "set.npz"),
        "images_key": "train_images",
        "labels_key": "train_labels",
    }
    assert find(tmp_path) == find(tmp_path / "set.npz")
    (tmp_path / "b.npz").touch()
    assert "b.npz, set.npz; give the path of one" in message(tmp_path)
    (tmp_path / "files").mkdir()
    np.save(tmp_path / "files" / "x.npy", images)
    np.save(tmp_path / "files" / "y.npy", labels)
    choice = find(tmp_path / "files" / "x.npy")
    assert (choice.source, choice.settings["path"]) == ("arrays", str(tmp_path / "files"))
    assert find(tmp_path / "files") == choice


def shard(path, *about):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for n, files in enumerate(about):
            for ending, content in {"jpg": b"x", **files}.items():
                member = tarfile.TarInfo(f"{n}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_webdataset_shards(tmp_path):
    samples = [{"cls": b"1"}, {"cls": b"0"}]
    file = shard(tmp_path / "set" / "train-000.tar", *samples)
    shard(tmp_path / "set" / "val-000.tar", *samples)
    assert (find(file).source, find(file).settings) == ("webdataset", {"path": str(file)})
    assert find(tmp_path / "set").settings == {"path": str(tmp_path / "set")}
    # Groups that repeat, in json
    samples = [{"json": b'{"label": 1, "patient_id": "p%d"}' % (n // 2)} for n in range(4)]
    assert find(shard(tmp_path / "a.tar", *samples)).settings["group"] == "patient_id"
    assert "group" not in find(shard(tmp_path / "b.tar", *samples[::2])).settings
    # An archive of pictures that have no class beside them
    text = message(shard(tmp_path / "c.tar", {}, {}))
    assert "must be unpacked first" in text


def test_sets_by_their_names():
    assert find_named("digits") == SourceChoice(source="digits")
    assert find_named("FashionMNIST") == SourceChoice(source="fashion_mnist")
    assert find_named("svhn") == SourceChoice(source="torchvision", settings={"name": "SVHN"})


def test_parquet_with_pictures_inside_and_with_their_names(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    inside = tmp_path / "set" / "data"
    inside.mkdir(parents=True)
    picture = {"bytes": b"", "path": "1.png"}
    pictures = pa.table({"image": [picture] * 2, "label": [0, 1]})
    parquet.write_table(pictures, inside / "train-00000-of-00001.parquet")
    choice = find(tmp_path / "set")
    settings = {"path": str(tmp_path / "set"), "image": "image", "label": "label"}
    assert (choice.source, choice.settings) == ("parquet", settings)
    assert find(inside / "train-00000-of-00001.parquet").source == "parquet"
    names = pa.table({"image": ["1.png", "2.png"], "label": ["cat", "dog"]})
    parquet.write_table(names, tmp_path / "names.parquet")
    assert find(tmp_path / "names.parquet").source == "table"


def message(path):
    with pytest.raises(DataError) as error:
        find(path)
    return str(error.value)


def test_pictures_without_classes(tmp_path):
    photos(tmp_path, {"flat": 3})
    text = message(tmp_path / "flat")
    assert "3 pictures" in text
    assert "move them into a folder for each class" in text


def test_one_class(tmp_path):
    text = message(photos(tmp_path, {"cat": 3}))
    assert "at least two classes" in text
    assert "'cat'" in text


def test_an_empty_folder(tmp_path):
    assert "contains no folder and no picture" in message(tmp_path)


def test_folders_without_pictures_name_the_one_with_classes(tmp_path):
    (tmp_path / "a").mkdir()
    photos(tmp_path / "b", BOTH)
    assert f"if {tmp_path / 'b'} contains the classes, give that folder" in message(tmp_path)


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz", "PHOTOS.7Z"])
def test_an_archive_is_to_be_unpacked(tmp_path, name):
    (tmp_path / name).touch()
    assert "must be unpacked first" in message(tmp_path / name)
    assert name in message(tmp_path)


def test_other_files(tmp_path):
    (tmp_path / "1.png").touch()
    (tmp_path / "a.doc").touch()
    assert "is one picture" in message(tmp_path / "1.png")
    assert "a.doc" in message(tmp_path / "a.doc")
    assert "doesn't" in message(tmp_path / "nothing")


def test_a_path_that_no_study_file_can_contain(tmp_path):
    bad = tmp_path / os.fsdecode(b"\xff")
    bad.mkdir()
    assert "UTF-8" in message(bad)
