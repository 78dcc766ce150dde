"""What people are told about sources."""

from __future__ import annotations

import pytest

from hpsearch.errors import DataError, UnknownName
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import idx
from hpsearch.training.data.prepare import prepare
from hpsearch.training.data.summary import (
    PartSummary,
    available,
    describe_source,
    list_sources,
)


def test_a_source_is_described_and_its_test_images_stay_closed(mnist_folder, root):
    folder = mnist_folder(classes=5)
    for file in folder.glob("t10k*"):
        file.unlink()
    config = DataConfig(source=Component("idx", {"path": folder}), limit=40, validation=10)
    summary = describe_source(config, root, split_seed=3)
    data = prepare(config, split_seed=3, root=root)
    assert summary.name == "idx"
    assert summary.origin == str(folder)
    assert summary.class_names == ("0", "1", "2", "3", "4")
    assert summary.input_shape == (1, 12, 10)
    assert summary.parts == (
        PartSummary(name="training", images=30, per_class=(6,) * 5),
        PartSummary(name="validation", images=10, per_class=(2,) * 5),
        PartSummary(name="test", images=None, per_class=None),
    )
    assert (summary.data_hash, summary.split_hash) == (data.data_hash, data.split_hash)
    on_disk = sum(file.stat().st_size for file in summary.cache_folder.glob("*.npy"))
    assert summary.cache_bytes == on_disk >= 40 * 12 * 10


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
        describe_source(config, root)
