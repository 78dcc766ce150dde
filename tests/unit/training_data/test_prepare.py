"""Prepared data: from a study's ``data`` section to tensors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hpsearch.errors import DataError, UnknownName
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.batches import ImageStore
from hpsearch.training.data import decode, room
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.images import Images, Part, Source
from hpsearch.training.data.prepare import prepare
from hpsearch.training.data.sources import digits, idx
from hpsearch.training.data.split import (
    images_per_class,
    limit_images,
    split_hash,
    stratified_split,
)
from hpsearch.training.registries import SOURCES

DIGITS = DataConfig(source=Component("digits"))


@pytest.fixture
def idx_config(mnist_folder):
    """100 training images of 12x10 pixels."""
    return DataConfig(source=Component("idx", {"path": str(mnist_folder())}))


def start_again() -> None:
    """Forget what this process holds, as a new worker would."""
    preparing._prepare.cache_clear()


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the sources of which a part was decoded."""
    names = []
    real = decode.read_part

    def noting(source, part, choose=None):
        names.append(source.name)
        return real(source, part, choose)

    monkeypatch.setattr(preparing, "read_part", noting)
    return names


def test_digits_become_tensors(root):
    data = prepare(DIGITS, split_seed=1, root=root)
    assert data.images.shape == (1442, 1, 8, 8)
    assert data.images.dtype == torch.uint8
    assert data.images.is_contiguous()
    assert data.labels.dtype == data.train_indices.dtype == data.val_indices.dtype == torch.int64
    assert (len(data.train_indices), len(data.val_indices)) == (1154, 288)
    assert data.input_shape == (1, 8, 8)
    assert data.class_names == tuple("0123456789")
    together = torch.cat([data.train_indices, data.val_indices]).sort().values
    assert torch.equal(together, torch.arange(1442))
    train = data.images[data.train_indices].double() / 255
    assert data.mean.tolist() == pytest.approx([train.mean().item()])
    assert data.std.tolist() == pytest.approx([train.std(correction=0).item()])
    assert data.mean.dtype == data.std.dtype == torch.float64
    assert data.cache_folder.is_relative_to(root / "cache")


def test_the_split_is_stratified_and_of_the_seed(idx_config, root):
    data = prepare(idx_config, split_seed=5, root=root)
    expected = stratified_split(data.labels.numpy(), 0.2, seed=5)
    assert np.array_equal(data.val_indices.numpy(), expected.validation)
    assert torch.bincount(data.labels[data.val_indices]).tolist() == [2] * 10
    assert data.split_hash == split_hash(expected)
    other = prepare(idx_config, split_seed=6, root=root)
    assert other.split_hash != data.split_hash
    assert other.data_hash == data.data_hash
    assert other.cache_folder == data.cache_folder


def test_limit_takes_images_before_the_split(idx_config, root, pictures):
    data = prepare(replace(idx_config, limit=50, validation=10), split_seed=5, root=root)
    chosen = limit_images(np.arange(100) % 10, 50, seed=5)
    assert np.array_equal(data.images[:, 0], pictures(100, 12, 10, seed=100)[chosen])
    assert np.array_equal(data.labels, chosen % 10)
    assert (len(data.train_indices), len(data.val_indices)) == (40, 10)
    # The split's hash speaks of the images of the source, so it covers the choice as well.
    split = stratified_split(chosen % 10, 10, seed=5)
    in_source = replace(split, train=chosen[split.train], validation=chosen[split.validation])
    assert data.split_hash == split_hash(in_source)


def test_another_seed_takes_other_images(idx_config, root):
    one, other = (prepare(replace(idx_config, limit=50), split_seed=n, root=root) for n in (5, 6))
    assert one.cache_folder != other.cache_folder
    assert not torch.equal(one.images, other.images)
    assert one.data_hash != other.data_hash


