"""CIFAR-10 in its authors' format."""

from __future__ import annotations

import pickle
import shutil
import tarfile
import urllib.error
import warnings
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from hpsearch.errors import DataError
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.sources.cifar import cifar10, cifar100
from hpsearch.training.data.sources.cifar_files import read_batch


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


def test_a_batch_of_python_2_is_read_as_torchvision_reads_it(cifar_folder):
    path = cifar_folder((1,)) / "data_batch_1"
    # As in torchvision's CIFAR10; the file is this test's own, so that plain pickle may load it.
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some NumPy releases dislike what Python 2 wrote
        entry = pickle.load(file, encoding="latin1")  # noqa: S301
    expected = np.vstack([entry["data"]]).reshape(-1, 3, 32, 32).transpose((0, 2, 3, 1))
    images, labels = read_batch(path, classes=10)
    assert np.array_equal(images, expected)
    assert labels.tolist() == entry["labels"]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("keys", [str, str.encode], ids=["text keys", "bytes keys"])
def test_copies_of_python_3_are_read_too(tmp_path, pictures, protocol, keys):
    data, labels = pictures(7, 3072), [n % 10 for n in range(7)]
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({keys("data"): data, keys("labels"): labels}, protocol))
    images, numbers = read_batch(path, classes=10)
    assert np.array_equal(images.transpose(0, 3, 1, 2).reshape(7, 3072), data)
    assert numbers.tolist() == labels


def test_every_batch_trains_unless_batches_are_chosen(cifar_folder, place):
    folder = cifar_folder()
    source = cifar10(place, path=folder)
    train = source.train.read()
    assert train.images.shape == (200, 32, 32, 3)
    assert source.validation is None
    first = read_batch(folder / "data_batch_1", classes=10)
    assert np.array_equal(train.images[:40], first[0])
    assert np.array_equal(train.labels[:40], first[1])


def test_official_batches_train_and_validate(cifar_folder, place):
    # Batches 3 to 5 and the test batch needn't even be there.
    folder = cifar_folder((1, 2))
    (folder / "test_batch").unlink()
    source = cifar10(place, path=folder, train_batches=[2], val_batches=[1])
    for part, batch in ((source.train, 2), (source.validation, 1)):
        images, labels = read_batch(folder / f"data_batch_{batch}", classes=10)
        assert np.array_equal(part.read().images, images)
        assert np.array_equal(part.read().labels, labels)
        assert part.files == (folder / f"data_batch_{batch}",)
    with pytest.raises(DataError, match=r"a data file is missing: .*test_batch"):
        source.test.read()


def test_report_c_trains_on_batch_1_validates_on_2_and_tests_on_the_test_batch(cifar_folder, place):
    folder = cifar_folder((1, 2))
    source = cifar10(place, path=folder, train_batches=[1], val_batches=[2])
    assert source.train.files == (folder / "data_batch_1",)
    assert source.validation.files == (folder / "data_batch_2",)
    assert source.test.files == (folder / "test_batch",)
    images, labels = read_batch(folder / "test_batch", classes=10)
    assert np.array_equal(source.test.read().images, images)
    assert np.array_equal(source.test.read().labels, labels)


def test_other_batches_may_test(cifar_folder, place):
    folder = cifar_folder((1, 4, 5))
    settings = {"path": folder, "train_batches": [1]}
    source = cifar10(place, **settings, test_batches=[4, "test"])
    assert source.test.files == (folder / "data_batch_4", folder / "test_batch")
    assert cifar10(place, **settings, test_batches=[]).test is None


def test_class_names_come_from_the_meta_file(cifar_folder, place):
    folder = cifar_folder((1,))
    assert cifar10(place, path=folder, train_batches=[1]).class_names[3] == "cat"
    names = [f"class {n}" for n in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, 2))
    assert cifar10(place, path=folder, train_batches=[1]).class_names == tuple(names)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names[:9]}, 2))
    with pytest.raises(
        DataError, match=r"batches\.meta must contain 10 'label_names', but contains"
    ):
        cifar10(place, path=folder, train_batches=[1])


def test_the_folder_above_will_do(cifar_folder, place):
    folder = cifar_folder((1,))
    assert cifar10(place, path=folder.parent, train_batches=[1]).origin == str(folder)


