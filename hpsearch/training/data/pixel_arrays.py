"""Arrays of pixels, saved in any order and scale, as uint8 ``(n, height, width, channels)``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError

#: The order of pixels; flat rows contain plane after plane (as CIFAR's do) or pixel after pixel.
Layout: TypeAlias = Literal["auto", "NHWC", "NCHW", "NHW", "flat_NCHW", "flat_NHWC"]
#: The range of pixel values: ``raw`` 0 to 255, ``unit`` 0 to 1, ``symmetric`` -1 to 1.
Scale: TypeAlias = Literal["auto", "raw", "unit", "symmetric"]

_RANGES = {"raw": (0, 255), "unit": (0, 1), "symmetric": (-1, 1)}
_CHANNELS = (1, 3)
#: Images converted at a time.
_CHUNK = 1024


def as_pictures(
    pixels: NDArray[Any], *, layout: Layout, scale: Scale, key: Callable[[str], str], where: str
) -> NDArray[np.uint8]:
    """Return ``pixels`` as uint8 ``(n, height, width, channels)``.

    Args:
        pixels: Numbers of two to four dimensions.
        layout: The order of the pixels; ``auto``: the only one that fits the shape.
        scale: The range of the values; ``auto``: the only one that fits the values.
        key: Returns the full name of a setting in the study file, for errors.
        where: The name of the array, for errors.

    Raises:
        DataError: If ``pixels`` aren't numbers, are empty, don't fit ``layout`` or ``scale``, or
            ``auto`` finds several possibilities or none.
    """
    if pixels.dtype.kind not in "buif":
        raise DataError(f"pixels must be numbers, but {where} contains {pixels.dtype}")
    ordered = _ordered(pixels, layout, key("layout"), where)
    if 0 in ordered.shape:
        raise DataError(f"pictures must have pixels, but {where} has the shape {pixels.shape}")
    return _scaled(ordered, scale, key("scale"), where)


def _ordered(pixels: NDArray[Any], layout: Layout, key: str, where: str) -> NDArray[Any]:
    possible = dict(_orders(pixels.shape))
    if layout == "auto":
        if possible.get("flat_NCHW", (0, 0))[1] == 1:  # with one channel, both are the same
            del possible["flat_NCHW"]
        if len(possible) != 1:
            if not possible:
                raise DataError(
                    "pictures must have 1 or 3 channels, in the order NHWC, NCHW, NHW, or in flat "
                    f"rows of a square, but {where} has the shape {pixels.shape}; save it in one "
                    "of these orders, and without an opacity"
                )
            raise DataError(
                f"{key} must give the order of the pixels if their shape doesn't determine it, but "
                f"{where} of the shape {pixels.shape} fits {' and '.join(possible)}; give one of "
                f"{', '.join(possible)}"
            )
        (layout,) = possible
    if layout not in possible:
        raise DataError(
            f"{key} must fit the array, but {layout} (with 1 or 3 channels; flat rows of a "
            f"square) doesn't fit the shape {pixels.shape} of {where}"
        )
    shape = possible[layout]
    if layout in ("NCHW", "flat_NCHW"):
        return pixels.reshape(shape).transpose(0, 2, 3, 1)
    return pixels.reshape(shape)


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[Layout, tuple[int, ...]]]:
    """Yield each layout that fits ``shape``, with the shape of four dimensions that it implies."""
    n, *rest = shape
    if len(rest) == 3:
        if rest[2] in _CHANNELS:
            yield "NHWC", shape
        if rest[0] in _CHANNELS:
            yield "NCHW", shape
    elif len(rest) == 2:
        yield "NHW", (*shape, 1)
    elif len(rest) == 1:
        for channels in _CHANNELS:
            edge = math.isqrt(rest[0] // channels)
            if channels * edge * edge == rest[0]:
                yield "flat_NHWC", (n, edge, edge, channels)
                yield "flat_NCHW", (n, channels, edge, edge)


def _scaled(pixels: NDArray[Any], scale: Scale, key: str, where: str) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8 and scale in ("auto", "raw"):
        return pixels  # may be a view; each picture becomes contiguous when it is prepared
    low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"pixels must be finite numbers, but {where} contains others")
    if scale == "auto":
        scale = _scale_of(pixels.dtype, low, high, key, where)
    least, most = _RANGES[scale]
    if low < least or high > most:
        raise DataError(
            f"{key} {scale} means pixels from {least} to {most}, but those of {where} are from "
            f"{low:g} to {high:g}; use another scale"
        )
    # In float64 and rounded, so that k/255 becomes k again, in whatever type it was saved
    factor = 255 / (most - least)
    scaled = np.empty(pixels.shape, dtype=np.uint8)
    for start in range(0, len(pixels), _CHUNK):
        chunk = pixels[start : start + _CHUNK].astype(np.float64)
        scaled[start : start + _CHUNK] = np.rint((chunk - least) * factor)
    return scaled


def _scale_of(dtype: np.dtype[Any], low: float, high: float, key: str, where: str) -> Scale:
    if dtype.kind == "b":
        return "unit"
    if low >= 0 and 1 < high <= 255:
        return "raw"
    if dtype.kind == "f" and -1 <= low < 0 < high <= 1:
        return "symmetric"
    if dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        return "unit"
    possible = [
        f"{name} ({least} to {most})"
        for name, (least, most) in _RANGES.items()
        if least <= low and high <= most
    ]
    if not possible:
        raise DataError(
            f"pixel values must be from 0 to 255, 0 to 1 or -1 to 1, but those of {where} "
            f"({dtype}) are from {low:g} to {high:g}; divide them by the largest that is "
            "possible (65535 for 16 bits), and save the quotients"
        )
    raise DataError(
        f"{key} must give the meaning of pixel values if the values don't determine it, but those "
        f"of {where} ({dtype}) are from {low:g} to {high:g}; give {' or '.join(possible)}"
    )
