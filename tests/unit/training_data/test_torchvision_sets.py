"""torchvision's sets by name, on small files in the exact format of the real ones."""

from __future__ import annotations

import bz2
import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import image_names, prepare
from hpsearch.training.data.sources.torchvision_sets import _SETS, torchvision


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root, may_download=False)


@pytest.fixture
def jpg(pictures):
    def save(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures(8, 8, 3, seed=seed)).save(path)
        return path

    return save


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def svhn(tmp_path, pictures, monkeypatch) -> Path:
    """MATLAB files: X is (32, 32, 3, n), and the label of the digit 0 is 10."""
    known = dict(datasets.SVHN.split_list)
    for part, n in (("train", 30), ("test", 20)):
        path = tmp_path / f"{part}_32x32.mat"
        labels = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(path, {"X": pictures(32, 32, 3, n, seed=n), "y": labels})
        url, name, _ = known[part]
        known[part] = [url, name, _md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", known)
    return tmp_path


def test_svhn(svhn, place, pictures):
    source = torchvision(place, name="svhn", path=svhn)
    assert source.class_names == tuple("0123456789")
    assert source.test is not None
    assert source.validation is None
    for part, n in ((source.train, 30), (source.test, 20)):
        images = part.read()
        assert np.array_equal(images.images, pictures(32, 32, 3, n, seed=n).transpose(3, 0, 1, 2))
        assert images.labels.tolist() == [(k + 1) % 10 for k in range(n)]
    assert tuple(source.train.files) == (svhn / "train_32x32.mat",)


def test_a_damaged_file_is_refused(svhn, place):
    with (svhn / "train_32x32.mat").open("ab") as file:
        file.write(b"x")
    source = torchvision(place, name="SVHN", path=svhn)
    with pytest.raises(
        DataError, match=r"its train part can't be read \(RuntimeError: .*corrupted"
    ):
        source.train.read()


@pytest.fixture
def flowers(tmp_path, jpg, monkeypatch) -> Path:
    folder = tmp_path / "flowers-102"
    for number in range(1, 31):
        jpg(folder / "jpg" / f"image_{number:05}.jpg", seed=number)
    labels = np.arange(30) % 102 + 1
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels})
    numbers = {"trnid": range(1, 11), "valid": range(11, 21), "tstid": range(21, 31)}
    scipy.io.savemat(folder / "setid.mat", {key: [*ids] for key, ids in numbers.items()})
    known = dict(datasets.Flowers102._file_dict)
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        known[key] = (name, _md5(folder / name))
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)
    return tmp_path


def test_flowers102(flowers, place, pictures):
    source = torchvision(place, name="Flowers102", path=flowers)
    assert len(source.class_names) == 102
    assert source.class_names[0] == "pink primrose"
    assert source.validation is not None
    assert source.test is not None
    assert source.train.read().labels.tolist() == [*range(10)]
    assert source.validation.read().labels.tolist() == [*range(10, 20)]
    assert source.test.read().labels.tolist() == [*range(20, 30)]
    names = [file.name for file in source.test.files]
    assert names[:3] == ["imagelabels.mat", "setid.mat", "image_00021.jpg"]
    own = np.asarray(Image.open(flowers / "flowers-102" / "jpg" / "image_00011.jpg"))
    assert np.array_equal(source.validation.read().images[0], own)


@pytest.fixture
def dtd(tmp_path, jpg) -> Path:
    folder = tmp_path / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for part, first in (("train", 0), ("val", 4), ("test", 8)):
        names = [f"{('dotted', 'banded')[n % 2]}/{n:04}.jpg" for n in range(first, first + 4)]
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n")
        for n, name in enumerate(names):
            jpg(folder / "images" / name, seed=n)
    return tmp_path


def test_dtd(dtd, place):
    config = DataConfig(source=Component("torchvision", {"name": "DTD", "path": str(dtd)}))
    prepared = prepare(config, split_seed=1, root=place.root)
    assert prepared.class_names == ("banded", "dotted")
    assert (len(prepared.train_indices), len(prepared.val_indices)) == (4, 4)
    assert prepared.labels.tolist() == [1, 0, 1, 0] * 2
    assert preparing.test_images(config, root=place.root)[1].tolist() == [1, 0, 1, 0]
    names = image_names(config, [5], split_seed=1, root=place.root)
    assert names == {5: "dtd/dtd/images/banded/0005.jpg"}


def test_the_test_part_stays_closed_until_the_end(dtd, place):
    (dtd / "dtd" / "dtd" / "labels" / "test1.txt").unlink()
    source = torchvision(place, name="DTD", path=dtd)
    assert len(source.train.read().labels) == 4
    assert source.test is not None
    with pytest.raises(DataError, match="its test part can't be read"):
        source.test.read()


def test_eurosat_has_no_test_part(tmp_path, jpg, place):
    for n in range(20):
        name = ("Forest", "River")[n % 2]
        jpg(tmp_path / "eurosat" / "2750" / name / f"{name}_{n}.jpg", seed=n)
    source = torchvision(place, name="EuroSAT", path=tmp_path)
    assert source.class_names == ("Forest", "River")
    assert source.test is None
    held = torchvision(place, name="EuroSAT", path=tmp_path, test_fraction=0.2, colour="gray")
    assert held.test is not None
    assert (len(held.train.read().labels), len(held.test.read().labels)) == (16, 4)
    assert held.train.read().images[0].shape == (8, 8, 1)


