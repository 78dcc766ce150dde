"""Decoding one picture file: what Pillow gets wrong for a classifier, and damage."""

from __future__ import annotations

import io
import os
import re
import socket
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from hpsearch.training.data import picture_files, room
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import SUFFIXES, PictureFiles, read_picture


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + name + content + checksum


WITHOUT_PALETTE = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", bytes([0, 0, 0, 2, 0, 0, 0, 2, 8, 3, 0, 0, 0])),
        _chunk(b"IDAT", zlib.compress(bytes(6))),
        _chunk(b"IEND", b""),
    ]
)


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
        pytest.param(WITHOUT_PALETTE, "it is damaged", id="a palette is missing"),
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


def blank_png(width: int, height: int) -> bytes:
    """A PNG of black and white that says it has so many pixels, and has some of them."""
    header = io.BytesIO()
    Image.new("1", (1, 1)).save(header, "PNG")
    raw = bytearray(header.getvalue())
    raw[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (13_000, 13_000), (9_460, 9_460)])
def test_a_bomb_is_not_unpacked(tmp_path, width, height):
    (tmp_path / "x.png").write_bytes(blank_png(width, height))
    with pytest.raises(DamagedPicture, match=r"x\.png \(.*pixels.* at most 89,478,485 are decoded"):
        read_picture(tmp_path / "x.png", "rgb")


def test_a_picture_that_no_memory_is_left_for_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(blank_png(9_000, 9_000))
    monkeypatch.setattr(room, "free_memory", lambda: 500_000_000)
    with pytest.raises(DamagedPicture) as caught:
        read_picture(tmp_path / "x.png", "rgb")
    assert "x.png (decoding it needs about 972 MB of memory, but 500 MB are free" in str(
        caught.value
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("colour", ["rgb", "gray"])
def test_large_pictures_are_converted_in_bands(saved, monkeypatch, mode, colour):
    values = np.arange(40 * 30).reshape(40, 30)
    if mode == "I;16":
        path = saved(Image.fromarray((values * 50).astype(np.uint16)))
    else:
        image = Image.fromarray((values % 251).astype(np.uint8)).convert(mode)
        path = saved(image, "x.jpg" if mode == "CMYK" else "x.png")
    at_once = read_picture(path, colour)
    monkeypatch.setattr(picture_files, "_BAND", 7 * 30)
    assert np.array_equal(read_picture(path, colour), at_once)


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "folder"])
def test_only_regular_files_are_opened(tmp_path, kind):
    path = tmp_path / "x.png"
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as here:
                here.bind(os.path.relpath(path))  # the whole path may be too long for one
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    with pytest.raises(DamagedPicture, match=rf"x\.png \(not a regular file, but a {kind}\)"):
        read_picture(path, "rgb")


@pytest.mark.parametrize(
    "contents", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(26)]
)
def test_no_picture_starts_a_program(tmp_path, monkeypatch, contents):
    ran = tmp_path / "ran"
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\necho $0 >> {ran}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for anew
    path = tmp_path / "evil.png"
    path.write_bytes(contents + b"%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\n")
    with pytest.raises(DamagedPicture, match=r"evil\.png \(not a picture that can be read\)"):
        read_picture(path, "rgb")
    assert not ran.exists()


def test_pictures_are_opened_with_the_formats_of_our_endings_alone(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))  # saving as SPIDER changes it
    ours = {Image.EXTENSION[ending] for ending in SUFFIXES} | {"DIB", "MPO"}
    path, others = tmp_path / "x.png", []
    for name in sorted(set(Image.SAVE) & set(Image.OPEN) - ours):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of old formats
                Image.new("RGB", (16, 16)).save(path, name)
        except (OSError, ValueError, KeyError):  # not a format for such a picture
            continue
        others.append(name)
        with pytest.raises(DamagedPicture, match="not a picture that can be read"):
            read_picture(path, "rgb")
    assert "EPS" in others
    assert len(others) > 5


def test_the_docs_list_the_endings():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    listed = page.partition("- Pictures end in ")[2].partition("in any case of letters")[0]
    assert set(re.findall(r"`([.]\w+)`", listed)) == SUFFIXES


def test_exif_that_cannot_be_read_says_nothing(saved, pictures, tmp_path):
    raw = saved(pictures(4, 5, 3)).read_bytes()
    chunk = b"eXIf" + b"no EXIF at all"
    damaged = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "y.png").write_bytes(raw[:33] + damaged + raw[33:])
    assert np.array_equal(read_picture(tmp_path / "y.png", "rgb"), pictures(4, 5, 3))


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


def torn_tiff(folder: Path, compression: str) -> Path:
    """Write a TIFF whose compressed pixels are damaged; libtiff itself writes of it to stderr."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", compression=compression)
    content = bytearray(stream.getvalue())
    content[200:400] = bytes(byte ^ 0x5A for byte in content[200:400])
    path = folder / f"{compression}.tif"
    path.write_bytes(content)
    return path


def test_what_libtiff_says_is_part_of_the_error(tmp_path, capfd):
    with pytest.raises(DamagedPicture, match=r"tiff_lzw.tif \(decoder error -2: .*code not yet in"):
        read_picture(torn_tiff(tmp_path, "tiff_lzw"), "rgb")
    assert capfd.readouterr() == ("", "")


def test_of_a_picture_that_is_read_all_the_same_one_warning_names_it(
    tmp_path, capfd, caplog, monkeypatch
):
    monkeypatch.setattr(picture_files, "_warned", set())
    path = torn_tiff(tmp_path, "jpeg")
    for _ in range(3):
        assert read_picture(path, "rgb").shape == (64, 64, 3)
    (warning,) = caplog.messages
    assert warning.startswith(f"{path} was read, but its file has a fault (JPEGLib: ")
    assert "JPEGLib" not in capfd.readouterr().err