def test_per_class_takes_as_many_of_each_class(idx_config, root, pictures):
    config = replace(idx_config, per_class=5, validation=10)
    data = prepare(config, split_seed=5, root=root)
    chosen = images_per_class(np.arange(100) % 10, 5, seed=5)
    assert np.array_equal(data.images[:, 0], pictures(100, 12, 10, seed=100)[chosen])
    assert data.class_counts.tolist() == [4] * 10
    other = prepare(config, split_seed=6, root=root)
    assert other.data_hash != data.data_hash
    assert len(prepare(replace(config, per_class=None), split_seed=5, root=root).images) == 100
    # limit and per_class of one number are different questions
    limited = prepare(replace(idx_config, limit=10, validation=5), split_seed=5, root=root)
    of_each = prepare(replace(idx_config, per_class=10, validation=5), split_seed=5, root=root)
    assert (len(limited.images), len(of_each.images)) == (10, 100)


def test_classes_are_counted_in_the_training_part(root, register):
    labels = np.repeat([0, 1, 3], [10, 20, 30])
    images = Images(images=np.zeros((60, 2, 2, 1), np.uint8), labels=labels)
    config = register(
        Source(name="few", class_names=tuple("abcde"), train=Part(read=lambda: images))
    )
    data = prepare(replace(config, validation=0.5), split_seed=1, root=root)
    assert data.class_counts.tolist() == [5, 10, 0, 15, 0]
    assert data.class_counts.dtype == torch.int64


def test_a_source_says_which_images_stay_together(root, register, pictures):
    labels, groups = np.arange(60) % 2, np.arange(60) // 4
    images = Images(images=pictures(60, 2, 2, 1), labels=labels, groups=groups)
    together = register(
        Source(name="pets", class_names=("a", "b"), train=Part(read=lambda: images))
    )
    for config in (together, replace(together, limit=40), replace(together, per_class=20)):
        for seed in range(5):
            data = prepare(config, split_seed=seed, root=root)
            own = {
                picture.tobytes(): group
                for picture, group in zip(images.images, groups, strict=True)
            }
            train, val = (
                {own[picture.numpy().tobytes()] for picture in data.images[indices]}
                for indices in (data.train_indices, data.val_indices)
            )
            assert not train & val
            assert val


def test_a_source_may_call_its_groups_by_any_numbers(root, register, pictures):
    groups = np.repeat([-7, 10**12, 0], 4)
    labels = np.tile([0, 1], 6)

    def part(first: int, groups: np.ndarray | None) -> Part:
        images = pictures(12, 2, 2, 1, seed=first)
        return Part(read=lambda: Images(images=images, labels=labels, groups=groups))

    source = Source(
        name="pets", class_names=("a", "b"), train=part(1, groups), validation=part(2, groups)
    )
    data = prepare(register(source), split_seed=1, root=root)
    assert data.groups.tolist() == [0] * 4 + [2] * 4 + [1] * 4 + [3] * 4 + [5] * 4 + [4] * 4
    # Where one part names none, each of its images is a group of its own
    data = prepare(
        register(replace(source, name="cats", validation=part(2, None))), split_seed=1, root=root
    )
    assert data.groups.tolist()[12:] == list(range(3, 15))
    assert data.val_groups == 12


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        pytest.param("raw", lambda x: x, id="raw"),
        pytest.param("unit", lambda x: x / 255, id="unit"),
        pytest.param("symmetric", lambda x: x / 255 * 2 - 1, id="symmetric"),
        pytest.param(
            {"mean": [0.25], "std": [0.5]}, lambda x: (x / 255 - 0.25) / 0.5, id="one for all"
        ),
        pytest.param(
            {"mean": [0.1, 0.2, 0.3], "std": [0.5, 1, 2]},
            lambda x: (
                (x / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1))
                / torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
            ),
            id="per channel",
        ),
    ],
)
def test_normalization_is_what_the_network_sees(cifar_folder, root, normalization, expected):
    source = Component("cifar10", {"path": str(cifar_folder((1,))), "train_batches": [1]})
    config = DataConfig(source=source, normalization=normalization)
    data = prepare(config, split_seed=1, root=root)
    pixels = ImageStore(
        data.images, data.mean, data.std, torch.device("cpu"), channels_last=False
    ).batch(torch.arange(40))
    assert torch.allclose(pixels, expected(data.images.float()), atol=1e-6)
    if normalization == "raw":
        assert torch.equal(pixels, data.images.float())  # 255 stays 255, to the last digit
    measured = prepare(DataConfig(source=source), split_seed=1, root=root)
    assert measured.cache_folder == data.cache_folder
    assert not torch.equal(measured.mean, data.mean)


