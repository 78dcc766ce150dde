"""NumPy's files: arrays that are found, labels of several kinds, and everything that is refused."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import prepare
from hpsearch.training.data.sources.array_files import ArrayKeys, arrays_in, find_arrays
from hpsearch.training.data.sources.arrays import arrays

LABELS = np.arange(30) % 3


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def save(tmp_path):
    def save(name: str = "a.npz", *, compressed: bool = False, **values) -> Path:
        path = tmp_path / name
        (np.savez_compressed if compressed else np.savez)(path, **values)
        return path

    return save


@pytest.fixture
def medical(pictures):
    """The arrays of a MedMNIST file: labels are columns."""
    sizes = {"train": 30, "val": 9, "test": 12}
    images = {f"{part}_images": pictures(n, 8, 8, 3, seed=n) for part, n in sizes.items()}
    labels = {
        f"{part}_labels": (np.arange(n) % 3)[:, None].astype(np.uint8) for part, n in sizes.items()
    }
    return images | labels


def found(*keys: str, **shapes: tuple[int, ...]) -> ArrayKeys:
    return find_arrays(dict.fromkeys(keys, (9,)) | shapes)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("x", "y"),
        ("X", "y"),
        ("images", "labels"),
        ("data", "target"),
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("X_train", "Y_train"),
        ("trainX", "trainY"),
        ("train-imgs", "train-targets"),
    ],
)
def test_arrays_are_found_by_common_names(images, labels):
    assert found(images, labels) == ArrayKeys(images={"train": images}, labels={"train": labels})


def test_parts_are_found_by_common_names():
    parts = found("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "class_names")
    assert parts.images == {"train": "x_train", "validation": "x_val", "test": "x_test"}
    assert parts.labels == {"train": "y_train", "validation": "y_val", "test": "y_test"}
    assert parts.names == "class_names"


def test_what_isnt_clear_isnt_found():
    assert found("x", "images", "y").images == {}
    assert found("train_images_mask", "train_labels").images == {}
    assert found(arr_0=(9,), arr_1=(9, 8, 8)).images == {"train": "arr_1"}
    assert found(arr_0=(9,), arr_1=(9, 64)) == ArrayKeys()
    assert found(arr_0=(9,), arr_1=(9, 8, 8), arr_2=(9,)) == ArrayKeys()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_medmnist_file_needs_no_keys(medical, save, place, compressed):
    source = arrays(place, path=save(compressed=compressed, **medical))
    assert source.class_names == ("0", "1", "2")
    for part, name in ((source.train, "train"), (source.validation, "val"), (source.test, "test")):
        assert part is not None
        images = part.read()
        assert np.array_equal(images.images, medical[f"{name}_images"])
        assert images.labels.tolist() == medical[f"{name}_labels"][:, 0].tolist()
        assert images.labels.dtype == np.int64
        assert images.groups is None
    (note,) = source.notes
    assert "train 'train_images': uint8 (30, 8, 8, 3), 'train_labels': uint8 (30, 1); " in note


def test_the_test_arrays_stay_closed_until_the_end(medical, save, place):
    medical["test_labels"] = np.full((12, 1), 77)
    source = arrays(place, path=save(**medical))
    assert len(source.train.read().labels) == 30
    assert source.test is not None
    with pytest.raises(DataError, match=r"one of the classes .* 12 of 12 in 'test_labels'"):
        source.test.read()


def test_a_folder_gives_what_an_archive_gives(medical, save, tmp_path, root):
    (tmp_path / "folder").mkdir()
    for key, value in medical.items():
        np.save(tmp_path / "folder" / f"{key}.npy", value)

    def prepared(path: Path):
        config = DataConfig(source=Component("arrays", {"path": str(path)}))
        test = preparing.test_images(config, root=root)
        return prepare(config, split_seed=1, root=root), test

    (folder, test), (archive, test_of_archive) = map(
        prepared, (tmp_path / "folder", save(**medical))
    )
    assert folder.data_hash == archive.data_hash
    assert folder.split_hash == archive.split_hash
    assert all(np.array_equal(*pair) for pair in zip(test, test_of_archive, strict=True))
    assert len(folder.val_indices) == 9


def test_only_the_files_of_a_part_are_its_identity(medical, tmp_path, place):
    for key, value in medical.items():
        np.save(tmp_path / f"{key}.npy", value)
    source = arrays(place, path=tmp_path)
    assert {file.name for file in source.train.files} == {"train_images.npy", "train_labels.npy"}


def test_two_files_may_be_a_pair(pictures, tmp_path, place):
    np.save(tmp_path / "scans.npy", np.asfortranarray(pictures(30, 8, 8)))
    np.save(tmp_path / "truth.npy", LABELS)
    pair = {"path": tmp_path / "scans.npy", "labels_path": tmp_path / "truth.npy"}
    source = arrays(place, **pair, class_names=["cat", "dog", "eel"], test_fraction=0.2)
    assert source.class_names == ("cat", "dog", "eel")
    assert source.test is not None
    train, test = source.train.read(), source.test.read()
    assert (len(train.labels), len(test.labels)) == (24, 6)
    (first,) = set(np.flatnonzero((pictures(30, 8, 8) == test.images[0][:, :, 0]).all((1, 2))))
    assert LABELS[first] == test.labels[0]
    with pytest.raises(DataError, match=r"labels_path is for two \.npy files"):
        arrays(place, path=tmp_path, labels_path=tmp_path / "truth.npy")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(LABELS, "012", id="numbers"),
        pytest.param(LABELS.astype(np.float32), "012", id="whole floats"),
        pytest.param(LABELS[:, None], "012", id="a column"),
        pytest.param(np.eye(3)[LABELS], "012", id="a single 1"),
        pytest.param(np.array(["a", "b", "c"])[LABELS], "abc", id="texts"),
        pytest.param(np.array([b"a", b"b", b"c"])[LABELS], "abc", id="bytes"),
    ],
)
def test_kinds_of_labels(pictures, save, place, labels, names):
    source = arrays(place, path=save(x=pictures(30, 8, 8), y=labels))
    assert source.class_names == tuple(names)
    assert source.train.read().labels.tolist() == LABELS.tolist()


def test_labels_without_names_may_be_any_numbers(pictures, save, place):
    source = arrays(place, path=save(x=pictures(30, 8, 8), y=LABELS * 9 + 2))
    assert source.class_names == ("2", "11", "20")
    assert source.train.read().labels.tolist() == LABELS.tolist()
    signed = arrays(place, path=save("b.npz", x=pictures(30, 8, 8), y=LABELS % 2 * 2 - 1))
    assert signed.class_names == ("-1", "1")


def test_labels_count_names(pictures, save, place):
    path = save(x=pictures(30, 8, 8), y=LABELS, label_names=np.array(["cat", "dog", "eel", "fox"]))
    source = arrays(place, path=path)
    assert source.class_names == ("cat", "dog", "eel", "fox")
    assert source.train.read().labels.tolist() == LABELS.tolist()
    with pytest.raises(
        DataError, match=r"between 0 and 1 .*10 of 30 in 'y' .* such as 2 at index 2"
    ):
        arrays(place, path=path, class_names=["cat", "dog"]).train.read()


def test_groups_are_an_array(pictures, save, place):
    path = save(x=pictures(30, 8, 8), y=LABELS, who=np.arange(30) // 3)
    grouped = arrays(place, path=path, groups_key="who").train.read().groups
    assert grouped is not None
    assert grouped.tolist() == (np.arange(30) // 3).tolist()
    with pytest.raises(DataError, match=r"'who': int64 .* differ in length"):
        path = save("b.npz", x=pictures(30, 8, 8), y=LABELS, who=np.arange(3))
        arrays(place, path=path, groups_key="who").train.read()


def test_keys_are_given_where_they_are_not_clear(pictures, save, place):
    path = save(x=pictures(30, 8, 8), images=pictures(30, 8, 8, seed=1), a=LABELS, b=LABELS[::-1])
    with pytest.raises(
        DataError, match=r"images_key must name .* contains 'x': uint8 \(30, 8, 8\)"
    ):
        arrays(place, path=path)
    with pytest.raises(
        DataError, match=r"arrays\.labels_key must name the array of the train labels"
    ):
        arrays(place, path=path, images_key="x")
    with pytest.raises(DataError, match="labels_key must be the name of an array, but 'c' isn't"):
        arrays(place, path=path, images_key="x", labels_key="c")
    source = arrays(place, path=path, images_key="images", labels_key="b")
    assert source.notes == ()
    assert source.train.read().labels.tolist() == LABELS[::-1].tolist()
    assert np.array_equal(source.train.read().images[..., 0], pictures(30, 8, 8, seed=1))


def test_parts_may_be_files_of_their_own(pictures, save, place, medical):
    train, test = (save(f"{n}.npz", x=pictures(n, 8, 8), y=np.arange(n) % 3) for n in (30, 12))
    source = arrays(place, path=train, test_path=test)
    assert source.test is not None
    assert source.test.files == (test,)
    with pytest.raises(DataError, match="test_fraction sets test images aside"):
        arrays(place, path=train, test_path=test, test_fraction=0.2)
    with pytest.raises(DataError, match="the test images must be given once"):
        arrays(place, path=save(**medical), test_path=test)


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(lambda x: x.transpose(0, 3, 1, 2), id="NCHW"),
        pytest.param(lambda x: x / 255, id="unit"),
        pytest.param(lambda x: (x / 127.5 - 1).astype(np.float32), id="symmetric"),
        pytest.param(lambda x: x.astype(np.int64), id="large numbers"),
    ],
)
def test_pixels_are_converted_as_everywhere(pictures, save, place, saved):
    pixels = pictures(30, 8, 9, 3)
    source = arrays(place, path=save(x=saved(pixels), y=LABELS))
    assert np.array_equal(source.train.read().images, pixels)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"x": np.zeros((30, 3, 8, 3))}, "layout must give", id="two orders"),
        pytest.param({"x": np.zeros((30, 8, 8, 8), np.uint8)}, "1 or 3 channels", id="volumes"),
        pytest.param({"x": np.full((30, 8, 8), 900)}, "pixel values must be", id="beyond 255"),
        pytest.param({"x": np.full((30, 8, 8), np.nan)}, "finite", id="NaN"),
        pytest.param({"x": np.zeros((29, 8, 8), np.uint8)}, "differ in length", id="too few"),
        pytest.param({"y": np.ones((30, 14))}, "several classes for one picture", id="many labels"),
        pytest.param({"y": np.linspace(0, 1, 30)}, "one whole number or text", id="fractions"),
        pytest.param({"y": np.zeros(30, int)}, "two classes, .*'y' .* only 0", id="one class"),
        pytest.param({"class_names": LABELS}, "different texts", id="names are numbers"),
    ],
)
def test_arrays_that_cant_be_used_are_refused(pictures, save, place, values, says):
    path = save(**{"x": pictures(30, 8, 8), "y": LABELS} | values)
    with pytest.raises(DataError, match=says):
        arrays(place, path=path).train.read()


class _Call:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_a_pickle_in_an_array_isnt_read(pictures, tmp_path, place, name):
    calls = np.array([_Call(tmp_path / "ran")] * 30, dtype=object)
    if name == "a.npz":
        np.savez(tmp_path / name, x=pictures(30, 8, 8), y=calls)
    else:
        np.save(tmp_path / name, calls, allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.np. contains Python objects, which only pickle"):
        arrays_in(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def _npy(shape: str, data: bytes = b"", descr: str = "'|u1'") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            _npy("(9, 9)", b"x" * 80), r"must contain uint8 \(9, 9\), but its", id="short"
        ),
        pytest.param(_npy("(9, 9)", b"x" * 82), "its size is another one", id="long"),
        pytest.param(_npy("(99999999999, 99999999999)"), "its size is another", id="huge"),
        pytest.param(_npy("(-9, -9)", b"x" * 81), "its size is another one", id="negative"),
        pytest.param(_npy("(9,)", b"x" * 9, "'|O'"), "Python objects", id="objects"),
        pytest.param(_npy("__import__('os').mkdir('ran')"), "can't be read", id="a call"),
        pytest.param(_npy("(" * 9000), "can't be read", id="deep"),
        pytest.param(b"\x93NUMPY\x03\x00" + bytes(9), "plain numbers", id="a later version"),
        pytest.param(b"no array", "can't be read", id="something else"),
        pytest.param(b"", "can't be read", id="nothing"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_hostile_array_is_refused(tmp_path, monkeypatch, content, says, packed):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("a.npz" if packed else "a.npy")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.np.*{says}"):
        arrays_in(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_damaged_archive_is_refused(tmp_path, save, place):
    path = save(x=np.zeros((30, 8, 8), np.uint8), y=LABELS)
    content = bytearray(path.read_bytes())
    held = io.BytesIO()
    np.save(held, np.zeros((30, 8, 8), np.uint8))
    at = content.index(held.getvalue()) + 1000
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz must be .* \(Bad CRC-32"):
        arrays(place, path=path).train.read()
    path.write_bytes(content[:-20])
    with pytest.raises(DataError, match=r"a\.npz must be a file of numpy\.save or numpy\.savez"):
        arrays(place, path=path)


def test_the_path_must_be_arrays(tmp_path, place):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")
    for name, says in (
        ("empty", "contains none"),
        ("gone", "doesn't exist"),
        ("fifo.npz", "isn't"),
    ):
        with pytest.raises(DataError, match=rf"arrays\.path must .*{name} {says}"):
            arrays(place, path=tmp_path / name)
