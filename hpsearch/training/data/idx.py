"""IDX files, the format of MNIST and Fashion-MNIST.

A header (two zero bytes, a type code, the number of dimensions, each size as a big-endian 32-bit
integer), then the values. Here bytes only (type 8): images ``(n, height, width)``, labels
``(n,)``. Format: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.training.data.download import DownloadFailed, fetch_once
from hpsearch.training.data.images import Images, Part, Source
from hpsearch.training.data.place import Place, absolute
from hpsearch.training.registries import SOURCES

#: Where Debian's package dataset-fashion-mnist puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
_LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
_BYTES = 0x08

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


@SOURCES.register("fashion_mnist")
def fashion_mnist(place: Place, /, *, path: Path | None = None) -> Source:
    """Fashion-MNIST: 60,000 + 10,000 gray pictures of clothes, 28x28 pixels, ten classes.

    ``path``: the folder of the four IDX files (plain or ``.gz``). Without it they are looked for
    in the data root's ``fashion_mnist`` and where Debian's package ``dataset-fashion-mnist`` puts
    them, else downloaded. Source: Xiao, Rasul, Vollgraf 2017, MIT licence.
    """
    folder = _fashion_folder(place, path)
    return _source("fashion_mnist", folder, _FASHION_CLASSES)


@SOURCES.register("idx")
def idx(place: Place, /, *, path: Path) -> Source:
    """Any set in MNIST's format: a folder with its four IDX files (plain or ``.gz``).

    Classes are named by their numbers, 0 to the largest training label.
    """
    folder = absolute(path)
    if not _complete(folder):
        raise DataError(
            f"data.source.idx.path must be a folder with {_list(_train_stems())} "
            f"(plain or .gz), but {_state(folder)}"
        )
    labels = read_idx(_file(folder, _LABELS["train"]), dimensions=1)
    classes = int(labels.max(initial=0)) + 1
    return _source("idx", folder, tuple(str(label) for label in range(classes)))


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes, gzipped or plain.

    Raises ``DataError`` naming the file where it is missing, damaged, or holds something else.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except FileNotFoundError as error:
        raise DataError(f"a data file is missing: {path}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read ({error}); get the file again") from error
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:4] != bytes((0, 0, _BYTES, dimensions)):
        raise DataError(
            f"an IDX file of bytes with {dimensions} dimension(s) must begin with "
            f"00 00 08 {dimensions:02x}, but {path} begins with {raw[:4].hex(' ') or 'nothing'}; "
            "get the file again"
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    if math.prod(shape) != len(raw) - start:
        raise DataError(
            f"{path} must hold {' x '.join(map(str, shape))} = {math.prod(shape):,} bytes of "
            f"data, but holds {len(raw) - start:,}; it is damaged, get the file again"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


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
                f"images and labels must be equally many, but {images_file} holds {len(images):,} "
                f"images and {labels_file} {len(labels):,} labels"
            )
        if labels.max(initial=0) >= classes:
            raise DataError(
                f"a label must lie between 0 and {classes - 1}, "
                f"but {labels_file} holds {labels.max()}; it is damaged, get the file again"
            )
        return Images(images=images[..., None], labels=labels.astype(np.int64))

    return Part(read=read, files=(images_file, labels_file))


def _fashion_folder(place: Place, path: Path | None) -> Path:
    if path is not None:
        folder = absolute(path)
        if not _complete(folder):
            raise DataError(
                f"data.source.fashion_mnist.path must be a folder with {_list(_train_stems())} "
                f"(plain or .gz), but {_state(folder)}"
            )
        return folder
    own = place.root / "fashion_mnist"
    for folder in (own, DEBIAN_FASHION_MNIST):
        if _complete(folder):
            return folder
    reason = "and it wasn't downloaded"
    if place.may_download:
        try:
            fetch_once(own, lambda: _complete(own), _fetch_fashion)
            return own
        except DownloadFailed as error:
            reason = f"and the download failed ({error})"
    raise DataError(
        f"fashion_mnist needs its four IDX files, but they are neither in {own} nor in "
        f"{DEBIAN_FASHION_MNIST}, {reason}; install Debian's package dataset-fashion-mnist, "
        f"put {_list(f'{stem}.gz' for stem in _stems())} into {own}, "
        "or give their folder as data.source.fashion_mnist.path"
    )


def _fetch_fashion(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets import utils as torchvision_utils

    for file, md5 in FashionMNIST.resources:
        url = f"{FashionMNIST.mirrors[0]}{file}"
        torchvision_utils.download_url(url, folder, filename=file, md5=md5)


def _complete(folder: Path) -> bool:
    """Whether the training files are there; the test files are asked for when they are opened."""
    return all(_file(folder, stem).is_file() for stem in _train_stems())


def _file(folder: Path, stem: str) -> Path:
    plain = folder / stem
    return plain if plain.is_file() else folder / f"{stem}.gz"


def _stems() -> tuple[str, ...]:
    return (*_train_stems(), _IMAGES["test"], _LABELS["test"])


def _train_stems() -> tuple[str, str]:
    return _IMAGES["train"], _LABELS["train"]


def _list(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"


def _state(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} isn't a folder" if folder.exists() else f"{folder} doesn't exist"
    missing = [stem for stem in _train_stems() if not _file(folder, stem).is_file()]
    return f"{folder} lacks {' and '.join(missing)}"
