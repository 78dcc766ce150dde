"""Kinds of picture files against independent readers: right, or refused by name.

What a file holds is read by libpng, libtiff and others (``imagecodecs``, ``tifffile``), and what
it means follows from the standards. Whatever isn't refused must be that, pixel by pixel.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import packed, png, tiff

from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.picture_files import read_picture

imagecodecs = pytest.importorskip("imagecodecs", reason="pip install -e '.[dev]'")
tifffile = pytest.importorskip("tifffile", reason="pip install -e '.[dev]'")

#: Compositions are rounded; a premultiplied colour is rounded twice.
ROUNDED = 1.01
PREMULTIPLIED = 2.01

HEIGHT, WIDTH = 9, 13


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., np.ndarray | None]:
    """Reads a picture's bytes; ``None`` if it is refused."""

    def read(raw: bytes, name: str) -> np.ndarray | None:
        path = tmp_path / name
        path.write_bytes(raw)
        try:
            return read_picture(path, "rgb").astype(float)
        except DamagedPicture as error:
            assert str(error).startswith(f"{path} (")
            return None

    return read


def drawn(bits: int, channels: int, *, seed: int = 0) -> np.ndarray:
    """Random samples; the first two pixels are the smallest and the largest."""
    samples = np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
    samples[0, 0], samples[0, 1] = 0, (1 << bits) - 1
    return samples


def eight_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    """The upper 8 of more bits; fewer are spread over 0 to 255."""
    samples = samples.astype(np.int64)
    return samples >> (bits - 8) if bits >= 8 else samples * 255 // ((1 << bits) - 1)


def over_white(colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = opacity.astype(float)[:, :, None] / 255
    return colour * share + 255 * (1 - share)


def three(colour: np.ndarray) -> np.ndarray:
    return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


# -- PNG ---------------------------------------------------------------------------------------

PNG_KINDS = [
    (colour_type, bits)
    for colour_type, depths in {
        0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16),
    }.items()
    for bits in depths
]  # fmt: skip


def png_transparencies(colour_type: int, bits: int, samples: np.ndarray) -> list[bytes | None]:
    """tRNS chunks to try: of a palette opacities, of gray and colour one value."""
    if colour_type in (4, 6):
        return [None]
    if colour_type == 3:
        every = np.random.default_rng(1).integers(0, 256, 1 << bits).astype(np.uint8).tobytes()
        return [None, b"\0", b"\xff\0", b"\x80", every]
    values = [samples[y, x] for y, x in ((0, 0), (0, 1), (3, 4), (8, 12))]
    return [None, *(value.astype(">u2").tobytes() for value in values)]


@pytest.mark.parametrize(("colour_type", "bits"), PNG_KINDS)
def test_png(read, colour_type, bits):
    samples = drawn(bits, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type])
    samples[4, 4] = samples[3, 4] ^ 1  # differs from a transparent colour in the last bit
    palette = np.random.default_rng(2).integers(0, 256, (1 << min(bits, 8), 3)).astype(np.uint8)
    for transparency in png_transparencies(colour_type, bits, samples):
        chunks = [(b"PLTE", palette.tobytes())] if colour_type == 3 else []
        chunks += [] if transparency is None else [(b"tRNS", transparency)]
        raw = png(samples, bits=bits, colour_type=colour_type, chunks=chunks)
        found = read(raw, "x.png")
        if colour_type == 2 and bits == 16 and transparency is not None:
            assert found is None  # Pillow keeps half of the colour that is compared
            continue
        held = imagecodecs.png_decode(raw)
        held = held[:, :, None] if held.ndim == 2 else held
        held = held >> 8 if held.dtype == np.uint16 else held
        colour = three(held[:, :, : 1 if held.shape[2] < 3 else 3])
        opaque = held.shape[2] in (1, 3)
        meant = colour if opaque else over_white(colour, held[:, :, -1])
        assert np.abs(found - meant).max() <= (0 if opaque else ROUNDED), transparency


# -- TIFF --------------------------------------------------------------------------------------


