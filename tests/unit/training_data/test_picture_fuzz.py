"""Picture files that nobody meant to write: right, or refused by name."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import png, tiff

from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import read_picture

#: Chunks of PNG and the lengths that are tried; most are wrong.
CHUNKS = {
    b"tRNS": (0, 1, 2, 3, 4, 6, 256), b"PLTE": (0, 3, 5, 6, 48, 768), b"eXIf": (0, 20, 40),
    **dict.fromkeys(
        b"gAMA sBIT cHRM sRGB iCCP bKGD hIST pHYs tIME tEXt zTXt iTXt acTL fcTL xxXx sPLT".split(),
        (0, 1, 2, 4, 8, 9, 13, 26, 32),
    ),
}  # fmt: skip
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]


def read(path: Path, raw: bytes) -> np.ndarray | None:
    """The picture, or ``None`` if it is refused; a warning is an error."""
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = read_picture(path, "rgb")
        except DamagedPicture as error:
            assert str(error).startswith(f"{path} (")
            return None
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    return picture


def random_png(rng: np.random.Generator) -> bytes:
    """Pixels of any kind under any chunks."""

    def some(count: int) -> bytes:
        return rng.integers(0, 256, count).astype(np.uint8).tobytes()

    colour_type, bits = KINDS[rng.integers(len(KINDS))]
    samples = rng.integers(0, 1 << bits, (5, 7, CHANNELS[colour_type]))
    chunks = []
    for _ in range(rng.integers(0, 5)):
        kind = list(CHUNKS)[rng.integers(len(CHUNKS))]
        chunks.append((kind, some(rng.choice(CHUNKS[kind]))))
    if colour_type == 3 and rng.random() < 0.8:
        chunks.insert(0, (b"PLTE", some(3 * rng.integers(1, (1 << bits) + 1))))
        if rng.random() < 0.4:
            chunks.append((b"tRNS", some(rng.integers(1, len(chunks[0][1]) // 3 + 2))))
    if colour_type in (0, 2) and rng.random() < 0.5:
        chunks.append((b"tRNS", samples[2, 3].astype(">u2").tobytes()))
    return png(samples, bits=bits, colour_type=colour_type, chunks=chunks)


def meant_by(held: np.ndarray) -> np.ndarray:
    """What libpng found: gray or colour, of 8 or 16 bits, perhaps with opacity."""
    held = held[:, :, None] if held.ndim == 2 else held
    held = (held >> 8 if held.dtype == np.uint16 else held).astype(float)
    colour = held[:, :, : 1 if held.shape[2] < 3 else 3]
    if held.shape[2] in (2, 4):
        share = held[:, :, -1:] / 255
        colour = colour * share + 255 * (1 - share)
    return np.broadcast_to(colour, (*colour.shape[:2], 3))


@pytest.mark.parametrize("seed", range(4))
def test_pngs_of_any_kind_and_chunks_are_what_libpng_finds(tmp_path, seed):
    imagecodecs = pytest.importorskip("imagecodecs", reason="pip install -e '.[dev]'")
    rng, outcomes = np.random.default_rng(seed), Counter()
    for _ in range(250):
        raw = random_png(rng)
        found = read(tmp_path / "x.png", raw)
        try:
            held = imagecodecs.png_decode(raw)
        except RuntimeError:  # libpng refuses it
            held = None
        outcomes[found is not None, held is not None] += 1
        if found is not None and held is not None:
            assert np.abs(found - meant_by(held)).max() <= 1.01, raw
    assert outcomes[True, True] > 100  # not all of them are refused


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """One file of each format, by its ending."""
    y, x = np.mgrid[0:24, 0:32]
    picture = np.stack([x * 8, y * 10, (x + y) * 4], axis=2).astype(np.uint8)
    files = {
        "png": png(picture, bits=8, colour_type=2),
        "tif": tiff(picture, bits=8, photometric=2),
        "tiff": tiff(picture.astype(np.uint16) * 257, bits=16, photometric=2, deflated=True),
    }
    for ending, name in (
        ("jpg", "JPEG"), ("gif", "GIF"), ("webp", "WEBP"), ("bmp", "BMP"), ("ppm", "PPM"),
        ("avif", "AVIF"), ("jp2", "JPEG2000"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, name)
        files[ending] = buffer.getvalue()
    return files


@pytest.mark.parametrize(
    "ending", ["png", "tif", "tiff", "jpg", "gif", "webp", "bmp", "ppm", "avif", "jp2"]
)
def test_damaged_files_are_read_or_refused(tmp_path, whole, ending):
    rng, path = np.random.default_rng(7), tmp_path / f"x.{ending}"
    refused = 0
    for _ in range(80):
        raw = bytearray(whole[ending])
        for _ in range(rng.integers(1, 6)):
            # Mostly in the header, where a byte means most
            at = int(rng.integers(len(raw) if rng.random() < 0.4 else min(len(raw), 120)))
            if rng.random() < 0.6:
                raw[at] = int(rng.integers(256))
            else:
                value = int(rng.choice([0, 1, 255, 65_535, 100_000, 2**31 - 1, 2**32 - 1]))
                raw[at : at + 4] = value.to_bytes(4, "little" if rng.random() < 0.5 else "big")
        refused += read(path, bytes(raw)) is None
    assert refused > 0
    assert read(path, whole[ending]) is not None
