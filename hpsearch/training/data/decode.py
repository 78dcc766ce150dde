"""Decoding a part of a source into arrays of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.training.data.cache import Writer
from hpsearch.training.data.images import Images, Part, Source

#: Pictures decoded at a time; bounds the memory that building takes.
_CHUNK = 512

#: Picks images of a part by their labels ``(n,)``: sorted indices.
Choose = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A part's images, and which of them are taken."""

    images: Images
    chosen: NDArray[np.int64]


def read_part(source: Source, part: Part, choose: Choose | None = None) -> Taken:
    """Decode a part (every image that isn't decoded lazily). Raises ``DataError``."""
    try:
        images = part.read()
    except OSError as error:
        raise DataError(
            f"every file of data source {source.name!r} must be readable, but reading failed "
            f"({error})"
        ) from error
    labels, classes = images.labels, len(source.class_names)
    if len(labels) == 0 or len(labels) != len(images.images):
        raise DataError(
            f"data source {source.name!r} must give at least one image and as many labels as "
            f"images, but got {len(images.images)} images and {len(labels)} labels"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"the labels of data source {source.name!r} must lie between 0 and {classes - 1}, "
            f"but they lie between {labels.min()} and {labels.max()}"
        )
    chosen = np.arange(len(labels)) if choose is None else choose(labels)
    return Taken(images=images, chosen=chosen)


def write_parts(writer: Writer, parts: Sequence[Taken], input_size: int | None) -> None:
    """Write the parts one after the other: ``images`` uint8 NCHW, ``labels`` and ``chosen`` int64.

    With an ``input_size`` the pictures become squares of that edge, by antialiased bilinear
    resampling (Pillow's, whose fixed-point arithmetic gives the same bytes on every machine).
    ``chosen`` holds each image's index in its part of the source.
    """
    total = sum(len(part.chosen) for part in parts)
    height, width, channels = parts[0].images.images[int(parts[0].chosen[0])].shape
    if input_size is not None:
        height = width = input_size
    with writer.array("images", np.uint8, (total, channels, height, width)) as rows:
        for part in parts:
            for start in range(0, len(part.chosen), _CHUNK):
                indices = part.chosen[start : start + _CHUNK]
                pictures = _sized(
                    part.images,
                    indices,
                    (height, width, channels),
                    resize=input_size is not None,
                )
                rows.append(pictures.transpose(0, 3, 1, 2))
    writer.save("labels", np.concatenate([part.images.labels[part.chosen] for part in parts]))
    writer.save("chosen", np.concatenate([part.chosen for part in parts]))


def data_hash(class_names: Sequence[str], parts: Sequence[Taken]) -> str:
    """Return the SHA-256 of the chosen pictures in their own size, their labels and class names.

    It doesn't depend on how files are packed (``.gz`` or not) nor on ``input_size``.
    """
    digest = hashlib.sha256(repr(list(class_names)).encode())
    for part in parts:
        digest.update(len(part.chosen).to_bytes(8, "little"))
        digest.update(part.images.labels[part.chosen].astype("<i8").tobytes())
        for picture in _pictures(part):
            digest.update(repr(picture.shape).encode())
            digest.update(picture.tobytes())
    return digest.hexdigest()


def _pictures(part: Taken) -> Iterator[NDArray[np.uint8]]:
    return (part.images.images[int(index)] for index in part.chosen)


def _sized(
    images: Images, indices: NDArray[np.int64], shape: tuple[int, int, int], *, resize: bool
) -> NDArray[np.uint8]:
    """Return the pictures at ``indices``, uint8 ``(n, *shape)``."""
    pictures = images.images
    if isinstance(pictures, np.ndarray) and pictures.shape[1:] == shape:
        return pictures[indices]
    sized = []
    for index in indices:
        picture = pictures[int(index)]
        if picture.shape[2] != shape[2]:
            raise DataError(
                f"every picture of a source must have the same channels, "
                f"but one has {shape[2]} and another {picture.shape[2]}"
            )
        if picture.shape != shape and not resize:
            raise DataError(
                f"pictures of different sizes ({shape[1]}x{shape[0]}, "
                f"{picture.shape[1]}x{picture.shape[0]} pixels, ...) need data.input_size, "
                "the edge that all of them are resized to"
            )
        sized.append(_resized(picture, shape))
    return np.stack(sized)


def _resized(picture: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    height, width, channels = shape
    if picture.shape == shape:
        return picture
    if channels == 3:
        return _pillow(picture, height, width)
    planes = [_pillow(picture[:, :, channel], height, width) for channel in range(channels)]
    return np.stack(planes, axis=2)


def _pillow(plane: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
