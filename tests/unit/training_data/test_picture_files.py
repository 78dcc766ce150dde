"""Decoding one picture file: what Pillow gets wrong for a classifier, and damage."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import PictureFiles, read_picture


@pytest.fixture
def saved(tmp_path: Path):
    """Saves an array (or a Pillow image) as a file."""

    def save(picture, name: str = "x.png", mode: str | None = None, **options) -> Path:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        path = tmp_path / name
        (image if mode is None else image.convert(mode)).save(path, **options)
        return path

    return save


def test_colour_pictures_come_as_they_are(saved, pictures):
    rgb = pictures(5, 7, 3)
    assert np.array_equal(read_picture(saved(rgb), "rgb"), rgb)
    expected = np.asarray(Image.fromarray(rgb).convert("L"))
    assert np.array_equal(read_picture(saved(rgb), "gray")[:, :, 0], expected)


def test_gray_pictures_become_three_equal_channels(saved, pictures):
    gray = pictures(5, 7)
    assert np.array_equal(read_picture(saved(gray), "gray"), gray[:, :, None])
    assert np.array_equal(read_picture(saved(gray), "rgb"), np.repeat(gray[:, :, None], 3, axis=2))


@pytest.mark.parametrize("colour", ["rgb", "gray"])
@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("1", "x.png"),
        ("L", "x.jpg"),
        ("LA", "x.png"),
        ("P", "x.png"),
        ("P", "x.gif"),
        ("RGB", "x.bmp"),
        ("RGB", "x.ppm"),
        ("RGB", "x.webp"),
        ("RGBA", "x.webp"),
        ("RGBA", "x.tif"),
        ("CMYK", "x.jpg"),
        ("YCbCr", "x.jpeg"),
    ],
)
def test_every_common_kind_of_file_is_read(saved, mode, name, colour):
    ramp = np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(64, 48)
    read = read_picture(saved(ramp, name, mode), colour)
    assert read.dtype == np.uint8
    assert read.shape == (64, 48, 3 if colour == "rgb" else 1)
    tolerance = 255 if mode == "1" else 12
    assert np.abs(read.astype(int) - ramp[:, :, None]).mean() < tolerance / 3


def test_transparent_pixels_are_composed_over_white(saved):
    layers = np.zeros((1, 3, 4), np.uint8)
    layers[0, :, 0] = 200  # red ...
    layers[0, :, 3] = [0, 128, 255]  # ... unseen, half seen, seen
    read = read_picture(saved(layers), "rgb")
    assert read[0].tolist() == [[255, 255, 255], [227, 127, 127], [200, 0, 0]]


@pytest.mark.parametrize(
    ("mode", "transparency"),
    [("L", 0), ("RGB", (0, 0, 0)), ("P", 0), ("P", bytes([0])), ("1", 0)],
    ids=["gray", "colour", "palette", "palette in bytes", "black and white"],
)
def test_a_transparent_colour_is_white_as_well(saved, mode, transparency):
    picture = np.array([[0, 255]], np.uint8)
    image = Image.fromarray(picture).convert(mode)
    path = saved(image, transparency=transparency)
    assert read_picture(path, "rgb").tolist() == [[[255] * 3, [255] * 3]]
    opaque = saved(image)
    assert read_picture(opaque, "rgb").tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_a_picture_is_turned_as_its_camera_says(tmp_path, orientation, name):
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:8, :8] = 255  # a white corner, top left
    # What the camera saved, so that turning it by the EXIF standard's table makes it upright
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, quality=95)
    read = read_picture(tmp_path / name, "rgb")
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() < 60


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_keep_the_upper_eight(saved, tmp_path, name):
    values = np.array([[0, 255, 256, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    path = tmp_path / name
    if name.endswith("pgm"):
        path.write_bytes(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    assert read_picture(path, "gray")[0, :, 0].tolist() == [0, 0, 1, 0x12, 0x80, 0xFF]
    assert read_picture(path, "rgb")[0, :, 2].tolist() == [0, 0, 1, 0x12, 0x80, 0xFF]


def test_a_transparent_value_of_sixteen_bits_is_white(saved):
    path = saved(np.array([[0x1234, 0x1235]], np.uint16), transparency=0x1234)
    assert read_picture(path, "gray")[0, :, 0].tolist() == [255, 0x12]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_refused(saved, dtype):
    path = saved(np.zeros((3, 3), dtype), "x.tif")
    with pytest.raises(DamagedPicture, match=r"x\.tif \(it has 32 bits per pixel; save it with 8"):
        read_picture(path, "gray")


def test_the_first_frame_of_several(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "x.gif", "gray").max() == 10


@pytest.mark.parametrize(
    ("name", "options"),
    [("x.png", {}), ("x.jpg", {}), ("x.gif", {}), ("x.bmp", {}), ("x.webp", {"lossless": True})],
)
def test_a_truncated_file_is_named_wherever_it_ends(saved, pictures, tmp_path, name, options):
    whole = saved(pictures(16, 16, 3), name, **options).read_bytes()
    expected = read_picture(tmp_path / name, "rgb")
    cut, damaged = tmp_path / f"cut {name}", 0
    for end in range(0, len(whole), 7):
        cut.write_bytes(whole[:end])
        try:
            read = read_picture(cut, "rgb")
        except DamagedPicture as error:
            damaged += 1
            assert str(error).startswith(f"{cut} (")
        else:  # what is lost were bytes after the last pixel
            assert np.array_equal(read, expected)
    assert damaged > len(whole) / 7 * 0.9


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        pytest.param(b"", "not a picture that can be read", id="empty"),
        pytest.param(b"<html>404</html>", "not a picture that can be read", id="a web page"),
    ],
)
def test_something_else_is_named(tmp_path, contents, reason):
    path = tmp_path / "x.png"
    path.write_bytes(contents)
    with pytest.raises(DamagedPicture) as caught:
        read_picture(path, "rgb")
    assert str(caught.value) == f"{path} ({reason})"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedPicture, match=r"x\.png \(No such file or directory\)"):
        read_picture(tmp_path / "x.png", "rgb")


def test_a_bomb_is_not_unpacked(tmp_path):
    header = io.BytesIO()
    Image.new("1", (1, 1)).save(header, "PNG")
    raw = bytearray(header.getvalue())
    raw[16:24] = (60_000).to_bytes(4, "big") * 2  # 3.6 thousand million pixels
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(raw)
    with pytest.raises(DamagedPicture, match=r"decompression bomb"):
        read_picture(tmp_path / "x.png", "rgb")


def test_files_are_decoded_when_asked_for(saved, pictures, tmp_path):
    files = [saved(pictures(4, 4, seed=n), f"{n}.png") for n in range(3)]
    files.append(tmp_path / "missing.png")
    lazy = PictureFiles(files=files, colour="gray")
    assert len(lazy) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no file stays open
        assert np.array_equal(lazy[2][:, :, 0], pictures(4, 4, seed=2))
    with pytest.raises(DamagedPicture, match=r"missing\.png"):
        lazy[3]
