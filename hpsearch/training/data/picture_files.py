"""One picture file as an array: PNG, JPEG and the other formats that Pillow reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hpsearch.training.data.images import DamagedPicture

Colour: TypeAlias = Literal["rgb", "gray"]

#: File names that are taken for pictures, in small letters.
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)

#: Formats whose 16 bits Pillow gives in an image of 32.
_SIXTEEN_BITS = ("PNG", "PPM")
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """Pictures that are decoded when asked for."""

    files: Sequence[Path]
    colour: Colour

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_picture(self.files[index], self.colour)


def read_picture(path: Path, colour: Colour) -> NDArray[np.uint8]:
    """Return a picture, uint8 ``(height, width, 3)``, or ``(height, width, 1)`` where gray.

    It is turned as its EXIF orientation says; transparent pixels are composed over white; of 16
    bits per channel the upper eight are kept; of several frames the first. Raises
    ``DamagedPicture`` naming the file where it can't be decoded.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode == "F" or (opened.mode == "I" and opened.format not in _SIXTEEN_BITS):
                raise ValueError("it has 32 bits per pixel; save it with 8 or 16")
            picture = _opaque(ImageOps.exif_transpose(opened))
            pixels = np.asarray(picture.convert("RGB" if colour == "rgb" else "L"))
    except Exception as error:
        # Pillow raises nearly anything on a damaged file: OSError, SyntaxError, ValueError, ...
        raise DamagedPicture(f"{path} ({_reason(error)})") from error
    return pixels if colour == "rgb" else pixels[:, :, None]


def _opaque(picture: Image.Image) -> Image.Image:
    """Return the picture with 8 bits per channel and nothing transparent."""
    if picture.mode.startswith("I"):
        return _upper_bits(picture)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, _WHITE), layers)
    return picture


def _upper_bits(picture: Image.Image) -> Image.Image:
    """Return a gray picture of 16 bits with 8: Pillow's own conversion would cut it off at 255."""
    values = np.asarray(picture)
    upper = (values >> 8).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        upper[values == transparent] = 255
    return Image.fromarray(upper)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
