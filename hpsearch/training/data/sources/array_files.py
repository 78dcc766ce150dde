"""NumPy's files: ``.npz`` archives and folders of ``.npy`` files, read without pickle.

Only headers are read until an array is needed, so the test arrays of an archive stay closed.
"""

from __future__ import annotations

import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.regular_file import open_regular
from hpsearch.training.data.room import require_memory

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

#: What a damaged file raises.
_DAMAGED = (
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)

#: Words in the names of arrays, in lower case.
_PARTS = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "te": "test",
}
_IMAGES = ("images", "image", "imgs", "img", "pictures", "pixels", "x", "xs", "data")
_LABELS = ("labels", "label", "targets", "target", "classes", "class", "y", "ys")
_NAMES = ("class_names", "label_names", "names", "categories")


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array in a file, and where it is; nothing but its header was read."""

    #: The ``.npy`` file, or the archive.
    file: Path
    #: The name in the archive, or that of the file without its ending.
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    #: The length of the header.
    start: int
    #: The entry of the archive; ``None``: the file itself.
    entry: str | None = None

    def __str__(self) -> str:
        return f"{self.key!r}: {self.dtype} {self.shape}"

    @property
    def where(self) -> str:
        """The name for errors."""
        return f"{self.key!r} in {self.file}" if self.entry else str(self.file)

    def read(self) -> NDArray[Any]:
        """Return the array, read-only; a ``.npy`` file is mapped into memory.

        Raises:
            DataError: If the file is damaged or larger than the free memory.
        """
        order: Any = "F" if self.fortran else "C"
        size = math.prod(self.shape) * self.dtype.itemsize
        if self.entry is None:
            return np.memmap(
                self.file, self.dtype, "r", offset=self.start, shape=self.shape, order=order
            )
        require_memory(size, f"reading {self.where}", "save it without compression, as .npy")
        with (
            _opened(self.file) as file,
            zipfile.ZipFile(file) as archive,
            archive.open(self.entry) as entry,
        ):
            entry.read(self.start)
            content = entry.read(size)
            entry.read(1)  # at its end the checksum is compared
        return np.frombuffer(content, self.dtype).reshape(self.shape, order=order)


@dataclass(frozen=True, kw_only=True)
class ArrayKeys:
    """The keys of the images and labels of each part."""

    #: ``train``, ``validation`` or ``test`` -> the key.
    images: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    #: The key of the class names, if there are any.
    names: str | None = None


def find_arrays(shapes: Mapping[str, tuple[int, ...]]) -> ArrayKeys:
    """Find images and labels among arrays by common names, or the only two arrays by shape.

    ``train_images`` and ``train_labels``, ``x_val`` and ``y_val``, ``X`` and ``y`` are such names;
    without the name of a part, they are training images.

    Args:
        shapes: The key of each array -> its shape.

    Returns:
        The keys that are clear; if two arrays have names of the same kind, none of them.
    """
    images: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    for key in shapes:
        words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
        part = next((_PARTS[word] for word in words if word in _PARTS), "train")
        rest = [word for word in words if word not in _PARTS]
        if len(rest) == 1 and len(words) <= 2:
            for kind, vocabulary in ((images, _IMAGES), (labels, _LABELS)):
                if rest[0] in vocabulary:
                    kind.setdefault(part, []).append(key)
    names = next((key for key in _NAMES if key in shapes), None)
    if not images and not labels and len(shapes) == 2:
        # As numpy.savez names arrays without names: arr_0, arr_1
        small, large = sorted(shapes, key=lambda key: len(shapes[key]))
        if len(shapes[large]) >= 3 and len(shapes[small]) <= 2:
            images, labels = {"train": [large]}, {"train": [small]}
    return ArrayKeys(images=_single(images), labels=_single(labels), names=names)


def _single(keys_by_part: Mapping[str, list[str]]) -> dict[str, str]:
    return {part: keys[0] for part, keys in keys_by_part.items() if len(keys) == 1}


def arrays_in(path: Path, key: str = "data.source.arrays.path") -> dict[str, StoredArray]:
    """Return the arrays in an ``.npz`` archive, a folder of ``.npy`` files, or one such file.

    Args:
        path: The file or folder.
        key: The setting that gives ``path``, for errors.

    Raises:
        DataError: If there is no such file, it is damaged, or an array contains Python objects,
            which only pickle could read.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".npy")
        arrays = [_npy(file) for file in files]
    elif path.is_file() and path.suffix.lower() == ".npy":
        arrays = [_npy(path)]
    elif path.is_file():
        arrays = [*_npz(path)]
    else:
        state = "isn't one" if path.exists() else "doesn't exist"
        raise DataError(f"{key} must be an .npz file or a folder of .npy files, but {path} {state}")
    if not arrays:
        raise DataError(f"{key} must contain arrays (.npy), but {path} contains none")
    return {array.key: array for array in arrays}


def describe(arrays: Iterable[StoredArray]) -> str:
    """Return the keys, types and shapes of arrays, for errors."""
    return ", ".join(map(str, arrays))


def _npy(path: Path) -> StoredArray:
    with _opened(path) as file:
        return _array(file, path.stat().st_size, file_path=path, key=path.stem)


def _npz(path: Path) -> Iterator[StoredArray]:
    with _opened(path) as file, zipfile.ZipFile(file) as archive:
        keys = set[str]()
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            if key == info.filename:
                continue  # numpy.savez writes nothing else
            if key in keys:
                raise DataError(
                    f"every array must be there once, but {path} contains {key!a} twice; save it "
                    "again"
                )
            keys.add(key)
            with archive.open(info) as entry:
                yield _array(entry, info.file_size, file_path=path, key=key, entry=info.filename)


def _array(
    file: IO[bytes], size: int, *, file_path: Path, key: str, entry: str | None = None
) -> StoredArray:
    """Read an array's header, and compare the size that it states with that of the file."""
    where = f"{key!a} in {file_path}" if entry else str(file_path)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise DataError(f"{where} must be an array of plain numbers or texts; save it again")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise DataError(
            f"arrays must be numbers or texts, but {where} contains Python objects, which only "
            "pickle could read, and a pickle can run code; save it as numbers, or as texts "
            "(labels.astype(str))"
        )
    start = file.tell()
    if min(shape, default=0) < 0 or start + math.prod(shape) * dtype.itemsize != size:
        raise DataError(
            f"{where} must contain {dtype} {shape}, but its size is another one; it is damaged, "
            "get the file again"
        )
    return StoredArray(
        file=file_path,
        key=key,
        shape=shape,
        dtype=dtype,
        fortran=fortran,
        start=start,
        entry=entry,
    )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; what a damaged one raises becomes a ``DataError`` that names it."""
    try:
        with open_regular(path) as file:
            yield file
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(
            f"{path} must be a file of numpy.save or numpy.savez, but can't be read ({reason}); "
            "get the file again"
        ) from error
