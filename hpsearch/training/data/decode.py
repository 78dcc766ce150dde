"""Decoding a part of a source into arrays of one size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.formatting import first_few
from hpsearch.training.data.cache import Writer
from hpsearch.training.data.images import DamagedPicture, Images, Part, Source
from hpsearch.training.data.room import require_memory

#: Pictures decoded at a time, and the bytes that they may have together after resizing (a single
#: picture may have more). This bounds the memory of a build, however many pictures there are.
_CHUNK, _CHUNK_BYTES = 512, 2**24
#: Memory for each pixel that Pillow resizes to: its own copies and ours.
_BYTES_PER_PIXEL = 16
#: Picks images of a part by their labels ``(n,)``: sorted indices.
Choose = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Some of a part's images."""

    images: Images
    #: Their indices in ``images``, sorted.
    indices: NDArray[np.int64]


def read_part(source: Source, part: Part, choose: Choose | None = None) -> Selection:
    """Decode a part (every image that isn't decoded lazily).

    Args:
        source: The source of the part, for its class names and for errors.
        part: What to read.
        choose: Picks the images of the selection; ``None`` takes all.

    Raises:
        DataError: If a file can't be read, or the result isn't what ``Images`` describes.
    """
    try:
        images = part.read()
    except OSError as error:
        raise DataError(
            f"every file of data source {source.name!r} must be readable, but reading failed "
            f"({error})"
        ) from error
    images = _checked(source, images)
    labels = images.labels
    indices = np.arange(len(labels)) if choose is None else choose(labels)
    return Selection(images=images, indices=indices)


def _checked(source: Source, images: Images) -> Images:
    """Return ``images`` with int64 labels; raise ``DataError`` if they aren't valid."""
    labels, groups, pictures = images.labels, images.groups, images.images
    classes = len(source.class_names)
    if len(labels) == 0 or len(labels) != len(pictures):
        raise DataError(
            f"data source {source.name!r} must give at least one image and as many labels as "
            f"images, but got {len(pictures)} images and {len(labels)} labels"
        )
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"the labels of data source {source.name!r} must be whole numbers, one for each "
            f"image, but they are {labels.dtype} of the shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"the labels of data source {source.name!r} must be between 0 and {classes - 1}, but "
            f"they are between {labels.min()} and {labels.max()}"
        )
    if groups is not None and groups.shape != labels.shape:
        raise DataError(
            f"data source {source.name!r} must give one group per image, but got {len(labels)} "
            f"images and groups of shape {groups.shape}"
        )
    if isinstance(pictures, np.ndarray) and (
        pictures.dtype != np.uint8 or pictures.ndim != 4 or 0 in pictures.shape
    ):
        raise DataError(
            f"the images of data source {source.name!r} must be uint8 of the shape (n, height, "
            f"width, channels), but they are {pictures.dtype} of the shape {pictures.shape}"
        )
    return replace(images, labels=labels.astype(np.int64))


def write_parts(
    writer: Writer, class_names: Sequence[str], parts: Sequence[Selection], input_size: int | None
) -> str:
    """Write the chosen images of the parts, one part after the other.

    The arrays are ``images``, uint8 ``(n, channels, height, width)``, ``labels``, int64 ``(n,)``,
    ``chosen``, int64 ``(n,)``, each image's index in its part of the source, and, if a part has
    groups, ``groups``, int64 ``(n,)``.

    Args:
        writer: The cache entry that is being built.
        class_names: The names of the classes, for the hash.
        parts: The images and which of them are written.
        input_size: The edge in pixels of the squares that pictures are resized to, by antialiased
            bilinear resampling (Pillow's fixed-point arithmetic gives the same bytes on every
            machine); ``None``: pictures keep their size, which must be the same for all.

    Returns:
        The SHA-256 (hex) of the chosen pictures in their own size, their labels and class names.
        It doesn't depend on ``input_size``, or on whether files are compressed.

    Raises:
        DataError: If pictures are damaged (the message names the first ten and the number of the
            damaged), differ in channels, differ in size without an ``input_size``, or need more
            memory or disk than is free.
    """
    identity = _Identity(class_names)
    damaged: list[DamagedPicture] = []
    total = sum(len(part.indices) for part in parts)
    height, width, channels = _first_shape(parts)
    shape = (height, width, channels)
    if input_size is not None:
        shape = (input_size, input_size, channels)
    require_memory_for(shape)
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // max(1, math.prod(shape))))
    with writer.array("images", np.uint8, (total, channels, *shape[:2])) as rows:
        for part in parts:
            identity.labels(part.images.labels[part.indices])
            for start in range(0, len(part.indices), chunk):
                indices = part.indices[start : start + chunk]
                pictures = _decoded(part.images, indices, identity, damaged)
                sized = _sized(pictures, shape, len(indices), resize=input_size is not None)
                if not damaged:  # if some are, the rest is decoded only to count them
                    rows.append(sized)
                del sized  # free the memory before the next chunk
        if damaged:
            raise _damaged(damaged, total)
    writer.save("labels", np.concatenate([part.images.labels[part.indices] for part in parts]))
    writer.save("chosen", np.concatenate([part.indices for part in parts]))
    if any(part.images.groups is not None for part in parts):
        writer.save("groups", _groups(parts))
    return identity.sha256()


