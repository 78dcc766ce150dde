"""IDX files, and the sources that lie in them."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.training.data import room
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.sources import idx as idx_module
from hpsearch.training.data.sources.idx import (
    DEBIAN_FASHION_MNIST,
    fashion_mnist,
    idx,
    mnist,
    read_idx,
)
from hpsearch.training.registries import SOURCES

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def no_debian_package(monkeypatch, tmp_path):
    monkeypatch.setattr(idx_module, "DEBIAN_FASHION_MNIST", tmp_path / "debian")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_are_read_plain_and_compressed(mnist_folder, place, pictures, suffix):
    source = idx(place, path=mnist_folder(suffix=suffix))
    train, test = source.train.read(), source.test.read()
    assert np.array_equal(train.images[..., 0], pictures(100, 12, 10, seed=100))
    assert np.array_equal(test.images[..., 0], pictures(20, 12, 10, seed=20))
    assert train.labels.dtype == np.int64
    assert np.array_equal(train.labels, np.arange(100) % 10)
    assert source.class_names == tuple("0123456789")


def test_training_opens_no_test_file(mnist_folder, place):
    folder = mnist_folder()
    for file in folder.glob("t10k*"):
        file.unlink()
    source = idx(place, path=folder)
    assert len(source.train.read().labels) == 100
    with pytest.raises(DataError, match=r"a data file is missing: .*t10k-images-idx3-ubyte\.gz"):
        source.test.read()


def test_a_path_may_be_text_relative_or_of_home(mnist_folder, place, monkeypatch):
    folder = mnist_folder()
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for path in (str(folder), "idx", "~/idx"):
        source = SOURCES.build(Component("idx", {"path": path}), place)
        assert source.train.files == (folder / IMAGES, folder / LABELS)


def header(kind: int, *shape: int) -> bytes:
    return bytes((0, 0, kind, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "starts with nothing", id="empty"),
        pytest.param(header(8, 2, 2, 2)[:9], "starts with 00 00 08 03", id="half a header"),
        pytest.param(header(8, 2), "must start with 00 00 08 03", id="labels for images"),
        pytest.param(header(0x0D, 1, 1, 1) + bytes(4), "starts with 00 00 0d 03", id="floats"),
        pytest.param(b"<html>\n<body>", "starts with 3c 68 74 6d", id="an error page"),
        pytest.param(
            header(8, 2, 3, 4) + bytes(23), "= 24 bytes of data, but contains 23", id="cut"
        ),
        pytest.param(
            header(8, 2, 3, 4) + bytes(25), "= 24 bytes of data, but contains more", id="long"
        ),
        pytest.param(
            gzip.compress(header(8, 1, 9, 11) + bytes(99))[:-9], "can't be read", id="a cut gzip"
        ),
        pytest.param(b"\x1f\x8b" + bytes(20), "can't be read", id="a gzip of nonsense"),
        pytest.param(
            gzip.compress(header(8, 1, 9, 11) + bytes(99))[:-7] + bytes(7),
            "can't be read",
            id="a wrong checksum",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path, raw, message):
    path = tmp_path / "train-images"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)
    assert "get the file again" in str(caught.value)


def test_labels_out_of_range_are_named(mnist_folder, place, write_idx):
    folder = mnist_folder()
    labels = np.arange(100, dtype=np.uint8) % 10
    labels[50] = 10
    write_idx(folder / LABELS, labels)
    source = fashion_mnist(place, path=folder)
    with pytest.raises(DataError, match=rf"between 0 and 9, but .*{LABELS} contains 10"):
        source.train.read()


def test_images_and_labels_must_be_equally_many(mnist_folder, place, write_idx):
    folder = mnist_folder()
    write_idx(folder / LABELS, np.zeros(99, dtype=np.uint8))
    with pytest.raises(DataError, match=rf"{IMAGES} contains 100 images and .*{LABELS} 99 labels"):
        idx(place, path=folder).train.read()


def test_labels_without_names_count_from_0_without_a_gap(mnist_folder, place, write_idx):
    folder = mnist_folder()
    write_idx(folder / LABELS, np.arange(100, dtype=np.uint8) % 4 + 1)  # as EMNIST's letters
    with pytest.raises(DataError, match=rf"but .*{LABELS} goes up to 4 and has no 0; give data.s"):
        idx(place, path=folder)
    assert idx(place, path=folder, class_names=[*"-abcd"]).class_names == (*"-abcd",)


def test_a_small_gzip_of_many_bytes_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "train-images"
    whole = gzip.compress(header(8, 500, 1000, 1000) + bytes(1_000_000))
    path.write_bytes(whole)
    monkeypatch.setattr(room, "free_memory", lambda: 100_000_000)
    with pytest.raises(
        DataError, match=r"reading .*train-images needs about 500 MB of memory, but"
    ):
        read_idx(path, dimensions=3)
    path.write_bytes(gzip.compress(header(8, 1, 2, 2) + bytes(300_000_000), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="= 4 bytes of data, but contains more"):
        read_idx(path, dimensions=3)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train-images")
    with pytest.raises(DataError, match=r"can't be read \(not a regular file, but a FIFO\)"):
        read_idx(tmp_path / "train-images", dimensions=3)


@pytest.mark.parametrize("source", [idx, fashion_mnist])
def test_a_given_folder_must_hold_the_files(source, place, tmp_path, mnist_folder):
    with pytest.raises(DataError, match=rf"{source.__name__}\.path must be a folder .*nowhere"):
        source(place, path=tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file isn't a folder"):
        source(place, path=tmp_path / "file")
    folder = mnist_folder()
    (folder / LABELS).unlink()
    with pytest.raises(DataError, match=f"{folder} lacks {LABELS}"):
        source(place, path=folder)


def test_fashion_mnist_is_found_in_the_data_root_first(place, mnist_folder, monkeypatch):
    debian = mnist_folder("debian", ".gz")
    monkeypatch.setattr(idx_module, "DEBIAN_FASHION_MNIST", debian)
    assert fashion_mnist(place).origin == str(debian)
    mnist_folder("data root/fashion_mnist")
    assert fashion_mnist(place).origin == str(place.root / "fashion_mnist")


class FakeMnist:
    """What torchvision's class tells of the files."""

    mirrors = ("http://mirror/",)
    resources = tuple(
        (f"{part}-{kind}-ubyte.gz", f"md5 of {part} {kind}")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )


@pytest.fixture
def torchvision_download(monkeypatch, no_debian_package):
    """Replaces torchvision's ``download_url``, and the list of files by one that is known."""
    import torchvision.datasets
    from torchvision.datasets import utils

    def replace(download) -> None:
        for name in ("FashionMNIST", "MNIST"):
            monkeypatch.setattr(torchvision.datasets, name, FakeMnist)
        monkeypatch.setattr(utils, "download_url", download)

    return replace


def test_a_download_fills_the_data_root(place, mnist_folder, torchvision_download):
    server, asked = mnist_folder("server", ".gz"), []

    def download(url: str, folder: Path, *, filename: str, md5: str) -> None:
        asked.append((url, md5))
        (folder / filename).write_bytes((server / filename).read_bytes())

    torchvision_download(download)
    source = fashion_mnist(place)
    assert asked[0] == ("http://mirror/train-images-idx3-ubyte.gz", "md5 of train images-idx3")
    assert len(asked) == 4
    assert source.origin == str(place.root / "fashion_mnist")
    assert len(source.train.read().labels) == 100
    fashion_mnist(place)
    assert len(asked) == 4


def test_mnist_is_a_folder_or_a_download(place, mnist_folder, torchvision_download):
    server, asked = mnist_folder("server", ".gz"), []
    assert mnist(place, path=server).origin == str(server)

    def download(url: str, folder: Path, *, filename: str, md5: str) -> None:
        asked.append(url)
        (folder / filename).write_bytes((server / filename).read_bytes())

    torchvision_download(download)
    source = mnist(place)
    assert source.class_names == tuple("0123456789")
    assert source.origin == str(place.root / "mnist")
    assert len(source.train.read().labels) == 100
    assert len(asked) == 4


def test_mnist_that_is_nowhere_says_what_to_do(root, no_debian_package):
    with pytest.raises(DataError) as caught:
        mnist(DataRoot(root=root, may_download=False))
    assert (
        f"mnist needs its four IDX files, but they are not in {root / 'mnist'}, and it wasn't "
        "downloaded; put train-images-idx3-ubyte.gz, "
    ) in str(caught.value)


def test_classes_may_be_named(place, mnist_folder):
    folder = mnist_folder(classes=3)
    assert idx(place, path=folder, class_names=["a", "b", "c", "d"]).class_names == tuple("abcd")
    with pytest.raises(
        DataError, match=r"between 0 and 1, but .*train-labels-idx1-ubyte contains 2"
    ):
        idx(place, path=folder, class_names=["a", "b"]).train.read()


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        RuntimeError("File not found or corrupted."),
        TimeoutError("timed out"),
    ],
)
def test_a_download_that_fails_says_what_to_do(place, torchvision_download, error):
    def download(url: str, folder: Path, *, filename: str, md5: str) -> None:
        (folder / filename).write_bytes(b"half")
        raise error

    torchvision_download(download)
    with pytest.raises(DataError) as caught:
        fashion_mnist(place)
    message, own = str(caught.value), place.root / "fashion_mnist"
    assert f"neither in {own} nor in" in message
    assert f"the download failed ({error})" in message
    assert "install Debian's package dataset-fashion-mnist" in message
    assert f"t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into {own}" in message
    assert "data.source.fashion_mnist.path" in message
    assert [path.name for path in place.root.iterdir()] == ["fashion_mnist.lock"]


def test_nothing_is_downloaded_where_that_is_not_wanted(root, no_debian_package):
    with pytest.raises(DataError, match="and it wasn't downloaded; install Debian's package"):
        fashion_mnist(DataRoot(root=root, may_download=False))
    assert not root.exists()


@pytest.mark.skipif(
    not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist isn't installed"
)
def test_the_real_fashion_mnist(place):
    source = fashion_mnist(place)
    train, test = source.train.read(), source.test.read()
    assert train.images.shape == (60000, 28, 28, 1)
    assert test.images.shape == (10000, 28, 28, 1)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    # The first training picture is an ankle boot; the set's mean is known from everywhere.
    assert source.class_names[train.labels[0]] == "Ankle boot"
    assert train.images.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