def test_what_nobody_asked_for_is_not_measured(idx_config, root, monkeypatch):
    monkeypatch.setattr(preparing, "mean_and_std", None)
    prepare(replace(idx_config, normalization="unit"), split_seed=1, root=root)


def test_no_room_on_the_disk_is_said_before_anything_is_written(idx_config, root, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**8))
    large = replace(idx_config, input_size=2048)  # 100 x 4 MB
    with pytest.raises(DataError) as caught:
        prepare(large, split_seed=1, root=root)
    assert "preparing images of the shape 100 x 1 x 2,048 x 2,048 needs 419 MB under" in str(
        caught.value
    )
    assert "but 100 MB are free there; free some space, use a smaller data.input_size" in str(
        caught.value
    )
    small = prepare(replace(idx_config, input_size=8), split_seed=1, root=root)
    assert sorted(path.name for path in (root / "cache").iterdir() if path.is_dir()) == sorted(
        [small.cache_folder.name, "hashes"]
    )
    with pytest.raises(DataError, match="needs 419 MB under"):
        preparing.require_room_for(large, small, split_seed=1, root=root)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**10))
    prepare(replace(large, input_size=900), split_seed=1, root=root)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    # What is prepared already needs no room
    preparing.require_room_for(replace(large, input_size=900), small, split_seed=1, root=root)


def test_no_memory_for_one_image_is_said(idx_config, root, monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda: 10**8)
    with pytest.raises(
        DataError, match=r"an image of 4,000 x 4,000 pixels needs about 256 MB of m"
    ):
        prepare(replace(idx_config, input_size=4000), split_seed=1, root=root)


def test_preparing_takes_no_share_of_the_whole_of_memory(root, register):
    class Drawn:
        """48 pictures of 1 MB; each is drawn when it is asked for."""

        def __len__(self):
            return 48

        def __getitem__(self, index):
            return np.full((600, 600, 3), index, np.uint8)

    images = Images(images=Drawn(), labels=np.arange(48) % 2)
    config = register(Source(name="drawn", class_names=("a", "b"), train=Part(read=lambda: images)))
    tracemalloc.start()
    data = prepare(replace(config, input_size=512, normalization="unit"), split_seed=1, root=root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.images.nbytes > 37_000_000
    assert data.images[7].unique().tolist() == [7]
    assert peak < 25_000_000  # a chunk of 16 MB and a picture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": np.arange(6) / 2},
            "must be whole numbers, one for each image, but they are fl",
        ),
        ({"labels": np.zeros((6, 1), int)}, r"but they are int64 of the shape \(6, 1\)"),
        ({"images": np.zeros((6, 4, 4, 1))}, "must be uint8 of the shape .n, height, width, chan"),
        ({"images": np.zeros((6, 4, 4), np.uint8)}, r"they are uint8 of the shape \(6, 4, 4\)"),
    ],
)
def test_what_a_source_gives_is_checked(root, register, change, message):
    given = {"images": np.zeros((6, 4, 4, 1), np.uint8), "labels": np.arange(6) % 2, **change}
    config = register(
        Source(name="odd", class_names=("a", "b"), train=Part(read=lambda: Images(**given)))
    )
    with pytest.raises(DataError, match=message):
        prepare(config, split_seed=1, root=root)


