"""Folders of pictures: classes, layouts, groups, and what is refused by name."""

from __future__ import annotations

import errno
import os
import re
import socket
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import image_names, prepare
from hpsearch.training.data.sources.image_folder import image_folder

POINTS = r"_([0-9a-f]+)\.png"


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def save(pictures):
    """Saves one random picture; the same name gives the same picture."""

    def save(path: Path, size: tuple[int, int] = (6, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32(os.fsencode(f"{path.parent.name}/{path.name}"))
        Image.fromarray(pictures(*size, 3, seed=seed)).save(path)
        return path

    return save


@pytest.fixture
def flowers(tmp_path, save) -> Path:
    """Three classes of 10, 12 and 14 pictures of 8x6 pixels."""
    for n, name in enumerate(("tulip", "aster", "rose")):
        for number in range(10 + 2 * n):
            save(tmp_path / "flowers" / name / f"{number:02}.png")
    return tmp_path / "flowers"


@pytest.fixture
def emoji(tmp_path, save) -> Path:
    """Two classes of 12 code points, each drawn by three vendors."""
    for name, first in (("bird", 0x1F400), ("food", 0x1F500)):
        for point in range(first, first + 12):
            for vendor in ("google", "fluent", "twitter"):
                save(tmp_path / "emoji" / name / f"{vendor}_{point:x}.png")
    return tmp_path / "emoji"


def config(path: Path, **settings) -> DataConfig:
    return DataConfig(source=Component("image_folder", {"path": str(path), **settings}))


def test_classes_are_the_folders_in_their_order(flowers, place):
    source = image_folder(place, path=flowers)
    images = source.train.read()
    assert source.class_names == ("aster", "rose", "tulip")
    assert np.bincount(images.labels).tolist() == [12, 14, 10]
    assert images.labels.dtype == np.int64
    assert images.groups is None
    assert source.validation is source.test is None
    assert source.origin == str(flowers)
    first = np.asarray(Image.open(flowers / "aster" / "00.png"))
    assert np.array_equal(images.images[0], first)
    assert source.train.files == tuple(sorted(flowers.rglob("*.png")))


def test_a_folder_becomes_tensors(flowers, root):
    data = prepare(replace(config(flowers), validation=9, input_size=5), split_seed=1, root=root)
    assert data.images.shape == (36, 3, 5, 5)
    assert data.class_names == ("aster", "rose", "tulip")
    assert torch.bincount(data.labels[data.val_indices]).tolist() == [3, 4, 2]
    gray = prepare(config(flowers, colour="gray"), split_seed=1, root=root)
    assert gray.input_shape == (1, 6, 8)
    assert gray.data_hash != data.data_hash


def test_images_have_the_names_of_their_files(flowers, root):
    config = DataConfig(
        source=Component("image_folder", {"path": str(flowers), "test_fraction": 0.25}), limit=20
    )
    prepared = prepare(config, split_seed=3, root=root)
    rows = [0, 7, 19]
    names = image_names(config, rows, split_seed=3, root=root)
    assert list(names) == rows
    for row, name in names.items():
        with Image.open(flowers / name) as picture:
            pixels = np.moveaxis(np.asarray(picture), -1, 0)
        assert np.array_equal(prepared.images[row].numpy(), pixels)
        assert Path(name).parent.name == prepared.class_names[prepared.labels[row]]
    digits = DataConfig(source=Component("digits"))
    assert image_names(digits, rows, split_seed=3, root=root) == {}, "which are no files"


def test_names_and_folders_elsewhere_change_no_hash(flowers, root, tmp_path):
    first = prepare(config(flowers), split_seed=1, root=root)
    flowers.rename(tmp_path / "moved")
    second = prepare(config(tmp_path / "moved"), split_seed=1, root=root)
    assert (second.data_hash, second.split_hash) == (first.data_hash, first.split_hash)
    assert second.cache_folder == first.cache_folder


def test_hidden_files_and_other_files_are_ignored(flowers, place, save):
    expected = image_folder(place, path=flowers).train.files
    for name in (".hidden.png", "._00.png", "notes.txt", "Thumbs.db"):
        (flowers / "rose" / name).write_bytes(b"no picture")
    (flowers / "LICENSE.png").write_bytes(b"beside the classes")
    (flowers / ".cache").mkdir()
    (flowers / "rose" / ".ipynb_checkpoints").mkdir()
    assert image_folder(place, path=flowers).train.files == expected
    upper = save(flowers / "rose" / "99.PNG")
    assert upper in image_folder(place, path=flowers).train.files


def test_pictures_of_several_sizes_need_an_input_size(flowers, root, save):
    save(flowers / "rose" / "99.png", (30, 40))
    with pytest.raises(DataError, match=r"\(8x6, 40x30 pixels, ...\) need data\.input_size, the"):
        prepare(config(flowers), split_seed=1, root=root)
    data = prepare(replace(config(flowers), input_size=8), split_seed=1, root=root)
    assert data.images.shape == (37, 3, 8, 8)


def test_damaged_files_are_all_named(flowers, root):
    for name in ("rose/03.png", "tulip/00.png", "aster/11.png"):
        raw = (flowers / name).read_bytes()
        (flowers / name).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError) as caught:
        prepare(config(flowers), split_seed=1, root=root)
    message = str(caught.value)
    assert message.startswith("every picture must be readable, but 3 of 36 can't be decoded: ")
    for name in ("rose/03.png", "tulip/00.png", "aster/11.png"):
        assert f"{flowers / name} (" in message
    assert message.endswith("Replace them, or remove them")


@pytest.mark.parametrize("empty", [["lily"], ["lily", "moss"]], ids=["one", "two"])
def test_an_empty_class_is_refused_by_name(flowers, place, empty):
    for name in empty:
        (flowers / name).mkdir()
        (flowers / name / "notes.txt").write_text("none yet")
        (flowers / name / ".hidden.png").write_text("")
    with pytest.raises(DataError) as caught:
        image_folder(place, path=flowers)
    named = ", ".join(f"{flowers / name} (1 .txt)" for name in empty)
    assert "every class folder must contain at least one picture (.apng, .avif, " in str(
        caught.value
    )
    assert f"but there is none in {named}; add pictures or remove" in str(caught.value)


def test_what_is_no_folder_of_classes_is_told(flowers, place, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "rose").mkdir(parents=True)
    for path, message in (
        (tmp_path / "nowhere", "needs folders of pictures, but .*nowhere doesn't exist"),
        (flowers / "rose" / "00.png", "00.png isn't a folder"),
        (tmp_path / "empty", "at least two classes, but .*empty contains none; give the folder"),
        (tmp_path / "one", "at least two classes, but .*one contains only rose; give"),
        (flowers.parent, "at least two classes|directly in the folder of their class"),
    ):
        with pytest.raises(DataError, match=message):
            image_folder(place, path=path)


def test_deeper_folders_are_refused(flowers, place, save):
    save(flowers / "rose" / "red" / "00.png")
    with pytest.raises(DataError, match=r"rose has the subfolder\(s\) red; move the pictures up"):
        image_folder(place, path=flowers)


def test_an_unreadable_folder_is_named(flowers, place, monkeypatch):
    def closed(folder: Path):  # a mode wouldn't stop root
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda x: closed(x) if x.name == "rose" else scan(x))
    with pytest.raises(DataError, match=r"rose isn't \(Permission denied\)"):
        image_folder(place, path=flowers)