def test_the_data_root_is_searched(cifar_folder, place):
    folder = cifar_folder(within="data root/cifar10")
    assert cifar10(place).origin == str(folder)


DATA = np.zeros((3, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        pytest.param([1], "lacks them; the file is damaged, or another one", id="no dictionary"),
        pytest.param({"labels": [1]}, "lacks them", id="no data"),
        pytest.param({"data": DATA}, "lacks them", id="no labels"),
        pytest.param({"data": b"x", "labels": [1]}, "lacks them", id="no array"),
        pytest.param(
            {"data": DATA.astype(float), "labels": [0] * 3},
            r"contains data of type float64 and shape \(3, 3072\)",
            id="floats",
        ),
        pytest.param(
            {"data": DATA[:, 1:], "labels": [0] * 3}, r"shape \(3, 3071\)", id="other pictures"
        ),
        pytest.param(
            {"data": DATA, "labels": [0] * 2}, "contains 3 images and 2 labels", id="few labels"
        ),
        pytest.param({"data": DATA[:0], "labels": []}, "contains 0 images", id="no images"),
        pytest.param(
            {"data": DATA, "labels": ["a"] * 3}, "3 images and no list of numbers", id="names"
        ),
        pytest.param(
            {"data": DATA, "labels": [0, 10, 0]},
            "between 0 and 9, but .* contains 10",
            id="label 10",
        ),
        pytest.param(
            {"data": DATA, "labels": [0, 0, -1]},
            "between 0 and 9, but .* contains -1",
            id="label -1",
        ),
    ],
)
def test_a_batch_of_something_else_is_named(tmp_path, batch, message):
    path = tmp_path / "data_batch_4"
    path.write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataError, match=message) as caught:
        read_batch(path, classes=10)
    assert str(path) in str(caught.value)


def test_a_truncated_batch_is_named(cifar_folder):
    path = cifar_folder((1,)) / "data_batch_1"
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DataError, match=r"data_batch_1 isn't a complete pickle.*download it again"):
        read_batch(path, classes=10)


def test_a_hostile_batch_is_refused_by_name(tmp_path):
    path = tmp_path / "data_batch_1"
    path.write_bytes(b"cos\nsystem\n(X\x04\x00\x00\x00truetR.")
    with pytest.raises(DataError, match=r"data_batch_1 contains os\.system; it was not loaded"):
        read_batch(path, classes=10)


@pytest.mark.parametrize(
    ("train", "validation", "test", "message"),
    [
        pytest.param([], [1], [], "train_batches must contain at least one", id="none"),
        pytest.param([1, 1], [], [], "may be used once, .* but 1 is used twice", id="twice"),
        pytest.param([1, 2, 3], [3, 2], [], "but 2, 3 is used twice", id="on both sides"),
        pytest.param([1], [], [1], "test_batches, but 1 is used twice", id="trained and tested"),
        pytest.param([1], [2], ["test", "test"], "but test is used twice", id="tested twice"),
    ],
)
def test_impossible_batches_are_refused(cifar_folder, place, train, validation, test, message):
    with pytest.raises(DataError, match=message):
        cifar10(
            place,
            path=cifar_folder(),
            train_batches=train,
            val_batches=validation,
            test_batches=test,
        )