def test_only_the_images_that_are_taken_are_resized(idx_config, root, monkeypatch):
    resized = []
    real = decode._pillow

    def counting(plane, height, width):
        resized.append(plane)
        return real(plane, height, width)

    monkeypatch.setattr(decode, "_pillow", counting)
    data = prepare(replace(idx_config, limit=30, input_size=16), split_seed=5, root=root)
    assert data.input_shape == (1, 16, 16)
    assert len(resized) == 30
    expected = real(resized[0][:, :], 16, 16)
    assert np.array_equal(data.images[0, 0], expected)
    assert np.array_equal(
        expected, Image.fromarray(resized[0]).resize((16, 16), Image.Resampling.BILINEAR)
    )


def test_a_process_prepares_once_and_a_second_one_decodes_nothing(idx_config, root, decoded):
    first = prepare(idx_config, split_seed=1, root=root)
    flip = replace(idx_config, augmentation=(Component("horizontal_flip"),))
    assert prepare(flip, split_seed=1, root=root) is first  # augmentation changes no data
    start_again()
    second = prepare(idx_config, split_seed=1, root=root)
    assert decoded == ["idx"]
    assert second is not first
    for name in ("images", "labels", "train_indices", "val_indices", "mean", "std"):
        assert torch.equal(getattr(second, name), getattr(first, name))
    assert (second.data_hash, second.split_hash) == (first.data_hash, first.split_hash)


@pytest.mark.parametrize(
    ("change", "same_cache", "same_data"),
    [
        pytest.param({"validation": 0.3}, True, True, id="validation"),
        pytest.param({"input_size": 9}, False, True, id="input size"),
        pytest.param({"limit": 40}, False, False, id="limit"),
    ],
)
def test_what_a_cache_entry_and_the_hash_depend_on(idx_config, root, change, same_cache, same_data):
    first = prepare(idx_config, split_seed=1, root=root)
    other = prepare(replace(idx_config, **change), split_seed=1, root=root)
    assert (other.cache_folder == first.cache_folder) is same_cache
    assert (other.data_hash == first.data_hash) is same_data


def test_one_image_and_a_whole_fraction_differ(idx_config, root):
    assert len(prepare(replace(idx_config, validation=1), split_seed=1, root=root).val_indices) == 1
    with pytest.raises(DataError, match=r"between 0 and 1, both excluded, but got 1\.0"):
        prepare(replace(idx_config, validation=1.0), split_seed=1, root=root)


def test_packing_changes_no_hash(mnist_folder, root):
    plain, packed = (
        prepare(DataConfig(source=Component("idx", {"path": path})), split_seed=1, root=root)
        for path in (mnist_folder("plain"), mnist_folder("packed", ".gz"))
    )
    assert plain.data_hash == packed.data_hash
    assert plain.split_hash == packed.split_hash


def test_changed_files_are_other_data(idx_config, mnist_folder, root, write_idx, pictures):
    first = prepare(idx_config, split_seed=1, root=root)
    write_idx(mnist_folder() / "train-images-idx3-ubyte", pictures(100, 12, 10, seed=1))
    start_again()
    second = prepare(idx_config, split_seed=1, root=root)
    assert second.data_hash != first.data_hash
    assert np.array_equal(second.images[:, 0], pictures(100, 12, 10, seed=1))


def test_a_validation_part_of_the_source_follows_the_training_part(cifar_folder, root):
    folder = cifar_folder((1, 2))
    settings = {"path": str(folder), "train_batches": [1], "val_batches": [2]}
    config = DataConfig(source=Component("cifar10", settings), validation=7)
    data = prepare(config, split_seed=1, root=root)
    source = preparing.build_source(config, root)
    assert torch.equal(data.train_indices, torch.arange(40))
    assert torch.equal(data.val_indices, torch.arange(40, 80))
    for part, rows in ((source.train, slice(40)), (source.validation, slice(40, None))):
        assert np.array_equal(data.images[rows].permute(0, 2, 3, 1), part.read().images)
        assert np.array_equal(data.labels[rows], part.read().labels)
    scaled = source.train.read().images / 255
    assert data.mean.tolist() == pytest.approx(scaled.mean(axis=(0, 1, 2)).tolist(), rel=1e-5)
    # limit is a number of training images; the validation part stays whole
    limited = prepare(replace(config, limit=20), split_seed=1, root=root)
    assert (len(limited.train_indices), len(limited.val_indices)) == (20, 40)
    assert np.array_equal(limited.labels[20:], source.validation.read().labels)


