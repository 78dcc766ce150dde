"""Whether sources are available, and what preparing one opens."""

from __future__ import annotations

import pytest

from hpsearch.errors import DataError, UnknownName
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.availability import available, list_sources
from hpsearch.training.data.prepare import prepare
from hpsearch.training.data.sources import idx


def test_preparing_a_source_opens_no_test_images(mnist_folder, root):
    folder = mnist_folder(classes=5)
    for file in folder.glob("t10k*"):
        file.unlink()
    config = DataConfig(source=Component("idx", {"path": folder}), limit=40, validation=10)
    data = prepare(config, split_seed=3, root=root)
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert data.input_shape == (1, 12, 10)
    for indices, images in ((data.train_indices, 6), (data.val_indices, 2)):
        assert data.labels[indices].bincount().tolist() == [images] * 5
    on_disk = sum(file.stat().st_size for file in data.cache_folder.glob("*.npy"))
    assert data.cache_bytes == on_disk >= 40 * 12 * 10


def test_every_source_is_listed_without_the_network(root, monkeypatch, tmp_path):
    monkeypatch.setattr(idx, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    found = {each.name: each for each in list_sources(root)}
    assert {"cifar10", "digits", "fashion_mnist", "idx"} <= set(found)
    assert found["digits"].ready
    assert found["digits"].detail == "scikit-learn"
    assert "1,797 handwritten digits" in found["digits"].description
    assert not found["idx"].ready
    assert found["idx"].detail == "needs data.source.idx.path"
    assert not found["cifar10"].ready
    assert f"unpack cifar-10-python.tar.gz into {root / 'cifar10'}" in found["cifar10"].detail
    assert not found["fashion_mnist"].ready
    assert "install Debian's package" in found["fashion_mnist"].detail
    assert not root.exists()


def test_a_source_that_is_here_tells_where(mnist_folder, root):
    folder = mnist_folder("data root/fashion_mnist")
    found = available("fashion_mnist", root)
    assert found.ready
    assert found.detail == str(folder)


def test_an_unknown_source_is_refused(root):
    with pytest.raises(UnknownName, match="unknown data source 'minst'"):
        available("minst", root)


def test_a_missing_source_is_an_error_when_it_is_wanted(root, tmp_path):
    config = DataConfig(source=Component("idx", {"path": str(tmp_path / "nowhere")}))
    with pytest.raises(DataError, match=r"data\.source\.idx\.path must be a folder"):
        prepare(config, split_seed=0, root=root)
