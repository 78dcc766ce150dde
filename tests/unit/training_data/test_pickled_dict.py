"""Pickled dictionaries: found keys, given keys, and everything that is refused by name."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import prepare
from hpsearch.training.data.sources import pickled_entries
from hpsearch.training.data.sources.pickled_dict import pickled_dict

NAMES = ["ship", "cat", "bird"]
LABELS = [n % 3 for n in range(30)]


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def save(tmp_path: Path):
    """Writes a pickle."""

    def save(value, name: str = "images.pkl", protocol: int = 4) -> Path:
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        return path

    return save


@pytest.fixture
def entries(pictures) -> dict:
    """30 colour pictures of 4x6 pixels in three classes."""
    return {"data": pictures(30, 4, 6, 3), "labels": LABELS, "label_names": NAMES}


def config(path: Path, **settings) -> DataConfig:
    return DataConfig(source=Component("pickled_dict", {"path": str(path), **settings}))


def test_keys_are_found_where_they_are_clear(entries, save, place):
    source = pickled_dict(place, path=save(entries))
    images = source.train.read()
    assert source.class_names == ("ship", "cat", "bird")
    assert np.array_equal(images.images, entries["data"])
    assert images.labels.tolist() == LABELS
    assert images.labels.dtype == np.int64
    assert images.groups is None
    assert source.validation is source.test is None


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({}, NAMES, id="as they are"),
        pytest.param({"labels": np.array(LABELS)}, NAMES, id="an array of labels"),
        pytest.param({"labels": np.array(LABELS, np.uint8)[:, None]}, NAMES, id="a column"),
        pytest.param({"labels": tuple(LABELS)}, NAMES, id="a tuple"),
        pytest.param({"label_names": np.array(NAMES)}, NAMES, id="an array of names"),
        pytest.param({"label_names": [n.encode() for n in NAMES]}, NAMES, id="names in bytes"),
        pytest.param({"label_names": None}, ["0", "1", "2"], id="no names"),
        pytest.param({"files": [f"{n}.png" for n in range(30)]}, NAMES, id="file names beside"),
        pytest.param({"version": 3, "about": "text", "empty": []}, NAMES, id="other things beside"),
        pytest.param({"size": [4, 6], "mean": np.array([3, 1])}, NAMES, id="numbers beside"),
        pytest.param({"histogram": np.zeros((30, 16))}, NAMES, id="a table beside pictures"),
    ],
)
def test_kinds_of_entries(entries, save, place, change, names):
    source = pickled_dict(place, path=save(entries | change))
    images = source.train.read()
    assert source.class_names == tuple(names)
    assert np.array_equal(images.images, entries["data"])
    assert images.labels.tolist() == LABELS


@pytest.mark.parametrize("saved", [list, lambda x: x.tolist()], ids=["arrays", "lists of lists"])
def test_pictures_may_be_a_list(entries, save, place, saved):
    source = pickled_dict(place, path=save(entries | {"data": saved(entries["data"])}))
    assert np.array_equal(source.train.read().images, entries["data"])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_keys_may_be_bytes(entries, save, place, protocol):
    path = save({key.encode(): value for key, value in entries.items()}, protocol=protocol)
    assert pickled_dict(place, path=path).class_names == tuple(NAMES)
    given = pickled_dict(place, path=path, images_key="data", labels_key="labels")
    assert given.train.read().labels.tolist() == LABELS


def test_keys_are_given_where_they_are_not_clear(entries, save, place, pictures):
    entries |= {
        "masks": pictures(30, 4, 6, 3, seed=1),
        "colours": [n % 2 for n in range(30)],
        "colour_names": ["red", "blue"],
    }
    path = save(entries)
    source = pickled_dict(
        place, path=path, images_key="masks", labels_key="colours", names_key="colour_names"
    )
    images = source.train.read()
    assert source.class_names == ("red", "blue")
    assert np.array_equal(images.images, entries["masks"])
    assert images.labels.tolist() == entries["colours"]


def test_labels_may_be_texts(entries, save, place):
    texts = [NAMES[label] for label in LABELS]
    sets = save(entries | {"labels": texts, "label_names": None})
    source = pickled_dict(place, path=sets, labels_key="labels")
    assert source.class_names == ("bird", "cat", "ship")
    assert [source.class_names[n] for n in source.train.read().labels] == texts
    named = save(entries | {"labels": texts})
    source = pickled_dict(place, path=named, labels_key="labels", names_key="label_names")
    assert source.class_names == tuple(NAMES)
    assert source.train.read().labels.tolist() == LABELS


def test_layout_and_scale_are_passed_on(entries, save, place):
    flat = entries["data"][:, :, :4].transpose(0, 3, 1, 2).reshape(30, -1) / 255
    path = save(entries | {"data": flat})
    source = pickled_dict(place, path=path, layout="flat_NCHW")
    assert np.array_equal(source.train.read().images, entries["data"][:, :, :4])
    other = pickled_dict(place, path=path, layout="flat_NHWC", scale="raw")
    assert other.train.read().images.max() == 1
    with pytest.raises(
        DataError, match=r"data\.source\.pickled_dict\.layout must give .*'data' in"
    ):
        pickled_dict(place, path=path).train.read()


def test_a_pickle_becomes_tensors(entries, save, root):
    path = save(entries)
    data = prepare(replace(config(path), validation=6), split_seed=1, root=root)
    assert data.images.shape == (30, 3, 4, 6)
    assert data.class_names == tuple(NAMES)
    assert data.class_counts.tolist() == [8, 8, 8]
    # The same pictures in another order of bytes are the same data
    planes = save(entries | {"data": entries["data"].transpose(0, 3, 1, 2) / 255}, "planes.pkl")
    again = prepare(replace(config(planes), validation=6), split_seed=1, root=root)
    assert (again.data_hash, again.split_hash) == (data.data_hash, data.split_hash)


def test_settings_are_part_of_the_cache_key(entries, save, root):
    flat = save(entries | {"data": entries["data"][:, :, :4].reshape(30, -1)})
    one, two = (
        prepare(config(flat, layout=layout), split_seed=1, root=root)
        for layout in ("flat_NCHW", "flat_NHWC")
    )
    assert one.cache_folder != two.cache_folder
    assert one.data_hash != two.data_hash


def test_a_fraction_is_held_out_whatever_the_seed(entries, save, root, tmp_path):
    held = config(save(entries), test_fraction=0.2)
    images, labels = preparing.test_images(held, root=root)
    assert torch.bincount(labels).tolist() == [2, 2, 2]
    test = {bytes(image.numpy()) for image in images}
    for seed in range(3):
        data = prepare(held, split_seed=seed, root=root)
        assert len(data.images) == 24
        assert not test & {bytes(image.numpy()) for image in data.images}
    half = config(tmp_path / "images.pkl", test_fraction=0.5)
    assert len(prepare(half, split_seed=0, root=root).images) == 15


def test_files_of_their_own_validate_and_test(entries, save, root):
    path = save(entries)
    val, test = (
        save({**entries, "data": entries["data"][:n], "labels": LABELS[:n]}, f"{n}.pkl")
        for n in (5, 7)
    )
    whole = config(path, val_path=str(val), test_path=str(test))
    data = prepare(whole, split_seed=1, root=root)
    assert (len(data.train_indices), len(data.val_indices)) == (30, 5)
    assert len(preparing.test_images(whole, root=root)[0]) == 7
    with pytest.raises(DataError, match=r"test_path is .*7\.pkl; leave one of them out"):
        prepare(config(path, test_path=str(test), test_fraction=0.1), split_seed=1, root=root)


@pytest.mark.parametrize(
    "groups", [lambda n: n // 3, lambda n: f"object {n // 3}"], ids=["numbers", "words"]
)
def test_groups_stay_together(entries, save, root, groups):
    entries |= {"labels": [n // 15 for n in range(30)], "label_names": None}
    entries["objects"] = [groups(n) for n in range(30)]
    grouped = config(save(entries), labels_key="labels", groups_key="objects", test_fraction=0.2)
    objects = {entries["data"][n].transpose(2, 0, 1).tobytes(): n // 3 for n in range(30)}
    data = prepare(grouped, split_seed=1, root=root)
    test, _ = preparing.test_images(grouped, root=root)
    parts = [
        {objects[image.numpy().tobytes()] for image in images}
        for images in (data.images[data.train_indices], data.images[data.val_indices], test)
    ]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert set.union(*parts) == set(range(10))


def test_a_second_start_reads_no_pickle(entries, save, root, monkeypatch):
    path = save(entries)
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr("hpsearch.training.data.content._SETTLED_NS", 0)
    prepare(config(path), split_seed=1, root=root)
    preparing._prepare.cache_clear()
    monkeypatch.setattr(pickled_entries, "read_pickle", None)
    assert prepare(config(path), split_seed=2, root=root).class_names == tuple(NAMES)


class Hostile:
    def __reduce__(self):
        return (os.mkdir, ("hacked",))


@pytest.mark.parametrize("key", ["data", "labels", "label_names", "other"])
def test_a_hostile_pickle_is_refused_and_not_run(entries, save, place, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(entries | {key: Hostile()})
    with pytest.raises(DataError) as caught:
        pickled_dict(place, path=path)
    assert str(caught.value) == (
        "a pickle of images may contain only arrays, lists, dictionaries, strings and numbers, but "
        f"{path} contains posix.mkdir; it was not loaded"
    )
    assert not (tmp_path / "hacked").exists()


def test_a_truncated_pickle_is_named(entries, save, place):
    path = save(pickle.dumps(entries)[:-100])
    with pytest.raises(DataError, match=r"images\.pkl isn't a complete pickle \("):
        pickled_dict(place, path=path)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        pytest.param(
            {"labels": [*LABELS[:-1], 3]},
            {},
            r"between 0 and 2 \(the number of class names minus 1\), but 'labels' in .*\.pkl "
            r"contains 3 \(1 of 30 are outside\)",
            id="a label above the names",
        ),
        pytest.param(
            {"labels": [-1, *LABELS[1:]]}, {}, r"contains -1 \(1 of 30", id="a negative label"
        ),
        pytest.param(
            {"labels": LABELS[1:]},
            {},
            r"one label per image, but .*\.pkl contains 30 images \('data'\) and 29 labels "
            r"\('labels'\)",
            id="a label too few",
        ),
        pytest.param(
            {"labels": [n + 1 for n in LABELS], "label_names": None},
            {},
            r"must use every number from 0 to .* goes up to 3 and has no 0; give .*"
            r"pickled_dict\.names_key",
            id="labels from 1 without names",
        ),
        pytest.param(
            {"labels": [-1, *LABELS[1:]], "label_names": None}, {}, "and has -1", id="negative"
        ),
        pytest.param(
            {"labels": [2**40, *LABELS[1:]]}, {}, "contains 1099511627776", id="a huge label"
        ),
        pytest.param(
            {"more": LABELS},
            {},
            r"labels_key must name the entry that contains the labels if it isn't clear, but "
            r"'labels' and 'more' could; .*'data': an array of uint8 \(30, 4, 6, 3\), "
            r"'labels': a list",
            id="two lists of labels",
        ),
        pytest.param(
            {"more": np.zeros((30, 9, 9))},
            {},
            "images_key .* but 'data' and 'more' could",
            id="two",
        ),
        pytest.param({"data": None}, {}, "images_key must name .*but none could", id="no images"),
        pytest.param({"labels": None}, {}, "labels_key must name .*but none could", id="no labels"),
        pytest.param(
            {"more": ["a", "b", "c"]}, {}, "names_key .* but 'label_names' and 'more'", id="names"
        ),
        pytest.param(
            {},
            {"images_key": "pixels"},
            "images_key must be a key of the dictionary, but 'pixels' isn't; .* contains 'data': ",
            id="a key that isn't there",
        ),
        pytest.param(
            {"labels": [0.5] * 30},
            {"labels_key": "labels"},
            r"whole numbers or of texts, but 'labels' in .* is a list of 30 \(float\)",
            id="fractions",
        ),
        pytest.param(
            {"labels": ["dog"] * 30},
            {"labels_key": "labels", "names_key": "label_names"},
            r"one of the classes \(ship, cat, bird\), but 'labels' in .* contains dog",
            id="a text that is no class",
        ),
        pytest.param(
            {"label_names": ["a", "a", "b"]}, {}, "must be a list of different texts", id="twice"
        ),
        pytest.param(
            {"data": [np.zeros((2, 2)), np.zeros((3, 2))] * 15},
            {"images_key": "data"},
            r"images must be one array, or a list of arrays of the same shape, but 'data' in .* is "
            r"a list of 30 \(ndarray\)",
            id="pictures of several sizes",
        ),
        pytest.param(
            {"who": [1, 2]},
            {"groups_key": "who", "labels_key": "labels"},
            r"one number or text per image \(30\), but 'who' in .* is a list of 2 \(int\)",
            id="too few groups",
        ),
    ],
)
def test_entries_that_do_not_fit_are_named(entries, save, place, change, settings, message):
    path = save(entries | change)
    with pytest.raises(DataError, match=message):
        pickled_dict(place, path=path, **settings).train.read()


@pytest.mark.parametrize("value", [[1, 2], np.zeros(3), "text", 7], ids=["list", "array", "s", "n"])
def test_something_else_than_a_dictionary_is_refused(save, place, value):
    with pytest.raises(
        DataError, match=r"must contain a dictionary of images and labels, but contains"
    ):
        pickled_dict(place, path=save(value))


def test_a_file_that_is_not_there_is_named(place, tmp_path):
    with pytest.raises(DataError, match=r"needs a pickled file, but .*none\.pkl doesn't exist"):
        pickled_dict(place, path=tmp_path / "none.pkl")
    with pytest.raises(DataError, match="isn't a file"):
        pickled_dict(place, path=tmp_path)


@pytest.mark.parametrize("key", ["data", "label_names", "other"])
def test_lists_that_stand_for_far_more_than_the_file_holds_are_refused(entries, save, place, key):
    nested: object = [1, 2]
    for _ in range(12):
        nested = [nested] * 10
    with pytest.raises(DataError, match=rf"but '{key}' repeats the same lists and "):
        pickled_dict(place, path=save({**entries, key: nested})).train.read()
