"""WebDataset's shards, as its package writes them, and tar files that are refused by name."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
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
from hpsearch.training.data.sources import webdataset as webdataset_module
from hpsearch.training.data.sources.webdataset import _expanded, webdataset


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def png(pictures):
    def png(seed: int) -> bytes:
        held = io.BytesIO()
        Image.fromarray(pictures(4, 6, 3, seed=seed)).save(held, "PNG")
        return held.getvalue()

    return png


@pytest.fixture
def save(tmp_path):
    """Writes a tar file with files of the given names and contents, or members as they are."""

    def save(name: str, files: dict[str, bytes], *members: tarfile.TarInfo) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for member in members:
                archive.addfile(member)
            for each, content in files.items():
                info = tarfile.TarInfo(each)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return save


@pytest.fixture
def shard(save, png):
    def shard(name: str, first: int = 0, count: int = 6) -> Path:
        files = {}
        for n in range(first, first + count):
            files |= {f"s/{n:04}.png": png(n), f"s/{n:04}.cls": str(n % 3).encode()}
        return save(name, files)

    return shard


def test_shards_are_read_one_after_the_other(shard, place, tmp_path, pictures):
    files = [shard(f"train-{n:03}.tar", 6 * n) for n in range(3)]
    source = webdataset(place, path=tmp_path / "train-{000..002}.tar")
    images = source.train.read()
    assert source.class_names == ("0", "1", "2")
    assert images.labels.tolist() == [n % 3 for n in range(18)]
    for index in (17, 0, 9):
        assert np.array_equal(images.images[index], pictures(4, 6, 3, seed=index))
    assert source.train.files == tuple(files)
    assert source.train.name_of is not None
    assert source.train.name_of(7) == "train-001.tar/s/0007.png"
    assert source.validation is source.test is None


def test_many_names_take_one_look_at_each_file(shard, place, tmp_path, monkeypatch):
    for n in range(3):
        shard(f"train-{n:03}.tar", 6 * n)
    train = webdataset(place, path=tmp_path / "train-{000..002}.tar").train
    opened, entries = [], webdataset_module._entries
    monkeypatch.setattr(
        webdataset_module, "_entries", lambda path: opened.append(path.name) or entries(path)
    )
    assert train.name_of is not None
    names = [train.name_of(index) for index in range(18)]
    assert names == [f"train-{n // 6:03}.tar/s/{n:04}.png" for n in range(18)]
    assert opened == [f"train-{n:03}.tar" for n in range(3)]


def test_parts_are_in_the_names_of_a_folder(shard, place, tmp_path):
    for part, first in (("train", 0), ("val", 6), ("test", 12)):
        shard(f"set-{part}-000.tar", first)
    config = DataConfig(source=Component("webdataset", {"path": str(tmp_path)}))
    prepared = prepare(config, split_seed=1, root=place.root)
    assert (len(prepared.train_indices), len(prepared.val_indices)) == (6, 6)
    assert len(preparing.test_images(config, root=place.root)[1]) == 6
    names = image_names(config, [8], split_seed=1, root=place.root)
    assert names == {8: "set-val-000.tar/s/0008.png"}


def test_parts_may_be_given(shard, place, tmp_path):
    for n in range(3):
        shard(f"{n}.tar", 6 * n)
    source = webdataset(
        place,
        path=tmp_path / "{0,1}.tar",
        test_path=tmp_path / "2.tar",
        class_names=["cat", "dog", "eel"],
    )
    assert source.class_names == ("cat", "dog", "eel")
    assert source.test is not None
    assert len(source.train.read().labels) == 12
    assert source.test.read().labels.tolist() == [n % 3 for n in range(6)]
    held = webdataset(place, path=tmp_path / "0.tar", test_fraction=0.5)
    assert held.test is not None
    assert (len(held.train.read().labels), len(held.test.read().labels)) == (3, 3)


def test_the_test_part_stays_closed_until_the_end(shard, save, png, place, tmp_path):
    shard("train.tar")
    save("test.tar", {"0.png": png(0), "0.cls": b"unheard"})
    source = webdataset(place, path=tmp_path)
    assert len(source.train.read().labels) == 6
    assert source.test is not None
    with pytest.raises(DataError, match=r"1 of 1 in .*test\.tar aren't: 0\.png: unheard"):
        source.test.read()


def test_labels_may_be_in_json_or_another_file(save, png, place):
    files = {}
    for n in range(6):
        about = {"size": 4, "label": ["cat", "dog"][n % 2], "kind": n % 3}
        files |= {
            f"{n}.json": json.dumps(about).encode(),
            f"{n}.png": png(n),
            f"{n}.name.txt": b"a\n",
        }
        files |= {f"{n}.seg.png": b"mask"}
    files["5.name.txt"] = "ü".encode()
    path = save("a.tar", files)
    assert webdataset(place, path=path).class_names == ("cat", "dog")
    assert webdataset(place, path=path, json_key="kind").class_names == ("0", "1", "2")
    named = webdataset(place, path=path, label="name.txt")
    assert named.class_names == ("a", "ü")
    assert named.train.read().labels.tolist() == [0] * 5 + [1]
    masks = webdataset(place, path=path, image="seg.png").train.read().images
    with pytest.raises(DamagedPicture, match=r"a\.tar/0\.seg\.png \(not a picture"):
        masks[0]


def test_groups_are_a_key_of_json(save, png, place, tmp_path):
    def shard(name: str, *people: object, label: bytes = b"") -> None:
        files = {}
        for n, person in enumerate(people):
            about = json.dumps({"label": n % 2, "person": person}).encode()
            files |= {f"{n:02}.png": png(n), f"{n:02}.json": about}
            files |= {f"{n:02}.cls": label} if label else {}
        save(name, files)

    def source(**keys: object):
        return webdataset(place, path=tmp_path, group="person", **keys)

    shard("a-train-0.tar", *(n // 4 for n in range(12)), "x", "x")
    shard("a-train-1.tar", "x", "x")
    train = source(test_fraction=0.3)
    assert train.test is not None
    groups = [set(each.read().groups.tolist()) for each in (train.train, train.test)]
    assert [len(each) for each in groups] == [3, 1] and not groups[0] & groups[1]
    assert source().train.read().groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert webdataset(place, path=tmp_path).train.read().groups is None
    # Those of test pictures are compared, too, while their labels stay closed
    shard("a-test-0.tar", "y", 9, label=b"unheard")
    assert source(label="json").test is not None
    shard("a-test-0.tar", "y", 2, label=b"unheard")
    with pytest.raises(DataError, match=r"1 are, such as 2, .*a-test-0\.tar and in .*train-0"):
        source(label="json")
    shard("a-test-0.tar", "y", None)
    with pytest.raises(DataError, match=r"group must be .*01\.json can't .*'person' isn't a num"):
        source()
    save("a-test-0.tar", {"0.png": png(0), "0.cls": b"1"})
    with pytest.raises(DataError, match=r"0\.png can't be used \(its sample has no json\)"):
        source()


def test_held_out_pictures_keep_their_names(shard, place, tmp_path):
    path = shard("a.tar")
    source = webdataset(place, path=path, test_fraction=0.5)
    assert source.test is not None and source.test.name_of and source.train.name_of
    names = []
    for part in (source.train, source.test):
        whole = webdataset(place, path=path).train.read()
        for index, picture in enumerate(part.read().images):
            name = part.name_of(index)
            row = int(name.partition("/s/")[2].removesuffix(".png"))
            assert np.array_equal(whole.images[row], picture)
            names.append(name)
    assert sorted(names) == [f"a.tar/s/{n:04}.png" for n in range(6)]


def test_patterns_are_expanded_as_a_shell_does():
    assert [*_expanded("{a,b}-{08..10}.tar", "key")] == [
        "a-08.tar", "a-09.tar", "a-10.tar", "b-08.tar", "b-09.tar", "b-10.tar"
    ]  # fmt: skip
    for pattern in ("{2..1}.tar", "{0..999999}.tar", "{0..999}{0..999}.tar"):
        with pytest.raises(DataError, match="key must stand for 1 to 100,000 files"):
            [*_expanded(pattern, "key")]


def test_a_file_of_a_pattern_must_be_there(shard, place, tmp_path):
    shard("train-0.tar")
    with pytest.raises(DataError, match=r"but 2 of 3 aren't: .*train-1\.tar, "):
        webdataset(place, path=tmp_path / "train-{0..2}.tar")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param({"0.png": b"x"}, "0 in .* has png; give the endings", id="no label"),
        pytest.param({"0.cls": b"1"}, "one picture .* has cls", id="no picture"),
        pytest.param({"0.png": b"x", "0.jpg": b"x", "0.cls": b"1"}, "has png, jpg", id="two"),
        pytest.param({"0.png": b"x", "0.PNG": b"x"}, "each kind once", id="twice"),
        pytest.param({"0.png": b"x", "0.cls": b" "}, r"0\.cls can't .* empty", id="empty"),
        pytest.param({"0.png": b"x", "0.cls": b"\xff"}, r"0\.cls can't .*utf-8", id="bytes"),
        pytest.param({"0.png": b"x", "0.cls": b"x" * 2**21}, "at most 1,048,576", id="huge"),
        pytest.param({"0.png": b"x", "0.json": b"[" * 9999}, r"0\.json can't be", id="deep"),
        pytest.param({"0.png": b"x", "0.json": b"[1]"}, "isn't a JSON object", id="a list"),
        pytest.param({"0.png": b"x", "0.json": b'{"a": 1, "b": 2}'}, "isn't among a, b", id="keys"),
        pytest.param({"0.png": b"x", "0.cls": b"1"}, "two classes, .* only 1", id="one class"),
        pytest.param({"../0.png": b"x"}, "leads out of it", id="above"),
        pytest.param({"/etc/0.png": b"x"}, "leads out of it", id="absolute"),
    ],
)
def test_a_sample_that_cant_be_used_is_refused(save, place, files, says):
    with pytest.raises(DataError, match=says):
        webdataset(place, path=save("a.tar", files))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_member_that_isnt_a_file_is_refused(save, place, tmp_path, kind):
    member = tarfile.TarInfo("0.png")
    member.type, member.linkname = kind, "/etc/passwd"
    path = save("a.tar", {}, member)
    with pytest.raises(DataError, match=r"a\.tar must contain plain files, but '0\.png' is a link"):
        webdataset(place, path=path)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["a.tar"]


def test_a_damaged_file_is_refused(shard, place, tmp_path):
    path = shard("a.tar")
    whole = path.read_bytes()

    def refused(content: bytes, says: str) -> None:
        path.write_bytes(content)
        with pytest.raises(DataError, match=says):
            webdataset(place, path=path)

    second = whole.index(b"s/0002.png")
    refused(whole[: second + 700], "unexpected end of data")
    refused(whole[:second], "must end with a block of zeros")
    refused(whole[: second + 20] + b"?" + whole[second + 21 :], "must end with a block of zeros")
    refused(gzip.compress(whole), "must be a tar file that isn't compressed")
    refused(b"", "must be a tar file")
    path = tmp_path / "a.tar.gz"
    refused(whole, "unpack it by gunzip")
