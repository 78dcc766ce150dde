"""IDX files, the format of MNIST and Fashion-MNIST.

A file has a header (two zero bytes, a type code, the number of dimensions, each size as a
big-endian 32-bit integer), then the values. Only bytes (type 8) are read: images
``(n, height, width)``, labels ``(n,)``. Format: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpsearch.errors import DataError
from hpsearch.regular_file import open_regular
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.data.images import SOURCES, Images, Part, Source, numbered_classes
from hpsearch.training.data.place import DataRoot, absolute
from hpsearch.training.data.room import require_memory

#: Where Debian's package dataset-fashion-mnist puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
_LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
_BYTES = 0x08
_CLASS_NAMES = "data.source.idx.class_names"

_Names = Annotated[list[str], Field(min_length=2)]

_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, kw_only=True)
class _IdxSet:
    """A public set of IDX files."""

    #: The name of the source, and of the folder below the data root.
    name: str
    #: The class of ``torchvision.datasets`` with the address.
    dataset: str
    #: Another way to get it, for an error.
    advice: str = ""


_FASHION_MNIST = _IdxSet(
    name="fashion_mnist",
    dataset="FashionMNIST",
    advice="install Debian's package dataset-fashion-mnist, ",
)
_MNIST = _IdxSet(name="mnist", dataset="MNIST")


@SOURCES.register("fashion_mnist")
def fashion_mnist(place: DataRoot, /, *, path: Path | None = None) -> Source:
    """Fashion-MNIST: 60,000 + 10,000 gray pictures of clothes, 28x28 pixels, ten classes.

    Source: Xiao, Rasul, Vollgraf 2017, MIT licence.

    Args:
        place: The data root, and whether the network may be used.
        path: The folder of the four IDX files (plain or ``.gz``); ``None``: the data root's
            ``fashion_mnist`` or the folder of Debian's package ``dataset-fashion-mnist``;
            downloaded if neither has the files.

    Raises:
        DataError: If the training files are missing.
    """
    folder = _find(place, _FASHION_MNIST, path, elsewhere=[DEBIAN_FASHION_MNIST])
    return _source("fashion_mnist", folder, _FASHION_CLASSES)


@SOURCES.register("mnist")
def mnist(place: DataRoot, /, *, path: Path | None = None) -> Source:
    """MNIST: 60,000 + 10,000 gray pictures of handwritten digits, 28x28 pixels.

    Source: LeCun, Cortes, Burges 1998.

    Args:
        place: The data root, and whether the network may be used.
        path: The folder of the four IDX files (plain or ``.gz``); ``None``: the data root's
            ``mnist``, downloaded if needed.

    Raises:
        DataError: If the training files are missing.
    """
    return _source("mnist", _find(place, _MNIST, path), tuple("0123456789"))


@SOURCES.register("idx")
def idx(place: DataRoot, /, *, path: Path, class_names: _Names | None = None) -> Source:
    """Any set in MNIST's format: a folder with its four IDX files (plain or ``.gz``).

    Args:
        place: The data root; unused.
        path: The folder.
        class_names: In the order of the labels; ``None``: the numbers from 0 to the largest
            training label.

    Raises:
        DataError: If the training files are missing, or ``class_names`` is ``None`` and the
            training labels are damaged or leave out a number.
    """
    folder = absolute(path)
    if not _complete(folder):
        raise DataError(
            f"data.source.idx.path must be a folder with {_list(_train_stems())} "
            f"(plain or .gz), but {_state(folder)}"
        )
    if class_names is None:
        file = _file(folder, _LABELS["train"])
        class_names = [*numbered_classes(read_idx(file, dimensions=1), file, _CLASS_NAMES)]
    return _source("idx", folder, tuple(class_names))


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes, gzipped or plain; it is read-only.

    Args:
        path: The file.
        dimensions: The number of dimensions that the array must have.

    Raises:
        DataError: If the file is missing, damaged, not a regular file, larger than the free
            memory, or contains something else. The message names it.
    """
    start = 4 + 4 * dimensions
    try:
        with open_regular(path) as file, _unpacked(file) as plain:
            head = plain.read(start)
            shape = _shape(head, path, dimensions)
            size = math.prod(shape)
            # Before the data is read, since a few compressed kilobytes can expand to any size
            require_memory(size, f"reading {path}", "if it should be smaller, get the file again")
            raw = plain.read(size)
            rest = len(plain.read(1))
    except FileNotFoundError as error:
        raise DataError(f"a data file is missing: {path}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} can't be read ({reason}); get the file again") from error
    if len(raw) != size or rest:
        amount = "more" if rest else f"{len(raw):,}"
        raise DataError(
            f"{path} must contain {' x '.join(map(str, shape))} = {size:,} bytes of data, but "
            f"contains {amount}; it is damaged, get the file again"
        )
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape)


