"""One picture file as an array: PNG, JPEG and the other formats that Pillow reads."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hpsearch.errors import DataError
from hpsearch.library_warnings import captured_stderr
from hpsearch.regular_file import open_regular
from hpsearch.training.data.images import DamagedPicture
from hpsearch.training.data.pixel_kinds import SIXTEEN_BITS, gray_of_sixteen_bits, require_known
from hpsearch.training.data.room import require_memory

Colour: TypeAlias = Literal["rgb", "gray"]

#: Pillow's formats and their endings, in lower case. A picture is opened with these formats only,
#: whatever its own ending: some others start programs (Ghostscript, for PostScript).
_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "BMP": (".bmp", ".dib"),
    "DIB": (),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "QOI": (".qoi",),
}

_FORMATS = tuple(_ENDINGS)

#: Endings of files that are read as pictures, in lower case.
SUFFIXES = frozenset(ending for endings in _ENDINGS.values() for ending in endings)

_SUFFIXES = tuple(SUFFIXES)

#: A picture of more pixels is refused, since a few hundred bytes can expand to any number of them.
#: Pillow warns of a decompression bomb from this number on, and refuses twice as many.
LARGEST_PICTURE = 2**30 // 12

#: Memory for each pixel of a decoded picture: Pillow's own copy, a rotated copy, and ours.
_BYTES_PER_PIXEL = 12
#: Pixels that are converted at a time.
_BAND = 2**20
logger = logging.getLogger(__name__)
#: How many endings a message lists at most.
_NAMED = 10
#: Formats whose library writes to the terminal itself.
_WRITES_TO_STDERR = ("TIFF",)
#: Messages of such a library that this process has shown already.
_warned: set[str] = set()
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """Pictures that are decoded on access."""

    files: Sequence[Path]
    colour: Colour

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_picture(self.files[index], self.colour)


def without_ending(name: str) -> str:
    """Return a file's name without the ending of a picture, if it has one."""
    return os.path.splitext(name)[0] if is_picture(name) else name  # noqa: PTH122


def is_picture(name: str) -> bool:
    """Whether a file of this name is read as a picture."""
    return name.lower().endswith(_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a path, with slashes, is hidden, below a hidden folder, or macOS's addition."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def ending(name: str) -> str:
    """Return a file name's ending in lower case, for people."""
    return os.path.splitext(name)[1].lower() or "without an ending"  # noqa: PTH122


def by_ending(files: Counter[str]) -> str:
    """Return the most common endings with their numbers of files: `` (30 .heic, 2 .txt)``."""
    listed = ", ".join(f"{count:,} {suffix}" for suffix, count in files.most_common(_NAMED))
    more = f", and {len(files) - _NAMED:,} other endings" if len(files) > _NAMED else ""
    return f" ({listed}{more})" if files else ""


def read_picture(path: Path, colour: Colour) -> NDArray[np.uint8]:
    """Return a picture, uint8 ``(height, width, 3)``, or ``(height, width, 1)`` if gray.

    The EXIF orientation is applied; transparent pixels are composed over white; of 16 bits per
    channel, the upper eight are kept; of several frames, the first is read.

    Args:
        path: The file. Its contents decide the format, not its ending.
        colour: ``rgb`` or ``gray``.

    Raises:
        DamagedPicture: If it isn't a regular file, can't be decoded, has too many pixels, or
            contains values whose meaning isn't certain. The message names the file.
    """
    try:
        with open_regular(path) as file:
            return _decoded(file, str(path), colour)
    except Exception as error:
        # Pillow raises nearly anything on a damaged file: OSError, SyntaxError, ValueError, ...
        raise DamagedPicture(f"{path} ({_reason(error)})") from error


def decode_picture(content: bytes, name: str, colour: Colour) -> NDArray[np.uint8]:
    """Return a picture from the bytes of its file, as ``read_picture`` does.

    Args:
        content: The bytes.
        name: The picture's name for people.
        colour: ``rgb`` or ``gray``.

    Raises:
        DamagedPicture: As in ``read_picture``.
    """
    try:
        return _decoded(BytesIO(content), name, colour)
    except Exception as error:
        raise DamagedPicture(f"{name} ({_reason(error)})") from error


def _decoded(file: BinaryIO, name: str, colour: Colour) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks below raise for what matters
        with Image.open(file, formats=_FORMATS) as picture:
            _require_size(picture)
            require_known(picture, file)
            _load(picture, name)
            _turn_upright(picture)
            return _pixels(picture, colour)


def _require_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > LARGEST_PICTURE:
        raise ValueError(
            f"{width:,} x {height:,} pixels; at most {LARGEST_PICTURE:,} are decoded; make it "
            "smaller"
        )
    require_memory(width * height * _BYTES_PER_PIXEL, "decoding it", "make it smaller")


def _load(picture: Image.Image, name: str) -> None:
    """Decode a picture; libtiff's output is added to the error, or is one warning.

    libtiff writes to the terminal itself and doesn't know the file's name.
    """
    if picture.format not in _WRITES_TO_STDERR:
        picture.load()
        return
    with captured_stderr() as messages:
        try:
            picture.load()
            error = None
        except Exception as raised:  # noqa: BLE001 - raised again below
            error = raised
    messages = [message.removeprefix("tempfile.tif: ").removesuffix(".") for message in messages]
    if error is not None:
        raise error if not messages else ValueError(f"{error}: {messages[0]}")
    for message in messages[:1]:
        if message not in _warned:
            _warned.add(message)
            logger.warning(
                "%s was read, but its file has a fault (%s); other pictures with such a fault "
                "aren't listed",
                name,
                message,
            )


def _turn_upright(picture: Image.Image) -> None:
    """Apply the EXIF orientation to a decoded picture; ignore EXIF that can't be read."""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - SyntaxError, KeyError, struct.error, ...
        logger.debug("EXIF can't be read: %s", error)


def _pixels(picture: Image.Image, colour: Colour) -> NDArray[np.uint8]:
    """Return the pixels of a decoded picture.

    They are converted band by band, since each conversion makes a copy and several copies of a
    large picture may not fit in memory.
    """
    width, height = picture.size
    mode, channels = ("RGB", 3) if colour == "rgb" else ("L", 1)
    transparent = picture.has_transparency_data
    pixels = np.empty((height, width, channels), dtype=np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = picture if bottom - top == height else picture.crop((0, top, width, bottom))
        if picture.mode in SIXTEEN_BITS:
            pixels[top:bottom] = gray_of_sixteen_bits(band, picture)[:, :, None]
            continue
        if transparent:
            # Pillow can't convert "La", premultiplied gray, to RGBA directly
            layers = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", layers.size, _WHITE), layers)
        pixels[top:bottom] = np.asarray(band.convert(mode)).reshape(-1, width, channels)
    return pixels


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: at most {LARGEST_PICTURE:,} are decoded; make it smaller"
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, AssertionError):  # what Pillow assumes, such as that there is a palette
        return "it is damaged"
    return str(error) or type(error).__name__