def tiff_meaning(raw: bytes) -> np.ndarray:
    """What a TIFF means by its standard; its samples are as tifffile finds them."""
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        page = file.pages[0]
        samples = page.asarray().astype(np.int64)
        if samples.ndim == 2:
            samples = samples[:, :, None]
        elif page.planarconfig == 2:
            samples = np.moveaxis(samples, 0, 2)
        bits, photometric, extra = page.bitspersample, int(page.photometric), page.extrasamples
        colour_map = page.colormap
    if photometric == 3:
        colour = eight_bits(np.moveaxis(colour_map[:, samples[:, :, 0]], 0, 2), 16)
        return over_white(colour, samples[:, :, 1]) if extra else colour
    values = eight_bits(samples, bits)
    colours = values.shape[2] - len(extra)
    colour = values[:, :, :colours]
    if photometric == 0:
        colour = 255 - colour
    if photometric == 5:
        colour = (255 - colour[:, :, :3]) * (255 - colour[:, :, 3:]) / 255
    colour = three(colour)
    kind = int(extra[0]) if extra else 0
    if kind == 1:
        return np.minimum(255, colour + 255 - values[:, :, [colours]])
    return over_white(colour, values[:, :, colours]) if kind == 2 else colour


STORED = list(itertools.product("<>", (1, 2), (False, True)))


def premultiplied(samples: np.ndarray, bits: int) -> np.ndarray:
    opacity = samples[:, :, -1:]
    colour = samples[:, :, :-1] * opacity // ((1 << bits) - 1)
    return np.concatenate([colour, opacity], axis=2)


def check_tiff(read, samples, *, must: bool = False, tolerance: float = 0, **settings) -> bool:
    """Whether it is read; if so, it must be right."""
    raw = tiff(samples, **settings)
    found = read(raw, "x.tif")
    if found is None:
        assert not must, settings
        return False
    meant = tiff_meaning(raw)
    assert np.abs(found - meant).max() <= tolerance, settings
    return True


@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_gray_tiff(read, bits, photometric):
    for order, planar, deflated in STORED:
        usual = planar == 1 and bits != 12 and not (bits == 16 and order == ">" and not photometric)
        check_tiff(
            read, drawn(bits, 1), bits=bits, photometric=photometric,
            order=order, planar=planar, deflated=deflated, must=usual,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("sample_format", "kind", "bits"),
    [
        (2, "i", 8),
        (2, "i", 16),
        (2, "i", 32),
        (2, "i", 64),
        (3, "f", 16),
        (3, "f", 32),
        (3, "f", 64),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_signed_and_floating_tiffs_are_refused(read, bits, sample_format, kind, channels):
    samples = (drawn(7, channels) - 64).astype(f"{kind}{bits // 8}")
    for order, planar, deflated in STORED:
        raw = tiff(
            samples, bits=bits, photometric=1 if channels == 1 else 2, order=order, planar=planar,
            deflated=deflated, sample_format=sample_format,
        )  # fmt: skip
        assert read(raw, "x.tif") is None


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,), (2, 0)], ids=str)
@pytest.mark.parametrize(("photometric", "colours"), [(1, 1), (2, 3), (5, 4)])
def test_channels_of_tiffs(read, photometric, colours, extra, bits):
    samples = drawn(bits, colours + len(extra))
    if extra[:1] == (1,):
        samples = premultiplied(samples, bits)
    alpha = bool(extra) and extra[0] > 0
    tolerance = PREMULTIPLIED if extra[:1] == (1,) else ROUNDED if alpha or photometric == 5 else 0
    if (photometric, extra[:1], bits) == (2, (1,), 16):
        tolerance = 4  # of what is nearly transparent, dividing 8 bits leaves less
    for order, planar, deflated in STORED:
        check_tiff(
            read, samples, bits=bits, photometric=photometric, extra=extra, order=order,
            planar=planar, deflated=deflated, tolerance=tolerance,
            must=photometric == 2 and planar == 1 and len(extra) < 2,
        )  # fmt: skip


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_tiffs(read, bits):
    colours = np.random.default_rng(3).integers(0, 1 << 16, 3 << bits).tolist()
    for order, planar, deflated in STORED:
        for extra in ((), (2,)) if bits == 8 else ((),):
            check_tiff(
                read, drawn(bits, 1 + len(extra)), bits=bits, photometric=3, colour_map=colours,
                order=order, planar=planar, deflated=deflated, extra=extra, tolerance=ROUNDED,
                must=planar == 1,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        pytest.param({"photometric": 2}, 4, id="a fourth channel without a meaning"),
        pytest.param({"photometric": 3, "colour_map": list(range(256)) * 3}, 1, id="palette"),
        pytest.param({"photometric": 5, "tags": {332: (2,)}}, 4, id="inks that aren't CMYK"),
        pytest.param({"photometric": 6}, 3, id="YCbCr with fewer colours"),
        pytest.param({"photometric": 8}, 3, id="Lab"),
        pytest.param({"photometric": 9}, 3, id="another Lab"),
        pytest.param({"photometric": 4}, 1, id="a mask"),
    ],
)
def test_tiffs_whose_meaning_is_open_are_refused(read, settings, channels):
    assert read(tiff(drawn(8, channels), bits=8, **settings), "x.tif") is None


