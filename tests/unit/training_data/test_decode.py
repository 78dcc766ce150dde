"""Decoding: sizes, lazily read pictures, identities."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.training.data.cache import open_or_build
from hpsearch.training.data.decode import Selection, read_part, write_parts
from hpsearch.training.data.images import DamagedPicture, Images, Part, Source


class LazyPictures:
    """Pictures of sizes of their own, as an image folder gives them; notes which were decoded."""

    def __init__(self, pictures: list[np.ndarray], damaged: Iterable[int] = ()) -> None:
        self.pictures, self.damaged, self.decoded = pictures, set(damaged), []

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> np.ndarray:
        self.decoded.append(index)
        if index in self.damaged:
            raise DamagedPicture(f"{index}.png (cut)")
        return self.pictures[index]


def selection(images, indices=None, labels=None) -> Selection:
    indices = np.arange(len(images)) if indices is None else np.array(indices)
    labels = np.arange(len(images)) if labels is None else labels
    return Selection(images=Images(images=images, labels=labels), indices=indices)


@pytest.fixture
def written(tmp_path: Path):
    """Writes parts and returns the three arrays."""

    def write(parts: list[Selection], input_size: int | None):
        entry = open_or_build(
            tmp_path,
            {},
            lambda writer: {"data_hash": write_parts(writer, ["a", "b"], parts, input_size)},
        )
        return tuple(entry.array(name) for name in ("images", "labels", "chosen"))

    return write


def test_pictures_of_the_right_size_are_copied_bit_by_bit(written, pictures):
    source = pictures(1100, 4, 6, 3)  # more than two chunks
    chosen = np.arange(0, 1100, 2)
    images, labels, numbers = written([selection(source, chosen)], None)
    assert images.shape == (550, 3, 4, 6)
    assert np.array_equal(images.transpose(0, 2, 3, 1), source[::2])
    assert np.array_equal(labels, chosen)
    assert np.array_equal(numbers, chosen)


def test_parts_follow_each_other(written, pictures):
    one, two = pictures(5, 4, 4, 1, seed=1), pictures(3, 4, 4, 1, seed=2)
    images, labels, numbers = written([selection(one, [1, 4]), selection(two)], None)
    assert np.array_equal(images[:2, 0], one[[1, 4], :, :, 0])
    assert np.array_equal(images[2:, 0], two[:, :, :, 0])
    assert labels.tolist() == numbers.tolist() == [1, 4, 0, 1, 2]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [5, 20], ids=["smaller", "larger"])
def test_resizing_is_antialiased_bilinear(written, pictures, channels, size):
    source = pictures(2, 10, 14, channels)
    images, _, _ = written([selection(source)], size)
    assert images.shape == (2, channels, size, size)
    for picture, resized in zip(source, images, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(picture[:, :, channel]))
            expected = np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))
            assert np.abs(resized[channel].astype(int) - expected).max() <= 1


def test_shrinking_averages_every_pixel(written):
    # A checkerboard of single pixels: without antialiasing it would stay black and white.
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, :, :, None]
    images, _, _ = written([selection(board)], 8)
    assert images.min() > 100
    assert images.max() < 155


def test_only_the_chosen_of_lazy_pictures_are_decoded(written, pictures):
    lazy = LazyPictures([pictures(8 + n, 9, 3, seed=n) for n in range(6)])
    images, labels, _ = written([selection(lazy, [1, 5])], 8)
    assert images.shape == (2, 3, 8, 8)
    assert labels.tolist() == [1, 5]
    assert set(lazy.decoded) == {1, 5}


def test_pictures_of_different_sizes_need_an_input_size(written, pictures):
    lazy = LazyPictures([pictures(8, 9, 3), pictures(10, 9, 3)])
    with pytest.raises(DataError, match=r"\(9x8, 9x10 pixels, ...\) need data.input_size"):
        written([selection(lazy)], None)


def test_pictures_of_different_channels_are_refused(written, pictures):
    lazy = LazyPictures([pictures(8, 8, 3), pictures(8, 8, 1)])
    with pytest.raises(DataError, match="same channels, but one has 3 and another 1"):
        written([selection(lazy)], 8)


def test_damaged_pictures_are_all_named(tmp_path, pictures):
    lazy = LazyPictures([pictures(8, 8, 1)] * 700, damaged=range(0, 700, 50))  # in two chunks
    with pytest.raises(DataError) as caught:
        open_or_build(tmp_path, {}, lambda writer: write_parts(writer, ["a"], [selection(lazy)], 4))
    message = str(caught.value)
    assert (
        "every picture must be readable, but 14 of 700 can't be decoded: 0.png (cut); " in message
    )
    assert "; 450.png (cut); and 4 more. Replace them, or remove them" in message
    assert "500.png" not in message
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_damaged_picture_that_is_not_taken_does_no_harm(written, pictures):
    lazy = LazyPictures([pictures(8, 8, 1)] * 3, damaged=[1])
    images, _, _ = written([selection(lazy, [0, 2])], None)
    assert len(images) == 2


def test_nothing_but_damage_is_told_as_well(written):
    with pytest.raises(DataError, match=r"but 2 of 2 can't be decoded: 0\.png \(cut\); 1\.png"):
        written([selection(LazyPictures([None] * 2, damaged=[0, 1]))], None)


def test_the_groups_of_the_chosen_images_are_kept(tmp_path, pictures):
    images = Images(images=pictures(4, 2, 2, 1), labels=np.arange(4), groups=np.array([7, 8, 7, 9]))
    part = Selection(images=images, indices=np.array([0, 2, 3]))
    entry = open_or_build(
        tmp_path, {}, lambda writer: {"data_hash": write_parts(writer, ["a"], [part], None)}
    )
    assert entry.array("groups").tolist() == [0, 0, 1]  # numbered anew, the same ones together


def test_the_data_hash_covers_pictures_labels_and_names(tmp_path, pictures):
    def data_hash(names: list[str], parts: list[Selection], input_size: int | None = None) -> str:
        key = {"n": len(list(tmp_path.iterdir()))}
        build = partial(write_parts, class_names=names, parts=parts, input_size=input_size)
        entry = open_or_build(tmp_path, key, lambda writer: {"data_hash": build(writer)})
        return entry.facts["data_hash"]

    images = pictures(6, 4, 4, 1)
    first = data_hash(["a", "b"], [selection(images)])
    changed = images.copy()
    changed[5, 3, 3, 0] ^= 1
    others = [
        data_hash(["a", "c"], [selection(images)]),
        data_hash(["a", "b"], [selection(changed)]),
        data_hash(["a", "b"], [selection(images, labels=np.zeros(6, np.int64))]),
        data_hash(["a", "b"], [selection(images, [0, 1, 2, 3, 4])]),
        data_hash(["a", "b"], [selection(images[:3]), selection(images[3:])]),
        data_hash(["a", "b"], [selection(images.reshape(6, 2, 8, 1))]),
        data_hash(["a", "b"], [selection(images[::-1])]),
    ]
    assert len({first, *others}) == 8
    assert first == data_hash(["a", "b"], [selection(LazyPictures(list(images)))])
    assert first == data_hash(["a", "b"], [selection(images)], 9)  # in their own size
    assert first.startswith(
        "1e1ce199d612f80b"
    )  # written down: another hash disowns every frozen config


def source(part: Part) -> Source:
    return Source(name="flowers", class_names=("rose", "tulip"), train=part)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        pytest.param(0, [], "at least one image .* got 0 images and 0 labels", id="nothing"),
        pytest.param(3, [0, 1], "got 3 images and 2 labels", id="a label too few"),
        pytest.param(2, [0, 2], "between 0 and 1, but they are between 0 and 2", id="too large"),
        pytest.param(2, [-1, 1], "between 0 and 1, but they are between -1 and 1", id="negative"),
    ],
)
def test_a_source_that_gives_nonsense_is_named(images, labels, message):
    given = Images(
        images=np.zeros((images, 2, 2, 1), np.uint8), labels=np.array(labels, dtype=np.int64)
    )
    part = Part(read=lambda: given)
    with pytest.raises(DataError, match=message) as caught:
        read_part(source(part), part)
    assert "'flowers'" in str(caught.value)


def test_a_source_with_too_few_groups_is_named():
    given = Images(
        images=np.zeros((3, 2, 2, 1), np.uint8), labels=np.array([0, 1, 0]), groups=np.array([0, 1])
    )
    part = Part(read=lambda: given)
    with pytest.raises(DataError, match=r"one group per image, but got 3 images and .*\(2,\)"):
        read_part(source(part), part)


def test_a_source_that_cannot_be_read_is_named():
    def read() -> Images:
        raise PermissionError(13, "Permission denied", "/flowers/rose/1.png")

    part = Part(read=read)
    with pytest.raises(DataError, match=r"'flowers' must be readable.*rose/1\.png"):
        read_part(source(part), part)