def test_a_given_folder_must_hold_the_batches(cifar_folder, place, tmp_path):
    with pytest.raises(DataError, match=r"cifar10\.path must be an unpacked .*nowhere doesn't exi"):
        cifar10(place, path=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cifar-10-batches-py lacks data_batch_2, data_batch_4"):
        cifar10(place, path=cifar_folder((1, 3, 5)))


@pytest.fixture
def torchvision_download(monkeypatch):
    """Replaces torchvision's ``download_and_extract_archive``."""
    from torchvision.datasets import utils

    return lambda download: monkeypatch.setattr(utils, "download_and_extract_archive", download)


def test_a_download_completes_the_data_root(cifar_folder, place, tmp_path, torchvision_download):
    server = cifar_folder(within="server")
    partial = cifar_folder((1,), within="data root/cifar10")

    def download(url: str, folder: Path, *, filename: str, md5: str) -> None:
        assert (filename, len(md5)) == ("cifar-10-python.tar.gz", 32)
        with tarfile.open(folder / filename, "w:gz") as archive:
            archive.add(server, server.name)
        with tarfile.open(folder / filename) as archive:
            archive.extractall(folder, filter="data")

    torchvision_download(download)
    source = cifar10(place)
    assert source.origin == str(partial)
    assert len(source.train.read().labels) == 200
    assert sorted(p.name for p in (place.root / "cifar10").iterdir()) == ["cifar-10-batches-py"]


def test_a_download_that_fails_says_what_to_do(place, torchvision_download):
    def download(*args, **kwargs) -> None:
        raise urllib.error.URLError("Name or service not known")

    torchvision_download(download)
    with pytest.raises(DataError) as caught:
        cifar10(place)
    message, own = str(caught.value), place.root / "cifar10"
    assert f"{own} doesn't exist, and the download failed (<urlopen error Name or" in message
    assert f"unpack cifar-10-python.tar.gz into {own}" in message
    assert "or give the folder cifar-10-batches-py as data.source.cifar10.path" in message


def test_nothing_is_downloaded_where_that_is_not_wanted(root):
    with pytest.raises(DataError, match="doesn't exist, and it wasn't downloaded; unpack"):
        cifar10(DataRoot(root=root, may_download=False))
    assert not root.exists()


@pytest.fixture
def cifar100_folder(tmp_path, pictures):
    """Writes an unpacked ``cifar-100-python`` with 200 training and 100 test images."""

    def make(within: str = "cifar100") -> Path:
        folder = tmp_path / within / "cifar-100-python"
        folder.mkdir(parents=True)
        for name, n in (("train", 200), ("test", 100)):
            batch = {
                "data": pictures(n, 3072, seed=n),
                "fine_labels": [i % 100 for i in range(n)],
                "coarse_labels": [i % 20 for i in range(n)],
            }
            (folder / name).write_bytes(pickle.dumps(batch, 2))
        names = {
            "fine_label_names": [f"kind {n}" for n in range(100)],
            "coarse_label_names": [f"family {n}" for n in range(20)],
        }
        (folder / "meta").write_bytes(pickle.dumps(names, 2))
        return folder

    return make


@pytest.mark.parametrize(
    ("labels", "classes", "name"), [("fine", 100, "kind 7"), ("coarse", 20, "family 7")]
)
def test_cifar100_has_fine_and_coarse_labels(cifar100_folder, place, labels, classes, name):
    folder = cifar100_folder()
    source = cifar100(place, path=folder.parent, labels=labels)
    assert source.class_names[7] == name
    assert source.train.read().labels.tolist() == [n % classes for n in range(200)]
    images, _ = read_batch(folder / "test", classes=100, labels_key="fine_labels")
    assert np.array_equal(source.test.read().images, images)
    assert source.validation is None
    assert source.settings == {"labels": labels}


def test_what_cifar100_lacks_is_named(cifar100_folder, place):
    folder = cifar100_folder()
    (folder / "meta").unlink()
    with pytest.raises(DataError, match=r"cifar100\.path must be an unpacked cifar-100-python w"):
        cifar100(place, path=folder)
    with pytest.raises(DataError, match="lacks meta"):
        cifar100(place, path=folder)
    with pytest.raises(DataError, match=r"needs its files train and meta, but .*cifar100 doesn't"):
        cifar100(DataRoot(root=place.root, may_download=False))


def test_a_cifar10_batch_is_no_cifar100(cifar100_folder, cifar_folder, place):
    folder = cifar100_folder()
    batch = (cifar_folder((1,)) / "data_batch_1").read_bytes()
    (folder / "train").write_bytes(batch)
    with pytest.raises(DataError, match=r"and 'fine_labels' \(n numbers\), but .*train lacks them"):
        cifar100(place, path=folder).train.read()


def test_cifar100_is_downloaded_from_where_torchvision_says(
    cifar100_folder, place, torchvision_download
):
    server = cifar100_folder("server")

    def download(url: str, folder: Path, *, filename: str, md5: str) -> None:
        assert (filename, md5) == (CIFAR100.filename, CIFAR100.tgz_md5)
        assert url == CIFAR100.url
        (folder / filename).write_text("the archive")
        shutil.copytree(server, folder / server.name)

    torchvision_download(download)
    source = cifar100(place)
    assert source.origin == str(place.root / "cifar100" / "cifar-100-python")
    assert len(source.train.read().labels) == 200
