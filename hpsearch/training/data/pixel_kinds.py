"""What the numbers in a picture file mean, if Pillow doesn't check it or gets it wrong.

Pillow opens every picture in one of its modes, but the values of some files don't mean what the
mode means: inverted gray of 16 bits, signed values, a transparent colour without half of its bits.
They are corrected if possible, and refused if not. The rules come from a comparison of many kinds
of files with independent readers, which the tests repeat.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

#: Modes of gray pictures with more than 8 bits.
SIXTEEN_BITS = frozenset(("I;16", "I;16L", "I;16B", "I;16N", "I"))

#: Modes that Pillow converts correctly.
_EIGHT_BITS = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
)

#: Formats whose 16 bits Pillow returns in an image of 32.
_SIXTEEN_IN_THIRTY_TWO = ("PNG", "PPM")

#: Pillow's names for the pixels that a PNG stores (except palettes), and their bits.
_PNG_BITS = {"1": 1, "L;2": 2, "L;4": 4, "L": 8, "I;16B": 16, "RGB": 8}

#: The numbers of TIFF's tags in the standard.
_BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _PLANAR, _COLOUR_MAP = 258, 259, 262, 277, 284, 320
_INK_SET, _EXTRA, _SAMPLE_FORMAT, _SUBSAMPLING = 332, 338, 339, 530
_SIGNED, _FLOAT = 2, 3

#: The header of a JPEG 2000 file must be in this many bytes.
_JPEG_2000_HEADER = 2**16


def require_known(picture: Image.Image, file: BinaryIO) -> None:
    """Require a picture whose values have a certain meaning.

    A PNG's transparent colour is corrected in ``picture.info``.

    Args:
        picture: As Pillow opened it; nothing is decoded yet.
        file: The file that it was opened from. Its position doesn't change.

    Raises:
        ValueError: If the meaning isn't certain. The message is the reason, without the file's
            name.
    """
    match picture.format:
        case "TIFF" if isinstance(picture, TiffImageFile):
            _require_known_tiff(picture)
        case "PNG":
            _correct_transparency(picture, file)
        case "JPEG" | "MPO":
            if picture.mode == "CMYK" and "adobe" not in picture.info:
                raise ValueError(
                    "it is CMYK without Adobe's marker, which shows whether its values are "
                    "inverted; save it as RGB"
                )
        case "JPEG2000":
            _require_known_jpeg_2000(file)
    mode = picture.mode
    if mode == "F" or (mode == "I" and picture.format not in _SIXTEEN_IN_THIRTY_TWO):
        raise ValueError("it has 32 bits per pixel; save it with 8 or 16")
    if mode not in _EIGHT_BITS | SIXTEEN_BITS:
        raise ValueError(f"its pixels have the mode {mode}; save it as RGB or gray")


def gray_of_sixteen_bits(band: Image.Image, picture: Image.Image) -> NDArray[np.uint8]:
    """Return the upper 8 bits of a gray picture of up to 16, uint8 ``(height, width)``.

    Pillow's own conversion would clip the values at 255.

    Args:
        band: Rows of ``picture``, in one of ``SIXTEEN_BITS``.
        picture: The picture as it was opened.
    """
    values = np.asarray(band)
    bits, inverted = 16, False
    if isinstance(picture, TiffImageFile):
        bits = _first(picture, _BITS, 16)
        inverted = _first(picture, _PHOTOMETRIC, 1) == 0
    upper = (values >> (bits - 8)).astype(np.uint8)
    if inverted:
        upper = np.bitwise_not(upper)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        upper[values == transparent] = 255
    return upper


def _correct_transparency(picture: Image.Image, file: BinaryIO) -> None:
    """Scale a PNG's transparent colour like Pillow's pixels."""
    transparent = picture.info.get("transparency")
    if transparent is None:
        return
    stored = str(picture.tile[0][3]) if isinstance(picture, PngImageFile) else ""
    if stored == "RGB;16B":
        # Pillow doesn't distinguish colours that differ only in the lower bits
        raise ValueError(
            "it has 16 bits per channel and a transparent colour; save it with an alpha channel"
        )
    if not _is_whole(list(_chunks(file)), stored):
        raise ValueError("its transparent colour (chunk tRNS) is damaged; save it again")
    if isinstance(transparent, int) and stored in ("L;2", "L;4"):
        # Pillow scales the pixels to 0..255, but not the transparent value
        picture.info["transparency"] = transparent * 255 // ((1 << _PNG_BITS[stored]) - 1)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and contents of a PNG's chunks about colours that precede the pixels."""
    position = file.tell()
    file.seek(8)
    while len(header := file.read(8)) == 8 and (kind := header[4:]) != b"IDAT":
        length = int.from_bytes(header[:4], "big")
        if kind in (b"PLTE", b"tRNS"):
            yield kind, file.read(length)
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
    file.seek(position)