def test_test_images_are_opened_by_their_own_door_alone(idx_config, mnist_folder, root, pictures):
    for file in mnist_folder().glob("t10k*"):
        file.rename(file.with_suffix(".hidden"))
    prepare(idx_config, split_seed=1, root=root)  # needs none of them
    for file in mnist_folder().glob("*.hidden"):
        file.rename(file.with_suffix(""))
    images, labels = preparing.test_images(replace(idx_config, limit=10), root=root)
    assert np.array_equal(images[:, 0], pictures(20, 12, 10, seed=20))
    assert labels.tolist() == [n % 10 for n in range(20)]
    small, _ = preparing.test_images(replace(idx_config, input_size=8), root=root)
    assert small.shape == (20, 1, 8, 8)


@pytest.fixture
def register(monkeypatch):
    """Registers a source for one test."""
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    def register(source: Source) -> DataConfig:
        SOURCES._entries.pop(source.name, None)

        @SOURCES.register(source.name)
        def build(place, /):
            return source

        return DataConfig(source=Component(source.name))

    return register


def test_a_source_without_test_images_says_so(root, register):
    images = Images(images=np.zeros((4, 2, 2, 1), np.uint8), labels=np.array([0, 1, 0, 1]))
    config = register(
        Source(name="flowers", class_names=("a", "b"), train=Part(read=lambda: images))
    )
    with pytest.raises(DataError, match="needs test images, but data source 'flowers' has none"):
        preparing.test_images(config, root=root)


def test_the_version_of_a_source_is_part_of_its_identity(root, register, pictures):
    def source(version: str, seed: int) -> Source:
        images = Images(images=pictures(10, 2, 2, 1, seed=seed), labels=np.arange(10) % 2)
        part = Part(read=lambda: images)
        return Source(name="flowers", class_names=("a", "b"), train=part, version=version)

    for version in ("1", "2"):
        start_again()
        data = prepare(register(source(version, int(version))), split_seed=1, root=root)
        assert np.array_equal(
            data.images[:, 0, :, :, None], pictures(10, 2, 2, 1, seed=int(version))
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 9}, r"\(10 <= limit <= 100\), but got 9"),
        ({"limit": 101}, r"\(10 <= limit <= 100\), but got 101"),
        ({"validation": 100}, r"\(1 <= validation < 100\), but got 100"),
        ({"input_size": 0}, "input_size must be 1 to 4,096 pixels, but got 0"),
        ({"input_size": 100_000}, "input_size must be 1 to 4,096 pixels, but got 100,000"),
        ({"per_class": 11}, r"\(1 <= per_class <= 10\), but got 11; leave it out"),
        (
            {"limit": 20, "per_class": 5},
            "can't be combined, .* got limit 20 and per_class 5;",
        ),
        ({"normalization": {"mean": [0.5, 0.5], "std": [1]}}, r"channel .* \(1\), .* got 2: \[0.5"),
    ],
    ids=[
        "few",
        "many",
        "all validate",
        "no pixels",
        "a typing error",
        "per class",
        "both",
        "channels",
    ],
)
def test_the_impossible_is_refused(idx_config, root, change, message):
    with pytest.raises(DataError, match=message):
        prepare(replace(idx_config, **change), split_seed=1, root=root)


