"""Pictures in ZIP archives: read without extraction, and damaged archives refused by name."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.training.data import packed_pictures
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.packed_pictures import PackedPictures, zip_entries


@pytest.fixture
def png(pictures):
    def make(seed: int = 0) -> tuple[np.ndarray, bytes]:
        pixels = pictures(5, 7, 3, seed=seed)
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "PNG")
        return pixels, held.getvalue()

    return make


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pictures_are_read_in_the_archives_order(tmp_path, png, method):
    path = tmp_path / "p.zip"
    kept = {name: png(seed) for seed, name in enumerate(("b/2.png", "a/1.png", "a\\3.png"))}
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a/", b"")
        archive.writestr("__MACOSX/a/._1.png", b"x")
        archive.writestr("a/.hidden.png", b"x")
        for name, (_, raw) in kept.items():
            archive.writestr(name, raw)
    entries = zip_entries(path)
    assert [each.name for each in entries] == ["b/2.png", "a/1.png", "a/3.png"]
    read = PackedPictures(places=entries, colour="rgb")
    assert len(read) == 3
    for index, (pixels, _) in enumerate(kept.values()):
        assert np.array_equal(read[index], pixels)
    assert [each.name for each in tmp_path.iterdir()] == ["p.zip"]


def test_an_archive_behind_something_else_is_read(tmp_path, png):
    """As a self-extracting archive is: its directory counts from the archive's own beginning."""
    pixels, raw = png()
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("1.png", raw)
    path = tmp_path / "p.zip"
    path.write_bytes(b"MZ" * 100 + held.getvalue())
    assert np.array_equal(PackedPictures(places=zip_entries(path), colour="rgb")[0], pixels)


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/up.png", "..\\up.png", "C:\\up.png", "c:/up.png"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match=r"p\.zip must be below the archive, but .*up\.png"):
        zip_entries(path)


def _entry(path: Path, raw: bytes = b"x" * 100) -> bytearray:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", raw)
    return bytearray(path.read_bytes())


def _encrypted(path: Path) -> None:
    content = _entry(path)
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def _by_bzip2(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("1.png", b"x")


def _twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", b"x")
        archive.writestr("./1.png", b"y")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (_encrypted, r"must not be encrypted, but '1\.png'"),
        (_by_bzip2, r"stored or compressed by deflate, but '1\.png' is compressed by method 12"),
        (_twice, r"must be there once, but '1\.png' is there twice"),
        (lambda path: path.write_bytes(b"no archive"), "must be a ZIP archive"),
        (lambda path: path.write_bytes(bytes(_entry(path))[:-30]), "must be a ZIP archive"),
    ],
)
def test_an_archive_that_cant_be_read_is_refused(tmp_path, write, says):
    path = tmp_path / "p.zip"
    write(path)
    with pytest.raises(DataError, match=says):
        zip_entries(path)


def _directory(content: bytearray, offset: int, value: int) -> None:
    at = content.rindex(b"PK\x01\x02") + offset
    content[at : at + 4] = struct.pack("<I", value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda c: _directory(c, 24, 50), "its size isn't the stated", id="expands"),
        pytest.param(lambda c: _directory(c, 24, 2**31), "at most 1.1 GB are read", id="huge"),
        pytest.param(lambda c: _directory(c, 16, 7), "its checksum is wrong", id="checksum"),
        pytest.param(
            lambda c: c.__setitem__(slice(0, 4), b"PK\x05\x06"), "isn't where", id="place"
        ),
        pytest.param(lambda c: c.__setitem__(slice(35, 39), b"\xff" * 4), "invalid", id="bytes"),
    ],
)
def test_a_damaged_entry_is_named(tmp_path, change, says):
    path = tmp_path / "p.zip"
    content = _entry(path)
    change(content)
    path.write_bytes(content)
    with pytest.raises(DamagedPicture, match=rf"p\.zip/1\.png \(.*{says}"):
        PackedPictures(places=zip_entries(path), colour="rgb")[0]


def test_a_bomb_isnt_expanded(tmp_path, monkeypatch):
    """A megabyte of zeros in a kilobyte, of which the directory says that it is 10 bytes."""
    path = tmp_path / "p.zip"
    content = _entry(path, b"\0" * 2**20)
    _directory(content, 24, 10)
    path.write_bytes(content)
    sizes = []

    class Watched:
        def __init__(self, *args):
            self._own = zlib_decompressobj(*args)

        def decompress(self, data, most):
            read = self._own.decompress(data, most)
            sizes.append(len(read))
            return read

    zlib_decompressobj = packed_pictures.zlib.decompressobj
    monkeypatch.setattr(packed_pictures.zlib, "decompressobj", Watched)
    with pytest.raises(DamagedPicture, match="stated"):
        PackedPictures(places=zip_entries(path), colour="rgb")[0]
    assert sizes == [11]


def test_a_picture_that_isnt_one_is_named(tmp_path):
    path = tmp_path / "p.zip"
    path.write_bytes(_entry(path))
    with pytest.raises(DamagedPicture, match=r"p\.zip/1\.png \(not a picture that can be read\)"):
        PackedPictures(places=zip_entries(path), colour="rgb")[0]