def _is_whole(chunks: Sequence[tuple[bytes, bytes]], stored: str) -> bool:
    """Whether there is one valid tRNS chunk: readers interpret others differently.

    Args:
        chunks: As ``_chunks`` yields them.
        stored: Pillow's name for the pixels in the file.
    """
    kinds = [kind for kind, _ in chunks]
    if kinds.count(b"tRNS") != 1:
        return False
    values = chunks[kinds.index(b"tRNS")][1]
    if stored not in _PNG_BITS:  # a palette, and the opacities of its first colours
        return kinds == [b"PLTE", b"tRNS"] and len(values) <= len(chunks[0][1]) // 3
    numbers = [int.from_bytes(values[at : at + 2], "big") for at in range(0, len(values), 2)]
    return len(values) == (6 if stored == "RGB" else 2) and max(numbers) < 1 << _PNG_BITS[stored]


def _require_known_tiff(picture: TiffImageFile) -> None:
    bits, photometric = _first(picture, _BITS, 1), _first(picture, _PHOTOMETRIC, 0)
    formats = set(_all(picture, _SAMPLE_FORMAT)) or {1}
    if bits > 16:
        raise ValueError(f"it has {bits} bits per pixel; save it with 8 or 16")
    if formats != {1}:
        kind = (
            "signed" if _SIGNED in formats else "floating-point" if _FLOAT in formats else "other"
        )
        raise ValueError(f"it has {kind} values; save it with whole numbers from 0")
    channels = _first(picture, _CHANNELS, 1)
    raw = _first(picture, _COMPRESSION, 1) == 1
    odd = (raw and (bits != 8 or photometric == 0)) or (channels > 1 and photometric in (0, 1, 3))
    if _first(picture, _PLANAR, 1) == 2 and odd:
        raise ValueError("its channels are stored one after the other; save it interleaved")
    if photometric == 2 and channels > 3 and not _all(picture, _EXTRA):
        raise ValueError(
            "it has a fourth channel that may or may not be its opacity; save it again with or "
            "without an alpha channel"
        )
    if photometric == 3 and max(_all(picture, _COLOUR_MAP), default=0) < 256:
        raise ValueError("its palette has 8 bits instead of TIFF's 16; save it as RGB")
    if photometric == 5 and _first(picture, _INK_SET, 1) != 1:
        raise ValueError("its inks aren't CMYK; save it as RGB")
    if photometric == 6 and raw and _all(picture, _SUBSAMPLING) != (1, 1):
        raise ValueError("it is YCbCr with fewer colours than pixels, uncompressed; save it as RGB")
    if photometric == 8:
        raise ValueError("its colours are CIE L*a*b*; save it as RGB")


def _require_known_jpeg_2000(file: BinaryIO) -> None:
    position = file.tell()
    file.seek(0)
    head = file.read(_JPEG_2000_HEADER)
    file.seek(position)
    boxes, marker, size = head.partition(b"\xff\x4f\xff\x51")
    if not marker:
        raise ValueError("its header has no size")
    if b"pclr" in boxes:
        raise ValueError("it is a JPEG 2000 with a palette; save it as RGB")
    # After the marker: length, capabilities, eight sizes, the number of components; then, for each
    # component, its bits less one (the highest bit: signed) and two steps
    components = int.from_bytes(size[36:38], "big")
    depths = size[38 : 38 + 3 * components : 3]
    if any(depth & 0x80 for depth in depths):
        raise ValueError("it has signed values; save it with whole numbers from 0")
    if components > 1 and max(depths, default=0) > 7:
        # Pillow rounds to 8 bits, and the largest values become 0
        raise ValueError("it has more than 8 bits per channel; save it with 8")


def _all(picture: TiffImageFile, tag: int) -> tuple[Any, ...]:
    content = picture.tag_v2.get(tag, ())
    return content if isinstance(content, tuple) else (content,)


def _first(picture: TiffImageFile, tag: int, default: int) -> int:
    numbers = _all(picture, tag)
    return int(numbers[0]) if numbers else default