def _unpacked(file: BufferedReader) -> BufferedIOBase:
    """Return the file, decompressed if it is gzipped."""
    return gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file


def _shape(head: bytes, path: Path, dimensions: int) -> tuple[int, ...]:
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, _BYTES, dimensions)):
        raise DataError(
            f"an IDX file of bytes with {dimensions} dimension(s) must start with 00 00 08 "
            f"{dimensions:02x}, but {path} starts with {head[:4].hex(' ') or 'nothing'}; get the "
            "file again"
        )
    return struct.unpack(f">{dimensions}I", head[4:])


def _source(name: str, folder: Path, class_names: tuple[str, ...]) -> Source:
    return Source(
        name=name,
        class_names=class_names,
        train=_part(folder, "train", len(class_names)),
        test=_part(folder, "test", len(class_names)),
        origin=str(folder),
    )


def _part(folder: Path, part: Literal["train", "test"], classes: int) -> Part:
    images_file, labels_file = _file(folder, _IMAGES[part]), _file(folder, _LABELS[part])

    def read() -> Images:
        images = read_idx(images_file, dimensions=3)
        labels = read_idx(labels_file, dimensions=1)
        if len(images) != len(labels):
            raise DataError(
                f"there must be one label per image, but {images_file} contains {len(images):,} "
                f"images and {labels_file} {len(labels):,} labels"
            )
        if labels.max(initial=0) >= classes:
            raise DataError(
                f"a label must be between 0 and {classes - 1}, but {labels_file} contains "
                f"{labels.max()}; it is damaged, get the file again"
            )
        return Images(images=images[..., None], labels=labels.astype(np.int64))

    return Part(read=read, files=(images_file, labels_file))


def _find(
    place: DataRoot, idx_set: _IdxSet, path: Path | None, elsewhere: Sequence[Path] = ()
) -> Path:
    """Return the folder of a set's files; download them if they are in none of the folders."""
    if path is not None:
        folder = absolute(path)
        if not _complete(folder):
            raise DataError(
                f"data.source.{idx_set.name}.path must be a folder with {_list(_train_stems())} "
                f"(plain or .gz), but {_state(folder)}"
            )
        return folder
    own = place.root / idx_set.name
    places = [own, *elsewhere]
    for folder in places:
        if _complete(folder):
            return folder
    reason = "and it wasn't downloaded"
    if place.may_download:
        try:
            fetch_once(own, lambda: _complete(own), lambda folder: _fetch(idx_set, folder))
            return own
        except DownloadFailed as error:
            reason = f"and the download failed ({error})"
    looked = f"not in {own}" if len(places) == 1 else f"neither in {_list(places, 'nor in')}"
    raise DataError(
        f"{idx_set.name} needs its four IDX files, but they are {looked}, {reason}; "
        f"{idx_set.advice}put {_list(f'{stem}.gz' for stem in _stems())} into {own}, "
        f"or give their folder as data.source.{idx_set.name}.path"
    )


def _fetch(idx_set: _IdxSet, folder: Path) -> None:
    from torchvision import datasets
    from torchvision.datasets import utils as torchvision_utils

    dataset = getattr(datasets, idx_set.dataset)
    for file, md5 in dataset.resources:
        url = f"{dataset.mirrors[0]}{file}"
        torchvision_utils.download_url(url, folder, filename=file, md5=md5)


def _complete(folder: Path) -> bool:
    """Whether the training files are there; test files are needed only when they are opened."""
    return all(_file(folder, stem).is_file() for stem in _train_stems())


def _file(folder: Path, stem: str) -> Path:
    plain = folder / stem
    return plain if plain.is_file() else folder / f"{stem}.gz"


def _stems() -> tuple[str, ...]:
    return (*_train_stems(), _IMAGES["test"], _LABELS["test"])


def _train_stems() -> tuple[str, str]:
    return _IMAGES["train"], _LABELS["train"]


def _list(names: Iterable[object], before_last: str = "and") -> str:
    *most, last = map(str, names)
    return f"{', '.join(most)} {before_last} {last}"


def _state(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} isn't a folder" if folder.exists() else f"{folder} doesn't exist"
    missing = [stem for stem in _train_stems() if not _file(folder, stem).is_file()]
    return f"{folder} lacks {' and '.join(missing)}"