@pytest.fixture
def in_parts(flowers, tmp_path) -> Path:
    """train, val and test folders; tulips are in the first only."""
    parts = tmp_path / "parts"
    for name, kept in (("train", range(14)), ("val", range(8, 14)), ("test", range(12, 14))):
        for picture in flowers.rglob("*.png"):
            if int(picture.stem) in kept and (name == "train" or picture.parent.name != "tulip"):
                (parts / name / picture.parent.name).mkdir(parents=True, exist_ok=True)
                target = parts / name / picture.parent.name / picture.name
                target.write_bytes(picture.read_bytes())
    return parts


@pytest.mark.parametrize("called", ["val", "valid", "validation"])
def test_train_val_and_test_folders_are_recognised(in_parts, root, called):
    (in_parts / "val").rename(in_parts / called)
    data = prepare(replace(config(in_parts), validation=3), split_seed=1, root=root)
    assert data.class_names == ("aster", "rose", "tulip")
    assert len(data.train_indices) == 36
    assert torch.bincount(data.labels[data.val_indices]).tolist() == [4, 6]
    images, labels = preparing.test_images(config(in_parts), root=root)
    assert images.shape == (2, 3, 6, 8)
    assert labels.tolist() == [1, 1]


def test_parts_are_given_by_keys(in_parts, flowers, place):
    by_keys = image_folder(
        place, path=flowers, val_path=in_parts / "val", test_path=in_parts / "test"
    )
    assert [len(part.files) for part in (by_keys.train, by_keys.validation, by_keys.test)] == [
        36,
        10,
        2,
    ]
    assert image_folder(place, path=in_parts, val_path=in_parts / "test").validation.files == (
        by_keys.test.files
    )