def test_an_unknown_source_lists_the_known_ones(root):
    with pytest.raises(UnknownName, match=r"Did you mean 'cifar10'\? Known: arrays, cifar10, "):
        prepare(DataConfig(source=Component("cifar")), split_seed=1, root=root)


def test_a_data_root_that_cannot_be_written_is_told(idx_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="set HPSEARCH_DATA to a writable folder"):
        prepare(idx_config, split_seed=1, root=tmp_path / "file")


def test_the_data_root_comes_from_the_environment(idx_config, tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "from env"))
    data = prepare(idx_config, split_seed=1)
    assert data.cache_folder.is_relative_to(tmp_path / "from env" / "cache")
    monkeypatch.setenv("HPSEARCH_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    data = prepare(idx_config, split_seed=1)
    assert data.cache_folder.is_relative_to(tmp_path / "home/.cache/hpsearch/data/cache")


def test_a_prepared_cache_is_read_where_nothing_can_be_written(idx_config, root, monkeypatch):
    prepare(idx_config, split_seed=1, root=root)
    start_again()

    def read_only(*args, **kwargs):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert len(prepare(idx_config, split_seed=1, root=root).images) == 100
    assert len(prepare(idx_config, split_seed=2, root=root).images) == 100  # a new split as well


def test_digits_hold_back_the_same_fifth_for_every_seed(root):
    images, labels = preparing.test_images(DIGITS, root=root)
    assert images.shape == (355, 1, 8, 8)
    assert torch.bincount(labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    source = digits.digits(preparing.DataRoot(root=root))
    train, test = source.train.read(), source.test.read()
    from sklearn.datasets import load_digits

    everything = load_digits()
    together = np.concatenate([train.images, test.images])[..., 0]
    expected = np.rint(everything.images * 255 / 16 + 1e-9).astype(np.uint8)
    assert sorted(map(bytes, together)) == sorted(map(bytes, expected))
    assert np.array_equal(train.images[0, :, :, 0], expected[0])
    assert set(np.unique(together)) == {round(n * 255 / 16 + 1e-9) for n in range(17)}


def test_importing_reads_no_source_and_no_scikit_learn():
    code = (
        "import sys, hpsearch.training.data.prepare as p;"
        "print(p.SOURCES.names(), 'sklearn' in sys.modules, 'torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("]")[1].split() == ["False", "False"]
    assert "'cifar10', 'cifar100', 'digits', 'fashion_mnist', 'idx'" in done.stdout


@pytest.mark.skipif(
    not idx.DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist isn't installed"
)
def test_the_real_fashion_mnist_of_4000_images(root):
    config = DataConfig(source=Component("fashion_mnist"), limit=4000, input_size=32)
    data = prepare(config, split_seed=7, root=root)
    assert data.images.shape == (4000, 1, 32, 32)
    assert torch.bincount(data.labels[data.train_indices]).tolist() == [320] * 10
    assert torch.bincount(data.labels[data.val_indices]).tolist() == [80] * 10
    assert data.mean.item() == pytest.approx(0.286, abs=0.01)
    assert data.class_names[9] == "Ankle boot"


def test_the_source_in_the_documentation_works(root, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    exec(compile(code, "docs/data.md", "exec"), {})
    config = DataConfig(source=Component("stripes", {"images": 50, "edge": 10}), input_size=16)
    data = prepare(config, split_seed=1, root=root)
    assert data.images.shape == (50, 1, 16, 16)
    assert torch.bincount(data.labels[data.val_indices]).tolist() == [5, 5]
    other = replace(config, source=Component("stripes", {"images": 60}))
    assert len(prepare(other, split_seed=1, root=root).images) == 60


def test_the_documentation_names_every_source_and_augmentation():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    import hpsearch.training.augmentation.geometric  # noqa: F401 - registers them
    from hpsearch.training.registries import AUGMENTATIONS

    for name in (*SOURCES.names(), *AUGMENTATIONS.names()):
        assert f"| `{name}` |" in page