def test_food101(tmp_path, jpg, place):
    folder = tmp_path / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part in ("train", "test"):
        listed = {food: [f"{food}/{part}{n}" for n in range(3)] for food in ("sushi", "pho")}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(listed))
        for name in (name for names in listed.values() for name in names):
            jpg(folder / "images" / f"{name}.jpg")
    (folder / "meta" / "classes.txt").write_text("sushi\npho\n")
    source = torchvision(place, name="Food101", path=tmp_path)
    assert source.class_names == ("pho", "sushi")
    assert sorted(source.train.read().labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_oxford_pets(tmp_path, jpg, place):
    folder = tmp_path / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part in ("trainval", "test"):
        breeds = ((1, "Abyssinian"), (2, "great_pug"))
        lines = [f"{breed}_{part}{n} {k} 1 1" for k, breed in breeds for n in range(3)]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines))
        for line in lines:
            jpg(folder / "images" / f"{line.split()[0]}.jpg")
    source = torchvision(place, name="OxfordIIITPet", path=tmp_path)
    assert source.class_names == ("Abyssinian", "Great Pug")
    assert source.train.read().labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_gtsrb(tmp_path, pictures, place):
    folder = tmp_path / "gtsrb"
    for label in range(43):  # two tracks, two pictures of each
        for track in ("00000_00000", "00000_00001", "00001_00000", "00001_00001"):
            path = folder / "GTSRB" / "Training" / f"{label:05}" / f"{track}.ppm"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures(2, 2, 3)).save(path)
    test = folder / "GTSRB" / "Final_Test" / "Images" / "00000.ppm"
    test.parent.mkdir(parents=True)
    Image.fromarray(pictures(8, 8, 3)).save(test)
    (folder / "GT-final_test.csv").write_text("Filename;Width;ClassId\n00000.ppm;8;16\n")
    source = torchvision(place, name="GTSRB", path=tmp_path)
    assert len(source.class_names) == 43
    images = source.train.read()
    assert images.labels.tolist() == [k // 4 for k in range(4 * 43)]
    assert images.groups is not None
    assert images.groups.tolist() == [k // 2 for k in range(4 * 43)]
    assert source.test is not None
    assert source.test.read().labels.tolist() == [16]
    assert tuple(source.test.files) == (folder / "GT-final_test.csv", test)


def test_stl10(tmp_path, pictures, place, monkeypatch):
    """Bytes of pictures: channel after channel, and column after column in each."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = pictures(10, 96, 96, 3)
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(pixels.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(range(1, 11)))
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    for part, files in (
        ("train_list", ("train_X", "train_y")),
        ("test_list", ("test_X", "test_y")),
    ):
        known = [[f"{each}.bin", _md5(folder / f"{each}.bin")] for each in files]
        monkeypatch.setattr(datasets.STL10, part, known)
    source = torchvision(place, name="STL10", path=tmp_path)
    images = source.train.read()
    assert np.array_equal(images.images, pixels)
    assert images.labels.tolist() == [*range(10)]


def test_usps(tmp_path, place):
    """Lines of LIBSVM: a label from 1, and values from -1 to 1."""
    for name in ("usps.bz2", "usps.t.bz2"):
        lines = [
            " ".join([str(n % 10 + 1), *(f"{k + 1}:{(k % 3) - 1.0}" for k in range(256))])
            for n in range(10)
        ]
        (tmp_path / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    images = torchvision(place, name="USPS", path=tmp_path).train.read()
    assert images.images.shape == (10, 16, 16, 1)
    assert images.images[0].ravel()[:3].tolist() == [0, 127, 255]
    assert images.labels.tolist() == [*range(10)]


def test_kmnist(tmp_path, pictures, write_idx, place):
    folder = tmp_path / "KMNIST" / "raw"
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", pictures(10, 28, 28))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(10))
    source = torchvision(place, name="KMNIST", path=tmp_path)
    images = source.train.read()
    assert np.array_equal(images.images[..., 0], pictures(10, 28, 28))
    assert images.labels.tolist() == [*range(10)]


@pytest.mark.parametrize("name", _SETS)
def test_every_set_is_torchvisions_and_is_missing_by_name(name, place, tmp_path):
    assert issubclass(getattr(datasets, name), datasets.VisionDataset)
    with pytest.raises(
        DataError, match=f"{name} must be in .* isn't there, and it wasn't downloaded"
    ):
        torchvision(place, name=name)
    with pytest.raises(
        DataError, match=r"isn't there; give the folder that torchvision calls root"
    ):
        torchvision(place, name=name, path=tmp_path)


@pytest.mark.parametrize("name", ["SVHN", "EuroSAT", "Flowers102"])
def test_a_download_without_a_network_is_one_clear_error(name, root, monkeypatch, caplog):
    def offline(*args, **kwargs):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(
        DataError, match=r"download failed \(.*name resolution.*`hpsearch data prep"
    ):
        torchvision(DataRoot(root=root), name=name)
    assert f"{name} (about " in caplog.text
    assert not (root / "torchvision" / name).exists()


def test_other_names_are_refused(place):
    with pytest.raises(DataError, match=r"one of torchvision's sets Country211, .* but got 'Cats'"):
        torchvision(place, name="Cats")
    with pytest.raises(DataError, match=r"source of its own: write data: \{source: cifar10\}"):
        torchvision(place, name="CIFAR10")
    with pytest.raises(DataError, match="but SVHN has some"):
        torchvision(place, name="SVHN", test_fraction=0.1)