@pytest.mark.parametrize(
    "names",
    [
        ["train", "test"],
        ["Training", "Validation"],
        ["train", "test1"],
        ["train_images", "test_images", "cat"],
    ],
)
def test_parts_with_pictures_right_in_them_are_no_classes(tmp_path, place, save, names):
    for name in names:
        save(tmp_path / "x" / name / "0.png")
    with pytest.raises(DataError) as caught:
        image_folder(place, path=tmp_path / "x")
    parts = ", ".join(sorted(name for name in names if name != "cat"))
    assert (
        f"x must be classes, but {parts} are names of parts and contain pictures without a class"
        in str(caught.value)
    )


@pytest.mark.parametrize("names", [["training_set", "test_set"], ["train1", "val1", "test1"]])
def test_parts_of_other_names_with_classes_below_are_named_as_what_they_are(
    tmp_path, place, save, names
):
    for name in names:
        for label in ("cat", "dog"):
            save(tmp_path / "x" / name / label / "0.png")
    parts = ", ".join(sorted(names))
    with pytest.raises(
        DataError, match=f"but {parts} are names of parts that contain classes; .*test_path"
    ):
        image_folder(place, path=tmp_path / "x")
    source = image_folder(
        place, path=tmp_path / "x" / names[0], test_path=tmp_path / "x" / names[-1]
    )
    assert (source.class_names, len(source.test.files)) == (("cat", "dog"), 2)


def test_one_class_may_be_called_train(tmp_path, place, save):
    for name in ("train", "bus"):
        save(tmp_path / "y" / name / "0.png")
    assert image_folder(place, path=tmp_path / "y").class_names == ("bus", "train")


def test_a_test_part_without_classes_is_refused(flowers, tmp_path, place, save):
    flowers.rename(tmp_path / "train")
    both = tmp_path / "both"
    both.mkdir()
    (tmp_path / "train").rename(both / "Train")
    save(both / "Test" / "0.png")
    with pytest.raises(
        DataError, match=r"in a folder of their class, but 1 are directly in .*Test; s"
    ):
        image_folder(place, path=both)
    (both / "Test" / "0.png").unlink()
    save(both / "Test" / "rose" / "0.png")
    source = image_folder(place, path=both)
    assert source.class_names == ("aster", "rose", "tulip")
    assert len(source.test.files) == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"caf\xe9", "'caf\\udce9' of data source 'image_folder'"),
        (b"new\nline", "'new\\nline' of data source"),
        (b"escape\x1b[31m", "contains '\\x1b'; rename the class"),
        ("line\u2028separator".encode(), "contains '\\u2028'"),
        (b"  ", "'  ' of data source 'image_folder' .* is blank"),
        ("cafe\u0301".encode(), "which look the same; rename one"),
    ],
    ids=["no UTF-8", "new line", "escape", "separator", "blank", "two spellings of one name"],
)
def test_class_names_that_cannot_be_written_are_refused(flowers, root, save, name, found):
    save(flowers / "caf\u00e9" / "0.png")
    save(flowers / os.fsdecode(name) / "0.png")
    with pytest.raises(DataError, match=re.escape(found).replace("\\.\\*", ".*")) as caught:
        prepare(replace(config(flowers), validation=0.3), split_seed=1, root=root)
    str(caught.value).encode()  # and the message can be printed