def _groups(parts: Sequence[Selection]) -> NDArray[np.int64]:
    """Return the group of each chosen image; no group is in two parts.

    In a part without groups, each image is its own group.
    """
    groups, first = [], 0
    for part in parts:
        of_part = part.images.groups
        group_ids = part.indices if of_part is None else of_part[part.indices]
        numbers = np.unique(group_ids, return_inverse=True)[1]
        groups.append(first + numbers.astype(np.int64))
        first += int(numbers.max()) + 1
    return np.concatenate(groups)


class _Identity:
    """SHA-256 of class names, labels, and pictures in their own size."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._digest = hashlib.sha256(repr(list(class_names)).encode())

    def labels(self, labels: NDArray[np.int64]) -> None:
        """Add the labels of a part, before its pictures."""
        self._digest.update(len(labels).to_bytes(8, "little"))
        self._digest.update(labels.astype("<i8").tobytes())

    def picture(self, picture: NDArray[np.uint8]) -> None:
        """Add the next picture."""
        self._digest.update(repr(picture.shape).encode())
        self._digest.update(picture.tobytes())

    def sha256(self) -> str:
        return self._digest.hexdigest()


def _first_shape(parts: Sequence[Selection]) -> tuple[int, int, int]:
    """Return the shape of the first picture that can be decoded."""
    damaged: list[DamagedPicture] = []
    for part in parts:
        for index in part.indices:
            try:
                height, width, channels = part.images.images[int(index)].shape
            except DamagedPicture as error:
                damaged.append(error)
                continue
            return height, width, channels
    raise _damaged(damaged, len(damaged))


def _decoded(
    images: Images,
    indices: NDArray[np.int64],
    identity: _Identity,
    damaged: list[DamagedPicture],
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures at ``indices`` and add them to ``identity``; collect damaged ones."""
    for index in indices:
        try:
            picture = images.images[int(index)]
        except DamagedPicture as error:
            damaged.append(error)
            continue
        identity.picture(picture)
        yield picture


def _damaged(pictures: Sequence[DamagedPicture], total: int) -> DataError:
    return DataError(
        f"every picture must be readable, but {len(pictures):,} of {total:,} can't be decoded: "
        f"{first_few(pictures, separator='; ')}. Replace them, or remove them"
    )


def require_memory_for(shape: tuple[int, int, int]) -> None:
    """Require enough free memory to prepare an image.

    Args:
        shape: ``(height, width, channels)`` after resizing.

    Raises:
        DataError: If there is less. The message shows the needed and the free memory.
    """
    height, width, _ = shape
    require_memory(
        height * width * _BYTES_PER_PIXEL,
        f"preparing an image of {height:,} x {width:,} pixels",
        "use a smaller data.input_size",
    )


def _sized(
    pictures: Iterable[NDArray[np.uint8]], shape: tuple[int, int, int], count: int, *, resize: bool
) -> NDArray[np.uint8]:
    """Return uint8 ``(count, channels, height, width)``.

    If there are fewer than ``count`` pictures, since some are damaged, the last rows are undefined.
    """
    height, width, channels = shape
    sized = np.empty((count, channels, height, width), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        if picture.shape[2] != channels:
            raise DataError(
                f"every picture of a source must have the same channels, "
                f"but one has {channels} and another {picture.shape[2]}"
            )
        if picture.shape != shape and not resize:
            raise DataError(
                f"pictures of different sizes ({width}x{height}, "
                f"{picture.shape[1]}x{picture.shape[0]} pixels, ...) need data.input_size, the "
                "size to which all of them are resized"
            )
        sized[number] = resized(picture, shape).transpose(2, 0, 1)
    return sized


def resized(picture: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture, uint8 ``(height, width, channels)``, in the height and width of ``shape``.

    The resampling is bilinear and antialiased; a picture of that size is returned unchanged.
    """
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