# -- JPEG --------------------------------------------------------------------------------------


def smooth(channels: int) -> np.ndarray:
    """A picture that JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:48, 0:64]
    planes = [(x * 3 + y * (n + 1)) % 256 * 0.5 + 40 + 20 * n for n in range(channels)]
    ramp = np.stack(planes, axis=2)
    return np.clip(ramp - ramp.min(), 0, 255).astype(np.uint8)


def test_inverted_cmyk_of_adobe(read):
    cmyk = smooth(4)
    buffer = io.BytesIO()
    Image.fromarray(cmyk, "CMYK").save(buffer, "JPEG", quality=100)
    raw = buffer.getvalue()
    held = imagecodecs.jpeg8_decode(raw, colorspace="CMYK", outcolorspace="CMYK").astype(float)
    assert np.abs(held - (255 - cmyk)).mean() < 3  # inverted, as Adobe has them
    meant = held[:, :, :3] * held[:, :, 3:] / 255
    assert np.abs(read(raw, "x.jpg") - meant).max() <= 3
    without = raw.replace(b"Adobe\0", b"Other\0", 1)
    assert without != raw
    assert read(without, "x.jpg") is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_jpeg(read, channels, subsampling):
    picture = smooth(channels)
    raw = imagecodecs.jpeg8_encode(
        picture[:, :, 0] if channels == 1 else picture, level=95, subsampling=subsampling
    )
    held = imagecodecs.jpeg8_decode(raw).reshape(48, 64, channels)
    assert np.abs(read(raw, "x.jfif") - three(held)).max() <= 3


def test_a_jpeg_of_twelve_bits_is_refused(read):
    raw = imagecodecs.jpeg8_encode(smooth(1)[:, :, 0].astype(np.uint16) * 16, bitspersample=12)
    assert read(raw, "x.jpg") is None


# -- JPEG 2000 and others ----------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_jpeg_2000(read, bits, channels, codec):
    samples = drawn(bits, channels).astype(np.uint8 if bits == 8 else np.uint16)
    whole = samples[:, :, 0] if channels == 1 else samples
    raw = imagecodecs.jpeg2k_encode(
        whole, level=0, reversible=True, bitspersample=bits, codecformat=codec, mct=False
    )
    held = imagecodecs.jpeg2k_decode(raw).reshape(samples.shape)
    assert np.array_equal(held, samples)
    found = read(raw, f"x.{codec}")
    if channels > 1 and bits > 8:  # Pillow rounds them up and over: 255.5 becomes 0
        assert found is None
        return
    colour = eight_bits(samples, bits)
    meant = over_white(colour[:, :, :3], colour[:, :, 3]) if channels == 4 else three(colour)
    assert np.abs(found - meant).max() <= (ROUNDED if channels == 4 else 0)


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_a_signed_jpeg_2000_is_refused(read, dtype, codec):
    samples = (drawn(7, 1) - 64)[:, :, 0].astype(dtype)
    raw = imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, codecformat=codec)
    assert read(raw, "x.jp2") is None


@pytest.mark.parametrize(
    ("kind", "channels", "encoded"),
    [
        ("webp", 3, {"lossless": True}),
        ("webp", 4, {"lossless": True}),
        ("avif", 1, {"level": 100}),
        ("avif", 3, {"level": 100}),
        ("avif", 4, {"level": 100}),
        ("qoi", 3, {}),
        ("qoi", 4, {}),
    ],
)
def test_formats_of_one_depth(read, kind, channels, encoded):
    samples = drawn(8, channels).astype(np.uint8)
    raw = getattr(imagecodecs, f"{kind}_encode")(samples.squeeze(), **encoded)
    held = getattr(imagecodecs, f"{kind}_decode")(raw)
    held = held.reshape(HEIGHT, WIDTH, -1)
    colour = three(held[:, :, : 1 if held.shape[2] < 3 else 3])
    opaque = held.shape[2] in (1, 3)
    meant = colour if opaque else over_white(colour, held[:, :, -1])
    assert np.abs(read(raw, f"x.{kind}") - meant).max() <= (0 if opaque else ROUNDED)


@pytest.mark.parametrize("most", [1, 3, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", [5, 6])
def test_netpbm_of_any_largest_value(read, kind, most):
    channels = 1 if kind == 5 else 3
    samples = np.random.default_rng(0).integers(0, most + 1, (HEIGHT, WIDTH, channels))
    samples[0, 0] = most
    head = f"P{kind} {WIDTH} {HEIGHT} {most}\n".encode()
    raw = head + samples.astype(">u2" if most > 255 else "u1").tobytes()
    found = read(raw, "x.pgm")
    # Spread over 0 to 255; of more bits the upper eight are kept, so 1 less at most
    assert np.abs(found - three(samples * 255 / most)).max() <= 1
    assert found[0, 0].tolist() == [255] * 3


def bitmap(
    stored: np.ndarray, bits: int, *, palette: bytes = b"", masks: tuple[int, ...] = ()
) -> bytes:
    """A bitmap of rows from the top, with a palette or (``BI_BITFIELDS``) masks."""
    height, width = stored.shape[:2]
    rows = b"".join(
        packed(row, bits, "<").ljust(-(-width * bits // 32) * 4, b"\0") for row in stored
    )
    size, compression = (108, 3) if masks else (40, 0)
    header = struct.pack(
        "<IiiHHIIiiII", size, width, -height, 1, bits, compression, len(rows), 0, 0,
        len(palette) // 4, 0,
    )  # fmt: skip
    if masks:
        header += struct.pack("<4I", *masks) + b"BGRs" + bytes(48)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


@pytest.mark.parametrize("bits", [24, 32])
def test_bitmaps_in_colour(read, bits):
    samples = drawn(8, bits // 8).astype(np.uint8)
    raw = bitmap(np.ascontiguousarray(samples).reshape(HEIGHT, -1), 8)
    raw = raw[:18] + struct.pack("<iiHH", WIDTH, -HEIGHT, 1, bits) + raw[30:]
    # The fourth byte of a bitmap without masks means nothing
    assert np.array_equal(read(raw, "x.bmp"), samples[:, :, 2::-1])
    turned = samples[::-1].reshape(HEIGHT, -1)
    upright = bitmap(turned, 8)
    upright = upright[:18] + struct.pack("<iiHH", WIDTH, HEIGHT, 1, bits) + upright[30:]
    assert np.array_equal(read(upright, "x.dib"), samples[:, :, 2::-1])


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bitmaps_with_a_palette(read, bits):
    samples = drawn(bits, 1)[:, :, 0]
    palette = np.random.default_rng(4).integers(0, 256, (1 << bits, 4)).astype(np.uint8)
    found = read(bitmap(samples, bits, palette=palette.tobytes()), "x.bmp")
    assert np.array_equal(found, palette[samples][:, :, 2::-1])


def test_bitmaps_with_masks(read):
    samples = drawn(8, 4)
    opacity = samples[:, :, 3]
    packed_pixels = (
        samples[:, :, 0] << 16 | samples[:, :, 1] << 8 | samples[:, :, 2] | opacity << 24
    )
    with_opacity = bitmap(packed_pixels, 32, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    found = read(with_opacity, "x.bmp")
    assert np.abs(found - over_white(samples[:, :, :3], opacity)).max() <= ROUNDED
    without = bitmap(packed_pixels, 32, masks=(0xFF0000, 0xFF00, 0xFF, 0))
    assert np.array_equal(read(without, "x.bmp"), samples[:, :, :3])


@pytest.mark.parametrize("transparent", [None, 0, 200])
def test_gif(read, transparent):
    samples = drawn(8, 1)[:, :, 0].astype(np.uint8)
    image = Image.fromarray(samples, "P")
    image.putpalette(np.random.default_rng(5).integers(0, 256, 768).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    options = {} if transparent is None else {"transparency": transparent}
    image.save(buffer, "GIF", optimize=False, **options)
    held = imagecodecs.gif_decode(buffer.getvalue())
    meant = held[:, :, :3].astype(float)
    if held.shape[2] == 4:
        meant = over_white(meant, held[:, :, 3])
    assert np.array_equal(read(buffer.getvalue(), "x.gif"), meant)