def test_names_of_pictures_may_be_any_bytes(flowers, root, save):
    for name in (b"\xff\xe9.png", b"new\nline.png", b"\x1b.png"):
        save(flowers / "rose" / os.fsdecode(name))
    data = prepare(config(flowers), split_seed=1, root=root)
    assert len(data.images) == 39
    preparing._prepare.cache_clear()
    assert prepare(config(flowers), split_seed=1, root=root).data_hash == data.data_hash


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_renamed_class_of_one_in_a_part_gets_its_new_label(flowers, root, save, part):
    """With one class in it, the files' common folder is the class itself."""
    place = flowers / "train"
    for name in ("aster", "rose", "tulip"):
        (place / name).parent.mkdir(exist_ok=True)
        (flowers / name).rename(place / name)
    save(flowers / part / "rose" / "0.png")

    def labels():
        preparing._prepare.cache_clear()
        if part == "test":
            return preparing.test_images(config(flowers), root=root)[1].tolist(), ""
        data = prepare(config(flowers), split_seed=1, root=root)
        return data.labels[data.val_indices].tolist(), data.data_hash

    before = labels()
    assert before[0] == [1]
    (flowers / part / "rose").rename(flowers / part / "tulip")
    after = labels()
    assert after[0] == [2]
    assert part == "test" or after[1] != before[1]


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "broken link"])
def test_pictures_that_are_no_regular_files_are_named(flowers, place, kind, monkeypatch):
    path = flowers / "rose" / "x.png"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(path.parent)  # the whole path may be too long for a socket
        with socket.socket(socket.AF_UNIX) as here:
            here.bind(path.name)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    with pytest.raises(DataError, match=rf"must be a regular file, but .*x\.png is a {kind}; re"):
        image_folder(place, path=flowers)


def test_links_to_pictures_are_followed(flowers, root, tmp_path):
    before = prepare(config(flowers), split_seed=1, root=root).data_hash
    moved = tmp_path / "elsewhere.png"
    (flowers / "rose" / "03.png").rename(moved)
    (flowers / "rose" / "03.png").symlink_to(moved)
    preparing._prepare.cache_clear()
    assert prepare(config(flowers), split_seed=1, root=root).data_hash == before


def test_files_that_are_left_out_are_counted_by_ending(flowers, root, save):
    for number in range(3):
        (flowers / "rose" / f"{number}.heic").touch()
    (flowers / "aster" / "Thumbs.DB").touch()
    (flowers / "aster" / "LICENSE").touch()
    save(flowers / "cover.png")
    data = prepare(config(flowers, test_fraction=0.2), split_seed=1, root=root)
    assert data.warnings == (
        f"5 of 41 files below {flowers} are left out, because their endings aren't those of "
        "pictures (3 .heic, 1 .db, 1 without an ending)",
        f"1 picture directly in {flowers} is left out: not in the folder of a class",
    )


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "avif", "jp2", "pnm", "dib", "apng"])
def test_every_ending_that_pillow_reads_is_a_picture(flowers, place, suffix):
    kind = Image.registered_extensions()[f".{suffix.lower()}"]
    Image.new("RGB", (8, 6)).save(flowers / "rose" / f"x.{suffix}", kind)
    source = image_folder(place, path=flowers)
    assert len(source.train.files) == 37
    assert source.train.read().images[25].shape == (6, 8, 3)  # after 12 asters and 13 other roses
    assert source.warnings == ()


def test_a_class_that_nothing_trains_is_refused(in_parts, place, save):
    save(in_parts / "test" / "lily" / "0.png")
    with pytest.raises(
        DataError, match=r"test may contain only the classes of .*\(aster, rose, tulip\)"
    ):
        image_folder(place, path=in_parts)


def test_two_validation_folders_are_refused(in_parts, place, save):
    save(in_parts / "valid" / "rose" / "0.png")
    with pytest.raises(DataError, match=r"parts has val and valid; rename or remove one"):
        image_folder(place, path=in_parts)


def test_a_fraction_is_held_out_whatever_the_seed(flowers, root):
    with_test = config(flowers, test_fraction=0.25)
    images, labels = preparing.test_images(with_test, root=root)
    assert torch.bincount(labels).tolist() == [3, 4, 2]
    held_out = {bytes(image.numpy()) for image in images}
    assert len(held_out) == 9
    for seed in range(3):
        data = prepare(with_test, split_seed=seed, root=root)
        assert len(data.images) == 27
        assert not held_out & {bytes(image.numpy()) for image in data.images}
    other, _ = preparing.test_images(config(flowers, test_fraction=0.5), root=root)
    assert len(other) == 18


def test_test_pictures_stay_closed(flowers, root):
    source = preparing.build_source(config(flowers, test_fraction=0.25), root)
    for file in source.test.files:
        file.write_bytes(b"damaged")
    prepare(config(flowers, test_fraction=0.25), split_seed=1, root=root)
    with pytest.raises(DataError, match="but 9 of 9 can't be decoded"):
        preparing.test_images(config(flowers, test_fraction=0.25), root=root)


def test_test_images_come_from_one_place(in_parts, place):
    with pytest.raises(DataError, match=r"parts/test has some; leave test_fraction out"):
        image_folder(place, path=in_parts, test_fraction=0.2)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(POINTS, id="first group"),
        pytest.param(r"[0-9a-f]{5}(?=\.png)", id="whole match"),
        pytest.param(r"(1f[45]..)(\.png)", id="two groups"),
    ],
)
@pytest.mark.parametrize("limit", [{}, {"limit": 50}, {"per_class": 20}], ids=str)
def test_no_group_is_on_two_sides(emoji, root, pattern, limit):
    grouped = replace(config(emoji, group=pattern, test_fraction=0.2), **limit)
    pictures = {
        bytes(np.asarray(Image.open(file)).transpose(2, 0, 1)): file.stem.split("_")[1]
        for file in emoji.rglob("*.png")
    }

    def points(images: torch.Tensor) -> set[str]:
        return {pictures[bytes(image.numpy().tobytes())] for image in images}

    data = prepare(grouped, split_seed=3, root=root)
    test, _ = preparing.test_images(grouped, root=root)
    parts = [points(data.images[data.train_indices]), points(data.images[data.val_indices])]
    parts.append(points(test))
    assert all(parts)
    assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert len(test) == 15  # 5 of 24 code points, each three times: a fifth of 72 is 14.4
    if not limit:
        assert len(parts[0] | parts[1] | parts[2]) == 24


def test_a_pattern_is_part_of_what_was_asked(emoji, root):
    plain = prepare(config(emoji), split_seed=1, root=root)
    grouped = prepare(config(emoji, group=POINTS), split_seed=1, root=root)
    by_vendor = prepare(config(emoji, group="^[a-z]+"), split_seed=1, root=root)
    assert plain.data_hash == grouped.data_hash == by_vendor.data_hash
    assert len({plain.split_hash, grouped.split_hash, by_vendor.split_hash}) == 3
    assert len(by_vendor.val_indices) == 24  # one of three vendors


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param("(", r"must be a regular expression, but '\(' isn't \(mis", id="broken"),
        pytest.param("zebra", r"'zebra' doesn't match in 72 of 72: .*fluent_1f400\.png, ", id="no"),
        pytest.param(r"google_(\w+)", r"doesn't match in 48 of 72: .* and 38 more;", id="some"),
        pytest.param(r"[a-z]+_(x)?", "doesn't match in 72 of 72", id="an empty group"),
        pytest.param("png", r"1 group\(s\) contains all images of a class", id="one for all"),
    ],
)
def test_a_pattern_that_finds_no_groups_is_refused(emoji, root, pattern, message):
    with pytest.raises(DataError, match=message):
        prepare(config(emoji, group=pattern), split_seed=1, root=root)


def test_a_group_in_two_folders_is_refused(emoji, place, save):
    val = emoji.parent / "val"
    for name in ("google_1f400.png", "google_1f405.png", "google_1f4ff.png"):
        save(val / "bird" / name)
    image_folder(place, path=emoji, val_path=val)
    with pytest.raises(DataError, match=r"but 2 are in .*emoji and in .*val: 1f400, 1f405; move"):
        image_folder(place, path=emoji, val_path=val, group=POINTS)


def test_a_second_start_opens_no_picture(emoji, root, monkeypatch):
    prepare(config(emoji, group=POINTS), split_seed=1, root=root)
    preparing._prepare.cache_clear()
    monkeypatch.setattr(Image, "open", None)
    assert len(prepare(config(emoji, group=POINTS), split_seed=1, root=root).images) == 72
    (emoji / "bird" / "google_1f400.png").unlink()
    preparing._prepare.cache_clear()
    with pytest.raises(DataError, match="71 of 71"):  # another set of files: they are opened
        prepare(config(emoji, group=POINTS), split_seed=1, root=root)


@pytest.mark.parametrize("limit", [{}, {"limit": 50}], ids=str)
def test_the_group_of_every_image_is_known(emoji, root, limit):
    grouped = replace(config(emoji, group=POINTS, test_fraction=0.2), **limit)
    pictures = {
        bytes(np.asarray(Image.open(file)).transpose(2, 0, 1)): file.stem.split("_")[1]
        for file in emoji.rglob("*.png")
    }

    def same(images: torch.Tensor, groups: np.ndarray) -> bool:
        """Whether images have one group if they show one code point, and only then."""
        points = np.array([pictures[bytes(image.numpy().tobytes())] for image in images])
        return bool(np.array_equal(points[:, None] == points, groups[:, None] == groups))

    data = prepare(grouped, split_seed=3, root=root)
    assert same(data.images, data.groups.numpy())
    rows = data.val_indices.numpy()
    assert np.array_equal(data.groups_of(rows), data.groups.numpy()[rows])
    assert data.val_groups == len(set(data.groups.numpy()[rows]))
    test, _ = preparing.test_images(grouped, root=root)
    assert same(test, preparing.groups_of_test_images(grouped, root=root))
    assert preparing.groups_of_test_images(config(emoji, test_fraction=0.2), root=root) is None
    assert prepare(config(emoji), split_seed=3, root=root).val_groups is None


def test_validation_images_of_their_own_have_groups_apart_from_the_training_images(emoji, root):
    parts = emoji.parent / "in_parts"
    for file in emoji.rglob("*.png"):
        last = max(each.stem.split("_")[1] for each in file.parent.iterdir())
        part = "val" if file.stem.endswith(last) else "train"
        target = parts / part / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    data = prepare(config(parts, group=POINTS), split_seed=1, root=root)
    groups = data.groups.numpy()
    assert len(data.val_indices) == 3 * data.val_groups, "each code point was drawn three times"
    train, val = (set(groups[rows.numpy()]) for rows in (data.train_indices, data.val_indices))
    assert not train & val
    assert len(train | val) == 24
